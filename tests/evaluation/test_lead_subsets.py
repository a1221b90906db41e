"""Fewer leads: the sets, what I and II imply, and encoders that are given it."""

import numpy as np
import pytest
import torch

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.encoders import as_encoder, identity
from dbeta_lib.evaluation.features import extract
from dbeta_lib.evaluation.lead_subsets import (
    DerivedLeads,
    derive,
    electrodes,
    implied,
    subset_key,
    subsets,
)
from dbeta_lib.leads import LEADS, derive_limb_leads, subset_mask


def test_the_published_sets_each_lead_and_one_s_own_are_there():
    found = subsets(more=["V5,I,II", "I,II"])
    assert list(found)[:5] == ["12 leads", "6 limb leads", "I II V2", "I II", "I"]
    assert set(LEADS) <= set(found) and found["V4"] == ("V4",)
    assert found["I II V5"] == ("I", "II", "V5")
    assert len(found) == 4 + 12 + 1  # I II was there already
    with pytest.raises(UsageError, match="'V9' is no lead name"):
        subsets(more=["V9"])


def test_a_set_of_one_s_own_that_is_a_published_one_is_not_asked_twice():
    mine = ["aVF,I,II,III,aVR,aVL", "v2,ii,i", ",".join(LEADS)]
    assert list(subsets(more=mine)) == list(subsets())


def test_keys_are_those_of_the_published_tables_or_the_names_in_order():
    keys = [subset_key(leads) for leads in subsets(singles=False).values()]
    assert keys == ["12", "6", "3", "2", "1"]
    assert subset_key(["V5", "ii", "I"]) == "I,II,V5" and subset_key(["V2"]) == "V2"
    with pytest.raises(UsageError, match="'X' is no lead name"):
        subset_key(["X"])


def test_what_a_set_implies_is_what_derive_fills_in(ecg):
    for leads in [*subsets(more=["I,II,aVL", "II,III"]).values()]:
        mask = torch.from_numpy(subset_mask(leads))[None]
        _, now = derive(ecg[:1], mask, LEADS)
        gained = [name for name, new in zip(LEADS, (now & ~mask)[0].tolist()) if new]
        assert gained == list(implied(leads))


def test_electrodes_are_those_between_which_the_leads_are_measured():
    assert [electrodes([name]) for name in LEADS] == [2, 2, 2, 3, 3, 3] + [4] * 6
    assert electrodes(LEADS[:6]) == electrodes(["I", "II"]) == 3
    assert electrodes(["I", "II", "V2"]) == 4 and electrodes(LEADS) == 9


@pytest.fixture
def ecg():
    drawn = np.random.default_rng(0).normal(size=(4, 12, 50))
    return torch.from_numpy(derive_limb_leads(drawn)).float()


@pytest.mark.parametrize("order", [LEADS, LEADS[::-1]])
def test_two_leads_give_six_in_any_order_of_rows(ecg, order):
    rows = [LEADS.index(name) for name in order]
    mask = torch.from_numpy(subset_mask("I,II"))[rows].repeat(4, 1)
    whole = ecg[:, rows]
    filled, now = derive(whole * mask[..., None], mask, tuple(order))
    limb = [order.index(name) for name in LEADS[:6]]
    torch.testing.assert_close(filled[:, limb], whole[:, limb])
    assert now.sum(1).tolist() == [6] * 4 and now[:, limb].all()
    rest = [row for row in range(12) if row not in limb]
    assert not filled[:, rest].any()


def test_what_was_recorded_is_kept_and_without_two_leads_nothing_is_made(ecg):
    mask = torch.ones(4, 12, dtype=torch.bool)
    mask[1, 0] = False  # no I
    mask[2, 4] = False  # no aVL
    other = ecg.clone()
    other[:, 2] += 1.0  # a III that contradicts the others stays
    filled, now = derive(other * mask[..., None], mask, LEADS)
    assert torch.equal(filled[0], other[0]) and torch.equal(filled[1], other[1] * mask[1][:, None])
    torch.testing.assert_close(filled[2, 4], ecg[2, 4])
    assert now[2].all() and not now[1, 0]


def test_an_encoder_sees_the_derived_leads_and_is_another_one(store):
    plain = as_encoder(torch.nn.Flatten(), store.sampling_rate)
    plain.register_buffer("mark", torch.ones(1))  # something to hash
    derived = DerivedLeads(plain)
    assert identity(derived) != identity(plain) and identity(derived)
    rows, mask = store.rows("test")[:5], subset_mask("I,II")
    few = extract(plain, store, rows, lead_mask=mask, progress=False).reshape(5, 12, -1)
    more = extract(derived, store, rows, lead_mask=mask, progress=False).reshape(5, 12, -1)
    assert np.array_equal(few[:, :2], more[:, :2])
    assert not few[:, 2:6].any() and np.allclose(more[:, 2], more[:, 1] - more[:, 0], atol=1e-6)
    assert not more[:, 6:].any()


def test_the_config_behind_derived_leads_counts_for_its_identity():
    class Config:
        def __init__(self, text):
            self.text = text

        def to_json(self):
            return self.text

    found = []
    for text in ("first", "second"):
        plain = as_encoder(torch.nn.Flatten(), 100)
        plain.register_buffer("mark", torch.ones(1))
        plain.config = Config(text)
        found.append(identity(DerivedLeads(plain)))
    assert found[0] != found[1]


def test_an_encoder_without_the_two_leads_is_refused():
    with pytest.raises(UsageError, match="takes I and II"):
        DerivedLeads(as_encoder(torch.nn.Flatten(), 100, ("I", "V2")))
