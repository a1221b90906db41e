"""Attention and the post-norm transformer layer that both the ECG encoder and the fusion use."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dbeta_lib.packing import Packing, unpacked


def additive(kept: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask to be added to scores: 0 where `kept`, elsewhere -1e30, whose exponential is 0."""
    return torch.zeros_like(kept, dtype=dtype).masked_fill(~kept, -1e30)


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    dropout: nn.Dropout | None = None,
    scale: float | None = None,
) -> Tensor:
    """softmax(scale q k^T + mask) v of `[B, heads, tokens, d]`, by torch's fused kernel.

    mask: bool, True = may be attended to, or float, added; it broadcasts to `[B, heads, queries,
    keys]`. dropout: what the probabilities go through. scale: 1 / sqrt(d) where absent.

    On a CPU the kernel takes no dropout; what torch then does instead takes longer than these few
    products, which draw the same dropout.
    """
    share = dropout.p if dropout is not None and dropout.training else 0.0
    if share == 0 or q.device.type != "cpu" or q.dtype is torch.bfloat16:
        return F.scaled_dot_product_attention(q, k, v, mask, share, scale=scale)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    (batch, heads), keys = q.shape[:2], k.shape[2]
    if mask is None:
        scores = torch.bmm(q.flatten(0, 1) * scale, k.flatten(0, 1).transpose(1, 2))
    else:
        if mask.dtype is torch.bool:
            mask = additive(mask, q.dtype)
        mask = mask.expand(batch, heads, -1, keys).flatten(0, 1)
        scores = torch.baddbmm(mask, q.flatten(0, 1), k.flatten(0, 1).transpose(1, 2), alpha=scale)
    return torch.bmm(dropout(scores.softmax(-1)), v.flatten(0, 1)).unflatten(0, (batch, heads))


def unrounded(x: Tensor) -> AbstractContextManager:
    """Autocast switched off where it is on, for what is not to be computed in bf16."""
    kind = x.device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()


def joint(
    x: Tensor, linears: Sequence[nn.Linear], heads: int, packing: Packing | None = None
) -> tuple[Tensor, ...]:
    """Several linear layers on one input as one product, each `[B, heads, tokens, width/heads]`."""
    weight, bias = linears[0].weight, linears[0].bias
    if len(linears) > 1:
        weight = torch.cat([linear.weight for linear in linears])
        bias = None if bias is None else torch.cat([linear.bias for linear in linears])
    out = unpacked(F.linear(x, weight, bias), packing, blank=False)
    return out.unflatten(-1, (len(linears), heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)


class Attention(nn.Module):
    """Multi-head attention, softmax(q k^T / sqrt(d)) v, by torch's fused kernel.

    `context` is what keys and values are made of (the input itself when absent); `keys_kept`
    `[B, keys]` bool is True where a key may be attended to.
    """

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, nn.Dropout(dropout)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        keys_kept: Tensor | None = None,
        packing: Packing | None = None,
        context_packing: Packing | None = None,
    ) -> Tensor:
        """x `[B, queries, width]`, context `[B, keys, width]` -> `[B, queries, width]`.

        With a packing x, and what is returned, or the context are the tokens `[N, width]` alone.
        """
        if context is None:
            q, k, v = joint(x, (self.query, self.key, self.value), self.heads, packing)
        else:
            (q,) = joint(x, (self.query,), self.heads, packing)
            k, v = joint(context, (self.key, self.value), self.heads, context_packing)
        mask = None if keys_kept is None else keys_kept[:, None, None, :]
        mixed = attend(q, k, v, mask, self.dropout)
        mixed = mixed.transpose(1, 2).flatten(2)
        return self.out(mixed if packing is None else packing.pack(mixed))

    def probabilities(
        self, x: Tensor, context: Tensor | None = None, keys_kept: Tensor | None = None
    ) -> Tensor:
        """The attention weights `[B, heads, queries, keys]`, for looking at."""
        context = x if context is None else context
        q, k = self._split(self.query(x)), self._split(self.key(context))
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        if keys_kept is not None:
            scores = scores.masked_fill(~keys_kept[:, None, None, :], torch.finfo(scores.dtype).min)
        return scores.softmax(-1)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, heads, tokens, width/heads]


class TransformerLayer(nn.Module):
    """Post-norm layer: x <- LN(x + attention(x)); x <- LN(x + W2 gelu(W1 x)).

    With `norm_first`: x <- x + attention(LN(x)); x <- x + W2 gelu(W1 LN(x)).
    """

    def __init__(
        self,
        width: int,
        ffn: int,
        heads: int,
        dropout: float,
        attention_dropout: float,
        norm_first: bool = False,
    ):
        super().__init__()
        self.norm_first = norm_first
        self.attention = Attention(width, heads, attention_dropout)
        self.attention_norm = nn.LayerNorm(width)
        self.ffn_in = nn.Linear(width, ffn)
        self.ffn_out = nn.Linear(ffn, width)
        self.ffn_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, keys_kept: Tensor | None = None) -> Tensor:
        """`[B, tokens, width]` -> the same shape."""
        if self.norm_first:
            x = x + self.dropout(self.attention(self.attention_norm(x), keys_kept=keys_kept))
            return x + self._feed_forward(self.ffn_norm(x))
        x = self.attention_norm(x + self.dropout(self.attention(x, keys_kept=keys_kept)))
        return self.ffn_norm(x + self._feed_forward(x))

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.ffn_out(F.gelu(self.ffn_in(x))))


def init_linear(module: nn.Module, width: int) -> None:
    """N(0, 0.02 sqrt(768 / width)) weights, zero biases, for every Linear and Embedding below.

    0.02 is the official value at its width of 768. A narrow model needs more: at width 128 the
    plain 0.02 leaves the class token nearly blind to the ECG at the start.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=0.02 * (768 / width) ** 0.5)
            if getattr(part, "bias", None) is not None:
                nn.init.zeros_(part.bias)
