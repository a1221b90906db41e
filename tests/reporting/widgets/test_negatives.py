import numpy as np
import pytest

from dbeta_lib.embedders import TfidfEmbedder, embed_reports
from dbeta_lib.n3s import NegativeTable, distinct_reports, ensure_table, hub_counts
from dbeta_lib.reporting import widgets
from dbeta_lib.reporting.widgets.negatives import Reports, draw


@pytest.fixture(scope="module")
def table(store):
    return ensure_table(store, k=20)


@pytest.fixture
def panel(store, table):
    return widgets.negatives(store, table)


def test_the_nearest_ten_and_all_farthest_are_those_by_brute_force(store, table):
    reports = Reports(store, table, TfidfEmbedder())
    ids, texts = distinct_reports(store)
    own = store.records["report_id"].iloc[store.rows("train")]
    this = reports.order[0]
    assert reports.counts[this] == own[own >= 0].value_counts().max() == (own == ids[this]).sum()
    view = draw(reports, rank=1)
    vectors = embed_reports(texts, TfidfEmbedder())
    cosine = np.array([float(np.dot(v, vectors[this])) for v in vectors])
    shown = view.pictures[0][0].data
    near = shown[shown["side"] == "nearest"]["cosine"].to_numpy()
    assert np.allclose(near, np.sort(np.delete(cosine, this))[::-1][:10], atol=1e-6)
    far = shown[shown["side"] == "farthest"]["cosine"].to_numpy()
    assert np.allclose(far, np.sort(np.delete(cosine, this))[:10], atol=1e-6)
    assert view.text.count("<tr>") == 20 + 1
    assert f"lists of {hub_counts(table)[this]:,} reports" in view.text


def test_the_slider_the_buttons_and_words_lead_to_a_report(panel, png, store, table):
    reports = Reports(store, table, TfidfEmbedder())
    texts = reports.texts
    rank, before = panel.controls["rank"], png(panel)
    previous, following = panel.children[1].children
    following.click()
    assert rank.value == 2 and png(panel) != before
    previous.click()
    assert rank.value == 1 and png(panel) == before
    words, again = panel.children[3].children
    words.value = "FIBRILLATION"
    found = [rank.value]
    again.click()
    found.append(rank.value)
    assert found[0] > 1 and found[1] > found[0]
    assert all("fibrillation" in texts[reports.order[int(at) - 1]] for at in found)
    words.value = "unicorn"
    assert "no training report holds &#x27;unicorn&#x27;" in panel.said.value
    assert rank.value == found[1]


def test_hostile_reports_are_escaped(hostile):
    panel = widgets.negatives(hostile)
    assert "<script" not in panel.view.text and "&lt;script&gt;" in panel.view.text


def test_a_store_without_reports_and_a_table_of_another_store_are_said(store, mute, hostile, table):
    assert "has no training reports" in widgets.negatives(mute).said.value
    assert "is of other reports" in widgets.negatives(hostile, table).said.value


def test_a_table_made_with_another_embedder_is_said(store, table):
    other = NegativeTable(table.table, table.report_ids, {"kind": "hub"}, table.fingerprint)
    assert "made with another embedder" in widgets.negatives(store, other).said.value
