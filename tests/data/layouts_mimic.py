"""A folder in MIMIC-IV-ECG's published layout, 240 records of 80 patients, faults among them."""

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from dbeta_lib.leads import MIMIC_LEADS, derive_limb_leads, order_to

RECORDS = 240
STATEMENTS = [f"report_{i}" for i in range(18)]
MEASURES = ["rr_interval", "p_onset", "p_end", "qrs_onset", "qrs_end", "t_end", "p_axis",
            "qrs_axis", "t_axis"]  # fmt: skip
REPORTS = (
    ("Sinus rhythm", "Possible right atrial abnormality", "", "Borderline ECG"),
    ("Atrial fibrillation with rapid ventricular response.", "Abnormal ECG"),
    ("Sinus rhythm", "  Normal  ECG "),
    ("Poor quality",),
)
INVALID = -32768  # WFDB's marker of format 16
FATES = {  # record -> (reason, what the detail names) of what is set aside when it is read
    3: ("truncated", "50000 bytes"),
    4: ("file missing", ".dat"),
    5: ("file missing", ".hea"),
    6: ("all leads bad", "no lead"),
    7: ("wrong sampling rate", "250 Hz"),
    8: ("wrong shape", "4000 samples"),
    9: ("unknown unit", "'0/mV'"),
    10: ("unknown lead name", "X1"),
    11: ("path refused", "../"),
    12: ("path refused", "'/"),
    13: ("path refused", "is a link"),
    14: ("path refused", "which is not beside it"),
    15: ("unreadable", "is no header"),
}
SHORT_GAP, LONG_GAP, SWAPPED, NO_REPORT, NOT_MEASURED, ELSEWHERE = 20, 21, 22, 23, 24, 25
FOREIGN, TWICE, OF_TWO = 26, 27, 28
ALL_INVALID = 6
GAPS = {SHORT_GAP: (2, 100), LONG_GAP: (4, 400)}  # record -> lead of the file, samples


def study(i: int) -> str:
    return str(40_000_000 + i)


def subject(i: int) -> str:
    return str(10_000_000 + 7 * (i // 3))


def place(i: int) -> str:
    group = "p1999" if i == ELSEWHERE else f"p{subject(i)[:4]}"  # one patient in two folders
    return f"files/{group}/p{subject(i)}/s{study(i)}/{study(i)}"


def write_ecg(folder: Path, i: int, ecg: np.ndarray) -> None:
    """One record as published: gain 200/mV, aVF before aVL; `ecg` mV `[12, 5000]` in LEADS."""
    path = folder / place(i)
    path.parent.mkdir(parents=True)
    names = list(MIMIC_LEADS)
    raw = np.rint(200 * ecg[order_to(names)]).astype("<i2")
    if i == SWAPPED:
        names[3:5] = "aVF", "aVR"
    lines = [f"{study(i)} 12 500 5000 12:04:00 22/09/2182"]
    lines += [f"{study(i)}.dat 16 200.0(0)/mV 16 0 {x[0]} 0 0 {n}" for n, x in zip(names, raw)]
    path.with_suffix(".hea").write_text("\n".join([*lines, f"# <subject_id>: {subject(i)}"]) + "\n")
    lead, samples = GAPS.get(i, (0, 0))
    raw[lead, 1000 : 1000 + samples] = INVALID
    if i == ALL_INVALID:
        raw[:] = INVALID
    raw.T.tofile(path.with_suffix(".dat"))


def plant_faults(folder: Path) -> None:
    """What `FATES` says, in files that were sound."""
    dat = {i: folder / f"{place(i)}.dat" for i in FATES}
    hea = {i: path.with_suffix(".hea") for i, path in dat.items()}
    os.truncate(dat[3], 50_000)
    dat[4].unlink()
    hea[5].unlink()
    for i, old, new in (
        (7, "12 500 5", "12 250 5"), (8, "500 5000", "500 4000"), (9, "200.0(0)", "0"),
        (10, "0 V1", "0 X1"), (14, f"{study(14)}.dat", "../x"),
    ):  # fmt: skip
        text = hea[i].read_text()
        assert old in text
        hea[i].write_text(text.replace(old, new))
    shutil.move(hea[13].parent, folder / "outside")
    hea[13].parent.symlink_to(folder / "outside")
    hea[15].write_text("")


def tables(records: int = RECORDS) -> tuple[pd.DataFrame, pd.DataFrame]:
    """record_list and machine_measurements; the second in another order."""
    rows, measured = [], []
    for i in range(records):
        path = {11: f"files/../../{study(i)}", 12: f"/etc/{study(i)}"}.get(i, place(i))
        ids = {"subject_id": subject(i), "study_id": study(i)}
        time = f"2180-07-{1 + i % 28:02d} 08:44:00"
        rows.append(ids | {"file_name": study(i), "ecg_time": time, "path": path})
        texts = () if i == NO_REPORT else REPORTS[i % 4]
        row = ids | {"cart_id": 1, "ecg_time": time} | dict.fromkeys(STATEMENTS, "")
        row |= dict(zip(STATEMENTS, texts)) | {"bandwidth": "0.005-150 Hz", "filtering": "60 Hz"}
        row |= {name: 40 + i + k for k, name in enumerate(MEASURES)}
        if i % 5 == 0:
            row |= {"rr_interval": 0, "p_onset": 29999, "qrs_end": -1, "p_axis": 29999}
            row["t_axis"] = ""
        measured.append(row)
    measured[FOREIGN]["subject_id"] = "19999999"
    del measured[NOT_MEASURED]
    rows.append(rows[TWICE] | {"path": place(0)})
    rows.append(rows[OF_TWO] | {"subject_id": "19999999"})
    measured = [*measured[::-1], measured[0] | {"report_0": "Another"}]
    return pd.DataFrame(rows), pd.DataFrame(measured)


def write_mimic(where: Path, records: int = RECORDS) -> Path:
    """The folder with tables and records, every fault of this file in it."""
    rng = np.random.default_rng(0)
    time = np.arange(5000) / 500
    for i in range(records):
        wave = np.exp(-(((time - 0.4) % rng.uniform(0.6, 1.1) - 0.3) ** 2) / 4e-4)
        ecg = rng.uniform(0.4, 1.5, (12, 1)) * wave + rng.normal(0, 0.02, (12, 1)) * np.sin(time)
        write_ecg(where, i, derive_limb_leads(ecg))
    plant_faults(where)
    listed, measured = tables(records)
    listed.to_csv(where / "record_list.csv", index=False)
    measured.to_csv(where / "machine_measurements.csv", index=False)
    return where
