"""Labels of recorders: which lead they mean, and which mean none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbeta_lib.data.lead_names import parse_label
from dbeta_lib.leads import LEADS

PREFIXES = ["", "ECG ", "EKG-", "Lead_", "lead ", "ECG: ", "ECG - ", "ECG lead ", "ecg"]
UNITS = {"": "", " (uV)": "uv", "[mV]": "mv", " /V": "v", "_": None, " mV": None}


@given(st.sampled_from(LEADS), st.sampled_from(PREFIXES), st.sampled_from([*UNITS]), st.booleans())
def test_a_lead_with_prefix_and_unit_is_known(lead, prefix, unit, is_small):
    label = prefix + lead + unit
    wanted = None if UNITS[unit] is None else (lead, UNITS[unit])
    assert parse_label(label.lower() if is_small else f" {label.upper()} ") == wanted


@pytest.mark.parametrize(
    "label",
    ["", "ECG", "lead", "RESP", "vx", "V7", "V10", "MLII", "I-II", "ECG I filtered", "IV", "1"],
)
def test_what_is_no_lead_is_none(label):
    assert parse_label(label) is None


@pytest.mark.parametrize("label", ["-aVR", "Lead -aVR", "ECG: -aVR", "ECG  -aVR", "ECG--aVR"])
def test_an_inverted_lead_is_not_taken_for_the_lead(label):
    assert parse_label(label) is None


@given(st.text(max_size=200))
def test_any_text_is_a_lead_or_none(text):
    found = parse_label(text)
    assert found is None or found[0] in LEADS


def test_a_label_longer_than_any_recorder_s_is_none():
    assert parse_label("ECG" + " " * 60 + "I") == ("I", "")
    assert parse_label("ECG" + " " * 100 + "I") is None
