"""Result records: one JSON per experiment, the only thing that tables, figures and prose read.

A record says what was computed (encoder, weights, switches, data, task, protocol, share of labels,
draws, leads), what came out (value, interval, rows, classes left out), with which versions and
commit, and what pre-training had seen. The same question about the same store has the same file
name, so a rerun (other draws, other weights, other words in the prompts) replaces its record;
tables sort into in-domain and out-of-domain by provenance.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import dbeta_lib
from dbeta_lib.code_commit import running_commit
from dbeta_lib.errors import DBetaError, nearest
from dbeta_lib.evaluation.provenance import READS_REPORT, UNKNOWN, Provenance  # noqa: F401
from dbeta_lib.files import read_json, sha256_bytes, write_json

FORMAT = 1
DOMAINS = ("in-domain", "out-of-domain", "not known", "untrained")  # in the order of tables
LIBRARIES = ("numpy", "scipy", "pandas", "torch", "transformers", "scikit-learn")
_NAMELESS = {UNKNOWN, "another"}  # earlier records said "another store <fingerprint>"


@dataclass(frozen=True)
class Result:
    """One experiment. Fields without a default must be given; empty means "does not apply"."""

    encoder: str  # what a table calls it: "D-BETA mini", "random", "heart rate"
    data: str  # name of the store
    store_fingerprint: str
    task: str
    protocol: str  # "linear probe", "zero-shot", ...
    metric: str  # "macro_auc", "macro_auc_gain", ...
    value: float
    low: float
    high: float
    n: int  # rows evaluated
    weights_hash: str = ""
    config_hash: str = ""
    switches: str = ""
    profile: str = ""
    pretraining_seed: int | None = None
    against: str = ""  # the encoder subtracted, where the metric is a gain
    variant: str = ""  # what else is asked: style and languages of the prompts, then their hash
    label_fraction: float | None = None  # of the labelled training rows
    n_train: int | None = None
    seeds: tuple[int, ...] = ()  # one per draw of the training rows
    sd: float | None = None  # over those draws
    lead_subset: str = "12"
    level: float = 0.95  # of the interval
    resamples: int = 0
    patients: int | None = None
    k_used: int | None = None
    k: int | None = None
    excluded_classes: tuple[str, ...] = ()  # with one value only among the evaluated rows
    per_class: dict[str, dict[str, float | None]] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)
    versions: dict[str, str] = field(default_factory=lambda: versions())
    wall_time_s: float | None = None  # of the call that measured it, with all that it measured
    date: str = ""  # ISO day on which it was computed
    # What splits and intervals keep together: "recording" where a data set names no patients, so
    # that two recordings of one may stand in two splits, and the interval is too narrow.
    split_by: str = "patient"
    # Of the code that computed it, with its changed files said; "" in records of before the field.
    commit: str = field(default_factory=running_commit)
    format: int = FORMAT

    @property
    def domain(self) -> str:
        """One of `DOMAINS`. In-domain: pre-training read a store of this name, or its recordings.

        "untrained" if it read none; "not known" where a store has no name, or may hold the same
        recordings, so that nothing is called out-of-domain without evidence.
        """
        if not self.provenance.stores:
            return "untrained"
        names = {store.split()[0] for store in self.provenance.stores}
        seen = self.provenance.signals_seen
        if self.data in names or seen:
            return "in-domain"
        return "not known" if names & _NAMELESS or seen is None else "out-of-domain"

    @property
    def file_name(self) -> str:
        """The same for the same question about the same store, whatever came out of it."""
        key = [_plain(value) for value in (*self.question, self.store_fingerprint)]
        words = [self.encoder, self.data, self.task, self.protocol, self.metric]
        if self.label_fraction is not None:
            words.append(f"{100 * self.label_fraction:g}pc")
        words.append(f"{self.lead_subset}leads")
        slug = re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-")
        return f"{slug[:120]}-{sha256_bytes(repr(key).encode())[:8]}.json"

    @property
    def question(self) -> tuple:
        """What was asked, whichever weights, store, draws and words of the prompts answered it."""
        asked = {name: getattr(self, name) for name in _QUESTION}
        return tuple({**asked, "variant": without_digest(self.variant)}.values())

    def save(self, folder: Path | str) -> Path:
        """Write the record, whole or not at all, under its own name in `folder`."""
        path = Path(folder) / self.file_name
        _check(asdict(self), path)
        write_json(path, _plain(asdict(self)))
        return path


_QUESTION = (
    "encoder", "data", "task", "protocol", "metric", "switches", "profile", "pretraining_seed",
    "against", "variant", "label_fraction", "lead_subset",
)  # fmt: skip
_DIGEST = re.compile(r",? \(?[0-9a-f]{8}\)?$")  # of the prompts, at the end of a variant
SPLIT_BY = ("patient", "recording")
_LATER = {"split_by": "patient", "commit": ""}  # meant where saved before the field was there
_REQUIRED = tuple(f.name for f in fields(Result))
_NUMBERS = ("value", "low", "high", "n", "level")
_IN_UNIT = ("macro_auc", "auc", "macro_average_precision", "macro_f1", "top1", "top5", "eer")


def without_digest(variant: str) -> str:
    """`"ensemble en, d9e80836"` -> `"ensemble en"`: what was asked, whatever its words were."""
    return _DIGEST.sub("", variant)


def versions() -> dict[str, str]:
    """Versions of this kit and of the libraries that decide numbers."""
    found = {"dbeta": dbeta_lib.__version__}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def load(path: Path | str) -> Result:
    """One record. Raises DBetaError naming the file and what is wrong with it."""
    values = read_json(path)
    if not isinstance(values, dict):
        raise DBetaError(f"{path} is no result record; delete it and run its notebook again")
    values = {**_LATER, **values}
    _check(values, Path(path))
    provenance = values["provenance"]
    for name in ("value", "low", "high"):
        values[name] = math.nan if values[name] is None else float(values[name])
    values["seeds"] = tuple(values["seeds"])
    values["excluded_classes"] = tuple(values["excluded_classes"])
    stores = tuple(provenance["stores"])
    values["provenance"] = Provenance(**{**provenance, "stores": stores})
    return Result(**values)


def load_all(folder: Path | str) -> pd.DataFrame:
    """All records of a folder, a row each in the order of file names; nested fields stay objects.

    Two columns are added: `domain` and `file`. An empty folder gives an empty frame with columns.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DBetaError(f"{folder} is not there; run a notebook that leaves results first")
    rows = []
    for path in sorted(folder.glob("*.json")):
        result = load(path)
        row = {f.name: getattr(result, f.name) for f in fields(result)}
        rows.append({**row, "domain": result.domain, "file": path.name})
    return pd.DataFrame(rows, columns=[*_REQUIRED, "domain", "file"])


def _check(values: Mapping[str, Any], path: Path) -> None:
    """Raise DBetaError where a record lacks a field, has an unknown one, or an impossible value."""
    remedy = "delete it and run its notebook again"
    for known, given, where in (
        (_REQUIRED, values, path),
        (tuple(f.name for f in fields(Provenance)), values.get("provenance", {}), path),
    ):
        if not isinstance(given, Mapping):
            raise DBetaError(f"{where}: provenance is no table of fields; {remedy}")
        absent = [name for name in known if name not in given]
        unknown = [name for name in given if name not in known]
        if absent:
            raise DBetaError(f"{where} has no field '{absent[0]}'; {remedy}")
        if unknown:
            near = nearest(unknown[0], known)
            raise DBetaError(f"{where} has an unknown field '{unknown[0]}'{near}; {remedy}")
    if values["format"] != FORMAT:
        raise DBetaError(f"{path} is of format {values['format']}, not {FORMAT}; {remedy}")
    for name in _NUMBERS:
        if values[name] is not None and not isinstance(values[name], int | float | np.number):
            raise DBetaError(f"{path}: {name} is {values[name]!r}, no number; {remedy}")
    for name in ("value", "low", "high"):
        number = values[name]
        known = number is not None and not math.isnan(number)
        if known and values["metric"] in _IN_UNIT and not 0 <= number <= 1:
            raise DBetaError(f"{path}: {name} is {number}, outside 0..1; {remedy}")
    for name in ("encoder", "data", "task", "protocol", "metric"):
        if not isinstance(values[name], str) or not values[name]:
            raise DBetaError(f"{path}: {name} is empty; {remedy}")
    if not isinstance(values["commit"], str):
        raise DBetaError(f"{path}: commit is {values['commit']!r}, no text; {remedy}")
    if values["split_by"] not in SPLIT_BY:
        raise DBetaError(
            f"{path}: split_by is {values['split_by']!r}, not patient or recording; {remedy}"
        )


def split_note(frame: pd.DataFrame) -> str:
    """What a reader must know where patients are not known: a sentence on records, "" if they are.

    `frame` as `load_all` gives it; one without the columns (other numbers than results) says "".
    """
    if not {"split_by", "data"} <= set(frame.columns):
        return ""
    names = frame.loc[frame["split_by"] == "recording", "data"].drop_duplicates()
    if names.empty:
        return ""
    return (
        f"The patients of {' and '.join(names)} are not known: splits and intervals there are by "
        "recording, and two of one patient may stand on both sides."
    )


def _plain(value: Any) -> Any:
    """Plain JSON values: NaN becomes null, tuples lists, numpy numbers Python's."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def table(frame: pd.DataFrame) -> str:
    """Markdown of results as `load_all` gives them: in-domain first, then by task and labels.

    Beneath stands `split_note`, where there is one.
    """
    if frame.empty:
        return "no results"
    frame = frame.assign(
        _domain=frame["domain"].map(DOMAINS.index), _labels=frame["label_fraction"].astype(float)
    ).sort_values(
        ["data", "task", "protocol", "metric", "_labels", "lead_subset", "_domain", "value"],
        ascending=[True] * 7 + [False],
        kind="stable",
    )
    heads = ["data", "task", "protocol", "labels", "leads", "encoder", "metric", "value [interval]",
             "sd over draws", "n", "classes", "pre-training"]  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in frame.to_dict("records")]
    return "\n".join([*lines, *(["", note] if (note := split_note(frame)) else [])])


def _cells(row: dict) -> list[str]:
    labels = "" if pd.isna(row["label_fraction"]) else f"{100 * row['label_fraction']:.3g} %"
    if labels and not pd.isna(row["n_train"]):
        labels += f" ({int(row['n_train'])})"
    classes = "" if pd.isna(row["k"]) else f"{int(row['k_used'])}/{int(row['k'])}"
    encoder = row["encoder"] + (f" - {row['against']}" if row["against"] else "")
    return [
        row["data"],
        row["task"],
        row["protocol"] + (f", {row['variant']}" if row["variant"] else ""),
        labels,
        row["lead_subset"],
        encoder,
        row["metric"],
        f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]",
        "" if row["sd"] is None or pd.isna(row["sd"]) else f"{row['sd']:.3f}",
        str(row["n"]),
        classes,
        _seen(row["domain"], row["provenance"]),
    ]


def _seen(domain: str, provenance: Provenance) -> str:
    """The domain, and what a reader must know about what pre-training had read."""
    told = [
        words
        for yes, words in (
            (provenance.signals_seen, "evaluated patients' ECGs seen"),
            (provenance.reports_seen, "evaluated patients' reports read"),
            (provenance.train_reports_seen, "reports of the probe's training records read"),
            (provenance.label_derived_reports, "reports made from labels"),
        )
        if yes
    ]
    return ", ".join([domain, *told])
