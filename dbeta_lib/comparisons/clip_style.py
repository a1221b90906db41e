"""CLIP (Radford et al., ICML 2021) of D-BETA's two encoders: one softmax contrast, nothing else.

What D-BETA adds to it is all that differs: fusion, masking of words and of ECG tokens, matching,
hard negatives, and sigmoids in place of the softmax. Leads are dropped and records changed as the
config says, as for D-BETA. Records of one and the same report count as wrong pairs, as in CLIP.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dbeta_lib.batch import Batch
from dbeta_lib.comparisons.base import zeroed
from dbeta_lib.comparisons.config import PLAIN_BATCHES
from dbeta_lib.comparisons.contrast import info_nce
from dbeta_lib.comparisons.towers import ECGTower, WithText
from dbeta_lib.config import AUGMENTING, DBetaConfig
from dbeta_lib.outputs import Output
from dbeta_lib.processes import ALONE, Processes

LARGEST_SCALE = 100.0  # CLIP's clip of the learnt scale


@dataclass(frozen=True)
class CLIPSettings:
    """CLIP's numbers."""

    temperature: float = 0.07  # at the start; learnt as the logarithm of its inverse


class CLIPStyle(WithText):
    """ECG encoder, text encoder, a linear layer each, and a learnt temperature."""

    name = "clip"
    loss_names = ("contrast", "total")
    gathers = True
    Settings = CLIPSettings

    @classmethod
    def adapted(cls, config: DBetaConfig) -> DBetaConfig:
        kept = {name: config.get(name) for name in AUGMENTING}
        return config.replace(**{**PLAIN_BATCHES, **kept})

    def _build(self, load_text_weights: bool) -> None:
        joint = self.config.fusion.fusion_width
        self._build_text(load_text_weights)
        self.ecg_tower = ECGTower(self.config.ecg)
        self.ecg_head = nn.Linear(self.ecg_tower.features, joint, bias=False)
        self.text_head = nn.Linear(self.text_encoder.width, joint, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(self.settings.temperature)))

    @property
    def scale(self) -> Tensor:
        """What cosines are multiplied by: 1 / temperature, at most 100."""
        return self.log_scale.exp().clamp(max=LARGEST_SCALE)

    def describe(self, ecg: Tensor) -> Tensor:
        return self.ecg_tower(ecg)

    def _features(self, ecg: Tensor) -> Tensor:
        return self.ecg_head(self.describe(ecg))

    def similarity(self, ecg_features: Tensor, text_features: Tensor) -> Tensor:
        """Logits of all pairs, `[n, D]` x `[m, D]` -> `[n, m]`: cosine times the learnt scale."""
        return self.scale * super().similarity(ecg_features, text_features)

    def forward(self, batch: Batch, processes: Processes = ALONE) -> Output:
        """contrast, which is the total."""
        ecg = self._features(zeroed(batch.ecg, batch.lead_mask))
        text = self.text_features(batch.input_ids, batch.attention_mask)
        ecg, text = processes.gather(ecg), processes.gather(text)
        contrast = info_nce(ecg, text, self.scale)
        logits = {"ecg_text": self.similarity(ecg, text)}
        return Output({"contrast": contrast, "total": contrast}, {"ecg": ecg, "text": text}, logits)
