"""Is the synthetic cohort neither trivial nor unlearnable? Four answers on its held-out patients.

    python benchmarks/synthetic_difficulty.py --store runs/demo/stores/synthetic

heart rate alone (one feature per condition, direction chosen on the training rows; and as a curve),
a linear probe on random encoders, one on hand-made measurements, and a small convolutional network
trained on the training labels. Writes benchmarks/results/<day>-synthetic-difficulty.json. Wanted:
heart rate below 0.70, random encoders below 0.90, the network at 0.93 or more (macro AUC).
"""

import argparse
import datetime
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

from dbeta_lib import DBetaConfig
from dbeta_lib.data.store import SignalStore
from dbeta_lib.evaluation.baselines import HandMadeFeatures, heart_rate_features, random_encoder
from dbeta_lib.evaluation.features import extract
from dbeta_lib.evaluation.metrics import auc_per_class
from dbeta_lib.evaluation.probe import linear_probe
from dbeta_lib.evaluation.results import versions
from dbeta_lib.files import write_json
from dbeta_lib.leads import LEADS

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Measure and write."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--store", type=Path, required=True)
    options.add_argument("--random-seeds", type=int, default=3)
    options.add_argument("--epochs", type=int, default=12, help="of the network; 0 leaves it out")
    options.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    given = options.parse_args()
    store = SignalStore.open(given.store)
    labels = store.labels("conditions")
    answers = {"heart rate, one direction": heart_rate(store, labels)}
    curve = heart_rate_features(store.records["heart_rate"])
    answers["heart rate, any curve"] = probe(curve, store, labels, standardise=True)
    answers["hand-made features"] = probe(
        extract(HandMadeFeatures(100), store), store, labels, standardise=True
    )
    for seed in range(given.random_seeds):
        encoder = random_encoder(DBetaConfig.preset("mini"), seed)
        answers[f"random encoder, seed {seed}"] = probe(extract(encoder, store), store, labels)
    if given.epochs:
        answers["small network, all labels"] = network(store, labels, given.epochs)
    for name, per_class in answers.items():
        print(f"{name:28} {np.mean(list(per_class.values())):.3f}")
    day = datetime.date.today().isoformat()
    result = {
        "store_fingerprint": store.fingerprint,
        "rows": {split: len(store.rows(split)) for split in ("train", "val", "test")},
        "macro_auc": {k: round(float(np.mean(list(v.values()))), 4) for k, v in answers.items()},
        "auc": answers,
        "versions": versions(),
    }
    write_json(given.out / f"{day}-synthetic-difficulty.json", result)


def named(auc: np.ndarray, labels) -> dict[str, float]:
    """AUC by condition, rounded."""
    return {name: round(float(v), 4) for name, v in zip(labels.columns, auc, strict=True)}


def heart_rate(store: SignalStore, labels) -> dict[str, float]:
    """AUC of the rate itself on the test rows, upwards or downwards as the training rows say."""
    rate = store.records["heart_rate"].to_numpy()
    rate = np.repeat(rate[:, None], len(labels.columns), axis=1)
    y, train, test = labels.to_numpy(), store.rows("train"), store.rows("test")
    sign = np.sign(auc_per_class(y[train], rate[train]) - 0.5)
    return named(auc_per_class(y[test], (rate * sign)[test]), labels)


def probe(features: np.ndarray, store: SignalStore, labels, standardise=False) -> dict[str, float]:
    """AUC of the kit's linear probe with all labels."""
    found = linear_probe(
        features, labels, store.records["split"], (1.0,), (0,),
        patients=store.records["patient_id"], standardise=standardise, resamples=10, progress=False,
    )[0]  # fmt: skip
    return named(found.per_class()["auc"].to_numpy(), labels)


class Block(nn.Module):
    """Two convolutions with a short cut, half the length."""

    def __init__(self, inside: int, out: int):
        super().__init__()
        self.first = nn.Conv1d(inside, out, 7, 2, 3, bias=False)
        self.second = nn.Conv1d(out, out, 7, 1, 3, bias=False)
        self.short = nn.Conv1d(inside, out, 1, 2, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm1d(out), nn.BatchNorm1d(out)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[B, inside, T]` -> `[B, out, T / 2]`."""
        hidden = torch.relu(self.norms[0](self.first(x)))
        return torch.relu(self.norms[1](self.second(hidden)) + self.short(x))


class Network(nn.Module):
    """0.4 million parameters; mean and maximum over time go to one linear layer."""

    def __init__(self, classes: int):
        super().__init__()
        widths = (32, 48, 64, 96, 128)
        stem = [nn.Conv1d(len(LEADS), widths[0], 7, 2, 3), nn.BatchNorm1d(widths[0]), nn.ReLU()]
        blocks = [Block(a, b) for a, b in pairwise(widths)]
        self.body = nn.Sequential(*stem, *blocks)
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(2 * widths[-1], classes))

    def forward(self, ecg: torch.Tensor) -> torch.Tensor:
        """ecg mV `[B, 12, T]` -> logits `[B, classes]`; each lead is brought to one size first."""
        x = self.body(ecg / ecg.std(dim=2, keepdim=True).clamp(min=0.02))
        return self.head(torch.cat([x.mean(dim=2), x.amax(dim=2)], dim=1))


def network(store: SignalStore, labels, epochs: int) -> dict[str, float]:
    """AUC of a network trained on the training rows, random 9 s crops, no selection of any kind."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    train, test = store.rows("train"), store.rows("test")
    y = torch.tensor(labels.to_numpy(), dtype=torch.float32)
    model, steps, started = Network(y.shape[1]), len(train) // 64, time.monotonic()
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=epochs * steps)
    crop = 9 * store.sampling_rate
    for _ in range(epochs):
        order = rng.permutation(train)
        for step in range(steps):
            rows, start = order[step * 64 : step * 64 + 64], rng.integers(store.sampling_rate)
            ecg = torch.from_numpy(store.ecg(np.sort(rows))[:, :, start : start + crop])
            loss = nn.functional.binary_cross_entropy_with_logits(model(ecg), y[np.sort(rows)])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        scores = torch.cat([model(torch.from_numpy(store.ecg(part))) for part in
                            np.array_split(test, 8)])  # fmt: skip
    print(f"network: {time.monotonic() - started:.0f} s")
    return named(auc_per_class(labels.to_numpy()[test], scores.numpy()), labels)


if __name__ == "__main__":
    main()
