"""The `dbeta` commands end to end on a small cohort, and their sentences for wrong use."""

import dataclasses
import json
import shutil
from types import SimpleNamespace

import pytest

from dbeta_lib.cli import main
from dbeta_lib.command_options import setting
from dbeta_lib.commands import COMMANDS
from dbeta_lib.evaluation.results import Result, load_all
from dbeta_lib.evaluation.verdict import Difference, verdicts
from dbeta_lib.sweeps import save_verdicts

RESULT = Result(
    encoder="a", data="d", store_fingerprint="f", task="t", protocol="linear probe",
    metric="macro_auc", value=0.8, low=0.7, high=0.9, n=9,
)  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    dest = tmp_path_factory.mktemp("stores") / "cohort"
    assert main(["prepare", "synthetic", str(dest), "--hz", "100", "--set", "patients=60"]) == 0
    return dest


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    arguments = ["--steps", "2", "--batch-size", "8", "--set", "ecg_layers=1"]
    arguments += ["--set", "checkpoint_every=1", "--set", "keep=9"]
    assert main(["pretrain", str(store), str(out), *arguments]) == 0
    return out


def test_every_command_answers_help_with_an_example(capsys):
    for name in COMMANDS:
        assert main([name, "--help"]) == 0
        assert f"Example: dbeta {name}" in " ".join(capsys.readouterr().out.split())


def test_a_prepared_store_verifies_and_is_reused(store, capsys):
    assert main(["verify", str(store)]) == 0
    assert "as prepared" in capsys.readouterr().out
    assert main(["prepare", "synthetic", str(store), "--hz", "100", "--set", "patients=60"]) == 0
    assert "unchanged" in capsys.readouterr().out


def test_a_preparation_tells_its_counts_once(tmp_path, capsys):
    assert (
        main(["prepare", "synthetic", str(tmp_path / "s"), "--hz", "100", "--set", "patients=10"])
        == 0
    )
    out = capsys.readouterr().out
    assert out.count("30 rows of 10 patients") == 1
    assert out.rstrip().endswith("set aside: 0")
    assert "30 rows" in (tmp_path / "s.html").read_text()


def test_set_reaches_the_model_and_the_run(run):
    config = json.loads((run / "model" / "config.json").read_text())
    assert config["ecg"]["ecg_layers"] == 1
    kept = sorted(path.name for path in (run / "checkpoints").glob("step-*"))
    assert [name[-1] for name in kept] == ["1", "2"]


def test_negatives_are_mined_once(store, capsys):
    assert main(["negatives", str(store)]) == 0
    assert main(["negatives", str(store)]) == 0
    assert "reused" in capsys.readouterr().out


def test_a_set_option_reaches_the_model(run):
    config = json.loads((run / "model" / "config.json").read_text())
    assert config["ecg"]["ecg_layers"] == 1


def test_zero_shot_probe_and_report_leave_records_that_know_the_pre_training(
    run, store, tmp_path, capsys
):
    out, model = tmp_path / "results", str(run / "model")
    common = [model, str(store), "--task", "conditions", "--out", str(out)]
    assert main(["zero-shot", *common]) == 0
    assert main(["probe", *common, "--draws", "1"]) == 0
    assert main(["report", str(out), "--keep", str(tmp_path / "kept")]) == 0
    table = capsys.readouterr().out
    assert "in-domain" in table
    assert "untrained" in table
    records = [json.loads(path.read_text()) for path in out.glob("*.json")]
    assert len(records) == 7  # zero-shot; the probe at three shares, trained and untrained
    assert len(list((tmp_path / "kept").glob("*.json"))) == 7
    assert min(r["wall_time_s"] for r in records) > 0
    seen = [r["provenance"]["train_reports_seen"] for r in records if r["encoder"] == model]
    assert sum(seen) == 3  # the probe's rows, whose reports pre-training had read


def test_a_model_of_other_data_is_not_called_out_of_domain(run, store, tmp_path, capsys):
    bare, moved = tmp_path / "bare", tmp_path / "moved" / "model"
    shutil.copytree(run / "model", bare)
    shutil.copytree(run / "model", moved)
    summary = json.loads((run / "summary.json").read_text())
    summary["identity"] |= {"store": "0" * 64, "stores": [["elsewhere", "0" * 64]]}
    (moved.parent / "summary.json").write_text(json.dumps(summary))
    for model in (bare, moved):
        out = tmp_path / f"results of {model.parent.name}"
        ask = ["zero-shot", str(model), str(store), "--task", "conditions", "--out", str(out)]
        assert main(ask) == 0
        capsys.readouterr()
        assert main(["report", str(out)]) == 0
        assert "| not known |" in capsys.readouterr().out


def test_options_of_released_weights_are_not_taken_without_them(store, run, tmp_path, capsys):
    model, weights = str(run / "model"), tmp_path / "sample.pt"
    weights.write_bytes(b"")
    for more, sentence in (
        ([model], "give MODEL STORE, or --released FILE"),
        ([model, str(store), "--data", "csn=."], "--data goes with --released"),
        ([model, str(store), "--tokenizer", "."], "--tokenizer goes with --released"),
        ([model, "--released", str(weights), "--data", "csn=."], "are two models; give one"),
    ):
        assert main(["zero-shot", *more]) == 2
        assert sentence in capsys.readouterr().err


def test_several_tasks_are_asked_at_once(run, store, tmp_path):
    common = [str(run / "model"), str(store), "--out", str(tmp_path)]
    assert main(["zero-shot", *common]) == 0  # every task that has descriptions
    assert set(load_all(tmp_path)["task"]) == {"conditions"}
    twice = ["--task", "conditions,conditions", "--task", "conditions"]
    assert main(["zero-shot", *common, *twice]) == 0
    assert len(load_all(tmp_path)) == 1


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "run" / "results"
    RESULT.save(folder)
    return folder


def test_kept_records_make_way_and_other_files_stay(results, tmp_path):
    kept = tmp_path / "kept"
    old = dataclasses.replace(RESULT, task="old").save(kept)
    dated = kept / "2026-11-21-speed.json"
    dated.write_text('{"seconds": 1}')
    assert main(["report", str(results), "--keep", str(kept)]) == 0
    assert not old.exists()
    assert {path.name for path in kept.iterdir()} == {RESULT.file_name, dated.name}


def test_verdicts_are_kept_beside_the_records_and_a_damaged_table_stops_it(
    results, tmp_path, capsys
):
    told = verdicts({"ETS": Difference(0.1, 0.05, 0.15, 1e-4, 0.95, (0.1,) * 5, 9, 9, 100)})
    told = told.assign(question="probe_10", **{"with": "+ ETS", "without": "baseline"})
    names = ("sweep", "data", "store_fingerprint", "task", "profile", "steps")
    compared = SimpleNamespace(runs=[SimpleNamespace(facts=dict.fromkeys(names, "x"))])
    path = save_verdicts(compared, told, results.parent / "verdicts")
    kept = tmp_path / "kept"
    assert main(["report", str(results), "--keep", str(kept)]) == 0
    assert (kept / "verdicts" / path.name).read_bytes() == path.read_bytes()
    path.write_text("{}")
    old = dataclasses.replace(RESULT, task="old").save(kept)
    assert main(["report", str(results), "--keep", str(kept)]) == 1
    assert "no table of verdicts" in capsys.readouterr().err and old.exists()


def test_the_results_folder_itself_is_no_place_to_keep_records(results, tmp_path, capsys):
    (tmp_path / "link").symlink_to(results)
    for keep in (results, results / ".." / "results", tmp_path / "link"):
        assert main(["report", str(results), "--keep", str(keep)]) == 2
        assert "name another folder" in capsys.readouterr().err
    assert (results / RESULT.file_name).is_file()


def test_results_stand_beside_the_paper_s_and_in_a_certificate(results, tmp_path, capsys):
    page = tmp_path / "certificate.html"
    asked = ["report", str(results), "--paper", str(tmp_path / "paper"), "--certificate", str(page)]
    assert main(asked) == 0
    assert str(page) in capsys.readouterr().err
    assert {"paper_tables.md", "paper_tables.tex", "paper_tables.csv"} <= {
        path.name for path in (tmp_path / "paper").iterdir()
    }
    assert "not run" in page.read_text(encoding="utf-8")
    assert main(["report", str(results), "--parity", str(tmp_path / "nosuch")]) == 2


def test_an_empty_folder_replaces_no_kept_record(results, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["report", str(tmp_path / "empty"), "--keep", str(results)]) == 1
    assert "no result to keep" in capsys.readouterr().err
    assert (results / RESULT.file_name).is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["prepare", "ptb-x", "a", "b"], 2, "did you mean 'ptb-xl'"),
        (["prepare", "ptb-xl", "only-one"], 2, "takes SRC DEST"),
        (["prepare", "ptb-xl", "/nosuch/folder", "dest"], 2, "/nosuch/folder"),
        (
            ["verify", "/nosuch/store"],
            2,
            "/nosuch/store is no folder; give a prepared signal store",
        ),
        (["negatives", "/nosuch/store"], 2, "/nosuch/store is no folder"),
        (["pretrain", "/nosuch/store", "run"], 2, "/nosuch/store is no folder"),
        (["zero-shot", "nosuch/modle", ".", "--task", "t"], 2, "nosuch/modle is no folder"),
        (["probe", ".", "/nosuch/store", "--task", "t"], 2, "/nosuch/store is no folder"),
        (["report", "/nosuch/results"], 2, "/nosuch/results is no folder"),
        (["pretrian"], 2, "pretrian"),
    ],
)
def test_wrong_use_ends_with_one_sentence(arguments, code, sentence, capsys):
    assert main(arguments) == code
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("mask_ration=0.5", "did you mean 'mask_ratio'"),
        ("weight_deccay=0.1", "did you mean 'weight_decay'"),
        ("mask_ratio", "takes key=value"),
        ("mask_ratio=high", "--set mask_ratio takes a number"),
        ("mask_ratio=none", "--set mask_ratio takes a number"),
        ("keep=many", "--set keep takes a whole number"),
        ("steps=2.5", "--set steps takes a whole number"),
        ("tensorboard=2", "--set tensorboard takes true or false"),
        ("betas=0.9,high", "each item of --set betas takes a number"),
        ("conv_layers=[1,2]", "each item of --set conv_layers takes a list"),
        ("text_architecture={", "--set text_architecture takes JSON"),
        ("text_architecture=1", "--set text_architecture takes a mapping"),
        ("keep=0", "keep=0 must be more than 0"),
    ],
)
def test_a_wrong_set_option_names_the_remedy(store, tmp_path, text, sentence, capsys):
    assert main(["pretrain", str(store), str(tmp_path / "run"), "--set", text]) == 2
    assert sentence in capsys.readouterr().err


def test_values_of_set_get_the_type_of_their_default():
    defaults = {"lr": 0.1, "betas": (0.9, 0.98), "conv_layers": ((1, 2, 3),), "keep": 2,
                "optimizer": "adam", "tensorboard": True, "text_architecture": {}}  # fmt: skip
    for text, value in (
        ("lr=1", 1.0), ("lr=1e-3", 0.001), ("betas=[0.8,0.9]", [0.8, 0.9]), ("keep=9", 9),
        ("conv_layers=[[64,4,4],[64,2,2]]", [[64, 4, 4], [64, 2, 2]]), ("optimizer=1", "1"),
        ("tensorboard=false", False), ('text_architecture={"gated": true}', {"gated": True}),
    ):  # fmt: skip
        name, found = setting(text, defaults)
        assert (name, found) == (text.partition("=")[0], value)
        assert type(found) is type(value)
