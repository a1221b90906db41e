"""MERL's linear probe on cached features, as its code has it: for comparison with printed numbers.

Most linear probes printed for these data sets follow `finetune/main_single.py` of MERL (Liu et al.,
ICML 2024, github.com/cheliu-computation/MERL-ICML2024): one linear layer on features as they are,
binary cross-entropy on its logits, Adam (rate 1e-3, weight decay 1e-4), batches of 16, 100 epochs,
and its own draw of 1 or 10 % of the labels. Two habits of that code are kept, under their names:

- *The collapse.* The learning rate should fall tenfold at the 40th epoch. Its scheduler is stepped
  after every batch and once more per epoch, so that the rate falls after about 40 batches, in the
  first epoch where there are many labels. `collapse=False` has the schedule that was meant.
- *The best test epoch.* The code prints the highest test AUC of the 100 epochs. The test patients
  thus choose what they judge. Here that number stands beside the honest one, the test AUC at the
  epoch of the best validation AUC.

What MERL's code does to the network while it probes is not here, since features are cached: its
batch normalisation goes on learning. `probe.linear_probe` is the kit's own protocol; this one is
only for numbers beside published ones.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from dbeta_lib.data import label_subsets
from dbeta_lib.data.splits import check_disjoint
from dbeta_lib.data.store import SPLITS
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.evaluation.merl_head import BATCH, EPOCHS, train_heads
from dbeta_lib.evaluation.metrics import (
    auc_per_class,
    bootstrap,
    both_values,
    macro,
    mean_over_classes,
)
from dbeta_lib.evaluation.probe import Probe
from dbeta_lib.evaluation.records import from_probe
from dbeta_lib.evaluation.results import Result
from dbeta_lib.progress import tqdm

SELECTED = "linear probe, MERL's recipe, validation-selected"
BEST_TEST = "linear probe, MERL's recipe, best test epoch"
PERCENTS = (1, 10, 100)


@dataclass(frozen=True)
class MerlProbe:
    """MERL's recipe at one share of labels, read in two ways.

    In both probes `chosen` is the epoch of each seed (from 1), and `empty` the classes of which the
    draw has one value only. They keep what the untrained direction gives, as in MERL's code.
    """

    percent: int  # of MERL's list of training records (or of the labelled training rows)
    selected: Probe  # test scores at the epoch of the best validation AUC
    best_test: Probe  # test scores at the epoch of the best test AUC: flatters, see above
    curve: pd.DataFrame = field(repr=False)  # seed, epoch, val, test: macro AUC
    absent: tuple[str, ...]  # drawn records that are no labelled training row of the store
    variant: str  # what differs from MERL's code, in words; "" where nothing does

    def results(self, **facts: Any) -> list[Result]:
        """Both readings as result records, the honest one first; `facts` as in `from_probe`."""
        both = ((self.selected, SELECTED), (self.best_test, BEST_TEST))
        return [
            from_probe(one, **{"variant": self.variant, **facts, "protocol": protocol})
            for one, protocol in both
        ]

    def __str__(self) -> str:
        text = (
            f"{self.percent} % of labels ({self.selected.n_train:,} records): "
            f"{self.selected.interval} at the best validation epoch, "
            f"{self.best_test.interval} at the best test epoch"
        )
        return text + (f"; {len(self.absent):,} drawn records are not here" * bool(self.absent))


def merl_probe(
    features: np.ndarray,
    labels: pd.DataFrame,
    splits: Sequence[str],
    percents: Iterable[int] = PERCENTS,
    seeds: Iterable[int] = (42,),
    *,
    patients: Sequence,
    valid: np.ndarray | None = None,
    records: Sequence[str] | None = None,
    train_list: Sequence[str] | None = None,
    collapse: bool = True,
    batch_size: int = BATCH,
    epochs: int = EPOCHS,
    resamples: int = 1000,
    progress: bool = True,
) -> list[MerlProbe]:
    """MERL's recipe on features `[N, D]` and labels `[N, K]`, rows aligned; one per percentage.

    `splits`, `patients`, `valid` as in `linear_probe`. Each seed is one run: its initial weights
    and order of batches; all runs have the same draw of rows, as MERL has one (it runs seed 42).
    `train_list`: the records of the published train list in its order, from which MERL draws, and
    `records` what that list calls each row; drawn records that the store lacks are named in the
    result. Without it the same rule draws from the labelled training rows, in their order.
    `resamples`: of the test patients, for the intervals.
    Raises UsageError for lengths that differ, features that are not finite or a percentage that is
    none, DBetaError for a patient on both sides or a draw of which the store has no record.
    """
    seeds, percents = tuple(seeds), list(percents)
    if not seeds or not percents:
        raise UsageError("a probe needs at least one percentage and one seed")
    if min(batch_size, epochs) < 1:
        raise UsageError(f"batch_size={batch_size}, epochs={epochs}: give whole numbers from 1")
    data = _Data.of(features, labels, splits, patients, valid)
    draws = [_draw(data, percent, records, train_list) for percent in percents]
    variant = _variant(collapse, batch_size, epochs, train_list is not None)
    found = []
    bar = tqdm(total=len(draws) * epochs, desc="MERL's recipe", unit="epoch", leave=False,
               disable=not progress)  # fmt: skip
    with bar:
        for percent, (rows, absent) in zip(percents, draws, strict=True):
            y = data.y[rows].astype(np.float32)
            steps = train_heads(
                data.x[rows], y, seeds, collapse=collapse, batch_size=batch_size, epochs=epochs
            )
            heads, curve = [], []
            for head in steps:
                heads.append(head)
                curve.append([data.macro_auc(split, head) for split in ("val", "test")])
                bar.update()
            auc = np.stack(curve, axis=1)  # [val and test, epochs, seeds]
            both = [
                _at(data, np.stack(heads), _best(values), rows, percent, seeds, resamples)
                for values in auc
            ]
            found.append(MerlProbe(percent, *both, _curve(seeds, *auc), absent, variant))
    return found


@dataclass(frozen=True)
class _Data:
    """Features as they are, float32, with labels and the rows of the three splits."""

    x: np.ndarray
    y: np.ndarray
    rows: dict[str, np.ndarray]
    patients: np.ndarray
    classes: tuple[str, ...]

    @classmethod
    def of(cls, features, labels, splits, patients, valid) -> "_Data":
        x, splits, patients = np.asarray(features), np.asarray(splits), np.asarray(patients)
        if len({len(x), len(labels), len(splits), len(patients)}) != 1:
            raise UsageError(
                f"{len(x)} features, {len(labels)} labels, {len(splits)} splits and "
                f"{len(patients)} patients must be of one store, row by row"
            )
        if not np.isfinite(x).all():
            raise UsageError("features hold NaN or infinity; extract them again")
        known = np.isin(splits, SPLITS)
        check_disjoint(patients[known], splits[known])
        keep = np.ones(len(x), bool) if valid is None else np.asarray(valid, bool)
        rows = {name: np.flatnonzero(keep & (splits == name)) for name in SPLITS}
        for name in SPLITS:
            if not len(rows[name]):
                raise UsageError(f"no labelled row is in the split '{name}', which a probe needs")
        y = labels.to_numpy().astype(np.int8)
        return cls(x.astype(np.float32), y, rows, patients, tuple(map(str, labels.columns)))

    def scores(self, split: str, head: np.ndarray) -> np.ndarray:
        """Logits `[S, n, K]` of heads `[S, D + 1, K]`."""
        return self.x[self.rows[split]] @ head[:, :-1] + head[:, -1:]

    def macro_auc(self, split: str, head: np.ndarray) -> np.ndarray:
        """Macro AUC of each head, `[S]`; NaN where no class has both values."""
        y = self.y[self.rows[split]]
        flat = self.scores(split, head).transpose(1, 0, 2).reshape(len(y), -1)
        per_class = auc_per_class(np.tile(y, len(head)), flat)
        return mean_over_classes(per_class.reshape(len(head), -1))


def _draw(
    data: _Data, percent: int, records: Sequence[str] | None, train_list: Sequence[str] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Rows of MERL's draw, and the drawn records that are no labelled training row."""
    train = data.rows["train"]
    if train_list is None:
        return train[label_subsets.merl(len(train), percent)], ()
    if records is None or len(records) != len(data.x):
        raise UsageError("a train list needs `records`: what it calls each row, one name per row")
    listed = np.asarray(train_list, dtype=str)
    drawn = listed[label_subsets.merl(len(listed), percent)]
    names = np.asarray(records, dtype=str)[train]
    rows = train[np.isin(names, drawn)]
    if not len(rows):
        raise DBetaError(
            f"none of the {len(drawn)} records that MERL draws ({drawn[0]}, ...) is a labelled "
            "training row here; give the train list of this data set, or none"
        )
    return rows, tuple(drawn[~np.isin(drawn, names)].tolist())


def _best(auc: np.ndarray) -> np.ndarray:
    """Index of the epoch with the highest AUC of each seed, `[epochs, S]` -> `[S]`, first if tied.

    The first epoch where no class has an AUC.
    """
    return np.argmax(np.nan_to_num(np.round(auc, 12), nan=-1.0), axis=0)


def _at(
    data: _Data,
    heads: np.ndarray,
    epoch: np.ndarray,
    rows: np.ndarray,
    percent: int,
    seeds: tuple[int, ...],
    resamples: int,
) -> Probe:
    """The probe whose seed s has the weights after epoch `epoch[s]`; heads `[epochs, S, ...]`."""
    scores = data.scores("test", heads[epoch, np.arange(len(seeds))])
    test = data.rows["test"]
    y, patients = data.y[test], data.patients[test]
    usable = both_values(data.y[rows])
    per_seed = [auc_per_class(y, one) for one in scores]
    return Probe(
        fraction=percent / 100,
        n_train=len(rows),
        n_labelled=len(data.rows["train"]),
        n_test=len(test),
        seeds=seeds,
        chosen=tuple(float(e + 1) for e in epoch),
        empty=(tuple(c for c, ok in zip(data.classes, usable, strict=True) if not ok),)
        * len(seeds),
        classes=data.classes,
        y=y,
        scores=scores,
        patients=patients,
        draws=tuple(macro(one).value for one in per_seed),
        macro=macro(np.mean(per_seed, axis=0), data.classes),
        interval=bootstrap(y, scores, patients, resamples),
    )


def _curve(seeds: Sequence[int], val: np.ndarray, test: np.ndarray) -> pd.DataFrame:
    """Macro AUC after every epoch, from `[epochs, S]` each."""
    epochs = np.arange(1, len(val) + 1)
    table = {"seed": np.tile(seeds, len(val)), "epoch": np.repeat(epochs, len(seeds))}
    return pd.DataFrame({**table, "val": val.ravel(), "test": test.ravel()})


def _variant(collapse: bool, batch_size: int, epochs: int, is_listed: bool) -> str:
    """What a run does otherwise than MERL's code, for the record."""
    told = (
        ("draw from this store's rows", not is_listed),
        ("rate without the collapse", not collapse),
        (f"batch {batch_size}", batch_size != BATCH),
        (f"{epochs} epochs", epochs != EPOCHS),
    )
    return ", ".join(words for words, differs in told if differs)
