"""All notebooks, in order, by the command that a user types, in the profile `smoke`."""

import json
import subprocess
import sys
from pathlib import Path

from dbeta_lib.command_line import ROOT

sys.path.insert(0, str(Path(__file__).parent))
from kernels import Kernel

SOLUTIONS = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))


def test_every_notebook_runs_in_smoke_and_leaves_its_page(tmp_path):
    out = tmp_path / "smoke"
    command = [sys.executable, "-m", "dbeta_lib.workflow", "--profile", "smoke", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"

    names = [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    records = json.loads((out / "workflow.json").read_text(encoding="utf-8"))["notebooks"]
    assert {name: records[name]["status"] for name in names} == dict.fromkeys(names, "finished")
    index = (out / "index.html").read_text(encoding="utf-8")
    for name in names:
        assert (out / "notebooks" / f"{name}.ipynb").is_file()
        assert (out / "html" / f"{name}.html").stat().st_size > 10_000
        assert f"html/{name}.html" in index
    assert_figures_are_shown(out, index)
    trained = (out / "html" / "03_pretraining.html").read_text(encoding="utf-8")
    assert "pre-training: 100%" in trained, "progress is text that a page can keep"
    assert_solutions_run_on(out)


def assert_figures_are_shown(out: Path, index: str) -> None:
    """The index shows a picture that is there."""
    shown = [part.split('"')[0] for part in index.split('<img src="')[1:]]
    assert shown and all((out / address).is_file() for address in shown)


def assert_solutions_run_on(out: Path) -> None:
    """Every worked answer runs on these products, in one kernel: most of a start is imports."""
    assert SOLUTIONS
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    kernel = Kernel(SOLUTIONS[0].parent)
    try:
        for path in SOLUTIONS:
            kernel.run("%reset -f")
            for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
                source = "".join(cell["source"])
                if "parameters" in cell["metadata"].get("tags", []):
                    source += f"\nout = {str(out)!r}"
                if cell["cell_type"] == "code":
                    shown = kernel.run(source)
                    assert not shown.error, f"{path.name}, {cell['id']}: {shown.error}"
    finally:
        kernel.close()
    kept = {path: path.stat().st_mtime_ns for path in before if path.is_file()}
    assert kept == before, "solutions change no product of a run"
