"""Notebook 11 opened alone: the paper's tables with dashes, and a sentence about what to run."""

import json
import subprocess
import sys

from dbeta_lib.command_line import ROOT
from dbeta_lib.notebook_parameters import read_parameters

NOTEBOOK = ROOT / "notebooks" / "11_paper_tables.ipynb"


def test_the_kept_records_that_it_reads_by_default_are_there():
    folders = read_parameters(NOTEBOOK)["more_results"]
    assert folders and all(list((NOTEBOOK.parent / f).glob("*.json")) for f in folders)


def test_without_any_record_it_says_what_to_run_and_shows_the_papers_tables(tmp_path):
    command = [sys.executable, "-m", "dbeta_lib.workflow", "--profile", "smoke", "--only", "11"]
    command += ["--out", str(tmp_path / "out"), "--set", "more_results=[]"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    executed = (tmp_path / "out" / "notebooks" / NOTEBOOK.name).read_text(encoding="utf-8")
    cells = {c["id"]: c for c in json.loads(executed)["cells"]}
    (text, *_) = cells["gather"]["outputs"]
    assert "run notebooks 04 (zero-shot) and 05 (linear probe) first" in "".join(text["text"])
    (table,) = (o["data"]["text/markdown"] for o in cells["probe"]["outputs"])
    assert "D-BETA, printed" in "".join(table) and "| -- |" in "".join(table)
    left = ["certificate.html", "paper_tables/paper_tables.md", "paper_tables/paper_tables.csv"]
    for name in left:
        assert (tmp_path / "out" / name).stat().st_size > 1_000
    assert not (tmp_path / "out" / "paper_tables" / "demo_results.csv").exists()
