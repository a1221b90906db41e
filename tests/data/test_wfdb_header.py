"""Headers: what wfdb reads in well-formed ones; anything else ends in a reason."""

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from dbeta_lib.data.lead_names import parse_label
from dbeta_lib.data.signals import Rejected
from dbeta_lib.data.wfdb_header import parse_header

GAINS = st.floats(1e-3, 1e6).map(lambda gain: float(f"{gain:.6g}"))
SIGNAL = st.fixed_dictionaries(
    {
        "format": st.sampled_from(["16", "16+24", "16x1+24", "212", "80:3", "61x2:1+512"]),
        "gain": GAINS,
        "baseline": st.none() | st.integers(-(2**15), 2**15),
        "unit": st.none() | st.sampled_from(["mV", "uV", "V"]),
        "zero": st.integers(-(2**15), 2**15),
        "lead": st.sampled_from(["I", "aVR", "V1", "lead two", "MLII x 2"]),
    }
)


@settings(max_examples=150, deadline=None)
@given(
    signals=st.lists(SIGNAL, min_size=1, max_size=12),
    rate=st.sampled_from(["100", "257", "500", "1000", "360.5", "500/250(3)"]),
    length=st.integers(1, 10**9),
    tail=st.sampled_from(["", " 12:04:00", " 12:04:00 22/09/2182"]),
)
def test_a_sound_header_says_what_wfdb_reads_in_it(tmp_path_factory, signals, rate, length, tail):
    lines = [f"rec {len(signals)} {rate} {length}{tail}"]
    for s in signals:
        gain = f"{s['gain']!r}" + (f"({s['baseline']})" if s["baseline"] is not None else "")
        gain += f"/{s['unit']}" if s["unit"] else ""
        lines.append(f"rec.dat {s['format']} {gain} 16 {s['zero']} 5 -300 0 {s['lead']}")
    text = "\n".join([*lines, "# Age: 40", "#Dx: 1,2"]) + "\n"
    folder = tmp_path_factory.getbasetemp() / "headers"
    folder.mkdir(exist_ok=True)
    (folder / "rec.hea").write_text(text)
    theirs = wfdb.rdheader(str(folder / "rec"))
    ours = parse_header(text, "rec.hea")
    assert (ours.sampling_rate, ours.samples) == (theirs.fs, theirs.sig_len)
    assert [s.gain for s in ours.signals] == theirs.adc_gain
    assert [s.baseline for s in ours.signals] == theirs.baseline
    assert [s.unit for s in ours.signals] == theirs.units
    assert [s.lead for s in ours.signals] == theirs.sig_name
    assert [str(s.format) for s in ours.signals] == theirs.fmt
    assert [s.offset for s in ours.signals] == [b or 0 for b in theirs.byte_offset]
    assert [s.per_frame for s in ours.signals] == [n or 1 for n in theirs.samps_per_frame]
    assert ours.comment("age") == "40" and ours.comment("Dx") == "1,2" and ours.comment("Rx") == ""


def test_a_record_named_with_its_suffix_and_a_date_of_the_year_0_are_read():
    header = parse_header(
        "JS1.mat 1 500 5000 01-Jan-0000 25:99\nJS1.mat 16+24 1000/mV 16 0 1 2 0 I", "h"
    )
    assert (header.sampling_rate, header.samples, header.signals[0].offset) == (500, 5000, 24)


@pytest.mark.parametrize(
    ("text", "reason", "words"),
    [
        ("", "unreadable", "h.hea is empty"),
        ("# nothing but a comment", "unreadable", "is empty"),
        ("rec", "unreadable", "'rec' is no record line"),
        ("rec x 500 10", "unreadable", "no record line"),
        ("rec/3 12 500 10", "unreadable", "several segments"),
        ("rec 1 500 1e9\na.dat 16 200 16 0 0 0 0 I", "unreadable", "'1e9' is no number of"),
        ("rec 2 500 10\na.dat 16 200 16 0 0 0 0 I", "unreadable", "promises 2 signals and"),
        ("rec 1 500 10\na.dat", "unreadable", "is no signal line"),
        ("rec 1 500 10\na.dat 16;rm 200", "unreadable", "is no signal line"),
        ("rec 1 500 10\na.dat 16", "unknown unit", "'nothing' is no gain"),
        ("rec 1 500 10\na.dat 16 0/mV 16 0 0 0 0 I", "unknown unit", "'0/mV' is no gain"),
        ("rec 1 500 10\na.dat 16 1e999 16 0 0 0 0 I", "unknown unit", "'1e999' is no gain"),
        ("rec 1 500 10\na.dat 16 1e300 16 0 0 0 0 I", "unknown unit", "'1e300' is no gain"),
        ("rec 1 500 10\na.dat 16 1e-300 16 0 0 0 0 Lead I", "unknown unit", "'1e-300' is no"),
        ("rec 1 500 10\na.dat 16 200 16 x 0 0 0 I", "unreadable", "is no signal line"),
    ],
)  # fmt: skip
def test_what_is_no_header_ends_in_a_reason(text, reason, words):
    with pytest.raises(Rejected) as error:
        parse_header(text, "h.hea")
    assert error.value.reason == reason
    assert words in error.value.detail and "h.hea" in error.value.detail


@pytest.mark.parametrize("gain", ["0", "0/NU", "1e300/bpm", "-0(5)/NU"])
def test_what_is_no_lead_needs_no_gain(gain):
    line = f"a.dat 16 {gain} 16 7 0 0 0"
    header = parse_header(f"rec 2 500 10\na.dat 16 200 16 0 0 0 0 I\n{line} RESP", "h.hea")
    assert header.signals[0].gain == 200 and np.isnan(header.signals[1].gain)
    with pytest.raises(Rejected, match="unknown unit"):
        parse_header(f"rec 1 500 10\n{line} ECG aVR", "h.hea")


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=400))
def test_any_text_at_all_is_a_header_or_a_reason(text):
    try:
        header = parse_header(text, "h.hea")
    except Rejected as reason:
        assert reason.reason in ("unreadable", "unknown unit")
    else:
        leads = [s for s in header.signals if parse_label(s.lead)]
        assert all(s.gain != 0 and np.isfinite(s.gain) for s in leads)
