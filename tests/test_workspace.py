"""The workspace: runs go on, are reused or make way; results answer each question once."""

import dataclasses

import pytest

from dbeta_lib import DBetaConfig
from dbeta_lib.evaluation.results import Result
from dbeta_lib.training.start import build_model
from dbeta_lib.workspace import Workspace, size_of

SHORT = {"steps": 1, "batch_size": 4, "eval_every": 0, "tensorboard": False, "progress": False}


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Workspace:
    """A workspace of a very small cohort."""
    return Workspace(tmp_path_factory.mktemp("work"), patients=20)


def _train(work: Workspace, **settings):
    model = build_model(work.config("mini", "recommended"), work.store)
    return model, work.pretrain(model, **{**SHORT, **settings})


def test_a_finished_run_is_reused_and_one_with_other_settings_makes_way(work, capsys):
    assert not work.has_model
    _train(work)
    written = (work.run / "model" / "model.safetensors").stat().st_mtime_ns
    _train(work)
    assert (work.run / "model" / "model.safetensors").stat().st_mtime_ns == written
    capsys.readouterr()
    _, summary = _train(work, steps=2)
    assert "steps was 1 and is 2; it makes way" in capsys.readouterr().out
    former = work.run.with_name(f"{work.run.name}.before") / "model" / "model.safetensors"
    assert former.stat().st_mtime_ns == written, "what took hours is not lost by another setting"
    assert (summary.steps, work.summary.steps, work.has_model) == (2, 2, True)


def test_a_model_of_another_store_is_not_taken_for_this_ones(work, monkeypatch, capsys):
    _train(work)
    assert work.name(work.model()) == "dbeta-mini, pre-trained"
    other = Workspace(work.out, patients=21)
    monkeypatch.setattr("dbeta_lib.workspace.SMALLEST_RUN", {**SHORT, "steps": 1})
    model = other.model()
    assert "no model pre-trained on this store yet" in capsys.readouterr().out
    assert other.name(model) == "dbeta-mini, smallest"
    assert other.summary.identity["store"] == other.store.fingerprint


def _result(**changes) -> Result:
    given = {
        "encoder": "a", "data": "synthetic", "store_fingerprint": "f", "task": "t", "n": 3,
        "protocol": "linear probe", "metric": "macro_auc", "value": 0.5, "low": 0.4, "high": 0.6,
    }  # fmt: skip
    return Result(**{**given, **changes})


def test_a_result_replaces_the_earlier_answer_to_its_question_only(tmp_path):
    work = Workspace(tmp_path)
    work.keep([_result(weights_hash="old", value=0.1), _result(label_fraction=0.1)])
    kept = work.keep([_result(weights_hash="new", store_fingerprint="g", value=0.9)])
    assert kept["value"].tolist() == [0.9]
    assert sorted(work.table_of_results()["value"]) == [0.5, 0.9]


def test_a_rerun_with_other_draws_or_prompts_replaces_its_record(tmp_path):
    work = Workspace(tmp_path)
    work.keep([_result(seeds=(0, 1), value=0.1), _result(variant="name en, 01234567")])
    work.keep([_result(seeds=(0,), value=0.9), _result(variant="name en, 89abcdef", value=0.7)])
    assert sorted(work.table_of_results()["value"]) == [0.7, 0.9]


def test_results_of_two_pretraining_seeds_stand_side_by_side(tmp_path):
    work = Workspace(tmp_path)
    for seed in (0, 1):
        work.keep([_result(pretraining_seed=seed, weights_hash=str(seed))])
    assert len(work.table_of_results()) == 2


def test_a_config_is_named_by_the_preset_whose_size_it_has():
    mini = DBetaConfig.preset("mini", "recommended", mask_ratio=0.5)
    assert size_of(mini) == "mini"
    assert size_of(DBetaConfig.preset("paper", "released")) == "paper"
    assert size_of(mini.replace(ecg_layers=5)) == "custom"


def test_a_result_keeps_its_question_when_only_the_answer_changes():
    one = _result()
    assert one.question == dataclasses.replace(one, weights_hash="x", value=0.2).question
    assert one.question != dataclasses.replace(one, variant="other prompts").question
