"""Small folders in PTB-XL's published layout, written with wfdb, and small stores."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb

from dbeta_lib.config import DBetaConfig
from dbeta_lib.data.signals import Record, to_signal
from dbeta_lib.data.writer import StoreWriter
from dbeta_lib.encoders.text import train_tokenizer
from dbeta_lib.leads import LEADS, derive_limb_leads
from dbeta_lib.model import DBeta

HEADER_NAMES = [name.upper() if name.startswith("aV") else name for name in LEADS]
CODES = (  # a code at likelihood 0 counts like any other
    "{'NORM': 100.0, 'SR': 0.0}",
    "{'IMI': 0.0, 'ABQRS': 0.0, 'AFIB': 0.0}",
    "{'NST_': 100.0, 'LVH': 50.0, 'SR': 0.0}",
    "{'CLBBB': 100.0, 'PVC': 0.0}",
    "{'SR': 0.0}",
    "{}",
)
STATEMENTS = """\
,description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass,\
SCP-ECG Statement Description
NST_,non-specific ST changes,1.0,1.0,,STTC,NST_,non-specific ST changes
NORM,normal ECG,1.0,,,NORM,NORM,normal ECG
IMI,inferior myocardial infarction,1.0,,,MI,IMI,inferior myocardial infarction
LVH,left ventricular hypertrophy,1.0,,,HYP,LVH,left ventricular hypertrophy
CLBBB,complete left bundle branch block,1.0,,,CD,CLBBB,complete left bundle branch block
ABQRS,abnormal QRS,,1.0,,,,abnormal QRS
PVC,ventricular premature complex,,1.0,,,,ventricular premature complex
SR,sinus rhythm,,,1.0,,,sinus rhythm
AFIB,atrial fibrillation,,,1.0,,,atrial fibrillation
"""
REPORTS = (
    "sinusrhythmus normales ekg 4.46                          unbestÄtigter bericht",
    "atrial fibrillation. inferior myocardial infarction.",
    "sinusrytm vÄnster el-axel",
    "sinusrhythmus normales ekg",
)


def beats(seed: int, samples: int = 1000, rate: int = 100) -> np.ndarray:
    """float64 mV `[12, T]` of Gaussian beats that obey Einthoven's law, on a 1 uV grid."""
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / rate
    wave = sum(
        np.exp(-(((time - beat) / 0.02) ** 2)) for beat in np.arange(0.4, samples / rate, 0.8)
    )
    ecg = rng.uniform(0.4, 1.5, (12, 1)) * wave + rng.normal(0, 0.01, (12, samples))
    return np.round(derive_limb_leads(ecg), 3)


def write_record(
    path: Path, ecg: np.ndarray, rate: int = 100, names=HEADER_NAMES, units="mV", gain=1000.0
) -> None:
    """One WFDB record in format 16; `ecg` `[leads, T]` in the unit named."""
    path.parent.mkdir(parents=True, exist_ok=True)
    n = len(ecg)
    wfdb.wrsamp(
        path.name, fs=rate, units=[units] * n, sig_name=list(names), p_signal=ecg.T.copy(),
        fmt=["16"] * n, adc_gain=[gain] * n, baseline=[0] * n, write_dir=str(path.parent),
    )  # fmt: skip


def write_ptb_xl(folder: Path, records: int = 12, rates=(100,)) -> Path:
    """A folder as published: two records per patient, folds 1 to 10 in turn."""
    rows = []
    for i in range(records):
        name = f"{i // 1000:02d}000/{i + 1:05d}"
        for rate in rates:
            place = f"records{rate}/{name}_{'lr' if rate == 100 else 'hr'}"
            write_record(folder / place, beats(i, 10 * rate, rate), rate)
        rows.append(
            {
                "ecg_id": i + 1, "patient_id": f"{i // 2 + 500}.0", "age": f"{40 + i}.0",
                "sex": i % 2, "report": REPORTS[i % 4], "scp_codes": CODES[i % 6],
                "strat_fold": (i // 2) % 10 + 1, "filename_lr": f"records100/{name}_lr",
                "filename_hr": f"records500/{name}_hr",
            }
        )  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "ptbxl_database.csv", index=False)
    (folder / "scp_statements.csv").write_text(STATEMENTS)
    return folder


@pytest.fixture(scope="session")
def published(tmp_path_factory) -> Path:
    """A sound folder of 40 records at 100 Hz; tests that damage it take a copy."""
    return write_ptb_xl(tmp_path_factory.mktemp("ptb-xl"), 40)


@pytest.fixture
def small(tmp_path) -> Path:
    """A sound folder of 12 records at 100 Hz of the test's own."""
    folder = tmp_path / "ptb-xl"
    folder.mkdir()
    return write_ptb_xl(folder)


@pytest.fixture
def write_wfdb():
    return write_record


@pytest.fixture
def make_beats():
    return beats


@pytest.fixture(scope="session")
def make_ptb_xl():
    return write_ptb_xl


def fill(writer: StoreWriter, rows: int = 6) -> StoreWriter:
    """Rows r0, r1, ... of two records per patient, splits in turn, and one record set aside."""
    for i in range(rows):
        writer.add(
            Record(
                f"r{i}", to_signal(beats(i)), f"p{i // 2}", ("train", "val", "test")[i // 2 % 3],
                report=f"Sinus  Rhythm {i % 3}", extra={"heart_rate": 60.0 + i},
            )
        )  # fmt: skip
    writer.set_aside("gone", "file missing", "a/gone.hea")
    names = [f"r{i}" for i in range(rows)] + ["gone"]
    frame = pd.DataFrame({"A": [1, 0, 0] * 9, "B": [0, 1, 0] * 9}).head(rows + 1)
    writer.labels("things", frame.set_index(pd.Index(names)), "as made here")
    return writer


@pytest.fixture
def make_store(tmp_path):
    """`make_store(name)` -> a finished store of six rows below tmp_path."""

    def make(name: str = "store", rows: int = 6):
        with StoreWriter(tmp_path / name, "made", 100, 1000, "1", "abc") as writer:
            return fill(writer, rows).close()

    return make


@pytest.fixture
def fill_writer():
    return fill


@pytest.fixture(scope="session")
def save_small_model():
    """A function that writes a model of one ECG layer and a few words to a path, and returns it."""

    def save(path: Path) -> Path:
        reports = ["sinusrhythmus normales ekg", "left bundle branch block"] * 3
        config = DBetaConfig.preset("mini", "recommended", ecg_layers=1)
        DBeta(config, train_tokenizer(reports, 200)).save_pretrained(path)
        return path

    return save


@pytest.fixture
def folder_bytes():
    """`folder_bytes(path)` -> {relative path: bytes}: what two stores are compared by."""

    def read(path: Path) -> dict[str, bytes]:
        files = sorted(file for file in Path(path).rglob("*") if file.is_file())
        return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}

    return read
