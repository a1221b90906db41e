"""`dbeta zero-shot` and `probe` with a checkpoint of the official layout and random weights."""

import contextlib
import importlib.util
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import wfdb
from sklearn.metrics import roc_auc_score
from transformers import AutoTokenizer

from dbeta_lib import DBeta, DBetaConfig
from dbeta_lib.cli import main
from dbeta_lib.data import code_test, ensure_store
from dbeta_lib.data.store import SignalStore
from dbeta_lib.data.synthetic import generate
from dbeta_lib.encoders.text import train_tokenizer
from dbeta_lib.evaluation.results import load_all
from dbeta_lib.leads import LEADS
from dbeta_lib.released import load_parity_model

TESTS = Path(__file__).resolve().parent


def module_of(path):
    """A test file as a module, for its makers of published layouts."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """A checkpoint of the official layout with random weights, its config, a tokenizer, prompts."""
    folder = tmp_path_factory.mktemp("official")
    with np.load(TESTS / "fixtures" / "parity_a.npz") as file:
        weights = {n[2:]: torch.from_numpy(file[n]) for n in file.files if n.startswith("w/")}
        config = str(file["config"])
    (folder / "config.json").write_text(config)
    wider = config.replace('"encoder_ffn_embed_dim": 112', '"encoder_ffn_embed_dim": 128')
    (folder / "other.json").write_text(wider)
    torch.save({"model": weights}, folder / "sample.pt")
    train_tokenizer(["sinus rhythm", "av block"] * 3, 100).save_pretrained(folder / "tokenizer")
    published = {name: f"{name}. What it is." for name in
                 ("1AVB", "RBBB", "LBBB", "SBRAD", "AFIB", "STACH")}  # fmt: skip
    (folder / "context_llm.json").write_text(json.dumps(published))
    return folder


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Folders in the published layouts: CODE-test (24 tracings), and recordings of one's own."""
    folder = tmp_path_factory.mktemp("recordings")
    ecg, records, _ = generate(40, 1, 400, seed=2)
    module_of(TESTS / "data" / "test_code_test.py").write_code_test(
        folder / "code-test", list(ecg[:24] / 1000)
    )
    write_own(folder / "own", ecg, records)
    write_own(folder / "limb", ecg[:4, :6], records[:4])
    return folder


def write_own(folder, ecg, records):
    """A folder as `prepare folder` reads it: WFDB files and a table with a column of labels."""
    folder.mkdir()
    for number, uv in enumerate(ecg):
        wfdb.wrsamp(
            f"r{number}", fs=400, units=["mV"] * len(uv), sig_name=list(LEADS[: len(uv)]),
            fmt=["16"] * len(uv), p_signal=np.ascontiguousarray(uv.T) / 1000, write_dir=str(folder),
        )  # fmt: skip
    split = ["train", "val", "train", "test"] * len(ecg)
    table = records[["report"]].assign(
        record=[f"r{n}" for n in range(len(ecg))],
        patient_id=[f"p{n}" for n in range(len(ecg))],
        split=split[: len(ecg)],
        odd=np.arange(len(ecg)) // 4 % 2,
    )
    table.to_csv(folder / "records.csv", index=False)


def released(official, *more):
    return ["--released", str(official / "sample.pt"), "--released-config",
            str(official / "config.json"), *map(str, more)]  # fmt: skip


@pytest.fixture(scope="module")
def example(official, recordings, tmp_path_factory):
    """What the official example's command leaves."""
    out = tmp_path_factory.mktemp("example")
    asked = released(
        official, "--data", f"code-test={recordings / 'code-test'}", "--out", out,
        "--tokenizer", official / "tokenizer", "--prompts", official / "context_llm.json",
    )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert main(["zero-shot", *asked]) == 0
    return out, said.getvalue()


def test_the_official_example_is_one_command_with_intervals_and_annotators(example):
    out, said = example
    assert "dot product" in said and "cosine" in said and "made the gold standard" in said
    assert (out / "figures" / "annotators-dot-product.png").is_file()
    frame = load_all(out)
    scores = frame[frame["metric"] == "macro_auc"]
    kinds = [name.rsplit(" (")[0].rpartition(", ")[2] for name in scores["variant"]]
    assert sorted(kinds) == ["cosine", "dot product"]
    assert (scores["low"] <= scores["value"]).all() and (scores["value"] <= scores["high"]).all()
    assert set(frame["domain"]) == {"not known"} and set(frame["encoder"]) == {"released sample.pt"}
    assert set(frame["against"]) == {"", *code_test.TASKS} - {"gold"}
    assert SignalStore.open(out / "stores" / "code-test-500hz").signals.shape == (24, 12, 5000)


def test_its_numbers_are_those_of_the_example_s_own_lines(example, official):
    """Each text alone, lower-cased; raw dot product; AUC by scikit-learn."""
    out, _ = example
    store = SignalStore.open(out / "stores" / "code-test-500hz")
    model, _ = load_parity_model(TESTS / "fixtures" / "parity_a.npz")
    tokenizer = AutoTokenizer.from_pretrained(official / "tokenizer")
    texts = json.loads((official / "context_llm.json").read_text())
    vectors = []
    for text in texts.values():  # in the order of the classes
        ids = tokenizer(text.lower(), return_tensors="pt")["input_ids"]
        vectors.append(model.encode_tokens(ids, torch.ones_like(ids)))
    scores = model.encode_ecg(store.ecg(np.arange(24))) @ torch.cat(vectors).T
    gold = store.labels("gold").to_numpy()
    wanted = {c: roc_auc_score(gold[:, k], scores[:, k]) for k, c in enumerate(code_test.CLASSES)}
    frame = load_all(out)
    dot = frame[frame["variant"].str.contains("dot product") & (frame["metric"] == "macro_auc")]
    found = {name: its["auc"] for name, its in dot["per_class"].iloc[0].items()}
    assert found == pytest.approx(wanted)
    assert dot["value"].iloc[0] == pytest.approx(np.mean(list(wanted.values())))


def test_released_weights_are_probed_at_500_hz_by_one_command(
    official, recordings, tmp_path, capsys
):
    data = ["--data", f"folder={recordings / 'own'}", "--out", tmp_path, "--draws", 1]
    assert main(["probe", *released(official, *data)]) == 0
    frame = load_all(tmp_path)
    assert set(frame["encoder"]) == {"released sample.pt", "released sample.pt, untrained"}
    assert len(frame) == 6 and set(frame["task"]) == {"labels"}
    trained = frame[frame["encoder"] == "released sample.pt"]
    assert set(trained["domain"]) == {"not known"}
    assert trained["weights_hash"].nunique() == 1 and trained["weights_hash"].iloc[0]
    assert "labelled records" in capsys.readouterr().out


@pytest.fixture(scope="module")
def prepared(recordings, tmp_path_factory):
    """CODE-test as a store, without the model of the official layout that asks for 500 Hz."""
    place = tmp_path_factory.mktemp("prepared") / "code-test"
    return ensure_store("code-test", recordings / "code-test", place, sampling_rate=100)


@pytest.fixture(scope="module")
def own_model(tmp_path_factory):
    """A model folder of ours, untrained, with its tokenizer."""
    folder = tmp_path_factory.mktemp("own") / "model"
    model = DBeta(DBetaConfig.preset("mini"))
    model.tokenizer = train_tokenizer(["sinus rhythm", "av block"] * 3, 100)
    model.save_pretrained(folder)
    return folder


def ask_own(own_model, prepared, out, *more):
    return main(["zero-shot", str(own_model), str(prepared.path), "--out", str(out), *more])


def test_a_task_is_asked_for_the_classes_that_the_file_has_and_the_record_says_how_many(
    own_model, prepared, tmp_path, capsys
):
    path = tmp_path / "part.json"
    path.write_text(json.dumps({"RBBB": "right block.", "LBBB": "left block.", "SB": "slow."}))
    assert ask_own(own_model, prepared, tmp_path / "out", "--prompts", str(path)) == 0
    said = capsys.readouterr()
    assert "part.json has no text for 3 of 6 classes (1dAVb, AF, ST); only the other 3" in said.err
    frame = load_all(tmp_path / "out")
    (row,) = frame[frame["metric"] == "macro_auc"].to_dict("records")
    assert re.search(r"part\.json, 3 of 6 classes \([0-9a-f]{8}\)$", row["variant"])
    assert set(row["per_class"]) == {"RBBB", "LBBB", "SB"} and row["k"] == 3


def test_a_task_of_which_the_file_has_one_class_does_not_stop_the_others(
    own_model, prepared, tmp_path, capsys
):
    path = tmp_path / "part.json"
    path.write_text(json.dumps({"RBBB": "right block."}))
    assert ask_own(own_model, prepared, tmp_path / "out", "--prompts", str(path)) == 1
    said = capsys.readouterr().err
    assert "(1dAVb, LBBB, SB, AF, ST); the task is left out" in said
    assert "part.json has texts for no task of" in said


def test_spaces_between_languages_change_nothing(own_model, prepared, tmp_path):
    found = []
    for number, languages in enumerate(("en,en", " en, en ")):
        out = tmp_path / str(number)
        assert ask_own(own_model, prepared, out, "--languages", languages) == 0
        frame = load_all(out)
        found.append(frame.loc[frame["metric"] == "macro_auc", "variant"].item())
    assert found[0] == found[1] and found[0].startswith("ensemble en,en (")


def test_a_file_of_prompts_that_cannot_be_read_is_told_before_data_are_prepared(
    official, recordings, tmp_path, capsys
):
    (tmp_path / "broken.json").write_text('{"RBBB": []}')
    asked = released(
        official, "--data", f"code-test={recordings / 'code-test'}", "--out", tmp_path / "out",
        "--tokenizer", official / "tokenizer", "--prompts", tmp_path / "broken.json",
    )  # fmt: skip
    assert main(["zero-shot", *asked]) == 1
    assert "broken.json: class 'RBBB' has no text" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("command", "change", "code", "sentence"),
    [
        ("zero-shot", {"--tokenizer": None}, 1, "--tokenizer DIR"),
        ("zero-shot", {"--tokenizer": "{own}"}, 1, "own holds no tokenizer that can be read"),
        ("zero-shot", {"--tokenizer": "/nosuch"}, 2, "/nosuch is no folder; give the folder of"),
        ("zero-shot", {"--released": "/nosuch.pt"}, 2, "/nosuch.pt is no file; give the official"),
        ("zero-shot", {"--released": "{own}/records.csv"}, 1, "is no plain weights file"),
        ("zero-shot", {"--released-config": "{other}"}, 1, "sample.pt: the weights do not fit"),
        ("zero-shot", {"--released-config": "{own}/records.csv"}, 1, "records.csv is damaged"),
        ("zero-shot", {"--prompts": "/nosuch.json"}, 2, "/nosuch.json is no file; give the"),
        ("zero-shot", {"--prompts": "{own}/records.csv"}, 1, "records.csv is damaged"),
        ("zero-shot", {"--data": None}, 2, "--data NAME=DIR"),
        ("zero-shot", {"--data": "code-tset={own}"}, 2, "did you mean 'code-test'"),
        ("zero-shot", {"--data": "code-test=/nosuch"}, 2, "/nosuch is no folder; name that of"),
        ("zero-shot", {"--data": "code-test"}, 2, "--data takes NAME=DIR, not 'code-test'"),
        ("zero-shot", {"--data": "synthetic={own}"}, 2, "is made, not read"),
        ("zero-shot", {"--data": "folder={limb}"}, 1, "no recording with V1, V2, V3, V4, V5, V6"),
        ("probe", {"--data": "code-test={code}"}, 1, "has no training records"),
        ("zero-shot", {"--task": "gould"}, 2, "did you mean 'gold'"),
    ],
)
def test_wrong_use_of_released_weights_ends_with_one_sentence(
    official, recordings, tmp_path, command, change, code, sentence, capsys
):
    places = {"own": recordings / "own", "limb": recordings / "limb",
              "code": recordings / "code-test", "other": official / "other.json"}  # fmt: skip
    options = {
        "--released": official / "sample.pt", "--released-config": official / "config.json",
        "--data": f"code-test={recordings / 'code-test'}", "--out": tmp_path,
    }  # fmt: skip
    if command == "zero-shot":
        options["--tokenizer"] = official / "tokenizer"
    options |= {k: v and v.format(**places) for k, v in change.items()}
    given = [str(word) for pair in options.items() if pair[1] for word in pair]
    assert main([command, *given]) == code
    *progress, error = capsys.readouterr().err.strip().splitlines()
    assert sentence in error and error.startswith("dbeta: ")
    assert not [line for line in progress if "dbeta:" in line or "Traceback" in line]
