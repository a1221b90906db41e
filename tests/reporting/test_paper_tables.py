"""Ours beside the paper's: domains and demo apart, "--" where not run, three exports that agree."""

import re
from dataclasses import replace

import pandas as pd
import pytest

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.provenance import READS_REPORT
from dbeta_lib.evaluation.results import Provenance, Result, load_all
from dbeta_lib.reporting import paper_numbers as paper
from dbeta_lib.reporting import paper_tables

SEEN = Provenance(("mimic-iv-ecg abc",))
PROBE = Result(
    encoder="out-model", data="ptb-xl", store_fingerprint="f" * 64, task="rhythm",
    protocol="linear probe", metric="macro_auc", value=0.91234, low=0.90123, high=0.92345, n=2159,
    label_fraction=0.01, n_train=168, profile="paper", provenance=SEEN, pretraining_seed=3,
)  # fmt: skip
RECORDS = {
    "out-of-domain": PROBE,
    "in-domain": replace(
        PROBE, encoder="in-model",
        provenance=Provenance(("ptb-xl abc",), True, True, True, False),
    ),
    "not known": replace(PROBE, encoder="released", provenance=Provenance.unknown("nobody knows")),
    "untrained": replace(PROBE, encoder="random encoder", provenance=Provenance()),
}  # fmt: skip
DEMO = replace(
    PROBE, encoder="demo-model", data="synthetic", task="conditions", profile="demo", value=0.4321,
    low=0.4, high=0.5, provenance=Provenance(("synthetic abc",), label_derived_reports=True),
)  # fmt: skip


@pytest.fixture
def frame(tmp_path):
    for record in (*RECORDS.values(), DEMO):
        record.save(tmp_path / "results")
    return load_all(tmp_path / "results")


def test_every_domain_has_a_table_of_its_own(frame):
    made = paper_tables.tables(frame)
    for domain, record in RECORDS.items():
        text = made[f"Linear probe, ours {domain}"].to_markdown()
        assert f"| {record.encoder}, seed 3 |" in text
        assert "91.23 [90.12, 92.34]" in text
        own = re.sub(r"\| control: .*", "", text)
        for other in RECORDS.values():
            assert other is record or other.encoder not in own
    assert "Zero-shot, ours in-domain" not in made


def test_under_a_row_whose_pre_training_read_the_reports_stand_the_controls(tmp_path):
    untrained = RECORDS["untrained"]
    for record in (
        *RECORDS.values(),
        replace(untrained, encoder="elsewhere", store_fingerprint="e" * 64),
        replace(untrained, encoder="other-share", label_fraction=0.1),
    ):
        record.save(tmp_path)
    made = paper_tables.tables(load_all(tmp_path))
    table = made["Linear probe, ours in-domain"]
    assert [row[table.header.index("our encoder")] for row in table.rows] == [
        "in-model, seed 3", "control: random encoder, seed 3"
    ]  # fmt: skip
    assert "1 such questions have no text-only row yet" in table.caption
    for other in ("out-of-domain", "not known", "untrained"):
        assert "control: " not in made[f"Linear probe, ours {other}"].to_markdown()
    text_only = replace(untrained, encoder="text only", value=0.95, provenance=READS_REPORT)
    text_only.save(tmp_path)
    table = paper_tables.tables(load_all(tmp_path))["Linear probe, ours in-domain"]
    assert "| control: text only, seed 3 |" in table.to_markdown()
    assert "no text-only row" not in table.caption and "Controls read nothing" in table.caption
    blind = replace(RECORDS["in-domain"], provenance=Provenance(("ptb-xl abc",), True))
    blind.save(tmp_path)
    alone = paper_tables.tables(load_all(tmp_path))["Linear probe, ours in-domain"]
    assert "control" not in alone.to_markdown().lower()


def test_the_row_names_data_profile_and_what_pre_training_read(frame):
    made = paper_tables.tables(frame)
    text = made["Linear probe, ours in-domain"].to_markdown()
    assert "ptb-xl ffffffff: rhythm, linear probe, profile paper" in text
    assert "ptb-xl, evaluated patients' ECGs, their reports, reports of the training" in text
    assert "2,159 (168 labelled to learn from)" in text
    assert "| mimic-iv-ecg |" in made["Linear probe, ours out-of-domain"].to_markdown()


def test_the_first_table_of_a_protocol_has_every_cell_and_dashes_where_nothing_was_run(frame):
    table = paper_tables.tables(frame)["Linear probe, ours out-of-domain"]
    assert len(table.rows) == 18
    ours = table.header.index("ours [95 %]")
    assert sum(row[ours] != "--" for row in table.rows) == 1
    assert all(set(row[ours:]) == {"--"} for row in table.rows if row[ours] == "--")


def test_the_printed_number_stands_beside_ours_with_its_doubt(frame):
    table = paper_tables.tables(frame)["Linear probe, ours out-of-domain"]
    published = paper.published()
    of = published[(published["task"] == "rhythm") & (published["label_fraction"] == "0.01")]
    (own,) = of[(of["group"] == "paper") & (of["row"] == "D-BETA")].to_dict("records")
    (row,) = (row for row in table.rows if any("out-model" in cell for cell in row))
    assert row[table.header.index("D-BETA, printed")] == paper.marked(own)
    assert f"note {own['note']}" in paper.marked(own)
    said = row[table.header.index("against D-BETA")]
    assert said == paper.verdict(float(own["value"]) / 100, PROBE.low, PROBE.high)


def test_demo_results_stand_in_one_table_only_that_says_demo(frame):
    made = paper_tables.tables(frame)
    holding = [title for title, table in made.items() if "demo-model" in table.to_markdown()]
    assert holding == [paper_tables.DEMO]
    demo = made[paper_tables.DEMO]
    assert "43.21 [40.00, 50.00]" in demo.to_markdown() and "Demo" in demo.caption
    assert "D-BETA, printed" not in demo.header
    without = paper_tables.tables(frame[frame["data"] != "synthetic"])
    assert paper_tables.DEMO not in without


def test_a_demo_profile_on_real_data_is_demo_too(tmp_path):
    replace(PROBE, profile="demo").save(tmp_path)
    made = paper_tables.tables(load_all(tmp_path))
    assert [t for t, table in made.items() if "out-model" in table.to_markdown()] == [
        paper_tables.DEMO
    ]


def test_every_published_number_stands_in_some_table(tmp_path):
    made = paper_tables.tables(load_all_of_nothing(tmp_path))
    cells = {part for table in made.values() for row in table.rows for cell in row
             for part in cell.split("; ")}  # fmt: skip
    for row in paper.published().to_dict("records"):
        assert paper.marked(row) in cells or paper.compared(row) in cells, row


def load_all_of_nothing(folder):
    (folder / "none").mkdir()
    return load_all(folder / "none")


def test_rows_without_a_run_say_what_it_takes(frame, tmp_path):
    absent = paper_tables.not_run(frame)
    nothing = paper_tables.not_run(load_all_of_nothing(tmp_path))
    assert len(nothing) == len(absent) + 1
    probe = nothing[(nothing["table"] == "Linear probe") & (nothing["dataset"] == "PTB-XL Rhythm")]
    assert probe["asked"].tolist() == [f"12 leads, {share} % labels" for share in (1, 10, 100)]
    assert probe["takes"].str.contains("dbeta probe MODEL STORE --task rhythm").all()
    assert (nothing["takes"] != "").all() and (nothing["so_far"] == "nothing").all()
    inside = paper_tables.not_run(frame[frame["domain"].isin(["in-domain", "untrained"])])
    row = inside[(inside["dataset"] == "PTB-XL Rhythm") & inside["asked"].str.contains(" 1 %")]
    assert row["so_far"].tolist() == ["in-domain, untrained"]


def test_the_exports_agree_and_carry_the_numbers(frame, tmp_path):
    paths = paper_tables.export(frame, tmp_path / "out")
    assert [path.name for path in paths] == [
        "paper_tables.md", "paper_tables.tex", "paper_tables.csv", "demo_results.csv"
    ]  # fmt: skip
    markdown, latex = (path.read_text(encoding="utf-8") for path in paths[:2])
    for text in (markdown, latex):
        # a row per domain, and once more as the control of the in-domain one
        assert text.count("91.23 [90.12, 92.34]") == 5 and text.count("43.21 [40.00") == 1
    table = pd.read_csv(paths[2])
    ran = table.dropna(subset="our_value")
    assert sorted(ran["our_domain"]) == sorted(RECORDS)
    assert ran["our_value"].tolist() == [PROBE.value] * 4
    assert not table["our_encoder"].eq("demo-model").any()
    assert pd.read_csv(paths[3])["encoder"].tolist() == ["demo-model"]


def test_names_from_outside_are_escaped_in_markdown_and_latex(tmp_path):
    replace(PROBE, encoder="a_b & 50% $x$ | <script>\\input{y}").save(tmp_path / "results")
    paths = paper_tables.export(load_all(tmp_path / "results"), tmp_path / "out")
    markdown, latex = (path.read_text(encoding="utf-8") for path in paths[:2])
    assert r"a\_b \& 50\% \$x\$" in latex and r"\input{" not in latex
    assert "<script>" not in markdown and r"a\_b &amp; 50% \$x\$ \| &lt;script" in markdown
    body = re.sub(r"(?m)^%.*$", "", latex)
    assert not re.search(r"(?<!\\)[%#$]", body)
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") > 5
    for block in re.findall(r"\\begin\{tabular\}\{(l+)\}(.*?)\\end\{tabular\}", body, re.DOTALL):
        rows = [line for line in block[1].splitlines() if line.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", line)) + 1 for line in rows} == {len(block[0])}


def test_a_file_in_the_place_of_the_folder_is_wrong_use(frame, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        paper_tables.export(frame, tmp_path / "taken")


def test_the_overview_counts_questions_and_results_as_the_table_of_pairs_has_them(frame):
    table = paper_tables.overview(frame).frame.set_index("table")
    pairs = paper_tables.joined(frame)
    assert table.loc["Linear probe", "questions"] == 18
    assert table["questions"].sum() == len(paper.cells(paper.published()))
    for domain in RECORDS:
        assert table.loc["Linear probe", f"ours {domain}"] == 1
        assert table.loc["Zero-shot", f"ours {domain}"] == 0
    for verdict in paper.VERDICTS:
        assert table[verdict].sum() == (pairs["verdict"] == verdict).sum()
    assert table[list(paper.VERDICTS)].to_numpy().sum() == 3, "the untrained one gets no verdict"
    assert "1 demo results" in paper_tables.overview(frame).caption


def test_records_of_several_folders_say_where_they_are_kept(tmp_path):
    PROBE.save(tmp_path / "mine" / "results")
    replace(PROBE, value=0.92).save(tmp_path / "kept")
    gathered = paper.gather(tmp_path / "mine" / "results", [tmp_path / "kept"])
    text = paper_tables.tables(gathered)["Linear probe, ours out-of-domain"].to_markdown()
    assert "profile paper, kept in mine" in text and "profile paper, kept in kept" in text
    assert paper_tables.joined(gathered)["our_folder"].dropna().tolist() == ["kept", "mine"]


def test_a_row_that_reads_the_report_says_so_in_every_table(tmp_path):
    note = "reads the report, no ECG"
    reader = replace(PROBE, encoder="text only", provenance=Provenance(note=note))
    for record in (reader, replace(reader, data="synthetic", task="conditions")):
        record.save(tmp_path)
    made = paper_tables.tables(load_all(tmp_path))
    assert f"| nothing; {note} |" in made["Linear probe, ours untrained"].to_markdown()
    assert f"| text only ({note}) |" in made[paper_tables.DEMO].to_markdown()
    assert paper_tables.joined(load_all(tmp_path))["our_note"].str.cat() == note
