"""ArcFace (Deng et al., CVPR 2019): embeddings in which the records of one patient lie together.

Every training patient k has a kernel w_k, and every record an embedding x, both of length 1; their
cosine is c_k = w_k . x = cos(angle). The own patient's angle is made larger by the margin m before
the softmax, so that a record must lie nearer to its own kernel than to others by that much:

    logit of the own patient   s cos(angle + m) = s (c cos m - sqrt(1 - c^2) sin m)
                               s (c - m sin m)   where angle + m would pass 180 degrees
    logit of another           s c_k

and the loss is the cross-entropy. fairseq-signals takes s = 192 and m = 1 rad for patients.

`train` works on the training patients with two records or more. The epoch (0: before any training)
is chosen on the validation patients: the highest top-1, and among equals the highest mean of
1 / place. Test patients are not looked at.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dbeta_lib.data.splits import check_disjoint
from dbeta_lib.data.store import SPLITS
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.evaluation.identification import own_places, unit
from dbeta_lib.evaluation.patient_pairs import Pairs, gallery_and_probe
from dbeta_lib.progress import tqdm
from dbeta_lib.seeds import int_seed, rng
from dbeta_lib.training.schedule import tri_stage

GUARD = 1e-7  # least 1 - c^2: the root has no finite slope at 0


def arcface_logits(cosine: Tensor, patient: Tensor, scale: float, margin: float) -> Tensor:
    """Logits `[B, K]` of cosines `[B, K]` in -1..1; patient int `[B]` 0..K - 1; margin in rad."""
    own = cosine.gather(1, patient[:, None])
    sine = (1 - own**2).clamp(min=GUARD).sqrt()
    moved = own * math.cos(margin) - sine * math.sin(margin)
    beyond = own - margin * math.sin(margin)
    moved = torch.where(own > math.cos(math.pi - margin), moved, beyond)
    return scale * cosine.scatter(1, patient[:, None], moved)


def arcface_loss(cosine: Tensor, patient: Tensor, scale: float, margin: float) -> Tensor:
    """Mean cross-entropy of `arcface_logits`, a scalar."""
    return F.cross_entropy(arcface_logits(cosine, patient, scale, margin), patient)


@dataclass(frozen=True)
class ArcFaceConfig:
    """Numbers of a training; the defaults are those of fairseq-signals' whole encoder.

    There a run has 320,000 steps; here `epochs` says how often every training record is seen.
    """

    scale: float = 192.0  # s
    margin: float = 1.0  # m, rad
    lr: float = 3e-5  # of Adam, peak of the schedule
    kernel_lr: float = 1.0  # times lr, for the kernels
    epochs: int = 30
    batch_size: int = 128
    weight_decay: float = 0.0
    stages: tuple[float, float, float] = (0.1, 0.2, 0.7)  # shares of the steps: up, level, down
    init_scale: float = 0.01  # 0..1, learning rate at the start / peak
    final_scale: float = 0.01  # 0..1, at the end / peak
    freeze_convolutions: bool = True  # of the stem of a D-BETA; its other layers learn
    seed: int = 0  # of order and dropout

    def __post_init__(self) -> None:
        for name in ("scale", "lr", "kernel_lr", "epochs", "batch_size"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name}={getattr(self, name)} must be more than 0")
        if not 0 <= self.margin < math.pi:
            raise UsageError(f"a margin of {self.margin} is no angle from 0 to pi; give it in rad")


@dataclass(frozen=True)
class TrainingPatients:
    """The rows to learn from, whose they are, and the pairs that choose the epoch."""

    rows: np.ndarray  # int64 [n]
    patient: np.ndarray  # int64 [n], 0..K - 1
    validation: Pairs

    @classmethod
    def of(cls, records: pd.DataFrame) -> "TrainingPatients":
        """All training rows of patients with two records or more."""
        splits = records["split"].to_numpy()
        known = np.isin(splits, SPLITS)
        check_disjoint(records["patient_id"].to_numpy()[known], splits[known])
        back = gallery_and_probe(records, "train").patients
        names = records["patient_id"].astype(str)
        rows = np.flatnonzero((splits == "train") & names.isin(back).to_numpy())
        patient = pd.Index(back).get_indexer(names.iloc[rows])
        return cls(rows, patient, gallery_and_probe(records, "val"))


class Network(nn.Module):
    """What learns, with the kernels; they start at the mean embedding of their patient."""

    def __init__(
        self,
        body: nn.Module,
        learn: Callable[[np.ndarray], Tensor],
        start: Tensor,
        people: TrainingPatients,
    ) -> None:
        super().__init__()
        self.body, self.learn = body, learn
        sums = torch.zeros(people.patient.max() + 1, start.shape[1])
        sums.index_add_(0, torch.from_numpy(people.patient), F.normalize(start, dim=1))
        self.kernels = nn.Parameter(F.normalize(sums, dim=1))

    def cosines(self, rows: np.ndarray) -> Tensor:
        """`[B, K]` in -1..1, with gradients."""
        return F.normalize(self.learn(rows), dim=1) @ F.normalize(self.kernels, dim=1).T


def train(
    network: Network,
    people: TrainingPatients,
    embed: Callable[[np.ndarray], np.ndarray],
    settings: ArcFaceConfig,
    progress: bool,
) -> tuple[pd.DataFrame, int]:
    """Train in place and go back to the best epoch: the curve, and that epoch.

    embed gives the embeddings of rows as a test would, without dropout or gradients.
    """
    trainable = [p for p in network.body.parameters() if p.requires_grad]
    groups = [
        {"params": trainable, "lr": settings.lr},
        {"params": [network.kernels], "lr": settings.lr * settings.kernel_lr},
    ]
    optimizer = torch.optim.Adam(groups, weight_decay=settings.weight_decay)
    total = settings.epochs * math.ceil(len(people.rows) / settings.batch_size)
    numbers = (total, settings.stages, settings.init_scale, settings.final_scale)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: tri_stage(s, *numbers))
    curve = [{"epoch": 0, "loss": np.nan, **_validate(embed, people.validation)}]
    best = _snapshot(network)
    device = network.kernels.device
    forked = torch.random.fork_rng([device] if device.type == "cuda" else [])
    bar = tqdm(total=total, desc="identification", unit="step", disable=not progress, leave=False)
    with bar, forked:
        for epoch in range(1, settings.epochs + 1):
            torch.manual_seed(int_seed(settings.seed, "identification-dropout", epoch))
            order = rng(settings.seed, "identification-order", epoch).permutation(len(people.rows))
            network.train()
            loss = _epoch(network, people, order, settings, optimizer, schedule, bar)
            row = {"epoch": epoch, "loss": loss, **_validate(embed, people.validation)}
            if _worth(row) > max(map(_worth, curve)):
                best = _snapshot(network)
            curve.append(row)
    network.load_state_dict(best, strict=False)
    network.eval()
    return pd.DataFrame(curve), int(max(curve, key=_worth)["epoch"])


def _worth(row: dict[str, float]) -> tuple[float, float]:
    return row["top1"], row["mean_reciprocal"]


def _epoch(
    network: Network,
    people: TrainingPatients,
    order: np.ndarray,
    settings: ArcFaceConfig,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    bar: tqdm,
) -> float:
    """One pass over the rows in this order: the mean loss of a record."""
    total = 0.0
    for start in range(0, len(order), settings.batch_size):
        part = order[start : start + settings.batch_size]
        cosines = network.cosines(people.rows[part])
        patient = torch.from_numpy(people.patient[part]).to(cosines.device)
        loss = arcface_loss(cosines, patient, settings.scale, settings.margin)
        if not torch.isfinite(loss):
            raise DBetaError(
                f"the loss is {loss.item()}; train with a smaller lr than {settings.lr}"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.item() * len(part)
        bar.update()
    return total / len(order)


def _validate(embed: Callable[[np.ndarray], np.ndarray], pairs: Pairs) -> dict[str, float]:
    """Top-1 and mean of 1 / place of the validation patients, 0..1."""
    gallery, probe = unit(embed(pairs.gallery)), unit(embed(pairs.probe))
    places = own_places(probe @ gallery.T)
    return {"top1": float((places == 1).mean()), "mean_reciprocal": float((1 / places).mean())}


def _snapshot(network: nn.Module) -> dict[str, Tensor]:
    """Copies of all that training may change: learning weights and running statistics."""
    fixed = {name for name, p in network.named_parameters() if not p.requires_grad}
    state = network.state_dict()
    return {name: state[name].detach().clone() for name in state if name not in fixed}
