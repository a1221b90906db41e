"""Headers with SNOMED codes: what their comments say, and which files of a folder are records."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbeta_lib.data import snomed
from dbeta_lib.data.wfdb_header import parse_header
from dbeta_lib.errors import UsageError

LINES = "rec.mat 16+24 1000/mV 16 0 0 0 0 I"


def put(folder, *names, text="rec 1 500 10\n" + LINES):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize("mark", ["#", "# "])
def test_both_styles_of_comments_say_the_same(mark):
    comments = "\n".join(
        mark + line for line in ("Age: 74", "Sex: Female", "Dx: 59118001,426783006", "Rx: Unknown")
    )
    found = snomed.notes(parse_header(f"rec 1 500 10\n{LINES}\n{comments}", "h"))
    assert found == snomed.Notes(74.0, "female", ("59118001", "426783006"))


@pytest.mark.parametrize(
    ("text", "age"), [("0", 0), ("89", 89), ("34.5", 34.5), (" 7 ", 7), ("130", 130), ("0\x1f", 0)]
)
def test_ages_are_years(text, age):
    assert snomed.parse_age(text) == age


@pytest.mark.parametrize("text", ["", "NaN", "Unknown", "-1", "300", "inf", "1e3", "1_0", "٤٢"])
def test_what_is_no_age_is_nan(text):
    assert np.isnan(snomed.parse_age(text))


def test_sexes_and_codes_are_read_whatever_their_writing():
    assert [snomed.parse_sex(s) for s in ("Male", "F", " female ", "NaN", "")] == [
        "male", "female", "female", "unknown", "unknown",
    ]  # fmt: skip
    assert snomed.parse_codes(" 1, 2 ,,1,Unknown") == ("1", "2")
    assert snomed.parse_codes("AF\x00,270492004") == ("AF", "270492004")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200), st.text(max_size=50), st.text(max_size=50))
def test_any_comments_at_all_give_notes_that_a_store_can_hold(dx, age, sex):
    codes, years = snomed.parse_codes(dx), snomed.parse_age(age)
    assert len(set(codes)) == len(codes)
    assert all(0 < len(code) <= 20 and code.isprintable() and "," not in code for code in codes)
    assert np.isnan(years) or 0 <= years <= 130
    assert snomed.parse_sex(sex) in ("male", "female", "unknown")


def test_records_are_found_below_in_order_and_nothing_else_is_one(tmp_path):
    put(tmp_path, "b/g2/r2.hea", "b/g2/r2.mat", "a/r1.hea", "a/r1.mat", "b/g10/r3.hea")
    put(tmp_path, "b/.r4.hea", ".cache/r5.hea", "index.html", "a/r1.hea.txt", "notes.csv")
    found = snomed.list_folder(tmp_path)
    assert found.headers == ["a/r1", "b/g10/r3", "b/g2/r2"]
    assert found.aside == []
    assert list(found.files) == sorted(found.files)
    assert found.files["a/r1.mat"] == (tmp_path / "a/r1.mat").stat().st_size
    only = snomed.list_folder(tmp_path, lambda path: path.startswith("a/"))
    assert only.headers == ["a/r1"]


def test_links_are_named_and_not_followed(tmp_path):
    put(tmp_path / "elsewhere", "r9.hea", "r9.mat")
    put(tmp_path / "set", "a/r1.hea", "a/r1.mat")
    os.symlink(tmp_path / "elsewhere", tmp_path / "set/linked")
    os.symlink(tmp_path / "set", tmp_path / "set/a/round")
    os.symlink(tmp_path / "elsewhere/r9.hea", tmp_path / "set/a/r9.hea")
    found = snomed.list_folder(tmp_path / "set")
    assert found.headers == ["a/r1", "a/r9"]
    assert [(path, reason) for path, reason, _ in found.aside] == [
        ("linked", "path refused"), ("a/round", "path refused"),
    ]  # fmt: skip
    notes, aside = snomed.read_notes(tmp_path / "set", found.headers)
    assert list(notes) == ["a/r1"]
    assert aside == [("a/r9", "path refused", "a/r9.hea is a link; links are not followed")]


def test_a_signal_without_header_and_what_records_names_in_vain_are_set_aside(tmp_path):
    put(tmp_path, "g1/r1.hea", "g1/r1.mat", "g1/r2.mat")
    (tmp_path / "RECORDS").write_text("g1/\ng2/\n\n")
    (tmp_path / "g1/RECORDS").write_text("r1\nr2\nr3\n")
    assert snomed.list_folder(tmp_path).aside == [
        ("g1/r2", "file missing", "g1/r2.hea"),
        ("g1/r3", "file missing", "g1/r3, which RECORDS lists"),
        ("g2/", "file missing", "g2/, which RECORDS lists"),
    ]


def test_names_that_no_table_can_hold_are_set_aside(tmp_path):
    put(tmp_path, "r1.hea")
    with open(os.fsencode(tmp_path) + b"/r\xff.hea", "w") as file:
        file.write("x")
    put(tmp_path, "r\n2.hea")
    found = snomed.list_folder(tmp_path)
    assert found.headers == ["r1"]
    assert {reason for _, reason, _ in found.aside} == {"path refused"}
    assert all(path.isascii() and path.isprintable() for path, _, _ in found.aside)


def test_the_checksum_follows_headers_sizes_and_tables_alone(tmp_path):
    put(tmp_path, "a/r1.hea", "a/r1.mat", "table.csv")

    def checksum():
        listing = snomed.list_folder(tmp_path)
        return snomed.checksum(tmp_path, listing, [tmp_path / "table.csv"])

    first = checksum()
    put(tmp_path, "notes.txt")
    os.utime(tmp_path / "a/r1.hea", (1, 1))
    assert checksum() == first
    seen = {first}
    for name, text in (
        ("a/r1.hea", "rec 1 500 20\n" + LINES),  # as long as before: a label may change like this
        ("a/r1.mat", "longer than it was"),
        ("table.csv", "x"),
        ("a/r2.hea", "new"),
    ):
        put(tmp_path, name, text=text)
        assert checksum() not in seen
        seen.add(checksum())


def test_a_header_that_is_none_is_set_aside_with_its_name(tmp_path):
    put(tmp_path, "r1.hea")
    put(tmp_path, "r2.hea", text="")
    put(tmp_path, "r3.hea", text="r3 12 500 5000\n")
    notes, aside = snomed.read_notes(tmp_path, ["r1", "r2", "r3"])
    assert list(notes) == ["r1"]
    assert [(name, reason) for name, reason, _ in aside] == [
        ("r2", "unreadable"), ("r3", "unreadable"),
    ]  # fmt: skip
    assert all(name in detail for name, _, detail in aside)


def test_labels_and_codes_without_a_name_are_counted():
    frame = snomed.label_frame({"r1": ["B", "X"], "r2": []}, ["A", "B"])
    assert frame.to_numpy().tolist() == [[0, 1], [0, 0]]
    assert list(frame.index) == ["r1", "r2"] and list(frame) == ["A", "B"]
    notes = [snomed.Notes(1, "male", codes) for codes in (("1", "2"), ("2", "3"), ())]
    assert snomed.unnamed(notes, ["1"]) == "2 (2), 3 (1)"
    assert snomed.unnamed(notes, ["1", "2", "3"]) == ""
    many = [snomed.Notes(1, "male", (str(i),)) for i in range(150)]
    assert snomed.unnamed(many, []).endswith("and 50 others")


@pytest.mark.parametrize("rate", [0, 49, 500.0, True, "500"])
def test_a_wrong_folder_or_rate_is_wrong_use(tmp_path, rate):
    with pytest.raises(UsageError, match="is no folder; get it"):
        snomed.check_call(tmp_path / "absent", 500, "get it")
    with pytest.raises(UsageError, match="whole number, 50 or more"):
        snomed.check_call(tmp_path, rate, "get it")
