"""From a measurement to its result record: the facts about encoder, store and provenance.

A notebook measures, adds the facts, and saves:

    facts = dict(**encoder_facts(model), **store_facts(store), encoder="D-BETA mini", task="super")
    from_probe(probe, **facts, provenance=seen, wall_time_s=seconds).save(out / "results")
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from dbeta_lib.evaluation.encoders import weights_hash
from dbeta_lib.evaluation.lead_subsets import subset_key
from dbeta_lib.evaluation.metrics import Interval, macro
from dbeta_lib.evaluation.probe import Probe
from dbeta_lib.evaluation.results import Provenance, Result
from dbeta_lib.evaluation.thresholds import f1_at
from dbeta_lib.evaluation.zero_shot import ZeroShot

# The Challenge's collection holds these data sets again, under other names and rates.
OVERLAPPING = [{"cinc2021", name} for name in ("ptb-xl", "cpsc2018", "csn")]


def encoder_facts(encoder: object) -> dict[str, str]:
    """`weights_hash`, `config_hash`, `switches` and `lead_subset` of an encoder, if it has them.

    `lead_subset` names the leads that the encoder takes; where it was asked with fewer, name those
    instead: `encoder_facts(encoder) | {"lead_subset": subset_key(leads)}`.
    """
    config, leads = getattr(encoder, "config", None), tuple(getattr(encoder, "leads", ()))
    named = {"lead_subset": subset_key(leads)} if leads else {}
    return named | {
        "weights_hash": weights_hash(encoder),
        "config_hash": config.hash() if hasattr(config, "hash") else "",
        "switches": str(getattr(config, "switches", "")),
    }


def store_facts(store) -> dict[str, str]:
    """`data`, `store_fingerprint` and `split_by` of a signal store."""
    return {
        "data": store.meta["name"],
        "store_fingerprint": store.fingerprint,
        "split_by": "patient" if store.meta["patients_known"] else "recording",
    }


def provenance(
    store,
    evaluated: np.ndarray,
    pretrained: Sequence[tuple[Any, np.ndarray]] = (),
    train: np.ndarray | None = None,
    *,
    reports_read: bool = True,
    note: str = "",
) -> Provenance:
    """What pre-training had seen of the rows `evaluated` of `store`.

    `pretrained`: the stores that pre-training read, each with its rows; `train`: rows on which the
    probe is fitted; `reports_read` False for pre-training on signals alone. Within data sets of the
    same name patients and records are compared; between others recordings by their samples, and
    where two collections are known to share recordings (`OVERLAPPING`) and none is found, which
    another rate would hide, the answer is None, "not known".
    """
    signals = reports = train_reports = derived = hidden = False
    here, name = store.records, store.meta["name"]
    for other, rows in pretrained:
        derived |= reports_read and bool(other.reports_from_labels)
        seen = other.records.iloc[rows]
        told = seen[seen["report_id"] >= 0] if reports_read else seen.iloc[:0]
        is_same = other.meta["name"] == name
        whose, which = ("patient_id", "record_id") if is_same else ("signal_hash", "signal_hash")
        signals |= bool(here[whose].iloc[evaluated].isin(seen[whose]).any())
        reports |= bool(here[whose].iloc[evaluated].isin(told[whose]).any())
        if train is not None:
            train_reports |= bool(here[which].iloc[train].isin(told[which]).any())
        hidden |= not is_same and {name, other.meta["name"]} in OVERLAPPING
    if hidden:
        signals, reports, train_reports = (
            found or None for found in (signals, reports, train_reports)
        )
    names = tuple(f"{other.meta['name']} {other.fingerprint[:12]}" for other, _ in pretrained)
    return Provenance(names, signals, reports, train_reports, derived, note)


def from_probe(probe: Probe, **facts: Any) -> Result:
    """The record of a probe at one share of labels; `facts` are further fields of `Result`.

    `wall_time_s` among them: seconds of the call that measured, all its shares and the features.
    """
    share = probe.fraction
    if isinstance(share, int | np.integer):
        share = probe.n_train / probe.n_labelled
    table = probe.per_class()
    per_class = {
        name: {"auc": row["auc"], "positives": int(row["positives"])}
        for name, row in table.iterrows()
    }
    return _result(
        probe,
        {"protocol": "linear probe", **facts},
        label_fraction=float(share),
        n_train=probe.n_train,
        seeds=probe.seeds,
        sd=probe.sd,
        per_class=per_class,
    )


def f1_from_probe(probe: Probe, resamples: int = 1000, **facts: Any) -> Result:
    """The same probe's macro F1, each class cut where its F1 on validation is highest.

    Raises UsageError for a probe that kept no thresholds.
    """
    result = from_probe(probe, **{**facts, "metric": "macro_f1"})
    per_class = probe.f1()
    found, mean = probe.macro_f1(resamples), macro(per_class, probe.classes)
    draws = [macro(f1_at(probe.y, *one)).value for one in zip(probe.scores, probe.thresholds)]
    positives = probe.y.sum(axis=0)
    changed = {
        "value": found.value, "low": found.low, "high": found.high, "resamples": found.resamples,
        "sd": float(np.std(draws, ddof=1)) if len(draws) > 1 else float("nan"),
        "k_used": mean.k_used, "excluded_classes": mean.excluded,
        "per_class": {
            name: {"f1": f1, "positives": int(n)}
            for name, f1, n in zip(probe.classes, per_class, positives, strict=True)
        },
    }  # fmt: skip
    return Result(**{**vars(result), **changed})


def from_gain(gain: Interval, probe: Probe, against: str, **facts: Any) -> Result:
    """The record of a paired difference: `probe` is the one from which `against` is subtracted."""
    result = from_probe(probe, **{**facts, "metric": "macro_auc_gain", "against": against})
    changed = {"value": gain.value, "low": gain.low, "high": gain.high, "sd": None, "per_class": {}}
    return Result(**{**vars(result), **changed})


def from_zero_shot(measured: ZeroShot, **facts: Any) -> Result:
    """The record of a zero-shot measurement; `facts` are further fields of `Result`.

    `variant` among them should name the prompts, `wall_time_s` the seconds that it took.
    """
    per_class = {
        name: {"auc": i.value, "low": i.low, "high": i.high, "positives": int(positives)}
        for name, i, positives in zip(
            measured.classes, measured.per_class, measured.y.sum(axis=0), strict=True
        )
    }
    return _result(
        measured,
        {"protocol": "zero-shot", "task": measured.task, **facts},
        per_class=per_class,
    )


def _result(measured: Probe | ZeroShot, facts: dict[str, Any], **more: Any) -> Result:
    interval, mean = measured.interval, measured.macro
    fields = {
        "metric": "macro_auc",
        "value": interval.value,
        "low": interval.low,
        "high": interval.high,
        "level": interval.level,
        "resamples": interval.resamples,
        "n": interval.rows,
        "patients": interval.patients,
        "k_used": mean.k_used,
        "k": mean.k,
        "excluded_classes": mean.excluded,
        "date": datetime.now(UTC).date().isoformat(),
        **more,
    }
    return Result(**{**fields, **facts})
