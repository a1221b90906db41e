"""Fine-tuning: what is learnt, chosen, measured and recorded, against slow or other sources."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from dbeta_lib import DBetaConfig
from dbeta_lib.comparisons.supervised import ResNet18
from dbeta_lib.data import cinc2021
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.evaluation import records, results
from dbeta_lib.evaluation.baselines import random_encoder
from dbeta_lib.evaluation.encoders import weights_hash
from dbeta_lib.evaluation.finetune import finetune, gain
from dbeta_lib.evaluation.finetune_loop import Examples, logits
from dbeta_lib.evaluation.finetune_settings import FinetuneConfig
from dbeta_lib.evaluation.probe import draw, linear_probe
from dbeta_lib.leads import subset_mask

QUICK = FinetuneConfig.from_scratch(epochs=8, batch_size=8, lr=0.01)
SHORT = FinetuneConfig(epochs=2, batch_size=8, lr=0.01)


def tuned(encoder, store, settings=SHORT, **options):
    """`finetune` on the drawn store, quietly."""
    options = {"task": "shape", "resamples": 20, "progress": False, **options}
    return finetune(encoder, store, options.pop("task"), settings=settings, **options)


class Changed:
    """A store of which some answers are replaced."""

    def __init__(self, store, **changed):
        self.__dict__.update(_store=store, **changed)

    def __getattr__(self, name):
        return getattr(self._store, name)


@pytest.fixture(scope="module")
def resnet():
    return ResNet18(width=4, seed=0)


@pytest.fixture(scope="module")
def learnt(resnet, store):
    return tuned(resnet, store, QUICK, task="shape", seed=1)


def test_a_network_learns_what_is_in_the_signal(learnt, resnet, store):
    auc = learnt.table()["auc"]
    assert auc["slow"] > 0.95 and auc["quick"] > 0.95 and auc["tall"] > 0.95
    assert learnt.curve["loss"].iloc[-1] < 0.5 * learnt.curve["loss"].iloc[0]
    assert (learnt.n_train, learnt.n_labelled, learnt.lead_subset) == (23, 23, "12")
    assert learnt.parameters == sum(p.numel() for p in learnt.model.parameters())


def test_the_encoder_given_and_the_global_state_are_left_alone(store):
    encoder = ResNet18(width=4, seed=0)
    before, state = weights_hash(encoder), torch.random.get_rng_state()
    found = tuned(encoder, store)
    assert weights_hash(encoder) == before and encoder.training
    assert torch.equal(state, torch.random.get_rng_state())
    assert weights_hash(found.model.path.encoder) != before


def test_the_numbers_are_those_of_the_model_on_the_labelled_test_rows(learnt, store):
    rows = store.rows("test")
    with torch.no_grad():
        expected = learnt.model.eval()(torch.from_numpy(store.ecg(rows)))
    assert np.allclose(learnt.scores, expected.numpy(), atol=1e-5)
    y = store.labels("shape").to_numpy()[rows]
    assert np.array_equal(learnt.y, y)
    per_class = [roc_auc_score(y[:, k], learnt.scores[:, k]) for k in range(4)]
    assert [i.value for i in learnt.per_class] == pytest.approx(per_class)
    assert learnt.interval.value == learnt.macro.value == pytest.approx(np.mean(per_class))
    assert learnt.interval.low <= learnt.interval.value <= learnt.interval.high
    assert (learnt.interval.patients, learnt.interval.resamples) == (8, 20)


def test_test_labels_and_signals_decide_nothing(toy, store, learnt):
    test = store.rows("test")
    labels = store.labels("shape")
    labels.iloc[test] = 1 - labels.iloc[test]

    def ecg(rows):
        return np.where(np.isin(rows, test)[:, None, None], np.float32(-1), store.ecg(rows))

    other = tuned(toy, Changed(store, labels=lambda task: labels, ecg=ecg))
    same = tuned(toy, store)
    assert weights_hash(other.model) == weights_hash(same.model)
    assert other.curve.drop(columns="seconds").equals(same.curve.drop(columns="seconds"))
    assert not np.array_equal(other.scores, same.scores)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(toy, store):
    settings = FinetuneConfig(
        epochs=2, batch_size=8, lr=0.01, lead_dropout=0.3, crop=8, dropout=0.2
    )
    one = tuned(toy, store, settings, seed=3)
    torch.rand(17)
    same, other = tuned(toy, store, settings, seed=3), tuned(toy, store, settings, seed=4)
    assert weights_hash(one.model) == weights_hash(same.model) != weights_hash(other.model)
    assert np.array_equal(one.scores, same.scores)


@pytest.mark.parametrize(
    ("asked", "name"),
    [("3", "3"), ("I,V5", "I,V5"), (subset_mask("6"), "6"), (subset_mask("V6"), "V6")],
)
def test_training_and_test_see_the_same_leads_and_no_other(toy, store, asked, name):
    found = tuned(toy, store, lead_mask=asked)
    assert found.lead_subset == name
    allowed = torch.from_numpy(asked if isinstance(asked, np.ndarray) else subset_mask(asked))
    masks = torch.cat(found.model.path.encoder.masks)
    assert len(masks) > 2 * (23 + 8) + 16 - 1
    assert not masks[:, ~allowed].any() and masks[:, allowed].any()
    other = Changed(store, ecg=lambda rows: store.ecg(rows) + ~allowed.numpy()[:, None])
    assert np.array_equal(tuned(toy, other, lead_mask=asked).scores, found.scores)


def test_an_encoder_of_other_leads_and_rate_gets_its_own_input(make_toy, store):
    toy = make_toy(sampling_rate=50, leads=("V2", "I"))
    found = tuned(toy, store)
    assert set(found.model.path.encoder.shapes[1:]) <= {(n, 2, 500) for n in range(1, 17)}
    assert found.leads == ("I", "V2")
    with pytest.raises(UsageError, match="leaves no lead"):
        tuned(toy, store, lead_mask="V6")


def test_a_fraction_is_the_probe_s_draw(toy, store):
    labelled = np.setdiff1d(store.rows("train"), [7])
    for fraction, seed in ((0.5, 2), (6, 0)):
        found = tuned(toy, store, fraction=fraction, seed=seed)
        rows = draw(labelled, fraction, seed)
        named = tuned(toy, store, rows=rows[::-1], seed=seed)
        assert found.n_train == len(rows) < found.n_labelled == 23
        assert weights_hash(found.model) == weights_hash(named.model)


def test_a_class_without_a_training_positive_scores_a_constant(toy, store):
    found = tuned(toy, store, rows=np.arange(8, 24))  # "rare" is in rows 0, 27, 33 and 40
    assert found.empty == ("rare",)
    assert found.table()["auc"]["rare"] == 0.5 and found.macro.k_used == 4
    assert (found.scores[:, 2] < -5).all()
    assert tuned(toy, store).empty == ()


def test_a_dbeta_learns_and_what_was_pre_trained_stays(store):
    config = DBetaConfig.preset("mini", "recommended", ecg_layers=1)
    model = random_encoder(config, 0)
    before = weights_hash(model)
    found = tuned(model, store, FinetuneConfig(epochs=3, batch_size=8, lr=1e-3))
    assert found.curve["loss"].is_monotonic_decreasing
    assert weights_hash(model) == before and not model.training
    frozen = tuned(model, store, FinetuneConfig(epochs=1, lr=1e-3, freeze_stem=True))
    assert frozen.parameters < found.parameters
    stem = frozen.model.path.encoder.stem.state_dict()
    assert all(torch.equal(t, model.ecg_encoder.stem.state_dict()[n]) for n, t in stem.items())
    scores = logits(found.model, Examples(store, found.y, store.lead_mask(), model), np.arange(3))
    assert scores.shape == (3, 4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rows": [0, 30]}, "training split"),
        ({"rows": [0, 7]}, "labelled rows of the training split"),
        ({"rows": [1, 1, 2]}, "each named once"),
        ({"rows": [1, 2], "fraction": 0.5}, "not both"),
        ({"fraction": 0.0}, "no part of 23"),
        ({"lead_mask": np.ones(11, bool)}, r"bool \[12\]"),
        ({"lead_mask": np.ones(12)}, r"bool \[12\], not float64"),
        ({"lead_mask": "V9"}, "V9"),
        ({"task": "shapes"}, "did you mean 'shape'"),
    ],
)
def test_a_wrong_call_is_refused_in_a_sentence(toy, store, options, said):
    with pytest.raises(UsageError, match=said):
        tuned(toy, store, **options)


def test_a_patient_on_both_sides_and_a_loss_that_explodes_are_refused(toy, store):
    crossed = store.records.copy()
    crossed.loc[30, "patient_id"] = "p0"
    with pytest.raises(DBetaError, match="p0"):
        tuned(toy, Changed(store, records=crossed))
    with pytest.raises(DBetaError, match="take a smaller one"):
        tuned(toy, store, FinetuneConfig(epochs=5, batch_size=4, lr=1e30))


def test_splits_without_labels_are_named(toy, store):
    valid = store.labels_valid("shape") & (store.records["split"].to_numpy() != "val")
    with pytest.raises(UsageError, match="split 'val' is labelled"):
        tuned(toy, Changed(store, labels_valid=lambda task: valid))
    same = store.labels("shape") * 0
    with pytest.raises(UsageError, match="both values in the validation"):
        tuned(toy, Changed(store, labels=lambda task: same))


def test_a_gain_is_paired_with_another_network_or_a_probe(learnt, toy, store):
    zero = gain(learnt, learnt, 20)
    assert (zero.value, zero.low, zero.high) == (0, 0, 0)
    other = tuned(toy, store)
    found = gain(learnt, other, 20)
    assert found.value == pytest.approx(learnt.interval.value - other.interval.value)
    probe = linear_probe(
        np.random.default_rng(0).normal(size=(48, 3)), store.labels("shape"),
        store.records["split"], (0.5,), (0, 1), patients=store.records["patient_id"],
        valid=store.labels_valid("shape"), resamples=20, progress=False,
    )[0]  # fmt: skip
    against = gain(learnt, probe, 20)
    assert against.value == pytest.approx(learnt.interval.value - probe.interval.value)
    with pytest.raises(UsageError, match="same task and test rows"):
        gain(learnt, SimpleNamespace(y=1 - learnt.y, patients=learnt.patients))


def test_it_becomes_a_record(learnt, resnet, store, tmp_path):
    facts = {**records.encoder_facts(resnet), **records.store_facts(store), "encoder": "ResNet18"}
    made = learnt.results(**facts, profile="smoke")
    assert len(made) == 1
    one = results.load(made[0].save(tmp_path))
    assert (one.value, one.low, one.high) == pytest.approx(
        (learnt.interval.value, learnt.interval.low, learnt.interval.high)
    )
    assert (one.protocol, one.task, one.metric) == ("full fine-tuning", "shape", "macro_auc")
    assert (one.label_fraction, one.n_train, one.seeds, one.lead_subset) == (1.0, 23, (1,), "12")
    assert (one.domain, one.profile, one.n, one.k) == ("untrained", "smoke", 16, 4)
    assert one.weights_hash == weights_hash(resnet)
    assert one.per_class["rare"]["positives"] == 2 and one.wall_time_s > 0 and one.date


def test_a_record_names_the_leads_of_the_training_not_all_that_the_encoder_takes(
    learnt, resnet, store
):
    facts = {**records.encoder_facts(resnet), **records.store_facts(store), "encoder": "ResNet18"}
    two = replace(learnt, leads=("I", "II"))
    assert [r.lead_subset for r in two.results(**facts)] == ["2"]


def challenge_store(store, folder):
    """The drawn store with two of the Challenge's classes, and a matrix of them."""
    codes = ["164889003", "426783006"]
    path = folder / "weights.csv"
    path.write_text(f",{codes[0]},{codes[1]}\n{codes[0]},1,0.3\n{codes[1]},0.5,1\n")
    names = [cinc2021.read_classes(folder)[code] for code in codes]
    labels = store.labels("shape")[["slow", "quick"]].set_axis(names, axis=1)
    changed = Changed(
        store, labels=lambda task: labels, labels_valid=lambda task: store.labels_valid("shape")
    )
    return changed, path


def test_the_challenge_s_score_joins_the_table_of_the_paper(store, tmp_path):
    from dbeta_lib.reporting import paper_numbers

    changed, path = challenge_store(store, tmp_path)
    found = tuned(
        ResNet18(width=4, seed=0), changed, QUICK, task="cinc2021", challenge_weights=path
    )
    yes = found.scores > 0
    assert np.array_equal(yes, found.y.astype(bool))  # all right, so the score is 1
    assert (found.challenge.value, found.challenge.low) == (1, 1)
    never = tuned(
        ResNet18(width=4, seed=0), changed, FinetuneConfig.of(QUICK, threshold=0.999999),
        task="cinc2021", challenge_weights=path,
    )  # fmt: skip
    # no answer at all earns nothing: (0 - s(sinus)) / (s(labels) - s(sinus)), half of 16 each
    low, right = 8 * 0.3 / 2 + 8, 16
    assert never.challenge.value == pytest.approx((0 - low) / (right - low))
    facts = {**records.store_facts(store), "data": "cinc2021", "encoder": "ResNet18"}
    made = found.results(**facts)
    assert [r.metric for r in made] == ["macro_auc", "challenge_score"]
    for result in made:
        result.save(tmp_path / "results")
    cells = paper_numbers.cells(paper_numbers.published())
    joined = paper_numbers.join(cells, results.load_all(tmp_path / "results"))
    answered = joined[joined["our_value"].notna()]
    assert answered["protocol"].tolist() == ["full fine-tuning"]
    assert answered["lead_subset"].tolist() == ["12"] and answered["our_value"].tolist() == [1]
    with pytest.raises(UsageError, match="for the task cinc2021"):
        tuned(ResNet18(width=4), store, challenge_weights=path)


def test_a_share_of_the_labels_is_named_in_the_challenge_s_record_too(store, tmp_path, toy):
    changed, path = challenge_store(store, tmp_path)
    found = tuned(toy, changed, task="cinc2021", challenge_weights=path, fraction=0.5)
    facts = {**records.store_facts(store), "encoder": "toy"}
    assert [r.label_fraction for r in found.results(**facts)] == [11 / 23] * 2
