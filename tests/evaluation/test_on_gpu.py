"""A D-BETA on a GPU gives what it gives on the CPU, through every kind of evaluation."""

import numpy as np
import pytest
import torch

from dbeta_lib import DBeta, DBetaConfig
from dbeta_lib.data import synthetic
from dbeta_lib.encoders.text import train_tokenizer
from dbeta_lib.evaluation.encoders import device_of, to_training_device
from dbeta_lib.evaluation.features import extract
from dbeta_lib.evaluation.finetune import finetune
from dbeta_lib.evaluation.finetune_settings import FinetuneConfig
from dbeta_lib.evaluation.lead_sweep import sweep
from dbeta_lib.evaluation.reconstruction import hidden_error
from dbeta_lib.evaluation.zero_shot import similarities, zero_shot
from dbeta_lib.leads import LEADS

TASK = "conditions"
DEVICES = [
    "cpu",  # proves the comparison itself: the same twice
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
    ),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small drawn store and an untrained model."""
    store = synthetic.prepare(
        None, tmp_path_factory.mktemp("gpu") / "store", patients=24, records_per_patient=2,
        progress=False,
    )  # fmt: skip
    tokenizer = train_tokenizer(store.records["text"].tolist(), 200)
    torch.manual_seed(0)
    none = {f"{part}_dropout": 0.0 for part in ("input", "ecg", "attention", "fusion")}
    return store, DBeta(DBetaConfig.preset("mini", **none), tokenizer=tokenizer).eval()


@pytest.fixture(params=DEVICES)
def both(request, made):
    """The store, the model on the CPU, and a copy elsewhere; convolutions in full precision."""
    store, model = made
    other = DBeta(model.config, tokenizer=model.tokenizer).eval()
    other.load_state_dict(model.state_dict())
    with torch.backends.cudnn.flags(allow_tf32=False):
        yield store, model, other.to(request.param)


def test_features_are_the_same(both):
    store, here, there = both
    one, other = (extract(model, store, progress=False) for model in (here, there))
    np.testing.assert_allclose(other, one, atol=1e-4)
    allowed = np.arange(12) < 2
    one, other = (
        extract(m, store, lead_mask=allowed, progress=False, batch_size=7) for m in (here, there)
    )
    np.testing.assert_allclose(other, one, atol=1e-4)


def test_zero_shot_is_the_same(both):
    store, here, there = both
    prompts = {name: [name] for name in store.labels(TASK)}
    options = {"resamples": 10, "progress": False}
    one, other = (zero_shot(model, store, TASK, prompts, **options) for model in (here, there))
    np.testing.assert_allclose(other.scores, one.scores, atol=1e-4)
    ecg, texts = torch.from_numpy(store.ecg([0, 1])), ["sinus rhythm", "atrial fibrillation"]
    one, other = (similarities(m, m.encode_ecg(ecg).cpu(), texts) for m in (here, there))
    np.testing.assert_allclose(other, one, atol=1e-4)


def test_a_sweep_over_leads_is_the_same(both):
    store, here, there = both
    prompts = {name: [name] for name in store.labels(TASK)}
    options = {"prompts": prompts, "probe": False, "derived": True, "resamples": 5}
    sets = {"12": LEADS, "2": ("I", "II")}
    one, other = (sweep(m, store, TASK, sets, progress=False, **options) for m in (here, there))
    assert len(one) == len(other) == 3  # two leads with the others computed, too
    for a, b in zip(one, other):
        np.testing.assert_allclose(b.measured.scores, a.measured.scores, atol=1e-4)


def test_a_reconstruction_is_the_same(both):
    store, here, there = both
    ecg, noise = store.ecg([0, 1, 2]), torch.rand(3, here.tokens)
    texts = store.records["text"].iloc[:3].tolist()
    one, other = (hidden_error(model, ecg, noise, texts) for model in (here, there))
    assert other == pytest.approx(one, rel=1e-4)
    drawn = [m.reconstruct(torch.from_numpy(ecg), noise=noise, texts=texts) for m in (here, there)]
    for name in ("prediction", "target", "mask"):
        torch.testing.assert_close(drawn[1][name].cpu(), drawn[0][name], atol=1e-4, rtol=1e-4)


def test_fine_tuning_takes_the_same_steps(both):
    store, here, there = both
    settings = FinetuneConfig.from_scratch(epochs=1, dropout=0.0, lr=1e-5)
    one, other = (
        finetune(m, store, TASK, settings=settings, lead_mask="3", resamples=10, progress=False)
        for m in (here, there)
    )
    np.testing.assert_allclose(other.scores, one.scores, atol=1e-4, rtol=1e-4)
    assert device_of(other.model) == there.device and device_of(one.model) == here.device


def test_models_go_where_training_computes():
    from accelerate import Accelerator

    model = torch.nn.Linear(2, 2)
    assert to_training_device(model) is model
    assert device_of(model).type == Accelerator().device.type
    assert (device_of(model).type == "cuda") == torch.cuda.is_available()
