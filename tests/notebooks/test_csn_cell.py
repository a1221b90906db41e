"""Notebook 05's cell about CSN: the same scores by exact labels and by MERL's substrings."""

import json
from pathlib import Path

import numpy as np
import pytest
import wfdb

from dbeta_lib.command_line import ROOT
from dbeta_lib.config import DBetaConfig
from dbeta_lib.data.synthetic import generate
from dbeta_lib.evaluation.baselines import random_encoder
from dbeta_lib.leads import LEADS
from dbeta_lib.workspace import Workspace

NOTEBOOK = ROOT / "notebooks" / "05_linear_probe.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
CODE = {cell["id"]: "".join(cell["source"]) for cell in CELLS}
CONDITIONS = (
    "Acronym Name,Full Name,Snomed_CT\n"
    "AF,Atrial Flutter,164890007\nAFIB,Atrial Fibrillation,164889003\nSR,Sinus Rhythm,426783006\n"
)
CODES = ("164890007", "164889003", "426783006", "426783006,164889003")


def write_csn(folder: Path, records: int) -> Path:
    """CSN's layout with ECGs of the synthetic cohort, at 500 Hz."""
    for number, uv in enumerate(generate(max(records, 10), 1, 500, seed=5)[0][:records]):
        name = f"JS{number + 1:05d}"
        place = folder / "WFDBRecords" / "01" / "010"
        place.mkdir(parents=True, exist_ok=True)
        notes = ["Age: 60", "Sex: Male", f"Dx: {CODES[number % len(CODES)]}"]
        wfdb.wrsamp(
            name, fs=500, units=["mV"] * 12, sig_name=list(LEADS), fmt=["16"] * 12,
            adc_gain=[1000.0] * 12, baseline=[0] * 12, write_dir=str(place),
            p_signal=np.ascontiguousarray(uv.T) / 1000, comments=notes,
        )  # fmt: skip
    (folder / "ConditionNames_SNOMED-CT.csv").write_text(CONDITIONS)
    return folder


def shown_by_the_cell(folder: Path | None, out: Path):
    """What the cell leaves in `shown`, with the notebook's own imports."""
    data = {} if folder is None else {"csn": str(folder)}
    names = {"data": data, "work": Workspace(out, data=data), "resamples": 20}
    names["model"] = random_encoder(DBetaConfig.preset("mini", ecg_layers=1), 0)
    exec(CODE["imports"], names)
    exec(CODE["substring"], names)
    return names["shown"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_af_is_judged_by_atrial_fibrillation_too_where_csn_is_at_hand(tmp_path):
    shown = shown_by_the_cell(write_csn(tmp_path / "csn", 80), tmp_path / "out")
    row = shown.frame.set_index("class").loc["AF"]
    assert row["substring positives"] > row["exact positives"] > 0
    assert row["difference"] == pytest.approx(row["substring"] - row["exact"])


def test_without_csn_or_with_too_little_of_it_the_cell_says_so(tmp_path):
    assert "--data csn=DIR" in shown_by_the_cell(None, tmp_path / "out")
    said = shown_by_the_cell(write_csn(tmp_path / "csn", 3), tmp_path / "out")
    assert said.startswith("CSN is too small for this: ")
