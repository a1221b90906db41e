"""Measurements become records with the numbers they had and an honest provenance."""

from types import SimpleNamespace

import numpy as np
import pytest

from dbeta_lib.evaluation import records, results
from dbeta_lib.evaluation.encoders import weights_hash
from dbeta_lib.evaluation.features import extract
from dbeta_lib.evaluation.probe import gain, linear_probe
from dbeta_lib.evaluation.zero_shot import zero_shot
from dbeta_lib.leads import LEADS


@pytest.fixture
def probe(store, toy):
    return linear_probe(
        extract(toy, store, progress=False),
        store.labels("shape"),
        store.records["split"],
        (8, 0.5, 1.0),
        (0, 1),
        patients=store.records["patient_id"],
        valid=store.labels_valid("shape"),
        resamples=50,
        progress=False,
    )


@pytest.fixture
def facts(store, toy):
    return {
        **records.encoder_facts(toy), **records.store_facts(store), "encoder": "toy",
        "task": "shape",
    }  # fmt: skip


def test_a_probe_becomes_its_record(probe, facts, toy, store, tmp_path):
    made = [records.from_probe(p, **facts, profile="smoke", wall_time_s=2.5) for p in probe]
    assert [round(r.label_fraction, 3) for r in made] == [round(8 / 23, 3), 0.5, 1.0]
    assert [r.n_train for r in made] == [8, 11, 23]
    one = results.load(made[1].save(tmp_path))
    assert (one.value, one.low, one.high) == pytest.approx(
        (probe[1].interval.value, probe[1].interval.low, probe[1].interval.high)
    )
    assert one.weights_hash == weights_hash(toy) and one.store_fingerprint == store.fingerprint
    assert (one.data, one.protocol, one.metric) == ("toy", "linear probe", "macro_auc")
    assert (one.n, one.patients, one.k, one.seeds) == (16, 8, 4, (0, 1))
    assert one.per_class["rare"]["positives"] == 2 and one.date
    assert one.sd == pytest.approx(probe[1].sd) and one.wall_time_s == 2.5


def test_a_gain_says_against_what(probe, facts, tmp_path):
    difference = gain(probe[0], probe[0], 20)
    one = records.from_gain(difference, probe[0], "random", **facts)
    back = results.load(one.save(tmp_path))
    assert (back.metric, back.against, back.value) == ("macro_auc_gain", "random", 0.0)
    assert "toy - random" in results.table(results.load_all(tmp_path))


def test_a_zero_shot_measurement_becomes_its_record(store, toy, facts, tmp_path):
    prompts = {name: [name, name + " ecg"] for name in store.labels("shape")}
    measured = zero_shot(toy, store, "shape", prompts, resamples=50, progress=False)
    one = records.from_zero_shot(measured, **facts, variant="name en 0", wall_time_s=2.0)
    back = results.load(one.save(tmp_path))
    assert back.protocol == "zero-shot" and back.label_fraction is None and back.n_train is None
    assert back.value == pytest.approx(measured.macro.value) and back.variant == "name en 0"
    assert set(back.per_class["slow"]) == {"auc", "low", "high", "positives"}


def test_the_models_own_config_and_switches_are_recorded():
    from dbeta_lib import DBeta, DBetaConfig

    config = DBetaConfig.preset("mini", switches="released")
    found = records.encoder_facts(DBeta(config))
    assert found["switches"] == "released" and found["config_hash"] == config.hash()


def test_an_encoder_of_fewer_leads_is_recorded_with_its_own(probe, store, make_toy):
    for leads, named in ((("II", "I"), "2"), (("V5", "I"), "I,V5"), (LEADS[::-1], "12")):
        facts = records.encoder_facts(make_toy(leads=leads)) | records.store_facts(store)
        about = {**facts, "encoder": "toy", "task": "shape"}
        assert records.from_probe(probe[0], **about).lead_subset == named
        asked = {**about, "lead_subset": "1"}
        assert records.from_probe(probe[0], **asked).lead_subset == "1"
    assert "lead_subset" not in records.encoder_facts(SimpleNamespace(leads=()))


def test_pretraining_on_training_patients_only_saw_nothing_evaluated(store):
    train, test = store.rows("train"), store.rows("test")
    found = records.provenance(store, test, [(store, train)], train)
    assert found.stores == (f"toy {store.fingerprint[:12]}",)
    assert (found.signals_seen, found.reports_seen, found.train_reports_seen) == (
        False,
        False,
        True,
    )


def test_another_record_of_an_evaluated_patient_counts_as_seen(store):
    test = store.rows("test")
    found = records.provenance(store, test[::2], [(store, test[1::2])])
    assert found.signals_seen and found.reports_seen and not found.train_reports_seen
    silent = records.provenance(store, test[::2], [(store, test[1::2])], reports_read=False)
    assert silent.signals_seen and not silent.reports_seen


def test_label_derived_reports_are_said(store):
    scp = SimpleNamespace(
        meta={**store.meta, "name": "other"}, fingerprint="f" * 64, reports_from_labels=True,
        records=store.records,
    )  # fmt: skip
    found = records.provenance(store, np.arange(3), [(scp, np.arange(3, 6))])
    assert found.label_derived_reports and not found.signals_seen and found.stores[0][:5] == "other"


def test_no_pretraining_saw_nothing(store):
    assert records.provenance(store, store.rows("test")) == results.Provenance()


def renamed(store, name, hashes=None):
    """The same recordings in a collection of another name, ids and patients of its own."""
    own = store.records.assign(
        record_id=[f"x{i}" for i in range(len(store))],
        patient_id=[f"y{i}" for i in range(len(store))],
    )
    own["signal_hash"] = store.records["signal_hash"] if hashes is None else hashes
    return SimpleNamespace(
        meta={"name": name}, records=own, reports_from_labels=False, fingerprint="f" * 64
    )


def test_the_same_recordings_under_another_name_count_as_seen(store, facts):
    test = store.rows("test")
    seen = records.provenance(store, test, [(renamed(store, "elsewhere"), test)])
    assert seen.signals_seen and seen.reports_seen
    none = records.provenance(store, test, [(renamed(store, "elsewhere"), store.rows("train"))])
    assert none.signals_seen is False
    base = {"protocol": "p", "metric": "m", "value": 0.5, "low": 0.4, "high": 0.6, "n": 1}
    domains = [results.Result(**facts, **base, provenance=p).domain for p in (seen, none)]
    assert domains == ["in-domain", "out-of-domain"]


def test_collections_known_to_overlap_are_not_known_where_no_recording_matches(store):
    test, train = store.rows("test"), store.rows("train")
    ours = renamed(store, "cinc2021")
    other = renamed(store, "ptb-xl", hashes=[f"h{i}" for i in range(len(store))])
    seen = records.provenance(ours, test, [(other, train)], train)
    assert (seen.signals_seen, seen.reports_seen, seen.train_reports_seen) == (None, None, None)
    assert records.provenance(ours, test, [(renamed(store, "csn"), test)]).signals_seen


def test_facts_say_whether_the_store_knows_its_patients(store):
    assert records.store_facts(store)["split_by"] == "patient"
    unknown = SimpleNamespace(
        meta={"name": "cinc2021", "patients_known": False}, fingerprint="f"
    )  # fmt: skip
    assert records.store_facts(unknown)["split_by"] == "recording"
