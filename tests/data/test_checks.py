"""Einthoven's and Goldberger's laws on sound and on damaged recordings."""

from itertools import combinations

import numpy as np
import pytest

from dbeta_lib.data import checks
from dbeta_lib.data.checks import einthoven_residual, find_swapped_leads, verify
from dbeta_lib.data.signals import Record, to_signal
from dbeta_lib.data.writer import StoreWriter
from dbeta_lib.errors import DBetaError
from dbeta_lib.leads import LEADS, derive_limb_leads


@pytest.fixture
def ecg(make_beats):
    """Six records whose limb leads are all unlike (two that look alike may be exchanged unseen)."""
    ecg = np.stack([make_beats(seed) for seed in range(6)])
    wave = ecg[:, 7] / np.ptp(ecg[:, 7], axis=1, keepdims=True)
    ecg[:, 0], ecg[:, 1] = 0.4 * wave, 1.1 * wave
    return np.round(derive_limb_leads(ecg), 3)


def test_sound_recordings_have_no_residual_and_no_finding(ecg):
    assert einthoven_residual(ecg).max() < 1e-3
    assert find_swapped_leads(ecg) == [""] * 6


def test_the_residual_is_the_rms_of_the_four_equations(ecg):
    ecg = ecg + np.random.default_rng(0).normal(0, 0.05, ecg.shape)
    for row, value in zip(ecg, einthoven_residual(ecg)):
        one, two, three, r, left, foot = row[:6]
        errors = [three - (two - one), r + (one + two) / 2, left - (one - two / 2),
                  foot - (two - one / 2)]  # fmt: skip
        assert value == pytest.approx(np.sqrt(np.mean(np.square(errors))))


def test_the_finding_rests_on_the_residual_over_the_rms(ecg):
    """Worked out from the products of the leads, it is that of the samples."""
    ecg = ecg + np.random.default_rng(1).normal(0, 0.02, ecg.shape) * np.arange(6)[:, None, None]
    limb = ecg[:, :6]
    direct = einthoven_residual(ecg) / np.sqrt(np.mean(limb**2, axis=(1, 2)))
    assert checks._relative(limb @ limb.transpose(0, 2, 1)) == pytest.approx(direct, rel=1e-6)


@pytest.mark.parametrize(("a", "b"), list(combinations(range(6), 2)))
def test_every_exchange_of_two_limb_leads_is_named(ecg, a, b):
    ecg[2:, [a, b]] = ecg[2:, [b, a]]
    wanted = f"{LEADS[a]} and {LEADS[b]} exchanged"
    assert find_swapped_leads(ecg) == ["", "", wanted, wanted, wanted, wanted]


@pytest.mark.parametrize("a", range(6))
def test_every_inverted_limb_lead_is_named(ecg, a):
    ecg[0, a] *= -1
    assert find_swapped_leads(ecg)[0] == f"{LEADS[a]} inverted"


def test_a_lead_of_another_recording_is_found_but_not_explained(ecg):
    ecg[0, 0] = ecg[1, 7][::-1]
    assert find_swapped_leads(ecg[:1]) == ["limb leads contradict each other"]


def test_verify_counts_and_names_the_swapped_record(tmp_path, make_beats):
    with StoreWriter(tmp_path / "s", "made", 100, 1000, "1", "x") as writer:
        for i in range(5):
            ecg = make_beats(i)
            if i == 3:
                ecg[[4, 5]] = ecg[[5, 4]]
            mask = np.ones(12, bool)
            if i == 4:  # without aVF the laws cannot be asked; it must not count as contradiction
                ecg[5], mask[5] = 0, False
            if i == 1:
                ecg[11] = 0.1
            writer.add(Record(f"r{i}", to_signal(ecg, mask), f"p{i}", "train"))
        store = writer.close()
    found = verify(store)
    assert found["rows"] == 5
    assert found["split"] == {"train": 5, "val": 0, "test": 0}
    assert found["swapped"].to_dict("records") == [
        {"record_id": "r3", "finding": "aVL and aVF exchanged"}
    ]
    assert found["flat"] == ["r1"]
    assert found["crossing"] == []
    assert found["residual_mv"]["median"] < 1e-3 < found["residual_mv"]["largest"]


def test_verify_refuses_a_damaged_store(make_store):
    store = make_store()
    data = bytearray((store.path / "signals.npy").read_bytes())
    data[-1] ^= 1
    (store.path / "signals.npy").write_bytes(data)
    with pytest.raises(DBetaError, match="is not what was prepared"):
        verify(type(store).open(store.path))
