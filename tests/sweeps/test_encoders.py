"""Tables of the sweep of text encoders: read from finished runs, and empty where there is none."""

import numpy as np
import pytest
import torch
from transformers import T5Config, T5EncoderModel

from dbeta_lib.encoders.text import train_tokenizer
from dbeta_lib.evaluation.text_pairs import load_pairs, pair_cosines
from dbeta_lib.sweeps import encoders as enc
from dbeta_lib.sweeps import read_runs, run_all
from dbeta_lib.sweeps.compare import Comparison

ROWS = """\
- {name: T5, seeds: [0, 1]}
- {name: "T5, frozen", overrides: {freeze_text: true}}
- {name: small, overrides: {text_model: small-t5}}
- {name: signals, model: mem-only}
"""


@pytest.fixture(scope="module")
def folder(store, tmp_path_factory):
    """A folder with one text encoder, and one that holds none."""
    made = tmp_path_factory.mktemp("encoders")
    (made / "notes").mkdir()
    tokenizer = train_tokenizer(store.records["text"].tolist(), 200)
    torch.manual_seed(0)
    sizes = {"d_model": 24, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    T5EncoderModel(T5Config(vocab_size=len(tokenizer), **sizes)).save_pretrained(made / "small-t5")
    tokenizer.save_pretrained(made / "small-t5")
    return made


@pytest.fixture(scope="module")
def compared(store, runs, folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    assert run_all(runs(ROWS, encoders=str(folder)), store, out, say=print) == []
    return Comparison(read_runs(out, "small"), resamples=50)


def test_a_row_tells_what_it_reads_with(compared):
    table = enc.encoder_table(compared).set_index("name")
    assert table.index.tolist() == ["T5", "T5, frozen", "small"]  # one reads no text
    assert table["weights"].tolist() == ["drawn here", "drawn here", "published"]
    assert table["frozen"].tolist() == [False, True, False]
    assert table["width"].tolist() == [16, 16, 24]
    assert table.loc["T5", "parameters"] == table.loc["T5, frozen", "parameters"]


def test_gains_are_the_verdicts_against_the_reference(compared):
    gains = enc.encoder_gains(compared, "T5", "probe_10")
    assert gains.index.tolist() == ["T5, frozen", "small"]
    alone = compared.verdicts({"small": ("small", "T5")}, "probe_10")
    assert gains.loc["small", "value"] == pytest.approx(alone.loc["small", "value"])
    assert gains.loc["small", "p_holm"] >= gains.loc["small", "p"]
    assert gains.loc["small", "seeds"] == 1  # those that both have
    assert gains.loc["small", "parameters"] > 0
    assert len(enc.encoder_gains(compared, "nobody", "probe_10")) == 0


def test_only_rows_that_are_there_in_both_ways_are_thawed():
    names = ["a", "a, frozen", "b", "c, frozen"]
    assert enc.thawed(names) == {"a": ("a", "a, frozen")}


def test_a_frozen_encoder_is_told_once_before_and_its_features_after(compared):
    first = {run.name: run for run in compared.runs}
    told = {name: list(enc.pairs_of(run)) for name, run in first.items()}
    assert told["T5"] == [f"T5: {words}" for words in enc.TOLD.values()]
    assert told["T5, frozen"] == [
        "T5, frozen: as it comes", "T5, frozen: D-BETA's text features"
    ]  # fmt: skip
    assert told["signals"] == []


def test_encoders_of_a_folder_are_asked_as_they_come(folder):
    from dbeta_lib.embedders import HubEmbedder

    pairs = load_pairs()
    found = enc.pairs_of_folders(folder, pairs)
    assert list(found) == ["small-t5: as it comes"]
    alone = HubEmbedder(str(folder / "small-t5"), progress=False)
    assert np.allclose(found["small-t5: as it comes"], pair_cosines(pairs, alone.embed))


def test_without_runs_all_tables_are_empty():
    nothing = Comparison([])
    assert len(enc.encoder_table(nothing)) == len(nothing.levels()) == 0
    gains = enc.encoder_gains(nothing, "T5", "probe_10")
    assert len(gains) == 0 and {"verdict", "parameters"} <= set(gains.columns)
