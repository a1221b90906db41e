"""The command line is checked to the last name and value before anything runs."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dbeta_lib.command_line import ROOT, dataset_names, main, plan
from dbeta_lib.data import DATASETS
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.notebook_parameters import checked, parsed, read_parameters, read_profile

PARAMETERS = """seed = 0  # comment
steps = 3000
rate = 1e-3
fresh_start = False
words = "a b"
fractions = [0.01, 0.1]
names = ["x"]
anything = None
data = {}
out = "../runs/demo"
profile = "demo"
"""


@pytest.fixture
def three(kit):
    """A kit with three notebooks, of which the second has all the parameters."""
    kit.write("00_tour")
    kit.write("01_data", parameters=PARAMETERS)
    kit.write("05_probe", parameters="seed = 0\nfolds = 5")
    return kit


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--profile", "demoo"], "--profile demoo: there is no such profile; did you mean 'demo'?"),
        (["--set", "nosuch=1"], "no selected notebook has 'nosuch'; known: "),
        (["--set", "step=1"], "did you mean 'steps'?"),
        (["--set", "steps"], "write it as KEY=VALUE"),
        (["--set", "folds=3", "--only", "01"], "'folds' belongs to 05_probe, not selected"),
        (["--set", "steps=many"], "'steps' takes a whole number, as its default 3000"),
        (["--set", "steps=1.5"], "'steps' takes a whole number"),
        (["--set", "steps=true"], "'steps' takes a whole number"),
        (["--set", "fresh_start=1"], "'fresh_start' takes true or false"),
        (["--set", "rate=nan"], "'rate' takes a number"),
        (["--set", "rate=1e999"], "'rate' takes a finite number"),
        (["--set", "fractions=0.1,much"], "each item of --set fractions=0.1,much"),
        (["--set", "fractions=[0.1"], "'fractions' takes a list"),
        (["--set", "out=/tmp"], "'out' has its own option, --out DIR"),
        (["--only", "77"], "--only 77: there is no such notebook; known: 00, 01, 05"),
        (["--only", "01_dta"], "did you mean '01_data'?"),
        (["--only", ""], "there is no such notebook"),
        (["--from", "77"], "--from 77: there is no such notebook"),
        (["--only", "00", "--from", "01"], "exclude each other"),
        (["--nosuch"], "'--nosuch' is not known here"),
        (["--prof", "demo"], "did you mean '--profile'?"),
        (["tets"], "'tets' is not known here; did you mean 'test'?"),
        (["--only"], "expected one argument"),
        (["--data", "ptb-xl=/nonexistent"], "there is no folder /nonexistent"),
        (["--data", "ptbxl=/tmp"], "'ptbxl' is no data set; did you mean 'ptb-xl'?"),
        (["--data", "ptb-xl"], "write it as NAME=DIR"),
        (["--data", "synthetic=/tmp"], "takes no folder"),
        (["--out", "/dev/null/x"], "/dev/null is a file"),
        (["--out", ""], "--out needs a folder"),
    ],
)
def test_wrong_use_is_one_sentence_and_code_2(three, options, said, capsys):
    assert main(["--notebooks", str(three.notebooks), *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("run_all.sh: ") and captured.err.count("\n") == 1
    assert said in captured.err


def test_settings_reach_the_notebooks_that_have_them_with_the_type_of_the_default(three):
    options = ["seed=7", "steps=20", "rate=1", "fresh_start=TRUE", "words=true", "fractions=1,0.5"]
    options += ["names=y,z", "anything=[1, 2]", "folds=3"]
    asked = plan(three.arguments(*(part for o in options for part in ("--set", o))))
    assert asked.parameters["00_tour"] == {"seed": 7}
    assert asked.parameters["05_probe"] == {"seed": 7, "folds": 3}
    got = asked.parameters["01_data"]
    assert got == {
        "seed": 7,
        "steps": 20,
        "rate": 1.0,
        "fresh_start": True,
        "words": "true",
        "fractions": [1.0, 0.5],
        "names": ["y", "z"],
        "anything": [1, 2],
        "data": {},
        "out": str(three.out),
        "profile": "demo",
    }
    assert type(got["rate"]) is float and type(got["fractions"][0]) is float


def test_a_setting_wins_over_the_profile_and_the_profile_over_the_default(three):
    three.profile("seed: 3\nsteps: 10\n")
    asked = plan(three.arguments("--set", "steps=11"))
    assert asked.parameters["01_data"]["steps"] == 11
    assert asked.parameters["01_data"]["seed"] == 3
    assert "rate" not in asked.parameters["01_data"]


def test_the_profile_counts_for_notebooks_that_are_not_selected_too(three):
    three.profile("folds: 4\n")
    assert plan(three.arguments("--only", "00")).parameters == {"00_tour": {}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stepz: 1\n", "no notebook has a parameter 'stepz' to set; did you mean 'steps'?"),
        ("out: here\n", "no notebook has a parameter 'out' to set"),
        ("steps: soon\n", "profile 'demo': 'steps' takes a whole number"),
        ("dataset: ptb\n", "no notebook has a parameter 'dataset'"),
    ],
)
def test_a_profile_with_an_unknown_key_or_type_is_refused(three, text, said):
    three.profile(text)
    with pytest.raises(UsageError, match=said):
        plan(three.arguments())


def test_a_real_data_set_needs_its_folder(three, tmp_path):
    three.write("02_n3s", parameters='dataset = "synthetic"\ndata = {}')
    three.profile("dataset: ptb-xl\n")
    with pytest.raises(UsageError, match="give --data ptb-xl=DIR"):
        plan(three.arguments())
    asked = plan(three.arguments("--data", f"ptb-xl={tmp_path}"))
    assert asked.parameters["02_n3s"] == {"dataset": "ptb-xl", "data": {"ptb-xl": str(tmp_path)}}
    with pytest.raises(UsageError, match="'ptbxl' is no data set of the kit; did you mean"):
        plan(three.arguments("--set", "dataset=ptbxl"))


def test_every_data_set_that_pre_training_joins_needs_its_folder(three, tmp_path):
    three.write("03_run", parameters="stores = {}\ndata = {}")
    three.profile('stores: {"synthetic": 1, "csn": 0.5}\n')
    with pytest.raises(UsageError, match="give --data csn=DIR"):
        plan(three.arguments())
    assert plan(three.arguments("--data", f"csn={tmp_path}")).parameters["03_run"]["stores"]
    three.profile('stores: {"ptbxl": 1}\n')
    with pytest.raises(UsageError, match="'ptbxl' is no data set of the kit; did you mean"):
        plan(three.arguments())


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], ["00_tour", "01_data", "05_probe"]),
        (["--only", "1"], ["01_data"]),
        (["--only", "05,00_tour"], ["00_tour", "05_probe"]),
        (["--from", "01_data.ipynb"], ["01_data", "05_probe"]),
    ],
)
def test_selection(three, options, names):
    assert [n.name for n in plan(three.arguments(*options)).selected] == names


def test_relative_folders_are_those_of_the_caller(three, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = plan(
        ["--notebooks", "notebooks", "--out", "here", "--data", "ptb-xl=notebooks", "--only", "01"]
    )
    assert asked.out == tmp_path / "here"
    assert asked.parameters["01_data"]["data"] == {"ptb-xl": str(tmp_path / "notebooks")}


def test_a_foreign_folder_is_never_emptied(three):
    three.out.mkdir()
    (three.out / "thesis.docx").write_text("years of work")
    with pytest.raises(
        UsageError, match=r"holds files but no workflow\.json, so it is not emptied"
    ):
        plan(three.arguments("--fresh"))
    plan(three.arguments("--fresh", "--only", "00"))


def test_two_profiles_do_not_share_a_folder(three):
    three.profile("", name="smoke")
    three.out.mkdir()
    (three.out / "workflow.json").write_text('{"profile": "smoke"}')
    with pytest.raises(UsageError, match="holds a run of profile 'smoke'"):
        plan(three.arguments())
    plan(three.arguments("--profile", "smoke"))
    assert plan(three.arguments("--fresh")).empties


def test_names_of_data_sets_are_read_as_they_are_imported():
    assert dataset_names() == list(DATASETS)


@pytest.mark.parametrize("source", ["x: int = 1", "x = 1 + y", "x, y = 1, 2", "print(1)", "x ="])
def test_a_parameters_cell_takes_plain_literals_alone(kit, source):
    path = kit.write("00_tour", parameters=source)
    with pytest.raises(DBetaError, match="takes 'name = literal' lines only"):
        read_parameters(path)


def test_a_damaged_notebook_is_named(kit):
    path = kit.write("00_tour")
    path.write_text("{", encoding="utf-8")
    with pytest.raises(DBetaError, match=r"00_tour\.ipynb is no readable notebook"):
        read_parameters(path)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "notebooks/profiles").glob("*.yaml")), ids=lambda p: p.stem
)
def test_a_profile_reads_as_pyyaml_reads_it(path: Path):
    assert read_profile(path) == (yaml.safe_load(path.read_text(encoding="utf-8")) or {})


_WORD = st.from_regex(r"[A-Za-z][A-Za-z0-9 _./+-]{0,11}", fullmatch=True).map(str.strip)
_SCALAR = st.one_of(
    st.integers(-(10**9), 10**9),
    st.floats(-1e9, 1e9),
    st.booleans(),
    st.none(),
)


@given(st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]{0,9}", fullmatch=True), _SCALAR | _WORD))
def test_every_profile_that_we_accept_reads_as_pyyaml_reads_it(tmp_path_factory, values):
    lines = [f"# {len(values)} values", ""]
    for key, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value)
        lines.append(f"{key}: {text}  # a comment")
    path = tmp_path_factory.mktemp("profile") / "p.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    try:
        ours = read_profile(path)
    except DBetaError:
        return  # refusing is always right; reading something else never is
    assert ours == (yaml.safe_load(path.read_text(encoding="utf-8")) or {})


@pytest.mark.parametrize(
    "line", ["a 1", "- a", "a: {b: 1}", "a: no", "a: 1e-3", "no: 1", "a: 2026-01-01", "a:\n  b: 1"]
)
def test_what_yaml_readers_could_take_differently_is_refused(tmp_path, line):
    path = tmp_path / "p.yaml"
    path.write_text(f"seed: 0\n{line}\n", encoding="utf-8")
    with pytest.raises(DBetaError, match="line 2"):
        read_profile(path)


@given(st.one_of(st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False)))
def test_a_value_written_as_text_comes_back(value):
    assert parsed(repr(value), value, "x") == value
    assert checked(value, value, "x") is value
