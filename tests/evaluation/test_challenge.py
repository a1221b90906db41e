"""The Challenge's score, against a slow loop and values worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dbeta_lib.data import cinc2021
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.evaluation import challenge, metrics

OFFICIAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "cinc2021"
needs_official = pytest.mark.skipif(
    not (OFFICIAL / "weights.csv").is_file(), reason="../shared/data/cinc2021 is not there"
)
SINUS = "426783006"
CLASSES = ["164889003", "733534002|164909002", SINUS]  # AF, CLBBB|LBBB, sinus rhythm
WEIGHTS = np.array([[1, 0.475, 0.25], [0.475, 1, 0.275], [0.25, 0.275, 1]])


def raw_by_looping(labels, outputs, weights):
    """The raw score from the formula, a record and a pair of classes at a time."""
    total = 0.0
    for label, output in zip(labels, outputs, strict=True):
        said = {k for k in range(len(weights)) if label[k]}
        answered = {k for k in range(len(weights)) if output[k]}
        for j in said:
            for k in answered:
                total += weights[j][k] / max(1, len(said | answered))
    return total


def score_by_looping(labels, outputs, weights, sinus):
    inactive = [[k == sinus for k in range(len(weights))] for _ in labels]
    low = raw_by_looping(labels, inactive, weights)
    high = raw_by_looping(labels, labels, weights)
    found = raw_by_looping(labels, outputs, weights)
    return (found - low) / (high - low) if abs(high - low) > 1e-9 else 0.0


answers = st.integers(1, 12).flatmap(
    lambda n: arrays(np.int8, (2, n, 3), elements=st.integers(0, 1))
)
eighths = arrays(np.float64, (3, 3), elements=st.integers(-8, 8).map(lambda i: i / 8))


@given(answers, eighths, st.integers(0, 2))
def test_it_is_the_formula_for_any_weights_answers_and_place_of_sinus_rhythm(pair, weights, sinus):
    labels, outputs = pair
    names = ["1", "2", "3"]
    expected = score_by_looping(labels, outputs, weights, sinus)
    found = metrics.challenge_score(labels, outputs, weights, names, names[sinus])
    assert found == pytest.approx(expected, abs=1e-9)
    as_bool = metrics.challenge_score(labels > 0, outputs > 0, weights, names, names[sinus])
    assert as_bool == found


@given(answers, st.permutations(range(3)))
def test_the_order_of_classes_does_not_matter_where_all_follow_it(pair, order):
    labels, outputs = pair
    order = list(order)
    once = metrics.challenge_score(labels, outputs, WEIGHTS, CLASSES)
    turned = metrics.challenge_score(
        labels[:, order],
        outputs[:, order],
        WEIGHTS[np.ix_(order, order)],
        [CLASSES[k] for k in order],
    )
    assert turned == pytest.approx(once, abs=1e-12)


LABELS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 0, 0]])


def test_all_right_is_1_and_sinus_rhythm_for_everybody_is_0():
    assert metrics.challenge_score(LABELS, LABELS, WEIGHTS, CLASSES) == 1
    assert metrics.challenge_score(LABELS, [[0, 0, 1]] * 5, WEIGHTS, CLASSES) == 0


def test_values_worked_out_by_hand():
    # AF answered as CLBBB: union of two, 0.475 / 2. Inactive 0.25 / 2, right 1.
    one = metrics.challenge_score([[1, 0, 0]], [[0, 1, 0]], WEIGHTS, CLASSES)
    assert one == pytest.approx((0.2375 - 0.125) / (1 - 0.125))
    # no answer at all: 0 instead of 0.125, so below sinus rhythm
    none = metrics.challenge_score([[1, 0, 0]], [[0, 0, 0]], WEIGHTS, CLASSES)
    assert none == pytest.approx((0 - 0.125) / (1 - 0.125)) and none < 0
    # AF and CLBBB, answered AF and sinus: W summed over 2 x 2 pairs, union of three
    two = metrics.challenge_score([[1, 1, 0]], [[1, 0, 1]], WEIGHTS, CLASSES)
    low, high = (0.25 + 0.275) / 3, (1 + 0.475 + 0.475 + 1) / 2
    assert two == pytest.approx(((1 + 0.25 + 0.475 + 0.275) / 3 - low) / (high - low))


def test_every_record_wrong_is_below_all_right():
    wrong = np.roll(np.eye(3, dtype=int), 1, axis=1)
    # raw 0.475/2 + 0.275/2 + 0.25/2 = 0.5; inactive 0.125 + 0.1375 + 1; right 3
    found = metrics.challenge_score(np.eye(3, dtype=int), wrong, WEIGHTS, CLASSES)
    assert found == pytest.approx((0.5 - 1.2625) / (3 - 1.2625))


def test_the_score_of_the_whole_is_not_the_mean_of_its_parts():
    outputs = np.roll(LABELS, 1, axis=0)
    whole = metrics.challenge_score(LABELS, outputs, WEIGHTS, CLASSES)
    parts = [metrics.challenge_score(LABELS[[i]], outputs[[i]], WEIGHTS, CLASSES) for i in range(5)]
    assert whole != pytest.approx(np.mean(parts), abs=0.01)


def test_only_sinus_rhythm_or_no_label_at_all_gives_0():
    for labels in ([[0, 0, 1]] * 3, [[0, 0, 0]] * 3):
        for outputs in (labels, [[1, 1, 1]] * 3):
            assert metrics.challenge_score(labels, outputs, WEIGHTS, CLASSES) == 0


def test_spaces_inside_joined_codes_change_nothing(tmp_path):
    spaced = ["164889003 ", " 733534002 | 164909002", f" {SINUS}"]
    expected = metrics.challenge_score(LABELS, LABELS[::-1], WEIGHTS, CLASSES)
    for sinus in (SINUS, f" {SINUS} "):
        found = metrics.challenge_score(LABELS, LABELS[::-1], WEIGHTS, spaced, sinus)
        assert found == expected
    path = tmp_path / "weights.csv"
    path.write_text(",a | b,c\nc,0.3,1.0\nb| a,0.9,0.2\n")
    classes, weights = challenge.read_weights(path)
    assert classes == ["a|b", "c"] and weights.tolist() == [[0.9, 0.2], [0.3, 1.0]]


def test_sinus_rhythm_is_found_in_a_merged_class_and_by_another_name():
    expected = metrics.challenge_score(LABELS, LABELS[::-1], WEIGHTS, CLASSES)
    for names, sinus in (
        (["AF", "LBBB|CLBBB", "NSR"], "NSR"),
        ([1, 2, 426783006], "426783006"),
        (["1", "2", "9|426783006"], SINUS),
        (["1", "2", "9|426783006"], "426783006|9"),
    ):
        assert metrics.challenge_score(LABELS, LABELS[::-1], WEIGHTS, names, sinus) == expected


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"labels": np.eye(4, dtype=int)}, r"do not fit\s+3 classes"),
        ({"outputs": np.eye(3, dtype=int)[:2]}, "do not fit"),
        ({"outputs": np.full((3, 3), 0.5)}, "outputs must be 0 or 1"),
        ({"labels": np.full((3, 3), np.nan)}, "labels must be 0 or 1"),
        ({"weights": WEIGHTS[:2]}, "do not fit"),
        ({"weights": np.full((3, 3), np.nan)}, "NaN"),
        ({"labels": np.zeros((0, 3)), "outputs": np.zeros((0, 3))}, "at least one row"),
        ({"classes": ["1", "2", "3"]}, "no class is sinus rhythm"),
        ({"classes": ["1", "2", f"1{SINUS}"]}, "no class is sinus rhythm"),
        ({"classes": ["2|1", "1|2", SINUS]}, "named twice"),
        ({"classes": ["1", f"2|{SINUS}", SINUS]}, f"code {SINUS} stands in 2 classes"),
        ({"classes": ["1|2", "2", SINUS]}, "code 2 stands in 2 classes"),
        ({"classes": ["1", " 1", SINUS]}, "named twice"),
    ],
)
def test_what_does_not_fit_together_is_refused_in_a_sentence(changed, said):
    good = {"labels": np.eye(3, dtype=int), "outputs": np.eye(3, dtype=int),
            "weights": WEIGHTS, "classes": CLASSES}  # fmt: skip
    with pytest.raises(UsageError, match=said):
        metrics.challenge_score(**{**good, **changed})


def test_weights_are_read_by_name_whatever_the_order_of_rows(tmp_path):
    path = tmp_path / "weights.csv"
    path.write_text("\ufeff,a|b,c\r\nc,0.3,1.0\r\nb|a, 0.9 ,0.2\r\n\r\n", encoding="utf-8")
    classes, weights = challenge.read_weights(path)
    assert classes == ["a|b", "c"]
    assert weights.tolist() == [[0.9, 0.2], [0.3, 1.0]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "square"),
        (b",a,b\na,1,0\n", "square"),
        (b",a,a\na,1,0\nb,0,1\n", "square"),
        (b",a,b\na,1,0\nc,0,1\n", "other classes"),
        (b",a,b\na,1,0\na,0,1\n", "other classes"),
        (b",a,b\na,1\nb,0,1\n", "different length"),
        (b",a,b\na,1,x\nb,0,1\n", "no number"),
        (b",a,b\na,1,inf\nb,0,1\n", "not finite"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b",a\na,1\n" + b" " * 1_000_001, "too large"),
    ],
)
def test_a_broken_table_of_weights_is_named_with_its_remedy(tmp_path, content, said):
    path = tmp_path / "weights.csv"
    path.write_bytes(content)
    with pytest.raises(DBetaError, match=said) as caught:
        challenge.read_weights(path)
    assert str(path) in str(caught.value) and "evaluation-2021" in str(caught.value)


def test_a_table_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DBetaError, match=r"none\.csv cannot be read"):
        challenge.read_weights(tmp_path / "none.csv")


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    try:
        classes, weights = challenge.read_weights(path)
    except DBetaError as error:
        assert str(path) in str(error)
    else:
        assert weights.shape == (len(classes),) * 2 and np.isfinite(weights).all()


@needs_official
def test_the_official_weights_have_26_classes_in_the_order_of_the_loader():
    classes, weights = challenge.read_weights(OFFICIAL / "weights.csv")
    assert weights.shape == (26, 26) and (np.diag(weights) == 1).all()
    assert weights.min() >= 0 and weights.max() == 1
    codes = [code for name in classes for code in name.split("|")]
    assert codes == list(cinc2021.read_classes(OFFICIAL))
    names, same = challenge.read_weights(OFFICIAL / "weights_abbreviations.csv")
    assert np.array_equal(weights, same)
    assert names == list(dict.fromkeys(cinc2021.read_classes(OFFICIAL).values()))


@needs_official
def test_the_official_weights_on_small_cases_and_against_the_loop():
    classes, weights = challenge.read_weights(OFFICIAL / "weights.csv")
    turned = ["|".join(reversed(name.split("|"))) for name in classes]
    rng = np.random.default_rng(0)
    labels = rng.random((60, 26)) < 0.08
    sinus = np.zeros((60, 26), bool)
    sinus[:, classes.index(SINUS)] = True
    for names in (classes, turned):
        assert metrics.challenge_score(labels, labels, weights, names) == pytest.approx(1)
        assert metrics.challenge_score(labels, sinus, weights, names) == 0
        for share in (0, 0.02, 0.1, 0.5):
            outputs = rng.random((60, 26)) < share
            expected = score_by_looping(labels, outputs, weights, classes.index(SINUS))
            found = metrics.challenge_score(labels, outputs, weights, names)
            assert found == pytest.approx(expected, abs=1e-12)
    # by hand: AF answered as atrial flutter, weight 0.5; sinus rhythm for AF, weight 0.25
    place = {name: k for k, name in enumerate(classes)}
    one, other = np.zeros((1, 26), int), np.zeros((1, 26), int)
    one[0, place["164889003"]] = other[0, place["164890007"]] = 1
    found = metrics.challenge_score(one, other, weights, classes)
    assert found == pytest.approx((0.5 / 2 - 0.25 / 2) / (1 - 0.25 / 2))
