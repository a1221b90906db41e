"""The synthetic cohort: 12-lead ECGs with reports and 18 conditions, for demos and controls.

No recording of a person is in it. A moving dipole (`synthetic_vectors`, `synthetic_beats`) beats in
a rhythm (`synthetic_rhythm`), is seen through each patient's torso and disturbed at the electrodes
(`synthetic_signals`, `synthetic_noise`), and described as a machine would (`synthetic_reports`).

How the task "conditions" is labelled:
- sinus rhythm, bradycardia (below 60/min), tachycardia (above 100), atrial fibrillation and flutter
  exclude each other: exactly one is the underlying rhythm. Sinus rhythm means 60 to 100 per minute.
- First degree AV block and premature atrial contractions come on top of sinus rhythms, premature
  ventricular contractions on top of these and of fibrillation; they count when seen in the record.
- Normal ECG: sinus rhythm of 60 to 100 with none of the other findings. A slow or fast rate or
  ectopic beats alone make it "otherwise normal", which is not counted as normal.
- Secondary changes have no label of their own: ST-T of bundle branch blocks and of hypertrophy's
  strain, T flattened by an infarct. Left axis deviation is an axis beyond -30 degrees, whatever
  else is found.
"""

import functools
from pathlib import Path

import numpy as np
import pandas as pd

from dbeta_lib.data.pool import each, ordered_map
from dbeta_lib.data.signals import Record, Signal
from dbeta_lib.data.splits import split_by_patient
from dbeta_lib.data.store import SignalStore
from dbeta_lib.data.synthetic_beats import Beats, build_beats
from dbeta_lib.data.synthetic_patients import (
    EXTRAS,
    FIBRILLATION,
    MORPHOLOGIES,
    PAC,
    PVC,
    RHYTHMS,
    SINUS,
    Patients,
    Visits,
    draw_patients,
    draw_visits,
)
from dbeta_lib.data.synthetic_repolarisation import has_strain, t_place
from dbeta_lib.data.synthetic_reports import Findings, write_report
from dbeta_lib.data.synthetic_rhythm import (
    ATRIAL_BEAT,
    VENTRICULAR_BEAT,
    Rhythm,
    draw_rhythm,
    heart_rate,
)
from dbeta_lib.data.synthetic_signals import render
from dbeta_lib.data.writer import StoreWriter
from dbeta_lib.errors import UsageError
from dbeta_lib.leads import LEADS
from dbeta_lib.seeds import rng

CODE_VERSION = 3  # raised whenever the same options would give another store
CONDITIONS = (*RHYTHMS, *EXTRAS, "normal ecg", *MORPHOLOGIES)
TASK = "conditions"
SECONDS = 10
SHARES = (0.70, 0.10, 0.20)  # of the patients: train, val, test
_CHUNK = 8  # patients made at a time; each chunk has its own random numbers


def prepare(
    source: Path | None,
    dest: Path | str,
    *,
    sampling_rate: int = 100,
    workers: int = 1,
    progress: bool = True,
    patients: int = 1334,
    records_per_patient: int = 3,
    seed: int = 0,
) -> SignalStore:
    """Make the store `dest` of the cohort; `source` must be None, since nothing is read.

    The bytes depend on the options alone, not on `workers`. Raises UsageError for options that
    make no cohort.
    """
    if source is not None:
        raise UsageError(f"synthetic is made, not read; drop its data folder {source}")
    chunks = _chunks(patients, records_per_patient, sampling_rate)
    make = functools.partial(_make, patients, records_per_patient, sampling_rate, seed)
    splits = _splits(patients, seed)
    names, frames = [], []
    with StoreWriter(
        dest, "synthetic", sampling_rate, SECONDS * sampling_rate, "made by this kit", "",
        options={
            "sampling_rate": sampling_rate, "patients": patients,
            "records_per_patient": records_per_patient, "seed": seed,
        },
        code_version=CODE_VERSION, reports_from_labels=True,
    ) as writer:  # fmt: skip
        made = ordered_map(
            functools.partial(each, make), chunks, workers, progress, "synthetic", writer.partial
        )
        for ecg, records, labels in made:
            for uv, row in zip(ecg, records.to_dict("records"), strict=True):
                writer.add(_record(uv, row, splits[row["patient_id"]]))
            names += records["record_id"].tolist()
            frames.append(labels)
        table = pd.concat(frames).set_axis(names)
        writer.labels(TASK, table, "as the generator drew them; see dbeta_lib.data.synthetic")
        store = writer.close()
    if progress:
        print(store.summary())
    return store


def generate(
    patients: int,
    records_per_patient: int = 3,
    sampling_rate: int = 100,
    seed: int = 0,
) -> tuple[np.ndarray, pd.DataFrame, pd.DataFrame]:
    """The cohort in memory: ecg int16 uV `[N, 12, T]`, records, labels (0/1, columns CONDITIONS).

    `records` has record_id, patient_id, split, report, age, sex and the truth about each ECG:
    heart_rate (measured on the beats, per minute), pr_ms (nan without P waves), qrs_ms, qt_ms,
    axis_deg, severity (of its most marked finding, 0..1). A patient is the same in a larger cohort.
    """
    made = [
        _make(patients, records_per_patient, sampling_rate, seed, chunk)
        for chunk in _chunks(patients, records_per_patient, sampling_rate)
    ]
    ecg, records, labels = (list(part) for part in zip(*made, strict=True))
    table = pd.concat(records, ignore_index=True)
    table.insert(2, "split", table["patient_id"].map(_splits(patients, seed)))
    return np.concatenate(ecg), table, pd.concat(labels, ignore_index=True)


def _chunks(patients: int, records_per_patient: int, sampling_rate: int) -> range:
    """Indices of the chunks. Raises UsageError for options that make no cohort."""
    if patients < 10 or records_per_patient < 1:
        raise UsageError(
            f"{patients} patients with {records_per_patient} records make no cohort; "
            "give at least 10 patients and 1 record"
        )
    if not 50 <= sampling_rate <= 1000:
        raise UsageError(f"sampling_rate={sampling_rate}; the cohort is made at 50 to 1000 Hz")
    return range(-(-patients // _CHUNK))


def _splits(patients: int, seed: int) -> dict[str, str]:
    ids = [_patient_id(number) for number in range(patients)]
    return dict(zip(ids, split_by_patient(ids, seed, SHARES), strict=True))


def _patient_id(number: int) -> str:
    return f"s{number:05d}"


def _make(
    patients: int, each: int, sampling_rate: int, seed: int, chunk: int
) -> tuple[np.ndarray, pd.DataFrame, pd.DataFrame]:
    """One chunk of patients, cut where the cohort ends."""
    random = rng(seed, "synthetic", chunk)
    people = draw_patients(random, _CHUNK)
    visits = draw_visits(random, people, each)
    rhythm = draw_rhythm(random, visits, people.age[visits.patient], SECONDS)
    rate = heart_rate(rhythm, SECONDS)
    beats = build_beats(random, people, visits, rate)
    ecg = render(random, people, visits, rhythm, beats, SECONDS, sampling_rate)
    extras = _seen_extras(visits, rhythm)
    labels = _labels(visits, extras)
    words = rng(seed, "synthetic-report", chunk)
    reports = [write_report(words, found) for found in _findings(people, visits, extras, rate)]
    records = _records(people, visits, beats, rate, reports, first=chunk * _CHUNK, each=each)
    keep = min(patients - chunk * _CHUNK, _CHUNK) * each
    return ecg[:keep], records[:keep], labels[:keep]


def _seen_extras(visits: Visits, rhythm: Rhythm) -> np.ndarray:
    """bool `[n, 3]`: the block as drawn, ectopic beats where one lies well within the record."""
    inside = (rhythm.times > 0.5) & (rhythm.times < SECONDS - 0.4)
    extras = visits.extras.copy()
    extras[:, PVC] = (inside & (rhythm.kind == VENTRICULAR_BEAT)).any(axis=1)
    extras[:, PAC] = (inside & (rhythm.kind == ATRIAL_BEAT)).any(axis=1)
    return extras


def _labels(visits: Visits, extras: np.ndarray) -> pd.DataFrame:
    rhythm = visits.rhythm[:, None] == np.arange(len(RHYTHMS))
    normal = (visits.rhythm == SINUS) & ~extras.any(axis=1) & ~visits.shows.any(axis=1)
    table = np.concatenate([rhythm, extras, normal[:, None], visits.shows], axis=1)
    return pd.DataFrame(table.astype(np.int8), columns=list(CONDITIONS))


def _findings(
    people: Patients, visits: Visits, extras: np.ndarray, rate: np.ndarray
) -> list[Findings]:
    people = people.take(visits.patient)
    strain, place = has_strain(people, visits), t_place(people)
    columns = (visits.rhythm, rate, extras, visits.shows, visits.severity, strain, place)
    return [Findings(*row) for row in zip(*columns, strict=True)]


def _records(
    people: Patients,
    visits: Visits,
    beats: Beats,
    rate: np.ndarray,
    reports: list[str],
    first: int,
    each: int,
) -> pd.DataFrame:
    who = visits.patient
    ids = [_patient_id(first + number) for number in who]
    severity = np.where(visits.shows, visits.severity, 0).max(axis=1)
    no_p = visits.rhythm >= FIBRILLATION
    return pd.DataFrame(
        {
            "record_id": [f"{name}-{i % each}" for i, name in enumerate(ids)],
            "patient_id": ids,
            "report": reports,
            "age": people.age[who],
            "sex": np.where(people.sex[who] == 0, "male", "female"),
            "heart_rate": rate.round(1),
            "pr_ms": np.where(no_p, np.nan, beats.pr).round(),
            "qrs_ms": beats.qrs_ms.round(),
            "qt_ms": beats.qt.round(),
            "axis_deg": beats.axis.round(),
            "severity": severity.round(2),
        }
    )


_TRUTH = ("heart_rate", "pr_ms", "qrs_ms", "qt_ms", "axis_deg", "severity")


def _record(uv: np.ndarray, row: dict, split: str) -> Record:
    return Record(
        record_id=row["record_id"],
        signal=Signal(uv, leads_present=(1 << len(LEADS)) - 1),
        patient_id=row["patient_id"],
        split=split,
        report=row["report"],
        language="en",
        age=row["age"],
        sex=row["sex"],
        extra={name: row[name] for name in _TRUTH},
    )
