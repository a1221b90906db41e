"""The benchmark of the fast path: what it writes on a small store, and one step at "full" size."""

import json

import pytest
import torch

from dbeta_lib.config import DBetaConfig
from dbeta_lib.data import prepare


@pytest.fixture(scope="module")
def benchmark(load_benchmark):
    return load_benchmark("fast_path")


def test_all_ways_are_measured_in_each_round_and_the_page_says_which(
    benchmark, published, tmp_path, monkeypatch
):
    prepare("ptb-xl", published, tmp_path / "store", hz=100)
    measure = benchmark.measure
    monkeypatch.setattr(benchmark, "measure", lambda *given: measure(*given, batch_size=4))
    command = ["--store", str(tmp_path / "store"), "--steps", "1", "--rounds", "2"]
    benchmark.main([*command, "--out", str(tmp_path / "out")])
    page, numbers = sorted((tmp_path / "out").iterdir(), key=lambda p: p.suffix, reverse=True)
    found = json.loads(numbers.read_text(encoding="utf-8"))
    rates = found["records_per_s"]
    assert len(rates) == 14 and found["largest_loss_difference"] < 1e-5
    assert all(len(one[kind]) == 2 for one in rates.values() for kind in ("clock", "processor"))
    assert min(rates["fast path"]["clock"] + rates["features"]["processor"]) > 0
    gains = benchmark.ratio(found, "fast path", "reference", "clock")
    assert gains[0] == rates["fast path"]["clock"][0] / rates["reference"]["clock"][0]
    text = page.read_text(encoding="utf-8")
    assert all(f"\n| {name} | " in text for name in rates) and str(tmp_path) not in text


def test_a_store_or_full_size_is_asked_for(benchmark, capsys):
    with pytest.raises(SystemExit):
        benchmark.main([])
    assert "give --store STORE, or --full" in capsys.readouterr().err


def test_the_step_of_the_full_size_network_with_a_small_one(benchmark, monkeypatch):
    import full_size_step

    threads = torch.get_num_threads()
    architecture = {**DBetaConfig.preset("mini").text.text_architecture, "vocab_size": 90}
    config = DBetaConfig.preset("mini", ecg_layers=1, text_architecture=architecture)
    ways = {
        way: full_size_step.full_steps(config, way, 2, 4, 9, threads)
        for way in ("fast path", "reference")
    }
    assert all(len(one["clock"]) == 2 and one["peak_gb"] > 0 for one in ways.values())
    about = {"command": "c", "day": "d", "machine": "m", "threads": 1, "load": 0.0, "nice": 0}
    found = {**about, "batch_size": 4, "text_tokens": 9, "steps": 2, "ways": ways}
    text = full_size_step.full_page(found)
    assert text.count("\n| ") == 3
    assert f"| fast path | {min(ways['fast path']['clock']):.2f}" in text
    ways["official network"] = {"clock": [3 * min(ways["fast path"]["clock"])], "processor": [1.0],
                                "peak_gb": 1.0}  # fmt: skip
    assert "takes 3.00 times as many steps" in full_size_step.full_page({**found, "ways": ways})


def test_a_folder_that_is_no_checkout_is_refused(benchmark, tmp_path, capsys):
    with pytest.raises(SystemExit):
        benchmark.main(["--full", "--official", str(tmp_path)])
    assert "is no checkout of the official code" in capsys.readouterr().err
