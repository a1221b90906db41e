"""The page of costs is that of its result file, and a small run measures every part."""

import json
from pathlib import Path

import pytest
import torch

from dbeta_lib.config import DBetaConfig
from dbeta_lib.costs import Chip, step_cost
from dbeta_lib.training.machine_rates import copy_rate, matrix_rate
from dbeta_lib.training.random_batch import random_batch

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark(load_benchmark):
    return load_benchmark("cost")


def test_the_page_is_what_the_last_result_file_gives(benchmark):
    last = max((FOLDER / "results").glob("????-??-??-cost.json"))
    assert (FOLDER / "cost.md").read_text() == benchmark.page(json.loads(last.read_text()))


def test_the_operations_of_the_last_result_are_those_counted_now():
    last = max((FOLDER / "results").glob("????-??-??-cost.json"))
    for entry in json.loads(last.read_text())["entries"]:
        given = entry["batch"], entry["text_tokens"], entry["words"], entry["element_bytes"]
        on_cpu = entry["element_bytes"] == 4  # and positions at the kept tokens alone
        config = DBetaConfig.preset(entry["preset"])
        now = {part.name: part for part in step_cost(config, *given, kept_positions=on_cpu)}
        for part in entry["parts"]:
            for kind in ("forward_flops", "backward_flops"):
                assert part[kind] == getattr(now[part["name"]], kind), (part["name"], kind)


def test_random_batches_have_the_shapes_asked_for():
    config = DBetaConfig.preset("mini")
    batch = random_batch(config, 3, 7, 5)
    assert len(batch) == 3 and batch.input_ids.shape == (3, 7)
    assert int(batch.input_ids.max()) < config.text.text_vocabulary
    labels = batch.mlm_labels.flatten()
    assert batch.mlm_places.tolist() == torch.nonzero(labels >= 0).flatten().tolist()
    assert len(batch.mlm_places) == 5


def test_every_part_is_timed_and_its_utilisation_follows(benchmark):
    here = Chip("here", 1e9, 1e9)
    found = benchmark.entry("mini", 2, 6, here, 4, "cpu", repeats=1)
    config = DBetaConfig.preset("mini")
    parts = {p.name: p for p in step_cost(config, 2, 6, 3, 4, kept_positions=True)}
    assert [part["name"] for part in found["parts"]] == list(parts)
    for part in found["parts"]:
        spent, flops = sum(part["measured"].values()), parts[part["name"]].flops
        assert spent > 0
        assert part["utilisation"] == (pytest.approx(flops / spent / 1e9) if flops else None)
    spent = sum(sum(part["measured"].values()) for part in found["parts"])
    assert sum(found["step"]["measured"].values()) == pytest.approx(spent)
    assert found["step"]["floor"]["here"] == pytest.approx(
        sum(part["floor"]["here"] for part in found["parts"])
    )


def test_rates_are_operations_and_bytes_per_second(monkeypatch):
    now = iter(range(100))  # a clock that goes on by a second at every look
    monkeypatch.setattr("dbeta_lib.training.machine_rates.clock_of", lambda device: now.__next__)
    assert matrix_rate(side=32) == 2 * 32**3
    assert copy_rate(numbers=1000) == 8000
