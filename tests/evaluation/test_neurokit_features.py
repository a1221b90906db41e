"""NeuroKit2's measurements against what the drawn ECGs are known to have."""

import sys
import warnings

import numpy as np
import pytest
import torch

from dbeta_lib.data.synthetic import generate
from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation import neurokit_features as kit
from dbeta_lib.evaluation.baselines import HandMadeFeatures
from dbeta_lib.evaluation.encoders import check_encoder, identity, to_encoder_input
from dbeta_lib.evaluation.features import extract
from dbeta_lib.leads import LEADS, derive_limb_leads

pytest.importorskip("neurokit2", reason="NeuroKit2 (the extra 'features') is not installed")

NAMES = kit.NeuroKitFeatures.names


@pytest.fixture(scope="module")
def cohort():
    """120 drawn records with the truth about them, their labels, and what is measured."""
    ecg, records, labels = generate(40, 3, 100, seed=4)
    encoder = kit.NeuroKitFeatures()
    mask = np.ones(ecg.shape[:2], bool)
    found = encoder.encode_ecg(*to_encoder_input(ecg / np.float32(1000), mask, 100, encoder))
    assert not encoder.failed
    return records, labels, dict(zip(NAMES, found.double().numpy().T, strict=True))


def plain(rate: float = 75, qrs: float = 0.018, samples: int = 5000) -> np.ndarray:
    """mV `[12, T]` at 500 Hz: P 160 ms before R, R, T 280 ms after, as Gaussians."""
    time = np.arange(samples) / 500
    wave = sum(
        height * np.exp(-(((time - beat - centre) / sigma) ** 2) / 2)
        for beat in np.arange(0.4, samples / 500, 60 / rate)
        for centre, sigma, height in ((-0.16, 0.02, 0.15), (0, qrs, 1.2), (0.28, 0.05, 0.3))
    )
    gain = np.array([0.8, 1.2, 0, 0, 0, 0, -0.6, 0.4, 0.8, 1.2, 1.1, 0.9])
    return derive_limb_leads(np.asarray(wave) * gain[:, None])


def measured(ecg: np.ndarray, **how) -> dict[str, float]:
    row, reason = kit.measure(ecg, 500, **how)
    return dict(zip(NAMES, row, strict=True)) | {"reason": reason}


def test_the_heart_rate_of_regular_rhythms_is_within_two_beats_a_minute(cohort):
    records, labels, found = cohort
    sinus = labels.filter(like="sinus").any(axis=1)
    ectopic = labels.filter(regex="premature").any(axis=1)
    rows = np.flatnonzero(sinus & ~ectopic)
    assert len(rows) > 40
    off = np.abs(found["rate"][rows] - records["heart_rate"].to_numpy()[rows])
    assert (off < 2).mean() > 0.96, off.round(1)


def test_a_left_bundle_branch_block_has_a_wider_qrs_than_a_normal_ecg(cohort):
    _, labels, found = cohort
    lbbb = labels["left bundle branch block"].to_numpy() == 1
    normal = labels["normal ecg"].to_numpy() == 1
    assert lbbb.sum() >= 3 and normal.sum() >= 10
    assert np.median(found["qrs_ms"][lbbb]) > np.median(found["qrs_ms"][normal]) + 15


def test_intervals_and_axis_follow_the_truth(cohort):
    records, labels, found = cohort
    known = records["pr_ms"].notna() & labels.filter(like="sinus").any(axis=1)
    rows = np.flatnonzero(known & (found["no_p"] == 0) & (found["no_t"] == 0))
    assert len(rows) > 40
    for name, least in (("pr_ms", 0.6), ("qt_ms", 0.6)):
        truth = records[name].to_numpy()[rows]
        assert np.corrcoef(found[name][rows], truth)[0, 1] > least, name
        assert abs(np.median(found[name][rows] - truth)) < 40, name
    angle = np.degrees(np.arctan2(found["qrs_axis_sin"], found["qrs_axis_cos"]))
    off = (angle - records["axis_deg"].to_numpy() + 180) % 360 - 180
    assert np.median(np.abs(off)) < 25


def test_plain_values_are_read_off():
    found = measured(plain())
    assert found["reason"] == "" and found["no_beats"] == found["no_p"] == found["no_t"] == 0
    assert found["rate"] == pytest.approx(75, abs=0.5) and found["rr_sd_ms"] < 3
    assert found["r_II"] == pytest.approx(1.2 * 1.2, rel=0.05)
    assert found["s_V1"] == pytest.approx(-0.6 * 1.2, rel=0.05)
    assert found["t_II"] == pytest.approx(0.3 * 1.2, rel=0.1)
    assert found["t_V1"] == pytest.approx(-0.3 * 0.6, rel=0.1)
    assert found["p_II"] == pytest.approx(0.15 * 1.2, rel=0.25)
    # I is 0.8, II 1.2: aVF = II - I / 2 = 0.8, longer by 2 / sqrt(3) as a bipolar lead
    angle = np.degrees(np.arctan2(found["qrs_axis_sin"], found["qrs_axis_cos"]))
    assert angle == pytest.approx(np.degrees(np.arctan2(0.8 * 2 / np.sqrt(3), 0.8)), abs=1)
    assert found["qtc_ms"] == pytest.approx(found["qt_ms"] / np.sqrt(0.8), rel=0.01)
    wide = measured(plain(qrs=0.04))
    assert wide["qrs_ms"] > found["qrs_ms"] + 30


@pytest.mark.parametrize(
    "ecg",
    [np.zeros((12, 5000)), np.ones((12, 5000)), plain(samples=20), plain(samples=400)],
    ids=["zeros", "constant", "too short for the filter", "one beat"],
)
def test_without_beats_the_usual_values_stand_and_say_so(ecg):
    encoder = kit.NeuroKitFeatures()
    out = encoder.encode_ecg(torch.from_numpy(np.stack([ecg, ecg])))
    found = dict(zip(NAMES, out[0].tolist()))
    assert {name: found[name] for name in kit.USUAL} == pytest.approx(kit.USUAL)
    assert found["no_beats"] == found["no_p"] == found["no_qrs"] == found["no_t"] == 1
    assert found["r_II"] == found["qrs_axis_cos"] == 0
    assert encoder.failed.total() == 2 and len(encoder.failed) == 1


def test_noise_and_damaged_records_give_finite_numbers():
    rng = np.random.default_rng(0)
    odd = [
        rng.normal(0, 1, (12, 5000)), np.cumsum(rng.normal(0, 0.02, (12, 5000)), axis=1),
        np.round(rng.normal(0, 0.003, (12, 5000)), 2), np.clip(plain() * 50, -1, 1),
        np.where(np.arange(5000) < 2500, plain(), 0), (rng.random((12, 5000)) < 0.002) * 3.0,
    ]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = kit.NeuroKitFeatures().encode_ecg(torch.from_numpy(np.stack(odd)))
    assert torch.isfinite(out).all()


def test_an_error_of_our_own_is_not_swallowed(monkeypatch):
    def broken(*args, **kwargs):
        raise TypeError("a changed interface")

    monkeypatch.setattr(kit, "delineate", broken)
    with pytest.raises(TypeError, match="changed interface"):
        kit.measure(plain(), 500)


def test_a_masked_lead_has_no_amplitude_and_is_not_delineated():
    mask = torch.ones(1, 12, dtype=torch.bool)
    mask[0, [LEADS.index("V5"), LEADS.index("V3")]] = False
    out = kit.NeuroKitFeatures().encode_ecg(torch.from_numpy(plain())[None], mask)
    found = dict(zip(NAMES, out[0].tolist()))
    assert found["r_V5"] == found["t_V3"] == 0 and found["r_V4"] > 1
    assert found["no_beats"] == 0 and found["rate"] == pytest.approx(75, abs=0.5)
    masked = plain() * mask[0].numpy()[:, None]
    assert kit.choose_lead(masked, "V5") == LEADS.index("II")
    assert kit.choose_lead(plain(), "V6") == LEADS.index("V6")


def test_marks_belong_to_the_beat_that_no_other_beat_parts_them_from():
    beats = np.array([10, 50, 90])
    before = kit._by_beat([45, np.nan, 85], beats, True)  # the first beat's stood at sample 0
    np.testing.assert_array_equal(before, [np.nan, 45, 85])
    after = kit._by_beat([55, 100], beats, False)
    np.testing.assert_array_equal(after, [np.nan, 55, 100])
    assert np.isnan(kit._middle(np.array([1.0, np.nan, np.nan])))
    assert kit._middle(np.array([1.0, 3.0, np.nan])) == 2


def test_the_same_in_processes_and_again(cohort):
    ecg = torch.from_numpy(np.stack([plain(60), plain(90), np.zeros((12, 5000))]))
    here, there = kit.NeuroKitFeatures(), kit.NeuroKitFeatures(workers=2)
    assert torch.equal(here.encode_ecg(ecg), there.encode_ecg(ecg))
    assert torch.equal(here.encode_ecg(ecg), here.encode_ecg(ecg[:3]))
    assert here.failed.total() == 3 and there.failed.total() == 1


def test_features_of_a_store_are_kept_under_their_own_key(store, tmp_path):
    encoder = kit.NeuroKitFeatures()
    check_encoder(encoder)
    keys = {identity(e) for e in (encoder, kit.NeuroKitFeatures("II"), HandMadeFeatures())}
    assert len(keys) == 3 and identity(kit.NeuroKitFeatures()) in keys
    rows = np.arange(6)
    found = extract(encoder, store, rows, tmp_path, progress=False)
    assert found.shape == (6, len(NAMES)) and np.isfinite(found).all()
    extract(HandMadeFeatures(), store, rows, tmp_path, progress=False)
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_without_neurokit_the_remedy_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "neurokit2", None)
    with pytest.raises(UsageError, match=r'pip install "dbeta_lib\[features\]"'):
        kit.NeuroKitFeatures()
    monkeypatch.undo()
    with pytest.raises(UsageError, match="'X1' is no lead"):
        kit.NeuroKitFeatures("X1")
