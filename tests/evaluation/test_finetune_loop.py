"""The loop of a fine-tuning: one step by hand, the rate, the crops, and the epoch that is kept."""

import copy

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.finetune import finetune
from dbeta_lib.evaluation.finetune_loop import crop, drop_leads
from dbeta_lib.evaluation.finetune_settings import FinetuneConfig

SHORT = FinetuneConfig(epochs=2, batch_size=8, lr=0.01)


def tuned(encoder, store, settings=SHORT, **options):
    """`finetune` on the drawn store, quietly."""
    return finetune(
        encoder, store, "shape", settings=settings, resamples=20, progress=False, **options
    )


def test_the_weights_kept_are_those_of_the_best_epoch_on_validation(store, toy):
    # A rate this high wanders, so that the best epoch is not the last.
    settings = FinetuneConfig(epochs=12, batch_size=8, lr=0.3)
    found = tuned(toy, store, settings, seed=4)
    curve = found.curve["val_macro_auc"]
    assert found.epoch == 1 + int(curve.to_numpy().argmax()) < len(curve) == 12
    rows = store.rows("val")
    with torch.no_grad():
        scores = found.model.eval()(torch.from_numpy(store.ecg(rows))).numpy()
    y = store.labels("shape").to_numpy()[rows]
    expected = np.mean([roc_auc_score(y[:, k], scores[:, k]) for k in range(4)])
    assert curve.max() == pytest.approx(expected)
    assert curve.iloc[-1] < curve.max()


def test_a_step_is_adam_on_the_mean_cross_entropy(make_toy, store):
    toy = make_toy()
    toy.drop.p = 0.0
    settings = FinetuneConfig(epochs=1, batch_size=1000, lr=0.02)
    found = tuned(toy, store, settings)
    start = tuned(toy, store, FinetuneConfig(epochs=1, batch_size=1000, lr=1e-12))
    rows = np.setdiff1d(store.rows("train"), [7])  # row 7 has no label
    model = copy.deepcopy(start.model)
    mask = store.lead_mask()[rows][..., None]
    found_logits = model(torch.from_numpy(store.ecg(rows) * mask))
    y = torch.from_numpy(store.labels("shape").to_numpy()[rows].astype(np.float32))
    p = torch.sigmoid(found_logits)
    loss = -(y * p.log() + (1 - y) * (1 - p).log()).mean()
    loss.backward()
    assert found.curve["loss"][0] == pytest.approx(loss.item(), rel=1e-5)
    for p, after in zip(model.parameters(), found.model.parameters(), strict=True):
        # Adam's first step (Kingma and Ba, ICLR 2015) has the size of the rate
        expected = p - 0.02 * p.grad / (p.grad.abs() + 1e-8)
        assert torch.allclose(after, expected, atol=1e-5)


def test_one_cycle_rises_to_the_rate_and_ends_near_nothing(toy, store):
    settings = FinetuneConfig.from_scratch(epochs=10, batch_size=4, lr=0.01, head_lr=0.02)
    rates = tuned(toy, store, settings).curve["lr"]
    assert rates.max() == pytest.approx(0.01, rel=0.05)
    assert rates.argmax() in (1, 2) and rates.iloc[-1] < 1e-6
    assert (tuned(toy, store).curve["lr"] == 0.01).all()


def test_leads_are_hidden_by_chance_but_never_all():
    present = np.ones((4000, 12), bool)
    present[:, 3] = False
    kept = drop_leads(present, 0.4, np.random.default_rng(0))
    assert not kept[:, 3].any()
    assert kept[:, [0, 11]].mean() == pytest.approx(0.6, abs=0.02)
    few = drop_leads(present[:, :2], 0.9, np.random.default_rng(0))
    assert few.any(axis=1).all() and few.mean() < 0.95


def test_a_crop_is_a_run_of_the_record_s_own_samples():
    ecg = torch.arange(5 * 2 * 30.0).reshape(5, 2, 30)
    part = crop(ecg, 20, np.random.default_rng(0))
    starts = (part[:, 0, 0] - ecg[:, 0, 0]).int().tolist()
    assert len(set(starts)) > 1 and min(starts) >= 0 and max(starts) <= 10
    for record, start, cut in zip(ecg, starts, part):
        assert torch.equal(cut, record[:, start : start + 20])
    drawn = crop(torch.arange(3.0).expand(600, 1, 3), 2, np.random.default_rng(0))[:, 0, 0]
    counts = drawn.unique(return_counts=True)[1]
    assert len(counts) == 2 and counts.min() > 250  # both ends are reached alike
    assert crop(ecg, 40, np.random.default_rng(0)) is ecg


def test_training_sees_crops_and_hidden_leads_and_evaluation_neither(make_toy, store):
    settings = FinetuneConfig(epochs=2, batch_size=8, lr=0.01, crop=4, lead_dropout=0.5)
    found = tuned(make_toy(), store, settings)
    inner = found.model.path.encoder
    by_length = {length: [m for s, m in zip(inner.shapes, inner.masks) if s[2] == length]
                 for length in (400, 1000)}  # fmt: skip
    assert torch.cat(by_length[400]).float().mean() < 0.7
    assert torch.cat(by_length[1000]).all()


def test_patience_ends_a_training_that_no_longer_gains(toy, store):
    settings = FinetuneConfig(epochs=50, batch_size=8, lr=1e-9, patience=3)
    found = tuned(toy, store, settings)
    assert (found.epoch, len(found.curve)) == (1, 4)


def test_a_clipped_gradient_is_no_longer_than_asked(make_toy, store):
    toy = make_toy()
    toy.drop.p = 0.0
    settings = FinetuneConfig(epochs=1, batch_size=1000, lr=0.02, clip_norm=0.001)
    grads = [p.grad for p in tuned(toy, store, settings).model.parameters()]
    assert torch.cat([g.flatten() for g in grads]).norm() == pytest.approx(0.001, rel=1e-3)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"optimizer": "sgd"}, "no optimizer 'sgd'"),
        ({"schedule": "cosine"}, "no schedule 'cosine'; known: constant, one-cycle"),
        ({"epoch": 3}, "no setting 'epoch'; did you mean 'epochs'"),
        ({"epochs": 0}, "epochs=0 must be more than 0"),
        ({"lr": float("nan")}, "lr=nan must be more than 0"),
        ({"crop": -1.0}, "crop=-1.0 must be 0 or more"),
        ({"dropout": 1.0}, "dropout=1.0 must be in 0..1"),
        ({"threshold": 1.0}, "threshold=1.0 must lie between"),
    ],
)
def test_a_wrong_setting_is_refused_in_a_sentence(changed, said):
    with pytest.raises(UsageError, match=said):
        FinetuneConfig.of(**changed)


def test_defaults_are_those_of_the_comparison_work():
    one = FinetuneConfig()
    assert (one.optimizer, one.lr, one.schedule, one.batch_size) == ("adam", 5e-5, "constant", 128)
    assert (one.epochs, one.feature, one.threshold, one.lead_dropout) == (100, "mean", 0.5, 0.0)
    assert FinetuneConfig.from_scratch(lr=0.5).lr == 0.5


def test_recipes_go_by_name_and_published_is_the_default():
    assert FinetuneConfig.recipe("published") == FinetuneConfig()
    assert FinetuneConfig.recipe("one-cycle", lr=0.5) == FinetuneConfig.from_scratch(lr=0.5)
    assert FinetuneConfig.recipe("published", epochs=3).epochs == 3
    with pytest.raises(UsageError, match=r"no recipe 'publisched' .*; did you mean 'published'"):
        FinetuneConfig.recipe("publisched")
