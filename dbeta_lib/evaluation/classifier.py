"""An encoder that learns, with a linear layer on top: the network of a fine-tuning.

`encode_ecg` of a D-BETA computes without gradients, so its ECG half is copied and run here by the
same steps. Of any other encoder `encode_ecg` itself must let gradients through. The encoder that
was given is never changed: all that learns is a copy.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.encoders import Encoder, check_encoder, device_of, evaluating
from dbeta_lib.evaluation.finetune_settings import FinetuneConfig
from dbeta_lib.evaluation.lead_subsets import DerivedLeads, derive
from dbeta_lib.model import DBeta


class DBetaPath(nn.Module):
    """The ECG half of a D-BETA, copied: mV `[B, 12, T]` -> `[B, E]` ("mean") or `[B, H]`."""

    def __init__(self, model: DBeta, feature: str, freeze_stem: bool):
        super().__init__()
        self.present, self.feature = model.present, feature  # `present` has no weights
        self.encoder = copy.deepcopy(model.ecg_encoder)
        if feature == "pooled":
            self.projection = copy.deepcopy(model.ecg_projection)
            self.pooler = copy.deepcopy(model.ecg_pooler)
        if freeze_stem:
            self.encoder.stem.requires_grad_(False)

    def forward(self, ecg: Tensor, lead_mask: Tensor) -> Tensor:
        hidden, _, _ = self.encoder(self.present(ecg, lead_mask), None)
        if self.feature == "mean":
            return hidden[:, 1:].mean(dim=1)
        return self.pooler(self.projection(hidden))


class DerivedPath(nn.Module):
    """The path of an encoder that is given the limb leads which I and II imply."""

    def __init__(self, path: nn.Module, leads: tuple[str, ...]):
        super().__init__()
        self.path, self.leads = path, leads

    def forward(self, ecg: Tensor, lead_mask: Tensor) -> Tensor:
        return self.path(*derive(ecg, lead_mask, self.leads))


class PlainPath(nn.Module):
    """A copy of an encoder whose `encode_ecg` lets gradients through."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = copy.deepcopy(encoder)

    def forward(self, ecg: Tensor, lead_mask: Tensor) -> Tensor:
        return self.encoder.encode_ecg(ecg, lead_mask=lead_mask)


def trainable_path(
    encoder: Encoder, feature: str = "mean", freeze_stem: bool = False
) -> DBetaPath | DerivedPath | PlainPath:
    """A copy of what leads from ECG and lead mask to the features, open to gradients.

    feature and freeze_stem: see `FinetuneConfig`; they speak of a D-BETA.
    Raises UsageError for an encoder without weights, or a setting that it cannot follow.
    """
    check_encoder(encoder)
    if isinstance(encoder, DerivedLeads):
        inner = trainable_path(encoder.encoder, feature, freeze_stem)
        return DerivedPath(inner, tuple(encoder.leads))
    if isinstance(encoder, DBeta):
        return DBetaPath(encoder, feature, freeze_stem)
    name = type(encoder).__name__
    if not isinstance(encoder, nn.Module) or not any(True for _ in encoder.parameters()):
        raise UsageError(f"{name} has no weights to train; evaluate it by a probe")
    if feature != "mean" or freeze_stem:
        raise UsageError(
            f"feature='pooled' and freeze_stem are for a D-BETA, not for {name}; leave them out"
        )
    return PlainPath(encoder)


class Classifier(nn.Module):
    """The path and a linear layer, itself an Encoder: its features are those that were learnt.

    `forward` trains and gives logits `[B, K]`; `encode_ecg` gives the features `[B, D]`.
    """

    def __init__(self, path: nn.Module, encoder: Encoder, width: int, classes: int, dropout: float):
        super().__init__()
        self.path = path
        self.sampling_rate, self.leads = int(encoder.sampling_rate), tuple(encoder.leads)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, classes)

    @classmethod
    def build(
        cls,
        encoder: Encoder,
        trials: Sequence[tuple[Tensor, Tensor]],
        classes: int,
        settings: FinetuneConfig,
    ) -> "Classifier":
        """Copy `encoder` and put a new head on it, after trials that show that it can learn.

        trials: ECG mV `[n, L, T]` and lead mask `[n, L]`, a few as training and as evaluation will
        give them. Raises UsageError where the ECGs do not fit or no gradient comes through.
        """
        path = trainable_path(encoder, settings.feature, settings.freeze_stem).eval()
        device = device_of(encoder)
        for ecg, lead_mask in trials:
            ecg, lead_mask = ecg.to(device), lead_mask.to(device)
            with evaluating(encoder):  # the encoder's own checks of shape and unit
                encoder.encode_ecg(ecg, lead_mask=lead_mask)
            features = path(ecg, lead_mask)
        if features.ndim != 2 or not features.requires_grad:
            raise UsageError(
                f"{type(encoder).__name__}.encode_ecg does not give [B, D] with gradients; "
                "take no_grad, inference_mode or detach out of it"
            )
        return cls(path, encoder, features.shape[1], classes, settings.dropout).to(device)

    def encode_ecg(self, ecg: Tensor, lead_mask: Tensor | None = None) -> Tensor:
        """Features `[B, D]` of ECGs in mV `[B, L, T]`; lead_mask bool `[B, L]`, True = present."""
        if lead_mask is None:
            lead_mask = torch.ones(ecg.shape[:2], dtype=torch.bool, device=ecg.device)
        return self.path(ecg, lead_mask)

    def forward(self, ecg: Tensor, lead_mask: Tensor | None = None) -> Tensor:
        """Logits `[B, K]`."""
        return self.head(self.dropout(self.encode_ecg(ecg, lead_mask)))
