"""The box: what is packed, that its card says what its files say, and the box of this kit."""

import dataclasses
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from dbeta_lib import box
from dbeta_lib.box.pack import commands, pack, rewrite
from dbeta_lib.cli import main
from dbeta_lib.config import DBetaConfig
from dbeta_lib.data import ensure_store
from dbeta_lib.data.store import SignalStore
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.evaluation import prompts, records
from dbeta_lib.evaluation.results import load, load_all
from dbeta_lib.evaluation.zero_shot import zero_shot
from dbeta_lib.files import read_json
from dbeta_lib.model import DBeta
from dbeta_lib.prediction import predict
from dbeta_lib.reporting import model_card
from dbeta_lib.training.pretrain import pretrain
from dbeta_lib.training.start import build_model

MAX_BYTES = 12_000_000
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "ptb-xl"
HOW = "pack one: dbeta report RUN/results --box dbeta_lib/box, RUN a finished run on PTB-XL"


@pytest.fixture(scope="module")
def run(published, tmp_path_factory):
    """A run's folder as the notebooks leave it: a store in PTB-XL's layout, two steps, results."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    store = ensure_store("ptb-xl", published, folder / "stores" / "ptb-xl-100hz",
                         sampling_rate=100, progress=False)  # fmt: skip
    config = DBetaConfig.preset("mini", "recommended", ecg_layers=1, mask_ratio=0.25)
    model = build_model(config, store, seed=3)
    pretrain(model, store, folder / "pretraining", steps=2, batch_size=8, lr=0.002, seed=3,
             eval_every=0, mem_first=1)  # fmt: skip
    texts = prompts.select("ptb-xl", "super", "ensemble", ["de", "en"])
    seen = records.provenance(store, store.rows("test"), [(store, store.rows("train"))])
    control = build_model(config, store, seed=9)
    asked = [("dbeta-mini, pre-trained", model, {"provenance": seen})]
    for name, each, known in [*asked, ("untrained model", control, {})]:
        measured = zero_shot(each, store, "super", texts, resamples=20, progress=False)
        facts = records.encoder_facts(each) | records.store_facts(store) | known
        variant = f"ensemble de+en, {prompts.digest(texts)}"
        records.from_zero_shot(measured, **facts, encoder=name, variant=variant).save(
            folder / "results"
        )
    return folder


@pytest.fixture(scope="module")
def packed(run, tmp_path_factory):
    dest = tmp_path_factory.mktemp("boxes") / "box"
    pack(run, dest)
    return dest


def test_a_box_holds_the_very_model_of_the_run(run, packed):
    ecg = torch.randn(2, 12, 1000, generator=torch.Generator().manual_seed(0))
    before = DBeta.from_pretrained(run / "pretraining" / "model")
    after = box.load(packed)
    assert torch.equal(after.encode_ecg(ecg), before.encode_ecg(ecg))
    assert torch.equal(after.encode_text(["sinus rhythm"]), before.encode_text(["sinus rhythm"]))
    assert not after.training
    assert box.load(packed) is after, "read once"
    assert str(run) not in (packed / "summary.json").read_text()


def test_its_manifest_names_every_file_with_its_hash(packed):
    told = box.check(packed)
    there = {p.relative_to(packed).as_posix() for p in packed.rglob("*") if p.is_file()}
    assert there == {*told["files"], "box.json"}
    assert "folds 1 to 8" in told["sentence"] and told["sentence"] == box.told(packed)
    assert set(told["data"]["training"]["labels"]) == {"super", "sub", "form", "rhythm"}


def test_a_damaged_or_missing_file_is_named(packed, tmp_path):
    copy = shutil.copytree(packed, tmp_path / "copy")
    weights = copy / box.WEIGHTS
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(bytes(raw))
    with pytest.raises(DBetaError, match=r"model\.safetensors is missing, or not the file"):
        box.load(copy)
    weights.unlink()
    with pytest.raises(DBetaError, match="holds no model"):
        box.load(copy)
    assert not box.is_there(copy) and box.told(copy) == ""


def test_card_and_statement_are_what_the_files_say(packed):
    assert_texts_follow(packed)


def assert_texts_follow(folder):
    """Card and data statement, made again from the box's own files, are the same."""
    told = read_json(folder / box.MANIFEST)
    card = (folder / box.CARD).read_text(encoding="utf-8")
    again = f"after a change of wording: dbeta_lib.box.pack.rewrite({str(folder)!r})"
    assert card == model_card.card(told, folder), again
    written = (folder / box.STATEMENT).read_text(encoding="utf-8")
    assert written == model_card.statement(told, folder)
    results = load_all(folder / "results")
    for row in results.to_dict("records"):
        value = f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
        assert value in card and f"| {row['n']:,} |" in card, row["file"]
    for words in ("Not for patients", "CC BY 4.0", "in-domain", "2410.02131", "Scientific Data 7"):
        assert words in card
    assert "CC BY 4.0" in written and f"{told['data']['training']['records']:,} ECGs" in written


def test_a_changed_result_changes_the_card(packed, tmp_path):
    copy = shutil.copytree(packed, tmp_path / "copy")
    path = next((copy / "results").glob("dbeta*.json"))
    result = load(path)
    path.unlink()
    dataclasses.replace(result, value=0.123, low=0.1, high=0.2).save(copy / "results")
    told = read_json(copy / box.MANIFEST)
    assert "0.123 [0.100, 0.200]" in model_card.card(told, copy)
    assert model_card.card(told, copy) != (copy / box.CARD).read_text(encoding="utf-8")


def test_texts_can_be_written_again_alone(packed, folder_bytes, tmp_path, monkeypatch):
    copy = shutil.copytree(packed, tmp_path / "copy")
    rewrite(copy)
    assert folder_bytes(copy) == folder_bytes(packed)
    monkeypatch.setattr(model_card, "_LIMITS", "- none is known")
    rewrite(copy)
    assert "none is known" in (copy / box.CARD).read_text(encoding="utf-8")
    box.check(copy)


def test_the_commands_in_it_make_the_same_weights(run, packed, published, tmp_path):
    told = box.check(packed)
    places = {
        "DATA": str(published),
        "STORE": str(tmp_path / "store"),
        "OUT": str(tmp_path / "out"),
    }
    for command in told["commands"]:
        words = [places.get(word, word) for word in shlex.split(command)]
        assert words[0] == "dbeta" and main(words[1:]) == 0
    before = read_json(run / "pretraining" / "summary.json")["identity"]
    again = read_json(tmp_path / "out" / "summary.json")["identity"]
    assert again == before
    weights = (tmp_path / "out" / "model" / "model.safetensors").read_bytes()
    assert weights == (packed / box.WEIGHTS).read_bytes()


def test_what_differs_from_the_defaults_is_in_the_commands(run):
    store = SignalStore.open(run / "stores" / "ptb-xl-100hz")
    identity = read_json(run / "pretraining" / "summary.json")["identity"]
    prepare, train = commands(identity, store)
    assert prepare == "dbeta prepare ptb-xl DATA STORE --hz 100"
    assert {"ecg_layers=1", "mask_ratio=0.25", "mem_first=1"} <= set(shlex.split(train))
    assert "lead_dropout" not in train


def test_results_on_the_same_data_set_say_what_was_seen(run, packed):
    store = SignalStore.open(run / "stores" / "ptb-xl-100hz")
    seen = box.pretrained_on(packed)
    test, train = store.rows("test"), store.rows("train")
    on_test = records.provenance(store, test, seen, train)
    assert (on_test.signals_seen, on_test.reports_seen) == (False, False)
    assert on_test.train_reports_seen is True
    on_train = records.provenance(store, train, seen)
    assert on_train.signals_seen is on_train.reports_seen is True
    assert on_test.stores == on_train.stores == (f"ptb-xl {store.fingerprint[:12]}",)


def test_another_selection_of_the_data_set_is_known_too(packed, make_ptb_xl, tmp_path):
    (tmp_path / "data").mkdir()
    made = make_ptb_xl(tmp_path / "data", 24)
    store = ensure_store("ptb-xl", made, tmp_path / "s", sampling_rate=100, progress=False)
    seen = box.pretrained_on(packed)
    for fold, expected in ((1, True), (8, True), (9, False), (10, False)):
        rows = np.flatnonzero(store.records["fold"].to_numpy() == fold)
        assert records.provenance(store, rows, seen).signals_seen is expected, fold


def test_the_commands_take_a_box_and_their_records_say_so(run, packed, tmp_path):
    arguments = [str(packed / "model"), str(run / "stores" / "ptb-xl-100hz"), "--task", "super"]
    assert main(["zero-shot", *arguments, "--out", str(tmp_path)]) == 0
    (result,) = (load(path) for path in tmp_path.glob("*.json"))
    assert result.domain == "in-domain"
    assert (result.provenance.signals_seen, result.provenance.reports_seen) == (False, False)


def test_a_new_box_replaces_the_old_one_and_a_failure_does_not(run, packed, tmp_path):
    dest = shutil.copytree(packed, tmp_path / "box")
    (dest / "__init__.py").write_text("")
    (dest / "results" / "stale.json").write_text("{}")
    assert pack(run, dest) == dest / "box.json"
    assert not (dest / "results" / "stale.json").exists() and (dest / "__init__.py").exists()
    box.check(dest)
    broken = shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("dbeta-*.json"))
    with pytest.raises(DBetaError, match="no zero-shot result of this model"):
        pack(broken, dest)
    box.check(dest)
    assert not list(dest.glob(".*"))


def test_the_command_packs_a_run_by_its_results(run, tmp_path, capsys):
    assert main(["report", str(run / "results"), "--box", str(tmp_path / "box")]) == 0
    assert "packed: " in capsys.readouterr().err
    assert box.check(tmp_path / "box")["model"]["switches"] == "recommended"


def test_what_is_no_run_on_a_published_data_set_is_refused(run, tmp_path):
    with pytest.raises(UsageError, match="holds no finished run"):
        pack(tmp_path, tmp_path / "box")
    copy = shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(copy / "stores")
    with pytest.raises(UsageError, match="lacks the store"):
        pack(copy, tmp_path / "box")
    assert not (tmp_path / "box").exists() or not list((tmp_path / "box").iterdir())


# ---- the box that comes with the kit ----


@pytest.fixture(scope="module")
def kit():
    assert box.is_there(), f"{box.FOLDER} holds no model yet; {HOW}"
    return box.check()


def test_the_kits_box_is_whole_small_and_listed_for_installation(kit):
    assert (box.FOLDER / box.WEIGHTS).stat().st_size < MAX_BYTES
    assert sum(p.stat().st_size for p in box.FOLDER.rglob("*") if p.is_file()) < 1.25 * MAX_BYTES
    assert kit["data"]["name"] == "ptb-xl" and kit["data"]["part"] == "folds 1 to 8"
    assert kit["data"]["counts"]["records"] + len(kit["data"]["counts"]["set_aside"]) >= 21_799
    assert not kit["data"]["options"]["splits"]


def test_the_kits_card_says_what_its_files_say(kit):
    assert_texts_follow(box.FOLDER)


def test_the_kits_model_was_not_trained_on_what_it_was_measured_on(kit):
    (seen, rows), *_ = box.pretrained_on()
    assert len(rows) == kit["data"]["training"]["records"] > 17_000
    assert set(seen.records["fold"]) == set(range(1, 9))
    own = load_all(box.FOLDER / "results").query("weights_hash == @kit['model']['weights']")
    assert set(own["domain"]) == {"in-domain"}
    assert not any(p.signals_seen or p.reports_seen for p in own["provenance"])
    assert {"super", "sub", "form", "rhythm"} <= set(own["task"])


def test_the_kits_model_answers_with_measured_scores(kit):
    rng = np.random.default_rng(0)
    told = predict(rng.normal(0, 0.2, (12, 1000)), sampling_rate=100)
    assert set(told.scores["class"]) == {"NORM", "MI", "STTC", "CD", "HYP"}
    assert told.scores[["auc", "low", "high", "rank"]].notna().all(axis=None)
    assert "folds 1 to 8" in told.text()


def test_commands_know_it_by_the_word_box(kit, run, tmp_path):
    store = str(run / "stores" / "ptb-xl-100hz")
    arguments = ["zero-shot", "box", store, "--task", "super", "--languages", "de,en"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    (result,) = (load(path) for path in tmp_path.glob("*.json"))
    assert result.weights_hash == kit["model"]["weights"]
    assert result.domain == "in-domain"
    tested = pd.read_parquet(f"{store}/records.parquet").query("split == 'test'")["patient_id"]
    seen = pd.read_parquet(box.FOLDER / box.SEEN)["patient_id"]
    assert result.provenance.signals_seen == bool(set(tested) & set(seen))


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data/ptb-xl is not there")
def test_real_normal_ecgs_stand_higher_among_normals_than_sick_ones(kit, tmp_path):
    """Fold 10, which it has not read: the mean rank of NORM, labelled so and not."""
    table = pd.read_csv(SHARED / "ptbxl_database.csv", index_col="ecg_id").query("strat_fold == 10")
    normal = table["scp_codes"].str.contains("'NORM'")
    ranks = {}
    for is_normal, rows in table.groupby(normal):
        found = [predict(SHARED / name, model=box.load()) for name in rows["filename_lr"][:20]]
        scores = [f.scores.set_index("class").loc["NORM", "score"] for f in found]
        ranks[is_normal] = np.mean(scores)
    assert ranks[True] > ranks[False]


def test_the_manifest_is_readable_by_anyone(kit):
    assert json.loads((box.FOLDER / box.MANIFEST).read_text(encoding="utf-8"))["format"] == 1
    assert re.fullmatch(r"[0-9a-f]{40}.*|not known", kit["commit"])
