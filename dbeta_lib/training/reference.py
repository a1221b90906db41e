"""The plain way to do a training step, kept beside the fast one so that both can be compared.

Everything that the fast path saves is paid here: records are read, rolled and tokenised one by one
in Python; texts are padded to the text limit; attention is written out, T5's relative bias too;
what is thrown away is computed first; AdamW goes through the weights in a loop. Store, config,
weights and draws are the same, and so are losses and gradients, to rounding.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers.models.t5.modeling_t5 import T5Attention

from dbeta_lib.batch import IGNORED, Batch
from dbeta_lib.encoders.ecg import PositionalConv, tokens_at
from dbeta_lib.encoders.layers import Attention
from dbeta_lib.heads import DecoderBlock
from dbeta_lib.losses import etm_loss, full, mem_loss
from dbeta_lib.model import DBeta
from dbeta_lib.training.batches import BatchMaker


class PlainBatches(BatchMaker):
    """`BatchMaker` as a first version would be: a loop over records, texts padded to the limit.

    The draws are the same, so `PlainBatches(...)[step]` is `padded(BatchMaker(...)[step], limit)`.
    It makes whole batches only, and not those of the released collator's leak.
    """

    def __init__(self, store: Any, rows: np.ndarray, tokenizer: Any, *args: Any, **kwargs: Any):
        super().__init__(store, rows, tokenizer, *args, **kwargs)
        frame = store.records.drop_duplicates("report_id")
        self.tokenizer, self.text_of = tokenizer, dict(zip(frame["report_id"], frame["text"]))

    def __getitem__(self, step: int) -> Batch:
        """The batch of `step`, texts `[B, max_text_tokens]`."""
        picked, config = self.picked(step), self.config
        given, is_aligned = self._texts(picked, step)
        shifts, limit = self._shifts(step), config.text.max_text_tokens
        ecgs, ids = [], []
        for i in range(len(picked)):
            ecg = self.store.ecg(int(self.rows[picked[i]]))
            ecgs.append(torch.from_numpy(ecg if shifts is None else np.roll(ecg, shifts[i], 1)))
            text = self.text_of[int(given[i])]
            ids.append(self.tokenizer(text, truncation=True, max_length=limit)["input_ids"])
        longest = max(len(row) for row in ids)
        whole = [row + [self.tokens.pad_id] * (longest - len(row)) for row in ids]
        is_token = np.array([[i < len(row) for i in range(longest)] for row in ids])
        hidden, labels = self.masking.apply(np.array(whole), is_token, self._draw("words", step))
        noise = self._draw("noise", step).random((len(picked), config.ecg.tokens), np.float32)
        batch = Batch(
            ecg=self._varied(torch.stack(ecgs), step),
            lead_mask=torch.tensor(self._leads(picked, step)),
            input_ids=torch.tensor(hidden),
            attention_mask=torch.tensor(is_token).long(),
            mlm_labels=torch.tensor(labels),
            is_aligned=torch.tensor(is_aligned),
            report_id=torch.tensor(self.report_ids[picked]),
            text_report_id=torch.tensor(given),
            ecg_noise=torch.tensor(noise),
        )
        return padded(batch, limit, self.tokens.pad_id)


def padded(batch: Batch, length: int, pad_id: int = 0) -> Batch:
    """The batch with its texts padded on the right to `length` tokens and read with it."""
    missing = (0, length - batch.input_ids.shape[1])
    longer = dataclasses.replace(
        batch.packed(False),
        input_ids=F.pad(batch.input_ids, missing, value=pad_id),
        attention_mask=F.pad(batch.attention_mask, missing),
        mlm_labels=F.pad(batch.mlm_labels, missing, value=IGNORED),
        mlm_places=None,
    )
    return dataclasses.replace(longer, mlm_places=longer.places())


def plain_losses(model: DBeta, batch: Batch) -> dict[str, Tensor]:
    """The losses that `DBeta.forward` names, all parts `plainly` and logits at all positions."""
    ecg, noise = model.seen(batch)
    with plainly(model):
        streams = model.streams(ecg, batch.input_ids, batch.attention_mask, noise)
        ecg_features = streams.ecg_pooled
        if model.config.objective.ets_view == "full":
            ecg_features = model.ecg_stream(ecg, None)[2]
        samples = model.samples(streams)
    logits = full(model.mlm_head(streams.text_states[-1]))
    pairs = model.similarity(ecg_features, streams.text_pooled)
    losses = {
        "mlm": F.cross_entropy(logits.flatten(0, 1), batch.mlm_labels.flatten()),
        "mem": mem_loss(samples, model.mem_target(batch.ecg, ecg), streams.mask),
        "etm": etm_loss(model.etm_head(streams.fused), batch.is_aligned),
        "ets": model.ets_loss(pairs, batch),
    }
    return {**losses, "total": model.weighted(losses)}


def plain_step(model: DBeta, batch: Batch, optimizer: Optimizer) -> dict[str, float]:
    """One step of training; the losses before it."""
    losses = plain_losses(model, batch)
    losses["total"].backward()
    optimizer.step()
    optimizer.zero_grad()
    return {name: loss.item() for name, loss in losses.items()}


@contextmanager
def plainly(model: nn.Module, kinds: "Kinds | None" = None) -> Iterator[None]:
    """Parts of a D-BETA as their formulas read; `kinds`: all of `PLAIN`, or `POSITIONS` alone.

    Text encoders of other kinds than T5 keep transformers' own.
    """
    changed = []
    for part in model.modules():
        if written := (PLAIN if kinds is None else kinds).get(type(part)):
            part.forward = partial(written, part)
            changed.append(part)
    try:
        yield
    finally:
        for part in changed:
            del part.forward


def eager_attend(q: Tensor, k: Tensor, v: Tensor, mask=None, dropout=None, scale=None) -> Tensor:
    """What `encoders.layers.attend` computes, as the formula reads."""
    scores = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if mask is not None and mask.dtype is torch.bool:
        scores = scores.masked_fill(~mask, -math.inf)
    elif mask is not None:
        scores = scores + mask
    weights = scores.softmax(-1)
    return (weights if dropout is None else dropout(weights)) @ v


def _of_heads(q: Tensor, k: Tensor, v: Tensor, heads: int, *given: Any) -> Tensor:
    """`[B, tokens, width]` taken apart by heads, attended, and put together."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    return eager_attend(q, k, v, *given).transpose(1, 2).flatten(2)


def _own(part: Attention, x: Tensor, context: Tensor | None = None, keys_kept=None, *_, **__):
    context = x if context is None else context
    mask = None if keys_kept is None else keys_kept[:, None, None]
    q, k, v = part.query(x), part.key(context), part.value(context)
    return part.out(_of_heads(q, k, v, part.heads, mask, part.dropout))


def _decoder_block(part: DecoderBlock, x: Tensor) -> Tensor:
    own = part.attention
    read = F.linear(part.norm_1(x), own.in_proj_weight, own.in_proj_bias)
    x = x + own.out_proj(_of_heads(*read.chunk(3, -1), own.num_heads))
    hidden = part.ffn_in(part.norm_2(x))
    return x + part.ffn_out(hidden * torch.sigmoid(1.702 * hidden))


def _of_t5(part: T5Attention, x: Tensor, mask=None, position_bias=None, **_: Any):
    """T5 adds a learnt number for each head and distance, and does not divide by sqrt(d)."""
    if position_bias is None:
        buckets = relative_buckets(
            x.shape[1], part.relative_attention_num_buckets, part.relative_attention_max_distance
        )
        rows = part.relative_attention_bias(buckets.to(x.device))
        position_bias = rows.permute(2, 0, 1).unsqueeze(0)
    dropout = partial(F.dropout, p=part.dropout, training=part.training)
    added = position_bias if mask is None else position_bias + mask
    mixed = _of_heads(part.q(x), part.k(x), part.v(x), part.n_heads, added, dropout, 1.0)
    return part.o(mixed), position_bias, None


def relative_buckets(tokens: int, buckets: int, farthest: int) -> Tensor:
    """int64 `[queries, keys]`, the bucket of each distance (Raffel et al., JMLR 2020, section 2.1).

    Half of the buckets for keys behind the query, half for keys before it; of each half the first
    half holds one distance each, the rest grow by powers up to `farthest`, where all else belongs.
    """
    place = torch.arange(tokens)
    ahead = place[None, :] - place[:, None]
    half, single, distance = buckets // 2, buckets // 4, ahead.abs()
    growth = torch.log(distance.clamp(min=1) / single) / math.log(farthest / single)
    grown = (single + (growth * (half - single)).long()).clamp(max=half - 1)
    return torch.where(distance < single, distance, grown) + half * (ahead > 0)


def _positions(part: PositionalConv, x: Tensor, keep: Tensor | None = None) -> Tensor:
    out = F.gelu(part.conv(x.transpose(1, 2))[..., : x.shape[1]]).transpose(1, 2)
    return out if keep is None else tokens_at(out, keep)


def _gelu(part: nn.GELU, x: Tensor) -> Tensor:
    """T5's, by a tanh."""
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


Kinds = dict[type, Callable]
POSITIONS: Kinds = {PositionalConv: _positions}
PLAIN: Kinds = {
    Attention: _own, DecoderBlock: _decoder_block, T5Attention: _of_t5, nn.GELU: _gelu, **POSITIONS
}  # fmt: skip
