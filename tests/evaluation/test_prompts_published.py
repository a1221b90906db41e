"""Prompt files that others published are read as they are; their contents here are made up."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbeta_lib.data import code_test, cpsc2018
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.evaluation import prompts

OFFICIAL = {  # in the layout of D-BETA's context_llm.json
    "NST": "Minor ST change. Less than 0.1 mV.",
    "1AVB": "AV block I. Every P wave is conducted, but late.",
    "RBBB": "RBBB, right bundle branch block.",
    "LBBB": "Left Bundle Branch Block. The left bundle does not conduct.",
    "SBRAD": "Slow sinus rhythm. Under 60 per minute.",
    "SB": "Sinus bradycardia. Slower than normal.",
    "AFIB": "Atrial Fibrillation. No P waves.",
    "STACH": "Fast sinus rhythm. Over 100 per minute.",
}
MERL = {
    "AFIB": "Atrial Fibrillation, AFib.",
    "AF": "Atrial Flutter, AFl.",
    "ST": "Sinus tachycardia.",
}


@pytest.fixture
def write(tmp_path):
    def written(content):
        path = tmp_path / "published.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return written


def test_the_official_file_is_read_as_it_is_for_code_test(write):
    found = prompts.read_file(write(OFFICIAL), code_test.CLASSES)
    keys = ("1AVB", "RBBB", "LBBB", "SBRAD", "AFIB", "STACH")
    assert found == {name: (OFFICIAL[k].lower(),) for name, k in zip(code_test.CLASSES, keys)}
    assert found == prompts.read_file(write(OFFICIAL), code_test.CLASSES, "code-test")


def test_merls_file_is_read_as_it_is(write):
    found = prompts.read_file(write(MERL), ["ST", "AF", "AFIB"])
    assert found == {
        "ST": ("sinus tachycardia.",),
        "AF": ("atrial flutter, afl.",),
        "AFIB": ("atrial fibrillation, afib.",),
    }


def test_af_is_read_as_its_dataset_means_it(write):
    path = write(MERL)
    assert prompts.read_file(path, ["AF"], "csn")["AF"] == ("atrial flutter, afl.",)
    for dataset in ("code-test", "cinc2021"):
        assert prompts.read_file(path, ["AF"], dataset)["AF"] == ("atrial fibrillation, afib.",)
    with pytest.raises(UsageError, match=r"csn, code-test, cinc2021; name the dataset"):
        prompts.read_file(path, ["AF"])


def test_neither_case_nor_underscore_keeps_a_class_from_its_text(write):
    content = {"nst": "Minor.", "AVB": "Block.", "prc(S)": "Early."}
    found = prompts.read_file(write(content), ["NST_", "_AVB", "PRC(S)"])
    assert found == {"NST_": ("minor.",), "_AVB": ("block.",), "PRC(S)": ("early.",)}


def test_a_users_lists_are_asked_as_they_stand(write):
    content = {"MI": ["Old infarct", "Q waves"], "mine": "My own Class"}
    assert prompts.read_file(write(content), ["mine", "MI"]) == {
        "mine": ("My own Class",),
        "MI": ("Old infarct", "Q waves"),
    }


def test_all_classes_that_a_file_lacks_are_named_in_one_sentence(write):
    with pytest.raises(DBetaError, match=r"no text for 3 of 9 classes \(NORM, PAC, STE\)") as error:
        content = OFFICIAL | {"VPC": "Early.", "STD": "Low."}
        prompts.read_file(write(content), cpsc2018.CLASSES)
    assert "published.json" in str(error.value) and "\n" not in str(error.value)


def test_classes_that_a_file_lacks_are_left_out_where_part_is_enough(write):
    content = OFFICIAL | {"VPC": "Early.", "STD": "Low."}
    found = prompts.read_file(write(content), cpsc2018.CLASSES, complete=False)
    assert set(cpsc2018.CLASSES) - set(found) == {"NORM", "PAC", "STE"}
    assert prompts.read_file(write({"MI": "Old."}), ["NORM"], complete=False) == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "damaged"), ("[]", "JSON table"), ('{"AFIB": {"a": "b"}}', "'AFIB' has no text"),
        ('{"AFIB": 1}', "'AFIB' has no text"), ('{"AFIB": " "}', "'AFIB' has an empty text"),
        ('{"AFIB": "a", "afib_": "b"}', "two entries for class 'afib_'"),
        ('{"sources": {}, "prompts": {}}', r"select\(..., path=...\)"),
    ],
)  # fmt: skip
def test_a_broken_published_file_is_named(write, content, said):
    with pytest.raises(DBetaError, match=said) as error:
        prompts.read_file(write(content), ["AFIB"], "csn")
    assert "published.json" in str(error.value)


def test_an_unknown_dataset_is_answered_with_the_nearest(write):
    with pytest.raises(UsageError, match="did you mean 'code-test'"):
        prompts.read_file(write(OFFICIAL), ["RBBB"], "codetest")


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["sources", "prompts", "findings", "a", "AFIB"]), inner, max_size=4
            )
        ),
        max_leaves=15,
    )
)
def test_whatever_json_is_given_is_read_or_refused_in_a_sentence(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(content))
    for read in (prompts.load, lambda path: prompts.read_file(path, ["AFIB"], "csn")):
        try:
            read(path)
        except DBetaError as error:
            assert "any.json" in str(error) and "\n" not in str(error)
