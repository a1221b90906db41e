"""Every class has its texts in every language it needs; a user's own file is read and checked."""

import csv
import json
import re
from pathlib import Path

import pytest

from dbeta_lib.data import cinc2021, code_test, cpsc2018, csn
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
CASES += [("cpsc2018", "cpsc2018", cpsc2018.CLASSES, ("en",))]
CASES += [("csn", "csn-merl", csn.MERL_CLASSES, ("en",))]
CASES += [("code-test", task, code_test.CLASSES, ("en",)) for task in code_test.TASKS]
CSN = (  # every acronym of the published table that stands first for its SNOMED code
    "1AVB 2AVB 2AVB1 2AVB2 3AVB ABI AF AFIB ALS APB AQW ARS AT AVB AVNRT AVRT CCR CR ERV FQRS IDC "
    "JEB JPT LBBB LVH LVQRSAL LVQRSCL LVQRSLL MI PRIE PWC QTIE RAH RBBB RVH SA SB SR ST STDD STE "
    "STTC STTU SVT TWC TWO UW VB VEB VET VFW VPB VPE WAVN WPW"
)
CINC = (
    "AF AFL BBB Brady CLBBB|LBBB CRBBB|RBBB IAVB IRBBB LAD LAnFB LPR LQRSV LQT NSIVCB NSR PAC|SVPB "
    "PR PRWP PVC|VPB QAb RAD SA SB STach TAb TInv"
)
CASES += [("csn", "csn", CSN.split(), ("en",)), ("cinc2021", "cinc2021", CINC.split(), ("en",))]
DATA = Path(__file__).resolve().parents[2] / "../shared/data"


@pytest.mark.parametrize(("dataset", "task", "classes", "languages"), CASES)
def test_every_class_has_every_text(dataset, task, classes, languages):
    for language in languages:
        for style, count in (("name", 1), ("description", 1), ("ensemble", 5)):
            found = prompts.select(dataset, task, style, (language,))
            assert set(found) == set(classes)
            assert not prompts.missing(found, classes)
            assert all(len(texts) == count == len(set(texts)) for texts in found.values())


def test_the_classes_are_those_of_the_published_table():
    path = DATA / "ptb-xl/scp_statements.csv"
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


def test_csns_and_the_challenges_classes_are_those_that_the_loaders_give(tmp_path):
    table = DATA / "csn" / csn.TABLE
    if not table.exists():
        pytest.skip("CSN's table of conditions is not at hand")
    conditions = csn.read_conditions(table)
    assert {names[0] for names in conditions.values()} == set(CSN.split())
    assert set(csn.MERL_CLASSES) <= set(CSN.split())
    for source in (tmp_path, DATA / "cinc2021"):  # the kit's own table, then the published ones
        assert set(cinc2021.read_classes(source).values()) == set(CINC.split())


def test_every_task_of_the_file_is_known_here():
    in_file = {(d, task) for d, tasks in prompts.load()["prompts"].items() for task in tasks}
    assert in_file == {(dataset, task) for dataset, task, _, _ in CASES}


def test_one_code_means_one_finding_in_whichever_dataset():
    finding, content = {}, raw()["prompts"]
    codes = [("cpsc2018", name, code) for code, name in cpsc2018.CODES.items()]
    codes += [("cinc2021", name, code) for code, name in cinc2021.read_classes(DATA).items()]
    if (DATA / "csn" / csn.TABLE).exists():
        conditions = csn.read_conditions(DATA / "csn" / csn.TABLE)
        codes += [("csn", names[0], code) for code, names in conditions.items()]
    meant_apart = {  # CPSC's class "normal"; CSN's "all lead", elsewhere limb or chest leads
        ("426783006", "normal ECG"), ("251146004", "low QRS voltage in all leads"),
    }  # fmt: skip
    for dataset, name, code in codes:
        named = content[dataset][dataset][name]
        if (code, named) not in meant_apart:
            assert finding.setdefault(code, named) == named, (dataset, name, code)


@pytest.mark.parametrize(
    ("dataset", "task", "name", "said"),
    [
        ("csn", "csn", "AF", "atrial flutter"), ("csn", "csn", "AFIB", "atrial fibrillation"),
        ("csn", "csn-merl", "AF", "atrial flutter"),
        ("code-test", "gold", "AF", "atrial fibrillation"),
        ("code-test", "dnn", "ST", "sinus tachycardia"), ("csn", "csn", "ST", "sinus tachycardia"),
        ("cinc2021", "cinc2021", "AF", "atrial fibrillation"),
        ("cinc2021", "cinc2021", "PR", "artificial pacemaker"),
        ("cinc2021", "cinc2021", "LPR", "prolonged PR interval"),
        ("csn", "csn", "STTU", "ST elevation"), ("csn", "csn", "STE", "ST segment prolongation"),
        ("cpsc2018", "cpsc2018", "STE", "ST elevation"), ("csn", "csn", "SA", "sinus arrhythmia"),
    ],
)  # fmt: skip
def test_a_name_that_datasets_use_for_two_things_has_each_its_own_meaning(
    dataset, task, name, said
):
    assert prompts.select(dataset, task, "name")[name] == (said,)


def raw():
    return json.loads(prompts.own_file().read_text(encoding="utf-8"))


def test_every_finding_is_used_and_no_text_stands_twice():
    content = raw()
    tables = [t for tasks in content["prompts"].values() for t in tasks.values()]
    given = [entry for t in tables if not isinstance(t, str) for entry in t.values()]
    assert {entry for entry in given if isinstance(entry, str)} == set(content["findings"])
    whole = [json.dumps(e) for e in [*content["findings"].values(), *given] if isinstance(e, dict)]
    assert len(whole) == len(set(whole))
    assert all(name.lower() == e["en"]["name"].lower() for name, e in content["findings"].items())


def test_names_in_published_files_are_listed_for_classes_that_exist():
    content = prompts.load()
    for dataset, names in content["published_names"].items():
        known = {name for task in content["prompts"][dataset].values() for name in task}
        assert set(names) <= known, dataset
        for name, there in names.items():
            assert there and len(set(there)) == len(there), (dataset, name)


def test_what_is_doubtful_is_said_of_classes_that_exist():
    content = prompts.load()
    for where in content["about"]["doubtful"]:
        dataset, name = where.split("/")
        assert name in content["prompts"][dataset][dataset]


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


def test_a_loaded_entry_may_be_changed_without_changing_another():
    content = prompts.load()
    content["prompts"]["csn"]["csn"]["AF"]["en"]["name"] = "changed"
    assert content["prompts"]["csn"]["csn-merl"]["AF"]["en"]["name"] == "atrial flutter"
    assert content["findings"]["atrial flutter"]["en"]["name"] == "atrial flutter"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["prompts"]["csn"]["csn"].update(AF="atrial fluter"), "'atrial flutter'"),
        (lambda c: c["prompts"]["code-test"].update(dnn="golden"), "code-test/dnn is no table"),
        (lambda c: c["prompts"].update(csn=[]), "csn is no table"),
        (lambda c: c.update(findings=[]), "findings is no table"),
        (lambda c: c.update(sources=3), "no table 'sources'"),
        (lambda c: c["findings"]["ST elevation"].update(source=[["x"]]), "STE names the source"),
    ],
)
def test_a_word_that_points_at_nothing_is_named(tmp_path, change, said):
    content = raw()
    change(content)
    path = tmp_path / "p.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DBetaError, match=said):
        prompts.load(path)


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
