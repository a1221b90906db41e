"""What the notebooks' prose points at is there: files, terms, sections, commands."""

import json
import re
import shlex
from pathlib import Path

import pytest

from dbeta_lib.command_line import ROOT, plan

FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SOLUTIONS = sorted((FOLDER / "solutions").glob("*.ipynb"))
GLOSSARY, LESSON = FOLDER / "glossary.md", FOLDER / "lesson_plan.md"
every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
pages = pytest.mark.parametrize(
    "path", [*NOTEBOOKS, *SOLUTIONS, GLOSSARY, LESSON],
    ids=lambda p: p.relative_to(FOLDER).with_suffix("").as_posix(),
)  # fmt: skip


def prose_of(path: Path) -> str:
    """A page of Markdown, or all markdown cells of a notebook."""
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def links_of(path: Path) -> list[str]:
    """What its prose links to within the repository."""
    links = re.findall(r"\]\(([^)\s]+)\)", prose_of(path))
    return [link for link in links if "://" not in link]


@pages
def test_links_within_the_repository_lead_somewhere(path):
    for link in links_of(path):
        name, _, term = link.partition("#")
        assert (path.parent / name).exists(), link
        if term:
            there = prose_of(path.parent / name) if name else prose_of(path)
            assert f'<a id="{term}"></a>' in there, link


def test_each_term_of_the_glossary_stands_once_and_most_are_linked_from_a_notebook():
    terms = re.findall(r'^- <a id="([a-z0-9-]+)"></a>\*\*', prose_of(GLOSSARY), re.MULTILINE)
    assert len(terms) == len(set(terms)) == prose_of(GLOSSARY).count("<a id=") > 50
    linked = {link.partition("#")[2] for path in NOTEBOOKS for link in links_of(path)}
    assert len(linked & set(terms)) > len(terms) / 2
    for path in NOTEBOOKS:
        assert "glossary.md" in links_of(path), f"{path.name} does not say where its terms are"


def test_sections_that_the_lesson_plan_names_are_in_its_notebooks():
    heads = {
        path.stem[:2]: re.findall(r"^#+ (.*)$", prose_of(path), re.MULTILINE) for path in NOTEBOOKS
    }
    rows = re.findall(r"^\| [\d-]+ \|[^|]*\| (\d\d), ([^|]*)\|", prose_of(LESSON), re.MULTILINE)
    assert {number for number, _ in rows} == {"00", "01", "02", "03", "04"}
    for number, named in rows:
        for section in re.findall(r"\*([^*]+)\*", named):
            assert any(head.startswith(section) for head in heads[number]), (number, section)


@every
def test_commands_in_the_prose_are_accepted(path, tmp_path):
    commands = re.findall(r"`\./run_all\.sh ([^`]+)`", prose_of(path))
    for command in commands:
        asked = plan([*shlex.split(command), "--out", str(tmp_path / "out")])
        assert asked.selected, command
