"""A sweep over sets of leads: what is asked, of which leads, and against what."""

from dataclasses import astuple

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation import lead_sweep, results
from dbeta_lib.evaluation.features import extract
from dbeta_lib.evaluation.lead_subsets import DerivedLeads, subsets
from dbeta_lib.evaluation.lead_sweep import DERIVED, MOVED, PROBE, ZERO_SHOT, ZEROED
from dbeta_lib.evaluation.metrics import paired_bootstrap
from dbeta_lib.evaluation.probe import linear_probe
from dbeta_lib.evaluation.zero_shot import zero_shot
from dbeta_lib.leads import LEADS, subset_mask

PROMPTS = {"slow": ["slow"], "tall": ["taller"], "rare": ["rarely so"], "quick": ["quickest!"]}
SETS = subsets(singles=False)


@pytest.fixture(scope="module")
def toy(make_toy):
    """One model for all: another instance would start from other random numbers."""
    return make_toy()


@pytest.fixture(scope="module")
def answers(toy, store):
    return lead_sweep.sweep(
        toy, store, "shape", SETS, prompts=PROMPTS, derived=True, resamples=50,
        progress=False,
    )  # fmt: skip


def the(answers, subset, protocol, filling=ZEROED):
    (found,) = [
        a for a in answers if (a.subset, a.protocol, a.filling) == (subset, protocol, filling)
    ]
    return found


def first_draw(measured):
    """Scores [n, K], of the only draw where it is a probe."""
    return measured.scores if measured.scores.ndim == 2 else measured.scores[0]


def test_every_set_is_asked_in_every_way_and_twice_where_leads_can_be_derived(answers):
    ways = {(a.subset, a.filling): [] for a in answers}
    for a in answers:
        ways[a.subset, a.filling].append(a.protocol)
    assert list(ways) == [
        ("12 leads", ZEROED), ("6 limb leads", ZEROED), ("I II V2", ZEROED), ("I II V2", DERIVED),
        ("I II", ZEROED), ("I II", DERIVED), ("I", ZEROED),
    ]  # fmt: skip
    assert ways.pop(("12 leads", ZEROED)) == [ZERO_SHOT, PROBE]
    assert all(its == [ZERO_SHOT, PROBE, MOVED] for its in ways.values())


@pytest.mark.parametrize("filling", [ZEROED, DERIVED])
def test_zero_shot_is_that_of_the_plain_function_with_this_mask(answers, toy, store, filling):
    model = DerivedLeads(toy) if filling == DERIVED else toy
    mask = subset_mask("I,II,V2")
    plain = zero_shot(model, store, "shape", PROMPTS, lead_mask=mask, resamples=50, progress=False)
    ours = the(answers, "I II V2", ZERO_SHOT, filling).measured
    assert np.array_equal(ours.rows, plain.rows) and np.allclose(ours.scores, plain.scores)
    assert ours.interval == plain.interval and ours.per_class == plain.per_class


def probe_by_hand(x, store):
    return linear_probe(
        x, store.labels("shape"), store.records["split"], [1.0], resamples=50, progress=False,
        patients=store.records["patient_id"], valid=store.labels_valid("shape"),
    )[0]  # fmt: skip


def test_a_probe_is_fitted_on_the_set_s_own_leads_or_on_twelve(answers, toy, store):
    twelve = extract(toy, store, progress=False)
    one = extract(toy, store, lead_mask=subset_mask("I"), progress=False)
    assert np.array_equal(
        the(answers, "I", PROBE).measured.scores, probe_by_hand(one, store).scores
    )
    mixed = np.stack(
        [b if split == "test" else a
         for a, b, split in zip(twelve, one, store.records["split"], strict=True)]
    )  # fmt: skip
    moved = the(answers, "I", MOVED).measured
    assert np.array_equal(moved.scores, probe_by_hand(mixed, store).scores)
    assert not np.allclose(moved.scores, the(answers, "I", PROBE).measured.scores)


def test_a_change_is_the_difference_of_two_macro_aucs_of_scikit_learn(answers):
    for protocol, base in ((ZERO_SHOT, ZERO_SHOT), (PROBE, PROBE), (MOVED, PROBE)):
        few, all_leads = the(answers, "I II", protocol), the(answers, "12 leads", base)
        y = few.measured.y
        both = [k for k in range(y.shape[1]) if 0 < y[:, k].sum() < len(y)]
        few_auc, whole_auc = (
            np.mean([roc_auc_score(y[:, k], first_draw(m)[:, k]) for k in both])
            for m in (few.measured, all_leads.measured)
        )
        assert few.change.value == pytest.approx(few_auc - whole_auc)
        paired = paired_bootstrap(
            y, few.measured.scores, all_leads.measured.scores, few.measured.patients, 50
        )
        assert astuple(few.change) == pytest.approx(astuple(paired))
        assert all_leads.change is None


def test_without_a_probe_only_the_labelled_test_rows_are_encoded(make_toy, store):
    model = make_toy()
    only = lead_sweep.sweep(
        model, store, "shape", {"all": LEADS, "V1": ("V1",)}, prompts=PROMPTS, probe=False,
        resamples=20, progress=False,
    )  # fmt: skip
    labelled = store.labels_valid("shape") & (store.records["split"] == "test").to_numpy()
    assert [shape[0] for shape in model.shapes] == [labelled.sum()] * 2
    assert [mask.sum().item() for mask in model.masks] == [12 * labelled.sum(), labelled.sum()]
    assert [a.subset for a in only] == ["all", "V1"]


def test_features_are_read_from_the_cache_the_second_time(make_toy, store, tmp_path):
    sets = {"12 leads": LEADS, "I": ("I",)}
    ask = {"prompts": PROMPTS, "cache_dir": tmp_path, "resamples": 20, "progress": False}
    model = make_toy()
    first, calls = lead_sweep.sweep(model, store, "shape", sets, **ask), model.calls
    second = lead_sweep.sweep(model, store, "shape", sets, **ask)
    assert calls > 0 and model.calls == calls
    assert [a.measured.interval for a in first] == [a.measured.interval for a in second]


def test_an_encoder_of_fewer_leads_is_never_asked_for_one_that_it_lacks(make_toy, store):
    model = make_toy(leads=("II", "I"))
    ask = {"prompts": PROMPTS, "derived": True, "seeds": (0,), "resamples": 5, "progress": False}
    with pytest.warns(UserWarning, match=r"takes only I, II; left out, .*: 6 limb leads, .*V1"):
        found = lead_sweep.sweep(model, store, "shape", {**SETS, "V1": ("V1",)}, **ask)
    assert [(a.subset, a.leads, a.protocol) for a in found] == [
        ("I II", ("I", "II"), ZERO_SHOT), ("I II", ("I", "II"), PROBE),
        ("I", ("I",), ZERO_SHOT), ("I", ("I",), PROBE), ("I", ("I",), f"{PROBE} fitted on I II"),
    ]  # fmt: skip
    assert [a.change is None for a in found] == [True, True, False, False, False]
    facts = {"encoder": "toy", "task": "shape", "data": "toy", "store_fingerprint": "f"}
    kept = lead_sweep.results_of(found, "name en, 1a2b3c4d", **facts)
    assert {r.lead_subset for r in kept[:2]} == {"2"} and {r.against for r in kept} == {"", "I II"}
    assert kept[-1].variant == "fitted on I II"


def test_the_set_of_all_leads_may_have_any_name(make_toy, store):
    model, sets = make_toy(), {"all": LEADS, "I": ("I",)}
    found = lead_sweep.sweep(model, store, "shape", sets, probe=False, prompts=PROMPTS,
                             resamples=5, progress=False)  # fmt: skip
    assert [(a.subset, a.change is None) for a in found] == [("all", True), ("I", False)]


def test_wrong_use_is_said_in_a_sentence(make_toy, store):
    with pytest.raises(UsageError, match="all 12 leads"):
        lead_sweep.sweep(make_toy(), store, "shape", {"I": ("I",)}, prompts=PROMPTS)
    with pytest.raises(UsageError, match="asks nothing"):
        lead_sweep.sweep(make_toy(), store, "shape", {"12": LEADS}, probe=False)
    with pytest.raises(UsageError, match="'V9' is no lead name"):
        sets = {"12": LEADS, "mine": ("V9",)}
        lead_sweep.sweep(make_toy(), store, "shape", sets, resamples=5, progress=False)
    with pytest.raises(UsageError, match="no text among the prompts"):
        lead_sweep.sweep(make_toy(), store, "shape", {"12": LEADS}, prompts={}, progress=False)


def test_the_table_has_a_row_per_answer_with_its_change(answers):
    table = lead_sweep.table(answers)
    assert len(table) == len(answers) and table["n"].nunique() == 1
    assert table["change"].isna().tolist() == [a.subset == "12 leads" for a in answers]
    few = the(answers, "I", MOVED)
    (row,) = table.query(f"leads == 'I' and protocol == '{MOVED}'").to_dict("records")
    assert row["n_leads"] == 1 and row["value"] == few.measured.interval.value
    assert (row["change"], row["change_low"]) == (few.change.value, few.change.low)


@pytest.mark.parametrize("protocol", [ZERO_SHOT, PROBE])
def test_by_class_compares_each_class_with_its_own_auc_from_12_leads(answers, protocol):
    asked = [a for a in answers if a.protocol == protocol and a.filling == ZEROED]
    table = lead_sweep.by_class(asked).set_index(["leads", "class"])
    first = asked[0].measured
    assert len(table) == len(asked) * len(first.classes)
    assert table.loc["12 leads", ["change", "change_low", "change_high"]].isna().all(axis=None)
    for a in asked:
        for k, name in enumerate(a.measured.classes):
            scores = first_draw(a.measured)[:, k]
            row, y = table.loc[(a.subset, name)], a.measured.y[:, k]
            assert row["n_pos"] == y.sum()
            if 0 < y.sum() < len(y):
                auc = roc_auc_score(y, scores)
                assert row["auc"] == pytest.approx(auc)
            if a.subset != "12 leads":
                whole = table.loc[("12 leads", name), "auc"]
                assert row["change"] == pytest.approx(row["auc"] - whole, nan_ok=True)


def test_the_interval_of_a_class_is_paired(answers):
    """A set compared with itself never differs, whichever patients are drawn."""
    one = the(answers, "12 leads", ZERO_SHOT)
    table = lead_sweep.by_class([one, one])
    assert (table.tail(len(one.measured.classes))[["change_low", "change_high"]] == 0).all(
        axis=None
    )


def test_records_name_the_set_as_the_published_tables_do(answers, store, tmp_path):
    told = results.Provenance(("toy 1234",), train_reports_seen=True)
    facts = {"encoder": "toy", "task": "shape", "data": "toy", "provenance": told,
             "store_fingerprint": store.fingerprint}  # fmt: skip
    kept = lead_sweep.results_of(answers, "name en, 1a2b3c4d", **facts)
    assert len({one.save(tmp_path).name for one in kept}) == len(kept)
    values = [r for r in kept if r.metric == "macro_auc"]
    assert [r.lead_subset for r in values] == [
        {"12 leads": "12", "6 limb leads": "6", "I II V2": "3", "I II": "2", "I": "1"}[a.subset]
        for a in answers
    ]
    assert [r.value for r in values] == [a.measured.interval.value for a in answers]
    by_set = {(r.lead_subset, r.protocol, r.variant): r for r in values}
    assert ("3", "zero-shot", "name en, derived leads, 1a2b3c4d") in by_set
    assert ("2", "linear probe", "derived leads, fitted on 12 leads") in by_set
    assert ("12", "linear probe", "") in by_set and (
        "12",
        "zero-shot",
        "name en, 1a2b3c4d",
    ) in by_set
    assert all(r.provenance.train_reports_seen == (r.protocol == "linear probe") for r in kept)


def test_each_record_of_fewer_leads_has_its_change_beside_it(answers, store):
    facts = {"encoder": "toy", "task": "shape", "data": "toy", "store_fingerprint": "f"}
    kept = lead_sweep.results_of(answers, "name en, 1a2b3c4d", **facts)
    gains = [r for r in kept if r.metric == "macro_auc_gain"]
    changed = [a.change for a in answers if a.change]
    assert [(r.value, r.low, r.high) for r in gains] == [(c.value, c.low, c.high) for c in changed]
    assert {r.against for r in gains} == {"12 leads"} and not any(r.per_class for r in gains)


def test_a_mask_of_the_store_stays_in_every_set(make_toy, store):
    """Row 5 lacks V6: alone it is all zeros there, and the encoder is told so."""
    model = make_toy()
    lead_sweep.sweep(
        model, store, "shape", {"12 leads": LEADS, "V6": ("V6",)}, resamples=5, progress=False
    )
    assert torch.equal(model.masks[1].any(1), torch.arange(48) != 5)
