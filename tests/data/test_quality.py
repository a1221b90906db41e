"""Checks of one recording: silent on sound ones, and each planted fault found, made and real."""

import functools
from pathlib import Path

import numpy as np
import pytest

from dbeta_lib.data import beats, quality, quality_leads
from dbeta_lib.data.recordings import Recordings
from dbeta_lib.data.signals import resample
from dbeta_lib.data.wfdb_header import parse_header
from dbeta_lib.data.wfdb_read import read_wfdb
from dbeta_lib.leads import LEADS, derive_limb_leads

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "ptb-xl"
needs_real = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data/ptb-xl is not there")
ALL = np.ones(12, dtype=bool)
# Seconds from R, width, and mV in I, II, V1 to V6 of each wave of a usual heart.
WAVES = (
    (-0.16, 0.025, (0.07, 0.12, 0.05, 0.06, 0.06, 0.06, 0.06, 0.06)),  # P
    (-0.025, 0.009, (-0.05, -0.08, 0.0, 0.0, 0.0, -0.03, -0.06, -0.06)),  # Q
    (0.0, 0.012, (0.7, 1.0, 0.2, 0.4, 0.8, 1.4, 1.5, 1.2)),  # R
    (0.03, 0.012, (-0.1, -0.15, -0.9, -1.3, -0.8, -0.5, -0.2, -0.1)),  # S
    (0.26, 0.05, (0.2, 0.3, -0.05, 0.4, 0.4, 0.4, 0.35, 0.3)),  # T
)


def heart(rate=500, seconds=10.0, beats_a_minute=70, seed=0) -> np.ndarray:
    """float64 mV `[12, T]` of a usual heart on a 1 uV grid; it obeys Einthoven's laws."""
    now = np.arange(round(seconds * rate)) / rate
    rng = np.random.default_rng(seed)
    ecg = rng.normal(0, 0.005, (12, len(now)))
    for r in np.arange(0.3, seconds, 60 / beats_a_minute) + rng.normal(0, 0.01):
        for place, width, mv in WAVES:
            wave = np.exp(-(((now - r - place) / width) ** 2))
            ecg[[0, 1, *range(6, 12)]] += np.array(mv)[:, None] * wave
    return np.round(derive_limb_leads(ecg), 3)


def names(ecg, rate=500, mask=ALL, **options) -> list[str]:
    return [f.name for f in quality.examine(ecg, mask, rate, **options)]


def flags(ecg, rate=500) -> str:
    (found,) = quality.flags(Recordings(ecg[None], ALL[None], rate))
    return found


# ---- planted faults: (recording, which one it is) -> recording ----


def swap_arms(ecg, i):
    out = ecg.copy()
    out[0] *= -1
    out[[1, 2, 3, 4]] = out[[2, 1, 4, 3]]
    return out


def invert_limb(ecg, i):
    out = ecg.copy()
    out[i % 6] *= -1
    return out


def exchange(ecg, i):
    out = ecg.copy()
    out[[4, 5]] = out[[5, 4]]
    return out


def flatten(ecg, i):
    out = ecg.copy()
    out[i % 12] = out[i % 12, 0]
    return out


def clip(ecg, i, share=0.6):
    out, lead = ecg.copy(), i % 12
    middle = np.median(out[lead])
    limit = share * np.abs(out[lead] - middle).max()
    out[lead] = out[lead].clip(middle - limit, middle + limit)
    return out


def hum(ecg, i, hz=50, mv=0.1, rate=500):
    wave = mv * np.sin(2 * np.pi * hz * np.arange(ecg.shape[1]) / rate + i)
    return ecg + derive_limb_leads(np.tile(wave, (12, 1)))


FAULTS = {  # name of the finding, fault, factor to the stated rate
    "arms": ("limb-reversal", swap_arms, 1),
    "inverted": ("limb-leads", invert_limb, 1),
    "exchanged": ("limb-leads", exchange, 1),
    "uV": ("gain", lambda ecg, i: 1000 * ecg, 1),
    "counts": ("gain", lambda ecg, i: 200 * ecg, 1),
    "volts": ("gain", lambda ecg, i: ecg / 1000, 1),
    "flat": ("flat", flatten, 1),
    "clipped": ("clipped", clip, 1),
    "upside down": ("polarity", lambda ecg, i: -ecg, 1),
    "rate halved": ("rate", lambda ecg, i: ecg, 0.5),
}


# ---- a usual heart ----


@pytest.mark.parametrize("rate", [100, 250, 360, 500, 1000])
@pytest.mark.parametrize("beats_a_minute", [50, 70, 100])
def test_nothing_is_said_of_a_usual_heart(rate, beats_a_minute):
    assert quality.examine(heart(rate, beats_a_minute=beats_a_minute), ALL, rate) == []
    assert flags(heart(rate), rate) == ""


@pytest.mark.parametrize("rate", [100, 250, 500])
@pytest.mark.parametrize("beats_a_minute", [45, 75, 130])
def test_the_heart_rate_is_that_of_the_beats(rate, beats_a_minute):
    slow = beats.slow_down(heart(rate, beats_a_minute=beats_a_minute), rate)
    slow = slow - slow.mean(axis=1, keepdims=True)
    found = beats.find_beats(slow[None], rate / beats.block_of(rate))
    assert found.found.all()
    assert found.heart_rate == pytest.approx(beats_a_minute, rel=0.03)
    assert abs(found.count[0] - beats_a_minute / 6) <= 1.5


@pytest.mark.parametrize("fault", FAULTS)
def test_each_planted_fault_is_found_and_named(fault):
    name, plant, factor = FAULTS[fault]
    found = quality.examine(plant(heart(), 2), ALL, 500 * factor)
    assert name in [f.name for f in found if f.spoils]
    assert name in flags(plant(heart(), 2), 500 * factor).split(",")


@pytest.mark.parametrize("hz", [50, 60])
def test_hum_is_named_by_its_frequency(hz):
    (found,) = quality.examine(hum(heart(), 0, hz), ALL, 500)
    assert found.name == "mains"
    assert f"hum of {hz} Hz, 7" in found.says  # 0.1 mV over the root of two
    assert found.remedy == f"filter {hz} Hz out"
    assert names(hum(heart(100), 0, hz, rate=100), 100) == []  # cannot be seen at 100 Hz


def test_findings_name_their_leads_and_explain():
    (found,) = quality.examine(exchange(heart(), 0), ALL, 500)
    assert found.says == "aVL and aVF exchanged"
    (found,) = quality.examine(flatten(heart(), 8), ALL, 500)
    assert found.leads == ("V3",)
    (found,) = quality.examine(clip(heart(), 9), ALL, 500)
    assert found.leads == ("V4",)
    one = heart()
    one[7] *= 1000
    found = quality.examine(one, ALL, 500)[0]
    assert (found.name, found.leads) == ("gain", ("V2",))
    assert str(found).startswith("gain (V2): up to ")


def test_the_header_is_quoted():
    line = "a.dat 16 1000/mV 16 0 0 0 0 I\n"
    header = parse_header("a 12 500 5000\n" + line * 12, "a.hea")
    (found,) = quality.examine(1000 * heart(), ALL, 500, header=header)
    assert "(the header says 1000/mV)" in found.says
    (found,) = quality.examine(heart(), ALL, 250, header=header)
    assert "at the header's 250 Hz a heart rate of 3" in found.says
    assert "500 Hz would make it usual" in found.says


@pytest.mark.parametrize(
    ("seconds", "wanted", "spoils"),
    [(10, [], []), (4, ["length"], [False]), (0.5, ["length"], [True])],
)
def test_short_recordings_are_noted_and_very_short_ones_spoil(seconds, wanted, spoils):
    found = quality.examine(heart(seconds=seconds), ALL, 500)
    assert [f.name for f in found] == wanted
    assert [f.spoils for f in found] == spoils


def test_gaps_are_noted_and_long_ones_spoil():
    ecg = heart()
    ecg[3, 100:150] = np.nan
    (found,) = quality.examine(ecg, ALL, 500)
    assert (found.name, found.leads, found.spoils) == ("gaps", ("aVR",), False)
    ecg[8, 1000:2000] = np.nan
    (found,) = quality.examine(ecg, ALL, 500)
    assert (found.leads, found.spoils) == (("aVR", "V3"), True)
    assert flags(ecg) == ""  # a store counts gaps in another column


def test_absent_leads_are_not_looked_at():
    ecg, mask = heart(), ALL.copy()
    mask[[2, 3, 4, 5, 8]] = False
    ecg[~mask] = np.nan
    assert names(ecg, mask=mask) == []
    only = np.zeros(12, dtype=bool)
    assert names(np.full((12, 5000), np.nan), mask=only) == []
    only[0] = True
    assert names(np.where(only[:, None], heart(), np.nan), mask=only) == []


def test_nothing_but_nan_or_zeros_is_said_without_a_warning():
    assert names(np.full((12, 5000), np.nan)) == ["gaps"]
    assert names(np.zeros((12, 5000))) == ["flat"]
    assert names(np.full((12, 5000), np.inf)) == ["gaps"]
    assert "rate" in names(np.where(np.arange(5000) == 9, 1.0, 0.0) * np.ones((12, 1)))


def test_the_input_is_left_as_it_was():
    ecg = heart()
    ecg[1, :9] = np.nan
    before = ecg.copy()
    quality.examine(ecg, ALL, 500)
    assert np.array_equal(ecg, before, equal_nan=True)


# ---- many at once ----


def mixed(rate: int) -> np.ndarray:
    """Hearts of all rates, each with a fault, one with gaps, one that stands still."""
    beats_a_minute = np.linspace(38, 180, len(FAULTS) + 4)
    made = [heart(rate, beats_a_minute=b, seed=i) for i, b in enumerate(beats_a_minute)]
    for i, (_, plant, _) in enumerate(FAULTS.values()):
        made[i] = plant(made[i], i)
    made[-1][:] = 0.3
    made[-2][7, 100:150], made[-2][1, 300:] = np.nan, np.nan
    made[-3][:, 5:-5] = 0.1
    return np.stack(made)


@pytest.mark.parametrize("rate", [100, 250, 500])
def test_recordings_looked_at_together_do_not_know_of_each_other(rate):
    ecg = mixed(rate)
    mask = np.ones((len(ecg), 12), dtype=bool)
    mask[3, [0, 8]] = False
    for samples in (ecg, np.nan_to_num(ecg * 1000).clip(-32767, 32767).round().astype(np.int16)):
        together = quality.examine_all(Recordings(samples, mask, rate))
        alone = [quality.examine(*each, rate) for each in zip(samples, mask)]
        assert together == alone and sum(map(bool, alone)) >= len(FAULTS)


@pytest.mark.parametrize(("rate", "samples"), [(250, 2500), (360, 3601), (500, 4999), (1000, 513)])
def test_slowing_down_is_the_mean_of_blocks(rate, samples):
    ecg = np.random.default_rng(0).normal(0, 1, (3, samples))
    block = beats.block_of(rate)
    wanted = ecg[:, : samples // block * block].reshape(3, -1, block).mean(axis=2)
    assert np.abs(beats.slow_down(ecg, rate) - wanted).max() < 1e-12
    assert 100 <= rate / block < 200


# ---- real recordings ----


@functools.cache
def real(rate: int) -> list[np.ndarray]:
    """Every fourth record at 100 Hz (500 of them), all 100 at 500 Hz."""
    below = sorted((SHARED / f"records{rate}").rglob("*.hea"))[:: 4 if rate == 100 else 1]
    return [read_wfdb(SHARED, path.relative_to(SHARED).as_posix()[:-4]).ecg for path in below]


@needs_real
@pytest.mark.parametrize("rate", [100, 500])
def test_at_most_one_real_record_in_twenty_is_said_to_be_spoiled(rate):
    findings = [quality.examine(ecg, ALL, rate) for ecg in real(rate)]
    share = np.mean([any(f.spoils for f in found) for found in findings])
    assert share <= 0.03
    for name in quality.NAMES:
        of_name = np.mean([any(f.name == name and f.spoils for f in found) for found in findings])
        assert of_name <= 0.02, name


@needs_real
@pytest.mark.parametrize("rate", [100, 500])
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_planted_in_real_records_are_found(fault, rate):
    name, plant, factor = FAULTS[fault]
    records = real(rate)[:200]
    found = [name in names(plant(ecg, i), rate * factor) for i, ecg in enumerate(records)]
    assert np.mean(found) >= (0.85 if fault == "upside down" else 0.9)


@needs_real
def test_hum_planted_in_real_records_is_found():
    clean = [*real(500), *(resample(ecg, 100, 500) for ecg in real(100)[:100])]
    assert not any("mains" in names(ecg) for ecg in clean)
    found = [names(hum(ecg, i, (50, 60)[i % 2], 0.05)) for i, ecg in enumerate(clean)]
    assert np.mean(["mains" in each for each in found]) >= 0.95


def test_every_name_is_known():
    assert len(set(quality.NAMES)) == len(quality.NAMES)
    assert {name for name, _, _ in FAULTS.values()} < set(quality.NAMES)
    assert len(LEADS) == len(quality_leads._POINTS)
