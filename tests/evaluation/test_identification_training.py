"""The head and the whole encoder: they learn, choose on validation, and can be repeated."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from dbeta_lib.config import DBetaConfig
from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation import identification as ident
from dbeta_lib.evaluation.arcface import ArcFaceConfig
from dbeta_lib.evaluation.baselines import HandMadeFeatures, random_encoder
from dbeta_lib.evaluation.encoders import as_encoder, identity
from dbeta_lib.evaluation.features import extract
from dbeta_lib.evaluation.identification_training import (
    ArcFaceHead,
    Identifier,
    train_identification,
)


def table(rows):
    """A store's table of (record_id, patient_id, split)."""
    frame = pd.DataFrame(rows, columns=["record_id", "patient_id", "split"])
    return frame.assign(window=0, signal_hash=[f"h{i}" for i in range(len(frame))])


QUICK = ArcFaceConfig(scale=32.0, margin=0.5, lr=3e-2, epochs=20, batch_size=32)


def nuisance(patients=150):
    """Identity in 6 features; 6 louder ones change from record to record."""
    rng = np.random.default_rng(8)
    splits = ["train"] * 80 + ["val"] * 20 + ["test"] * (patients - 100)
    rows = [(f"{2 * i + j:04d}", f"p{i}", splits[i]) for i in range(patients) for j in (0, 1)]
    own = np.repeat(rng.normal(size=(patients, 6)), 2, axis=0)
    own = own + 0.3 * rng.normal(size=own.shape)
    return np.hstack([own, rng.normal(size=own.shape)]), table(rows)


def test_a_head_learns_to_forget_what_changes_from_record_to_record():
    x, records = nuisance()
    before = ident.identify(x, records, resamples=10)
    head = ArcFaceHead.fit(x, records, QUICK, progress=False)
    after = ident.identify(head.embed(x), records, standardise=False, resamples=10)
    assert after.top1.value > before.top1.value + 0.1
    assert after.eer.value < before.eer.value - 0.05
    assert head.epoch > 0 and head.n_train == 160 and head.kernels.shape == (80, 12)
    kept, changing = np.abs(head.weight[:, :6]).mean(), np.abs(head.weight[:, 6:]).mean()
    assert kept > changing


def test_epoch_0_of_a_head_is_the_comparison_without_training_and_the_best_epoch_is_kept():
    x, records = nuisance()
    head = ArcFaceHead.fit(x, records, QUICK, progress=False)
    plain = ident.identify(x, records, "val", resamples=5)
    best = ident.identify(head.embed(x), records, "val", standardise=False, resamples=5)
    curve = head.curve.set_index("epoch")
    assert curve["top1"][0] == pytest.approx(plain.top1.value)
    assert curve["top1"].max() == pytest.approx(best.top1.value) == curve["top1"][head.epoch]
    ruinous = ArcFaceConfig(lr=3.0, epochs=2, scale=32.0, margin=0.5)
    kept = ArcFaceHead.fit(x, records, ruinous, progress=False)
    top1 = kept.curve.set_index("epoch")["top1"]
    assert top1[kept.epoch] == top1.max()


def test_test_patients_do_not_touch_the_head():
    x, records = nuisance()
    other = x.copy()
    other[200:] = 0
    settings = ArcFaceConfig(**{**vars(QUICK), "epochs": 3})
    one, two = (ArcFaceHead.fit(f, records, settings, progress=False) for f in (x, other))
    assert one.epoch > 0
    assert np.array_equal(one.weight, two.weight) and np.array_equal(one.kernels, two.kernels)


FEW = ArcFaceConfig(scale=16.0, margin=0.3, lr=3e-3, epochs=4, batch_size=16)


@pytest.fixture
def encoder(make_toy):
    return make_toy(width=6)


def test_the_whole_encoder_learns_and_the_given_one_stays_as_it_was(encoder, store):
    before = copy.deepcopy(encoder.state_dict())
    found = train_identification(encoder, store, FEW, progress=False)
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())
    assert found.kernels.shape == (12, 6) and found.n_train == 24
    x = extract(found.encoder, store, progress=False)
    assert np.allclose(np.linalg.norm(x, axis=1), 1, atol=1e-5)
    kept = found.curve.set_index("epoch")["top1"][found.epoch]
    val = ident.identify(x, store.records, "val", standardise=False, resamples=5)
    assert val.top1.value == pytest.approx(kept)
    test = ident.identify(x, store.records, standardise=False, protocol="fairseq",
                          kernels=found.kernels, resamples=5)  # fmt: skip
    assert len(test.pairs) == 8


def test_the_loss_of_the_whole_encoder_falls(store):
    torch.manual_seed(0)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(12_000, 16))  # can learn each record by heart
    settings = ArcFaceConfig(**{**vars(FEW), "lr": 1e-5, "epochs": 8})
    found = train_identification(as_encoder(flat, 100), store, settings, progress=False)
    assert found.curve["loss"].iloc[-1] < 0.8 * found.curve["loss"].iloc[1]


def test_the_same_seed_gives_the_same_weights_another_seed_others(encoder, store):
    torch.manual_seed(1)
    one = train_identification(encoder, store, FEW, progress=False)
    torch.rand(3)
    two = train_identification(encoder, store, FEW, progress=False)
    assert identity(one.encoder) == identity(two.encoder)
    other = ArcFaceConfig(**{**vars(FEW), "seed": 1})
    three = train_identification(encoder, store, other, progress=False)
    assert not one.curve.equals(three.curve)


def test_of_a_dbeta_the_ecg_encoder_learns_and_its_convolutions_stay(store):
    model = random_encoder(DBetaConfig.preset("mini", ecg_layers=1), 0)
    settings = ArcFaceConfig(scale=16.0, margin=0.3, lr=1e-3, epochs=1, batch_size=24)
    found = train_identification(model, store, settings, progress=False)
    inside = found.encoder.encoder
    names = {n for n, p in inside.named_parameters() if p.requires_grad}
    assert names and all(n.startswith("ecg_encoder.") for n in names)
    assert not any("stem.convs" in n or "channel_norm" in n for n in names)
    assert found.kernels.shape == (12, inside.config.ecg.ecg_width)
    tokens = model.ecg_encoder(torch.zeros(1, 12, 1000), None)[0][:, 1:].mean(1)
    mean = Identifier(model).encode_ecg(torch.zeros(1, 12, 1000))
    assert torch.allclose(mean, nn.functional.normalize(tokens, dim=1))


def test_what_cannot_learn_is_refused(store):
    with pytest.raises(UsageError, match="no gradient"):
        deaf = as_encoder(lambda ecg: ecg.std(dim=-1), sampling_rate=100)
        train_identification(deaf, store, FEW, progress=False)
    with pytest.raises(UsageError, match="no torch module"):
        Identifier(HandMadeFeatures())
