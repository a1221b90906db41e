"""Printed numbers and ours in one picture; demo results in another that says so."""

from dataclasses import replace

import numpy as np
import pytest

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.results import Provenance, Result, load_all
from dbeta_lib.reporting import paper_numbers as paper
from dbeta_lib.reporting import paper_tables
from dbeta_lib.reporting.plots_paper import (
    DBETA,
    DOMAIN_LOOKS,
    LEGEND,
    OTHERS,
    comparable,
    plot_beside_paper,
    plot_demo,
)
from dbeta_lib.reporting.style import style_context

SHOT = Result(
    encoder="dbeta-mini, pre-trained", data="ptb-xl", store_fingerprint="f" * 64, task="super",
    protocol="zero-shot", metric="macro_auc", value=0.70, low=0.66, high=0.75, n=386,
    variant="ensemble de+en, d9e80836", profile="ptbxl", pretraining_seed=1,
    provenance=Provenance(("ptb-xl abc",)),
)  # fmt: skip
PROBE = replace(
    SHOT, protocol="linear probe", label_fraction=0.01, variant="", value=0.8, low=0.77, high=0.83
)
REAL = (
    SHOT,
    replace(SHOT, encoder="untrained model", provenance=Provenance(), value=0.5, low=0.4, high=0.6),
    replace(SHOT, provenance=Provenance(("mimic-iv-ecg abc",)), value=0.77, low=0.7, high=0.8,
            pretraining_seed=2),
    PROBE,
)  # fmt: skip
DEMO = replace(SHOT, data="synthetic", task="conditions", profile="demo", n=801)


def real(folder, *records):
    for record in records:
        record.save(folder)
    return paper_tables.joined(load_all(folder))


def demo_frame(folder, *records):
    for record in records:
        record.save(folder)
    return paper_tables.tables(load_all(folder))[paper_tables.DEMO].frame


def line(axes, label):
    return [one for one in axes.lines if one.get_label() == label]


def test_the_diamond_is_the_papers_number_and_ours_stand_below_it(tmp_path, layout_faults):
    chart = plot_beside_paper(real(tmp_path, *REAL), title="printed and ours")
    axes = chart.axes[0]
    printed = paper.published()
    (own,) = printed.loc[
        (printed["protocol"] == "zero-shot") & (printed["task"] == "super")
        & (printed["group"] == "paper") & printed["row"].map(paper.is_dbeta), "value"
    ]  # fmt: skip
    (diamond,) = line(axes, DBETA)
    assert np.isclose(diamond.get_xdata()[0], float(own))
    labels = [text.get_text() for text in axes.get_yticklabels()]
    heading = labels.index("Zero-shot, PTB-XL Super")
    assert diamond.get_ydata()[0] == heading
    for domain, record in zip(("in-domain", "untrained", "out-of-domain"), REAL):
        name = LEGEND.get(domain, f"ours, {domain}")
        dots = np.column_stack(line(axes, name)[0].get_data())
        x, y = dots[-1]  # the zero-shot block is the last one
        assert np.isclose(x, 100 * record.value) and y > heading
        assert labels[int(y)].startswith(record.encoder)
        ends = [s for c in axes.collections if hasattr(c, "get_segments") for s in c.get_segments()]
        assert any(np.allclose(s, [[100 * record.low, y], [100 * record.high, y]]) for s in ends)
    assert layout_faults(chart) == []


def test_a_row_says_seed_wording_and_size_but_not_the_digest_of_the_prompts(tmp_path, texts_of):
    chart = plot_beside_paper(real(tmp_path, SHOT))
    assert "dbeta-mini, pre-trained, seed 1, ensemble de+en (n = 386)" in texts_of(chart)


def test_a_row_that_reads_reports_says_so_and_two_runs_of_one_name_are_told_apart(
    tmp_path, texts_of
):
    told = Provenance(note="reads the report, no ECG")
    for run, value in (("first", 0.7), ("second", 0.71)):
        replace(PROBE, encoder="random encoder", provenance=Provenance(), pretraining_seed=None,
                value=value).save(tmp_path / run)  # fmt: skip
    text = replace(PROBE, encoder="text only", provenance=told, pretraining_seed=None)
    text.save(tmp_path / "first")
    beside = paper_tables.joined(paper.gather(tmp_path / "first", [tmp_path / "second"]))
    texts = texts_of(plot_beside_paper(beside))
    assert "text only, reads the report, no ECG (n = 386)" in texts
    assert {f"random encoder (n = 386), {run}" for run in ("first", "second")} <= set(texts)


def test_a_question_with_numbers_of_others_alone_is_drawn_too(tmp_path):
    beside = real(tmp_path, PROBE)
    chart = plot_beside_paper(beside)
    (ticks,) = line(chart.axes[0], OTHERS)
    numbers = sorted(ticks.get_xdata())
    (told,) = comparable(beside)["elsewhere"]
    count, _, lowest, _, highest = told.split()
    assert (len(numbers), numbers[0], numbers[-1]) == (int(count), float(lowest), float(highest))
    assert not line(chart.axes[0], DBETA)


def test_the_papers_gains_are_no_numbers_of_other_models(tmp_path):
    record = replace(
        SHOT, data="cinc2021", task="cinc2021", protocol="full fine-tuning", variant="",
        metric="challenge_score", value=0.6, low=0.5, high=0.7,
    )  # fmt: skip
    (ticks,) = line(plot_beside_paper(real(tmp_path, record)).axes[0], OTHERS)
    printed = paper.published()
    of = printed[(printed["data"] == "cinc2021") & (printed["lead_subset"] == "12")]
    gains = of.loc[of["row"] == "Gain", "value"].astype(float)
    assert len(gains) and not set(gains) & set(ticks.get_xdata())


def test_the_table_behind_it_is_what_is_drawn(tmp_path):
    beside = real(tmp_path, *REAL)
    data = plot_beside_paper(beside).data
    assert len(data) == len(REAL) and set(data["our_domain"]) <= set(DOMAIN_LOOKS)
    assert data.loc[data["protocol"] == "linear probe", "others"].str.split().str.len().gt(5).all()


def test_many_rows_of_long_names_stay_readable(tmp_path, layout_faults):
    name = "an encoder whose name somebody made far too long for any figure of this width"
    many = [replace(SHOT, encoder=f"{name} {i}", value=0.6 + i / 100) for i in range(12)]
    many += [replace(PROBE, label_fraction=f, n=2163) for f in (0.01, 0.1, 1.0)]
    chart = plot_beside_paper(real(tmp_path, *many), title="a title of many words, " * 9)
    with style_context():  # as it is saved: hinting would widen the title
        assert layout_faults(chart) == []


def test_nothing_to_compare_is_wrong_use(tmp_path):
    with pytest.raises(UsageError, match="no result answers a printed question"):
        plot_beside_paper(real(tmp_path, DEMO))


def test_the_demo_figure_says_demo_in_itself_and_shows_demo_results_alone(
    tmp_path, layout_faults, texts_of
):
    probe = replace(DEMO, protocol="linear probe", variant="", label_fraction=0.1)
    frame = demo_frame(
        tmp_path, DEMO, probe, replace(probe, encoder="random encoder", label_fraction=1.0),
        SHOT, replace(probe, metric="macro_auc_gain", against="random encoder"),
        replace(probe, encoder="one lead", lead_subset="1"),
    )  # fmt: skip
    chart = plot_demo(frame)
    texts = texts_of(chart)
    assert "DEMO" in texts and any(text.startswith("DEMO: ") for text in texts)
    assert sorted(chart.data["encoder"]) == ["dbeta-mini, pre-trained"] * 2 + ["random encoder"]
    assert set(chart.data["data"]) == {"synthetic"}
    assert "conditions, linear probe (synthetic, profile demo, n = 801)" in texts
    assert not any("one lead" in text for text in texts)
    assert layout_faults(chart) == []


def test_a_demo_dot_lies_in_its_encoders_row_at_its_value(tmp_path):
    probe = replace(DEMO, protocol="linear probe", variant="", label_fraction=0.1, value=0.91)
    low = replace(probe, encoder="random encoder", value=0.81, low=0.8, high=0.82)
    axes = plot_demo(demo_frame(tmp_path, probe, low)).axes[0]
    (dots,) = line(axes, "10 % of the labels")
    labels = [text.get_text() for text in axes.get_yticklabels()]
    placed = {labels[int(y)]: x for x, y in zip(*dots.get_data())}
    assert placed == pytest.approx({"dbeta-mini, pre-trained": 91.0, "random encoder": 81.0})


def test_in_the_demo_figure_only_rows_without_pre_training_carry_their_note(tmp_path, texts_of):
    note = "something long about the reports"
    seen = replace(DEMO, provenance=Provenance(("synthetic abc",), note=note))
    text = replace(DEMO, encoder="text only", provenance=Provenance(note=note))
    texts = texts_of(plot_demo(demo_frame(tmp_path, seen, text)))
    assert f"text only, ensemble de+en, {note}" in texts
    assert "dbeta-mini, pre-trained, ensemble de+en" in texts


def test_demo_results_of_other_metrics_alone_are_wrong_use(tmp_path):
    frame = demo_frame(tmp_path, replace(DEMO, metric="macro_auc_gain", against="random encoder"))
    with pytest.raises(UsageError, match="no demo result is a macro AUC"):
        plot_demo(frame)
