"""A run leaves what the contract says; what is finished stays, what is killed goes on."""

import json
import os
import signal

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from dbeta_lib.errors import Stopped
from dbeta_lib.evaluation.results import load_all
from dbeta_lib.sweeps import read_runs, run_all, run_one, status
from dbeta_lib.sweeps import run as engine
from dbeta_lib.training import loop
from dbeta_lib.training.monitor import MATCHING

ROWS = """\
- {name: + ETS, group: added, overrides: {negatives: random}}
- {name: signals, group: other, model: mem-only}
- {name: drawn, group: controls, model: random}
- {name: labels, group: controls, model: supervised}
- {name: words, group: controls, model: text-only}
"""
ONE = "- {name: one, seeds: [4], settings: {steps: 6, checkpoint_every: 2}}\n"


def quiet(sentence):
    pass


@pytest.fixture(scope="module")
def finished(store, runs, tmp_path_factory):
    """Folder of the runs of all rows, by name, and what was said of them."""
    out, said = tmp_path_factory.mktemp("out"), []
    assert run_all(runs(ROWS), store, out, say=said.append) == []
    return out, {one.name: one for one in read_runs(out, "small")}, said


def test_a_run_leaves_facts_scores_results_and_no_model(finished):
    out, found, said = finished
    assert list(found) == ["+ ETS", "signals", "drawn", "labels", "words"]
    assert said[0].startswith("[1/5] small, + ETS, seed 0: finished in ")
    one = found["+ ETS"]
    assert one.folder == out / "small" / "plus-ets" / "seed0"
    names = {path.name for path in one.folder.iterdir()}
    assert names == {"run.json", "scores.npz", "results", "curves.csv", "text_pairs.csv"}
    facts = json.loads((one.folder / "run.json").read_text())
    assert facts["overrides"] == {"negatives": "random"}
    assert (facts["steps"], facts["batch_size"], facts["group"]) == (2, 8, "added")
    for name in ("wall_seconds", "records_per_s", "parameters", "peak_memory_mb"):
        assert facts[name] > 0, name
    assert facts["train_seconds"] <= facts["wall_seconds"]


def test_scores_are_of_the_labelled_test_rows_and_say_what_the_records_say(finished, store):
    _, found, _ = finished
    rows = store.rows("test")
    for name, one in found.items():
        scores = one.scores
        assert scores["record_id"].tolist() == store.records["record_id"].iloc[rows].tolist()
        assert scores["patient_id"].tolist() == store.records["patient_id"].iloc[rows].tolist()
        labels = store.labels("conditions")
        assert scores["classes"].tolist() == labels.columns.tolist()
        assert np.array_equal(scores["labels"], labels.to_numpy()[rows])
        assert {n: scores[n].shape[0] for n in ("probe_1", "probe_10", "probe_100")} == {
            "probe_1": 2, "probe_10": 2, "probe_100": 1,
        }  # fmt: skip
        assert scores["probe_1"].dtype == np.float32 and scores["labels"].dtype == np.uint8
        protocol = "full fine-tuning" if name == "labels" else "linear probe"
        used = [
            k for k in range(len(labels.columns)) if 0 < scores["labels"][:, k].sum() < len(rows)
        ]
        for key, share in (("probe_1", 0.01), ("probe_10", 0.1), ("probe_100", 1.0)):
            draws = [
                np.mean([roc_auc_score(scores["labels"][:, k], one_draw[:, k]) for k in used])
                for one_draw in scores[key].astype(np.float64)
            ]
            record = one.result(protocol, share)
            assert record.value == pytest.approx(np.mean(draws), abs=2e-3)
            assert (record.encoder, record.pretraining_seed, record.n) == (name, 0, len(rows))
            assert (record.profile, record.task) == ("demo", "conditions")


def test_zero_shot_stands_where_text_was_read_and_matching_where_there_is_a_head(finished):
    _, found, _ = finished
    has_text = {name: "zero_shot" in one.scores for name, one in found.items()}
    assert has_text == {
        "+ ETS": True, "signals": False, "drawn": True, "labels": False, "words": False
    }  # fmt: skip
    assert found["+ ETS"].result("zero-shot").variant.startswith("name en (")
    assert found["signals"].result("zero-shot") is None
    for name, one in found.items():
        values = [one.facts[key] for key in MATCHING]
        if name in ("+ ETS", "drawn"):
            assert all(0 <= value <= 1 for value in values), name
        else:
            assert values == [None] * 4, name


def test_records_say_what_pre_training_had_read(finished, store):
    _, found, _ = finished
    seen = {name: one.results[0].provenance for name, one in found.items()}
    assert found["+ ETS"].results[0].domain == found["signals"].results[0].domain == "in-domain"
    assert seen["+ ETS"].train_reports_seen and not seen["signals"].train_reports_seen
    for name in ("drawn", "labels", "words"):
        assert found[name].results[0].domain == "untrained"
    assert not seen["+ ETS"].signals_seen  # no test patient was trained on
    assert len(load_all(found["+ ETS"].folder / "results")) == 4


def test_a_finished_run_is_not_repeated_and_a_changed_one_is(store, runs, tmp_path):
    run = runs(ONE, steps=1)[0]
    said = []
    run_all([run], store, tmp_path, say=said.append)
    file = run.folder(tmp_path) / "run.json"
    before = file.read_bytes()
    run_all([run], store, tmp_path, say=said.append)
    assert file.read_bytes() == before and "finished before" in said[-1]
    other = runs(ONE.replace("4]", "4], overrides: {mask_ratio: 0.6}"))[0]
    assert status([other], tmp_path, store)["state"].tolist() == ["changed"]
    run_all([other], store, tmp_path, say=said.append)
    assert any("config.ecg.mask_ratio was 0.5 and is 0.6; it is run again" in s for s in said)
    assert status([other], tmp_path, store)["state"].tolist() == ["finished"]
    assert status([other], tmp_path)["state"].tolist() == ["finished"]
    assert status([run], tmp_path)["why"].tolist() == [  # the store is not needed to see it
        "before, config.ecg.mask_ratio was 0.6 and is 0.5"
    ]
    (file.parent / "scores.npz").unlink()
    changed = status([other], tmp_path, store)
    assert changed["why"].tolist() == ["its scores or results are gone"]


def test_a_damaged_run_json_is_run_again(store, runs, tmp_path):
    run = runs("- {name: one, model: random}\n")[0]
    run_one(run, store, tmp_path, say=quiet)
    file = run.folder(tmp_path) / "run.json"
    for damage in ('{"format": 0}', "[]", "{"):
        file.write_text(damage)
        assert status([run], tmp_path, store)["state"].tolist() == ["changed"]
    run_one(run, store, tmp_path, say=quiet)
    assert json.loads(file.read_text())["name"] == "one"


def interrupt(monkeypatch, at, action):
    """Do `action` before step `at` (from 1)."""
    original = loop.Loop._one_step

    def one_step(self, batch):
        if self.step + 1 == at:
            action()
        original(self, batch)

    monkeypatch.setattr(loop.Loop, "_one_step", one_step)


def kill():
    raise KeyboardInterrupt


def test_a_killed_run_goes_on_and_ends_as_the_undisturbed_one(store, runs, tmp_path, monkeypatch):
    run = runs(ONE)[0]
    run_one(run, store, tmp_path / "whole", say=quiet)
    with monkeypatch.context() as patch:
        interrupt(patch, 5, kill)
        with pytest.raises(KeyboardInterrupt):
            run_one(run, store, tmp_path / "killed", say=quiet)
    assert status([run], tmp_path / "killed", store)["state"].tolist() == ["begun"]
    said = []
    run_one(run, store, tmp_path / "killed", say=said.append)
    assert any("resumed after step 4 of 6" in sentence for sentence in said)
    whole, killed = (read_runs(tmp_path / n, "small")[0] for n in ("whole", "killed"))
    assert whole.scores.keys() == killed.scores.keys()
    for name, values in whole.scores.items():
        assert np.array_equal(values, killed.scores[name]), name
    assert [whole.facts[n] for n in MATCHING] == [killed.facts[n] for n in MATCHING]


def test_a_run_that_fails_is_named_and_the_others_go_on(store, runs, tmp_path, monkeypatch):
    rows = "- {name: bad, settings: {lr: 1.0e+9, explode: 0.0001}}\n- {name: good, model: random}\n"
    said = []
    failures = run_all(runs(rows), store, tmp_path, say=said.append)
    assert len(failures) == 1 and failures[0].startswith("bad, seed 0: failed: step 1: the loss is")
    assert "good, seed 0: finished in" in said[-1]
    table = status(runs(rows), tmp_path, store).set_index("name")
    assert table.loc["bad", "state"] == "failed" and "the loss is" in table.loc["bad", "why"]
    assert "Traceback" in (runs(rows)[0].folder(tmp_path) / "failed.txt").read_text()
    monkeypatch.setattr(engine, "evaluate", lambda *a: 1 / 0)
    assert "ZeroDivisionError" in run_all(runs(ONE, steps=1), store, tmp_path, say=quiet)[0]


@pytest.mark.parametrize("at", [2, 6])
def test_sigterm_stops_the_sweep_and_the_same_call_goes_on(store, runs, tmp_path, monkeypatch, at):
    rows = ONE + "- {name: after, model: random}\n"
    with monkeypatch.context() as patch:
        interrupt(patch, at, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Stopped):
            run_all(runs(rows), store, tmp_path, say=quiet)
    states = status(runs(rows), tmp_path, store)["state"].tolist()
    assert states == ["begun" if at == 2 else "finished", "to do"]
    assert run_all(runs(rows), store, tmp_path, say=quiet) == []
    assert set(status(runs(rows), tmp_path, store)["state"]) == {"finished"}


def test_models_stay_when_they_are_asked_for(store, runs, tmp_path):
    run = runs(ONE, keep_models=True)[0]
    run_one(run, store, tmp_path, say=quiet)
    training = run.folder(tmp_path) / "training"
    assert (training / "model" / "model.safetensors").exists()
    assert not (training / "checkpoints").exists()


def test_the_data_may_depend_on_the_rate_of_the_row(store, runs, tmp_path):
    asked = []

    def at(rate):
        asked.append(rate)
        return store

    run_all(runs("- {name: one, model: random}\n"), at, tmp_path, say=quiet)
    assert set(asked) == {100}
    other = runs("- {name: one, overrides: {sampling_rate: 200, samples: 2000}}\n")
    failures = run_all(other, at, tmp_path / "other", say=quiet)
    assert set(asked) == {100, 200} and "prepare the store at that rate" in failures[0]
