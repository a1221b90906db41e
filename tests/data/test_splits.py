"""Splits by patient."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbeta_lib.data.splits import check_disjoint, crossing_patients, split_by_patient
from dbeta_lib.errors import DBetaError, UsageError

patients = st.lists(st.integers(0, 30).map(str), min_size=1, max_size=80)


@given(patients, st.integers(0, 5))
def test_no_patient_stands_on_both_sides(ids, seed):
    splits = split_by_patient(ids, seed)
    assert crossing_patients(ids, splits) == []
    check_disjoint(ids, splits)


@given(patients, st.integers(0, 5), st.randoms())
def test_the_order_of_the_rows_does_not_matter(ids, seed, random):
    of_patient = dict(zip(ids, split_by_patient(ids, seed)))
    shuffled = list(ids)
    random.shuffle(shuffled)
    assert dict(zip(shuffled, split_by_patient(shuffled, seed))) == of_patient


def test_shares_hold_over_patients_and_seeds_differ():
    ids = [f"p{i}" for i in range(1000) for _ in range(1 + i % 3)]
    splits = split_by_patient(ids, 0)
    of_patient = dict(zip(ids, splits))
    counts = {name: list(of_patient.values()).count(name) for name in ("train", "val", "test")}
    assert counts == {"train": 800, "val": 100, "test": 100}
    assert (splits == split_by_patient(ids, 0)).all()
    assert (splits != split_by_patient(ids, 1)).any()


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.5, 0.6, -0.1), (0.5, 0.4, 0.2)])
def test_impossible_shares_are_refused(shares):
    with pytest.raises(UsageError, match="sum to 1"):
        split_by_patient(["a"], 0, shares)


def test_crossing_patients_are_named_up_to_five():
    ids = np.repeat([f"p{i}" for i in range(7)], 2)
    splits = ["train", "test"] * 7
    with pytest.raises(DBetaError, match=r"7 patients .*\(p0, p1, p2, p3, p4, \.\.\.\)"):
        check_disjoint(ids, splits)
