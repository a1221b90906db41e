"""The benchmark of probe sweeps: what it writes on a small store, and its arithmetic."""

import json

import pytest

from dbeta_lib.data import prepare


@pytest.fixture(scope="module")
def benchmark(load_benchmark):
    return load_benchmark("probe_sweep")


def test_100_epochs_through_the_encoder_embed_val_and_test_after_each(benchmark):
    row = {"train": 1000, "val": 20, "test": 30}
    assert benchmark.extrapolate(row, 0.002, 0.001) == pytest.approx(100 * (2 + 0.05))


def test_all_four_tasks_are_swept_and_the_page_says_what_was_compared(
    benchmark, published, tmp_path, monkeypatch
):
    monkeypatch.setattr(benchmark, "PERCENTS", (50, 100))  # 1 % of a few records is none
    store = tmp_path / "store"
    prepare("ptb-xl", published, store, hz=100)
    benchmark.main(["--store", str(store), "--batches", "1", "--out", str(tmp_path / "out")])
    page, numbers = sorted((tmp_path / "out").iterdir(), key=lambda p: p.suffix, reverse=True)
    found = json.loads(numbers.read_text(encoding="utf-8"))
    assert [row["task"] for row in found["tasks"]] == ["super", "sub", "form", "rhythm"]
    for row in found["tasks"]:
        assert set(row["kit_auc"]) == {"0.01", "0.1", "1"} and row["kit_cpu_s"] > 0
        assert row["through_s"] == pytest.approx(
            benchmark.extrapolate(row, found["train_s"], found["embed_s"])
        )
    text = page.read_text(encoding="utf-8")
    assert text.count("\n| ") == 6 and "the 120 s wanted" in text.replace("\n", " ")
