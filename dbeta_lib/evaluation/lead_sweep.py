"""One encoder asked with many sets of leads, each compared with all twelve on the same patients.

Three questions, since users differ. *Zero-shot* needs no label. The *linear probe* is fitted and
tested on features of the same leads: somebody who has these electrodes and collects labels with
them. The probe *fitted on 12 leads* is asked with fewer: somebody who takes over a finished
classifier. A lead that is not in the set is zeros and masked ("zeroed"); with I and II in it, the
other limb leads can be computed before the encoder sees them ("derived", `DerivedLeads`).

Features are cached per set of leads, so a set that was asked before costs no encoding. An encoder
of fewer leads is asked with those that it takes: "all twelve" are then all of its own, by name.
"""

import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.encoders import Encoder, check_encoder
from dbeta_lib.evaluation.features import extract
from dbeta_lib.evaluation.lead_subsets import DerivedLeads, implied, subset_key
from dbeta_lib.evaluation.metrics import (
    Interval,
    as_pair,
    interval,
    mean_over_classes,
    patient_weights,
    weighted_auc,
)
from dbeta_lib.evaluation.probe import SEEDS, Probe, linear_probe
from dbeta_lib.evaluation.records import from_gain, from_probe, from_zero_shot
from dbeta_lib.evaluation.results import Result, versions
from dbeta_lib.evaluation.zero_shot import ZeroShot, class_texts, score_classes, summarise
from dbeta_lib.leads import LEADS, subset_mask
from dbeta_lib.progress import tqdm

ZERO_SHOT, PROBE = "zero-shot", "linear probe"
ZEROED, DERIVED = "zeroed", "derived"
AGAINST = "12 leads"  # what a change is measured from, as result records call it
FITTED_ON = f"{PROBE} fitted on "  # the leads that all others are compared with
MOVED = FITTED_ON + AGAINST


@dataclass(frozen=True)
class Answer:
    """What one set of leads is worth, asked in one way."""

    subset: str  # the set's name
    leads: tuple[str, ...]
    protocol: str  # ZERO_SHOT, PROBE or MOVED (of an encoder of fewer leads: FITTED_ON and these)
    filling: str  # ZEROED or DERIVED
    measured: ZeroShot | Probe
    seconds: float  # of the set: its features (computed or read) and all that was asked of them
    resampled: np.ndarray = field(repr=False)  # AUC [1 + B, K]: as it is, then of B resamples
    change: Interval | None = None  # macro AUC minus that of 12 leads; None for these themselves
    against: str = AGAINST  # what the change is from: the names of the leads where they are fewer


def sweep(
    encoder: Encoder,
    store,
    task: str,
    subsets: Mapping[str, Sequence[str]],
    *,
    prompts: Mapping[str, Sequence[str]] | None = None,
    probe: bool = True,
    derived: bool = False,
    fraction: float | int = 1.0,
    seeds: Iterable[int] = SEEDS,
    cache_dir: Path | str | None = None,
    resamples: int = 1000,
    progress: bool = True,
) -> list[Answer]:
    """Zero-shot (with `prompts`) and probes (with `probe`) for every set of leads, 12 leads first.

    `subsets`: leads by name, as `lead_subsets.subsets` gives them, all twelve among them.
    `derived` asks the sets that have I and II once more, the other limb leads computed.
    `fraction` and `seeds`: share of labels and draws of the probe, as in `linear_probe`. Without
    the probe only the labelled test rows are encoded. Every change is paired: the same resampled
    test patients with the set and with 12 leads. Of an encoder that takes fewer leads only these
    are asked, all of them first; sets that then say nothing new are left out, with a warning.
    Raises UsageError where nothing is asked or no set has all twelve; else as the parts do.
    """
    check_encoder(encoder)
    subsets, whole = _taken(subsets, encoder)
    first = next(iter(subsets))
    if prompts is None and not probe:
        raise UsageError("a sweep that asks nothing; give prompts, or probe=True")
    test = np.flatnonzero(store.labels_valid(task) & (store.records["split"] == "test").to_numpy())
    rows = np.arange(len(store)) if probe else test
    plan = [
        (name, tuple(leads), filling)
        for name, leads in subsets.items()
        for filling in (ZEROED, *([DERIVED] if derived and _derivable(leads, encoder) else []))
    ]
    draws = {"fractions": [fraction], "seeds": tuple(seeds), "resamples": resamples}
    patients = store.records["patient_id"].to_numpy()[test]
    weights = patient_weights(patients, resamples, seed=0)
    weights = np.concatenate([np.ones((1, len(test))), weights])  # row 0: the patients as they are
    answers: list[Answer] = []
    twelve, base, moved = None, {}, FITTED_ON + whole
    for name, leads, filling in tqdm(plan, desc="sets of leads", disable=not progress, leave=False):
        start = time.perf_counter()
        asked = DerivedLeads(encoder) if filling == DERIVED else encoder
        x = extract(asked, store, rows, cache_dir, subset_mask(leads), progress=False)
        twelve = x if twelve is None else twelve
        found = {}
        if prompts is not None:
            found[ZERO_SHOT] = _zero_shot(encoder, x[np.isin(rows, test)], store, task, test,
                                          prompts, resamples)  # fmt: skip
        if probe:
            found |= _probes(x, twelve, store, task, draws, moved)
        seconds = time.perf_counter() - start
        auc = {protocol: _class_auc(measured, weights) for protocol, measured in found.items()}
        base = base or {**auc, moved: auc.get(PROBE)}
        for protocol, measured in found.items():
            lost = None if name == first else _change(measured, auc[protocol], base[protocol])
            answers.append(
                Answer(
                    name, leads, protocol, filling, measured, seconds, auc[protocol], lost, whole
                )
            )
    return answers


def _taken(
    subsets: Mapping[str, Sequence[str]], encoder: Encoder
) -> tuple[dict[str, tuple[str, ...]], str]:
    """The sets as this encoder can be asked, all of its leads first, and the name of these."""
    everything = next((name for name, its in subsets.items() if set(its) == set(LEADS)), None)
    if everything is None:
        raise UsageError("a sweep needs the set of all 12 leads, which the others are compared to")
    own = _named(encoder.leads)
    if len(own) == len(LEADS):
        return {everything: LEADS, **{name: tuple(its) for name, its in subsets.items()}}, AGAINST
    whole = " ".join(own)
    kept, left = {whole: own}, []
    for name, leads in subsets.items():
        taken = tuple(lead for lead in _named(leads) if lead in own)
        if taken and taken not in kept.values():
            kept[name if len(taken) == len(leads) else " ".join(taken)] = taken
        elif name != everything:
            left.append(name)
    if left:
        warnings.warn(
            f"this encoder takes only {', '.join(own)}; left out, since they hold none of these or "
            f"the same as another set: {', '.join(left)}",
            stacklevel=3,
        )
    return kept, whole


def _named(leads: Sequence[str]) -> tuple[str, ...]:
    """The leads in the order of `LEADS`. Raises UsageError for an unknown one."""
    return tuple(lead for lead, asked in zip(LEADS, subset_mask(list(leads))) if asked)


def _derivable(leads: Sequence[str], encoder: Encoder) -> bool:
    """Whether I and II in this set imply a lead that the encoder takes."""
    return bool(set(implied(leads)) & set(_named(encoder.leads)))


def _zero_shot(model, ecg: np.ndarray, store, task: str, rows, prompts, resamples: int) -> ZeroShot:
    """Scores of the rows whose features `[n, D]` are given."""
    labels = store.labels(task)
    classes = tuple(map(str, labels.columns))
    scores = score_classes(model, ecg, class_texts(classes, prompts))
    patients = store.records["patient_id"].to_numpy()[rows]
    return summarise(task, classes, rows, labels.to_numpy()[rows], scores, patients, resamples)


def _probes(
    x: np.ndarray, twelve: np.ndarray, store, task: str, draws: Mapping[str, Any], moved: str
) -> Iterator[tuple[str, Probe]]:
    """The probe on features `[N, D]` of a set and, unless it is the 12 leads, theirs asked with it.

    The probe fitted on 12 leads also takes its C by the validation patients' 12 leads.
    """
    about = {
        "labels": store.labels(task), "splits": store.records["split"],
        "patients": store.records["patient_id"], "valid": store.labels_valid(task),
        "record_ids": store.records["record_id"], "progress": False, **draws,
    }  # fmt: skip
    yield PROBE, linear_probe(x, **about)[0]
    if x is not twelve:
        test = (store.records["split"] == "test").to_numpy()
        yield moved, linear_probe(np.where(test[:, None], x, twelve), **about)[0]


def _class_auc(measured: ZeroShot | Probe, weights: np.ndarray) -> np.ndarray:
    """AUC of each class under each row of weights, `[B, K]`; the mean over a probe's draws."""
    scores = measured.scores if measured.scores.ndim == 3 else measured.scores[None]
    pairs = (as_pair(measured.y, draw) for draw in scores)
    return np.mean([weighted_auc(*pair, weights) for pair in pairs], axis=0)


def _change(measured: ZeroShot | Probe, auc: np.ndarray, base: np.ndarray) -> Interval:
    """Macro AUC minus that of the 12 leads, resample by resample: `metrics.paired_bootstrap`."""
    lost = mean_over_classes(auc) - mean_over_classes(base)
    about = measured.interval
    return interval(lost[0], lost[1:], rows=about.rows, patients=about.patients)


def table(answers: Iterable[Answer]) -> pd.DataFrame:
    """A row per answer: leads (name of the set), n_leads, protocol, filling, value, low, high,
    change, change_low, change_high (NaN for the 12 leads) and n (test ECGs)."""
    rows = []
    for one in answers:
        found, lost = one.measured.interval, one.change
        rows.append(
            {"leads": one.subset, "n_leads": len(one.leads), "protocol": one.protocol,
             "filling": one.filling, "value": found.value, "low": found.low, "high": found.high,
             "change": lost.value if lost else np.nan, "change_low": lost.low if lost else np.nan,
             "change_high": lost.high if lost else np.nan, "n": found.rows}
        )  # fmt: skip
    return pd.DataFrame(rows)


def by_class(answers: Iterable[Answer]) -> pd.DataFrame:
    """Which class needs which lead: a row per set and class, for answers of one protocol.

    Columns: class, leads, n_pos, auc, and its difference from the 12 leads (which come first in
    `answers`) with its paired interval: change, change_low, change_high, NaN for the 12 themselves.
    """
    parts, whole = [], None
    for one in answers:
        whole = one.resampled if whole is None else whole
        moved = [interval(d[0], d[1:]) for d in (one.resampled - whole).T]
        parts.append(pd.DataFrame({
            "class": one.measured.classes, "leads": one.subset,
            "n_pos": one.measured.y.sum(axis=0), "auc": one.resampled[0],
            "change": [i.value for i in moved], "change_low": [i.low for i in moved],
            "change_high": [i.high for i in moved],
        }))  # fmt: skip
    parts[0][["change", "change_low", "change_high"]] = np.nan
    return pd.concat(parts, ignore_index=True)


def results_of(answers: Iterable[Answer], words: str = "", **facts: Any) -> list[Result]:
    """Result records of the answers, each followed by that of its change against 12 leads.

    `words` names the prompts, as "name en, 1a2b3c4d"; `facts` are further fields of `Result`
    (`records.encoder_facts` of the encoder itself, also for derived leads). The variant has what
    else sets an answer apart: "derived leads", "fitted on 12 leads" (or on the leads there are).
    """
    kept, facts = [], {"versions": versions(), **facts}
    for one in answers:
        apart = [f"{DERIVED} leads"] * (one.filling == DERIVED)
        apart += [f"fitted on {one.against}"] * one.protocol.startswith(FITTED_ON)
        its = {**facts, "lead_subset": subset_key(one.leads), "wall_time_s": one.seconds}
        if one.protocol == ZERO_SHOT:
            style, _, digest = words.rpartition(", ")
            its["variant"] = ", ".join(part for part in (style, *apart, digest) if part)
            if "provenance" in its:  # no probe is fitted, so none of its training records counts
                its["provenance"] = replace(its["provenance"], train_reports_seen=False)
            kept.append(from_zero_shot(one.measured, **its))
        else:
            its["variant"] = ", ".join(apart)
            kept.append(from_probe(one.measured, **its))
        if one.change is not None:
            kept.append(_change_record(one, its))
    return kept


def _change_record(one: Answer, facts: dict[str, Any]) -> Result:
    if one.protocol != ZERO_SHOT:
        return from_gain(one.change, one.measured, one.against, **facts)
    change = {"value": one.change.value, "low": one.change.low, "high": one.change.high}
    gain = {"metric": "macro_auc_gain", "against": one.against, "per_class": {}}
    return from_zero_shot(one.measured, **facts, **gain, **change)
