"""The loop of a fine-tuning: batches, epochs, and the choice of the epoch on validation rows.

Order, lead dropout and crops come from generators of their own, and torch's global state is forked:
the same seed gives the same weights on a CPU, whatever ran before.
"""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from dbeta_lib.errors import DBetaError
from dbeta_lib.evaluation.classifier import Classifier
from dbeta_lib.evaluation.encoders import Encoder, device_of, evaluating, to_encoder_input
from dbeta_lib.evaluation.finetune_settings import FinetuneConfig
from dbeta_lib.evaluation.metrics import macro_auc
from dbeta_lib.progress import tqdm
from dbeta_lib.seeds import int_seed, rng

EVALUATED = 256  # records at a time where nothing is learnt


@dataclass(frozen=True)
class Examples:
    """A store's ECGs with the labels of a task, brought to an encoder's input."""

    store: object
    y: np.ndarray  # 0/1 [N, K]
    present: np.ndarray  # bool [N, 12], recorded and allowed
    encoder: Encoder

    def inputs(self, rows: np.ndarray, present: np.ndarray | None = None) -> tuple[Tensor, Tensor]:
        """ECG mV `[n, L, T]` and lead mask `[n, L]`; `present` bool `[n, 12]` where not all are."""
        present = self.present[rows] if present is None else present
        store = self.store
        return to_encoder_input(store.ecg(rows), present, store.sampling_rate, self.encoder)

    def varied(
        self, rows: np.ndarray, settings: FinetuneConfig, generator: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """The same as training sees them: some leads hidden, a part of the record."""
        present = self.present[rows]
        if settings.lead_dropout:
            present = drop_leads(present, settings.lead_dropout, generator)
        ecg, mask = self.inputs(rows, present)
        if settings.crop:
            ecg = crop(ecg, round(settings.crop * self.encoder.sampling_rate), generator)
        return ecg, mask


def drop_leads(present: np.ndarray, chance: float, generator: np.random.Generator) -> np.ndarray:
    """Hide each lead of bool `[n, 12]` with this chance; a record that lost all keeps all."""
    kept = present & (generator.random(present.shape) >= chance)
    lost = ~kept.any(axis=1)
    kept[lost] = present[lost]
    return kept


def crop(ecg: Tensor, samples: int, generator: np.random.Generator) -> Tensor:
    """A random part of each record: `[n, L, T]` -> `[n, L, samples]`; shorter ones whole."""
    spare = ecg.shape[-1] - samples
    if spare <= 0:
        return ecg
    starts = torch.from_numpy(generator.integers(spare + 1, size=len(ecg)))
    places = starts[:, None, None] + torch.arange(samples)
    return ecg.gather(2, places.expand(-1, ecg.shape[1], -1))


@dataclass(frozen=True)
class Learnt:
    """What the loop leaves beside the weights of the chosen epoch."""

    epoch: int  # chosen, from 1
    curve: pd.DataFrame  # epoch, loss, val_macro_auc, lr (the last step's), seconds (since start)
    records_per_s: float  # of training alone
    parameters: int  # numbers that learnt


def learn(
    network: Classifier,
    examples: Examples,
    train: np.ndarray,
    val: np.ndarray,
    settings: FinetuneConfig,
    seed: int,
    progress: bool,
) -> Learnt:
    """Train on rows `train`; the network is left with the weights of its best epoch on `val`.

    Best: the highest macro AUC, the earlier epoch if tied. Raises DBetaError when the loss is no
    longer a number.
    """
    steps = math.ceil(len(train) / settings.batch_size)
    optimizer, schedule = _optimizer(network, settings, steps)
    best, chosen, kept, rows, busy = -math.inf, 0, {}, [], 0.0
    started = time.perf_counter()
    with seeded(seed, "finetune-dropout", device_of(network)), _bar(settings, progress) as bar:
        for epoch in range(1, settings.epochs + 1):
            begun = time.perf_counter()
            order = rng(seed, "finetune-order", epoch).permutation(train)
            generator = rng(seed, "finetune-variation", epoch)
            batches = np.array_split(order, steps)
            loss, rate = _epoch(
                network, examples, batches, settings, generator, optimizer, schedule
            )
            busy += time.perf_counter() - begun
            auc = float(macro_auc(examples.y[val], logits(network, examples, val)))
            now = time.perf_counter() - started
            rows.append((epoch, loss, auc, rate, now))
            if auc > best:
                best, chosen, kept = auc, epoch, _copy(network)
            bar.set_postfix(loss=f"{loss:.3f}", val_auc=f"{auc:.3f}")
            bar.update()
            if settings.patience and epoch - chosen >= settings.patience:
                break
    network.load_state_dict(kept)
    curve = pd.DataFrame(rows, columns=["epoch", "loss", "val_macro_auc", "lr", "seconds"])
    learning = sum(p.numel() for p in network.parameters() if p.grad is not None)
    return Learnt(chosen, curve, len(curve) * len(train) / busy, learning)


def logits(network: Classifier, examples: Examples, rows: np.ndarray) -> np.ndarray:
    """float32 `[n, K]` of rows, in evaluation mode and without gradients."""
    device = device_of(network)
    parts = [rows[start : start + EVALUATED] for start in range(0, len(rows), EVALUATED)]
    with evaluating(network):
        found = [
            network(*(tensor.to(device) for tensor in examples.inputs(part))).float().cpu()
            for part in parts
        ]
    return torch.cat(found).numpy()


@contextmanager
def seeded(seed: int, purpose: str, device: torch.device) -> Iterator[None]:
    """Torch's random numbers from this seed and purpose; the global state before comes back."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int_seed(seed, purpose))
        yield


def _epoch(
    network: Classifier,
    examples: Examples,
    batches: Sequence[np.ndarray],
    settings: FinetuneConfig,
    generator: np.random.Generator,
    optimizer: torch.optim.Optimizer,
    schedule: LRScheduler | None,
) -> tuple[float, float]:
    """One pass over the batches; the mean loss over records, and the last step's rate."""
    device, total = device_of(network), 0.0
    network.train()
    for rows in batches:
        ecg, mask = examples.varied(rows, settings, generator)
        y = torch.from_numpy(examples.y[rows].astype(np.float32))
        found = network(ecg.to(device), mask.to(device))
        loss = F.binary_cross_entropy_with_logits(found, y.to(device))
        optimizer.zero_grad()
        loss.backward()
        if settings.clip_norm:
            nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm)
        optimizer.step()
        rate = optimizer.param_groups[0]["lr"]
        if schedule is not None:
            schedule.step()
        total += len(rows) * float(loss.detach())
    mean = total / sum(map(len, batches))
    if not math.isfinite(mean):
        raise DBetaError(
            f"the loss of fine-tuning is {mean} at a learning rate of {settings.lr:g}; "
            "take a smaller one, or set clip_norm"
        )
    return mean, rate


def _optimizer(
    network: Classifier, settings: FinetuneConfig, steps: int
) -> tuple[torch.optim.Optimizer, LRScheduler | None]:
    """The optimizer, and a schedule to be stepped once per batch where the rate is not constant."""
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    rates = [settings.lr, settings.head_lr or settings.lr]
    groups = [
        {"params": [p for p in part.parameters() if p.requires_grad], "lr": rate}
        for part, rate in zip((network.path, network.head), rates)
    ]
    optimizer = kind(groups, lr=settings.lr, weight_decay=settings.weight_decay)
    total = settings.epochs * steps
    if settings.schedule == "constant" or total < 3:  # too short to rise and fall
        return optimizer, None
    # torch divides by warmup * total - 1
    rise = settings.warmup if abs(settings.warmup * total - 1) > 1e-6 else 1.5 / total
    return optimizer, OneCycleLR(
        optimizer, rates, total_steps=total, pct_start=rise, cycle_momentum=False
    )


def _copy(network: nn.Module) -> dict[str, Tensor]:
    """Weights and statistics as they are now."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def _bar(settings: FinetuneConfig, progress: bool):
    return tqdm(
        total=settings.epochs, desc="fine-tuning", unit="epoch", disable=not progress, leave=False
    )
