"""The rows of a store: the same table whichever way they were told."""

import numpy as np
import pandas as pd
import pytest

from dbeta_lib.data.rows import COLUMNS, Rows
from dbeta_lib.data.signals import Record, to_signal
from dbeta_lib.errors import DBetaError


@pytest.fixture
def signals(make_beats):
    made = [to_signal(make_beats(seed, 200)) for seed in range(4)]
    return [*made[:3], made[3].replace(nan_filled=7, flat_leads=3, padded=9, findings="mains,rate")]


def told() -> list[dict]:
    """What is known of three records."""
    return [
        {"record_id": f"r{n}", "source": f"a/r{n}", "patient_id": f"p{n // 2}", "split": "train",
         "fold": n, "report": ("Sinus  Rhythm", "", "ok")[n], "text": (None, None, "OK")[n],
         "language": "en", "age": (61.5, float("nan"), 40.0)[n], "sex": "female",
         "heart rate": 60.0 + n, "device": ("x", None, "y")[n], "beats": 9 + n}
        for n in range(3)
    ]  # fmt: skip


ORDER = [(0, 0), (0, 1), (2, 0)]  # record and window of each row; record 1 has none


def by_place(signals) -> Rows:
    rows = Rows(pd.DataFrame(told()))
    for (number, window), signal in zip(ORDER, signals):
        rows.add_of(number, window, signal)
    return rows


def one_by_one(signals) -> Rows:
    rows, named = Rows(), Record.__dataclass_fields__
    for (number, window), signal in zip(ORDER, signals):
        row = told()[number]
        known = {name: value for name, value in row.items() if name in named}
        extra = {name: value for name, value in row.items() if name not in named}
        rows.add(Record(**known, signal=signal, window=window, extra=extra))
    return rows


def test_a_table_at_the_start_and_records_one_by_one_give_the_same(signals):
    table = by_place(signals).table()
    pd.testing.assert_frame_equal(table, one_by_one(signals).table())
    assert table.columns.tolist() == [*COLUMNS, "heart rate", "device", "beats"]
    assert table["record_id"].tolist() == ["r0", "r0", "r2"]
    assert table["window"].tolist() == [0, 1, 0]
    assert table["text"].tolist() == ["sinus rhythm", "sinus rhythm", "OK"]
    assert table["report_id"].tolist() == [0, 0, 1]
    assert table["signal_hash"].tolist() == [signal.hash for signal in signals[:3]]
    assert table["beats"].tolist() == [9, 9, 11] and table["beats"].dtype == np.int64


def test_what_is_known_of_the_samples_stands_in_its_column(signals):
    rows = Rows(pd.DataFrame(told()))
    rows.add_of(1, 5, signals[3])
    row = rows.table().iloc[0]
    assert (row["record_id"], row["window"], row["findings"]) == ("r1", 5, "mains,rate")
    assert (row["nan_filled"], row["flat_leads"], row["padded"]) == (7, 3, 9)
    assert row["leads_present"] == 4095


def test_finished_stores_put_together_are_one(signals):
    whole = by_place(signals).table()
    rows = Rows()
    for part in (whole.iloc[:0], whole.iloc[:2], whole.iloc[2:]):
        rows.append(part)
    assert len(rows) == 3
    pd.testing.assert_frame_equal(rows.table(), whole)


def test_a_table_with_a_nameless_split_is_a_fault_of_the_loader():
    table = pd.DataFrame(told())
    table.loc[2, "split"] = "validation"
    with pytest.raises(DBetaError, match=r"record r2: .*must be named"):
        Rows(table)


def test_a_record_twice_is_refused(signals):
    rows = by_place(signals)
    rows.add_of(2, 0, signals[0])
    with pytest.raises(DBetaError, match="occurs twice"):
        rows.table()
