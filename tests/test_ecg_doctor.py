"""`dbeta doctor FILE|DIR`: what it says of sound folders, of damaged ones, and of hostile names."""

import inspect
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from dbeta_lib import ecg_doctor
from dbeta_lib.data import folder
from dbeta_lib.errors import UsageError
from dbeta_lib.leads import LEADS, derive_limb_leads

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
WAVES = (  # seconds from R, width, mV in I, II, V1 to V6
    (-0.16, 0.025, (0.07, 0.12, 0.05, 0.06, 0.06, 0.06, 0.06, 0.06)),
    (0.0, 0.012, (0.7, 1.0, 0.2, 0.4, 0.8, 1.4, 1.5, 1.2)),
    (0.03, 0.012, (-0.1, -0.15, -0.9, -1.3, -0.8, -0.5, -0.2, -0.1)),
    (0.26, 0.05, (0.2, 0.3, -0.05, 0.4, 0.4, 0.4, 0.35, 0.3)),
)


def heart(seed: int, rate: int = 100) -> np.ndarray:
    """float64 mV `[12, T]`, 10 s of a usual heart."""
    now, rng = np.arange(10 * rate) / rate, np.random.default_rng(seed)
    ecg = rng.normal(0, 0.005, (12, len(now)))
    for r in np.arange(0.3, 10, 0.85):
        for place, width, mv in WAVES:
            wave = np.exp(-(((now - r - place) / width) ** 2))
            ecg[[0, 1, *range(6, 12)]] += np.array(mv)[:, None] * wave
    return np.round(derive_limb_leads(ecg), 3)


def save(path: Path, ecg: np.ndarray, names=LEADS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(ecg.shape[1]) / 100
    lines = [",".join(["time", *names])]
    lines += [",".join(f"{value:.6g}" for value in row) for row in np.vstack([times, ecg]).T]
    path.write_text("\n".join(lines))
    return path


def look(path, **options):
    return ecg_doctor.examine(path, progress=False, **options)


def found(report) -> dict[str, tuple[int, bool]]:
    return {row.name: (row.count, row.spoils) for row in report.rows}


@pytest.fixture
def sound(tmp_path):
    for i in range(3):
        save(tmp_path / f"sound/{i}.csv", heart(i))
    return tmp_path / "sound"


class Tags(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page: str):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


def test_a_sound_folder_is_described_and_passes(sound):
    report = look(sound)
    assert report.rows == []
    assert not report.spoils
    text = report.text()
    for words in ("3 recordings", "100 Hz", "10.0 s", "csv", "none"):
        assert words in text
    assert text.endswith("Nothing here would spoil results.")


def test_one_file_is_looked_at_alone(sound, tmp_path):
    report = look(sound / "1.csv")
    assert (report.total, report.rows) == (1, [])
    save(tmp_path / "up.csv", 1000 * heart(0))
    assert found(look(tmp_path / "up.csv")) == {"gain": (1, True)}


def test_findings_are_counted_with_examples_and_what_to_do(sound):
    for i in range(5):
        save(sound / f"uv{i}.csv", 1000 * heart(10 + i))
    swapped = heart(20)
    swapped[[4, 5]] = swapped[[5, 4]]
    save(sound / "deep/swapped.csv", swapped)
    flat = heart(21)
    flat[8] = 0.5
    save(sound / "flat.csv", flat)
    report = look(sound)
    assert found(report) == {"gain": (5, True), "limb-leads": (1, True), "flat": (1, True)}
    text = report.text()
    assert "X gain: 5 recordings\n    uv0.csv: up to " in text
    assert "uv2.csv" in text and "uv3.csv" not in text
    assert "deep/swapped.csv (I II III aVR aVL aVF): aVL and aVF exchanged" in text
    assert "-> check the electrode, or leave the lead out" in text
    assert report.spoils
    assert "This would spoil results: gain, flat, limb-leads." in text


def test_duplicates_are_found_by_their_samples(sound):
    save(sound / "copy/again.csv", heart(1))
    report = look(sound)
    assert found(report) == {"duplicates": (1, True)}
    assert report.rows[0].examples == ["the same samples: 1.csv, copy/again.csv"]


def test_what_cannot_be_read_is_said_with_its_remedy(sound):
    (sound / "broken.edf").write_bytes(b"0       ")
    np.save(sound / "bare.npy", heart(3))
    (sound / "patients.csv").write_text("name,age\nx,3\n")
    report = look(sound)
    assert found(report) == {
        "unreadable": (1, True), "wrong sampling rate": (1, True), "no recording": (1, False),
    }  # fmt: skip
    assert "broken.edf" in report.text()
    assert "`dbeta doctor` --rate 500" in report.text()
    assert "`dbeta prepare folder` --set file_rate=500" in report.text()
    assert found(look(sound, file_rate=100)).keys() == {"unreadable", "no recording"}


def test_missing_leads_and_several_rates_are_told(sound):
    save(sound / "two.csv", heart(4)[:2], LEADS[:2])
    np.save(sound / "fast.npy", heart(5, 500))
    text = look(sound, file_rate=500).text()
    assert "wrong sampling rate" in text  # the CSV files say 100 Hz
    (sound / "fast.npy").unlink()
    text = look(sound).text()
    assert "none (3); III aVR aVL aVF V1 V2 V3 V4 V5 V6 (1)" in text


def test_the_table_is_checked_too(sound):
    (sound / "records.csv").write_text("record,age\n0,61\ngone,50\n")
    assert found(look(sound)) == {"file missing": (1, True)}
    (sound / "records.csv").write_text("record,age\n0,old\n")
    report = look(sound)
    assert found(report) == {"table": (1, True)}
    assert "line 2: 'old' is no age" in report.text()


def test_what_rare_hearts_do_too_spoils_only_where_it_is_frequent(tmp_path):
    for i in range(20):
        save(tmp_path / f"{i:02d}.csv", heart(i) * (-1 if i == 4 else 1))
    report = look(tmp_path)
    assert found(report) == {"polarity": (1, False)}
    assert "it may be the heart" in report.text()
    save(tmp_path / "07.csv", -heart(7))
    assert found(look(tmp_path)) == {"polarity": (2, True)}


def test_no_more_than_limit_are_opened_and_it_is_said(sound):
    (sound / "z.edf").write_bytes(b"no recording")
    (sound / "2.csv").unlink()
    report = look(sound, limit=2)
    assert report.rows == []
    assert (report.looked_at, report.total) == (2, 3)
    assert "the first 2 of 3 recordings; --limit allows more" in report.text()
    with pytest.raises(UsageError):
        look(sound, limit=0)


def test_remedies_name_only_options_that_the_commands_have():
    from typer.main import get_command

    from dbeta_lib import cli

    doctor = get_command(cli.app).commands["doctor"]
    options = {name for parameter in doctor.params for name in parameter.opts}
    settings = inspect.signature(folder.plan).parameters
    for remedy in ecg_doctor._REMEDIES.values():
        assert set(re.findall(r"`dbeta doctor` (--\w+)", remedy)) <= options
        assert set(re.findall(r"--set (\w+)=", remedy)) <= set(settings)
        bare = re.sub(r"--set \w+", "", remedy)
        assert not re.search(r"file_\w+|\blimit\b", bare)


def test_links_are_told_but_spoil_nothing(sound):
    (sound / "again.csv").symlink_to(sound / "1.csv")
    report = look(sound)
    assert found(report) == {"path refused": (1, False)}
    assert "again.csv is a link; links are not followed" in report.text()
    assert not report.spoils


def test_a_header_in_capitals_is_to_be_renamed(sound):
    (sound / "X.HEA").write_text("X 1 100 1000\n")
    report = look(sound)
    assert "rename it to X.hea" in report.text()
    assert "file missing" not in report.text()


def test_nothing_to_look_at_is_wrong_use(tmp_path):
    for path in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(UsageError):
            look(path)


@pytest.mark.skipif(sys.platform == "win32", reason="names that Windows does not allow")
def test_hostile_names_reach_neither_terminal_nor_page(tmp_path):
    name = '<script>alert(1)</script>\x1b[2J&".csv'.replace("/", "_")
    save(tmp_path / name, 1000 * heart(0))
    save(tmp_path / "b.csv", 1000 * heart(1), ["<b>I</b>", *LEADS[1:]])
    report = look(tmp_path)
    assert "\x1b" not in report.text() + report.html()
    page = Tags(report.html())
    assert not {"script", "b"} & {tag for tag, _ in page.tags}
    assert "<script>alert(1)" in page.text  # escaped, so it is text


def test_the_page_says_what_the_terminal_says_and_needs_nothing_else(sound):
    save(sound / "uv.csv", 1000 * heart(9))
    report = look(sound)
    page = Tags(report.html())
    for row in report.rows:
        assert row.name in page.text
        assert row.remedy in page.text
        assert all(example in page.text for example in row.examples)
    assert "This would spoil results: gain." in page.text
    assert not any({"src", "href"} & attributes.keys() for _, attributes in page.tags)


@pytest.mark.skipif(not (SHARED / "csn").is_dir(), reason="../shared/data/csn is not there")
def test_real_recordings_of_a_hospital_are_described():
    report = look(SHARED / "csn")
    flat = next(row for row in report.rows if row.name == "flat")
    assert (flat.count, "JS11438" in flat.examples[0]) == (1, True)
    assert ("rate", "500 Hz") in report.facts
    assert {row.name for row in report.rows if row.spoils} <= {"flat", "unreadable"}


@pytest.mark.skipif(not (SHARED / "ptb-xl").is_dir(), reason="../shared/data/ptb-xl is not there")
def test_real_ptb_xl_records_pass():
    report = look(SHARED / "ptb-xl/records100/00000")
    assert report.looked_at >= 40
    assert not report.spoils
