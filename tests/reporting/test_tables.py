import html.parser
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dbeta_lib.errors import UsageError
from dbeta_lib.reporting import tables

HOSTILE = "<script>alert('x')</script> | $t$ wave_1 [a](javascript:b)\nnext & 50 % {x} \\ ~ ^ #"


@pytest.fixture
def results():
    """Two encoders x two fractions; three seeds at 10 %, one interval at 100 %."""
    rows = []
    for encoder, base in (("random", 0.6), ("D-BETA", 0.8)):
        rows += [[encoder, 0.1, base + 0.01 * seed, base, base] for seed in range(3)]
        rows.append([encoder, 1.0, base + 0.0034, base - 0.01, base + 0.02])
    return pd.DataFrame(rows, columns=["encoder", "label_fraction", "value", "low", "high"])


@pytest.mark.parametrize(
    ("given_numbers", "text"),
    [
        ((0.8034, 0.7921, 0.8179), "0.803 [0.79, 0.82]"),
        ((0.8034,), "0.803"),
        ((0.8034, float("nan"), 0.9), "0.803"),
        ((float("nan"), 0.1, 0.2), "–"),
        ((None,), "–"),
        ((-1.25, -2, 3.0, 1), "-1.2 [-2, 3]"),
    ],
)
def test_a_value_is_written_with_its_interval(given_numbers, text):
    assert tables.format_interval(*given_numbers) == text


def test_pivot_puts_encoders_in_rows_and_fractions_in_columns(results):
    table = tables.pivot(results, caption="PTB-XL.")
    assert table.header == ("encoder", "10 %", "100 %")
    assert table.rows[0] == ("random", "0.610 [0.60, 0.62]", "0.603 [0.59, 0.62]")
    assert table.rows[1][0] == "D-BETA"
    assert table.caption.startswith("PTB-XL. ") and "their range" in table.caption


def test_pivot_leaves_absent_results_open_and_says_nothing_about_seeds(results):
    single = results[results["label_fraction"] == 1.0]
    extra = pd.DataFrame([["text only", 0.5, 0.7, 0.6, 0.8]], columns=results.columns)
    table = tables.pivot(pd.concat([single, extra]), caption="demo")
    assert table.rows[0][1] == tables.NOTHING and table.rows[2][2] == tables.NOTHING
    assert table.caption == "demo"


def test_pivot_over_several_row_columns_and_without_intervals(results):
    results = results.assign(task="super").drop(columns=["low", "high"])
    table = tables.pivot(results[results["label_fraction"] == 1.0], rows=["task", "encoder"])
    assert table.rows[1] == ("super", "D-BETA", "0.803")


def test_pivot_names_the_missing_column(results):
    with pytest.raises(UsageError, match="needs a column 'label_fractions'; did you mean"):
        tables.pivot(results, columns="label_fractions")


def test_with_interval_makes_one_column_of_three(results):
    frame = tables.with_interval(results)
    assert list(frame.columns) == ["encoder", "label_fraction", "value"]
    assert frame["value"].iloc[-1] == "0.803 [0.79, 0.82]"
    assert results["value"].dtype == float


def test_markdown_is_one_line_per_row_with_aligned_numbers(results):
    lines = tables.show(results, "two encoders").to_markdown().splitlines()
    assert lines[0] == "| encoder | label_fraction | value | low | high |".replace("_", "\\_")
    assert lines[1] == "|---|---:|---:|---:|---:|"
    assert len(lines) == 2 + 8 + 2 and lines[-1] == "*two encoders*"


class Reader(html.parser.HTMLParser):
    """Collects tags and the text of cells."""

    def __init__(self):
        super().__init__()
        self.tags, self.cells = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag in ("td", "th", "caption"):
            self.cells.append("")

    def handle_data(self, data):
        if data.strip():
            self.cells[-1] += data


@example(HOSTILE)
@given(st.text(alphabet="ab<>/&;\"'=! \n", max_size=40))
def test_html_shows_any_text_and_no_tag_comes_from_it(text):
    table = tables.show(pd.DataFrame({"report": [text]}), caption=text)
    reader = Reader()
    reader.feed(table.to_html())
    assert set(reader.tags) <= {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert "".join(reader.cells[-1].split()) == "".join(text.replace("\r", "\n").split())


def test_markdown_of_a_hostile_report_is_inert():
    line = tables.show(pd.DataFrame({"report": [HOSTILE]})).to_markdown().splitlines()[2]
    assert "<script>" not in line and "](" not in line.replace("\\](", "")
    assert line.replace("\\|", "").count("|") == 2 and "\\$t\\$" in line and "wave\\_1" in line


def test_latex_escapes_every_special_character():
    latex = tables.show(pd.DataFrame({"report": [HOSTILE]}), HOSTILE).to_latex()
    body = latex.split(r"\midrule")[1].split(r"\bottomrule")[0]
    assert r"50 \% \{x\} \textbackslash{} \textasciitilde{} \textasciicircum{} \#" in body
    assert r"\$t\$ wave\_1" in body and body.count(r"\\") == 1
    assert latex.count(r"\begin{") == latex.count(r"\end{") == 2


def test_a_latex_row_that_begins_with_a_bracket_is_no_option():
    latex = tables.show(pd.DataFrame({"interval": ["[0.1, 0.2]"]})).to_latex()
    assert r"{}[0.1, 0.2] \\" in latex


def test_latex_columns_follow_the_kind_of_numbers(results):
    assert r"\begin{tabular}{lrrrr}" in tables.show(results).to_latex()


def test_cells_of_every_kind():
    values = [12345, np.int64(7), 0.12345, np.float32(0.5), True, None, pd.NA, "text", float("nan")]
    shown = [tables.format_cell(value) for value in values]
    assert shown == ["12,345", "7", "0.123", "0.500", "yes", "–", "–", "text", "–"]


def test_a_notebook_gets_html_and_an_empty_frame_its_header():
    table = tables.show(pd.DataFrame({"a": [], "b": []}), "nothing yet")
    assert table.rows == () and "<th" in table._repr_html_()
    assert table._repr_markdown_() == str(table)


def test_the_index_can_be_shown():
    frame = pd.DataFrame({"auc": [0.5]}, index=pd.Index(["MI"], name="class"))
    assert tables.show(frame, index=True).rows == (("MI", "0.500"),)
    assert tables.show(frame).header == ("auc",)


def test_a_terminal_sees_aligned_columns_under_the_caption():
    frame = pd.DataFrame({"encoder": ["a", "longer"], "n": [5, 1200]})
    lines = repr(tables.show(frame, "Sizes")).split("\n")
    assert lines == ["Sizes", "encoder      n", "a            5", "longer   1,200"]


def test_named_estimates_become_rows_with_their_intervals():
    one, two = (SimpleNamespace(value=v, low=v - 0.1, high=v + 0.1) for v in (0.5, 0.75))
    table = tables.intervals({("a", "en"): one, ("b", "de"): two}, ("prompts", "language"))
    assert table.header == ("prompts", "language", "macro AUC")
    assert table.rows == (("a", "en", "0.500 [0.40, 0.60]"), ("b", "de", "0.750 [0.65, 0.85]"))
    assert table.frame["high"].tolist() == [0.6, 0.85]
    assert tables.intervals({"a": one}, "who").rows == (("a", "0.500 [0.40, 0.60]"),)


def test_a_table_of_results_says_where_patients_are_not_known():
    frame = pd.DataFrame(
        {"encoder": ["a"], "label_fraction": [1.0], "value": [0.8], "data": ["cinc2021"],
         "split_by": ["recording"]}
    )  # fmt: skip
    caption = tables.pivot(frame, caption="Probe").caption
    assert caption.startswith("Probe. The patients of cinc2021 are not known")
    assert tables.pivot(frame).caption.startswith("The patients of cinc2021")
    assert tables.pivot(frame.assign(split_by="patient"), caption="Probe").caption == "Probe"
    several = tables.pivot(pd.concat([frame, frame]), caption="Probe").caption
    assert "not known" in several and several.endswith("their range.")
