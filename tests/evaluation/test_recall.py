"""Recall beside chance: the level by counting permutations, records that name pool and k."""

from math import comb

import numpy as np
import pytest

from dbeta_lib.evaluation import recall
from dbeta_lib.evaluation.results import load_all
from dbeta_lib.evaluation.retrieval import retrieve

TEXTS = np.array([0, 0, 0, 1, 1, 2, 3, 3, 4, 5])  # of ten ECGs
PATIENTS = np.arange(10) // 2
FACTS = {"encoder": "e", "data": "d", "store_fingerprint": "f"}


@pytest.fixture
def found():
    similarity = np.random.default_rng(0).normal(size=(10, 6))
    similarity += 2 * (TEXTS[:, None] == np.arange(6))
    return retrieve(similarity, TEXTS, np.arange(6))


def test_chance_is_what_random_similarities_reach_on_average(found):
    rng = np.random.default_rng(1)
    at_random = [retrieve(rng.random((10, 6)), TEXTS, np.arange(6)) for _ in range(3000)]
    for name in ("ecg_to_report", "report_to_ecg", "instance_ecg_to_report"):
        drawn = [getattr(one, name).recall for one in at_random]
        for k, level in recall.chance_recall(getattr(found, name)).items():
            mean = np.mean([its[k] for its in drawn])
            assert level == pytest.approx(mean, abs=0.015), (name, k)


def test_chance_is_the_formula(found):
    counts = np.bincount(TEXTS)
    levels = recall.chance_recall(found.report_to_ecg)
    for k in (1, 5):
        missed = np.mean([comb(10 - r, k) / comb(10, k) for r in counts])
        assert levels[k] == pytest.approx(1 - missed)
    assert recall.chance_recall(found.ecg_to_report)[5] == pytest.approx(5 / 6)
    assert levels[10] == 1 and recall.chance_recall(found.ecg_to_report)[10] == 1  # the whole pool


def test_the_table_has_pool_chance_and_interval_beside_each_recall(found):
    table = recall.recall_table(found, PATIENTS, 50)
    assert list(table["k"]) == [1, 5, 10] * 2
    first = table.iloc[0]
    assert (first["direction"], first["queries"], first["pool"]) == ("ECG -> report", 10, 6)
    assert first["recall"] == found.ecg_to_report.recall[1] > first["chance"]
    assert first["low"] <= first["recall"] <= first["high"]
    back = table[table["direction"] == "report -> ECG"].iloc[0]
    assert (back["queries"], back["pool"]) == (6, 10)


def test_records_keep_direction_pool_and_k_and_those_of_chance_are_exact(found, tmp_path):
    kept = recall.from_retrieval(found, PATIENTS, 50, **FACTS)
    kept += recall.from_chance(found, **(FACTS | {"encoder": "chance"}))
    for record in kept:
        record.save(tmp_path)
    frame = load_all(tmp_path)
    assert len(frame) == 12
    assert set(frame["metric"]) == {"recall@1", "recall@5", "recall@10"}
    assert set(frame["variant"]) == {"ECG -> report, pool of 6", "report -> ECG, pool of 10"}
    exact = frame[frame["encoder"] == "chance"]
    assert (exact["low"] == exact["value"]).all() and (exact["value"] <= 1).all()
    assert (frame["protocol"] == "retrieval").all()
