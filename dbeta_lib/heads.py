"""Poolers, and the heads of masked language, masked ECG and matching (paper section 3.3)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dbeta_lib.config import ECGConfig, FusionConfig, MEMConfig
from dbeta_lib.encoders.layers import attend, init_linear, unrounded


class Pooler(nn.Module):
    """A sequence `[B, n, H]` -> one vector `[B, H]`.

    pooling "first" takes token 0, "mean" the tokens that `kept` marks. order "dense_tanh" is
    tanh(W x + b), as in the released code and in BERT; "tanh_dense" is W tanh(x) + b, as the paper
    words its projection heads. Computed as its weights are, so in single precision under autocast:
    what ETS compares is not rounded to bf16.
    """

    def __init__(self, width: int, pooling: str = "first", order: str = "dense_tanh"):
        super().__init__()
        self.pooling, self.order = pooling, order
        self.dense = nn.Linear(width, width)
        init_linear(self, width)

    def forward(self, x: Tensor, kept: Tensor | None = None) -> Tensor:
        with unrounded(x):
            return self._pool(x.to(self.dense.weight.dtype), kept)

    def _pool(self, x: Tensor, kept: Tensor | None) -> Tensor:
        if self.pooling == "first":
            x = x[:, 0]
        elif kept is None:
            x = x.mean(dim=1)
        else:
            weight = kept.to(x.dtype).unsqueeze(-1)
            x = (x * weight).sum(dim=1) / weight.sum(dim=1)
        if self.order == "dense_tanh":
            return self.dense(x).tanh()
        return self.dense(x.tanh())


class MLMHead(nn.Module):
    """Hidden states `[..., H]` -> vocabulary logits `[..., V]`."""

    def __init__(self, width: int, vocabulary: int):
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, 1e-12)
        self.decoder = nn.Linear(width, vocabulary, bias=False)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        init_linear(self, width)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.decoder(self.norm(F.gelu(self.dense(hidden)))) + self.bias


STEEPNESS = 1.702  # of CLIP's QuickGELU


class DecoderBlock(nn.Module):
    """Pre-norm block with CLIP's QuickGELU, x sigmoid(1.702 x)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm_1 = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm_2 = nn.LayerNorm(width)
        self.ffn_in = nn.Linear(width, 4 * width)
        self.ffn_out = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, first: int = 0) -> Tensor:
        """`[B, n, W]` -> the tokens from number `first` on, `[B, n - first, W]`."""
        x = x[:, first:] + self._attend(self.norm_1(x), first)
        return x + self._feed_forward(self.norm_2(x))

    def _attend(self, x: Tensor, first: int) -> Tensor:
        """Self-attention by the weights of `attention`, without that module's transposed copies."""
        part, width = self.attention, x.shape[-1]
        weight, bias = part.in_proj_weight, part.in_proj_bias
        if first == 0:
            q, k, v = self._heads(F.linear(x, weight, bias), 3)
        else:
            (q,) = self._heads(F.linear(x[:, first:], weight[:width], bias[:width]), 1)
            k, v = self._heads(F.linear(x, weight[width:], bias[width:]), 2)
        return part.out_proj(attend(q, k, v).transpose(1, 2).flatten(2))

    def _heads(self, read: Tensor, parts: int) -> tuple[Tensor, ...]:
        """`[B, n, parts W]` -> each part `[B, heads, n, W / heads]`."""
        read = read.unflatten(-1, (parts, self.attention.num_heads, -1))
        return tuple(part.transpose(1, 2) for part in read.unbind(2))

    def _feed_forward(self, x: Tensor) -> Tensor:
        """x sigmoid(1.702 x) is silu(1.702 x) / 1.702: scaled weights leave one operation of it."""
        first, second = self.ffn_in, self.ffn_out
        hidden = F.silu(F.linear(x, STEEPNESS * first.weight, STEEPNESS * first.bias))
        return F.linear(hidden, second.weight / STEEPNESS, second.bias)


def sinusoids(rows: int, width: int) -> Tensor:
    """Fixed position table `[1, rows, width]`: even channels sine, odd cosine, base 10000."""
    position = torch.arange(rows).unsqueeze(1).float()
    rate = torch.exp(torch.arange(0, width, 2).float() * (-math.log(10000.0) / width))
    table = torch.zeros(1, rows, width)
    table[0, :, 0::2] = torch.sin(position * rate)
    table[0, :, 1::2] = torch.cos(position * rate)
    return table


class MEMHead(nn.Module):
    """Decoder of masked ECG modelling: kept tokens -> samples, of every token or of those removed.

    Output `[B, tokens, channels, patch]` in the units of the scaled target (lead-major).
    """

    def __init__(self, ecg: ECGConfig, fusion: FusionConfig, mem: MEMConfig):
        super().__init__()
        width = mem.decoder_width
        self.channels, self.patch = ecg.channels, ecg.patch
        self.embed = nn.Linear(fusion.fusion_width, width)
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        self.register_buffer("positions", sinusoids(mem.decoder_max_tokens, width))
        self.blocks = nn.ModuleList(
            DecoderBlock(width, mem.decoder_heads) for _ in range(mem.decoder_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.predict = nn.Linear(width, ecg.channels * ecg.patch)
        init_linear(self, width)
        # Start at the flat line. Random drawings are worse than it, and the quickest way to mend
        # them makes all tokens alike; the encoder then takes a thousand steps to recover.
        nn.init.normal_(self.predict.weight, std=1e-3)
        nn.init.normal_(self.mask_token, std=0.02)

    def unshuffle(self, hidden: Tensor, restore: Tensor) -> Tensor:
        """Kept tokens, class token first, `[B, 1 + kept, H]` -> all places `[B, 1 + tokens, W]`."""
        x = self.embed(hidden)
        missing = restore.shape[1] - (x.shape[1] - 1)
        blanks = self.mask_token.to(x.dtype).expand(x.shape[0], missing, -1)
        placed = torch.cat([x[:, 1:], blanks], dim=1)
        placed = placed.gather(1, restore.unsqueeze(-1).expand(-1, -1, x.shape[-1]))
        return torch.cat([x[:, :1], placed], dim=1) + self.positions[:, : 1 + restore.shape[1]]

    def forward(self, hidden: Tensor, restore: Tensor, order: Tensor | None = None) -> Tensor:
        """Kept tokens `[B, 1 + kept, H]` -> samples of all tokens, in their order in time.

        order: what undoes `restore`, where only the removed tokens are asked for: `of_removed`
        (by way of this call, so that hooks see it).
        """
        if order is not None:
            return self.of_removed(hidden, order)
        x = self.unshuffle(hidden, restore)
        for block in self.blocks:
            x = block(x)
        return self._samples(x)[:, 1:]

    def of_removed(self, hidden: Tensor, order: Tensor) -> Tensor:
        """Samples of the removed tokens alone, `[B, removed, channels, patch]`, in `order`.

        hidden `[B, 1 + kept, H]`; order `[B, tokens]`: the tokens' numbers, those kept first. To
        rounding what `forward` gives: a token's place is told by its position, not by its row, so
        nothing is put back in order, and of the last block only what the loss reads is computed.
        """
        x = self.embed(hidden)
        kept = x.shape[1]
        blanks = self.mask_token.to(x.dtype).expand(len(x), 1 + order.shape[1] - kept, -1)
        x = torch.cat([x, blanks], dim=1) + self.positions[0][F.pad(order + 1, (1, 0))]
        for block in self.blocks[:-1]:
            x = block(x)
        x = self.blocks[-1](x, kept) if len(self.blocks) else x[:, kept:]
        return self._samples(x)

    def _samples(self, x: Tensor) -> Tensor:
        samples = self.predict(self.norm(x))
        return samples.unflatten(-1, (self.channels, self.patch))


class ETMHead(nn.Module):
    """Is this the ECG's own text? `[text, ECG]` `[B, 2H]` -> logits `[B, 2]`, class 1 = aligned."""

    def __init__(self, width: int):
        super().__init__()
        self.linear = nn.Linear(2 * width, 2)
        init_linear(self, width)

    def forward(self, fused: Tensor) -> Tensor:
        return self.linear(fused)
