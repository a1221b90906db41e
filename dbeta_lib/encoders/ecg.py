"""The ECG encoder: convolutional stem, positional convolution, token masking, transformer.

Paper section 3.1. Two oddities of the official code are kept where the switches say so: tokens are
removed after the positional convolution, so visible neighbours know something of what was removed,
and the first norm is taken per channel over time, so a common gain of the whole ECG is lost.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from dbeta_lib.config import ECGConfig
from dbeta_lib.encoders.layers import TransformerLayer, init_linear

MOST_NUMBERS = 1 << 27  # in the windows of kept tokens; half a GB
TYPICAL_SPREAD, TYPICAL_PEAK = 0.2, 0.6  # mV, of a lead of a normal ECG


class Stem(nn.Module):
    """Strided convolutions: mV `[B, channels, T]` -> tokens `[B, tokens, width]`."""

    def __init__(self, config: ECGConfig):
        super().__init__()
        widths = [config.channels, *(width for width, _, _ in config.conv_layers)]
        self.convs = nn.ModuleList(
            nn.Conv1d(before, width, kernel, stride, bias=False)
            for before, (width, kernel, stride) in zip(widths, config.conv_layers, strict=False)
        )
        first = config.conv_layers[0][0]
        self.channel_norm = nn.GroupNorm(first, first)
        self.norm = nn.LayerNorm(widths[-1])
        same = widths[-1] == config.ecg_width
        self.project = nn.Identity() if same else nn.Linear(widths[-1], config.ecg_width)
        for conv in self.convs:
            nn.init.kaiming_normal_(conv.weight)

    def forward(self, ecg: Tensor) -> Tensor:
        x = F.gelu(self.channel_norm(self.convs[0](ecg))).transpose(1, 2)
        for conv in self.convs[1:]:
            x = F.gelu(strided(x, conv))
        return self.project(self.norm(x))


def strided(x: Tensor, conv: nn.Conv1d) -> Tensor:
    """`conv` on time-major `[B, T, channels]` -> `[B, T', width]`.

    Where windows do not overlap (kernel = stride) this is one matrix product on the reshaped input:
    the same sums, and no unfolded copy of the input.
    """
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    if kernel != stride:
        return conv(x.transpose(1, 2)).transpose(1, 2)
    steps = x.shape[1] // kernel
    windows = x[:, : steps * kernel].reshape(x.shape[0], steps, kernel * x.shape[2])
    return windows @ conv.weight.permute(2, 1, 0).flatten(0, 1)


class PositionalConv(nn.Module):
    """Relative positions by a wide grouped convolution: `[B, tokens, width]` -> the same shape."""

    def __init__(self, width: int, kernel: int, groups: int):
        super().__init__()
        self.even = kernel % 2 == 0
        conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=groups)
        nn.init.normal_(conv.weight, std=(4 / (kernel * width)) ** 0.5)
        nn.init.zeros_(conv.bias)
        self.conv = weight_norm(conv, dim=2)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """At the tokens that `keep` `[B, kept]` numbers, else at all: `[B, kept or tokens, width]`.

        On a CPU a convolution of all tokens, most of them thrown away, takes longer than the
        products at the kept ones (benchmarks/fast_path.py); their windows must fit the memory.
        """
        if keep is not None and x.device.type == "cpu":
            (records, kept), (tokens, width) = keep.shape, x.shape[1:]
            if is_cheap_at(records, kept, tokens, self.conv.kernel_size[0], width):
                return F.gelu(self._at(x, keep))
        out = self.conv(x.transpose(1, 2))
        if self.even:  # an even kernel gives one column too many; the last one goes
            out = out[..., :-1]
        out = F.gelu(out).transpose(1, 2)
        return out if keep is None else tokens_at(out, keep)

    def _at(self, x: Tensor, keep: Tensor) -> Tensor:
        """The convolution before its GELU, at the kept tokens only."""
        kernel, groups = self.conv.kernel_size[0], self.conv.groups
        around = F.pad(x, (0, 0, kernel // 2, kernel // 2))
        first = torch.arange(len(x)).unsqueeze(1) * around.shape[1] + keep
        rows = first.unsqueeze(-1) + torch.arange(kernel)
        windows = around.flatten(0, 1).index_select(0, rows.flatten())
        windows = windows.view(-1, kernel, groups, x.shape[2] // groups).permute(2, 0, 1, 3)
        weight = self.conv.weight.unflatten(0, (groups, -1)).permute(0, 3, 2, 1)
        out = torch.bmm(windows.flatten(2), weight.flatten(1, 2))
        return out.transpose(0, 1).reshape(*keep.shape, -1) + self.conv.bias


def is_cheap_at(records: int, kept: int, tokens: int, kernel: int, width: int) -> bool:
    """Whether positions at the kept tokens alone pay on a CPU: few, and windows that fit."""
    return 2 * kept <= tokens and records * kept * kernel * width <= MOST_NUMBERS


def tokens_at(x: Tensor, keep: Tensor) -> Tensor:
    """The tokens `[B, kept, width]` of `[B, tokens, width]` that `keep` `[B, kept]` numbers."""
    return x.gather(1, keep.unsqueeze(-1).expand(-1, -1, x.shape[-1]))


def random_masking(noise: Tensor, kept: int) -> tuple[Tensor, Tensor, Tensor]:
    """Which tokens stay, from uniform noise `[B, tokens]` (the smallest `kept` values).

    Returns keep `[B, kept]` indices in the noise's order, restore `[B, tokens]` indices that undo
    the shuffle, and mask `[B, tokens]` with 1 = removed.
    """
    shuffle = noise.argsort(dim=1)
    restore = shuffle.argsort(dim=1)
    mask = (restore >= kept).to(noise.dtype)
    return shuffle[:, :kept], restore, mask


class ECGEncoder(nn.Module):
    """Stem, positions, class token and transformer.

    >>> encoder = ECGEncoder(ECGConfig(samples=1000, ecg_layers=1))
    >>> hidden, mask, restore = encoder(torch.randn(2, 12, 1000), noise=None)
    >>> tuple(hidden.shape), mask is None
    ((2, 63, 768), True)
    """

    def __init__(self, config: ECGConfig):
        super().__init__()
        self.config = config
        width = config.ecg_width
        self.stem = Stem(config)
        self.input_dropout = nn.Dropout(config.input_dropout)
        self.dropout = nn.Dropout(config.ecg_dropout)
        self.positions = PositionalConv(width, config.position_kernel, config.position_groups)
        self.class_token = nn.Parameter(torch.rand(width))
        self.amplitude = nn.Linear(3 * config.channels, width) if config.amplitude_token else None
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(
            TransformerLayer(
                width,
                config.ecg_ffn,
                config.ecg_heads,
                config.ecg_dropout,
                config.attention_dropout,
                config.norm_first,
            )
            for _ in range(config.ecg_layers)
        )
        init_linear(self.layers, width)

    def embed(
        self, ecg: Tensor, removed: Tensor | None = None, keep: Tensor | None = None
    ) -> Tensor:
        """mV `[B, channels, T]` -> tokens with positions `[B, tokens, width]`.

        removed `[B, tokens]` (1 = removed) hides those tokens from the positional convolution. keep
        `[B, kept]`: the tokens that are returned, in this order; None: all.
        """
        x = self.input_dropout(self.stem(ecg))
        if removed is not None:
            x = x * (1 - removed).unsqueeze(-1)
        return (x if keep is None else tokens_at(x, keep)) + self.positions(x, keep)

    def transform(self, tokens: Tensor, padding: Tensor | None = None) -> Tensor:
        """The transformer on `[B, n, width]`; padding `[B, n]` bool, True = not a real token."""
        if padding is not None:
            tokens = tokens.masked_fill(padding.unsqueeze(-1), 0.0)
        norm_first = self.config.norm_first
        x = self.dropout(tokens if norm_first else self.norm(tokens))
        for layer in self.layers:
            x = layer(x, None if padding is None else ~padding)
        return self.norm(x) if norm_first else x

    def level(self, ecg: Tensor) -> Tensor | float:
        """What the stem's first norm erases, as a vector `[B, 1, width]` added to every token.

        Of each channel 2 log(s / typical + 0.05), with s its standard deviation (typically 0.2 mV),
        its largest and its smallest value (0.6 mV): about 0 for an ordinary ECG and 1.4 for one of
        twice the voltage, so that hypertrophy is learnt in few steps. 0 for a channel of zeros;
        0.0 without `amplitude_token`.
        """
        if self.amplitude is None:
            return 0.0
        ecg = ecg.float()
        centred = ecg - ecg.mean(-1, keepdim=True)
        # not `std`, which is slow on a CPU
        spread = torch.linalg.vector_norm(centred, dim=-1) / (ecg.shape[-1] - 1) ** 0.5
        high, low = ecg.amax(-1).clamp(min=0), -ecg.amin(-1).clamp(max=0)
        sizes = torch.cat([spread / TYPICAL_SPREAD, high / TYPICAL_PEAK, low / TYPICAL_PEAK], 1)
        level = torch.where(sizes > 0, 2 * torch.log(sizes + 0.05), 0.0)
        return self.amplitude(level.to(self.amplitude.weight.dtype)).unsqueeze(1)

    def forward(
        self, ecg: Tensor, noise: Tensor | None, kept: int | None = None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Hidden states with the class token first, and what was masked.

        ecg mV `[B, channels, T]`; noise `[B, tokens]` uniform decides which tokens are removed
        (None: all stay), all but `kept` of them (None: by the config's mask ratio). Returns hidden
        `[B, 1 + kept, width]` in the noise's order, mask and restore as `random_masking` gives them
        (None without noise).
        """
        keep = restore = mask = None
        if noise is not None:
            kept = self.config.kept_of(noise.shape[1]) if kept is None else kept
            keep, restore, mask = random_masking(noise, kept)
        tokens = self.embed(ecg, mask if self.config.mask_before_positions else None, keep)
        class_token = self.class_token.to(tokens.dtype).expand(tokens.shape[0], 1, -1)
        tokens = torch.cat([class_token, tokens], dim=1) + self.level(ecg)
        return self.transform(tokens), mask, restore

    def encode_padded(self, ecg: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
        """Records of unequal length, without class token or masking (stand-alone use).

        padding `[B, channels, T]` bool, True = beyond the record's end, at the end only. Returns
        hidden `[B, tokens, width]` and token padding `[B, tokens]`.
        """
        length = (~padding).any(dim=1).sum(dim=1)
        for _, kernel, stride in self.config.conv_layers:
            length = torch.div(length - kernel, stride, rounding_mode="floor") + 1
        tokens = self.embed(ecg)
        beyond = torch.arange(tokens.shape[1], device=ecg.device) >= length.unsqueeze(1)
        return self.transform(tokens, beyond), beyond
