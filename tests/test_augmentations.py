"""Changes of ECGs: shapes, absent leads, stated ranges, and what must hold whatever is drawn."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import periodogram

from dbeta_lib import augmentations as aug
from dbeta_lib.config import ObjectiveConfig
from dbeta_lib.errors import UsageError
from dbeta_lib.leads import LEADS, SUBSETS, derive_limb_leads, subset_mask

RATE = 250
EVERYTHING = ObjectiveConfig(
    baseline_wander=0.1, mains_hum=0.05, muscle_noise=0.03, amplitude_scaling=1.25
)
CALLS = {
    "baseline_wander": lambda ecg, g: aug.baseline_wander(ecg, RATE, g),
    "mains_hum": lambda ecg, g: aug.mains_hum(ecg, RATE, g),
    "muscle_noise": lambda ecg, g: aug.muscle_noise(ecg, RATE, g),
    "scale_amplitude": aug.scale_amplitude,
    "time_shift": aug.time_shift,
    "drop_leads": aug.drop_leads,
    "keep_subset": aug.keep_subset,
    "varied": lambda ecg, g: aug.varied(ecg, EVERYTHING, RATE, g),
}
NOISES = ("baseline_wander", "mains_hum", "muscle_noise")
seeds = st.integers(0, 10_000)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def ecgs(n=4, samples=500, seed=0):
    """ECGs that obey Einthoven and Goldberger; lead V2 of the first record is absent."""
    drawn = np.random.default_rng(seed).normal(0, 0.3, (n, 12, samples))
    drawn = derive_limb_leads(drawn)
    drawn[0, 7] = 0
    return torch.from_numpy(drawn)


def test_every_change_is_tested():
    public = {
        n for n, f in vars(aug).items()
        if callable(f) and getattr(f, "__module__", "") == aug.__name__ and not n.startswith("_")
    }  # fmt: skip
    assert public == set(CALLS)


@pytest.mark.parametrize("name", CALLS)
@given(seed=seeds, n=st.integers(1, 4), samples=st.integers(20, 200))
@settings(max_examples=15, deadline=None)
def test_shape_type_absent_leads_and_the_given_ecg_stay_and_a_seed_decides(name, seed, n, samples):
    ecg = ecgs(n, samples, seed)
    before = ecg.clone()
    one, same = (CALLS[name](ecg, generator(seed)) for _ in range(2))
    assert one.shape == ecg.shape and one.dtype == ecg.dtype and one.isfinite().all()
    assert torch.equal(one, same) and torch.equal(ecg, before)
    assert (one[0, 7] == 0).all()
    assert CALLS[name](ecg.float(), generator(seed)).dtype == torch.float32


@pytest.mark.parametrize("name", CALLS)
def test_another_seed_and_another_record_are_changed_otherwise(name):
    ecg = ecgs(8)
    ecg[:] = ecg[1]
    one, other = CALLS[name](ecg, generator(0)), CALLS[name](ecg, generator(1))
    assert not torch.equal(one, other)
    assert len(torch.unique(one, dim=0)) > 1


@pytest.mark.parametrize("name", [n for n in CALLS if n not in ("drop_leads", "keep_subset")])
@given(seed=seeds)
@settings(max_examples=15, deadline=None)
def test_einthoven_and_goldberger_hold_afterwards(name, seed):
    changed = CALLS[name](ecgs(3, 100, seed), generator(seed)).numpy()
    np.testing.assert_allclose(changed, derive_limb_leads(changed), atol=1e-12)


@pytest.mark.parametrize("name", NOISES)
def test_noise_of_size_zero_changes_nothing_and_sizes_are_as_stated(name):
    ecg = torch.full((400, 12, 500), 1.0, dtype=torch.float64)
    call, g = getattr(aug, name), generator(0)
    assert torch.equal(call(ecg, RATE, g, largest=0.0), ecg)
    noise = call(ecg, RATE, g, largest=0.2) - ecg
    size = noise.std(-1) if name == "muscle_noise" else noise.abs().amax(-1)
    measured = size[:, list(aug.MEASURED)]
    assert measured.max() <= 0.2 + 1e-9 and measured.max() > 0.19 and measured.min() < 0.01
    assert 0.08 < measured.mean() < 0.11  # uniform from 0
    implied = [i for i in range(12) if i not in aug.MEASURED]
    assert size[:, implied].max() <= 0.4 + 1e-9


def test_each_noise_has_its_frequencies():
    ecg = torch.ones(50, 12, 10 * RATE, dtype=torch.float64)
    peaks, shares = {}, {}
    for name in NOISES:
        hertz, power = periodogram((CALLS[name](ecg, generator(0)) - ecg).numpy(), RATE)
        peaks[name], shares[name] = hertz[power.argmax(-1)], power.sum((0, 1)) / power.sum()
    assert peaks["baseline_wander"].min() >= 0.1 and peaks["baseline_wander"].max() <= 0.31
    assert (peaks["mains_hum"] == 50).all()
    assert shares["muscle_noise"][hertz <= 20].sum() < 1e-9
    high = shares["muscle_noise"][hertz > 20]
    assert high[: len(high) // 2].sum() == pytest.approx(0.5, abs=0.02)  # white


def test_a_rate_that_cannot_show_the_hum_is_left_alone():
    ecg = ecgs()
    assert torch.equal(aug.mains_hum(ecg, 100, generator(0)), ecg)
    assert torch.equal(aug.mains_hum(ecg, 120, generator(0), hertz=60.0), ecg)
    assert not torch.equal(aug.mains_hum(ecg, 130, generator(0), hertz=60.0), ecg)


@given(seed=seeds, low=st.floats(0.2, 1), ratio=st.floats(1, 4))
@settings(max_examples=30, deadline=None)
def test_amplitudes_are_scaled_by_one_factor_in_the_range(seed, low, ratio):
    ecg = torch.ones(6, 12, 10, dtype=torch.float64)
    scaled = aug.scale_amplitude(ecg, generator(seed), low, low * ratio)
    assert (scaled == scaled[:, :1, :1]).all()
    assert low * (1 - 1e-9) <= scaled.min() and scaled.max() <= low * ratio * (1 + 1e-9)


def test_scaling_by_one_is_identity_and_impossible_factors_are_refused():
    assert torch.equal(aug.scale_amplitude(ecgs(), generator(0), 1.0, 1.0), ecgs())
    for low, high in ((0.0, 1.0), (-1.0, 1.0), (2.0, 1.0)):
        with pytest.raises(UsageError, match="cannot be scaled"):
            aug.scale_amplitude(ecgs(), generator(0), low, high)
    factors = aug.scale_amplitude(torch.ones(4000, 12, 1), generator(0), 0.5, 2.0)[:, 0, 0]
    assert abs(float(factors.log().mean())) < 0.03  # as often halved as doubled


@given(seed=seeds, largest=st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_a_shift_rolls_all_leads_alike_by_no_more_than_asked(seed, largest):
    ecg = torch.arange(50.0).expand(5, 12, 50)
    shifted = aug.time_shift(ecg, generator(seed), largest)
    for row in shifted:
        by = int((row[0] == 0).nonzero()[0])
        assert torch.equal(row, ecg[0].roll(by, -1))
        assert min(by, 50 - by) <= round(largest * 50)


@given(seed=seeds, probability=st.floats(0, 0.99))
@settings(max_examples=30, deadline=None)
def test_dropping_leads_zeroes_whole_leads_and_keeps_one(seed, probability):
    ecg = ecgs(6, 20, seed)
    ecg[1, 1:] = 0  # a record of lead I
    dropped = aug.drop_leads(ecg, generator(seed), probability)
    kept = (dropped != 0).any(-1)
    assert kept.any(1).all() and kept[1].nonzero().flatten().tolist() == [0]
    assert torch.equal(dropped, ecg * kept[..., None])


def test_leads_are_dropped_as_often_as_asked():
    ecg = torch.ones(4000, 12, 2)
    assert torch.equal(aug.drop_leads(ecg, generator(0), 0.0), ecg)
    kept = aug.drop_leads(ecg, generator(0), 0.3)[..., 0].mean(0)
    assert (kept - 0.7).abs().max() < 0.03
    assert float(aug.drop_leads(ecg, generator(0), 0.999).sum(1).mean()) == pytest.approx(
        1, abs=0.05
    )


def test_a_subset_is_one_of_those_named():
    ecg = torch.ones(300, 12, 2)
    kept = aug.keep_subset(ecg, generator(0))[..., 0].bool().numpy()
    found = {tuple(row) for row in kept}
    assert found == {tuple(subset_mask(name)) for name in SUBSETS}
    ecg[0, [LEADS.index("I"), LEADS.index("V5")]] = 0
    kept = aug.keep_subset(ecg[:2], generator(0), ["I,V5"])
    assert torch.equal(kept[0], ecg[0])  # it has no lead of the set
    assert kept[1, :, 0].sum() == 2


def test_noise_for_other_than_twelve_leads_is_refused():
    with pytest.raises(UsageError, match="8 leads given"):
        aug.muscle_noise(torch.ones(2, 8, 100), RATE, generator(0))
    assert math.isclose(float(aug.time_shift(torch.ones(2, 8, 9), generator(0)).mean()), 1)


@pytest.mark.parametrize(
    ("asked", "alone"),
    [
        ({"baseline_wander": 0.3}, lambda ecg, g: aug.baseline_wander(ecg, RATE, g, 0.3)),
        ({"mains_hum": 0.2}, lambda ecg, g: aug.mains_hum(ecg, RATE, g, 0.2)),
        ({"muscle_noise": 0.1}, lambda ecg, g: aug.muscle_noise(ecg, RATE, g, 0.1)),
        ({"amplitude_scaling": 1.5}, lambda ecg, g: aug.scale_amplitude(ecg, g, 1 / 1.5, 1.5)),
        ({}, lambda ecg, g: ecg),
    ],
)
def test_a_config_s_field_is_the_change_of_its_name_and_size(asked, alone):
    ecg = ecgs()
    changed = aug.varied(ecg, ObjectiveConfig(**asked), RATE, generator(3))
    assert torch.equal(changed, alone(ecg, generator(3)))
