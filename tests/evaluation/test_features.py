"""Features are computed once, keyed by all that decides them, and remade when a file is damaged."""

import json
import warnings

import numpy as np
import pytest
import torch

from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.evaluation.encoders import as_encoder
from dbeta_lib.evaluation.features import extract
from dbeta_lib.leads import LEADS, subset_mask


def test_features_are_the_encoders_in_the_order_of_the_rows(store, toy):
    rows = np.array([9, 2, 40])
    out = extract(toy, store, rows, batch_size=2, progress=False)
    ecg = torch.from_numpy(store.ecg(rows))
    expected = toy.layer(ecg.abs().mean(-1)).detach().numpy()
    np.testing.assert_allclose(out, expected, rtol=1e-5)
    assert out.dtype == np.float32 and toy.calls == 2 and toy.training


def test_the_batch_size_changes_nothing(store, toy):
    whole, parts = (extract(toy, store, None, batch_size=b, progress=False) for b in (48, 7))
    np.testing.assert_allclose(whole, parts, rtol=1e-5)
    assert len(whole) == len(store)


def test_a_second_call_never_runs_the_encoder(store, toy, tmp_path):
    first = extract(toy, store, cache_dir=tmp_path, progress=False)
    calls = toy.calls
    again = extract(toy, store, cache_dir=tmp_path, progress=False)
    np.testing.assert_array_equal(first, again)
    assert toy.calls == calls
    assert len(list(tmp_path.glob("*.npy"))) == len(list(tmp_path.glob("*.json"))) == 1


def test_anything_that_decides_the_numbers_is_in_the_key(store, toy, make_toy, tmp_path):
    class Renamed:
        fingerprint = "another"

        def __getattr__(self, name):
            return getattr(store, name)

        def __len__(self):
            return len(store)

    rows = np.arange(6)
    once = dict(cache_dir=tmp_path, progress=False)
    extract(toy, store, rows, **once)
    extract(toy, store, rows[::-1], **once)
    extract(toy, store, rows, lead_mask=subset_mask("I,II"), **once)
    extract(toy, Renamed(), rows, **once)
    extract(make_toy(seed=1), store, rows, **once)
    extract(make_toy(sampling_rate=200), store, rows, **once)
    assert len(list(tmp_path.glob("*.npy"))) == 6


@pytest.mark.parametrize("damage", ["cut", "other numbers", "broken json", "no array"])
def test_a_damaged_cache_is_computed_again_with_a_sentence(store, toy, tmp_path, damage):
    first = extract(toy, store, cache_dir=tmp_path, progress=False)
    (array,), (about,) = tmp_path.glob("*.npy"), tmp_path.glob("*.json")
    if damage == "cut":
        array.write_bytes(array.read_bytes()[:-9])
    elif damage == "other numbers":
        np.save(array, first + 1)
    elif damage == "broken json":
        about.write_text("{")
    else:
        array.unlink()
    with pytest.warns(UserWarning, match=r"damaged .* computed again"):
        again = extract(toy, store, cache_dir=tmp_path, progress=False)
    np.testing.assert_array_equal(first, again)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extract(toy, store, cache_dir=tmp_path, progress=False)


def test_a_file_of_the_same_name_for_another_key_is_not_trusted(store, toy, tmp_path):
    extract(toy, store, cache_dir=tmp_path, progress=False)
    (about,) = tmp_path.glob("*.json")
    said = json.loads(about.read_text())
    said["key"]["store"] = "other"
    about.write_text(json.dumps(said))
    with pytest.warns(UserWarning, match="damaged"):
        extract(toy, store, cache_dir=tmp_path, progress=False)


def test_an_encoder_without_weights_is_not_cached_and_says_so(store, tmp_path):
    plain = as_encoder(lambda ecg: ecg.mean(-1), 100)
    with pytest.warns(UserWarning, match="nothing is cached"):
        extract(plain, store, cache_dir=tmp_path, progress=False)
    assert not list(tmp_path.iterdir())


def test_leads_absent_or_not_allowed_reach_the_encoder_as_zeros_and_false(store, toy):
    extract(toy, store, np.array([4, 5]), lead_mask=subset_mask("II,V6"), progress=False)
    mask = toy.masks[0].numpy()
    assert mask.sum(axis=1).tolist() == [2, 1]  # row 5 lacks V6
    plain = as_encoder(lambda ecg: ecg.abs().sum(-1), 100)
    out = extract(plain, store, np.array([4, 5]), lead_mask=subset_mask("II,V6"), progress=False)
    assert ((out > 0) == mask).all()


def test_a_mask_may_differ_by_row(store, toy):
    masks = np.zeros((3, 12), bool)
    masks[[0, 1, 2], [0, 1, 2]] = True
    extract(toy, store, np.array([10, 11, 12]), lead_mask=masks, batch_size=2, progress=False)
    np.testing.assert_array_equal(torch.cat(toy.masks).numpy(), masks)


def test_the_encoders_own_rate_and_leads_are_met(store, make_toy):
    toy = make_toy(sampling_rate=500, leads=LEADS[::-1])
    extract(toy, store, np.arange(4), progress=False)
    assert toy.shapes == [(4, 12, 5000)]


def test_no_rows_give_no_features(store, toy):
    assert len(extract(toy, store, np.array([], dtype=int), progress=False)) == 0


def test_wrong_input_is_refused_in_a_sentence(store, toy):
    with pytest.raises(UsageError, match="row 48 is not in the store"):
        extract(toy, store, np.array([0, 48]), progress=False)
    with pytest.raises(UsageError, match="row numbers"):
        extract(toy, store, np.array([0.5]), progress=False)
    with pytest.raises(UsageError, match=r"\[12\] or \[2, 12\]"):
        extract(toy, store, np.arange(2), lead_mask=np.ones(3, bool), progress=False)
    with pytest.raises(UsageError, match="must give \\[B, D\\]"):
        extract(as_encoder(lambda ecg: ecg, 100), store, np.arange(2), progress=False)
    with pytest.raises(UsageError, match="wrap it"):
        extract(torch.nn.Flatten(), store, progress=False)
    bad = as_encoder(lambda ecg: ecg.mean(-1) / (ecg[:, 11].abs().mean(-1, keepdim=True)), 100)
    with pytest.raises(DBetaError, match=r"row 5 .* not finite"):
        extract(bad, store, np.arange(8), progress=False)
