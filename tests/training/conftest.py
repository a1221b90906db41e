"""A tiny store, config and tokenizer: pre-training in milliseconds."""

import numpy as np
import pytest

from dbeta_lib.config import DBetaConfig
from dbeta_lib.data.signals import Record, to_signal
from dbeta_lib.data.writer import StoreWriter
from dbeta_lib.n3s import NegativeTable, TfidfEmbedder, distinct_reports
from dbeta_lib.training.start import store_tokenizer

FINDINGS = (
    *("sinus rhythm", "atrial fibrillation", "left bundle branch block", "anterior infarct"),
    *("normal ecg", "st depression", "long qt", "paced rhythm", "left axis deviation"),
)
SAMPLES, RATE = 160, 100
TINY = {
    "samples": SAMPLES, "sampling_rate": RATE, "conv_layers": ((16, 2, 2),) * 3,
    "ecg_width": 16, "ecg_ffn": 32, "ecg_heads": 2, "ecg_layers": 1, "position_kernel": 4,
    "position_groups": 2, "fusion_width": 16, "fusion_heads": 2, "fusion_layers": 1,
    "decoder_width": 16, "decoder_layers": 1, "decoder_heads": 2, "text_vocabulary": 120,
    "max_text_tokens": 24,
    "text_architecture": {
        "model_type": "t5", "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2,
        "feed_forward_proj": "gated-gelu", "pad_token_id": 0, "eos_token_id": 1,
    },
}  # fmt: skip


def tiny_config(**overrides):
    return DBetaConfig.preset("mini", **{**TINY, **overrides})


def write_store(path, records=60, seed=0):
    """A store whose reports repeat, some records without a report, some leads missing."""
    draw = np.random.default_rng(seed)
    time = np.arange(SAMPLES) / RATE
    with StoreWriter(path, "tiny", RATE, SAMPLES, "1", "none") as writer:
        for i in range(records):
            named = draw.choice(FINDINGS, 1 + i % 3, replace=False)
            rate = 1 + FINDINGS.index(named[0]) / 4
            ecg = np.sin(2 * np.pi * rate * time)[None] * draw.uniform(0.2, 1, (12, 1))
            ecg = ecg + draw.normal(0, 0.02, ecg.shape)
            present = np.ones(12, bool)
            present[i % 12] = i % 5 != 0
            report = "" if i % 20 == 7 else ". ".join(named) + "."
            split = "train" if i // 2 % 4 else "val"
            signal = to_signal(ecg, present)
            writer.add(Record(f"r{i}", signal, patient_id=f"p{i // 2}", split=split, report=report))
        return writer.close()


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("stores") / "tiny")


@pytest.fixture(scope="session")
def tokenizer(store):
    return store_tokenizer(tiny_config(), store)


@pytest.fixture(scope="session")
def config():
    """`config(**overrides)` -> a tiny DBetaConfig."""
    return tiny_config


@pytest.fixture(scope="session")
def table(store):
    """N3S negatives of the tiny store, not saved."""
    ids, texts = distinct_reports(store)
    return NegativeTable.build(texts, TfidfEmbedder(8), 5, ids)
