"""Text encoders in a sweep: found in their folder, skipped where they are nowhere, and asked."""

import shutil

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from transformers import BertConfig, BertModel

from dbeta_lib.encoders.text import train_tokenizer
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.evaluation.text_pairs import load_pairs, pair_table
from dbeta_lib.sweeps import read_runs, run_all, status
from dbeta_lib.sweeps.identity import identity_of
from dbeta_lib.sweeps.status import left
from dbeta_lib.sweeps.texts import READINGS

ROWS = """\
- {name: trained, overrides: {text_model: org/small-bert}}
- {name: frozen, overrides: {text_model: org/small-bert, freeze_text: true}}
- {name: merl, model: merl}
- {name: signals, model: mem-only}
- {name: words, model: text-only}
"""


@pytest.fixture(scope="session")
def encoders(store, tmp_path_factory):
    """A folder with a BERT of width 24, where 16 is the fusion's."""
    folder = tmp_path_factory.mktemp("encoders")
    tokenizer = train_tokenizer(store.records["text"].tolist(), 200, "bert")
    torch.manual_seed(0)
    size = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(vocab_size=len(tokenizer), intermediate_size=32, **size)
    BertModel(config).save_pretrained(folder / "small-bert")
    tokenizer.save_pretrained(folder / "small-bert")
    return folder


@pytest.fixture(autouse=True)
def no_hub(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def finished(store, runs, encoders, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    assert run_all(runs(ROWS, encoders=str(encoders)), store, out, say=print) == []
    return {one.name: one for one in read_runs(out, "small")}


def test_facts_of_the_text_encoder_are_kept(finished, encoders):
    facts = finished["frozen"].facts["text_encoder"]
    assert facts["name"] == "org/small-bert" and facts["from"] == str(encoders / "small-bert")
    assert (facts["architecture"], facts["width"], facts["frozen"]) == ("bert", 24, True)
    weights = BertModel.from_pretrained(encoders / "small-bert")
    assert facts["parameters"] == sum(p.numel() for p in weights.parameters())
    assert finished["merl"].facts["text_encoder"]["from"] == ""  # built from numbers
    assert finished["words"].facts["text_encoder"] is None


def test_pairs_are_asked_before_and_after_training(finished):
    for name in ("trained", "frozen", "merl"):
        pairs = finished[name].text_pairs
        assert pairs[load_pairs().columns].equals(load_pairs())
        assert set(READINGS) < set(pairs.columns)
        assert pairs[list(READINGS)].abs().to_numpy().max() <= 1 + 1e-6
        assert not np.allclose(pairs["after"], pairs["features"])
        assert np.allclose(pairs["before"], pairs["after"], atol=1e-6) == (name == "frozen")
    assert finished["signals"].text_pairs is None and finished["words"].text_pairs is None
    assert len(pair_table(pairs, {n: pairs[n] for n in READINGS}, 20)) == 18


def test_both_rows_begin_with_the_folders_weights(finished):
    both = [finished[name].text_pairs["before"] for name in ("trained", "frozen")]
    assert np.allclose(*both, atol=1e-6)


def test_a_damaged_table_of_pairs_is_named(finished, tmp_path):
    folder = shutil.copytree(finished["merl"].folder, tmp_path / "small" / "merl" / "seed0")
    for text in ("", "finding,before\n1,0.5\n"):
        (folder / "text_pairs.csv").write_text(text)
        with pytest.raises(DBetaError, match=r"text_pairs\.csv is damaged"):
            _ = read_runs(tmp_path, "small")[0].text_pairs


def test_an_absent_encoder_is_a_skipped_row_and_the_others_go_on(store, runs, encoders, tmp_path):
    rows = "- {name: lost, overrides: {text_model: org/small-bert}}\n- {name: d, model: random}\n"
    said = []
    assert run_all(runs(rows), store, tmp_path, say=said.append) == []
    assert "skipped: neither this disk nor the hub has 'org/small-bert'" in said[0]
    assert "finished" in said[1] and all("\n" not in sentence for sentence in said)
    table = status(runs(rows), tmp_path, store).set_index("name")
    assert table.loc["lost", "state"] == "skipped" and "small-bert" in table.loc["lost", "why"]
    assert left(table.reset_index())["seeds left"].tolist() == ["0 (skipped)", ""]
    assert [one.name for one in read_runs(tmp_path, "small")] == ["d"]
    # Once it is there, the same command trains the row.
    assert run_all(runs(rows, encoders=str(encoders)), store, tmp_path, say=said.append) == []
    states = status(runs(rows, encoders=str(encoders)), tmp_path)["state"]
    assert states.tolist() == ["finished", "finished"]
    assert not (tmp_path / "small" / "lost" / "seed0" / "skipped.txt").exists()


def test_results_of_an_encoder_that_is_gone_stay(store, runs, encoders, tmp_path):
    rows = "- {name: one, model: random, overrides: {text_model: small-bert}}\n"
    run_all(runs(rows, encoders=str(encoders)), store, tmp_path, say=print)
    file = read_runs(tmp_path, "small")[0].folder / "run.json"
    before, said = file.read_bytes(), []
    assert run_all(runs(rows), store, tmp_path, say=said.append) == []
    assert "skipped" in said[-1] and file.read_bytes() == before
    assert read_runs(tmp_path, "small")[0].result("linear probe", 1.0)


def test_where_an_encoder_lies_is_no_part_of_a_run_and_its_files_are(
    store, runs, encoders, tmp_path
):
    rows = "- {name: one, overrides: {text_model: org/small-bert}}\n"
    moved = shutil.copytree(encoders, tmp_path / "moved")
    here, there, nowhere = (
        identity_of(runs(rows, **where)[0], store)
        for where in ({"encoders": str(encoders)}, {"encoders": str(moved)}, {})
    )
    assert here == there != nowhere
    weights = moved / "small-bert" / "model.safetensors"
    other = bytearray(weights.read_bytes())
    other[-1] ^= 1
    weights.write_bytes(other)  # trained further: as long as before
    assert identity_of(runs(rows, encoders=str(moved))[0], store) != here


def test_the_folder_of_encoders_must_be_one(runs, tmp_path):
    with pytest.raises(UsageError, match="is no folder; name that of text encoders"):
        runs(ROWS, encoders=str(tmp_path / "nowhere"))
    assert runs(ROWS, encoders=str(tmp_path))[0].text_model == "org/small-bert"  # not there
    assert runs(ROWS)[2].text_model == ""
