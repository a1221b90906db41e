"""Windows: which ten seconds, what stands after a recording's end, what is refused."""

import numpy as np
import pytest

from dbeta_lib.data.signals import Rejected, to_signal
from dbeta_lib.data.wfdb_read import Recording
from dbeta_lib.data.windows import check_window, cut, split, to_rows
from dbeta_lib.errors import UsageError


@pytest.fixture
def record(make_beats):
    """`record(seconds, rate)`: a recording of which no two windows are alike."""

    def record(seconds: float, rate: int = 100) -> Recording:
        return Recording(make_beats(1, round(seconds * rate), rate), np.ones(12, bool), rate)

    return record


def uv(recording: Recording, start: int, stop: int) -> np.ndarray:
    return np.rint(recording.ecg[:, start:stop] * 1000).astype(np.int16)


@pytest.mark.parametrize(
    ("window", "starts"), [("first", [0]), ("centre", [1250]), ("all", [0, 1000, 2000])]
)
def test_windows_are_the_samples_that_stand_there(record, window, starts):
    found = record(35)
    windows = cut(found, 100, window)
    assert [index for index, _ in windows] == [*range(len(starts))]
    for start, (_, signal) in zip(starts, windows, strict=True):
        assert np.array_equal(signal.uv, uv(found, start, start + 1000)) and signal.padded == 0


@pytest.mark.parametrize("window", ["first", "centre", "all"])
def test_a_shorter_recording_is_one_window_with_zeros_after_its_end(record, window):
    found = record(6.4)
    ((index, signal),) = cut(found, 100, window)
    assert index == 0 and signal.padded == 360
    assert np.array_equal(signal.uv[:, :640], uv(found, 0, 640))
    assert not signal.uv[:, 640:].any()


def test_five_seconds_and_zeros_are_merl_s_convention(record):
    found = record(12)
    ((_, signal),) = cut(found, 100, "first", 5)
    assert np.array_equal(signal.uv[:, :500], uv(found, 0, 500))
    assert not signal.uv[:, 500:].any() and signal.padded == 500


@pytest.mark.parametrize("rate", [257, 400, 500, 1000])
def test_any_rate_gives_ten_seconds_at_the_rate_asked_for(record, rate):
    ((_, signal),) = cut(record(10, rate), 100)
    assert signal.uv.shape == (12, 1000) and signal.padded == 0
    ((_, short),) = cut(record(7, rate), 500)
    assert short.uv.shape == (12, 5000) and abs(short.padded - 1500) <= 2


RATES = [(257, 500), (257, 100), (400, 500), (360, 500), (250, 500), (500, 100), (100, 100)]


@pytest.mark.parametrize(("rate", "hz"), RATES)
def test_a_flat_lead_is_flagged_at_any_rate(record, rate, hz):
    found = record(10, rate)
    found.ecg[5], found.ecg[8] = 0.4, 1.0 / 3
    ((_, signal),) = cut(found, hz)
    assert signal.flat_leads == 1 << 5 | 1 << 8
    assert (signal.uv[5] == 400).all() and (signal.uv[8] == 333).all()


@pytest.mark.parametrize(("rate", "hz"), RATES)
def test_a_recording_flat_in_all_leads_is_refused_as_such_at_any_rate(record, rate, hz):
    found = record(10, rate)
    found.ecg[:] = np.linspace(-1, 1, 12)[:, None]
    ((_, reason),) = cut(found, hz)
    assert isinstance(reason, Rejected) and reason.reason == "all leads bad"


def test_a_window_knows_nothing_of_its_neighbour(record):
    found = record(20, 500)
    changed = Recording(found.ecg.copy(), found.lead_mask, 500)
    changed.ecg[:, 5000:] += 1.0
    before, after = cut(found, 100, "all"), cut(changed, 100, "all")
    assert np.array_equal(before[0][1].uv, after[0][1].uv)
    assert not np.array_equal(before[1][1].uv, after[1][1].uv)


def test_a_bad_window_is_rejected_alone(record):
    found = record(30)
    found.ecg[:, 1000:2000] = np.nan
    first, second, third = (signal for _, signal in cut(found, 100, "all"))
    assert isinstance(second, Rejected) and second.detail.startswith("window 1: ")
    assert first.uv.shape == third.uv.shape == (12, 1000)


def test_gaps_are_judged_by_what_was_recorded_not_by_the_padding(record):
    found = record(2)
    found.ecg[3, 50:62] = np.nan  # 6 % of two seconds, 1.2 % of ten
    ((_, signal),) = cut(found, 100)
    assert signal.leads_present == (1 << 12) - 1 - (1 << 3)
    assert signal.uv.shape == to_signal(record(10).ecg).uv.shape


def test_recordings_of_all_kinds_together_are_what_each_is_alone(record):
    """Whole microvolts or not, of several rates and lengths, more than go together at a time."""
    recordings = []
    for i in range(40):
        one = record((10, 25, 6)[i % 3], (100, 500)[i % 2])
        samples = one.samples * (1 + i / 100)
        if i % 4 == 0:
            samples = np.rint(samples * 1000).astype(np.int16)
        if i == 9:
            samples[:] = 0.5
        recordings.append(Recording(samples, one.lead_mask, one.sampling_rate))
    whole = [split(each, "all") for each in recordings]
    whole[5] = Rejected("file missing", "5.dat")
    found = list(to_rows(whole, 100))
    assert [str(signal) for _, signal in found[5]] == ["file missing: 5.dat"]
    assert found[9][0][1].reason == "all leads bad"
    for i, rows in enumerate(found):
        for (index, signal), (wanted_index, wanted) in zip(
            rows, rows if i == 5 else cut(recordings[i], 100, "all"), strict=True
        ):
            assert index == wanted_index and type(signal) is type(wanted)
            if not isinstance(signal, Rejected):
                assert np.array_equal(signal.uv, wanted.uv)
                assert signal.replace(uv=None) == wanted.replace(uv=None)


def test_less_than_a_second_is_too_short(record):
    with pytest.raises(Rejected, match=r"too short: 0\.99 s"):
        cut(record(0.99), 100)
    assert cut(record(1), 100)


def test_unknown_choices_are_wrong_use():
    with pytest.raises(UsageError, match="did you mean 'centre'"):
        check_window("center", 10)
    for seconds in (0.5, 11):
        with pytest.raises(UsageError, match="keep_seconds"):
            check_window("first", seconds)
