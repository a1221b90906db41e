"""Encoders of the same weights that compute other numbers never share a key; equal ones do."""

import functools
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from dbeta_lib import DBeta, DBetaConfig
from dbeta_lib.evaluation.encoder_settings import settings_of
from dbeta_lib.evaluation.encoders import as_encoder, identity
from dbeta_lib.evaluation.features import extract


def seeded(make):
    torch.manual_seed(0)
    return as_encoder(make(), 100)


def stack(pool, stride=5):
    return nn.Sequential(
        nn.Conv1d(12, 4, 7, stride=stride), pool, nn.AdaptiveAvgPool1d(1), nn.Flatten()
    )


class Pooled(nn.Module):
    """A layer, then what its settings say."""

    def __init__(self, **settings):
        super().__init__()
        self.layer = nn.Conv1d(12, 4, 5)
        for name, value in settings.items():
            setattr(self, name, value)

    def forward(self, ecg):
        x = self.layer(ecg)
        return x.mean(-1) if getattr(self, "how", "mean") == "mean" else x.amax(-1)


@dataclass
class Scale:
    by: float


PAIRS = {
    "layer without weights": (lambda: stack(nn.AvgPool1d(2)), lambda: stack(nn.MaxPool1d(2))),
    "stride": (lambda: stack(nn.AvgPool1d(2)), lambda: stack(nn.AvgPool1d(2), stride=1)),
    "own attribute": (lambda: Pooled(how="mean"), lambda: Pooled(how="max")),
    "private attribute": (lambda: Pooled(_how="mean"), lambda: Pooled(_how="max")),
    "list": (lambda: Pooled(scales=[1, 2]), lambda: Pooled(scales=[1, 3])),
    "dict": (lambda: Pooled(about={"a": 1}), lambda: Pooled(about={"a": 2})),
    "dict of a dict": (lambda: Pooled(a={"b": {"c": 1}}), lambda: Pooled(a={"b": {"c": 2}})),
    "dataclass": (lambda: Pooled(scale=Scale(1.0)), lambda: Pooled(scale=Scale(2.0))),
    "function": (lambda: Pooled(act=torch.relu), lambda: Pooled(act=torch.tanh)),
    "lambda": (lambda: Pooled(act=lambda x: x + 1), lambda: Pooled(act=lambda x: x + 2)),
    "partial": (
        lambda: Pooled(act=functools.partial(torch.clamp, min=0)),
        lambda: Pooled(act=functools.partial(torch.clamp, min=1)),
    ),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_the_same_weights_with_another_setting_are_another_encoder(pair):
    one, other = map(seeded, pair)
    for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert identity(one) != identity(other)
    assert identity(one) == identity(seeded(pair[0]))


@pytest.mark.parametrize("case", ["layer without weights", "stride", "own attribute"])
def test_no_encoder_is_handed_the_features_of_another(store, tmp_path, case):
    about = {"cache_dir": tmp_path, "progress": False}
    one, other = map(seeded, PAIRS[case])
    first = extract(one, store, **about)
    second = extract(other, store, **about)
    assert not np.allclose(first, second)
    assert np.array_equal(second, extract(other, store, progress=False))
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_an_object_that_says_its_own_weights_is_told_apart_by_its_settings():
    class Own:
        weights_hash, leads, sampling_rate = "own 1", ("I",), 100

        def __init__(self, how):
            self.how = how

    assert identity(Own("mean")) == identity(Own("mean")) != identity(Own("max"))


def test_training_and_evaluation_are_one_encoder_and_no_address_is_in_its_settings():
    class Held(Pooled):
        def extra_repr(self):
            return repr(object())

    held = Held(act=lambda x: x, thing=object(), things=[object()])
    assert settings_of(held.train()) == settings_of(held.eval())
    assert "0x" not in "".join(settings_of(held))
    model = DBeta(DBetaConfig.preset("mini"))
    assert settings_of(model.train()) == settings_of(model.eval())
    assert "0x" not in "".join(settings_of(model))


def test_a_saved_model_and_one_with_its_tokenizer_are_the_same_encoder(tmp_path):
    from dbeta_lib.encoders.text import train_tokenizer

    model = DBeta(DBetaConfig.preset("mini"))
    before = identity(model)
    model.save_pretrained(tmp_path / "model")
    assert identity(DBeta.from_pretrained(tmp_path / "model")) == before
    model.tokenizer = train_tokenizer(["sinus rhythm", "av block"] * 3, 100)
    model.eval().encode_text(["sinus rhythm"])
    model.encode_ecg(torch.zeros(1, 12, 1000))
    assert identity(model) == before


def test_a_model_has_the_same_key_in_another_process():
    asked = (
        "import torch; from dbeta_lib import DBeta, DBetaConfig;"
        "from dbeta_lib.evaluation.encoders import identity;"
        "torch.manual_seed(0); print(identity(DBeta(DBetaConfig.preset('mini'))))"
    )
    told = [
        subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    first, second = (each.stdout.strip() for each in told)
    assert first == second and len(first) == 64
