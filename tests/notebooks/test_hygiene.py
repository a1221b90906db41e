"""Every committed notebook keeps the house rules: bare, documented, short, with live parameters."""

import ast
import json
import re
from pathlib import Path

import nbformat
import papermill
import pytest

from dbeta_lib.command_line import ROOT, plan
from dbeta_lib.notebook_parameters import read_parameters

EXPECTED = [
    "00_tour",
    "01_data_preparation",
    "02_n3s_negatives",
    "03_pretraining",
    "04_zero_shot",
    "05_linear_probe",
    "06_lead_subsets",
    "07_fine_tuning",
    "08_components_and_negatives",
    "09_text_encoders",
    "10_explore",
    "11_paper_tables",
]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb")) + sorted((FOLDER / "solutions").glob("*.ipynb"))
NUMBERED = [path for path in NOTEBOOKS if path.parent == FOLDER]
SOLVED = tuple(f"{number:02d}" for number in range(11))  # notebooks with worked answers
COMMON = {"profile", "out"}  # parameters that the workflow gives and every notebook takes
MAX_CODE_LINES = 15
MAX_DEF_LINES = 3
TAGS = {"parameters", "summary", "raises-exception"}

every = pytest.mark.parametrize(
    "path", NOTEBOOKS, ids=lambda p: p.relative_to(FOLDER).with_suffix("").as_posix()
)
numbered = pytest.mark.parametrize("path", NUMBERED, ids=lambda p: p.stem)
solved = pytest.mark.parametrize(
    "path", [p for p in NUMBERED if p.stem[:2] in SOLVED], ids=lambda p: p.stem
)


def cells_of(path: Path, kind: str = "code") -> list[dict]:
    """Cells of one kind, straight from the JSON."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [c | {"text": "".join(c["source"])} for c in cells if c["cell_type"] == kind]


def tree_of(source: str) -> ast.Module:
    """The syntax tree of a cell, without its magics."""
    lines = ["" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines()]
    return ast.parse("\n".join(lines))


def code_lines(source: str) -> int:
    """Lines that are neither empty nor comments."""
    return sum(
        bool(line.strip()) and not line.lstrip().startswith("#") for line in source.split("\n")
    )


def test_the_expected_notebooks_are_there_and_nothing_else():
    assert [path.stem for path in NUMBERED] == EXPECTED


@numbered
def test_papermill_sees_the_same_parameters_as_we_do(path, caplog):
    """A second "=" in a line's comment hides it from papermill, which then warns at every run."""
    seen = papermill.inspect_notebook(str(path))
    assert list(seen) == list(read_parameters(path))
    assert not [r for r in caplog.records if "Unable to parse" in r.getMessage()]


@every
def test_is_valid_and_bare(path):
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags"}, f"{cell.id}: metadata {dict(cell.metadata)}"
        assert set(cell.metadata.get("tags", [])) <= TAGS, cell.id
        assert cell.source.strip() and cell.source == cell.source.rstrip(), (
            f"{cell.id}: white space"
        )
        if cell.cell_type == "code":
            assert cell.outputs == [], f"{cell.id} has outputs"
            assert cell.execution_count is None, f"{cell.id} has an execution count"


@every
def test_cell_ids_are_unique_and_speaking(path):
    ids = [cell["id"] for kind in ("code", "markdown") for cell in cells_of(path, kind)]
    assert len(set(ids)) == len(ids)
    hexadecimal = [i for i in ids if re.fullmatch(r"[0-9a-f]{8}([0-9a-f-]{28})?", i)]
    assert not hexadecimal, f"random ids change with every save: {hexadecimal}"


@every
def test_the_first_cell_says_what_you_will_learn_and_how_long_it_takes(path):
    first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]
    text = "".join(first["source"])
    assert first["cell_type"] == "markdown" and text.startswith("# ")
    assert "you will learn" in text.lower()
    assert re.search(r"run(ning)? time", text.lower())


@numbered
def test_one_parameters_cell_of_plain_documented_literals(path):
    tagged = [c for c in cells_of(path) if "parameters" in c["metadata"].get("tags", [])]
    assert len(tagged) == 1
    assert read_parameters(path).keys() >= COMMON
    for statement in ast.parse(tagged[0]["text"]).body:
        line = tagged[0]["text"].splitlines()[statement.end_lineno - 1]
        assert re.search(r"\s#\s*\S", line), f"say what this is: {line}"


@numbered
def test_every_parameter_is_read_by_a_later_cell(path):
    cells = cells_of(path)
    start = next(i for i, c in enumerate(cells) if "parameters" in c["metadata"].get("tags", []))
    read = {
        node.id
        for cell in cells[start + 1 :]
        for node in ast.walk(tree_of(cell["text"]))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    unread = read_parameters(path).keys() - read
    assert not unread, f"changing {sorted(unread)} would change nothing"


@every
def test_cells_are_short_and_hold_no_logic(path):
    for cell in cells_of(path):
        if "parameters" not in cell["metadata"].get("tags", []):
            assert code_lines(cell["text"]) <= MAX_CODE_LINES, f"{cell['id']} is too long"
        for node in ast.walk(tree_of(cell["text"])):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                length = node.end_lineno - node.lineno + 1
                assert length <= MAX_DEF_LINES, f"{cell['id']}: {node.name} belongs in the library"


@numbered
def test_prose_and_checks(path):
    code = cells_of(path)
    assert len(cells_of(path, "markdown")) >= len(code) / 2, "more prose"
    asserted = any(
        isinstance(node, ast.Assert) for c in code for node in ast.walk(tree_of(c["text"]))
    )
    assert asserted, "a notebook asserts what its prose claims"
    assert "exercise" in cells_of(path, "markdown")[-1]["text"].lower() or any(
        "exercises" in c["text"].lower() for c in cells_of(path, "markdown")[-4:]
    )


@pytest.mark.parametrize(
    "path", [p for p in NUMBERED if p.stem[:2] in SOLVED], ids=lambda p: p.stem
)
def test_three_exercises_and_their_worked_answers(path):
    last = cells_of(path, "markdown")[-1]["text"]
    for number, kind in enumerate(("Look.", "Change and predict.", "Code, ten lines."), start=1):
        assert f"\n{number}. **{kind}** " in last
    assert f"(solutions/{path.name})" in last
    solution = FOLDER / "solutions" / path.name
    heads = [c["text"].split("\n")[0] for c in cells_of(solution, "markdown")]
    asked = [head for head in heads if head.startswith("## ")]
    assert [head[:7] for head in asked] == ["## 1. L", "## 2. C", "## 3. C"]
    named = {t for c in cells_of(solution) for t in c["metadata"].get("tags", [])}
    assert named == {"parameters"} and "out" in read_parameters(solution)
    assert any(
        isinstance(n, ast.Assert) for c in cells_of(solution) for n in tree_of(c["text"]).body
    )


def test_solutions_are_those_of_the_solved_notebooks_and_no_run_takes_them_for_notebooks(tmp_path):
    found = [path for path in NOTEBOOKS if path.parent != FOLDER]
    assert [path.stem for path in found] == [p.stem for p in NUMBERED if p.stem[:2] in SOLVED]
    asked = plan(["--profile", "smoke", "--out", str(tmp_path / "o")])
    assert not {n.path for n in asked.notebooks} & set(found)


@pytest.mark.parametrize("profile", ["smoke", "demo", "paper", "ptbxl"])
def test_every_profile_fits_the_notebooks(profile, tmp_path):
    # Real data sets need a folder on the command line; any will do for reading names and types.
    arguments = ["--profile", profile, "--out", str(tmp_path / "o")]
    for name in ("ptb-xl", "mimic-iv-ecg"):
        arguments += ["--data", f"{name}={tmp_path}"]
    asked = plan(arguments)
    assert {n.name for n in asked.selected} == {p.stem for p in NUMBERED}
