"""The fixed matching set: what an oracle model scores on it, and other patients' ECGs."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dbeta_lib.errors import DBetaError
from dbeta_lib.seeds import rng
from dbeta_lib.training.monitor import COLUMNS, Monitor, other_patients
from dbeta_lib.training.start import build_model


@pytest.fixture(scope="module")
def monitor(store, tokenizer, config):
    return Monitor(config(), store, tokenizer, store.rows("val"), batch_size=5)


class Oracle:
    """Stands in for a model: `decide(ecg, ids)` says for each row whether the two are a pair."""

    training, device = False, torch.device("cpu")

    def __init__(self, decide):
        self.decide = decide

    def eval(self):
        return self

    def train(self, mode):
        return self

    def __call__(self, batch):
        names = ("mlm", "mem", "etm", "ets", "total")
        return SimpleNamespace(losses={name: torch.tensor(1.0) for name in names})

    def present(self, ecg, leads):
        return ecg

    def streams(self, ecg, ids, mask, noise):
        return SimpleNamespace(fused=self.decide(ecg, ids).float())

    def etm_head(self, called):
        return torch.stack([1 - called, called], dim=1)


def test_a_head_that_knows_the_pairs_is_always_right_and_falls_when_ecgs_are_shuffled(monitor):
    maker, own = monitor.maker, monitor.texts["own"]
    known = {
        maker.store.ecg([row]).tobytes(): maker.tokens.padded(np.array([report]), 24)[0][0]
        for row, report in zip(maker.rows, own, strict=True)
    }

    def knows(ecg, ids):
        pairs = zip(ecg.numpy(), ids.numpy(), strict=True)
        return torch.tensor([np.array_equal(known[e.tobytes()][: len(i)], i) for e, i in pairs])

    scores = monitor.measure(Oracle(knows))
    assert tuple(scores) == COLUMNS and scores["val_total"] == 1
    assert scores["val_etm_random"] == scores["val_etm_far"] == 1
    assert abs(scores["val_etm_far_shuffled"] - 0.5) < 0.2


def test_a_head_that_reads_only_the_text_scores_the_same_with_shuffled_ecgs(monitor):
    far = {tuple(monitor.maker.tokens.padded(r[None], 24)[0][0]) for r in monitor.texts["far"]}
    pad = torch.nn.functional.pad

    def reads(ecg, ids):
        return torch.tensor([tuple(pad(i, (0, 24 - len(i))).tolist()) not in far for i in ids])

    scores = monitor.measure(Oracle(reads))
    assert scores["val_etm_far"] == scores["val_etm_far_shuffled"] > 0.5


def test_the_leak_is_measured_where_a_run_has_it(monitor, store, tokenizer, config):
    """Who counts ids against the mask is always right on the leak, and blind without it."""
    leaking = Monitor(
        config(negatives="released"), store, tokenizer, store.rows("val"), batch_size=5
    )

    class Counts(Oracle):
        def streams(self, ecg, ids, mask, noise):
            same_length = (ids != 0).sum(1) == mask.sum(1)
            return SimpleNamespace(fused=same_length.float())

    scores = leaking.measure(Counts(None))
    tokens, texts = leaking.maker.tokens, leaking.texts
    differ = (tokens.lengths(texts["own"]) != tokens.lengths(texts["far"])).mean()
    assert differ > 0.5
    expected = (1 + differ) / 2
    assert scores["val_etm_leak"] == scores["val_etm_leak_shuffled"] == pytest.approx(expected)
    assert scores["val_etm_far"] == scores["val_etm_random"] == 0.5
    assert "val_etm_leak" not in monitor.measure(Counts(None))


@pytest.mark.parametrize("way", ["random", "n3s", "released", "balanced", "middle_band"])
def test_the_set_is_the_same_whatever_a_run_trains_with_and_its_texts_are_what_they_are_called(
    monitor, store, tokenizer, config, way
):
    again = Monitor(config(negatives=way), store, tokenizer, store.rows("val"), batch_size=5)
    for kind in ("own", "random", "far"):
        assert np.array_equal(again.texts[kind], monitor.texts[kind])
    assert np.array_equal(again.partner, monitor.partner)
    assert np.array_equal(again.noise, monitor.noise)
    for kind in ("random", "far"):
        assert (monitor.texts[kind] != monitor.texts["own"]).all()
        assert np.isin(monitor.texts[kind], monitor.texts["own"]).all()
    assert len(Monitor(config(), store, tokenizer, store.rows("val"), records=7).partner) == 7


@pytest.mark.parametrize(
    ("way", "kind", "others"),
    [
        ("random", "random", None),
        ("n3s", "n3s", None),
        ("balanced", "balanced", 0.3),
        ("hub_corrected", "n3s", None),
    ],
)
def test_validation_losses_draw_wrong_texts_as_the_run_does(
    store, tokenizer, config, way, kind, others
):
    rows = store.rows("val")
    maker = Monitor(config(negatives=way, negatives_tau=0.3), store, tokenizer, rows).maker
    assert maker.negatives.describe()["kind"] == kind
    assert maker.negatives.describe().get("tau") == others
    mined = maker.negatives.describe().get("embedder", {}).get("mined", {}).get("by")
    assert mined == (way if way == "hub_corrected" else None)
    assert np.isin(maker.negatives.report_ids, store.records["report_id"].to_numpy()[rows]).all()


def test_where_one_report_is_half_of_all_validation_draws_a_random_other_one(
    store, tokenizer, config
):
    rows = store.rows("val")
    reports = store.records["report_id"].to_numpy()[rows]
    one = rows[reports == reports[reports >= 0][0]][:1]
    rows = np.concatenate([np.repeat(one, 4), rows[(reports >= 0) & (rows != one)][:3]])
    maker = Monitor(config(negatives="balanced"), store, tokenizer, rows).maker
    assert maker.negatives.describe()["kind"] == "random" and maker.negatives.exclude_equal


def test_measuring_leaves_mode_weights_and_random_state_alone(monitor, store, tokenizer, config):
    model = build_model(config(), store, 0, tokenizer).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    first = monitor.measure(model)
    assert model.training and torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert first == monitor.measure(model)
    assert all(np.isfinite(v) for v in first.values())


@given(st.lists(st.integers(0, 8), min_size=1, max_size=40), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_ecgs_go_to_other_patients(patients, seed):
    patients = np.array(patients)
    partner = other_patients(patients, rng(seed))
    assert sorted(partner) == list(range(len(patients)))
    if np.unique(patients, return_counts=True)[1].max() * 2 <= len(patients):
        assert (patients[partner] != patients).all()


def test_too_few_reports_are_named(store, tokenizer, config):
    with pytest.raises(DBetaError, match="distinct report"):
        Monitor(config(), store, tokenizer, store.rows("val")[:1])
