"""Negatives: the table of the farthest reports, its reuse, random ones, and the released leak."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from dbeta_lib import DBetaConfig, n3s
from dbeta_lib.embedders import HubEmbedder, TfidfEmbedder, embed_reports
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.seeds import rng
from dbeta_lib.training.start import negatives_for

FINDINGS = (
    *("sinus rhythm", "atrial fibrillation", "left bundle branch block", "anterior infarct"),
    *("normal ecg", "st depression", "long qt", "paced rhythm", "left axis deviation"),
)


def make_reports(n, seed=0):
    """Distinct machine-like reports of one to four findings and a number."""
    draw = np.random.default_rng(seed)
    return [
        ". ".join([*draw.choice(FINDINGS, draw.integers(1, 5), replace=False), f"rate {i}."])
        for i in range(n)
    ]


def make_store(folder, texts, ids, split="train"):
    records = pd.DataFrame({"report_id": ids, "text": texts, "split": split})
    rows = lambda name: np.flatnonzero((records["split"] == name).to_numpy())  # noqa: E731
    return SimpleNamespace(path=Path(folder) / "store", records=records, rows=rows)


def test_the_table_holds_the_farthest_of_each_report():
    texts = make_reports(80)
    table = n3s.NegativeTable.build(texts, TfidfEmbedder(dim=16), k=12)
    rows = embed_reports(texts, TfidfEmbedder(dim=16)).astype(np.float64)
    cosines = np.round(rows @ rows.T, 9)
    np.fill_diagonal(cosines, np.inf)
    for i, cosine in enumerate(cosines):
        assert list(table.table[i]) == list(np.argsort(cosine, kind="stable")[:12])
    other = n3s.NegativeTable.build(texts, TfidfEmbedder(dim=16), k=12, backend="faiss", block=9)
    assert np.array_equal(table.table, other.table)


@given(st.integers(2, 60), st.integers(1, 80), st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_no_report_is_its_own_negative_and_all_candidates_come(total, k, seed):
    ids = np.sort(np.random.default_rng(seed).choice(1000, total, replace=False))
    table = n3s.NegativeTable.build(make_reports(total, seed), TfidfEmbedder(8), k, ids)
    wanted = np.repeat(ids, 300)
    drawn = table.sample(wanted, rng(seed, "test"))
    assert (drawn != wanted).all()
    assert set(drawn[:300]) <= set(table.candidates(ids[0]))
    assert np.isin(drawn, ids).all()


def test_sampling_is_uniform_seeded_and_refuses_unknown_reports():
    table = n3s.NegativeTable.build(make_reports(30), TfidfEmbedder(8), k=4)
    wanted = np.full(8000, 7)
    drawn = table.sample(wanted, rng(0, "a"))
    shares = np.array([(drawn == c).mean() for c in table.candidates(7)])
    assert np.allclose(shares, 0.25, atol=0.03)
    assert np.array_equal(drawn, table.sample(wanted, rng(0, "a")))
    assert not np.array_equal(drawn, table.sample(wanted, rng(1, "a")))
    with pytest.raises(DBetaError, match="report 31 has no negatives"):
        table.sample(np.array([3, 31]), rng(0))


def test_a_saved_table_is_the_same_in_bytes_and_in_content(tmp_path):
    table = n3s.NegativeTable.build(make_reports(30), TfidfEmbedder(8), k=4)
    table.save(tmp_path / "a.npz")
    table.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    again = n3s.NegativeTable.open(tmp_path / "a.npz")
    assert np.array_equal(again.table, table.table) and again.embedder == table.embedder
    assert np.array_equal(again.report_ids, table.report_ids)
    assert again.fingerprint == table.fingerprint
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:200])
    with pytest.raises(DBetaError, match=r"a.npz is no table of negatives"):
        n3s.NegativeTable.open(tmp_path / "a.npz")
    with pytest.raises(DBetaError, match="build the table of negatives first"):
        n3s.NegativeTable.open(tmp_path / "none.npz")


def test_a_table_is_reused_until_reports_embedder_or_k_change(tmp_path):
    texts = make_reports(30)
    order = np.random.default_rng(0).integers(0, 30, 90)
    store = make_store(tmp_path, [texts[i] for i in order], order)
    said = []

    def ensure(store, embedder=None, k=5):
        return n3s.ensure_table(store, embedder=embedder or TfidfEmbedder(8), k=k, say=said.append)

    first = ensure(store)
    path = tmp_path / "store.negatives.train.npz"
    written = path.stat().st_mtime_ns
    again = ensure(store)
    assert np.array_equal(first.table, again.table) and path.stat().st_mtime_ns == written
    ensure(store, TfidfEmbedder(6))
    ensure(store, TfidfEmbedder(6), k=7)
    changed = make_store(tmp_path, [texts[i] + " edited" for i in order], order)
    ensure(changed, TfidfEmbedder(6), k=7)
    path.write_bytes(b"broken")
    ensure(changed, TfidfEmbedder(6), k=7)
    words = ("there was none", "reused", "embedder has changed", "k was 5", "reports have", "is no")
    assert len(said) == 6 and all(w in s for w, s in zip(words, said, strict=True))


def test_a_table_is_used_as_it_is_where_no_embedder_is_asked_for(tmp_path):
    texts, said = make_reports(90), []
    store = make_store(tmp_path, texts, np.arange(90))
    path = tmp_path / "store.negatives.train.npz"
    made = n3s.ensure_table(store, embedder=TfidfEmbedder(6), k=5, say=said.append)
    written = path.read_bytes()
    found = n3s.ensure_table(store, say=said.append)
    assert np.array_equal(found.table, made.table) and found.embedder["dim"] == 6
    assert path.read_bytes() == written and "reused as it is, made with tfidf, 5 of 90" in said[-1]
    assert n3s.ensure_table(store, k=7, say=said.append).k == 7 and "k was 5" in said[-1]
    assert n3s.ensure_table(store, embedder=TfidfEmbedder(4), say=said.append).k == 64
    n3s.ensure_table(store, embedder=TfidfEmbedder(6), k=5, say=said.append)
    changed = make_store(tmp_path, [f"{text} edited" for text in texts], np.arange(90))
    again = n3s.ensure_table(changed, say=said.append)
    assert again.k == 64 and again.embedder == TfidfEmbedder().describe()
    assert "reports have changed; the table before was made with tfidf, k = 5" in said[-1]


def test_pre_training_uses_the_table_that_was_made_and_pools_as_the_config_says(tmp_path):
    make_t5(tmp_path / "t5")
    texts, said = make_reports(30), []
    store = make_store(tmp_path, texts, np.arange(30))

    def begin(switches, embedder=None):
        config = DBetaConfig.preset("mini", switches)
        return negatives_for(config, store, embedder=embedder, say=said.append)

    made = n3s.ensure_table(store, embedder=HubEmbedder(tmp_path / "t5"), k=5, say=said.append)
    assert begin("paper").describe() == made.describe() and len(said) == 2
    assert begin("released").describe() == made.describe()
    assert "embedded with masked_mean, though n3s_pooling" in said[-1]
    assert begin("released", str(tmp_path / "t5")).embedder["pooling"] == "mean_with_pads"
    assert begin("paper", "tfidf").embedder["kind"] == "tfidf"


def test_each_distinct_report_is_embedded_once_and_rows_without_one_are_left_out(tmp_path):
    store = make_store(tmp_path, ["b", "", "a", "b", "c"], [4, -1, 2, 4, 9])
    ids, texts = n3s.distinct_reports(store)
    assert list(ids) == [2, 4, 9] and texts == ["a", "b", "c"]


@given(st.lists(st.integers(0, 6), min_size=2, max_size=40), st.integers(0, 100))
@settings(max_examples=40, deadline=None)
def test_random_negatives_follow_the_records_and_can_leave_out_equal_texts(records, seed):
    drawn = n3s.RandomNegatives(records).sample(np.array(records), rng(seed))
    assert np.isin(drawn, records).all()
    if len(set(records)) > 1:
        other = n3s.RandomNegatives(records, exclude_equal=True)
        wanted = np.repeat(records, 5)
        drawn = other.sample(wanted, rng(seed))
        assert (drawn != wanted).all() and np.isin(drawn, records).all()


def test_random_negatives_are_uniform_over_other_records():
    records = np.array([0] * 6 + [1] * 3 + [2])
    drawn = n3s.RandomNegatives(records, exclude_equal=True).sample(np.ones(20000, int), rng(0))
    assert np.allclose(np.bincount(drawn, minlength=3) / 20000, [6 / 7, 0, 1 / 7], atol=0.01)
    with pytest.raises(DBetaError, match="one distinct report"):
        n3s.RandomNegatives([3, 3], exclude_equal=True)


def test_rates_of_false_negatives_agree_with_a_loop_over_pairs_of_records():
    texts = make_reports(12)
    rows = embed_reports(texts, TfidfEmbedder(8))
    counts = np.array([5, 1, 1, 2, 1, 1, 3, 1, 1, 1, 1, 2])
    of = np.repeat(np.arange(12), counts)
    pairs = [(a, b) for i, a in enumerate(of) for j, b in enumerate(of) if i != j]
    same = np.mean([a == b for a, b in pairs])
    near = np.mean([a == b or rows[a] @ rows[b] >= 0.5 for a, b in pairs])
    rates = n3s.random_negative_rates(rows, counts, 0.5, block=5)
    assert rates["duplicate"] == pytest.approx(same) and rates["near"] == pytest.approx(near)
    assert 0 < same < near < 1


def test_hubs_are_counted():
    table = n3s.NegativeTable.build(make_reports(30), TfidfEmbedder(8), k=4)
    counts = n3s.hub_counts(table)
    assert counts.sum() == 30 * 4
    assert counts[3] == sum(3 in row for row in table.table.tolist())


def word_tokenizer():
    words = sorted({w for t in make_reports(60) for w in t.replace(".", "").split()})
    vocabulary = {w: i for i, w in enumerate(["<pad>", "</s>", "<unk>", *words])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", unk_token="<unk>")


def test_the_released_collator_leaks_only_the_mask_of_the_negative():
    tokenizer = word_tokenizer()
    texts = ["sinus rhythm", "normal ecg", "paced rhythm"]
    wrong = "atrial fibrillation left bundle branch block"
    got = n3s.released_collator(texts, {1: wrong}, tokenizer)
    own = tokenizer(texts[1])["input_ids"]
    assert list(got["is_aligned"]) == [1, 0, 1]
    assert list(got["input_ids"][1][: len(own)]) == own  # the text was not replaced
    assert got["attention_mask"].sum(1).tolist() == [2, len(wrong.split()), 2]
    assert list(got["intended_ids"][1]) == tokenizer(wrong)["input_ids"]


def test_tfidf_gives_unit_vectors_that_do_not_depend_on_the_process():
    texts = make_reports(300)
    rows = embed_reports(texts, TfidfEmbedder(dim=32))
    assert rows.shape == (300, 32) and rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert np.array_equal(rows, embed_reports(texts, TfidfEmbedder(dim=32)))
    assert np.array_equal(embed_reports(["a b", "..."], TfidfEmbedder())[1], np.zeros(3))
    with pytest.raises(DBetaError, match="no report holds a word"):
        embed_reports(["", "..."], TfidfEmbedder())


def make_t5(folder):
    """A tiny random T5 encoder with a tokenizer, as a local folder."""
    import torch
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(0)
    tokenizer = word_tokenizer()
    config = T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2
    )
    T5EncoderModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def test_masked_mean_does_not_depend_on_padding_and_the_released_mean_does(tmp_path):
    make_t5(tmp_path / "t5")
    texts = ["sinus rhythm", "atrial fibrillation left bundle branch block normal ecg"]

    def embed(texts, pooling):
        embedder = HubEmbedder(tmp_path / "t5", pooling, progress=False)
        return embed_reports(texts, embedder)

    alone, padded = embed(texts[:1], "masked_mean"), embed(texts, "masked_mean")
    assert np.allclose(alone[0], padded[0], atol=1e-5)
    alone, padded = embed(texts[:1], "mean_with_pads"), embed(texts, "mean_with_pads")
    assert alone[0] @ padded[0] < 0.999


def test_an_encoder_of_another_family_serves_too(tmp_path):
    from transformers import BertConfig, BertModel

    tokenizer = word_tokenizer()
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=len(tokenizer), intermediate_size=32, **size)).save_pretrained(
        tmp_path
    )
    tokenizer.save_pretrained(tmp_path)
    rows = embed_reports(make_reports(5), HubEmbedder(tmp_path, progress=False))
    assert rows.shape == (5, 16) and np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def test_an_encoder_folder_is_named_by_its_weights(tmp_path):
    make_t5(tmp_path / "t5")
    described = HubEmbedder(tmp_path / "t5").describe()
    assert json.dumps(described) and described == HubEmbedder(tmp_path / "t5").describe()
    table = n3s.NegativeTable.build(make_reports(9), HubEmbedder(tmp_path / "t5"), k=3)
    assert table.embedder == described


def test_an_encoder_that_neither_hub_nor_disk_has_names_the_alternatives(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DBetaError, match=r"nowhere is not there.*TF-IDF"):
        HubEmbedder(str(tmp_path / "nowhere")).describe()
    with pytest.raises(DBetaError, match=r"neither this disk nor the hub.*local folder.*TF-IDF"):
        HubEmbedder("nobody/no-such-encoder").describe()
    with pytest.raises(UsageError, match="did you mean 'masked_mean'"):
        HubEmbedder("x", pooling="masked")
