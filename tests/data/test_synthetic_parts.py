"""The synthetic cohort's parts against slow formulas, physiology and the words of its reports."""

import re

import numpy as np
import pytest
from scipy.stats import rankdata

from dbeta_lib.data import synthetic
from dbeta_lib.data import synthetic_patients as who
from dbeta_lib.data.synthetic_beats import Wave, build_beats
from dbeta_lib.data.synthetic_noise import electrode_noise, electrodes_to_leads, resample_steeply
from dbeta_lib.data.synthetic_rhythm import ATRIAL_BEAT, VENTRICULAR_BEAT, draw_rhythm, heart_rate
from dbeta_lib.data.synthetic_signals import _PAD, _add_wave
from dbeta_lib.data.synthetic_vectors import (
    DOWER,
    frontal_axis,
    lead_matrix,
    rotation,
    turn_to_axis,
)
from dbeta_lib.seeds import rng


class Drawn:
    """A cohort without signals: cheap, so large enough for statistics."""

    def __init__(self, patients: int = 1334, each: int = 3):
        random = rng(0, "test")
        self.people = who.draw_patients(random, patients)
        self.visits = who.draw_visits(random, self.people, each)
        age = self.people.age[self.visits.patient]
        self.rhythm = draw_rhythm(random, self.visits, age, 10.0)
        self.rate = heart_rate(self.rhythm, 10.0)
        self.beats = build_beats(random, self.people, self.visits, self.rate)
        self.extras = synthetic._seen_extras(self.visits, self.rhythm)
        self.labels = synthetic._labels(self.visits, self.extras)
        found = synthetic._findings(self.people, self.visits, self.extras, self.rate)
        self.reports = [synthetic.write_report(random, each_) for each_ in found]


@pytest.fixture(scope="module")
def drawn():
    return Drawn()


def intervals(drawn, row):
    inside = (drawn.rhythm.times[row] > -0.5) & (drawn.rhythm.times[row] < 10.5)
    return np.diff(drawn.rhythm.times[row][inside]), drawn.rhythm.kind[row][inside]


def lead_beat(drawn, row, ms):
    """Noise-free QRS of an average torso in the eight independent leads `[8, len(ms)]`."""
    wave = drawn.beats.qrs
    kernels = [
        np.exp(-(((ms - c) / w) ** 2) / 2)
        for c, w in zip(wave.centres[row], wave.widths[row], strict=True)
    ]
    torso = np.array(DOWER) * np.exp(who._LEAD_GAIN)[:, None]
    return torso @ (wave.vectors[row].T @ np.array(kernels))


def test_waves_are_added_as_the_slow_formula_says():
    random = np.random.default_rng(0)
    wave = Wave(
        random.uniform(-80, 200, (2, 4)),
        random.uniform(8, 40, (2, 4)),
        random.normal(size=(2, 4, 3)),
    )
    times, gain = random.uniform(-0.3, 2.3, (2, 5)), random.uniform(0.9, 1.1, (2, 5))
    where = random.random((2, 5)) < 0.8
    heart = np.zeros((2, 3, 1000 + 2 * _PAD))
    _add_wave(heart, wave, times, gain, where)
    slow = np.zeros_like(heart)
    for n, b in zip(*np.nonzero(where), strict=True):
        for k in range(4):
            for t in range(heart.shape[2]):
                ms = (t - _PAD) * 2.0 - 1000 * times[n, b]
                size = np.exp(-0.5 * ((ms - wave.centres[n, k]) / wave.widths[n, k]) ** 2)
                slow[n, :, t] += gain[n, b] * size * wave.vectors[n, k]
    assert np.abs(heart - slow).max() < 3e-3  # the kernels end at four widths, exp(-8)


def test_a_lead_matrix_without_shift_and_gain_is_dowers():
    assert np.allclose(lead_matrix(np.zeros(1), np.ones((1, 8)))[0], DOWER)
    shifted = lead_matrix(np.ones(1), np.ones((1, 8)))[0]
    assert np.allclose(shifted[2:7], np.array(DOWER)[3:8])


def test_rotations_keep_lengths_and_turn_the_axis_as_named():
    turn = rotation(np.array([30.0]), np.array([20.0]), np.array([-10.0]))[0]
    assert np.allclose(turn @ turn.T, np.eye(3)) and np.linalg.det(turn) == pytest.approx(1)
    left = np.array([[[1.0, 0.2, 0.0]]])
    down = left @ rotation(np.array([40.0]), np.zeros(1), np.zeros(1)).transpose(0, 2, 1)
    assert frontal_axis(down) > frontal_axis(left)
    assert frontal_axis(turn_to_axis(left, np.array([-50.0]))) == pytest.approx(-50, abs=1)


def test_atrial_fibrillation_is_irregular_and_without_p(drawn):
    fibrillation = np.flatnonzero(drawn.visits.rhythm == who.FIBRILLATION)
    regular = np.flatnonzero((drawn.visits.rhythm == who.SINUS) & ~drawn.visits.extras.any(axis=1))

    def spread(rows):
        return [np.std(rr) / np.mean(rr) for rr, _ in (intervals(drawn, row) for row in rows[:150])]

    assert np.quantile(spread(fibrillation), 0.05) > np.median(spread(regular))
    assert np.median(spread(fibrillation)) > 0.13
    assert np.isnan(drawn.rhythm.p_times[fibrillation]).all()
    assert not np.isnan(drawn.rhythm.p_times[regular]).any()


def test_flutter_beats_come_after_whole_numbers_of_flutter_waves(drawn):
    for row in np.flatnonzero(drawn.visits.rhythm == who.FLUTTER)[:50]:
        waves = intervals(drawn, row)[0] / drawn.rhythm.atrial_period[row]
        assert np.allclose(waves, np.rint(waves), atol=1e-6) and waves.min() > 1.5


def test_a_ventricular_beat_is_early_and_followed_by_a_compensatory_pause(drawn):
    sinus = (drawn.visits.rhythm == who.SINUS) & drawn.extras[:, who.PVC]
    early, both = [], []
    for row in np.flatnonzero(sinus & ~drawn.extras[:, who.PAC]):
        rr, kind = intervals(drawn, row)
        usual = np.median(rr[kind[1:] == 0])
        for i in np.flatnonzero(kind[1:-1] == VENTRICULAR_BEAT):
            early.append(rr[i] / usual)
            both.append((rr[i] + rr[i + 1]) / usual)
    assert np.quantile(early, 0.9) < 0.85
    assert np.median(both) == pytest.approx(2, abs=0.08)


def test_an_atrial_beat_is_early_and_resets_the_sinus_node(drawn):
    both = []
    for row in np.flatnonzero(drawn.extras[:, who.PAC] & (drawn.visits.rhythm == who.SINUS)):
        rr, kind = intervals(drawn, row)
        usual = np.median(rr)
        both += [(rr[i] + rr[i + 1]) / usual for i in np.flatnonzero(kind[1:-1] == ATRIAL_BEAT)]
    assert np.quantile(both, 0.8) < 1.95


def test_beats_reach_beyond_both_ends_of_the_record(drawn):
    times = drawn.rhythm.times
    assert times[:, 0].max() < -0.6 and times[:, -1].min() > 10.6
    assert (np.diff(times, axis=1) > 0.2).all()


def test_beats_look_as_the_findings_demand(drawn):
    """Each in clean leads of an average torso: what defines the finding is there in most."""
    ms = np.arange(-120, 200, 2.0)
    shows, single = drawn.visits.shows, drawn.visits.shows.sum(axis=1) == 1
    none = ~shows.any(axis=1)

    def share(finding, test, n=60):
        rows = np.flatnonzero(none if finding is None else shows[:, finding] & single)[:n]
        return np.mean([test(lead_beat(drawn, row, ms)) for row in rows])

    v1, v2, v5, v6, one = 2, 3, 6, 7, 0
    late, early = ms > 30, (ms > -60) & (ms < 0)
    assert share(who.LBBB, lambda b: -b[v1].min() > 3 * b[v1].max() and b[v6].max() > 0.3) > 0.8
    assert share(who.RBBB, lambda b: b[v1][late].max() > 0.2 and b[one][late].min() < -0.1) > 0.85
    assert share(None, lambda b: b[v1][late].max() > 0.2) < 0.1
    assert share(who.LVH, lambda b: b[v5].max() - b[v1].min() > 2.8) > 0.6
    assert share(None, lambda b: b[v5].max() - b[v1].min() > 3.5) < 0.15
    assert share(who.ANTERIOR, lambda b: b[v2][early].max() < 0.12) > 0.7
    assert share(None, lambda b: b[v2][early].max() < 0.12) < 0.1

    def inferior_q(b):
        avf = b[1] - b[0] / 2
        return avf[early].min() < -0.1 and avf.max() > 0.15

    assert share(who.INFERIOR, inferior_q) > 0.75
    assert share(None, inferior_q) < 0.3


def test_anti_aliasing_keeps_the_ecg_and_removes_what_100_hz_cannot_hold():
    t = np.arange(5500) / 500
    low, mains, high = (np.sin(2 * np.pi * f * t)[None] for f in (30, 50, 70))

    def size(x):
        return resample_steeply(x, 500, 100)[0, 100:-100].std() * np.sqrt(2)

    assert size(low) == pytest.approx(1, abs=0.01)
    assert size(mains) < 0.01 and size(high) < 0.001


def test_noise_at_the_limbs_is_shared_by_all_leads_and_has_mains_only_at_500_hz():
    noise = electrode_noise(np.random.default_rng(0), 40, 5000, 500)
    leads = electrodes_to_leads(noise)
    assert leads.shape == (40, 8, 5000)
    arm = np.zeros((1, 9, 10))
    arm[:, 0] = 3.0  # the right arm alone
    assert np.allclose(electrodes_to_leads(arm)[0, :, 0], [-3, -3, -1, -1, -1, -1, -1, -1])
    assert 0.004 < np.median(leads.std(axis=2)) < 0.1


def test_duplicates_are_about_as_frequent_as_in_mimic(drawn):
    distinct = len(set(drawn.reports)) / len(drawn.reports)
    assert 0.17 < distinct < 0.28  # MIMIC-IV-ECG: 180,000 of 800,000


WORDS = {
    "atrial fibrillation": "fib",
    "atrial flutter": "flutter",
    "sinus bradycardia": "bradycardia|slow rate",
    "sinus tachycardia": "tachycardia|rapid rate",
    "first degree av block": "1st degree|first degree|pr interval|long pr",
    "premature ventricular contractions": r"\bventricular (contraction|premature|ectopic)|pvc",
    "premature atrial contractions": "atrial (contraction|premature)|supraventricular ectopic|pac",
    "left bundle branch block": "left bundle|lbbb",
    "right bundle branch block": "right bundle|rbbb",
    "left ventricular hypertrophy": "hypertrophy|lvh",
    "anterior infarct": "anterior infarct|anterior myocardial|anteroseptal",
    "inferior infarct": "inferior infarct|inferior myocardial",
    "st depression": "st depression|depressed",
    "t wave inversion": "t wave inversion|inverted",
    "long qt interval": "(prolonged|long) qt|qt prolongation",
    "left axis deviation": "axis",
}


@pytest.mark.parametrize("condition", WORDS)
def test_a_report_names_exactly_what_the_label_says(drawn, condition):
    pattern = re.compile(WORDS[condition])
    said = np.array([bool(pattern.search(report)) for report in drawn.reports])
    assert np.array_equal(said, drawn.labels[condition].to_numpy() == 1)


def test_only_normal_records_are_called_normal(drawn):
    normal = re.compile(r"(?<!otherwise )\bnormal ecg|normal limits|no abnormality")
    said = np.array([bool(normal.search(report)) for report in drawn.reports])
    assert np.array_equal(said, drawn.labels["normal ecg"].to_numpy() == 1)


def test_heart_rate_alone_does_not_tell_the_conditions(drawn):
    areas = []
    for condition in synthetic.CONDITIONS:
        y = drawn.labels[condition].to_numpy() == 1
        ranks = rankdata(drawn.rate)
        n = y.sum()
        area = (ranks[y].sum() - n * (n + 1) / 2) / (n * (len(y) - n))
        areas.append(max(area, 1 - area))
    assert np.mean(areas) < 0.68
