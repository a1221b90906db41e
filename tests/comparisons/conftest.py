"""A tiny labelled store, config and tokenizer: comparison models train in milliseconds."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from dbeta_lib.batch import Batch
from dbeta_lib.config import DBetaConfig
from dbeta_lib.data.signals import Record, to_signal
from dbeta_lib.data.writer import StoreWriter
from dbeta_lib.training.start import store_tokenizer

SAMPLES, RATE = 160, 100
CLASSES = {"quick": "quick rhythm", "tall": "high voltage"}
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


@pytest.fixture(scope="session")
def config():
    """`config(**overrides)` -> a tiny DBetaConfig."""
    return lambda **overrides: DBetaConfig.preset("mini", **{**TINY, **overrides})


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """48 records of 24 patients; report and labels follow the signal; every fifth lacks a lead."""
    draw, time = np.random.default_rng(0), np.arange(SAMPLES) / RATE
    labels, splits = {}, ("train", "train", "train", "val", "test", "test")
    path = tmp_path_factory.mktemp("comparisons") / "tiny"
    with StoreWriter(path, "tiny", RATE, SAMPLES, "1", "none") as writer:
        for i in range(48):
            quick, tall = i % 2, i // 2 % 2
            wave = np.sin(2 * np.pi * (2 + 3 * quick) * time) * (0.5 + tall)
            ecg = wave * draw.uniform(0.5, 1, (12, 1)) + draw.normal(0, 0.02, (12, SAMPLES))
            present = np.ones(12, bool)
            present[i % 12] = i % 5 != 0
            said = [text for text, has in zip(CLASSES.values(), (quick, tall), strict=True) if has]
            labels[f"r{i}"] = (quick, tall)
            writer.add(Record(
                f"r{i}", to_signal(ecg, present), patient_id=f"p{i // 2}",
                split=splits[i // 2 % 6], report=". ".join(said or ["normal ecg"]) + ".",
            ))  # fmt: skip
        frame = pd.DataFrame.from_dict(labels, orient="index", columns=list(CLASSES))
        writer.labels("shape", frame, "drawn")
        return writer.close()


@pytest.fixture(scope="session")
def prompts():
    """A text for each class of the store's task."""
    return CLASSES


@pytest.fixture(scope="session")
def tokenizer(store, config):
    return store_tokenizer(config(), store)


@pytest.fixture
def batch():
    """`batch(n, seed)` -> a Batch in double precision, one lead absent, texts of 3 to 6 words."""

    def batch(n=5, seed=0):
        draw = torch.Generator().manual_seed(seed)
        leads = torch.ones(n, 12, dtype=torch.bool)
        leads[0, 3] = False
        lengths = torch.arange(n) % 4 + 3
        mask = (torch.arange(6) < lengths[:, None]).long()
        ids = torch.randint(4, 60, (n, 6), generator=draw) * mask
        return Batch(
            ecg=torch.randn(n, 12, SAMPLES, generator=draw, dtype=torch.float64),
            lead_mask=leads, input_ids=ids, attention_mask=mask,
            mlm_labels=torch.full((n, 6), -100), is_aligned=torch.ones(n),
            report_id=torch.arange(n),
            ecg_noise=torch.rand(n, 20, generator=draw, dtype=torch.float64),
        )  # fmt: skip

    return batch


def cosine(a, b):
    a, b = a.detach(), b.detach()
    dot = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(float(x) ** 2 for x in a) * sum(float(y) ** 2 for y in b))


def slow_info_nce(a, b, scale):
    total = 0.0
    for i in range(len(a)):
        own = math.exp(scale * cosine(a[i], b[i]))
        rows = sum(math.exp(scale * cosine(a[i], other)) for other in b)
        columns = sum(math.exp(scale * cosine(other, b[i])) for other in a)
        total -= math.log(own / rows) + math.log(own / columns)
    return total / (2 * len(a))


def slow_nt_xent(a, b, temperature):
    views, n, total = [*a, *b], len(a), 0.0
    for i in range(2 * n):
        other = i + n if i < n else i - n
        below = sum(
            math.exp(cosine(views[i], views[k]) / temperature) for k in range(2 * n) if k != i
        )
        total -= math.log(math.exp(cosine(views[i], views[other]) / temperature) / below)
    return total / (2 * n)


def slow_masked_contrast(context, targets, masked, temperature):
    terms = []
    for c, q, m in zip(context, targets, masked, strict=True):
        places = [t for t in range(len(m)) if m[t]]
        for t in places:
            own = math.exp(cosine(c[t], q[t]) / temperature)
            below = own
            for u in places:
                if max(abs(float(x) - float(y)) for x, y in zip(q[u], q[t], strict=True)) > 1e-3:
                    below += math.exp(cosine(c[t], q[u]) / temperature)
            terms.append(-math.log(own / below))
    return sum(terms) / len(terms)


@pytest.fixture(scope="session")
def slow():
    """The contrastive losses as loops: info_nce(a, b, scale), nt_xent, masked_contrast."""
    return SimpleNamespace(
        info_nce=slow_info_nce, nt_xent=slow_nt_xent, masked_contrast=slow_masked_contrast
    )
