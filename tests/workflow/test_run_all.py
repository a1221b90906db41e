"""run_all.sh: wrong use before any install, and which commands an install consists of.

Pythons here are stand-ins that write down what they are asked; nothing is installed.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COPIED = ["run_all.sh", "pyproject.toml", "constraints.txt", "dbeta_lib", "notebooks/profiles"]
TORCH = next(
    line.removeprefix("torch==")
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line.startswith("torch==")
)
# Answers as a Python of an environment would; `$STUB` is a folder of notes about its state.
STUB = """#!/usr/bin/env bash
case "$*" in
    *version_info*) exit 0 ;;
    *sys.prefix*) echo "$STUB/env"; exit 0 ;;
    *find_spec*) [ -e "$STUB/installed" ]; exit ;;
    "-c import torch") [ -e "$STUB/torch" ]; exit ;;
    "-c import torch, papermill, wfdb") exit 0 ;;
    *importlib.metadata*) cat "$STUB/torch"; exit 0 ;;
    "-m pip --version") exit 0 ;;
    *dbeta_lib.command_line*) exit 0 ;;
esac
echo "$*" >>"$STUB/calls"
case "$*" in
    "-m venv "*) mkdir -p "${@: -1}/bin"; cp "$0" "${@: -1}/bin/python" ;;
    *pip*-e*) touch "$STUB/installed" ;;
    *pip*torch*) [ -e "$STUB/has-${*: -1}" ] && echo 2.13.0 >"$STUB/torch" ;;
esac
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what run_all.sh reads, with two tiny notebooks, outside the repository."""
    root = tmp_path / "clone"
    for name in COPIED:
        source, target = ROOT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "seed = 0"}
    for name in ("00_tour", "03_pretraining"):
        (root / "notebooks" / f"{name}.ipynb").write_text(json.dumps({"cells": [cell]}))
    for profile in (root / "notebooks/profiles").glob("*.yaml"):
        profile.write_text("seed: 0\n")
    return root


def run(root: Path, *options: str, **environment: str) -> subprocess.CompletedProcess:
    """run_all.sh with no environment active and a bare Python (no site-packages) on PATH."""
    tools = root.parent / "tools"
    tools.mkdir(exist_ok=True)
    python = tools / "python3"
    if not python.exists():
        python.write_text(f'#!/usr/bin/env bash\nexec "{sys.executable}" -S "$@"\n')
        python.chmod(0o755)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CONDA", "VIRTUAL_ENV"))}
    clean |= {"PATH": f"{tools}:/usr/bin:/bin", "PIP_NO_INDEX": "1"} | environment
    command = ["bash", str(root / "run_all.sh"), *options]
    return subprocess.run(command, env=clean, capture_output=True, text=True, cwd=root.parent)


@pytest.mark.parametrize(
    "options",
    [
        ["--profile", "nosuch"],
        ["--set", "nosuch=1"],
        ["--set", "seed=x"],
        ["--only", "77"],
        ["--nosuch"],
        ["--data", "ptb-xl=/nonexistent"],
        ["--data", "nosuch=/tmp"],
    ],
    ids=" ".join,
)
def test_wrong_use_ends_with_2_before_anything_is_made(copy, options):
    before = sorted(copy.rglob("*"))
    done = run(copy, *options)
    assert done.returncode == 2
    assert done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("run_all.sh: ") and "Traceback" not in done.stderr
    assert sorted(copy.rglob("*")) == before  # no .venv, no runs, no cache


def test_help_needs_nothing(copy):
    done = run(copy, "--help")
    assert done.returncode == 0 and "--profile NAME" in done.stdout and done.stderr == ""
    assert not (copy / ".venv").exists()


def test_an_old_python_is_refused_in_a_sentence(copy):
    tools = copy.parent / "tools"
    tools.mkdir()
    for name in ("python3", "python3.11", "python3.12", "python3.13", "python"):
        (tools / name).write_text("#!/usr/bin/env bash\nexit 1\n")
        (tools / name).chmod(0o755)
    done = run(copy)
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr and done.stderr.count("\n") == 1


class Stub:
    """Stand-in Pythons, and what they were asked to do."""

    def __init__(self, root: Path, *, active: bool) -> None:
        self.root, self.notes = root, root.parent / "notes"
        self.environment = {"STUB": str(self.notes)}
        (self.notes / "env").mkdir(parents=True)
        places = [root.parent / "tools" / "python3"]
        if active:
            places = [self.notes / "env/bin/python"]
            self.environment["VIRTUAL_ENV"] = str(self.notes / "env")
        for place in places:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(STUB)
            place.chmod(0o755)
        self.tool("nvidia-smi", "exit 9")

    def tool(self, name: str, script: str) -> None:
        """Put a command on PATH."""
        place = self.root.parent / "tools" / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(f"#!/usr/bin/env bash\n{script}\n")
        place.chmod(0o755)

    def note(self, name: str, text: str = "") -> None:
        """Tell the stand-in something: `torch` is there, `has-REQUIREMENT` can be installed."""
        (self.notes / name).write_text(text)

    def run(self, *options: str, **environment: str) -> list[str]:
        """Run; returns the calls since the last run, shortened."""
        calls = self.notes / "calls"
        calls.write_text("")
        self.done = run(self.root, *options, **self.environment, **environment)
        short = calls.read_text().replace("-m pip install --progress-bar off", "pip")
        return short.replace(str(self.root), "ROOT").replace(str(self.notes), "NOTES").splitlines()


PACKAGE = "pip -c NOTES/env/dbeta-constraints.txt -e ROOT"
WORKFLOW = "-P -m dbeta_lib.workflow"
CPU_INDEX = (
    "pip --no-deps --retries 0 --timeout 15 "
    f"--index-url https://download.pytorch.org/whl/cpu torch=={TORCH}+cpu"
)


def test_an_environment_is_made_once_and_reused_until_the_lists_change(copy):
    stub = Stub(copy, active=False)
    stub.note(f"has-torch=={TORCH}+cpu")
    made = ["-m venv --clear ROOT/.venv", f"pip torch=={TORCH}+cpu", PACKAGE, WORKFLOW]
    assert stub.run() == made, stub.done.stderr
    assert stub.run("--only", "03") == [f"{WORKFLOW} --only 03"]
    assert stub.run("test", "-k", "x") == [f"{PACKAGE}[dev,formats]", "-m pytest -q -n 2 -k x"]
    assert stub.run() == [WORKFLOW]
    (copy / "constraints.txt").write_text((copy / "constraints.txt").read_text() + "# newer\n")
    assert stub.run() == [PACKAGE, WORKFLOW]
    (stub.notes / "installed").unlink()  # as after an interrupted or damaged install
    assert stub.run() == [PACKAGE, WORKFLOW]


def test_what_a_parameter_needs_is_installed_before_anything_runs(copy):
    stub = Stub(copy, active=False)
    stub.note(f"has-torch=={TORCH}+cpu")
    asked = ("--set", "neurokit=true")
    ran = f"{WORKFLOW} --set neurokit=true"
    assert stub.run(*asked)[-2:] == [f"{PACKAGE}[features]", ran], stub.done.stderr
    assert stub.run(*asked) == [ran]
    assert stub.run() == [WORKFLOW]
    assert stub.run("test")[0] == f"{PACKAGE}[dev,formats]"
    assert stub.run(*asked) == [ran]
    (stub.notes / "installed").unlink()  # damaged: what else was installed is not believed either
    assert stub.run() == [PACKAGE, WORKFLOW]
    assert stub.run("test")[0] == f"{PACKAGE}[dev,formats]"
    assert stub.run(*asked) == [f"{PACKAGE}[features]", ran]


def test_a_half_made_environment_is_made_anew(copy):
    stub = Stub(copy, active=False)
    stub.note(f"has-torch=={TORCH}+cpu")
    (copy / ".venv" / "bin").mkdir(parents=True)
    assert stub.run()[0] == "-m venv --clear ROOT/.venv"


def test_an_active_environment_is_used_and_its_torch_kept(copy):
    stub = Stub(copy, active=True)
    stub.note("torch", "2.9.1")
    assert stub.run() == [PACKAGE, WORKFLOW]
    assert "torch==2.9.1\n" in (stub.notes / "env/dbeta-constraints.txt").read_text()
    assert not (copy / ".venv").exists()


def test_conda_packages_are_left_to_conda(copy):
    stub = Stub(copy, active=True)
    (stub.notes / "env" / "conda-meta").mkdir()
    prefix = stub.environment.pop("VIRTUAL_ENV")
    conda = {"CONDA_PREFIX": prefix, "CONDA_DEFAULT_ENV": "dbeta"}
    assert stub.run(**conda) == ["pip --no-deps -e ROOT", WORKFLOW]


@pytest.mark.skipif(sys.platform != "linux", reason="the CPU build is chosen on Linux alone")
@pytest.mark.parametrize(
    ("gpu", "choice", "available", "calls"),
    [
        ("exit 9", "", f"torch=={TORCH}+cpu", [f"pip torch=={TORCH}+cpu"]),
        ("exit 0", "", f"torch=={TORCH}", [f"pip torch=={TORCH}"]),
        ("exit 0", "cpu", f"torch=={TORCH}+cpu", [f"pip torch=={TORCH}+cpu"]),
        ("exit 9", "cuda", f"torch=={TORCH}", [f"pip torch=={TORCH}"]),
        ("exit 9", "--pre torch", "torch", ["pip --pre torch"]),
    ],
)
def test_the_build_of_torch(copy, gpu, choice, available, calls):
    stub = Stub(copy, active=True)
    stub.tool("nvidia-smi", gpu)
    stub.note(f"has-{available}")
    assert stub.run(DBETA_TORCH=choice) == [*calls, PACKAGE, WORKFLOW], stub.done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="the CPU build is chosen on Linux alone")
def test_no_cpu_build_anywhere_is_said_with_the_way_out(copy):
    stub = Stub(copy, active=True)
    assert stub.run() == [f"pip torch=={TORCH}+cpu", CPU_INDEX]
    assert stub.done.returncode == 1
    assert "run: DBETA_TORCH=cuda ./run_all.sh" in stub.done.stderr
