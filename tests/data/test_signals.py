"""Cleaning and quantising: what is kept, what is masked, what is refused."""

import ast
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbeta_lib.data import signals
from dbeta_lib.data.recordings import Recordings
from dbeta_lib.data.signals import (
    Rejected,
    bits,
    resample,
    to_signal,
    to_signals,
    unpack_bits,
)

ALL = (1 << 12) - 1


def test_samples_are_within_half_a_microvolt(make_beats):
    ecg = make_beats(0) + 0.0003
    signal = to_signal(ecg)
    assert signal.uv.dtype == np.int16
    assert np.abs(signal.uv / 1000 - ecg).max() <= 0.0005 + 1e-9
    assert (signal.leads_present, signal.nan_filled, signal.flat_leads) == (ALL, 0, 0)


def test_a_lead_that_was_not_recorded_is_zeros_and_masked(make_beats):
    mask = np.ones(12, bool)
    mask[7] = False
    ecg = make_beats(0)
    ecg[7] = 123.0  # whatever stands there is not looked at
    signal = to_signal(ecg, mask)
    assert not signal.uv[7].any()
    assert signal.leads_present == ALL - (1 << 7)


@pytest.mark.parametrize(("gap", "kept"), [(1, True), (50, True), (51, False), (1000, False)])
def test_gaps_up_to_five_per_cent_are_interpolated_and_counted(make_beats, gap, kept):
    ecg = make_beats(1)
    ecg[3, 1000 - gap - 100 : 900] = np.nan
    ecg[3, : max(0, gap - 900)] = np.nan
    ecg[3, 900:] = np.nan if gap == 1000 else ecg[3, 900:]
    signal = to_signal(ecg)
    assert bool(signal.leads_present >> 3 & 1) is kept
    assert signal.nan_filled == (gap if kept else 0)
    assert signal.uv[3].any() == kept


def test_interpolation_is_linear_and_holds_the_edges(make_beats):
    ecg = make_beats(2)
    ecg[0, 10:14], ecg[0, 9], ecg[0, 14] = np.nan, 0.1, 0.6
    ecg[1, :5], ecg[1, 5] = np.nan, -0.25
    ecg[2, 100] = np.inf  # not finite counts as not valid
    signal = to_signal(ecg)
    assert signal.uv[0, 10:14].tolist() == [200, 300, 400, 500]
    assert signal.uv[1, :5].tolist() == [-250] * 5
    assert signal.nan_filled == 4 + 5 + 1


def test_a_flat_lead_stays_as_recorded_and_is_flagged(make_beats):
    ecg = make_beats(3)
    ecg[5] = 0.4
    signal = to_signal(ecg)
    assert (signal.uv[5] == 400).all()
    assert signal.flat_leads == 1 << 5
    assert signal.leads_present == ALL


@pytest.mark.parametrize("level", [32.768, -32.768, 40.0, -70.0])
def test_a_flat_lead_beyond_int16_is_refused_like_any_other(make_beats, level):
    ecg = make_beats(3)
    ecg[5] = level
    with pytest.raises(Rejected) as caught:
        to_signal(ecg)
    assert caught.value.reason == "beyond 32.767 mV"
    mask = np.arange(12) != 5
    assert not to_signal(ecg, mask).uv[5].any()  # not recorded: whatever stands there is zeroed
    ecg[5] = np.sign(level) * 32.767
    assert (to_signal(ecg).uv[5] == np.sign(level) * 32767).all()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda ecg: ecg * np.nan, "all leads bad"),
        (lambda ecg: ecg * 0 + 1, "all leads bad"),
        (lambda ecg: ecg * 1000, "beyond 32.767 mV"),
        (lambda ecg: ecg / 1000, "amplitude implausible"),
        (lambda ecg: ecg[:8], "wrong shape"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_reason(make_beats, change, reason):
    with pytest.raises(Rejected) as caught:
        to_signal(change(make_beats(4)))
    assert caught.value.reason == reason
    assert pickle.loads(pickle.dumps(caught.value)).detail == caught.value.detail


def test_volts_are_named_in_the_reason(make_beats):
    with pytest.raises(Rejected, match="volts where mV are expected"):
        to_signal(make_beats(4) / 1000)


def test_the_largest_amplitudes_of_int16_are_kept_and_no_more(make_beats):
    ecg = make_beats(5)
    ecg[0, :2] = 32.767, -32.767
    assert to_signal(ecg).uv[0, :2].tolist() == [32767, -32767]
    ecg[0, 0] = 32.768
    with pytest.raises(Rejected):
        to_signal(ecg)


@settings(max_examples=40, deadline=None)
@given(
    gaps=st.lists(
        st.tuples(st.integers(0, 11), st.integers(0, 199), st.integers(1, 15)), max_size=6
    )
)
def test_cleaning_agrees_with_a_slow_loop(gaps):
    rng = np.random.default_rng(7)
    ecg = rng.normal(0, 1, (12, 200))
    for lead, start, length in gaps:
        ecg[lead, start : start + length] = np.nan
    signal = to_signal(ecg)
    filled = 0
    for lead in range(12):
        bad = [t for t in range(200) if np.isnan(ecg[lead, t])]
        if len(bad) > 10:
            assert not signal.leads_present >> lead & 1
            assert not signal.uv[lead].any()
            continue
        filled += len(bad)
        good = [t for t in range(200) if t not in bad]
        for t in range(200):
            before = max((g for g in good if g <= t), default=good[0])
            after = min((g for g in good if g >= t), default=good[-1])
            share = 0 if after == before else (t - before) / (after - before)
            value = ecg[lead, before] + share * (ecg[lead, after] - ecg[lead, before])
            assert abs(signal.uv[lead, t] - value * 1000) <= 0.5 + 1e-6
    assert signal.nan_filled == filled


@given(st.lists(st.booleans(), min_size=12, max_size=12))
def test_bits_and_back(mask):
    packed = bits(np.array(mask))
    assert packed == sum(2**i for i, present in enumerate(mask) if present)
    assert unpack_bits(np.array([packed]))[0].tolist() == mask


def test_resampling_keeps_a_slow_wave_and_its_gaps():
    time = np.arange(5000) / 500
    ecg = np.tile(np.sin(2 * np.pi * 1.3 * time), (12, 1))
    ecg[4, 1000:1100] = np.nan
    out = resample(ecg, 500, 100)
    assert out.shape == (12, 1000)
    wanted = np.sin(2 * np.pi * 1.3 * np.arange(1000) / 100)
    assert np.abs(out[0] - wanted)[20:-20].max() < 2e-3
    assert np.flatnonzero(np.isnan(out[4])).tolist() == list(range(200, 220))
    assert not np.isnan(out[[0, 1, 2, 3, 5]]).any()


def test_resampling_takes_away_what_the_lower_rate_cannot_hold():
    time = np.arange(5000) / 500
    out = resample(np.tile(np.sin(2 * np.pi * 180 * time), (12, 1)), 500, 100)
    assert np.abs(out[:, 20:-20]).max() < 0.01


@pytest.mark.parametrize(
    ("rate", "to_rate"),
    [(257, 500), (257, 100), (400, 500), (360, 500), (250, 500), (500, 100), (360.5, 500)],
)
def test_resampling_leaves_a_flat_lead_exactly_flat(rate, to_rate):
    ecg = np.random.default_rng(3).normal(0, 1, (12, round(10 * rate)))
    ecg[4], ecg[7], ecg[9] = 0.4, -1.0 / 3, 0.0
    ecg[4, 100:110] = np.nan  # a gap in a flat lead does not make it move
    out = resample(ecg, rate, to_rate)
    assert set(out[4][np.isfinite(out[4])]) == {0.4} and np.isnan(out[4]).any()
    assert set(out[7]) == {-1.0 / 3} and set(out[9]) == {0.0}
    assert to_signal(out).flat_leads == 1 << 4 | 1 << 7 | 1 << 9


def test_many_at_once_are_each_what_it_is_alone(make_beats):
    ecg = np.stack([make_beats(seed) for seed in range(8)])
    mask = np.ones((8, 12), bool)
    ecg[1, 3, 50:70], ecg[2, 4, :200] = np.nan, np.inf
    ecg[3], ecg[4], ecg[5, 0, 0] = 0.2, ecg[4] / 1000, 40.0
    mask[6, 2] = False
    for signal, samples, leads in zip(to_signals(Recordings(ecg, mask, 100)), ecg, mask):
        try:
            wanted = to_signal(samples, leads)
        except Rejected as reason:
            assert str(signal) == str(reason)
        else:
            assert np.array_equal(signal.uv, wanted.uv)
            assert signal.replace(uv=None) == wanted.replace(uv=None)
    assert np.isnan(ecg[1, 3, 60]) and ecg[6, 2].any()  # what was given is left as it was


def test_every_reason_for_setting_a_record_aside_comes_with_a_remedy():
    """Reasons are literals at the call of `Rejected`; the few of tables explain themselves."""
    package = Path(signals.__file__).parents[1]
    calls = [
        node
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Rejected"
    ]
    reasons = {call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)}
    assert len(reasons) > 8 and reasons == set(signals.REMEDIES)
