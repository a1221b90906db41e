"""The benchmark of text pairs: what it writes of a small encoder; an absent one is left out."""

import json

import pytest
import torch
from huggingface_hub import constants
from transformers import BertConfig, BertModel

from dbeta_lib.data import prepare
from dbeta_lib.encoders.text import train_tokenizer


@pytest.fixture(scope="module")
def benchmark(load_benchmark):
    return load_benchmark("text_pairs")


def test_encoders_are_asked_timed_and_named_and_an_absent_one_is_left_out(
    benchmark, tmp_path, monkeypatch
):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    store = prepare("synthetic", None, tmp_path / "store", 100, patients=12, progress=False)
    tokenizer = train_tokenizer(store.records["text"].tolist(), 200, "bert")
    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(vocab_size=len(tokenizer), intermediate_size=32, **size)
    BertModel(config).save_pretrained(tmp_path / "small")
    tokenizer.save_pretrained(tmp_path / "small")
    asked = [str(tmp_path / "small"), "org/absent", "--store", str(tmp_path / "store")]
    benchmark.main([*asked, "--out", str(tmp_path / "out")])
    page, numbers = sorted((tmp_path / "out").iterdir(), key=lambda p: p.suffix, reverse=True)
    found = json.loads(numbers.read_text(encoding="utf-8"))
    assert found["encoders"]["small"]["width"] == 16
    assert found["encoders"]["small"]["reports_per_cpu_s"] > 0
    assert {row["encoder"] for row in found["pairs"]} == {benchmark.CONTROL, "small"}
    text = page.read_text(encoding="utf-8")
    assert "Left out: neither this disk nor the hub has 'org/absent'" in text
    assert text.count("| small |") == 2
