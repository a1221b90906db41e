"""A small synthetic store and an untrained model; a store whose every text is hostile."""

import numpy as np
import pandas as pd
import pytest

from dbeta_lib.config import DBetaConfig
from dbeta_lib.data import ensure_store
from dbeta_lib.data.signals import Record, to_signal
from dbeta_lib.data.store import SignalStore
from dbeta_lib.data.writer import StoreWriter
from dbeta_lib.training.start import build_model

HOSTILE = "<script>alert('x')</script>"


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> SignalStore:
    """The synthetic cohort of 24 patients at 100 Hz."""
    dest = tmp_path_factory.mktemp("widgets") / "synthetic"
    return ensure_store("synthetic", None, dest, sampling_rate=100, patients=24, seed=0)


@pytest.fixture(scope="session")
def model(store):
    return build_model(DBetaConfig.preset("mini", "recommended"), store, 0).eval()


def write(path, rows, reports=True, text=HOSTILE) -> SignalStore:
    """A store of waves; ids, patients, labels and reports hold `text`."""
    time = np.arange(1000) / 100
    with StoreWriter(path, f"made {text}", 100, 1000, "1", "none") as writer:
        for i in range(rows):
            ecg = np.sin(2 * np.pi * (1 + i / 4) * time)[None] * np.linspace(0.3, 1, 12)[:, None]
            mask = np.ones(12, bool)
            mask[11] = i != 1
            report = f"{text} number {i // 3}" if reports else ""
            split = ("train", "val", "test")[i % 3]
            writer.add(
                Record(f"r{i}{text}", to_signal(ecg, mask), f"p{i}{text}", split, report=report)
            )
        frame = pd.DataFrame(
            {f"has {text}": [i % 2 for i in range(rows)], "never": [0] * rows},
            index=[f"r{i}{text}" for i in range(rows)],
        )
        writer.labels("things", frame, "as made here")
        return writer.close()


@pytest.fixture(scope="session")
def hostile(tmp_path_factory) -> SignalStore:
    return write(tmp_path_factory.mktemp("hostile") / "store", 9)


@pytest.fixture(scope="session")
def mute(tmp_path_factory) -> SignalStore:
    """A store without reports."""
    return write(tmp_path_factory.mktemp("mute") / "store", 6, reports=False, text="")


@pytest.fixture(scope="session")
def empty(hostile) -> SignalStore:
    """A store of no records."""
    meta = hostile.meta | {"tasks": {}, "counts": hostile.meta["counts"] | {"rows": 0}}
    return SignalStore(hostile.path, meta, hostile.signals[:0], hostile.records.iloc[:0])


@pytest.fixture(scope="session")
def large(store) -> SignalStore:
    """50,000 rows: those of the small store again and again, each under an id of its own."""
    rows = np.arange(50_000) % len(store)
    records = store.records.iloc[rows].reset_index(drop=True)
    records["record_id"] = [f"big{i}" for i in range(len(rows))]
    signals = np.broadcast_to(store.signals[0], (len(rows), *store.signals.shape[1:]))
    return SignalStore(store.path, store.meta | {"tasks": {}}, signals, records)


def picture(panel, number=0) -> bytes:
    """The PNG that a panel shows."""
    return panel.pictures[number].png


@pytest.fixture
def png():
    return picture
