"""Report texts: normalised copy, repaired damage, ids, languages, counts."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbeta_lib.data.reports import (
    detect_language,
    duplicate_statistics,
    enough_words,
    join_statements,
    normalise_report,
    repair_ptb_xl,
    report_ids,
)


def test_white_space_is_folded_case_lowered_and_letters_composed():
    assert normalise_report(" Sinus\t Rhythm\n\u00a0 MA\u0308SSIG ") == "sinus rhythm mässig"


@given(st.text(max_size=60))
def test_normalising_twice_changes_nothing_more(text):
    once = normalise_report(text)
    assert normalise_report(once) == once
    assert "  " not in once
    assert once == once.strip()


@pytest.mark.parametrize(
    ("statements", "text"),
    [
        (["Sinus rhythm", "Normal ECG"], "Sinus rhythm. Normal ECG."),
        (
            ["Sinus  rhythm.", "", "  ", float("nan"), None, "Normal ECG. "],
            "Sinus rhythm. Normal ECG.",
        ),
        (["only"], "only."),
        ([], ""),
        (["", "."], ""),
    ],
)
def test_statements_are_joined_in_order_and_ended(statements, text):
    assert join_statements(statements) == text


def test_merl_s_filter_counts_words():
    assert enough_words("sinus rhythm. normal ecg.", 4)
    assert not enough_words("trace only requested.", 4)


def test_one_id_per_distinct_text_in_order_of_first_appearance():
    texts = ["B b", "a", "", "b  B", "A", " ", "c"]
    assert report_ids(texts).tolist() == [0, 1, -1, 0, 1, -1, 2]


@given(st.lists(st.sampled_from(["a", "A ", "b", "", "c c", "c  C"]), max_size=20))
def test_ids_are_equal_exactly_where_the_texts_are(texts):
    ids = report_ids(texts)
    for i, first in enumerate(texts):
        for j, second in enumerate(texts):
            same = normalise_report(first) == normalise_report(second)
            assert (ids[i] == ids[j]) == same
        assert (ids[i] == -1) == (not first.strip())


def test_duplicates_are_counted_as_by_hand():
    texts = ["a", "b", "A", "", "a ", "c"]
    found = duplicate_statistics(texts)
    assert (found["texts"], found["distinct"]) == (5, 3)
    assert found["counts"].tolist() == [3, 1, 1]
    assert found["top"][0] == ("a", 3)
    pairs = [(i, j) for i in range(5) for j in range(5) if i != j]
    kept = [normalise_report(text) for text in texts if text]
    same = Counter(kept[i] == kept[j] for i, j in pairs)[True]
    assert found["same_pair"] == pytest.approx(same / len(pairs))
    assert duplicate_statistics([])["same_pair"] == 0.0
    assert duplicate_statistics([])["counts"].dtype == np.int64


@pytest.mark.parametrize(
    ("published", "copy"),
    [
        # texts as they stand in ptbxl_database.csv
        (
            "sinusrhythmus normales ekg 4.46                          unbestÄtigter bericht",
            "sinusrhythmus normales ekg",
        ),
        ("schrittmacher ekg 4.46                          unbestÄti", "schrittmacher ekg"),
        ("schrittmacher ekg 4.46                          ", "schrittmacher ekg"),
        (
            "hypertrophy or ischaemia not excluded 4.40                          unconfi",
            "hypertrophy or ischaemia not excluded",
        ),
        (
            "infarkt     alter unbest. 4.46                          unbestÄtigter bericht",
            "infarkt alter unbest.",
        ),
        (
            "mÄssige amplitudenkriterien fÜr linkshypertrophie",
            "mässige amplitudenkriterien für linkshypertrophie",
        ),
        (
            "mÄssige amplitudenkriterien f#r linkshypertrophie",
            "mässige amplitudenkriterien für linkshypertrophie",
        ),
        (
            "sinusrhythmus r-s #bergang in v ableitungen",
            "sinusrhythmus r-s übergang in v ableitungen",
        ),
        ("kurzer schweiáausbruch ,langsamer puls", "kurzer schweißausbruch ,langsamer puls"),
        (
            "sinusrytm vÄnster el-axel t-fÖrÄndring, sÅsom vid",
            "sinusrytm vänster el-axel t-förändring, såsom vid",
        ),
        ("nr: 030315 }lder:  87 }r k|n: l{ngd:", "nr: 030315 ålder: 87 år kön: längd:"),
        # what annotators added is label, not report
        ("sinus rhythm. normal ecg. Edit: NORM 100, (NORM 100)", "sinus rhythm. normal ecg."),
        (
            "linkstyp 4.46                          unbestÄtigter bericht Edit: LAO 50, (NDT)",
            "linkstyp",
        ),
        # what only looks like damage stays
        ("st segments are depressed in v4, 4.46", "st segments are depressed in v4,"),
        ("pq 0.24 sec, rr 4.6 {sic}", "pq 0.24 sec, rr 4.6 {sic}"),
        ("unbestimmt", "unbestimmt"),
    ],
)
def test_ptb_xl_s_damage_is_repaired_where_it_is_unambiguous(published, copy):
    assert repair_ptb_xl(published) == copy


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("sinusrhythmus lagetyp normal normales ekg", "de"),
        ("schrittmacher ekg", "de"),
        ("vorhofflimmern/-flattern linkstyp", "de"),
        ("sinusbradykardie sonst normales ekg", "de"),
        ("sinus rhythm. normal ecg.", "en"),
        ("trace only requested.", "en"),
        ("atrial fibrillation. left axis deviation.", "en"),
        ("sinusrytm normalt ekg", "sv"),
        ("förmaksflimmer/-fladder vänster el-axel", "sv"),
        ("sr. qrs(t) abnormal", "unknown"),
        ("normal", "unknown"),
        ("", "unknown"),
    ],
)
def test_languages_of_short_reports(text, language):
    assert detect_language(text) == language
