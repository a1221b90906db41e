"""The peak is what was held since it began, whatever was held before."""

import numpy as np
import pytest

from dbeta_lib.sweeps.memory import PeakMemory

LARGE = 200 << 20


def test_a_peak_is_seen_and_one_before_it_is_not():
    np.ones(LARGE // 8)
    before = PeakMemory()
    if before.of != "process":
        pytest.skip(f"the peak here is of the {before.of}")
    quiet = before.read()
    np.ones(LARGE // 8)
    assert before.read() - quiet > 0.8 * LARGE
    assert PeakMemory().read() < quiet + 0.2 * LARGE
