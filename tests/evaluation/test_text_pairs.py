"""Pairs of texts: the file keeps its own rules, and the pair AUC is what its formula says."""

import itertools
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics import roc_auc_score

from dbeta_lib.config import DBetaConfig
from dbeta_lib.encoders.text import train_tokenizer
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.evaluation import text_pairs
from dbeta_lib.evaluation.text_pairs import (
    AGAINST,
    load_pairs,
    pair_auc,
    pair_cosines,
    pair_table,
    states_of,
)
from dbeta_lib.model import DBeta

PAIRS = load_pairs()
FILE = json.loads(text_pairs.PATH.read_text(encoding="utf-8"))
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
published = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is not there")
DENIAL = re.compile(r"\b(no|not|kein|keine)\b", re.IGNORECASE)


def words(text):
    return set(re.findall(r"\w+", text.lower()))


# -- the file ------------------------------------------------------------------------------------


def test_every_finding_has_all_that_is_asked():
    for finding, rows in PAIRS.groupby("finding"):
        counted = Counter(rows["relation"])
        assert counted["synonym"] and counted["opposite"] and counted["unrelated"] == 2, finding
        assert rows["text"].nunique() == 1
        others = [text.lower() for text in [rows["text"].iloc[0], *rows["other"]]]
        assert len(set(others)) == len(others), f"{others[0]}: a text twice"
    assert PAIRS.groupby("language")["finding"].nunique().to_dict() == {"de": 20, "en": 32}
    assert not PAIRS.drop_duplicates("finding").duplicated(["language", "text"]).any()


def test_unrelated_texts_share_no_word_and_denials_deny():
    for row in PAIRS.itertuples():
        shared = words(row.text) & words(row.other)
        assert row.kind != "unrelated" or not shared, (row.text, row.other)
        denied = [bool(DENIAL.search(text)) for text in (row.text, row.other)]
        if row.kind == "negation":
            assert sum(denied) == 1, (row.text, row.other)
        if row.kind == "contrary":
            assert not any(denied), (row.text, row.other)


def test_every_abbreviation_names_a_known_source():
    sources = [s for one in FILE["findings"] for s in one["abbreviations"].values()]
    assert set(sources) == set(FILE["sources"])
    assert FILE["about"].keys() >= set(text_pairs.KINDS)


def abbreviations(source):
    """(finding, abbreviation) pairs that a source is named for."""
    return [
        (one["finding"].lower(), short)
        for one in FILE["findings"]
        for short, named in one["abbreviations"].items()
        if named == source
    ]


# What the published tables call a finding otherwise than a report does.
OTHERWISE = {
    "premature ventricular contraction": "premature ventricular contractions",
    "first degree av block": "1st degree av block",
    "sinus bradycardia": "sinus bradycardia",
    "left atrial enlargement": "left atrial overload/enlargement",
    "right atrial enlargement": "right atrial overload/enlargement",
    "st elevation": "non-specific st elevation",
    "st depression": "non-specific st depression",
    "t wave inversion": "inverted t-waves",
    "prolonged qt interval": "long qt-interval",
    "low qrs voltages": "low qrs voltages in the frontal and horizontal leads",
    "wolff-parkinson-white syndrome": "wolf-parkinson-white syndrome",  # misprinted there
}


@published
def test_abbreviations_are_those_of_the_challenge():
    table = pd.read_csv(SHARED / "cinc2021" / "dx_mapping_scored.csv")
    known = {(n.lower(), a.lower()) for n, a in zip(table["Dx"], table["Abbreviation"])}
    for finding, short in abbreviations("cinc2021"):
        names = {finding, OTHERWISE.get(finding, finding)}
        assert any((name, short.lower()) in known for name in names), (finding, short)


@published
def test_abbreviations_are_those_of_ptb_xls_statements():
    table = pd.read_csv(SHARED / "ptb-xl" / "scp_statements.csv", index_col=0)
    known = {
        (described.lower(), short)
        for code, described in table["description"].items()
        for short in code.rstrip("_").split("/")
    }
    for finding, short in abbreviations("scp"):
        names = {finding, OTHERWISE.get(finding, finding)}
        assert any((name, short) in known for name in names), (finding, short)


@published
def test_german_abbreviations_stand_in_ptb_xls_reports():
    reports = pd.read_csv(SHARED / "ptb-xl" / "ptbxl_database.csv")["report"].str.lower()
    for _, short in abbreviations("ptb-xl-reports"):
        assert reports.str.contains(rf"\b{short.lower()}\b").any(), short


# -- the measure ---------------------------------------------------------------------------------


def slow_auc(cosines, against):
    """The formula as it stands, pair by pair."""
    ours = cosines[PAIRS["relation"] == "synonym"]
    others = cosines[PAIRS["relation"] == against]
    return np.mean([(i > j) + (i == j) / 2 for i, j in itertools.product(ours, others)])


@pytest.mark.parametrize("against", AGAINST)
def test_the_pair_auc_is_the_share_of_rightly_ordered_pairs(against):
    cosines = np.random.default_rng(0).choice([-0.5, 0.0, 0.25, 0.5, 1.0], len(PAIRS))
    found = pair_auc(PAIRS, cosines, against, resamples=50)
    assert found.value == pytest.approx(slow_auc(cosines, against))
    asked = PAIRS["relation"].isin(["synonym", against]).to_numpy()
    y = (PAIRS["relation"] == "synonym").to_numpy()[asked]
    assert found.value == pytest.approx(roc_auc_score(y, cosines[asked]))
    assert found.low <= found.value <= found.high and found.patients == 52


@given(st.integers(0, 10_000), st.floats(0.1, 10), st.floats(-3, 3))
def test_only_the_order_of_cosines_counts_and_not_that_of_rows(seed, stretch, shift):
    draw = np.random.default_rng(seed)
    cosines = draw.uniform(-1, 1, len(PAIRS))
    found = pair_auc(PAIRS, cosines, resamples=2)
    assert pair_auc(PAIRS, np.exp(stretch * cosines) + shift, resamples=2) == found
    order = draw.permutation(len(PAIRS))
    moved = pair_auc(PAIRS.iloc[order], cosines[order], resamples=2)
    assert (moved.value, moved.low, moved.high) == pytest.approx(
        (found.value, found.low, found.high)
    )


def test_the_interval_holds_findings_together():
    """Twice each pair of a finding is no more evidence; twice as many findings are."""
    cosines = np.random.default_rng(1).normal(size=len(PAIRS)) + PAIRS["finding"] % 7 / 4
    once = pair_auc(PAIRS, cosines, resamples=400)
    doubled = pd.concat([PAIRS, PAIRS], ignore_index=True)
    again = pair_auc(doubled, np.tile(cosines, 2), resamples=400)
    assert (again.low, again.high) == pytest.approx((once.low, once.high))
    more = doubled.assign(finding=np.r_[PAIRS["finding"], PAIRS["finding"] + 100])
    wider = pair_auc(more, np.tile(cosines, 2), resamples=400)
    assert wider.high - wider.low < 0.85 * (once.high - once.low)


def knows(texts):
    """An encoder that knows: synonyms in one place, a denied finding opposite to it."""
    draw, place = np.random.default_rng(0), {}
    pairs = PAIRS.assign(text=PAIRS["text"].str.lower(), other=PAIRS["other"].str.lower())
    for row in pairs[pairs["relation"] == "synonym"].itertuples():
        there = place.get(row.text, place.get(row.other, draw.normal(size=64)))
        place[row.text] = place[row.other] = there  # LVH is one finding in two languages
    for row in pairs[pairs["kind"] == "negation"].itertuples():
        place.setdefault(row.other, -place[row.text])
    return np.array([place.get(text, draw.normal(size=64)) for text in texts])


def test_who_knows_findings_gets_all_and_who_knows_words_takes_opposites_for_the_same():
    best = pair_cosines(PAIRS, knows)
    assert pair_auc(PAIRS, best, "unrelated").value == pytest.approx(1)
    assert pair_auc(PAIRS, best, "opposite").value == pytest.approx(1)
    counts = CountVectorizer(token_pattern=r"\w+")
    by_words = pair_cosines(PAIRS, lambda texts: counts.fit_transform(texts).toarray())
    assert pair_auc(PAIRS, by_words, "unrelated").value > 0.6
    assert pair_auc(PAIRS, by_words, "opposite").high < 0.2


def test_the_encoder_is_asked_once_with_folded_distinct_texts():
    asked = []

    def embed(texts):
        asked.append(texts)
        return torch.tensor([[float(len(text)), 1.0] for text in texts], requires_grad=True)

    cosines = pair_cosines(PAIRS, embed)
    assert len(asked) == 1 and len(set(asked[0])) == len(asked[0])
    assert all(text == text.lower() for text in asked[0])
    row = PAIRS.iloc[3]
    a, b = (np.array([len(text), 1.0]) for text in (row["text"], row["other"]))
    assert cosines[3] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_a_zero_vector_is_like_nothing_and_a_broken_encoder_is_named():
    assert (pair_cosines(PAIRS, lambda texts: np.zeros((len(texts), 3))) == 0).all()
    with pytest.raises(DBetaError, match="NaN or infinity"):
        pair_cosines(PAIRS, lambda texts: np.full((len(texts), 3), np.nan))
    with pytest.raises(UsageError, match=r"give \[n, d\]"):
        pair_cosines(PAIRS, lambda texts: np.zeros((2, 3)))


def test_wrong_questions_are_named(tmp_path):
    with pytest.raises(UsageError, match="did you mean 'opposite'"):
        pair_auc(PAIRS, np.zeros(len(PAIRS)), "opposites")
    with pytest.raises(UsageError, match="3 cosines are given"):
        pair_auc(PAIRS, np.zeros(3))
    with pytest.raises(UsageError, match="no language 'fr'"):
        load_pairs(language="fr")
    for text in ("{", "[]", '{"findings": [{"finding": "a"}]}'):
        (tmp_path / "pairs.json").write_text(text)
        with pytest.raises(DBetaError, match=r"pairs\.json is no file of text pairs"):
            load_pairs(tmp_path / "pairs.json")


def test_the_table_asks_both_questions_in_all_languages_and_in_each():
    cosines = np.random.default_rng(2).normal(size=len(PAIRS))
    table = pair_table(PAIRS, {"a": cosines, "b": -cosines}, resamples=20)
    assert len(table) == 2 * 3 * 2 and set(table["language"]) == {"all", "en", "de"}
    german = load_pairs(language="de")
    one = table.query("encoder == 'b' and language == 'de' and against == 'opposite'").iloc[0]
    expected = pair_auc(german, -cosines[PAIRS["language"] == "de"], "opposite", 20)
    assert (one["value"], one["low"], one["findings"]) == (expected.value, expected.low, 20)


def test_a_models_text_encoder_is_read_without_dropout_and_left_in_its_mode():
    tokenizer = train_tokenizer([*PAIRS["text"], *PAIRS["other"]], 300)
    model = DBeta(DBetaConfig.preset("mini", text_vocabulary=len(tokenizer)), tokenizer).train()
    first, second = (pair_cosines(PAIRS, states_of(model)) for _ in range(2))
    assert np.array_equal(first, second) and model.training
    alone = states_of(model)(["sinus rhythm"])
    tokens = tokenizer(["sinus rhythm"], return_tensors="pt")
    hidden = model.eval().text_encoder(tokens["input_ids"], tokens["attention_mask"])
    assert np.allclose(alone, hidden.mean(dim=1).detach().numpy(), atol=1e-5)
