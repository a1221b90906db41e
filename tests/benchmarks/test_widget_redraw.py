"""The benchmark of the widgets: each is moved and timed, and the page says how long it took."""

import json

import numpy as np
import pytest

from dbeta_lib.data import ensure_store


@pytest.fixture(scope="module")
def benchmark(load_benchmark):
    return load_benchmark("widget_redraw")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    dest = tmp_path_factory.mktemp("redraw") / "synthetic"
    return ensure_store("synthetic", None, dest, sampling_rate=100, patients=24, seed=0)


def test_a_store_repeated_has_the_same_ecgs_under_ids_of_their_own(benchmark, store):
    large = benchmark.repeated(store, 3 * len(store) + 1)
    assert len(large) == 3 * len(store) + 1 and large.records["record_id"].is_unique
    assert np.array_equal(large.ecg(2 * len(store) + 5), store.ecg(5))
    assert np.array_equal(large.ecg([len(store), 7]), store.ecg([0, 7]))


def test_every_widget_is_moved_and_stands_on_the_page(benchmark, store, tmp_path):
    benchmark.main(["--store", str(store.path), "--times", "3", "--out", str(tmp_path)])
    page, numbers = sorted(tmp_path.iterdir(), key=lambda p: p.suffix, reverse=True)
    found = json.loads(numbers.read_text(encoding="utf-8"))
    assert len(found["rows"]) == 9 and all(row["cpu_ms"] > 1 for row in found["rows"])
    assert all(row["ms_5"] <= row["ms"] <= row["ms_95"] for row in found["rows"])
    assert page.read_text(encoding="utf-8").count("\n| ") == 10
    assert not list(store.path.parent.glob("*.negatives.*")), "nothing is left beside the store"
