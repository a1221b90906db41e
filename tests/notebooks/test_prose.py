"""What the notebooks' prose points at is there: files that it links to, commands that it names."""

import json
import re
import shlex
from pathlib import Path

import pytest

from dbeta_lib.command_line import ROOT, plan

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def prose_of(path: Path) -> str:
    """All markdown cells of a notebook."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


@every
def test_links_within_the_repository_lead_somewhere(path):
    links = re.findall(r"\]\(([^)\s]+)\)", prose_of(path))
    lost = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert not lost


@every
def test_commands_in_the_prose_are_accepted(path, tmp_path):
    commands = re.findall(r"`\./run_all\.sh ([^`]+)`", prose_of(path))
    for command in commands:
        asked = plan([*shlex.split(command), "--out", str(tmp_path / "out")])
        assert asked.selected, command
