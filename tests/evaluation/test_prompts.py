"""Every class has its texts in every language it needs; a user's own file is read and checked."""

import csv
import json
import re
from pathlib import Path

import pytest

from dbeta_lib.data.synthetic import CONDITIONS
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.evaluation import prompts

PTB_XL = {
    "super": "NORM MI STTC CD HYP",
    "sub": "AMI CLBBB CRBBB ILBBB IMI IRBBB ISCA ISCI ISC_ IVCD LAFB/LPFB LAO/LAE LMI LVH NORM "
    "NST_ PMI RAO/RAE RVH SEHYP STTC WPW _AVB",
    "form": "ABQRS DIG HVOLT INVT LNGQT LOWT LPR LVOLT NDT NST_ NT_ PAC PRC(S) PVC QWAVE STD_ STE_ "
    "TAB_ VCLVH",
    "rhythm": "AFIB AFLT BIGU PACE PSVT SARRH SBRAD SR STACH SVARR SVTAC TRIGU",
}
CASES = [("ptb-xl", task, names.split(), ("en", "de")) for task, names in PTB_XL.items()]
CASES += [("synthetic", "conditions", list(CONDITIONS), ("en",))]


@pytest.mark.parametrize(("dataset", "task", "classes", "languages"), CASES)
def test_every_class_has_every_text(dataset, task, classes, languages):
    for language in languages:
        for style, count in (("name", 1), ("description", 1), ("ensemble", 5)):
            found = prompts.select(dataset, task, style, (language,))
            assert set(found) == set(classes)
            assert not prompts.missing(found, classes)
            assert all(len(texts) == count == len(set(texts)) for texts in found.values())


def test_the_classes_are_those_of_the_published_table():
    path = Path(__file__).resolve().parents[2] / "../shared/data/ptb-xl/scp_statements.csv"
    if not path.exists():
        pytest.skip("PTB-XL's table of statements is not at hand")
    with open(path, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    published = {
        "super": {r["diagnostic_class"] for r in rows if r["diagnostic"]},
        "sub": {r["diagnostic_subclass"] for r in rows if r["diagnostic"]},
        "form": {r[""] for r in rows if r["form"]},
        "rhythm": {r[""] for r in rows if r["rhythm"]},
    }
    assert published == {task: set(names.split()) for task, names in PTB_XL.items()}
    assert set(prompts.load()["prompts"]["ptb-xl"]) == set(published)


def entries():
    for dataset, tasks in prompts.load()["prompts"].items():
        for task, classes in tasks.items():
            for name, entry in classes.items():
                yield f"{dataset}/{task}/{name}", entry


def test_descriptions_are_two_sentences_and_sources_are_cited():
    content = prompts.load()
    used = set()
    for where, entry in entries():
        used |= set(entry["source"])
        for language in entry.keys() - {"source"}:
            text = entry[language]["description"]
            sentences = re.split(r"\. (?=[A-ZÄÖÜ])", text)
            assert len(sentences) == 2 and text.endswith("."), (where, language, sentences)
    assert used == set(content["sources"])
    assert all(re.search(r"(19|20)\d\d", text) for text in content["sources"].values())


def test_texts_tell_the_classes_of_a_task_apart():
    for dataset, task, _, languages in CASES:
        for language in languages:
            owner = {}
            for name, texts in prompts.select(dataset, task, "ensemble", (language,)).items():
                for text in texts:
                    other = owner.setdefault(text.lower(), name)
                    assert other == name, text


def test_german_texts_are_german_and_spelled_as_the_reports_spell():
    for where, entry in entries():
        if "de" not in entry:
            continue
        text = json.dumps(entry["de"], ensure_ascii=False).lower()
        assert not re.search(r"\b(rhythm|wave|waves|block of|leads|with|infarction)\b", text), where
        assert not re.search(r"hypertrofie|schenkelblok|rythmus|infarct\b", text), where


def test_languages_come_in_the_order_asked():
    both = prompts.select("ptb-xl", "super", "name", ("de", "en"))["NORM"]
    assert both == ("normales EKG", "normal ECG")
    other = prompts.select("ptb-xl", "super", "name", ("en", "de"))["NORM"]
    assert other == both[::-1]


def test_the_digest_changes_with_any_text_and_not_with_the_order():
    one = {"a": ("x", "y"), "b": ("z",)}
    assert prompts.digest(one) == prompts.digest({"b": ["z"], "a": ["x", "y"]})
    assert prompts.digest(one) != prompts.digest({**one, "b": ("z!",)})
    assert re.fullmatch("[0-9a-f]{8}", prompts.digest(one))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ptbxl", "super"), "did you mean 'ptb-xl'"),
        (("ptb-xl", "supper"), "did you mean 'super'"),
        (("ptb-xl", "super", "names"), "did you mean 'name'"),
        (("ptb-xl", "super", "name", ("fr",)), "no description in 'fr'; there is en, de"),
        (("synthetic", "conditions", "name", ("de",)), "no description in 'de'"),
        (("ptb-xl", "super", "name", ()), "no language"),
        (("ptb-xl", "super", "name", ("source",)), "no description in 'source'"),
    ],
)
def test_an_unknown_word_is_answered_with_the_nearest(arguments, said):
    with pytest.raises(UsageError, match=said):
        prompts.select(*arguments)


def test_a_users_own_file_is_read(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"MI": "old infarct", "NORM": ["normal ecg", "no pathology"]}))
    assert prompts.read_own(path) == {
        "MI": ("old infarct",),
        "NORM": ("normal ecg", "no pathology"),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "damaged"), ("[]", "JSON table"), ("{}", "JSON table"),
        ('{"MI": []}', "'MI' has no text"),
        ('{"MI": [""]}', "'MI' has an empty text"), ('{"MI": 3}', "'MI' has no text"),
        ('{"MI": [3]}', "'MI' has an empty text"),
    ],
)  # fmt: skip
def test_a_broken_file_of_the_user_is_named(tmp_path, text, said):
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(DBetaError, match=said) as error:
        prompts.read_own(path)
    assert "mine.json" in str(error.value)
    with pytest.raises(DBetaError, match=r"gone\.json is not there"):
        prompts.read_own(tmp_path / "gone.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda e: e.pop("source"), "has no source"),
        (lambda e: e.update(source=["aha-2009"]), "'aha-2009', which is not listed"),
        (lambda e: e["en"]["paraphrases"].pop(), "needs 3 paraphrases in 'en'"),
        (lambda e: e["de"].update(description=" "), "empty text in 'de'"),
        (lambda e: e["de"].pop("name"), "empty text in 'de'"),
        (lambda e: (e.pop("en"), e.pop("de")), "has no language"),
        (lambda e: e.update(en="text"), "needs 3 paraphrases"),
    ],
)
def test_an_incomplete_entry_is_named(tmp_path, change, said):
    content = prompts.load()
    change(content["prompts"]["ptb-xl"]["super"]["MI"])
    path = tmp_path / "p.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DBetaError, match="ptb-xl/super/MI .*" + re.escape(said)):
        prompts.load(path)
