"""W2V + CMSC + RLM: how fairseq-signals pre-trains ECG encoders (Oh et al., CHIL 2022).

W2V is wav2vec 2.0 (Baevski et al., NeurIPS 2020): spans of tokens are hidden, and for each hidden
token its quantised original must be told from those of the other hidden ones. CMSC (Kiyasseh et
al., ICML 2021) makes the two halves of a record, 5 s each, find each other among the batch. RLM
zeroes leads at random. The encoder is D-BETA's without its class token; tokens are hidden before
the positional convolution. Differs from the published code: each other hidden token is a
distractor once (they draw 100 with replacement), and one lead at least stays.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from dbeta_lib.augmentations import drop_leads
from dbeta_lib.batch import Batch
from dbeta_lib.comparisons.base import Comparison, own_generator, zeroed
from dbeta_lib.comparisons.contrast import info_nce, masked_contrast
from dbeta_lib.comparisons.quantiser import Quantiser
from dbeta_lib.encoders.ecg import ECGEncoder, Stem, strided
from dbeta_lib.outputs import Output


@dataclass(frozen=True)
class SegmentSettings:
    """The published numbers."""

    lead_dropout: float = 0.5  # 0..1, RLM
    mask_probability: float = 0.65  # 0..1 of the tokens, if no two spans met
    span: float = 0.32  # s, hidden at once: 10 tokens of the published encoder at 500 Hz
    groups: int = 2  # of the quantiser
    entries: int = 320  # code words per group
    code_width: int = 256  # of quantised tokens and of what is compared with them
    gumbel_start: float = 2.0  # temperature of the quantiser's draws
    gumbel_end: float = 0.5
    gumbel_decay: float = 0.999995  # factor per step
    temperature: float = 0.1  # of both contrasts
    diversity_weight: float = 0.1
    penalty_weight: float = 10.0  # on the stem's squared features
    stem_gradient: float = 0.1  # factor on the gradient that reaches the stem
    feature_dropout: float = 0.1  # 0..1, on what is quantised


class ContrastiveSegments(Comparison):
    """Encoder, quantiser and two linear layers; features are the mean over the tokens."""

    name = "w2v-cmsc-rlm"
    loss_names = ("w2v", "diversity", "penalty", "cmsc", "total")
    Settings = SegmentSettings

    def _build(self, load_text_weights: bool) -> None:
        s, ecg = self.settings, self.config.ecg
        width = ecg.conv_layers[-1][0]
        self.encoder = ECGEncoder(ecg)
        self.encoder.class_token.requires_grad_(False)  # has no part here
        self.hidden_token = nn.Parameter(torch.rand(ecg.ecg_width))
        self.feature_dropout = nn.Dropout(s.feature_dropout)
        self.quantiser = Quantiser(width, s.groups, s.entries, s.code_width)
        self.register_buffer("gumbel", torch.tensor(s.gumbel_start))
        self.code_head = nn.Linear(s.code_width, s.code_width)
        self.context_head = nn.Linear(ecg.ecg_width, s.code_width)

    def describe(self, ecg: Tensor) -> Tensor:
        tokens = self.encoder.embed(ecg) + self.encoder.level(ecg)
        return self.encoder.transform(tokens).mean(dim=1)

    def forward(self, batch: Batch) -> Output:
        """w2v, diversity, penalty, cmsc and their weighted sum; draws from torch's own state."""
        s, generator = self.settings, own_generator(batch.ecg.device)
        halves = drop_leads(segments(zeroed(batch.ecg, batch.lead_mask)), generator, s.lead_dropout)
        raw = stem_features(self.encoder.stem, halves)
        raw = raw * s.stem_gradient + raw.detach() * (1 - s.stem_gradient)
        features = self.encoder.stem.norm(raw)
        masked = self.masked(features.shape[:2], generator)
        hidden = self.context(halves, features, masked)
        codes, perplexity = self._quantised(features, masked)
        one, other = hidden.mean(dim=1).chunk(2)
        total_codes = s.groups * s.entries
        losses = {
            "w2v": masked_contrast(self.context_head(hidden), codes, masked, s.temperature),
            "diversity": (total_codes - perplexity) / total_codes,
            "penalty": raw.float().square().mean(),
            "cmsc": info_nce(one, other, 1 / s.temperature),
        }
        weights = {"diversity": s.diversity_weight, "penalty": s.penalty_weight}
        losses["total"] = sum(weights.get(name, 1.0) * loss for name, loss in losses.items())
        return Output(losses, {"ecg": one, "ecg_other": other}, {})

    def masked(self, shape: tuple[int, int], generator: Generator) -> Tensor:
        """bool `[rows, tokens]`, True = hidden."""
        s, tokens = self.settings, shape[1]
        seconds = self.config.ecg.samples / 2 / self.config.ecg.sampling_rate / tokens  # per token
        span = min(tokens, max(1, round(s.span / seconds)))
        return span_mask(*shape, span, s.mask_probability, generator)

    def context(self, ecg: Tensor, features: Tensor, masked: Tensor) -> Tensor:
        """Hidden states `[rows, tokens, E]` of normed stem features with masked tokens replaced."""
        x = self.encoder.input_dropout(self.encoder.stem.project(features))
        x = torch.where(masked.unsqueeze(-1), self.hidden_token.to(x.dtype), x)
        return self.encoder.transform(x + self.encoder.positions(x) + self.encoder.level(ecg))

    def _quantised(self, features: Tensor, masked: Tensor) -> tuple[Tensor, Tensor]:
        """Quantised tokens `[rows, tokens, code width]` and the codes' perplexity on the masked."""
        s = self.settings
        if self.training:
            self.gumbel.mul_(s.gumbel_decay).clamp_(min=s.gumbel_end)
        # A copy: the step after changes it in place, before or after this one's backward pass.
        x = self.feature_dropout(features)
        codes, perplexity = self.quantiser(x, masked, self.gumbel.clone())
        return self.code_head(codes), perplexity


def segments(ecg: Tensor) -> Tensor:
    """The halves of each record, `[B, 12, T]` -> `[2 B, 12, T // 2]`, all first halves first."""
    half = ecg.shape[2] // 2
    return torch.cat([ecg[..., :half], ecg[..., half : 2 * half]])


def stem_features(stem: Stem, ecg: Tensor) -> Tensor:
    """What the stem's last convolution gives before the norm, `[B, tokens, width]`."""
    x = F.gelu(stem.channel_norm(stem.convs[0](ecg))).transpose(1, 2)
    for conv in stem.convs[1:]:
        x = F.gelu(strided(x, conv))
    return x


def span_mask(
    rows: int, tokens: int, span: int, probability: float, generator: Generator
) -> Tensor:
    """bool `[rows, tokens]`: spans of `span` tokens from starts drawn without replacement.

    round(probability * tokens / span) starts, at least one; spans may overlap.
    """
    device = generator.device
    count = min(tokens - span + 1, max(1, round(probability * tokens / span)))
    chance = torch.rand(rows, tokens - span + 1, generator=generator, device=device)
    starts = chance.argsort(dim=1)[:, :count]
    places = (starts.unsqueeze(-1) + torch.arange(span, device=device)).flatten(1)
    return torch.zeros(rows, tokens, dtype=torch.bool, device=device).scatter(1, places, True)
