"""Training for patient identification: a linear head on frozen features, or the whole encoder.

Both learn by ArcFace (see `arcface`) from the training patients with two records or more, choose
their epoch on the validation patients, and give embeddings whose cosine `identify` then tests:

    head = ArcFaceHead.fit(features, store.records)                      # seconds
    identify(head.embed(features), store.records, standardise=False)
    found = train_identification(model, store)                           # the whole encoder
    identify(extract(found.encoder, store), store.records, standardise=False)
"""

import copy
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.arcface import ArcFaceConfig, Network, TrainingPatients, train
from dbeta_lib.evaluation.encoders import Encoder, check_encoder, device_of, to_encoder_input
from dbeta_lib.evaluation.features import extract
from dbeta_lib.evaluation.identification import scaling

HEAD = ArcFaceConfig(scale=32.0, margin=0.5, lr=3e-3, epochs=10)  # of a head on frozen features
WHOLE = ArcFaceConfig(  # of a whole encoder that has a few hundred steps, not 320,000
    scale=32.0, margin=0.5, lr=1e-3, kernel_lr=3.0, epochs=1, batch_size=32
)


@dataclass(frozen=True)
class ArcFaceHead:
    """A linear map on frozen features, trained so that a patient's records lie together.

    It starts as the identity on standardised features, the untrained comparison of `identify`.
    """

    centre: np.ndarray = field(repr=False)  # [D], of the training rows
    spread: np.ndarray = field(repr=False)  # [D]
    weight: np.ndarray = field(repr=False)  # [D, D]
    kernels: np.ndarray = field(repr=False)  # [K, D], one per training patient
    curve: pd.DataFrame = field(repr=False)  # epoch, loss, top1 and mean_reciprocal on validation
    epoch: int  # chosen; 0 is before training
    n_train: int  # records

    @classmethod
    def fit(
        cls,
        features: np.ndarray,
        records: pd.DataFrame,
        settings: ArcFaceConfig = HEAD,
        *,
        progress: bool = True,
    ) -> "ArcFaceHead":
        """Train on features `[N, D]`, rows as in `records` (a store's table).

        Raises UsageError where training or validation has no two patients with two records.
        """
        features = np.asarray(features, dtype=np.float64)
        if features.ndim != 2 or len(features) != len(records):
            raise UsageError(f"features {features.shape} must be [{len(records)}, D]")
        people = TrainingPatients.of(records)
        centre, spread = scaling(features, records)
        x = torch.from_numpy(((features - centre) / spread).astype(np.float32))
        linear = nn.Linear(x.shape[1], x.shape[1], bias=False)
        nn.init.eye_(linear.weight)
        network = Network(linear, lambda rows: linear(x[rows]), x[people.rows], people)

        def embed(rows: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                return linear(x[rows]).numpy()

        curve, epoch = train(network, people, embed, settings, progress)
        weight, kernels = linear.weight.detach().numpy(), network.kernels.detach().numpy()
        return cls(centre, spread, weight, kernels, curve, epoch, len(people.rows))

    def embed(self, features: np.ndarray) -> np.ndarray:
        """Features `[N, D]` -> embeddings `[N, D]` for `identify(..., standardise=False)`."""
        return (np.asarray(features, dtype=np.float64) - self.centre) / self.spread @ self.weight.T


class Identifier(nn.Module):
    """An encoder whose vectors are for a cosine: the mean over its tokens, of length 1.

    Follows the `Encoder` protocol, so that `extract` and every evaluation take it. Of a D-BETA the
    ECG encoder's tokens are taken (without the class token, before any head); of another encoder
    what its `encode_ecg` gives.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        check_encoder(encoder)
        if not isinstance(encoder, nn.Module):
            raise UsageError(f"{type(encoder).__name__} is no torch module, so nothing can learn")
        self.encoder = encoder
        self.sampling_rate, self.leads = encoder.sampling_rate, tuple(encoder.leads)

    def encode_ecg(self, ecg: Tensor, lead_mask: Tensor | None = None) -> Tensor:
        """ecg float mV `[B, L, T]`, lead_mask bool `[B, L]` -> `[B, D]`, of length 1."""
        if hasattr(self.encoder, "ecg_encoder"):  # a DBeta, whose encode_ecg gives no gradient
            hidden = self.encoder.ecg_encoder(self.encoder.present(ecg, lead_mask), None)[0]
            return F.normalize(hidden[:, 1:].mean(dim=1), dim=1)
        return F.normalize(self.encoder.encode_ecg(ecg, lead_mask=lead_mask), dim=1)


@dataclass(frozen=True)
class TrainedIdentifier:
    """What `train_identification` leaves, at the epoch chosen on validation patients."""

    encoder: Identifier = field(repr=False)  # in evaluation mode
    kernels: np.ndarray = field(repr=False)  # [K, D], one per training patient
    curve: pd.DataFrame = field(repr=False)  # epoch, loss, top1 and mean_reciprocal on validation
    epoch: int  # chosen; 0 is before training
    n_train: int  # records


def train_identification(
    encoder: Encoder,
    store,
    settings: ArcFaceConfig | None = None,
    *,
    progress: bool = True,
) -> TrainedIdentifier:
    """Train a copy of the whole encoder to tell the training patients of a store apart.

    encoder: a DBeta or any torch module of the `Encoder` protocol whose `encode_ecg` gives
    gradients; it is left as it was. The whole record is read, where fairseq-signals has one crop of
    5 s of each. Its test: `identify(extract(found.encoder, store), store.records,
    standardise=False)`. The same seed gives the same weights on a CPU.
    Raises UsageError for an encoder that cannot learn, or too few patients with two records.
    """
    settings = settings or ArcFaceConfig()
    people = TrainingPatients.of(store.records)
    identifier = Identifier(copy.deepcopy(encoder))
    _choose_parameters(identifier.encoder, settings.freeze_convolutions)
    present, device = store.lead_mask(), device_of(encoder)

    def learn(rows: np.ndarray) -> Tensor:
        ecg, mask = to_encoder_input(store.ecg(rows), present[rows], store.sampling_rate, encoder)
        out = identifier.encode_ecg(ecg.to(device), lead_mask=mask.to(device))
        if not out.requires_grad:
            raise UsageError(f"{type(encoder).__name__}.encode_ecg gives no gradient to learn from")
        return out

    def embed(rows: np.ndarray) -> np.ndarray:
        return extract(identifier, store, rows, progress=False)

    start = torch.from_numpy(embed(people.rows))
    network = Network(identifier, learn, start, people).to(device)
    curve, epoch = train(network, people, embed, settings, progress)
    kernels = network.kernels.detach().cpu().numpy()
    return TrainedIdentifier(identifier.eval(), kernels, curve, epoch, len(people.rows))


def _choose_parameters(encoder: nn.Module, freeze_convolutions: bool) -> None:
    """Of a D-BETA only the ECG encoder learns; its convolutions where that is asked for."""
    encoder.requires_grad_(True)
    if hasattr(encoder, "ecg_encoder"):
        encoder.requires_grad_(False)
        encoder.ecg_encoder.requires_grad_(True)
        stem = encoder.ecg_encoder.stem
        for part in (stem.convs, stem.channel_norm):
            part.requires_grad_(not freeze_convolutions)
