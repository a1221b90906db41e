"""HL7 aECG: values, units and rates, against another reader; hostile XML is refused."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbeta_lib.data.formats import read_recording
from dbeta_lib.data.signals import Rejected
from dbeta_lib.leads import LEADS

_LEAD = """<component><sequence><code code="MDC_ECG_LEAD_{name}"/>
<value xsi:type="SLIST_PQ"><origin value="{origin}" unit="{unit}"/>
<scale value="{scale}" unit="{unit}"/><digits>{digits}</digits></value></sequence></component>"""
_TIME = """<component><sequence><code code="TIME_ABSOLUTE"/><value xsi:type="GLIST_TS">
<head value="20260101120000.000"/>{increment}</value></sequence></component>"""


def aecg(
    ecg, names=LEADS, unit="uV", scale=1.0, origin=0.0, inside="",
    increment='<increment value="0.01" unit="s"/>', head="",
):  # fmt: skip
    """An annotated ECG by the published layout; `ecg` `[leads, T]` in the unit."""
    rows = [
        _LEAD.format(
            name=name, unit=unit, scale=scale, origin=origin,
            digits=" ".join(str(int(v)) for v in np.rint((row - origin) / scale)),
        )
        for name, row in zip(names, ecg, strict=True)
    ]  # fmt: skip
    time = _TIME.format(increment=increment)
    return (
        f'<?xml version="1.0"?>{head}<AnnotatedECG xmlns="urn:hl7-org:v3" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><component><series>'
        f'<code code="RHYTHM"/><component><sequenceSet>{time}{"".join(rows)}</sequenceSet>'
        f"</component>{inside}</series></component></AnnotatedECG>"
    )


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def refused(path, **options):
    with pytest.raises(Rejected) as caught:
        read_recording(path, **options)
    assert path.name in caught.value.detail
    return caught.value.reason


def test_leads_units_and_rate_are_the_files(tmp_path, make_beats):
    ecg = make_beats(0)
    found = read_recording(write(tmp_path / "a.xml", aecg(1000 * ecg)))
    assert np.abs(found.ecg - ecg).max() < 1e-9
    assert found.sampling_rate == 100
    few = aecg(ecg[[6, 1]], names=("V1", "II"), unit="mV", scale=0.005, origin=0.1)
    found = read_recording(write(tmp_path / "b.xml", few))
    assert np.flatnonzero(found.lead_mask).tolist() == [1, 6]
    assert np.abs(found.ecg[[6, 1]] - ecg[[6, 1]]).max() <= 0.0025 + 1e-9
    ms = aecg(1000 * ecg, increment='<increment value="2" unit="ms"/>')
    assert read_recording(write(tmp_path / "c.xml", ms)).sampling_rate == 500


def test_another_reader_gives_the_same(tmp_path, make_beats):
    parser = pytest.importorskip(
        "ecgdatakit", reason='pip install "dbeta_lib[formats]" brings ecgdatakit'
    ).FileParser
    path = write(tmp_path / "a.xml", aecg(1000 * make_beats(5), scale=4.88))
    other = {lead.label: lead.to_physical() for lead in parser.parse(path).leads}
    found = read_recording(path)
    for name, row in zip(LEADS, found.ecg):
        assert other[name].sampling_rate == found.sampling_rate
        assert np.allclose(other[name].convert_units("mV").samples, row, atol=1e-9)


def test_derived_beats_are_left_unread(tmp_path, make_beats):
    beat = aecg(1000 * make_beats(2, 120)).partition("<component><series>")[2]
    beat = beat.partition("</series>")[0]
    inside = f"<derivation><derivedSeries>{beat}</derivedSeries></derivation>"
    found = read_recording(write(tmp_path / "a.xml", aecg(1000 * make_beats(1), inside=inside)))
    assert np.abs(found.ecg - make_beats(1)).max() < 1e-9


def test_what_cannot_be_read_is_refused_by_name(tmp_path, make_beats):
    ecg = 1000 * make_beats(0)
    texts = {
        "html": ("<html><body/></html>", "no recording"),
        "empty": (aecg(ecg[:0], names=()), "no recording"),
        "cut": (aecg(ecg)[:5000], "unreadable"),
        "rateless": (aecg(ecg, increment=""), "wrong sampling rate"),
        "zero": (aecg(ecg, increment='<increment value="0" unit="s"/>'), "wrong sampling rate"),
        "word": (aecg(ecg, increment='<increment value="fast" unit="s"/>'), "unreadable"),
        "counts": (aecg(ecg, unit="1"), "unknown unit"),
        "twice": (aecg(ecg[:2], names=("I", "I")), "unknown lead name"),
        "letters": (aecg(ecg).replace("<digits>", "<digits>x "), "unreadable"),
        "uneven": (aecg(ecg).replace("<digits>", "<digits>5 ", 1), "wrong shape"),
        "strange": (aecg(ecg[:1], names=("CHEST",)), "unknown lead name"),
    }
    for name, (text, reason) in texts.items():
        assert refused(write(tmp_path / f"{name}.xml", text)) == reason, name
    (tmp_path / "bytes.xml").write_bytes(b"\xff\xfe\x00<")
    assert refused(tmp_path / "bytes.xml") == "unreadable"
    assert refused(write(tmp_path / "a.xml", aecg(ecg)), sampling_rate=500) == "wrong sampling rate"


def test_no_entity_is_expanded_and_no_file_fetched(tmp_path, make_beats):
    secret = write(tmp_path / "secret.txt", "1 2 3")
    laughs = '<!DOCTYPE x [<!ENTITY a "1 "><!ENTITY b "&a;&a;&a;&a;">]>'
    outside = f'<!DOCTYPE x [<!ENTITY b SYSTEM "file://{secret}">]>'
    for name, head in (("laughs", laughs), ("outside", outside)):
        text = aecg(1000 * make_beats(0), head=head).replace("<digits>", "<digits>&b;", 1)
        path = write(tmp_path / f"{name}.xml", text)
        with pytest.raises(Rejected, match="entities"):
            read_recording(path)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_a_damaged_file_is_read_or_refused_and_nothing_else(tmp_path, make_beats, data):
    raw = bytearray(aecg(np.round(1000 * make_beats(0, 150))[:3], names=LEADS[:3]).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "a.xml"
    path.write_bytes(bytes(raw))
    try:
        assert read_recording(path).ecg.shape[0] == 12
    except Rejected as reason:
        assert "a.xml" in reason.detail
