"""Hidden words: which, how many, what stands in their place, and what is never touched."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbeta_lib.seeds import rng
from dbeta_lib.training.masking import IGNORED, WordMasking
from dbeta_lib.training.tokens import ReportTokens

WORDS = np.arange(4, 60)  # 0 pad, 1 end, 2 unknown, 3 sentinel
MASK = 3


def batch(seed, rows=16, width=40, words=WORDS):
    """Ids `[rows, width]` of words, an end token and padding."""
    draw = np.random.default_rng(seed)
    length = draw.integers(1, width, rows)[:, None]
    column = np.arange(width)
    ids = np.where(column < length, draw.choice(words, (rows, width)), 0)
    ids[column == length] = 1
    return ids, column <= length


@given(st.integers(0, 10_000), st.floats(0, 0.99))
@settings(max_examples=60, deadline=None)
def test_labels_are_the_original_words_and_nothing_else_changes(seed, probability):
    ids, is_token = batch(seed)
    hidden, labels = WordMasking(MASK, WORDS, probability).apply(ids, is_token, rng(seed))
    chosen = labels != IGNORED
    assert np.array_equal(labels[chosen], ids[chosen])
    assert np.array_equal(hidden[~chosen], ids[~chosen])
    assert np.isin(ids[chosen], WORDS).all()  # no pad, end or unknown token
    assert np.isin(hidden[chosen], [MASK, *WORDS]).all()
    assert chosen.any() or not np.isin(ids, WORDS).any()


def test_a_quarter_is_chosen_and_treated_80_10_10():
    ids, is_token = batch(0, 400, 100)
    hidden, labels = WordMasking(MASK, WORDS, 0.25).apply(ids, is_token, rng(0))
    chosen = labels != IGNORED
    assert chosen.sum() / np.isin(ids, WORDS).sum() == pytest.approx(0.25, abs=0.01)
    assert (hidden[chosen] == MASK).mean() == pytest.approx(0.8, abs=0.02)
    same = (hidden[chosen] == ids[chosen]).mean()
    assert same == pytest.approx(0.1 + 0.1 / len(WORDS), abs=0.02)


def test_one_word_is_hidden_even_when_chance_hides_none():
    ids, is_token = np.array([[1, 0, 0], [9, 1, 0]]), np.array([[1, 0, 0], [1, 1, 0]], bool)
    for seed in range(20):
        labels = WordMasking(MASK, WORDS, 1e-9).apply(ids, is_token, rng(seed))[1]
        assert labels.tolist() == [[IGNORED] * 3, [9, IGNORED, IGNORED]]
    nothing = WordMasking(MASK, WORDS, 0.5).apply(ids[:1], is_token[:1], rng(0))[1]
    assert (nothing == IGNORED).all()


def test_without_masking_labels_are_the_visible_ids(tokenizer):
    masking = WordMasking.of(tokenizer, 0.25, "none")
    ids, is_token = batch(1)
    hidden, labels = masking.apply(ids, is_token, rng(0))
    assert np.array_equal(hidden, ids)
    assert np.array_equal(labels, np.where(is_token, ids, IGNORED))


def test_the_sentinel_is_the_mask_of_a_tokenizer_like_t5(tokenizer):
    masking = WordMasking.of(tokenizer, 0.25)
    assert masking.mask_id == tokenizer.convert_tokens_to_ids("<extra_id_0>")
    assert not np.isin(tokenizer.all_special_ids, masking.words).any()
    assert len(masking.words) + len(tokenizer.all_special_ids) == len(tokenizer)


def test_reports_are_padded_as_the_tokenizer_pads_them(store, tokenizer):
    ids = np.unique(store.records["report_id"])[1:]
    tokens = ReportTokens.of_store(store, ids, tokenizer, 12)
    texts = store.records.drop_duplicates("report_id").set_index("report_id")["text"]
    wanted = np.random.default_rng(0).choice(ids, 30)
    expected = tokenizer(
        texts.loc[wanted].tolist(), truncation=True, max_length=12, padding=True,
        return_tensors="np",
    )  # fmt: skip
    width = tokens.lengths(wanted).max()
    got, is_token = tokens.padded(wanted, width)
    assert np.array_equal(got, expected["input_ids"])
    assert np.array_equal(is_token, expected["attention_mask"].astype(bool))
    wider = tokens.padded(wanted, width + 5)[0]
    assert np.array_equal(wider[:, :width], got) and (wider[:, width:] == 0).all()


def test_the_fingerprint_of_tokens_follows_tokenizer_and_reports(store, tokenizer):
    texts = ["sinus rhythm.", "normal ecg."]

    def print_of(texts, limit=12):
        return ReportTokens(np.arange(len(texts)), texts, tokenizer, limit).fingerprint()

    assert print_of(texts) == print_of(texts)
    assert len({print_of(texts), print_of(texts, 2), print_of(texts[::-1])}) == 3
