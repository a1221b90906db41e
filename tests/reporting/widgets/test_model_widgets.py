"""Reconstruction, Ask, Leads, Why: each against the library's own numbers, and what is refused."""

import numpy as np
import pytest
import torch

from dbeta_lib import box
from dbeta_lib.data.store import SignalStore
from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation import prompts, zero_shot
from dbeta_lib.evaluation.features import extract
from dbeta_lib.evaluation.occlusion import occlude
from dbeta_lib.leads import LEADS, subset_mask
from dbeta_lib.reporting import widgets
from dbeta_lib.reporting.widgets.reconstruction import draw as draw_reconstruction
from dbeta_lib.reporting.widgets.reconstruction import errors
from dbeta_lib.reporting.widgets.records import Labels, held_out_rows
from dbeta_lib.reporting.widgets.scores import (
    ClassScores,
    chief_task,
    default_prompts,
    features_of,
    from_lines,
    to_lines,
)

TEXTS = {"slow": ("slow rhythm", "bradycardia"), "atrial fibrillation": ("atrial fibrillation",)}


@pytest.fixture(scope="module")
def asked(model, store):
    return widgets.ask(store, model, query="atrial fibrillation")


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75])
def test_the_share_asked_for_is_hidden_and_the_errors_are_those_of_the_picture(
    model, store, ratio, texts_of
):
    view = draw_reconstruction(model, store, 4, mask_ratio=ratio, leads=("V1", "II"))
    data = view.pictures[0][0].data
    assert data["hidden"].mean() == pytest.approx(ratio, abs=0.02)
    assert list(dict.fromkeys(data["lead"])) == ["II", "V1"]
    one = data[(data["lead"] == "V1") & (data["hidden"] == 1)]
    error = ((one["filled in"] - one["original"]) ** 2).mean()
    assert f"filled in {error:.2f}" in " ".join(texts_of(view.pictures[0][0]))
    assert f">{error:.3f}<" in view.text


def test_errors_per_lead_by_hand():
    target, drawn = np.zeros((12, 6)), np.zeros((12, 6))
    target[3], drawn[3] = [9, 9, 1, 2, 9, 9], [0, 0, 1, 1, 0, 0]
    table = errors(target, drawn, np.array([0, 1, 0])).set_index("lead")
    assert table.loc["aVR"].tolist() == [0.5, 2.5] and table.loc["V1"].tolist() == [0, 0]
    assert table.loc["all"].tolist() == pytest.approx([0.5 / 12, 2.5 / 12])


def test_the_same_seed_hides_the_same_and_another_one_others(model, store):
    first, again, other = (
        draw_reconstruction(model, store, 4, seed=seed).pictures[0][0].data for seed in (1, 1, 2)
    )
    assert first.equals(again) and not (first["hidden"] == other["hidden"]).all()


def test_the_report_is_read_only_where_it_is_asked_for(model, store):
    without, given = (
        draw_reconstruction(model, store, 4, report=read).pictures[0][0].data
        for read in (False, True)
    )
    reads = model.config.mem.mem_layer != 0  # MEM before the fusion sees no text
    assert (not np.allclose(without["filled in"], given["filled in"])) == reads


@pytest.mark.parametrize("ratio", [0.0, 1.0, 1.5])
def test_a_ratio_that_hides_nothing_or_everything_is_refused(model, store, ratio):
    with pytest.raises(UsageError, match="at least one must be hidden and one kept"):
        draw_reconstruction(model, store, 4, mask_ratio=ratio)


def test_reconstruction_by_its_controls(model, store, png):
    panel = widgets.reconstruction(store, model)
    seen = [png(panel)]
    panel.controls["mask_ratio"].value = 0.3
    seen.append(png(panel))
    panel.controls["seed"].value = 7
    seen.append(png(panel))
    panel.controls["leads"].tick(("V6",))
    seen.append(png(panel))
    panel.controls["row"].buttons["next"].click()
    seen.append(png(panel))
    assert len(set(seen)) == 5 and panel.said.value == ""
    panel.controls["leads"].tick(())
    assert "no lead is ticked" in panel.said.value


def test_class_scores_are_those_of_zero_shot(model, store):
    rows = store.rows("test")
    features = extract(model, store, rows, progress=False)
    scores = ClassScores(model, TEXTS)
    expected = zero_shot.score_classes(model, features, list(TEXTS.values()))
    assert np.allclose(scores.of(features), expected, atol=1e-5)
    one = features_of(model, store, int(rows[2]))
    assert np.allclose(one[0], features[2], atol=1e-5)
    six = extract(model, store, rows, lead_mask=subset_mask("6"), progress=False)
    assert np.allclose(
        features_of(model, store, int(rows[2]), subset_mask("6"))[0], six[2], atol=1e-5
    )


def test_a_text_is_encoded_once(model, monkeypatch):
    asked, encode = [], model.encode_text
    monkeypatch.setattr(model, "encode_text", lambda texts: asked.extend(texts) or encode(texts))
    scores = ClassScores(model, TEXTS)
    scores.ask({"slow": ("slow rhythm", "new text")})
    assert asked == ["slow rhythm", "bradycardia", "atrial fibrillation", "new text"]
    assert scores.classes == ("slow",)


def test_prompts_become_lines_and_lines_prompts():
    assert from_lines(to_lines(TEXTS)) == TEXTS
    assert from_lines("a: one: two\n\n  b \na: three") == {"a": ("one: two", "three"), "b": ("b",)}
    for lines in ("", " \n ", "a:", ": text"):
        with pytest.raises(UsageError, match="class"):
            from_lines(lines)


def test_a_sentence_ranks_as_zero_shot_does(asked, model, store):
    rows = held_out_rows(store)
    features = extract(model, store, rows, progress=False)
    best, similarity = zero_shot.rank(model, "atrial fibrillation", features, k=10)
    ids = store.records["record_id"].iloc[rows[best]].tolist()
    places = [asked.view.text.index(f">{record}<") for record in ids]
    assert places == sorted(places) and f">{similarity[0]:.3f}<" in asked.view.text
    assert ids[0] in asked.pictures[0].alt


def test_another_sentence_another_place_and_other_prompts_change_what_is_shown(asked, png):
    before = asked.view.text, png(asked, 0), png(asked, 1)
    asked.controls["query"].value = "left bundle branch block"
    assert asked.view.text != before[0]
    asked.controls["place"].value = 3
    assert "ECG at place 3" in asked.pictures[0].alt and png(asked, 0) != before[1]
    bars = png(asked, 1)
    asked.controls["lines"].value = "mine: a sentence of mine\nother: another"
    assert png(asked, 1) != bars and "2 classes" in asked.pictures[1].alt


@pytest.mark.parametrize(("control", "value", "said"), [
    ("query", "   ", "the sentence is empty"),
    ("lines", "", "no class is described"),
    ("lines", "AF:", "needs a class and a text"),
])  # fmt: skip
def test_an_empty_box_is_said_and_a_full_one_serves_again(asked, control, value, said):
    good = asked.controls[control].value
    asked.controls[control].value = value
    assert said in asked.said.value
    asked.controls[control].value = good
    assert asked.said.value == ""


def test_a_hostile_sentence_and_hostile_reports_are_text(model, hostile):
    panel = widgets.ask(hostile, model, prompts=TEXTS, query="<script>alert(1)</script>")
    assert "<script" not in panel.view.text and "&lt;script&gt;" in panel.view.text


def test_ones_own_recordings_are_asked_for_the_superclasses(model, hostile, mute):
    for panel in (widgets.ask(hostile, model), widgets.leads(mute, model)):
        assert panel.said.value == ""
    assert widgets.why(mute, model).controls["name"].value in default_prompts(mute)
    assert list(default_prompts(mute)) == ["NORM", "MI", "STTC", "CD", "HYP"]


def test_a_store_is_asked_for_its_chief_task_in_the_languages_of_its_reports(store):
    assert chief_task(store) == "conditions"
    assert default_prompts(store) == prompts.select("synthetic", "conditions")
    ptb_xl = SignalStore(store.path, store.meta | {"name": "ptb-xl"}, store.signals, store.records)
    ptb_xl.tasks = lambda: ["form", "rhythm", "sub", "super"]
    assert chief_task(ptb_xl) == "super"
    assert default_prompts(ptb_xl) == prompts.select("ptb-xl", "super", languages=("de", "en"))


def test_leads_that_are_off_are_counted_against_those_recorded(model, mute, texts_of):
    panel = widgets.leads(mute, model, row=1, rows=[1])  # V6 was not recorded in it
    panel.controls["leads"].value = ("I",)
    (title,) = [t for t in texts_of(panel.view.pictures[1][0]) if "leads on" in t]
    assert title.endswith("1 of 11 leads on")
    assert "none of the classes asked here" in panel.view.text


def test_a_record_without_a_report_gives_the_model_none_to_read(model, mute, store):
    for each, told in ((mute, True), (store, False)):
        panel = widgets.reconstruction(each, model)
        panel.controls["report"].value = True
        assert ("no report to read" in panel.view.text) == told


def test_a_model_without_a_text_side_is_said(store):
    class ECGOnly(torch.nn.Module):
        sampling_rate, leads = 100, LEADS

        def encode_ecg(self, ecg, lead_mask=None):
            return ecg.std(-1)

    for make in (widgets.ask, widgets.leads):
        assert "cannot be asked by text" in make(store, ECGOnly()).said.value


def test_without_a_model_the_one_in_the_box_is_asked_and_named(store):
    panels = [
        widgets.ask(store), widgets.leads(store), widgets.why(store),
        widgets.reconstruction(store), widgets.embedding_map(store, method="pca"),
    ]  # fmt: skip
    for panel in panels:
        assert panel.said.value == "" and panel.view.pictures, panel.title
        assert "pre-trained on ptb-xl (folds 1 to 8" in panel.children[0].value, panel.title
    row = panels[1].controls["row"].value
    its = prompts.select("synthetic", "conditions")
    features = extract(box.load(), store, [row], progress=False)
    expected = zero_shot.score_classes(box.load(), features, list(its.values()))[0]
    shown = panels[1].view.pictures[0][0].data.set_index("class").loc[list(its), "before"]
    assert np.allclose(shown, expected, atol=1e-5)


def test_a_model_that_was_given_is_not_called_the_box(model, store):
    assert "ptb-xl" not in widgets.reconstruction(store, model).children[0].value


def test_an_empty_store_is_said_by_each(model, empty):
    panels = [
        widgets.reconstruction(empty, model), widgets.ask(empty, model, prompts=TEXTS),
        widgets.leads(empty, model, prompts=TEXTS), widgets.why(empty, model, prompts=TEXTS),
        widgets.embedding_map(empty, model, method="pca"), widgets.negatives(empty),
    ]  # fmt: skip
    for panel in panels:
        assert panel.said.value and "Traceback" not in panel.said.value, panel.title


def test_scores_move_with_the_leads_and_come_back_with_all(model, store, png):
    panel = widgets.leads(store, model)
    shift = panel.view.pictures[0][0].data
    assert np.allclose(shift["before"], shift["after"])
    before = png(panel)
    panel.controls["leads"].tick(("I", "II"))
    data = panel.view.pictures[0][0].data.set_index("class")
    row = panel.controls["row"].value
    its = prompts.select("synthetic", "conditions")
    features = extract(model, store, [row], lead_mask=subset_mask("2"), progress=False)
    after = zero_shot.score_classes(model, features, list(its.values()))[0]
    assert np.allclose(data.loc[list(its), "after"], after, atol=1e-5)
    assert png(panel) != before and "with leads I, II" in panel.pictures[0].alt
    panel.controls["leads"].tick(())
    assert "switch at least one on" in panel.said.value
    panel.controls["leads"].tick(LEADS)
    assert png(panel) == before


def test_a_lead_that_was_not_recorded_stays_off(model, hostile):
    panel = widgets.leads(hostile, model, prompts=TEXTS, rows=[1])
    assert "V5" in panel.pictures[1].alt and "V6" not in panel.pictures[1].alt
    panel.controls["leads"].tick(("V6",))
    assert "no recorded lead is left on" in panel.said.value


def test_why_shows_the_occlusion_of_the_class_named(model, store, png):
    panel = widgets.why(store, model, prompts=TEXTS)
    row = panel.controls["row"].value
    texts = TEXTS[panel.controls["name"].value]
    found = occlude(model, store.ecg(row), 100, texts)
    data = panel.view.pictures[0][0].data
    assert np.allclose(data[data["lead"] == "all"]["fall"], found.seconds, atol=1e-5)
    before = png(panel)
    panel.controls["name"].value = "slow"
    panel.controls["window"].value = 2.0
    assert png(panel) != before and "“slow”" in panel.pictures[0].alt
    panel.controls["name"].value = "slwo"
    assert "did you mean &#x27;slow&#x27;" in panel.said.value


def test_why_begins_with_a_label_of_the_record(model, store):
    panel = widgets.why(store, model)
    row = panel.controls["row"].value
    its = {name for names in Labels(store).of(row).values() for name in names}
    assert panel.controls["name"].value in its
