"""The same model, asked by cosine.

The released model's similarity is the dot product, in which the length of a vector counts: of two
ECGs that point the same way the longer one gets the higher score, so a class's ranking of ECGs is
also one of lengths. The cosine takes both lengths away. Where a model's own similarity is one of
unit vectors already, the two rank alike.
"""

import torch
from torch import Tensor, nn

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.encoders import device_of


class ByCosine(nn.Module):
    """An encoder of ECGs and texts whose `similarity` is the cosine, whatever its own is.

    model: any encoder with `encode_text`. Its features are the model's own, so that those of
    `extract(model, ...)` can be given to `zero_shot.score_classes(ByCosine(model), ...)`.
    Raises UsageError for a model without a text side.
    """

    def __init__(self, model):
        super().__init__()
        if not hasattr(model, "encode_text"):
            raise UsageError(
                f"{type(model).__name__} has no encode_text, so it cannot be asked by text; "
                "evaluate it by a probe"
            )
        self.model = model
        self.sampling_rate, self.leads = model.sampling_rate, tuple(model.leads)

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return device_of(self.model)

    def encode_ecg(self, ecg: Tensor, lead_mask: Tensor | None = None) -> Tensor:
        """As the model's own."""
        return self.model.encode_ecg(ecg, lead_mask=lead_mask)

    def encode_text(self, texts: list[str]) -> Tensor:
        """As the model's own."""
        return self.model.encode_text(texts)

    def similarity(self, ecg_features: Tensor, text_features: Tensor) -> Tensor:
        """Cosines `[n, D]` x `[m, D]` -> `[n, m]` in -1..1; 0 for a vector of zeros."""
        unit = nn.functional.normalize
        return unit(ecg_features, dim=-1) @ unit(text_features, dim=-1).T
