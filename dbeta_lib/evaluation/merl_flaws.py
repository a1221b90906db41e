"""What three flaws of MERL's published files and code do to a number, as tables.

Each is verified in github.com/cheliu-computation/MERL-ICML2024 (Liu et al., ICML 2024) and stands
behind numbers that others compare with. Nothing here is on by default: the kit reads classes by
name, labels by whole acronyms, and chooses on validation alone.

- *Columns by position.* In the lists of PTB-XL's task sub, three classes stand in another order in
  train than in val and test. A reader by position scores three heads against other classes' labels.
- *Labels by substring.* CSN's labels were made by looking for an acronym inside the joined text, so
  that AF is also positive in every AFIB.
- *The learning rate and the epoch.* See `merl_probe`: the rate collapses after 40 batches, and the
  best test epoch is what is printed.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from dbeta_lib.data import csn
from dbeta_lib.data.store import SignalStore
from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.merl_probe import MerlProbe
from dbeta_lib.evaluation.metrics import (
    as_pair,
    auc_per_class,
    both_values,
    interval,
    mean_over_classes,
    patient_weights,
    weighted_auc,
)
from dbeta_lib.evaluation.probe import Probe, gain

# Task sub: the head trained on a class, and the class whose labels it is scored against.
SUB_BY_POSITION = {"AVB": "ISC", "RAO/RAE": "AVB", "ISC": "RAO/RAE"}
MEAN = "mean of all classes"
_SPAN = {"difference": "value", "low": "low", "high": "high"}


def read_by_position(
    labels: pd.DataFrame, splits: Sequence[str], by_position: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Labels `[N, K]` as a reader by position has them: those of val and test in other columns.

    Any probe on the result is scored as MERL's code scores it, choice of the epoch included.
    `by_position`: from `merl_splits.columns_as_read_by_position`; without it the published order of
    PTB-XL's sub. Raises UsageError for labels of other classes, or splits of another length.
    """
    splits = np.asarray(splits)
    if len(splits) != len(labels):
        raise UsageError(f"{len(splits)} splits are given for {len(labels)} rows of labels")
    out = labels.to_numpy(copy=True)
    for split in ("val", "test"):
        rows = splits == split
        out[rows] = out[rows][:, _columns(labels.columns, _pairs(by_position, split))]
    return pd.DataFrame(out, index=labels.index, columns=labels.columns)


def column_order_flaw(probe: Probe, by_position: pd.DataFrame | None = None) -> pd.DataFrame:
    """AUC of each class scored by name, and by position; the last row is their mean.

    Columns: class (of the head), scored against (by position), positives (of the class), by name,
    by position, difference. `probe`: any probe of the task, its test scores are used as they are;
    `by_position` as in `read_by_position`. A class with one value only has NaN and is left out of
    the mean. Raises UsageError for a probe of other classes.
    """
    columns = _columns(probe.classes, _pairs(by_position, "test"))
    by_name, by_place = (
        np.mean([auc_per_class(y, draw) for draw in probe.scores], axis=0)
        for y in (probe.y, probe.y[:, columns])
    )
    table = pd.DataFrame(
        {
            "class": probe.classes,
            "scored against": [probe.classes[k] for k in columns],
            "positives": probe.y.sum(axis=0),
            "by name": by_name,
            "by position": by_place,
        }
    )
    mean = {"class": MEAN, "scored against": "", "positives": probe.y.sum()}
    mean |= table[["by name", "by position"]].mean()
    table = pd.concat([table, pd.DataFrame([mean])], ignore_index=True)
    return table.assign(difference=table["by position"] - table["by name"])


def substring_flaw(labels: SignalStore | Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The classes of CSN that have false positives by substring, the most first.

    `labels` as in `csn.label_difference`, whose columns are kept; added are the share of false ones
    among the substring positives (0..1) and the acronyms that gave them. No row: no difference.
    """
    if isinstance(labels, SignalStore):
        labels = {task: labels.labels(task) for task in ("csn", "csn-merl")}
    table = csn.label_difference(labels)
    false = table["false positives by substring"]
    table["false share"] = false / table["substring positives"].where(false > 0)
    exact = labels["csn"]
    table["because of"] = [
        ", ".join(
            other for other in exact if name in other and name != other and exact[other].any()
        )
        for name in table["class"]
    ]
    order = (-false[false > 0]).sort_values(kind="stable").index
    return table.loc[order].reset_index(drop=True)


def substring_auc(
    store: SignalStore,
    rows: np.ndarray,
    scores: np.ndarray,
    classes: Sequence[str],
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """AUC of the same scores by CSN's exact labels and by MERL's substrings; last row: their mean.

    rows: of the store `[n]`; scores `[n, K]`, or `[S, n, K]` for the mean over S draws; classes:
    names of the K columns. `rows`, `scores` and `classes` of a `ZeroShot` fit as they are; those of
    a probe are the labelled test rows of its task. Columns: class, exact positives, substring
    positives, exact, substring (AUC), difference = substring minus exact with its paired interval
    over patients (low, high).

    Only rows that MERL keeps (one of its 38 classes is there) and classes with both values under
    both labelings count, so that the two means are over the same.
    Raises UsageError for shapes that do not fit or where no class can be compared.
    """
    rows, scores = np.asarray(rows), np.asarray(scores, dtype=np.float64)
    if scores.ndim not in (2, 3) or scores.shape[-2:] != (len(rows), len(classes)):
        raise UsageError(f"scores {scores.shape} do not fit {len(rows)} rows, {len(classes)} names")
    kept = store.labels_valid("csn-merl")[rows]
    merl = store.labels("csn-merl").iloc[rows[kept]]
    exact = store.labels("csn").iloc[rows[kept]].reindex(columns=merl.columns, fill_value=0)
    shown = [
        k for k, name in enumerate(classes)
        if name in merl and both_values(exact[name]) and both_values(merl[name])
    ]  # fmt: skip
    if not shown:
        raise UsageError("no class has both values under both labelings; give more rows of CSN")
    names = [str(classes[k]) for k in shown]
    draws = (scores if scores.ndim == 3 else scores[None])[:, kept][..., shown]
    pair = [frame[names].to_numpy().astype(bool) for frame in (exact, merl)]
    patients = store.records["patient_id"].to_numpy()[rows[kept]]
    weights = patient_weights(patients, resamples, seed)
    weights = np.concatenate([np.ones((1, len(patients))), weights])  # the rows as they are, first
    by_exact, by_merl = (
        np.mean([weighted_auc(*as_pair(y, draw), weights) for draw in draws], axis=0) for y in pair
    )
    change = by_merl - by_exact  # NaN where a resample lacks a value under either labeling
    change = np.column_stack([change, mean_over_classes(change)])
    spans = [interval(column[0], column[1:]) for column in change.T]
    table = pd.DataFrame(
        {
            "class": [*names, MEAN],
            "exact positives": [*pair[0].sum(axis=0), pair[0].sum()],
            "substring positives": [*pair[1].sum(axis=0), pair[1].sum()],
            "exact": [*by_exact[0], by_exact[0].mean()],
            "substring": [*by_merl[0], by_merl[0].mean()],
        }
    )
    return table.assign(**{n: [getattr(s, of) for s in spans] for n, of in _SPAN.items()})


def best_epoch_flaw(found: Iterable[MerlProbe], resamples: int = 1000) -> pd.DataFrame:
    """What choosing the epoch on the test patients adds, a row per share of labels.

    Columns: labels (%), n_train, epoch by val and by test (a median over seeds), validation-
    selected and best test epoch (macro AUC), inflation with its paired interval (low, high).
    The interval knows nothing of the choice: the inflation cannot be negative.
    """
    rows = []
    for one in found:
        more = gain(one.best_test, one.selected, resamples)
        rows.append(
            {
                "labels": one.percent,
                "n_train": one.selected.n_train,
                "epoch by val": np.median(one.selected.chosen),
                "epoch by test": np.median(one.best_test.chosen),
                "validation-selected": one.selected.interval.value,
                "best test epoch": one.best_test.interval.value,
                "inflation": more.value,
                "low": more.low,
                "high": more.high,
            }
        )
    return pd.DataFrame(rows)


def collapse_flaw(
    collapsed: Iterable[MerlProbe], steady: Iterable[MerlProbe], resamples: int = 1000
) -> pd.DataFrame:
    """What the collapse of the learning rate costs, a row per share of labels, validation-selected.

    `collapsed` and `steady`: of `merl_probe` with and without `collapse`, same task, shares and
    seeds. Columns: labels (%), n_train, collapsed, as meant (macro AUC), loss = as meant minus
    collapsed with its paired interval (low, high). Raises UsageError where they cannot be paired.
    """
    collapsed, steady = list(collapsed), list(steady)
    if len(collapsed) != len(steady):
        raise UsageError(f"{len(collapsed)} probes with the collapse, {len(steady)} without it")
    rows = []
    for flawed, meant in zip(collapsed, steady):
        less = gain(meant.selected, flawed.selected, resamples)
        rows.append(
            {
                "labels": flawed.percent,
                "n_train": flawed.selected.n_train,
                "collapsed": flawed.selected.interval.value,
                "as meant": meant.selected.interval.value,
                "loss": less.value,
                "low": less.low,
                "high": less.high,
            }
        )
    return pd.DataFrame(rows)


def _pairs(by_position: pd.DataFrame | None, split: str) -> dict[str, str]:
    """Class of each head -> class whose labels of `split` a reader by position scores it against.

    Classes that stay in their place may be left out.
    """
    if by_position is None:
        return SUB_BY_POSITION
    return dict(zip(by_position["train"], by_position[split]))


def _columns(classes: Sequence[str], pairs: Mapping[str, str]) -> list[int]:
    """For each class, the number of the class whose labels stand in its place.

    MERL's lists name the SCP codes without their underscore (AVB for _AVB), so both are read so.
    """
    place = {str(name).strip("_"): k for k, name in enumerate(classes)}
    pairs = {head.strip("_"): other.strip("_") for head, other in pairs.items()}
    if absent := sorted({*pairs, *pairs.values()} - set(place)):
        raise UsageError(
            f"the labels have no class {', '.join(absent)}; give those of the task whose lists "
            "were read, for PTB-XL the task sub"
        )
    return [place[pairs.get(name, name)] for name in place]
