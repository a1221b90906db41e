"""DICOM waveforms: a real recording by another maker, files written here, and every refusal."""

import sys

import numpy as np
import pytest

from dbeta_lib.data.formats import read_recording
from dbeta_lib.data.signals import Rejected
from dbeta_lib.leads import LEADS

pydicom = pytest.importorskip("pydicom", reason='pip install "dbeta_lib[formats]" brings pydicom')
NUMBERS = (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8)  # of the leads in the order of LEADS


def group(ecg, rate=100, scheme="MDC", unit="uV", sensitivity=1.0, baseline=0.0, **more):
    """One multiplex group; `ecg` `[leads, T]` in the unit, its channels in reversed order."""
    from pydicom.dataset import Dataset

    out, channels = Dataset(), []
    for number in NUMBERS[: len(ecg)][::-1]:
        source, units, channel = Dataset(), Dataset(), Dataset()
        source.CodingSchemeDesignator = scheme
        source.CodeValue = f"2:{number}" if scheme == "MDC" else f"5.6.3-9-{number}"
        if scheme not in ("MDC", "SCPECG"):
            source.CodeValue = "x"
        source.CodeMeaning = f"Lead {LEADS[NUMBERS.index(number)]} (so named)"
        channel.ChannelSourceSequence = [source]
        if unit:
            units.CodeValue, units.CodingSchemeDesignator, units.CodeMeaning = unit, "UCUM", unit
            channel.ChannelSensitivityUnitsSequence = [units]
            channel.ChannelSensitivity = f"{sensitivity:g}"
            channel.ChannelSensitivityCorrectionFactor = "1"
            channel.ChannelBaseline = f"{baseline:g}"
        channels.append(channel)
    out.ChannelDefinitionSequence = channels
    raw = np.rint((ecg[::-1] - baseline) / sensitivity).astype("<i2")
    out.NumberOfWaveformChannels, out.NumberOfWaveformSamples = raw.shape
    out.SamplingFrequency = str(rate)
    out.WaveformBitsAllocated, out.WaveformSampleInterpretation = 16, "SS"
    out.WaveformOriginality = more.pop("originality", "ORIGINAL")
    out.WaveformData = raw.T.tobytes()
    for name, value in more.items():
        setattr(out, name, value)
    return out


def write_dicom(path, *groups, syntax=None):
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.9.1.1"  # 12-lead ECG
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = syntax or ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.PatientName = "Nobody^Real"
    if groups:
        dataset.WaveformSequence = list(groups)
    dataset.save_as(path, enforce_file_format=True)
    return path


def refused(path, **options):
    with pytest.raises(Rejected) as caught:
        read_recording(path, **options)
    assert path.name in caught.value.detail
    return caught.value.reason


def test_a_real_recording_equals_pydicoms_own_reading():
    path = pydicom.data.get_testdata_file("waveform_ecg.dcm")
    found = read_recording(path)
    whole = pydicom.dcmread(path)
    assert found.sampling_rate == 1000
    assert found.lead_mask.all()
    names = [c.ChannelSourceSequence[0].CodeMeaning
             for c in whole.WaveformSequence[0].ChannelDefinitionSequence]  # fmt: skip
    own = whole.waveform_array(0)
    for name, row in zip(names, own.T, strict=True):
        lead = name.removeprefix("Lead ").split(" ")[0]
        assert np.allclose(found.ecg[LEADS.index(lead)], row / 1000, atol=1e-12)


@pytest.mark.parametrize("scheme", ["MDC", "SCPECG", "99OWN"])
def test_leads_are_known_by_their_codes_or_names_and_put_in_order(tmp_path, make_beats, scheme):
    path = write_dicom(tmp_path / "a.dcm", group(1000 * make_beats(0), scheme=scheme))
    found = read_recording(path)
    assert np.abs(found.ecg - make_beats(0)).max() < 1e-9
    assert found.sampling_rate == 100


def test_sensitivity_baseline_and_unit_give_millivolts(tmp_path, make_beats):
    ecg = make_beats(1)
    few = group(ecg[:2], unit="mV", sensitivity=0.005, baseline=0.1)
    found = read_recording(write_dicom(tmp_path / "a.dcm", few))
    assert found.lead_mask.tolist() == [True, True] + [False] * 10
    assert np.abs(found.ecg[:2] - ecg[:2]).max() <= 0.0025 + 1e-9


def test_the_recording_is_taken_and_the_median_beat_left(tmp_path, make_beats):
    beat = group(1000 * make_beats(2, 120), originality="DERIVED")
    rhythm = group(1000 * make_beats(3))
    for order in ((beat, rhythm), (rhythm, beat)):
        found = read_recording(write_dicom(tmp_path / "a.dcm", *order))
        assert np.abs(found.ecg - make_beats(3)).max() < 1e-9


def test_padding_values_are_gaps(tmp_path, make_beats):
    ecg = 1000 * make_beats(4)
    ecg[3, 10:20] = -32768
    pad = (-32768).to_bytes(2, "little", signed=True)
    found = read_recording(write_dicom(tmp_path / "a.dcm", group(ecg, WaveformPaddingValue=pad)))
    assert np.isnan(found.ecg).sum() == 10
    assert np.isnan(found.ecg[3, 10:20]).all()


def test_a_file_without_suffix_is_known_by_its_beginning(tmp_path, make_beats):
    path = write_dicom(tmp_path / "IM000001", group(1000 * make_beats(0)))
    assert read_recording(path).lead_mask.all()


def test_what_cannot_be_read_is_refused_by_name(tmp_path, make_beats):
    ecg = 1000 * make_beats(0)
    assert refused(write_dicom(tmp_path / "image.dcm")) == "no recording"
    assert refused(write_dicom(tmp_path / "bare.dcm", group(ecg, unit=""))) == "unknown unit"
    assert refused(write_dicom(tmp_path / "mmhg.dcm", group(ecg, unit="mm[Hg]"))) == "unknown unit"
    huge = group(ecg, NumberOfWaveformSamples=2**31)
    assert refused(write_dicom(tmp_path / "huge.dcm", huge)) == "wrong shape"
    short = group(ecg, NumberOfWaveformSamples=2000)
    assert refused(write_dicom(tmp_path / "short.dcm", short)) == "unreadable"
    slow = write_dicom(tmp_path / "slow.dcm", group(ecg, rate=0))
    assert refused(slow) == "wrong sampling rate"
    whole = write_dicom(tmp_path / "whole.dcm", group(ecg))
    assert refused(whole, sampling_rate=500) == "wrong sampling rate"
    (tmp_path / "cut.dcm").write_bytes(whole.read_bytes()[:900])
    assert refused(tmp_path / "cut.dcm") in ("unreadable", "no recording")
    (tmp_path / "text.dcm").write_text("no DICOM at all")
    assert refused(tmp_path / "text.dcm") == "unreadable"


def test_a_deflated_file_is_not_blown_up(tmp_path, make_beats):
    deflated = pydicom.uid.DeflatedExplicitVRLittleEndian
    path = write_dicom(tmp_path / "a.dcm", group(1000 * make_beats(0)), syntax=deflated)
    assert refused(path) == "unreadable"


def test_without_pydicom_it_is_said_what_to_install(tmp_path, make_beats, monkeypatch):
    path = write_dicom(tmp_path / "a.dcm", group(1000 * make_beats(0)))
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(Rejected, match=r'pip install "dbeta_lib\[formats\]"'):
        read_recording(path)
