import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbeta_lib.reporting import text as words
from dbeta_lib.reporting.figures import new_chart
from dbeta_lib.reporting.style import style_context

GERMAN = (
    "sinusrhythmus linkstyp unspezifisch abnormales t lateral spannungskriterien für "
    "linksventrikuläre hypertrophie erregungsrückbildungsstörungen"
)


def test_wrapped_lines_fit_and_lose_nothing():
    lines = words.wrap(GERMAN, 60, 8)
    assert len(lines) > 3
    assert all(words.width_mm(line, 8) <= 60 for line in lines)
    assert " ".join(lines) == GERMAN


@given(st.text(alphabet="ab ü$\n\t%_", max_size=200), st.floats(12, 80))
def test_any_text_fits_any_width(text, width):
    lines = words.wrap(text, width, 8)
    assert all(words.width_mm(line, 8) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_a_word_longer_than_the_line_is_cut():
    lines = words.wrap("erregungsrückbildungsstörung", 15, 8)
    assert len(lines) > 1 and "".join(lines) == "erregungsrückbildungsstörung"


def test_a_limit_of_lines_ends_in_an_ellipsis():
    lines = words.wrap(GERMAN, 60, 8, max_lines=2)
    assert len(lines) == 2 and lines[1].endswith("…")
    assert words.width_mm(lines[1], 8) <= 60
    assert words.wrap("short", 60, 8, max_lines=2) == ["short"]


def test_empty_text_has_no_lines():
    assert words.wrap("  \n ", 50, 8) == []


def test_control_characters_are_left_out():
    assert words.clean("st\x00 elevation\r\n  v1") == "st elevation v1"


@pytest.mark.parametrize("dpi", [72, 110, 200])
def test_measured_widths_are_those_drawn(dpi):
    with style_context():
        chart = new_chart(200, 20, constrained=False)
        chart.set_dpi(dpi)
        drawn = chart.text(0, 0.5, GERMAN[:90], fontsize=8).get_window_extent().width
    assert abs(drawn / dpi * 25.4 - words.width_mm(GERMAN[:90], 8)) < 0.6


def test_width_is_measured_in_print_millimetres():
    # An em of 10 pt is 3.53 mm; DejaVu's "m" is 0.974 em wide (its horizontal advance).
    assert abs(words.width_mm("m" * 100, 10) - 100 * 0.974 * 10 * 25.4 / 72) < 1
