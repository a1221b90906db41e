"""What a pre-training step costs by its shapes alone: arithmetic, memory traffic, parameters.

Everything is a function of the config and the shape of a batch. Counted are matrix products and
convolutions, two operations to a multiplication with its addition. Norms, activations, dropout and
losses are not: they are a few per cent of the arithmetic, and their traffic goes away where they
are fused into the products. Each product reads its factors and writes its result once; attention
never writes its scores. So the traffic is the least that a step can do with, and `floor` the least
time. torch's own counter, on the real network, gives the same numbers (a test).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from dbeta_lib.config import DBetaConfig
from dbeta_lib.errors import UsageError

FP32 = 4  # bytes
ADAM_BYTES = 28  # a parameter and step: reads weight, gradient, two moments; writes all but one
OPTIMIZER = "optimizer"
STEPS, UTILISATION, NIGHT = 300_000, 0.4, 8  # of the paper; share of the peak aimed at; hours


@dataclass(frozen=True)
class Chip:
    """Peak matrix rate (operations per second) and memory bandwidth (bytes per second)."""

    name: str
    flops: float
    bandwidth: float
    source: str = ""


# Dense bf16: the sheets print 1,979 TFLOPS "with sparsity", twice the dense rate.
CHIPS = (
    Chip("H100 SXM", 989e12, 3.35e12, "https://www.nvidia.com/en-us/data-center/h100/"),
    Chip("H200 SXM", 989e12, 4.8e12, "https://www.nvidia.com/en-us/data-center/h200/"),
)


@dataclass(frozen=True)
class Work:
    """Arithmetic, numbers moved to and from memory, and parameters; sums are taken with `+`."""

    forward_flops: float = 0.0
    backward_flops: float = 0.0
    forward_moved: float = 0.0  # numbers in the precision of the computation
    backward_moved: float = 0.0
    parameters: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def times(self, count: int, parameters: int | None = None) -> Work:
        """`count` of it; parameters: 1 where all have the same weights."""
        own = self.parameters * (count if parameters is None else parameters)
        return Work(*(getattr(self, f.name) * count for f in fields(self)[:-1]), own)

    def forward_only(self) -> Work:
        """The same without a gradient."""
        return replace(self, backward_flops=0, backward_moved=0)


@dataclass(frozen=True)
class Part:
    """One part's cost in a step. flops: operations; bytes: least traffic, gradients in fp32."""

    name: str
    forward_flops: float
    backward_flops: float
    forward_bytes: float
    backward_bytes: float
    parameters: int

    @property
    def flops(self) -> float:
        """Forward and backward."""
        return self.forward_flops + self.backward_flops

    @property
    def bytes(self) -> float:
        """Forward and backward."""
        return self.forward_bytes + self.backward_bytes

    def floor(self, chip: Chip) -> float:
        """Seconds that no implementation can go below: of arithmetic or of traffic."""
        return max(self.forward_flops / chip.flops, self.forward_bytes / chip.bandwidth) + max(
            self.backward_flops / chip.flops, self.backward_bytes / chip.bandwidth
        )


def step_cost(
    config: DBetaConfig,
    batch: int,
    text_tokens: int,
    words: int | None = None,
    element_bytes: int = 2,
    kept_positions: bool = False,
) -> list[Part]:
    """The parts of a step in the order in which they run, the optimizer last.

    batch: records. text_tokens: L, padding included. words: masked ones of the batch; by default
    the config's share of all B L. element_bytes: 2 for bf16, 4 for fp32.
    kept_positions: the positional convolution at the visible tokens alone, as on a CPU. Masked ECG
    tokens go by `mask_ratio`. Raises UsageError for a text encoder that is no T5.
    """
    if batch < 1 or text_tokens < 1:
        raise UsageError(f"a batch of {batch} records with {text_tokens} tokens has no cost")
    words = (
        round(config.objective.mlm_probability * batch * text_tokens) if words is None else words
    )
    parts, trained = [], 0
    for name, work in _works(config, batch, text_tokens, words, kept_positions).items():
        gradients = work.parameters if work.backward_flops else 0  # a frozen part has none
        backward = work.backward_moved * element_bytes + FP32 * gradients
        forward = work.forward_moved * element_bytes
        parts.append(
            Part(name, work.forward_flops, work.backward_flops, forward, backward, work.parameters)
        )
        trained += gradients
    return [*parts, Part(OPTIMIZER, 0, 0, ADAM_BYTES * trained, 0, 0)]


def total(parts: Iterable[Part]) -> Part:
    """All parts as one; its `floor` is lower than the sum of theirs, which run one by one."""
    rows = list(parts)
    sums = (sum(getattr(part, f.name) for part in rows) for f in fields(Part)[1:])
    return Part("step", *sums)


def floor(parts: Iterable[Part], chip: Chip) -> float:
    """Seconds of a step whose parts run one after the other, each at its floor."""
    return sum(part.floor(chip) for part in parts)


def hours(
    parts: Iterable[Part], flops_per_second: float, utilisation: float, steps: int = STEPS
) -> float:
    """Hours of `steps` steps at a share 0..1 of a matrix rate."""
    return steps * total(parts).flops / (utilisation * flops_per_second) / 3600


def _works(
    config: DBetaConfig, batch: int, length: int, words: int, kept_positions: bool
) -> dict[str, Work]:
    ecg, width = config.ecg, config.fusion.fusion_width
    kept, every = batch * (1 + ecg.kept), batch * (1 + ecg.tokens)
    views = 1 + (config.objective.ets_view == "full")  # ETS may see the ECG a second time, whole
    encoder = _ecg_layers(ecg, batch, 1 + ecg.kept)
    positions = _positions(ecg, batch, kept_positions)
    project = linear(kept, ecg.ecg_width, width)
    pooler = linear(batch, width, width)
    if views > 1:
        encoder += _ecg_layers(ecg, batch, 1 + ecg.tokens).times(1, parameters=0)
        positions += _positions(ecg, batch, False).times(1, parameters=0)
        project += linear(every, ecg.ecg_width, width).times(1, parameters=0)
        project += pooler.forward_only().times(1, parameters=0)  # of the masked view, not used
    text, text_width = _t5(config, batch, length)
    frozen = config.text.freeze_text
    project += linear(batch * length, text_width, width, to_input=not frozen) + pooler.times(4)
    learnt = Work(parameters=2 * config.objective.ets_learnable)
    return {
        "stem": _stem(ecg, batch).times(views, parameters=1),
        "positions": positions,
        "ECG encoder": encoder,
        "text encoder": text.forward_only() if frozen else text,
        "projections": project,
        "fusion": _fusion(config, batch, length),
        "MLM head": _mlm(config, words),
        "MEM decoder": _mem(config, batch, kept, every),
        "ETM, ETS, losses": linear(batch, 2 * width, 2) + pairs(batch, batch, width) + learnt,
    }


def linear(rows: int, inner: int, columns: int, bias: bool = True, to_input: bool = True) -> Work:
    """`[rows, inner] @ [inner, columns]`: y; then dw = x' dy and, to_input, dx = dy w'."""
    x, w, y = rows * inner, inner * columns, rows * columns
    flops, backward = 2 * rows * inner * columns, x + y + (x + y + w) * to_input
    return Work(flops, flops * (1 + to_input), x + w + y, backward, w + columns * bias)


def pairs(rows: int, columns: int, width: int) -> Work:
    """`[rows, width] @ [width, columns]` of two activations."""
    moved = rows * width + columns * width + rows * columns
    flops = 2 * rows * columns * width
    return Work(flops, 2 * flops, moved, 2 * moved)


def attention(batch: int, queries: int, keys: int, width: int) -> Work:
    """q k', and its softmax times v, all heads; the scores stay on the chip."""
    flops = 4 * batch * queries * keys * width
    moved = batch * width * (2 * queries + 2 * keys)
    return Work(flops, 2 * flops, moved, 2 * moved)


def convolution(
    batch: int, steps: int, out: int, width_in: int, width: int, kernel: int, groups: int = 1,
    to_input: bool = True,
) -> Work:  # fmt: skip
    """Over `steps` places to `out`; to_input: whether what comes in takes a gradient."""
    x, y, w = batch * steps * width_in, batch * out * width, kernel * width_in * width // groups
    flops, backward = 2 * batch * out * w, x + y + (x + y + w) * to_input
    return Work(flops, flops * (1 + to_input), x + w + y, backward, w)


def norm(width: int) -> Work:
    """Its parameters; the rest is fused into what follows."""
    return Work(parameters=2 * width)


def _stem(ecg: Any, batch: int) -> Work:
    work, steps, width = Work(), ecg.samples, ecg.channels
    for number, (wide, kernel, stride) in enumerate(ecg.conv_layers):
        out = (steps - kernel) // stride + 1
        work += convolution(batch, steps, out, width, wide, kernel, to_input=number > 0)
        steps, width = out, wide
    work += norm(ecg.conv_layers[0][0]) + norm(width)
    return work if width == ecg.ecg_width else work + linear(batch * steps, width, ecg.ecg_width)


def _positions(ecg: Any, batch: int, kept: bool) -> Work:
    """The grouped convolution; an even kernel gives a column too many. Weight norm, bias."""
    width, kernel, groups = ecg.ecg_width, ecg.position_kernel, ecg.position_groups
    if kept:
        rows = batch * ecg.kept * groups
        work = linear(rows, kernel * width // groups, width // groups, bias=False)
        work = replace(work, parameters=kernel * width * width // groups)
    else:
        out = ecg.tokens + 1 - kernel % 2
        work = convolution(batch, ecg.tokens, out, width, width, kernel, groups)
    return work + Work(parameters=kernel + width)


def _ecg_layers(ecg: Any, batch: int, tokens: int) -> Work:
    width, rows = ecg.ecg_width, batch * tokens
    layer = _attention_block(batch, tokens, tokens, width) + norm(width).times(2)
    layer += linear(rows, width, ecg.ecg_ffn) + linear(rows, ecg.ecg_ffn, width)
    work = layer.times(ecg.ecg_layers) + norm(width) + Work(parameters=width)  # class token
    if ecg.amplitude_token:  # read off the ECG, which takes no gradient
        work += linear(batch, 3 * ecg.channels, width, to_input=False)
    return work


def _attention_block(batch: int, queries: int, keys: int, width: int) -> Work:
    """Query, key, value and output projections around attention."""
    sides = linear(batch * queries, width, width) + linear(batch * keys, width, width)
    return sides.times(2) + attention(batch, queries, keys, width)


def _t5(config: DBetaConfig, batch: int, length: int) -> tuple[Work, int]:
    """The text encoder, and its width."""
    values = {"relative_attention_num_buckets": 32, **config.text.text_architecture}
    if values.get("model_type") not in ("t5", "mt5", "umt5"):
        raise UsageError(
            "the cost of a text encoder is known for T5 architectures; this config names "
            f"'{config.text.text_model or values.get('model_type')}': leave it out, or use a preset"
        )
    width, inner, ffn = values["d_model"], values["num_heads"] * values["d_kv"], values["d_ff"]
    rows, layers = batch * length, values["num_layers"]
    layer = linear(rows, width, inner, bias=False).times(3) + linear(rows, inner, width, bias=False)
    layer += attention(batch, length, length, inner)
    into = 2 if str(values.get("feed_forward_proj", "relu")).startswith("gated") else 1
    layer += linear(rows, width, ffn, bias=False).times(into) + linear(rows, ffn, width, bias=False)
    layer += Work(parameters=2 * width)  # two norms without bias
    vocabulary = values.get("vocab_size", config.text.text_vocabulary)
    buckets = values["relative_attention_num_buckets"] * values["num_heads"]
    biases = buckets * (layers if values["model_type"] == "umt5" else 1)
    words = Work(0, 0, 2 * rows * width, rows * width, vocabulary * width)
    return layer.times(layers) + words + Work(parameters=width + biases), width


def _fusion(config: DBetaConfig, batch: int, length: int) -> Work:
    """Both streams: self-attention, cross-attention on the other, feed-forward.

    Of the last layer of ECGs the class token alone, unless MEM reads the rest.
    """
    width, layers = config.fusion.fusion_width, config.fusion.fusion_layers
    tokens = 1 + config.ecg.kept
    last = tokens if config.mem.reads_last_layer else 1
    work = _fusion_layer(batch, length, length, tokens, width).times(layers)
    if layers:
        work += _fusion_layer(batch, tokens, tokens, length, width).times(layers - 1)
        work += _fusion_layer(batch, last, tokens, length, width)
    return work + Work(parameters=2 * width)


def _fusion_layer(batch: int, queries: int, own: int, other: int, width: int) -> Work:
    """One stream's layer, of which `queries` of its `own` tokens are asked for."""
    work = _attention_block(batch, queries, own, width)
    work += _attention_block(batch, queries, other, width)
    rows = batch * queries
    work += linear(rows, width, 4 * width) + linear(rows, 4 * width, width)
    return work + norm(width).times(3)


def _mlm(config: DBetaConfig, words: int) -> Work:
    """Logits of the masked words only."""
    width, values = config.fusion.fusion_width, config.text.text_architecture
    vocabulary = values.get("vocab_size", config.text.text_vocabulary)
    return linear(words, width, width) + norm(width) + linear(words, width, vocabulary)


def _mem(config: DBetaConfig, batch: int, kept: int, every: int) -> Work:
    """The decoder on all places; of its last block, and after it, those removed alone."""
    mem, width, tokens = config.mem, config.mem.decoder_width, every // batch
    removed = every - kept
    work = linear(kept, config.fusion.fusion_width, width) + norm(width) + Work(parameters=width)
    for queries in [every] * (mem.decoder_layers - 1) + [removed] * (mem.decoder_layers > 0):
        work += _attention_block(batch, queries // batch, tokens, width)
        work += linear(queries, width, 4 * width) + linear(queries, 4 * width, width)
        work += norm(width).times(2)
    return work + linear(removed, width, config.ecg.channels * config.ecg.patch)
