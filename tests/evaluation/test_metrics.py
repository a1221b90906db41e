"""AUC, average precision and their intervals, against scikit-learn, scipy and slow loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import bootstrap as scipy_bootstrap
from scipy.stats import mannwhitneyu, norm
from sklearn.metrics import average_precision_score, roc_auc_score

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation import metrics


def sample(n=300, k=4, seed=0, digits=1):
    """Labels and rounded scores (many ties), from rare to frequent classes."""
    rng = np.random.default_rng(seed)
    y = rng.random((n, k)) < np.linspace(0.05, 0.6, k)
    y[0], y[1] = True, False
    return y.astype(int), np.round(y + rng.normal(0, 1, (n, k)), digits)


def test_auc_and_average_precision_equal_scikit_learn_with_ties():
    y, score = sample()
    np.testing.assert_allclose(
        metrics.auc_per_class(y, score), roc_auc_score(y, score, average=None), atol=1e-12
    )
    np.testing.assert_allclose(
        metrics.average_precision(y, score),
        average_precision_score(y, score, average=None),
        atol=1e-12,
    )


def test_auc_is_the_mann_whitney_statistic():
    y, score = sample(k=1)
    u = mannwhitneyu(score[y == 1], score[y == 0]).statistic
    assert metrics.auc_per_class(y, score)[0] == pytest.approx(u / (y.sum() * (1 - y).sum()))


def test_auc_by_counting_pairs():
    y, score = [1, 0, 1, 0, 0], [0.9, 0.9, 0.1, 0.5, 0.0]
    # positive 0.9: ties one negative, beats two; positive 0.1: beats one
    assert metrics.auc_per_class(y, score)[0] == pytest.approx((0.5 + 2 + 1) / 6)


values = arrays(np.float64, 12, elements=st.integers(-5, 5).map(float))
marks = arrays(np.int8, 12, elements=st.integers(0, 1)).filter(lambda y: 0 < y.sum() < len(y))


@given(marks, values)
def test_auc_depends_on_order_only(y, score):
    once = metrics.auc_per_class(y, score)
    np.testing.assert_allclose(metrics.auc_per_class(y, np.exp(score) * 3 + 1), once)
    np.testing.assert_allclose(metrics.auc_per_class(y, score**3), once)


@given(marks, values)
def test_turning_scores_or_labels_round_gives_one_minus_auc(y, score):
    once = metrics.auc_per_class(y, score)
    np.testing.assert_allclose(metrics.auc_per_class(y, -score), 1 - once)
    np.testing.assert_allclose(metrics.auc_per_class(1 - y, score), 1 - once)


@given(marks, values, st.permutations(range(12)))
def test_the_order_of_rows_does_not_matter(y, score, order):
    order = list(order)
    for metric in (metrics.auc_per_class, metrics.average_precision):
        np.testing.assert_allclose(metric(y[order], score[order]), metric(y, score))


@settings(deadline=None)
@given(marks, values, arrays(np.int64, 12, elements=st.integers(0, 3)))
def test_whole_number_weights_are_repeated_rows(y, score, times):
    """The oracle of the bootstrap: weights w mean that row i stands w_i times."""
    repeated = np.repeat(np.arange(12), times)
    kept = y[repeated]
    weights = times[None].astype(float)
    arguments = (y[:, None].astype(bool), score[:, None], weights)
    names = ("auc", "average_precision")  # f1 takes answers: see test_thresholds
    auc, precision = (metrics.METRICS[name](*arguments)[0, 0] for name in names)
    if len(kept) == 0 or kept.min() == kept.max():
        assert np.isnan(auc) and np.isnan(precision)
    else:
        assert auc == pytest.approx(roc_auc_score(kept, score[repeated]))
        assert precision == pytest.approx(average_precision_score(kept, score[repeated]))


def test_a_class_with_one_value_is_left_out_and_named():
    y, score = sample()
    y[:, 1], y[:, 3] = 0, 1
    found = metrics.macro_auc(y, score, list("abcd"))
    assert (found.k_used, found.k, found.excluded) == (2, 4, ("b", "d"))
    assert float(found) == pytest.approx(roc_auc_score(y[:, [0, 2]], score[:, [0, 2]]))
    assert "2/4" in str(found) and "b, d" in str(found)


def test_no_class_at_all_gives_nan_not_a_number():
    found = metrics.macro_auc(np.zeros((5, 2), int), np.zeros((5, 2)))
    assert np.isnan(found.value) and found.k_used == 0


def test_blocks_of_resamples_do_not_change_anything(monkeypatch):
    y, score = sample()
    weights = metrics.patient_weights(np.arange(300), 20, 0)
    whole = [m(y.astype(bool), score, weights) for m in metrics.METRICS.values()]
    monkeypatch.setattr(metrics, "BLOCK", 700)  # two resamples at a time
    parts = [m(y.astype(bool), score, weights) for m in metrics.METRICS.values()]
    np.testing.assert_array_equal(whole, parts)


def test_resamples_draw_whole_patients():
    patients = np.repeat([f"p{i}" for i in range(20)], [1, 2, 3, 4] * 5)
    weights = metrics.patient_weights(patients, 50, 0)
    for name in np.unique(patients):
        rows = weights[:, patients == name]
        assert (rows == rows[:, :1]).all()
    first_row = [np.flatnonzero(patients == name)[0] for name in np.unique(patients)]
    assert (weights[:, first_row].sum(axis=1) == 20).all()
    assert np.array_equal(weights, metrics.patient_weights(patients, 50, 0))
    assert not np.array_equal(weights, metrics.patient_weights(patients, 50, 1))


def test_interval_equals_scipys_percentile_bootstrap():
    y, score = sample(n=400, k=1, digits=3)
    y, score = y[:, 0], score[:, 0]
    ours = metrics.bootstrap(y, score, np.arange(400), 4000)

    def auc(y, score):
        return roc_auc_score(y, score)

    theirs = scipy_bootstrap(
        (y, score), auc, paired=True, vectorized=False, n_resamples=600, method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    width = ours.high - ours.low
    assert ours.low == pytest.approx(theirs.low, abs=0.12 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.12 * width)
    assert ours.value == pytest.approx(roc_auc_score(y, score))
    assert (ours.rows, ours.patients, ours.resamples) == (400, 400, 4000)


def test_one_patient_with_many_records_widens_the_interval():
    rng = np.random.default_rng(0)
    y = np.repeat(rng.integers(0, 2, 60), 10)
    score = np.repeat(rng.normal(0, 1, 60), 10) + y
    by_patient = metrics.bootstrap(y, score, np.repeat(np.arange(60), 10))
    by_record = metrics.bootstrap(y, score, np.arange(600))
    assert by_patient.high - by_patient.low > 2 * (by_record.high - by_record.low)


def test_mean_over_draws_is_taken_inside_each_resample():
    y, score = sample(n=80, k=2)
    draws = np.stack([score, -score, score**3])
    weights = metrics.patient_weights(np.arange(80), 30, 0)
    slow = [
        np.mean([np.nanmean(metrics.weighted_auc(y > 0, d, w[None])) for d in draws])
        for w in weights
    ]
    np.testing.assert_allclose(metrics.resampled_macro(y, draws, weights), slow)
    one = metrics.bootstrap(y, draws, np.arange(80), 30)
    assert one.low == pytest.approx(np.quantile(slow, 0.025))
    assert one.value == pytest.approx(
        np.mean([metrics.macro_auc(y, d).value for d in draws]), abs=1e-12
    )


def test_a_resample_averages_the_classes_it_has():
    """One positive patient: where he is not drawn, the macro AUC is that of the other class."""
    y = np.zeros((40, 2), int)
    y[:20, 0], y[3, 1] = 1, 1
    score = np.random.default_rng(0).normal(0, 1, (40, 2))
    weights = metrics.patient_weights(np.arange(40), 200, 0)
    per_class = metrics.weighted_auc(y > 0, score, weights)
    without = weights[:, 3] == 0
    assert 40 < without.sum() < 120 and np.isnan(per_class[without, 1]).all()
    found = metrics.resampled_macro(y, score, weights)
    np.testing.assert_allclose(found[without], per_class[without, 0])
    assert (
        metrics.bootstrap_per_class(y, score, np.arange(40), 200)[1].resamples == (~without).sum()
    )


def test_paired_difference_of_equal_scores_is_zero_and_narrower_than_unpaired():
    y, score = sample(n=300, k=3)
    patients = np.arange(300)
    same = metrics.paired_bootstrap(y, score, score.copy(), patients, 200)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    other = score + np.random.default_rng(1).normal(0, 0.3, score.shape)
    paired = metrics.paired_bootstrap(y, score, other, patients, 500)
    one, two = (metrics.bootstrap(y, s, patients, 500) for s in (score, other))
    assert paired.value == pytest.approx(one.value - two.value)
    assert paired.high - paired.low < 0.6 * ((one.high - one.low) + (two.high - two.low)) / 2


def test_perfect_scores_have_auc_one_in_every_resample():
    y, _ = sample(n=100, k=2)
    found = metrics.bootstrap(y, y.astype(float), np.arange(100), 100)
    assert (found.value, found.low, found.high) == (1, 1, 1)


def coverage(patients_with: int, by_patient: bool, sets: int = 150) -> float:
    """Share of simulated data sets whose interval holds the true AUC, Phi(shift / sqrt(2 var))."""
    shift, between = 1.0, 1.0
    truth = norm.cdf(shift / np.sqrt(2 * (1 + between)))
    hits = 0
    for seed in range(sets):
        rng = np.random.default_rng(seed)
        patient = np.repeat(np.arange(60), patients_with)
        y = np.repeat(rng.random((60, 2)) < [0.5, 0.3], patients_with, axis=0)
        noise = np.repeat(rng.normal(0, between, (60, 2)), patients_with, axis=0)
        score = shift * y + noise + rng.normal(0, 1, y.shape)
        units = patient if by_patient else np.arange(len(patient))
        found = metrics.bootstrap(y, score, units, 300, seed)
        hits += found.low <= truth <= found.high
    return hits / sets


def test_the_interval_holds_the_truth_as_often_as_it_says():
    # 150 simulated data sets: 95 % within what chance allows (three standard errors)
    assert 0.89 <= coverage(1, by_patient=True) <= 0.995
    assert 0.89 <= coverage(4, by_patient=True) <= 0.995


def test_resampling_records_of_one_patient_apart_would_not_hold_it():
    assert coverage(4, by_patient=False) < 0.85


@pytest.mark.parametrize(
    ("y", "score", "patients", "said"),
    [
        (np.zeros((4, 2)), np.zeros((4, 3)), range(4), "one shape"),
        (np.full((4, 2), 2), np.zeros((4, 2)), range(4), "0 or 1"),
        (np.eye(4), np.full((4, 4), np.nan), range(4), "NaN"),
        (np.eye(4), np.zeros((4, 4)), range(3), "3 patients are given for 4 rows"),
        (np.eye(4), np.zeros((4, 4)), [1, 1, 1, 1], "two patients"),
    ],
)
def test_wrong_input_is_refused_in_a_sentence(y, score, patients, said):
    with pytest.raises(UsageError, match=said):
        metrics.bootstrap(y, score, list(patients), 10)
