"""One change of rate for all: a sine stays a sine, an offset makes no edge, odd rates fit."""

from fractions import Fraction

import numpy as np
import pytest

from dbeta_lib.data.resampling import polyphase, ratio


def waves(rate: int, hz: float = 5.0) -> np.ndarray:
    """float32 `[1, 12, 10 s]`: lead i is a sine of amplitude i + 1."""
    time = np.arange(10 * rate) / rate
    return (np.arange(1, 13)[:, None] * np.sin(2 * np.pi * hz * time))[None].astype(np.float32)


@pytest.mark.parametrize(("rate", "wanted"), [(100, 500), (500, 100), (400, 500), (250, 240)])
def test_resampling_keeps_a_sine_what_it_is(rate, wanted):
    out = polyphase(waves(rate), rate, wanted)
    assert out.shape == (1, 12, 10 * wanted) and out.dtype == np.float32
    middle = slice(wanted, -wanted)
    np.testing.assert_allclose(out[..., middle], waves(wanted)[..., middle], atol=0.02)


def test_resampling_makes_no_edge_of_an_offset():
    offset = np.full((1, 12, 1000), 3.0, np.float32)
    np.testing.assert_allclose(polyphase(offset, 100, 500), 3.0, atol=5e-3)


def test_rates_become_small_whole_numbers():
    assert ratio(257, 500) == Fraction(500, 257) and ratio(500, 100) == Fraction(1, 5)
    assert polyphase(np.ones((2, 2570)), 257, 500).shape == (2, 5000)


def test_the_same_rate_changes_nothing():
    ecg = waves(100)
    assert polyphase(ecg, 100, 100) is ecg
