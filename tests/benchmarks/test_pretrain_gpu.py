"""The GPU benchmark: a dry run with a small network, and its word without a GPU."""

import json

import pytest
import torch

from dbeta_lib.config import DBetaConfig
from dbeta_lib.costs import step_cost, total


@pytest.fixture(scope="module")
def benchmark(load_benchmark):
    return load_benchmark("pretrain_gpu")


def test_without_a_gpu_it_says_so_in_one_sentence(benchmark, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert benchmark.main(["--out", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "needs a CUDA GPU" in said
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def dry_run(benchmark, tmp_path_factory):
    """What a dry run on a CPU writes: the result and its page."""
    out = tmp_path_factory.mktemp("dry")
    asked = ["--device", "cpu", "--preset", "mini", "--batch-size", "4", "--text-tokens", "6"]
    asked += ["--repeats", "1", "--steps", "3", "--patients", "12", "--workers", "0"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELERATE_USE_CPU", "true")
        assert benchmark.main([*asked, "--out", str(out)]) == 0
    result, written = sorted(out.iterdir())
    assert result.name.endswith("-pretrain-gpu-dry-run.json")
    return json.loads(result.read_text()), written.read_text()


def test_every_way_has_a_time_and_the_utilisation_that_follows(benchmark, dry_run):
    found, page = dry_run
    flops = total(step_cost(DBetaConfig.preset("mini"), 4, 6)).flops
    assert [way["name"] for way in found["ways"]] == [w.name for w in benchmark.WAYS[:-1]]
    for way in found["ways"]:
        expected = flops / way["seconds"] / found["matrix_rate"]
        assert way["utilisation"] == pytest.approx(expected) and way["peak_gib"] is None
        assert f"| {way['name']} | {way['seconds']:.3f} |" in page
    assert "A dry run on a CPU" in page


def test_the_run_holds_losses_times_and_versions(dry_run):
    found, page = dry_run
    run = found["run"]
    assert run["step_seconds"] > 0 and run["steps"] == 3 and run["switches"] == "paper"
    assert run["paper_hours"] == pytest.approx(300_000 * run["step_seconds"] / 3600)
    flops = total(step_cost(DBetaConfig.preset("mini"), 4, run["text_tokens"])).flops
    assert run["utilisation"] == pytest.approx(flops / run["step_seconds"] / found["matrix_rate"])
    assert 1 < run["text_tokens"] <= DBetaConfig.preset("mini").text.max_text_tokens
    assert set(run["first_losses"]) == {"mlm", "mem", "etm", "ets", "total"}
    assert run["curves"]["step"][-1] == 3
    assert {"torch", "transformers", "python"} <= set(found["versions"])
    assert f"{run['paper_hours']:.1f} h" in page


def test_a_way_that_does_not_fit_is_said_and_the_others_go_on(benchmark, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(benchmark, "random_batch", full)
    way = benchmark.time_way(DBetaConfig.preset("mini"), benchmark.WAYS[0], "cpu", 2, 4, 1)
    assert way["seconds"] is None and way["name"] == "plain fp32"
    assert benchmark._row(way, None, 2) == "| plain fp32 | out of memory | | | | | |"
