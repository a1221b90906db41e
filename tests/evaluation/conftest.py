"""A small store of drawn ECGs, and a toy model that follows the encoder protocol."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from dbeta_lib.data.signals import Record, to_signal
from dbeta_lib.data.writer import StoreWriter
from dbeta_lib.leads import LEADS

CLASSES = ("slow", "tall", "rare", "quick")
SPLIT_OF = ["train"] * 24 + ["val"] * 8 + ["test"] * 16


class Toy(nn.Module):
    """Mean absolute value of each lead, through a layer; texts by their words' fixed vectors."""

    def __init__(self, width: int = 6, sampling_rate: int = 100, leads=LEADS, seed: int = 0):
        super().__init__()
        self.sampling_rate, self.leads = sampling_rate, tuple(leads)
        self.layer = nn.Linear(len(leads), width)
        nn.init.normal_(self.layer.weight, generator=torch.Generator().manual_seed(seed))
        self.drop = nn.Dropout(0.5)
        # beside the attributes: a counter among them would be a setting, and new at every call
        self.log = SimpleNamespace(shapes=[], masks=[])

    shapes = property(lambda self: self.log.shapes)
    masks = property(lambda self: self.log.masks)
    calls = property(lambda self: len(self.log.masks))

    def encode_ecg(self, ecg, lead_mask=None):
        self.shapes.append(tuple(ecg.shape))
        self.masks.append(lead_mask)
        return self.drop(self.layer(ecg.abs().mean(-1)))

    def encode_text(self, texts):
        rows = [
            torch.randn(self.layer.out_features, generator=torch.Generator().manual_seed(len(t)))
            for t in texts
        ]
        return torch.stack(rows)

    def similarity(self, ecg_features, text_features):
        return ecg_features @ text_features.T


@pytest.fixture
def toy():
    return Toy()


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """48 rows of 24 patients, two each; labels follow the signal; row 5 lacks V6, row 7 labels."""
    dest = tmp_path_factory.mktemp("evaluation") / "store"
    rng = np.random.default_rng(0)
    time = np.arange(1000) / 100
    labels = {}
    with StoreWriter(dest, "toy", 100, 1000, "1", "none") as writer:
        for i, split in enumerate(SPLIT_OF):
            slow, tall = i % 2, (i // 2) % 2
            wave = np.sin(2 * np.pi * (2 - slow) * time) * (1 + tall)
            ecg = wave * np.linspace(0.5, 1.5, 12)[:, None] + rng.normal(0, 0.05, (12, 1000))
            mask = np.ones(12, bool)
            mask[11] = i != 5
            name = f"r{i:02d}"
            rare = int(i in (0, 27, 33, 40))
            labels[name] = (slow, tall, rare, 1 - slow) if i != 7 else (None,) * 4
            writer.add(
                Record(name, to_signal(ecg, mask), patient_id=f"p{i // 2}", split=split,
                       report=f"report {i % 5}")
            )  # fmt: skip
        frame = pd.DataFrame.from_dict(labels, orient="index", columns=list(CLASSES))
        writer.labels("shape", frame, "drawn")
        return writer.close()


@pytest.fixture(scope="session")
def make_toy():
    return Toy
