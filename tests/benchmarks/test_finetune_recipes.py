"""The benchmark of fine-tuning recipes: what it runs and writes on a small store."""

import json

import pytest

from dbeta_lib.config import DBetaConfig
from dbeta_lib.data import prepare
from dbeta_lib.model import DBeta


@pytest.fixture(scope="module")
def benchmark(load_benchmark):
    return load_benchmark("finetune_recipes")


def test_both_recipes_run_from_both_starts_and_the_page_has_a_row_each(benchmark, tmp_path):
    prepare("synthetic", None, tmp_path / "store", 100, workers=1, patients=30, progress=False)
    small = {"ecg_layers": 1, "fusion_layers": 1, "decoder_layers": 1}
    DBeta(DBetaConfig.preset("mini", "recommended", **small)).save_pretrained(tmp_path / "model")
    asked = ["--model", str(tmp_path / "model"), "--store", str(tmp_path / "store")]
    asked += [
        "--task",
        "conditions",
        "--epochs",
        "1",
        "--long",
        "2",
        "--out",
        str(tmp_path / "out"),
    ]
    benchmark.main([*asked, "--out", str(tmp_path / "out")])
    numbers, page = sorted((tmp_path / "out").iterdir())
    runs = json.loads(numbers.read_text(encoding="utf-8"))["runs"]
    assert len(runs) == len({(r["recipe"], r["start"], r["settings"]["epochs"]) for r in runs}) == 8
    rates = {(r["recipe"], r["start"]): r["settings"]["lr"] for r in runs}
    assert rates["published", "pre-trained"] == rates["published", "from scratch"] == 5e-5
    assert rates["one-cycle", "from scratch"] > rates["one-cycle", "pre-trained"] > 5e-5
    for one in runs:
        per_epoch = -(-one["n_train"] // one["settings"]["batch_size"])
        assert one["steps"] == one["settings"]["epochs"] * per_epoch
    assert page.read_text(encoding="utf-8").count("\n| ") == 9
