"""SCP-ECG and the carts' own XML, which `ecgdatakit` reads: our side of it, and every refusal."""

import base64
import struct
import sys

import numpy as np
import pytest

from dbeta_lib.data.formats import read_recording
from dbeta_lib.data.signals import Rejected
from dbeta_lib.leads import LEADS

_LEAD_CODES = {"I": 1, "II": 2, "V1": 3, "V2": 4, "V3": 5, "V4": 6, "V5": 7, "V6": 8,
               "III": 61, "aVR": 62, "aVL": 63, "aVF": 64}  # fmt: skip


@pytest.fixture
def library():
    pytest.importorskip("ecgdatakit", reason='pip install "dbeta_lib[formats]" brings ecgdatakit')


def crc(data: bytes) -> int:
    """CRC-CCITT of EN 1064."""
    value = 0xFFFF
    for byte in data:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1) ^ (0x1021 if value & 0x8000 else 0)
            value &= 0xFFFF
    return value


def section(number: int, body: bytes) -> bytes:
    body += b"\0" * (len(body) % 2)
    head = struct.pack("<HIBB6s", number, 16 + len(body), 20, 20, b"\0" * 6)
    if number == 0:
        head = struct.pack("<HIBB6s", number, 16 + len(body), 20, 20, b"SCPECG")
    return struct.pack("<H", crc(head + body)) + head + body


def write_scp(path, ecg, rate=500, names=LEADS):
    """SCP-ECG by EN 1064 without compression; `ecg` `[leads, T]` in uV."""
    count, length = ecg.shape
    one = section(1, struct.pack("<BH4sBH0s", 2, 4, b"id1\0", 255, 0, b""))
    three = struct.pack("<BB", count, 0x04 | count << 3)  # all leads recorded together
    for name in names:
        three += struct.pack("<IIB", 1, length, _LEAD_CODES[name])
    six = struct.pack("<HHBB", 1000, round(1e6 / rate), 0, 0)  # nV a step, us a sample, as it is
    rows = np.rint(ecg).astype("<i2")
    six += b"".join(struct.pack("<H", 2 * length) for _ in names)
    six += b"".join(row.tobytes() for row in rows)
    parts = {1: one, 3: section(3, three), 6: section(6, six)}
    start, pointers = 7 + 16 + 120, b""
    for number in range(12):
        size = 16 + 120 if number == 0 else len(parts.get(number, b""))
        place = 7 if number == 0 else start if size else 0
        pointers += struct.pack("<HII", number, size, place)
        start += size if number else 0
    body = section(0, pointers) + b"".join(parts[n] for n in (1, 3, 6))
    record = struct.pack("<I", 6 + len(body)) + body
    path.write_bytes(struct.pack("<H", crc(record)) + record)
    return path


def write_muse(path, ecg, rate=500, names=("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")):
    """The XML of GE MUSE as its exports look; `ecg` `[leads, T]` in uV."""
    leads = "".join(
        f"<LeadData><LeadByteCountTotal>{2 * ecg.shape[1]}</LeadByteCountTotal>"
        f"<LeadSampleCountTotal>{ecg.shape[1]}</LeadSampleCountTotal>"
        "<LeadAmplitudeUnitsPerBit>4.88</LeadAmplitudeUnitsPerBit>"
        "<LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits>"
        f"<LeadID>{name}</LeadID><LeadSampleSize>2</LeadSampleSize><WaveFormData>"
        f"{base64.b64encode(np.rint(row / 4.88).astype('<i2').tobytes()).decode()}"
        "</WaveFormData></LeadData>"
        for name, row in zip(names, ecg)
    )
    path.write_text(
        '<?xml version="1.0" encoding="ISO-8859-1"?><!DOCTYPE RestingECG SYSTEM "restecg.dtd">'
        "<RestingECG><MuseInfo/><Waveform><WaveformType>Rhythm</WaveformType>"
        f"<NumberofLeads>{len(names)}</NumberofLeads><SampleBase>{rate}</SampleBase>"
        f"<SampleExponent>0</SampleExponent>{leads}</Waveform></RestingECG>"
    )
    return path


def refused(path, **options):
    with pytest.raises(Rejected) as caught:
        read_recording(path, **options)
    assert path.name in caught.value.detail
    return caught.value.reason


def test_scp_gives_named_leads_in_millivolts(library, tmp_path, make_beats):
    ecg = make_beats(0, 5000, 500)
    order = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6", "III", "aVR", "aVL", "aVF")
    rows = 1000 * ecg[[LEADS.index(name) for name in order]]
    found = read_recording(write_scp(tmp_path / "a.scp", rows, names=order))
    assert found.sampling_rate == 500
    assert found.lead_mask.all()
    assert np.abs(found.ecg - ecg).max() < 1e-9


def test_a_muse_export_has_eight_leads_and_none_is_invented(library, tmp_path, make_beats):
    ecg = make_beats(1, 5000, 500)
    names = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
    rows = 1000 * ecg[[LEADS.index(name) for name in names]]
    found = read_recording(write_muse(tmp_path / "a.xml", rows))
    assert [name for name, there in zip(LEADS, found.lead_mask) if there] == list(names)
    there = found.ecg[found.lead_mask]
    assert np.abs(1000 * there - rows).max() <= 4.88 / 2 + 1e-6
    assert found.sampling_rate == 500


def test_what_cannot_be_read_is_refused_by_name(library, tmp_path, make_beats):
    whole = write_scp(tmp_path / "whole.scp", 1000 * make_beats(0, 5000, 500))
    (tmp_path / "cut.scp").write_bytes(whole.read_bytes()[:3000])
    assert refused(tmp_path / "cut.scp") == "unreadable"
    (tmp_path / "text.scp").write_text("no SCP-ECG at all, whatever its name says")
    assert refused(tmp_path / "text.scp") == "unreadable"
    (tmp_path / "hollow.xml").write_text("<RestingECG></RestingECG>")
    assert refused(tmp_path / "hollow.xml") in ("unreadable", "unknown lead name")
    assert refused(whole, sampling_rate=100) == "wrong sampling rate"


def test_damaged_bytes_are_read_or_refused_and_nothing_else(library, tmp_path, make_beats):
    raw = write_scp(tmp_path / "a.scp", 1000 * make_beats(0, 600, 500)).read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(40):
        damaged = bytearray(raw)
        for place in rng.integers(0, 400, 3):  # where the tables are
            damaged[place] = rng.integers(0, 256)
        (tmp_path / "a.scp").write_bytes(bytes(damaged))
        try:
            assert read_recording(tmp_path / "a.scp").ecg.shape[0] == 12
        except Rejected as reason:
            assert "a.scp" in reason.detail


def test_without_the_library_it_is_said_what_to_install(tmp_path, make_beats, monkeypatch):
    monkeypatch.setitem(sys.modules, "ecgdatakit", None)
    monkeypatch.setitem(sys.modules, "ecgdatakit.parsing.parsers.scp_ecg", None)
    monkeypatch.setitem(sys.modules, "ecgdatakit.parsing.parsers.ge_muse_xml", None)
    ecg = 1000 * make_beats(0, 600, 500)
    for path in (write_scp(tmp_path / "a.scp", ecg), write_muse(tmp_path / "b.xml", ecg[:8])):
        with pytest.raises(Rejected, match=r'pip install "dbeta_lib\[formats\]"'):
            read_recording(path)
