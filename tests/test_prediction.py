"""`predict`: the same numbers as the pipeline's, honest words, and a sentence for bad input."""

import json
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import percentileofscore

from dbeta_lib.cli import main
from dbeta_lib.data import ensure_store
from dbeta_lib.data.store import SignalStore
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.evaluation import prompts, records
from dbeta_lib.evaluation.features import extract
from dbeta_lib.evaluation.zero_shot import zero_shot
from dbeta_lib.leads import LEADS, derive_limb_leads
from dbeta_lib.model import DBeta
from dbeta_lib.prediction import NOTICE, Unread, predict, predict_folder
from dbeta_lib.prediction.known import Reference
from dbeta_lib.prediction.words import plain_table
from dbeta_lib.reporting.html_page import safe

SUPER = ["NORM", "MI", "STTC", "CD", "HYP"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, save_small_model):
    """A small model in a folder as a run leaves it: RUN/pretraining/model."""
    return save_small_model(tmp_path_factory.mktemp("run") / "pretraining" / "model")


@pytest.fixture(scope="module")
def model(folder):
    return DBeta.from_pretrained(folder)


@pytest.fixture(scope="module")
def store(published, tmp_path_factory):
    dest = tmp_path_factory.mktemp("stores") / "ptb-xl"
    return ensure_store("ptb-xl", published, dest, sampling_rate=100, progress=False)


def one_csv(path, ecg, rate=100, names=LEADS):
    frame = pd.DataFrame(ecg.T, columns=list(names))
    frame.insert(0, "time", np.arange(len(frame)) / rate)
    frame.to_csv(path, index=False)
    return path


# ---- the same numbers as everywhere else ----


def test_features_and_scores_are_those_of_the_store(published, store, model):
    rows = [0, 17]
    its = prompts.select("ptb-xl", "super", "ensemble", ["en"])
    measured = zero_shot(model, store, "super", its, resamples=2, progress=False)
    features = extract(model, store, rows, progress=False)
    for place, row in enumerate(rows):
        found = predict(published / f"{store.records['source'].iloc[row]}.hea", model)
        assert np.allclose(found.features, features[place], atol=1e-6)
        if row in measured.rows:
            scores = found.scores.set_index("class")["score"]
            expected = measured.scores[measured.rows == row][0]
            assert np.allclose(scores[list(measured.classes)], expected, atol=1e-5)


def test_every_format_gives_the_same_answer(tmp_path, make_beats, write_wfdb, model):
    ecg = make_beats(1)
    write_wfdb(tmp_path / "a", ecg)
    one_csv(tmp_path / "b.csv", ecg)
    np.save(tmp_path / "c.npy", ecg)
    np.save(tmp_path / "d.npy", 1000 * ecg.T)
    whole = predict(ecg, model, sampling_rate=100)
    for path, options in (
        (tmp_path / "a.hea", {}), (tmp_path / "a.dat", {}), (tmp_path / "a", {}),
        (tmp_path / "b.csv", {}), (tmp_path / "c.npy", {"sampling_rate": 100}),
        (tmp_path / "d.npy", {"sampling_rate": 100, "units": "uV"}),
    ):  # fmt: skip
        found = predict(path, model, **options)
        assert np.allclose(found.features, whole.features, atol=1e-5), path
        assert found.name.startswith(path.stem)


def test_leads_come_in_any_order_and_orientation(make_beats, model):
    ecg, order = make_beats(2), [7, 3, 0, 1, 2, 4, 5, 6, 8, 9, 10, 11]
    names = [LEADS[i] for i in order]
    whole = predict(ecg, model, sampling_rate=100)
    shuffled = predict(ecg[order].T, model, sampling_rate=100, leads=names)
    assert np.allclose(shuffled.features, whole.features, atol=1e-6)


def test_limb_leads_that_i_and_ii_imply_are_computed_and_said(make_beats, model):
    ecg, eight = make_beats(3), [0, 1, *range(6, 12)]
    names = [LEADS[i] for i in eight]
    found = predict(ecg[eight], model, sampling_rate=100, leads=names)
    whole = predict(derive_limb_leads(ecg), model, sampling_rate=100)
    assert found.lead_mask.all()
    assert np.array_equal(found.features, whole.features)
    assert "III aVR aVL aVF computed from I and II" in found.text()
    alone = predict(ecg[[0, 6]], model, sampling_rate=100, leads=["I", "V1"])
    assert alone.lead_mask.tolist() == [True, *[False] * 5, True, *[False] * 5]
    assert "Without II III aVR aVL aVF V2 V3 V4 V5 V6 expect less" in alone.text()
    masked = np.where(alone.lead_mask[:, None], ecg, 0).astype(np.float32)
    direct = model.encode_ecg(masked[None], lead_mask=alone.lead_mask)[0].numpy()
    assert np.allclose(alone.features, direct, atol=1e-5)


def test_other_rates_and_lengths_are_brought_to_ten_seconds(make_beats, model):
    ecg = make_beats(4, 5000, 500)
    fast = predict(ecg, model, sampling_rate=500)
    assert fast.features.shape == (model.config.fusion.fusion_width,)
    longer = predict(np.tile(ecg, 3), model, sampling_rate=500)
    assert np.array_equal(longer.features, fast.features)
    assert "the first 10 s are scored" in longer.text()
    short = predict(ecg[:, :2500], model, sampling_rate=500)
    assert "zeros will follow its end" in short.text()


def test_gaps_and_findings_of_the_doctor_come_first(make_beats, model):
    ecg = make_beats(5)
    ecg[3, 100:110] = np.nan
    ecg[8] = 0.25
    found = predict(ecg, model, sampling_rate=100)
    names = [f.name for f in found.given.findings]
    assert "gaps" in names and "flat" in found.spoilt
    text = found.text()
    assert text.index("X flat") < text.index("Scores of")
    assert "Mend this first, it spoils scores: " in text


# ---- how good a score is: result files ----


def keep_result(model, store, folder, style="ensemble", languages=("de", "en"), **changes):
    its = prompts.select("ptb-xl", "super", style, languages)
    measured = zero_shot(model, store, "super", its, resamples=20, progress=False)
    seen = records.provenance(store, store.rows("test"), [(store, store.rows("train"))])
    facts = records.encoder_facts(model) | records.store_facts(store) | {"encoder": "small"}
    facts |= {"variant": f"{style} {'+'.join(languages)}, {prompts.digest(its)}"}
    return records.from_zero_shot(measured, **facts | {"provenance": seen} | changes).save(folder)


@pytest.fixture
def with_results(folder):
    results = folder.parent.parent / "results"
    yield results
    for path in results.glob("*"):
        path.unlink()


def test_the_auc_beside_a_score_is_that_of_the_result_file(
    published, store, folder, model, with_results
):
    path = keep_result(model, store, with_results)
    told = json.loads(path.read_text())
    source = published / f"{store.records['source'].iloc[0]}.hea"
    found = predict(source, folder)
    for row in found.scores.to_dict("records"):
        expected = told["per_class"][row["class"]]
        assert row["positives"] == expected["positives"]
        for key in ("auc", "low", "high"):
            known = expected[key] if expected[key] is not None else np.nan
            assert np.isclose(row[key], known, equal_nan=True)
    assert found.about.questions.wording == "ensemble de+en"
    text = found.text()
    assert f"Measured on {told['n']:,} test ECGs of ptb-xl with 12 leads" in text
    assert "read the training records of this very data set" in text
    unknown = predict(source, model)  # a model without a folder has no files beside it
    assert unknown.scores["auc"].isna().all()
    assert "has not been measured" in unknown.text()


@pytest.mark.parametrize(
    "changes",
    [{"weights_hash": "0" * 64}, {"variant": "ensemble de+en, 01234567"}, {"task": "sub"},
     {"lead_subset": "3"}, {"protocol": "linear probe"}, {"variant": "by hand"}, {"data": "csn"}],
)  # fmt: skip
def test_a_result_of_other_weights_words_or_leads_is_not_taken(
    store, folder, model, make_beats, with_results, changes
):
    keep_result(model, store, with_results, **changes)
    found = predict(make_beats(0), folder, sampling_rate=100)
    assert found.about.result is None and found.scores["auc"].isna().all()
    assert "AUC [95 %]" not in found.table()


def test_the_ensemble_of_most_languages_is_asked_whatever_its_result(
    store, folder, model, make_beats, with_results
):
    for style, languages in (("name", ["en"]), ("ensemble", ["en"]), ("ensemble", ["de", "en"])):
        keep_result(model, store, with_results, style, languages)
    found = predict(make_beats(0), folder, sampling_rate=100)
    assert found.about.questions.wording == "ensemble de+en"


def test_a_class_that_is_only_guessed_says_so(store, folder, model, make_beats, with_results):
    path = keep_result(model, store, with_results)
    told = json.loads(path.read_text())
    for name in SUPER:
        told["per_class"][name] |= {"auc": 0.8, "low": 0.7, "high": 0.9}
    told["per_class"]["MI"] |= {"auc": 0.55, "low": 0.45, "high": 0.6}
    told["per_class"]["HYP"] |= {"auc": 0.3, "low": 0.2, "high": 0.4}
    path.write_text(json.dumps(told))
    table = predict(make_beats(0), folder, sampling_rate=100).table().set_index("class")
    assert table["AUC [95 %]"]["MI"] == "0.55 [0.45, 0.60], guessing"
    assert table["AUC [95 %]"]["HYP"] == "0.30 [0.20, 0.40], worse than guessing"
    assert table["AUC [95 %]"]["CD"] == "0.80 [0.70, 0.90]"


@given(
    st.lists(st.floats(-10, 10), min_size=300, max_size=400),
    st.floats(-12, 12),
)
def test_a_rank_is_the_share_that_scores_lower(scores, score):
    scores = np.unique(np.round(scores, 6))
    reference = Reference.of("made here", ["x"], scores[:, None])
    expected = percentileofscore(scores, score, kind="mean") / 100
    gap = 0.02 + 1 / len(scores)  # a hundred levels, and interpolation between them
    assert abs(reference.rank("x", score) - expected) <= gap
    assert np.isnan(reference.rank("y", score))


# ---- questions ----


def test_own_prompts_are_asked_as_they_stand(tmp_path, make_beats, model):
    own = {"block": ["left bundle branch block", "lsb"], "normal": "normal ecg"}
    (tmp_path / "own.json").write_text(json.dumps(own))
    ecg = make_beats(0)
    for given_prompts in (own, tmp_path / "own.json"):
        found = predict(ecg, model, sampling_rate=100, prompts=given_prompts)
        vectors = model.encode_text(["left bundle branch block", "lsb", "normal ecg"])
        direct = model.similarity(model.encode_ecg(ecg[None].astype(np.float32)), vectors)[0]
        scores = found.scores.set_index("class")["score"]
        assert np.isclose(scores["block"], direct[:2].mean().item(), atol=1e-4)
        assert np.isclose(scores["normal"], direct[2].item(), atol=1e-4)
    assert list(found.table().columns) == ["class", "score"]


def test_tasks_of_every_described_data_set_can_be_asked(make_beats, model):
    for task, count in (("rhythm", 12), ("csn-merl", 38), ("gold", 6)):
        assert len(predict(make_beats(0), model, sampling_rate=100, task=task).scores) == count


# ---- neighbours ----


def test_the_nearest_ecgs_are_those_of_a_slow_search(published, store, model):
    row = 11
    source = published / f"{store.records['source'].iloc[row]}.hea"
    found = predict(source, model, neighbours=store)
    features = extract(model, store, progress=False).astype(np.float64)
    cosine = [
        float(f @ features[row] / np.linalg.norm(f) / np.linalg.norm(features[row]))
        for f in features
    ]
    assert found.neighbours["row"].iloc[0] == row
    assert np.allclose(found.neighbours["cosine"], sorted(cosine, reverse=True)[:5], atol=1e-5)
    labels = store.labels("super").iloc[row]
    assert found.neighbours["labels"].iloc[0] == ", ".join(labels.index[labels == 1])
    assert store.records["report"].iloc[row] == found.neighbours["report"].iloc[0]
    assert "40 ECGs of ptb-xl, with 12 leads of 10 s each, score lower" in found.text()
    again = predict(source, model, neighbours=store.path)
    assert again.neighbours.equals(found.neighbours)


# ---- words ----


class Tags(HTMLParser):
    def __init__(self, page: str):
        super().__init__()
        self.tags, self.text, self.sources = [], "", []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [v for k, v in attributes if k in ("src", "href")]

    def handle_data(self, data):
        self.text += data


def test_the_notice_stands_in_every_form(make_beats, model):
    found = predict(make_beats(0), model, sampling_rate=100)
    for text in (found.text(), found.html(), found._repr_html_()):
        assert NOTICE in text
    assert "similarity, no probability" in found.text() and "no probability" in found.html()


def test_the_page_needs_no_other_file_and_shows_the_ecg(make_beats, model):
    page = Tags(predict(make_beats(0), model, sampling_rate=100).html())
    assert page.tags.count("img") == 1 and "script" not in page.tags
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    for name in SUPER:
        assert name in page.text


@pytest.mark.skipif(sys.platform == "win32", reason="names that Windows does not allow")
def test_hostile_text_reaches_neither_terminal_nor_page(tmp_path, make_beats, store, model):
    name = '<script>alert(1)<_script>\x1b[2J&".csv'
    one_csv(tmp_path / name, make_beats(0))
    hostile = {"<b>bold</b>\x1b[31m": "<i>text</i>"}
    shown = SignalStore(store.path, store.meta, store.signals, store.records.copy())
    shown.records["report"] = "<script>alert(2)</script>\x1b[2J"
    found = predict(tmp_path / name, model, prompts=hostile, neighbours=shown)
    page = Tags(found.html())
    assert not {"script", "b", "i\x00"} & set(page.tags)
    assert page.tags.count("i") == 1  # our own bar
    assert "<script>alert(2)</script>" in page.text and "<b>bold</b>" in page.text
    assert "\x1b" not in found.text() + found.html()


def test_words_are_set_left_and_numbers_right():
    frame = pd.DataFrame({"name": ["a", "long"], "score": [1.0, -12.5], "rank": ["5%", "100%"]})
    assert plain_table(frame).splitlines() == [
        "  name    score  rank", "  a       1.000    5%", "  long  -12.500  100%",
    ]  # fmt: skip
    assert safe("\x07<&>") == "\N{REPLACEMENT CHARACTER}&lt;&amp;&gt;"


# ---- the command ----


def run_command(*arguments):
    return main(["predict", *map(str, arguments)])


def test_the_command_prints_and_writes_what_is_asked(tmp_path, make_beats, folder, capsys):
    path = one_csv(tmp_path / "a.csv", make_beats(0))
    out = [f"--{kind}={tmp_path / name}" for kind, name in (
        ("html", "p.html"), ("png", "p.png"), ("features", "f.npz"), ("csv", "s.csv"))]  # fmt: skip
    assert run_command(path, "--model", folder, *out) == 0
    printed = capsys.readouterr().out
    found = predict(path, folder)
    assert found.text() in printed and printed.count("written: ") == 4
    assert (tmp_path / "p.html").read_text(encoding="utf-8") == found.html()
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    with np.load(tmp_path / "f.npz", allow_pickle=False) as file:
        assert file["record"].tolist() == ["a.csv"]
        assert np.array_equal(file["features"], found.features[None])
    table = pd.read_csv(tmp_path / "s.csv")
    assert set(table["class"]) == set(SUPER) and (table["record"] == "a.csv").all()
    assert np.allclose(table["score"], found.scores["score"], rtol=1e-5)


def test_a_folder_is_answered_file_by_file(tmp_path, make_beats, folder, capsys):
    mine = tmp_path / "mine"
    mine.mkdir()
    for i in range(3):
        one_csv(mine / f"{i}.csv", make_beats(i))
    (mine / "bad.edf").write_bytes(b"0       ")
    one_csv(mine / "short.csv", make_beats(0)[:, :50])
    out = [f"--html={tmp_path / 'p.html'}", f"--csv={tmp_path / 's.csv'}"]
    assert run_command(mine, "--model", folder, *out) == 0
    printed = capsys.readouterr().out
    assert "3 recordings, 2 not read. " + NOTICE in printed
    assert "X bad.edf" in printed and "X short.csv has 0.50 s; record at least 1 s" in printed
    table = pd.read_csv(tmp_path / "s.csv")
    assert sorted(table["record"].unique()) == ["0.csv", "1.csv", "2.csv"]
    single = predict(mine / "1.csv", folder).scores.set_index("class")["score"]
    rows = table.query("record == '1.csv'").set_index("class")["score"]
    assert np.allclose(rows[single.index], single, atol=1e-4)
    page = Tags((tmp_path / "p.html").read_text(encoding="utf-8"))
    assert page.tags.count("img") == 3 and "bad.edf" in page.text


def test_a_folder_streams_and_stops_at_the_limit(tmp_path, make_beats, model):
    for i in range(4):
        one_csv(tmp_path / f"{i}.csv", make_beats(i))
    found = list(predict_folder(tmp_path, model, limit=3))
    assert [each.name for each in found] == ["0.csv", "1.csv", "2.csv"]
    assert not any(isinstance(each, Unread) for each in found)
    assert found[0].without_signal().given.recording.samples.shape == (12, 0)


@pytest.mark.parametrize(
    ("file", "options", "code", "said"),
    [
        ("none.csv", [], 2, "is not there; name a recording"),
        ("empty", [], 2, "holds no recording"),
        ("ecg.csv", ["--task", "supper"], 2, "'supper' is no task with class descriptions"),
        ("ecg.csv", ["--units", "stone"], 2, "units='stone' is no unit"),
        ("ecg.npy", ["--leads", "I,X9", "--rate", "100"], 2, "'X9' is no lead name"),
        ("ecg.csv", ["--prompts", "{here}/none.json"], 2, "is no file"),
        ("ecg.csv", ["--prompts", "{here}/broken.json"], 1, "is damaged"),
        ("ecg.csv", ["--neighbours", "{here}/empty"], 1, "store.json"),
        ("broken.edf", [], 1, "broken.edf does not begin as EDF does; export it again"),
        ("leadless.csv", [], 1, "names no lead in its first line; head the columns"),
        ("ecg.npy", [], 1, "does not say its rate; give it in Hz: sampling_rate=500"),
        ("volts.csv", [], 1, "--units uV"),
        ("counts.csv", [], 1, "--units uV"),
        ("short.csv", [], 1, "short.csv has 0.50 s; record at least 1 s, better 10"),
        ("flat.csv", [], 1, "flat.csv: no lead has a signal, each holds one value"),
        ("text.txt", [], 1, "text.txt is none of .hea"),
        ("link.csv", [], 1, "links are not followed"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, make_beats, folder, capsys, file, options, code, said):
    ecg = make_beats(0)
    one_csv(tmp_path / "ecg.csv", ecg)
    np.save(tmp_path / "ecg.npy", ecg)
    one_csv(tmp_path / "volts.csv", ecg / 1000)
    one_csv(tmp_path / "counts.csv", ecg * 100_000)
    one_csv(tmp_path / "short.csv", ecg[:, :50])
    one_csv(tmp_path / "flat.csv", np.ones((12, 1000)))
    (tmp_path / "broken.edf").write_bytes(b"no EDF")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "leadless.csv").write_text("a,b\n1,2\n")
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "link.csv").symlink_to(tmp_path / "ecg.csv")
    (tmp_path / "empty").mkdir()
    options = [word.replace("{here}", str(tmp_path)) for word in options]
    assert run_command(tmp_path / file, "--model", folder, *options) == code
    printed = capsys.readouterr()
    assert printed.err.startswith("dbeta: ") and printed.err.count("\n") == 1
    assert said in printed.err, printed.err


def test_a_folder_without_a_readable_recording_fails(tmp_path, folder, capsys):
    (tmp_path / "a.edf").write_bytes(b"0")
    assert run_command(tmp_path, "--model", folder) == 1
    assert "no recording in it could be read" in capsys.readouterr().err


def test_arrays_that_are_no_ecg_are_refused(make_beats, model):
    ecg = make_beats(0)
    for values, options, said in (
        (ecg, {}, "needs its rate"),
        (ecg[:5], {"sampling_rate": 100}, "no ECG of 12 leads"),
        (ecg[0], {"sampling_rate": 100}, "no ECG of 12 leads"),
        (ecg, {"sampling_rate": 100, "leads": ["I", "I"]}, "named twice"),
        (ecg[:, :0], {"sampling_rate": 100}, "no ECG"),
        (ecg.astype(str), {"sampling_rate": 100}, "no ECG"),
    ):
        with pytest.raises(UsageError, match=said):
            predict(values, model, **options)
    with pytest.raises(DBetaError, match="--units uV"):
        predict(1000 * ecg, model, sampling_rate=100)
    with pytest.raises(UsageError, match="prompts name no class"):
        predict(ecg, model, sampling_rate=100, prompts={})
    with pytest.raises(UsageError, match="class 'x' has no text"):
        predict(ecg, model, sampling_rate=100, prompts={"x": []})


def test_wrong_use_is_said_before_torch_is_loaded(tmp_path, make_beats):
    path = one_csv(tmp_path / "a.csv", make_beats(0))
    code = (
        "import sys; from dbeta_lib.cli import main\n"
        f"codes = [main(['predict', {str(tmp_path / 'none.csv')!r}]),\n"
        f"         main(['predict', {str(path)!r}, '--task', 'nosuch'])]\n"
        "sys.exit(codes != [2, 2] or 'torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_features_are_written_as_plain_arrays(tmp_path, make_beats, folder):
    path = one_csv(tmp_path / "a.csv", make_beats(0))
    assert run_command(path, "--model", folder, f"--features={tmp_path / 'f.npz'}") == 0
    with zipfile.ZipFile(tmp_path / "f.npz") as file:
        assert sorted(file.namelist()) == ["features.npy", "record.npy"]
    assert not list(Path(tmp_path).glob(".*partial"))
