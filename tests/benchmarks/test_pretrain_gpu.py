"""The GPU benchmark: its report, made here with a small network, and its word without a GPU."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from dbeta_lib.config import DBetaConfig

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "pretrain_gpu.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("pretrain_gpu", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_a_gpu_it_says_so_in_one_sentence(benchmark, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert benchmark.main(["--out", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "needs a CUDA GPU" in said
    assert not list(tmp_path.iterdir())


def test_the_report_holds_losses_times_and_versions(benchmark, tmp_path):
    config = DBetaConfig.preset("mini", ecg_layers=1, decoder_layers=1)
    found = benchmark.measure(config, tmp_path, steps=4, batch_size=8, patients=12)
    assert json.loads(json.dumps(found)) == found
    assert found["step_seconds"] > 0 and found["steps"] == 4 and found["switches"] == "paper"
    assert found["paper_hours"] == pytest.approx(300_000 * found["step_seconds"] / 3600)
    assert set(found["first_losses"]) == {"mlm", "mem", "etm", "ets", "total"}
    assert found["curves"]["step"][-1] == 4
    assert {"torch", "transformers", "python"} <= set(found["versions"])
