import numpy as np
import pytest
import torch
from torch import nn

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation import layout as module
from dbeta_lib.evaluation.features import extract
from dbeta_lib.evaluation.layout import layout
from dbeta_lib.leads import LEADS


class ECGOnly(nn.Module):
    """An encoder that reads no text."""

    sampling_rate, leads = 100, LEADS

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(12, 3)

    def encode_ecg(self, ecg, lead_mask=None):
        return self.layer(ecg.abs().mean(-1))


def test_principal_components_of_ecgs_and_their_distinct_reports(toy, store):
    rows = np.arange(3, 40)
    found = layout(toy, store, rows, method="pca", progress=False)
    records = store.records.iloc[rows]
    assert np.array_equal(found.rows, rows)
    assert np.array_equal(found.report_ids, np.unique(records["report_id"]))
    texts = [records["text"][records["report_id"] == i].iloc[0] for i in found.report_ids]
    vectors = np.concatenate(
        [extract(toy, store, rows, progress=False), toy.encode_text(texts).numpy()]
    ).astype(float)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    centred = vectors - vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ axes[:2].T
    got = np.concatenate([found.ecg, found.text])
    scale = np.abs(got).max() / np.abs(expected).max()
    assert np.allclose(np.abs(got), scale * np.abs(expected), atol=1e-4)


def test_umap_keeps_neighbours_and_is_the_same_again_within_this_process(toy, store, tmp_path):
    first = layout(toy, store, cache_dir=tmp_path / "a", progress=False)
    again = layout(toy, store, cache_dir=tmp_path / "b", progress=False)
    assert np.array_equal(first.ecg, again.ecg) and np.isfinite(first.ecg).all()
    assert not np.array_equal(first.ecg, layout(toy, store, seed=1, progress=False).ecg)
    features = module._unit(extract(toy, store, progress=False))
    near = np.argsort(-features @ features.T, axis=1)[:, 1:6]
    apart = np.linalg.norm(first.ecg[:, None] - first.ecg, axis=-1)
    kept = [apart[i, its].mean() for i, its in enumerate(near)]
    assert np.mean(kept) < 0.5 * apart[np.triu_indices(len(apart), 1)].mean()


def test_places_are_read_again_until_something_that_decides_them_changes(
    toy, make_toy, store, tmp_path
):
    options = {"cache_dir": tmp_path, "method": "pca", "progress": False}
    first = layout(toy, store, **options)
    (path,) = tmp_path.glob("map-*.npz")
    written = path.read_bytes()
    calls = toy.calls
    again = layout(toy, store, **options)
    assert toy.calls == calls and np.array_equal(first.ecg, again.ecg)
    assert path.read_bytes() == written
    layout(make_toy(seed=5), store, **options)
    layout(toy, store, np.arange(20), **options)
    assert len(list(tmp_path.glob("map-*.npz"))) == 3


def test_a_damaged_file_is_made_again_with_a_sentence(toy, store, tmp_path):
    options = {"cache_dir": tmp_path, "method": "pca", "progress": False}
    first = layout(toy, store, **options)
    (path,) = tmp_path.glob("map-*.npz")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.warns(UserWarning, match="is damaged"):
        again = layout(toy, store, **options)
    assert np.array_equal(first.ecg, again.ecg)
    assert np.array_equal(layout(toy, store, **options).ecg, first.ecg)


def test_a_file_with_pickled_objects_is_not_opened(toy, store, tmp_path):
    options = {"cache_dir": tmp_path, "method": "pca", "progress": False}
    layout(toy, store, **options)
    (path,) = tmp_path.glob("map-*.npz")
    with open(path, "wb") as file:
        np.savez(file, key=np.array([{"a": 1}], dtype=object))
    with pytest.warns(UserWarning, match="is damaged"):
        layout(toy, store, **options)


def test_more_rows_than_the_limit_are_drawn_by_the_seed(toy, store):
    options = {"method": "pca", "limit": 12, "progress": False}
    one, other = layout(toy, store, **options), layout(toy, store, seed=4, **options)
    assert len(one.rows) == 12 == len(np.unique(one.rows)) and (np.diff(one.rows) > 0).all()
    assert not np.array_equal(one.rows, other.rows)


def test_without_a_text_side_there_are_ecgs_alone(store):
    found = layout(ECGOnly(), store, method="pca", progress=False)
    assert len(found.ecg) == len(store) and found.text.shape == (0, 2)


def test_an_unknown_method_and_too_few_points_are_refused(toy, store):
    with pytest.raises(UsageError, match="did you mean 'umap'"):
        layout(toy, store, method="umab")
    with pytest.raises(UsageError, match="at least 4 points"):
        layout(ECGOnly(), store, np.arange(3), method="pca", progress=False)


def test_features_all_alike_make_a_map_of_one_place(store):
    flat = ECGOnly()
    torch.nn.init.zeros_(flat.layer.weight)
    found = layout(flat, store, method="pca", progress=False)
    assert np.isfinite(found.ecg).all()
