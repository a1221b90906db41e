"""The soak finds a leak, and takes the slope from where memory has settled."""

import ctypes
import gc

import numpy as np
import pytest
import torch
from torch import nn


@pytest.fixture(scope="module")
def benchmark(load_benchmark):
    return load_benchmark("soak")


class Leaking(nn.Module):
    """Keeps `kept` MB of every call."""

    def __init__(self, kept):
        super().__init__()
        self.kept, self.held = kept, []

    def forward(self, x):
        self.held.append(np.ones(self.kept << 17))
        return x


@pytest.fixture
def settled():
    """What other tests of this process left is given back now, not while memory is noted."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


@pytest.mark.parametrize("kept", [0, 1])
def test_a_leak_is_the_slope(benchmark, settled, kept):
    model = Leaking(kept)
    with benchmark.MemoryNotes(model) as notes:
        for _ in range(150):
            model.eval()
            model(torch.zeros(1))  # validation: no step
            model.train()
            model(torch.zeros(1))
    steps, own = ([row[name] for row in notes.rows] for name in ("step", "own"))
    assert steps == list(range(10, 151, 10))
    slope = benchmark.slope_of(steps, own)
    assert slope["mb_per_1000"] == pytest.approx(2000 * kept, abs=100)
    model(torch.zeros(1))
    assert notes.step == 150  # nothing is noted afterwards


def test_growth_before_memory_has_settled_is_no_slope(benchmark):
    steps = list(range(10, 2001, 10))
    values = [min(step, 400) for step in steps]
    assert benchmark.slope_of(steps, values)["mb_per_1000"] == pytest.approx(0, abs=1e-9)
    rising = benchmark.slope_of(steps, [0.003 * step for step in steps])
    assert rising["mb_per_1000"] == pytest.approx(3) and rising["se"] < 1e-9


def test_a_run_too_short_for_a_slope_is_refused(benchmark, capsys):
    with pytest.raises(SystemExit):
        benchmark.main(["--steps", "50"])
    assert "give --steps 100 or more" in capsys.readouterr().err
