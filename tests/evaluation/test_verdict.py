"""Verdicts: intervals cover, no difference is not told, a planted one is, Holm's steps by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.metrics import macro_auc, paired_bootstrap
from dbeta_lib.evaluation.verdict import (
    Difference,
    average,
    difference,
    holm,
    resample,
    sentence,
    stacked,
    verdicts,
)

PATIENTS, SEEDS, CLASSES = 120, 5, 2


def make_labels(draw, rows_each=1):
    """Labels `[n, K]` and patients `[n]`; all rows of a patient have his labels."""
    labels = (draw.random((PATIENTS, CLASSES)) < 0.35).astype(int)
    labels[:2] = [[1, 0], [0, 1]]
    return labels.repeat(rows_each, axis=0), np.arange(PATIENTS).repeat(rows_each)


def make_scores(draw, labels, hard, mean, between, seeds=SEEDS, whims=0.5):
    """`[S, n, K]`: a positive row is `mean` higher, give or take `between` for each seed.

    hard: `[n, K]` what is hard about a row for this system at every seed, of variance 1 - whims;
    whims: share of the noise that is each seed's own.
    """
    shift = mean + between * draw.normal(size=(seeds, 1, 1))
    own = draw.normal(size=(seeds, *labels.shape))
    return labels * shift + np.sqrt(1 - whims) * hard + np.sqrt(whims) * own


def true_auc(mean, between):
    """Of `make_scores`, over all patients and seeds: E Phi((mean + between z) / sqrt 2)."""
    return stats.norm.cdf(mean / np.sqrt(2 + between**2))


def simulated(number, means, between, whims=0.5, resamples=400):
    """The difference of two systems, each with what is hard for it, on patients drawn anew."""
    draw = np.random.default_rng(number)
    labels, patients = make_labels(draw)
    hard = draw.normal(size=(2, *labels.shape))
    a, b = (
        make_scores(draw, labels, own, mean, between, whims=whims)
        for own, mean in zip(hard, means, strict=True)
    )
    return difference(*(resample(labels, s, patients, resamples, number) for s in (a, b)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("between", "whims"), [(0.0, 0.0), (0.0, 0.5), (0.0, 1.0), (0.15, 0.5), (0.5, 0.5), (0.5, 1.0)]
)
def test_intervals_cover_the_true_difference_whether_patients_or_seeds_vary(between, whims):
    means, covered = (1.3, 1.0), 0
    truth = true_auc(means[0], between) - true_auc(means[1], between)
    for number in range(100):
        found = simulated(number, means, between, whims)
        covered += found.low <= truth <= found.high
    assert covered >= 90


@pytest.mark.slow
@pytest.mark.parametrize(("between", "whims"), [(0.0, 0.0), (0.05, 0.5), (0.5, 0.5)])
def test_where_there_is_no_difference_nothing_is_told_in_about_95_percent(between, whims):
    told = [simulated(number, (1.0, 1.0), between, whims).p <= 0.05 for number in range(300)]
    assert 0.01 <= np.mean(told) <= 0.08


def test_a_planted_difference_is_found_and_has_its_sign():
    rows = {
        "better": simulated(0, (1.6, 0.9), 0.05),
        "the same": simulated(1, (1.0, 1.0), 0.05),
        "worse": simulated(2, (0.8, 1.5), 0.05),
    }
    table = verdicts(rows)
    assert list(table["verdict"]) == ["helps", "cannot tell", "hurts"]
    assert (table["low"]["better"] > 0) and (table["high"]["worse"] < 0)
    assert table["low"]["the same"] < 0 < table["high"]["the same"]
    assert list(table["seeds"]) == [5] * 3 and not table["exploratory"].any()


def test_five_seeds_that_disagree_tell_nothing_though_each_would_alone():
    draw = np.random.default_rng(0)
    labels, patients = make_labels(draw)
    hard = draw.normal(size=labels.shape)
    a = np.stack([labels * m + hard for m in (3, 3, 3, 0.2, 0.2)])
    b = np.stack([labels * m + hard for m in (0.2, 3, 0.2, 3, 0.2)])
    five = difference(resample(labels, a, patients), resample(labels, b, patients))
    one = difference(resample(labels, a[:1], patients), resample(labels, b[:1], patients))
    assert verdicts({"row": five})["verdict"].item() == "cannot tell"
    assert verdicts({"row": one})["verdict"].item() == "helps" and one.exploratory


def test_one_seed_is_the_paired_bootstrap_over_patients():
    draw = np.random.default_rng(3)
    labels, patients = make_labels(draw, rows_each=2)
    hard = draw.normal(size=labels.shape)
    a, b = (make_scores(draw, labels, hard, mean, 0, 1) for mean in (1.4, 1.0))
    found = difference(*(resample(labels, s, patients, 500, 7) for s in (a, b)))
    expected = paired_bootstrap(labels, a[0], b[0], patients, 500, 7)
    assert found.value == pytest.approx(expected.value)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_the_numbers_are_those_of_a_slow_loop():
    draw = np.random.default_rng(5)
    labels, patients = make_labels(draw)
    scores = draw.normal(size=(2, 3, 4, PATIENTS, CLASSES)) + labels  # A and B, 3 seeds, 4 draws
    a, b = (resample(labels, s, patients, 300) for s in scores)
    found = difference(a, b)
    per_seed = [
        np.mean([macro_auc(labels, scores[0, s, d]).value for d in range(4)])
        - np.mean([macro_auc(labels, scores[1, s, d]).value for d in range(4)])
        for s in range(3)
    ]
    assert found.per_seed == pytest.approx(per_seed)
    assert found.value == pytest.approx(np.mean(per_seed))
    resampled = a.draws - b.draws
    means, spreads = [], []
    for draw in resampled.T:
        means.append(sum(draw) / 3)
    for seed in resampled:
        spreads.append(np.mean((seed - np.mean(seed)) ** 2))
    patients_part = np.mean((np.array(means) - np.mean(means)) ** 2)
    whims = (np.mean(spreads) - patients_part) * 3 / 2
    observed = sum((d - found.value) ** 2 for d in per_seed) / 2
    variance = patients_part + max(0, observed - whims) / 3
    freedom = variance**2 / ((observed / 3) ** 2 / 2)
    t = abs(found.value) / np.sqrt(variance)
    assert found.p == pytest.approx(2 * stats.t.sf(t, freedom))
    half = stats.t.ppf(0.975, freedom) * np.sqrt(variance)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.15)


def test_a_system_does_not_differ_from_itself():
    draw = np.random.default_rng(1)
    labels, patients = make_labels(draw)
    one = resample(labels, draw.normal(size=(5, *labels.shape)), patients, 100)
    found = difference(one, one)
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert verdicts({"row": found})["verdict"].item() == "cannot tell"


def test_an_average_is_the_difference_from_a_system_without_any_merit():
    draw = np.random.default_rng(2)
    labels, patients = make_labels(draw)
    one = resample(labels, draw.normal(size=(5, *labels.shape)) + labels, patients, 200)
    found, macro = average(one), np.mean(one.values)
    assert found.value == macro and found.low < macro < found.high and np.isnan(found.p)
    single = average(resample(labels, draw.normal(size=(1, *labels.shape)), patients, 200))
    assert single.seeds == 1 and single.low < single.value < single.high


def test_runs_of_single_seeds_make_a_system():
    draw = np.random.default_rng(4)
    labels, patients = make_labels(draw)
    scores = draw.normal(size=(3, *labels.shape)) + labels
    whole = resample(labels, scores, patients, 60)
    parts = [resample(labels, scores[i : i + 1], patients, 60) for i in range(3)]
    assert np.allclose(stacked(parts).draws, whole.draws)
    assert np.allclose(stacked(parts).values, whole.values)
    with pytest.raises(UsageError, match="same test rows and resamples"):
        stacked([parts[0], resample(labels, scores[:1], patients, 61)])


def test_the_sentence_is_computed_from_the_table():
    better, worse, same = (
        Difference(v, v - 0.01, v + 0.01, p, 0.95, (v,) * 5, 9, 9, 100)
        for v, p in ((0.05, 1e-6), (-0.04, 1e-5), (0.001, 0.8))
    )
    assert sentence(verdicts({"ETS": better, "N3S": worse, "T5": same, "MLM": better})) == (
        "Of 4 comparisons 2 help: ETS (+0.050), MLM (+0.050); 1 hurts: N3S (-0.040); of 1 nothing "
        "can be told."
    )
    one = verdicts({"ETS": replace(better, per_seed=(0.05,))})
    assert sentence(one) == (
        "Of 1 comparison 1 helps: ETS (+0.050); nothing hurts; none is left open. All of them rest "
        "on fewer than 5 seeds: exploratory, no result."
    )
    assert sentence(one.iloc[:0]) == "There is nothing to compare yet."


def test_holm_on_the_textbooks_four_tests():
    # 0.005 and 0.01 stay below 0.05 / 4 and 0.05 / 3; 0.03 is above 0.05 / 2, and ends it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == pytest.approx([1, 1]) and len(holm([])) == 0
    with_nan = holm([0.01, np.nan])
    assert with_nan[0] == 0.02 and np.isnan(with_nan[1])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.sampled_from([0.01, 0.05, 0.2]))
def test_holm_rejects_what_its_step_down_rule_rejects(p, alpha):
    order, rejected = sorted(range(len(p)), key=p.__getitem__), set()
    for done, number in enumerate(order):
        if p[number] * (len(p) - done) > alpha:
            break
        rejected.add(number)
    assert {i for i, adjusted in enumerate(holm(p)) if adjusted <= alpha} == rejected


def test_a_row_that_is_not_adjusted_for_the_others_would_be_told():
    near = Difference(0.02, 0.001, 0.04, 0.03, 0.95, (0.02,) * 5, 9, 9, 100)
    assert verdicts({"alone": near})["verdict"].item() == "helps"
    assert list(verdicts({"one": near, "two": near})["verdict"]) == ["cannot tell"] * 2


def test_what_cannot_be_paired_is_refused():
    draw = np.random.default_rng(1)
    labels, patients = make_labels(draw)
    five = resample(labels, draw.normal(size=(5, *labels.shape)), patients, 50)
    four = resample(labels, draw.normal(size=(4, *labels.shape)), patients, 50)
    other = resample(labels, draw.normal(size=(5, *labels.shape)), patients, 50, seed=1)
    for one in (four, other):
        with pytest.raises(UsageError, match="cannot be paired"):
            difference(five, one)
    with pytest.raises(UsageError, match=r"no \[seeds, n, K\]"):
        resample(labels, draw.normal(size=labels.shape), patients)
    with pytest.raises(UsageError, match="3 patients are given for 120 rows"):
        resample(labels, draw.normal(size=(5, *labels.shape)), patients[:3])
    single = np.zeros_like(labels)
    alike = resample(single, draw.normal(size=(5, *labels.shape)), patients, 50)
    unknown = difference(alike, alike)
    assert np.isnan(unknown.p) and verdicts({"row": unknown})["verdict"].item() == "cannot tell"
