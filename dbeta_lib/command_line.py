"""What `./run_all.sh` is asked to do, checked before anything is installed or run.

Wrong use ends with exit code 2 and one sentence. Standard library alone: `run_all.sh` runs this
with the system's Python, and `dbeta_lib.workflow` reads the same plan again when it starts.
"""

import argparse
import ast
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from dbeta_lib.errors import DBetaError, UsageError, nearest
from dbeta_lib.notebook_parameters import Notebook, checked, find_notebooks, parsed, read_profile

ROOT = Path(__file__).resolve().parent.parent
MARKER = "workflow.json"  # the state of a run; a folder without it is not ours to empty
MADE_HERE = ("synthetic",)  # data sets that need no folder
_OPTION_OF = {"profile": "--profile NAME", "out": "--out DIR", "data": "--data NAME=DIR"}
_EXAMPLES = """\
examples:
  ./run_all.sh                                      the demo: a synthetic cohort, minutes on a CPU
  ./run_all.sh --profile ptbxl --data ptb-xl=DIR    real ECGs, any folder in PTB-XL's layout
  ./run_all.sh --only 05 --set seed=1               one notebook with another parameter
  ./run_all.sh test                                 the tests (what follows goes to pytest)

A finished notebook is not run again while itself, the library, its parameters and its inputs are
unchanged. Products: runs/PROFILE/ with an HTML page of every notebook and index.html.
Without an active environment .venv is made here; an active one is used. DBETA_TORCH=cpu, =cuda or
=<what pip shall install> chooses the build of torch.
Exit codes: 0 done, 1 failed while running, 2 wrong use, 75 stopped by SIGTERM (130 by Ctrl-C);
a stopped run goes on with the same command."""


@dataclass(frozen=True)
class Plan:
    """A checked command line."""

    profile: str
    out: Path  # absolute folder of the products
    data: dict[str, str]  # data set -> absolute folder
    fresh: bool  # finished notebooks run again
    empties: bool  # and the folder of the products is emptied first
    notebooks: tuple[Notebook, ...]  # all, in order
    selected: tuple[Notebook, ...]  # those to run, in order
    parameters: dict[str, dict[str, Any]]  # selected notebook -> parameters given to papermill

    @property
    def folder(self) -> Path:
        """Where the notebooks lie."""
        return self.notebooks[0].path.parent


class _Parser(argparse.ArgumentParser):
    """argparse whose errors are UsageErrors."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def _parser() -> _Parser:
    """The options; their meaning is checked in `plan`."""
    parser = _Parser(
        prog="./run_all.sh",
        description="Run the notebooks in order, from recordings to a zero-shot table.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--profile", default="demo", metavar="NAME", help="smoke, demo (default), ptbxl or paper")
    add("--data", action="append", default=[], metavar="NAME=DIR", help="folder of a data set")
    add("--only", metavar="03", help="this notebook alone (or several: 03,05)")
    add("--from", dest="first", metavar="03", help="this notebook and those after it")
    add("--out", metavar="DIR", help="products go here instead of runs/PROFILE")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="change a parameter")
    add(
        "--fresh",
        action="store_true",
        help="run finished notebooks again; without --only or --from, empty the products first",
    )
    add("--notebooks", default=ROOT / "notebooks", type=Path, help=argparse.SUPPRESS)
    return parser


def plan(arguments: Sequence[str]) -> Plan:
    """The command line as a Plan. Raises UsageError for whatever it alone decides."""
    parser = _parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        known = [name for name in parser._option_string_actions if name.startswith("--")]
        raise UsageError(
            f"'{unknown[0].split('=')[0]}' is not known here"
            + nearest(unknown[0].split("=")[0], {"test", *known} - {"--notebooks"})
        )
    folder = Path(os.path.abspath(options.notebooks))
    profile = _profile(options.profile, folder / "profiles")
    notebooks = find_notebooks(folder)
    selected = _select(notebooks, options.only, options.first)
    data = data_folders(options.data)
    empties = options.fresh and options.only is None and options.first is None
    out = _out_folder(options.out, options.profile, empties)
    common = {"profile": options.profile, "out": str(out), "data": data}
    parameters = _parameters(notebooks, selected, profile, options.set, common)
    _check_data_sets(selected, parameters, options.profile, data)
    return Plan(
        profile=options.profile,
        out=out,
        data=data,
        fresh=options.fresh,
        empties=empties,
        notebooks=tuple(notebooks),
        selected=tuple(selected),
        parameters=parameters,
    )


def _profile(name: str, folder: Path) -> dict[str, Any]:
    """The values of a profile by its name."""
    known = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if name not in known:
        raise UsageError(f"--profile {name}: there is no such profile{nearest(name, known)}")
    return read_profile(known[name])


def _select(notebooks: list[Notebook], only: str | None, first: str | None) -> list[Notebook]:
    """The notebooks that --only or --from picks; all without either."""
    if only is not None and first is not None:
        raise UsageError("--only and --from exclude each other; give one of them")
    if first is not None:
        start = _find(notebooks, first, "--from")
        return [n for n in notebooks if n.number >= start.number]
    if only is None:
        return notebooks
    picked = {_find(notebooks, part, "--only").name for part in only.split(",")}
    return [n for n in notebooks if n.name in picked]


def _find(notebooks: list[Notebook], text: str, option: str) -> Notebook:
    """The notebook of a number (`3`, `03`) or name (`03_pretraining`, with or without `.ipynb`)."""
    wanted = text.strip().removesuffix(".ipynb")
    for notebook in notebooks:
        if wanted == notebook.name or (wanted.isdecimal() and int(wanted) == notebook.number):
            return notebook
    known = (
        {f"{n.number:02d}" for n in notebooks}
        if wanted.isdecimal()
        else {n.name for n in notebooks}
    )
    raise UsageError(f"{option} {text}: there is no such notebook{nearest(wanted, known)}")


def dataset_names() -> list[str]:
    """Names of the data sets that the kit can prepare, read from `dbeta_lib.data` unimported."""
    source = (ROOT / "dbeta_lib" / "data" / "__init__.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        named = [t.id for t in targets if isinstance(t, ast.Name)]
        if "DATASETS" in named and isinstance(node.value, ast.Dict):
            return [ast.literal_eval(key) for key in node.value.keys]
    raise DBetaError(
        f"{ROOT}/dbeta_lib/data/__init__.py has no table DATASETS; restore it from git"
    )


def data_folders(given: Sequence[str]) -> dict[str, str]:
    """`NAME=DIR` texts as {name: absolute folder}."""
    folders = {}
    known = [name for name in dataset_names() if name not in MADE_HERE] if given else []
    for text in given:
        name, equals, folder = text.partition("=")
        if not (equals and folder):
            raise UsageError(f"--data {text}: write it as NAME=DIR, for example ptb-xl=../ptb-xl")
        if name in MADE_HERE:
            raise UsageError(f"--data {text}: '{name}' is made by the kit and takes no folder")
        if name not in known:
            raise UsageError(f"--data {text}: '{name}' is no data set{nearest(name, known)}")
        path = os.path.abspath(os.path.expanduser(folder))
        if not os.path.isdir(path):
            raise UsageError(f"--data {text}: there is no folder {path}")
        folders[name] = path
    return folders


def _out_folder(given: str | None, profile: str, empties: bool) -> Path:
    """The absolute folder of the products; it need not exist, but a file must not be in its way."""
    if given == "":
        raise UsageError("--out needs a folder")
    out = Path(os.path.abspath(os.path.expanduser(given or ROOT / "runs" / profile)))
    blocked = next((p for p in (out, *out.parents) if p.exists() and not p.is_dir()), None)
    if blocked is not None:
        raise UsageError(f"--out {given}: {blocked} is a file; name a folder")
    state = out / MARKER
    if empties and out.is_dir() and any(out.iterdir()) and not state.exists():
        raise UsageError(
            f"--fresh: {out} holds files but no {MARKER}, so it is not emptied; "
            "delete it yourself or name another folder by --out"
        )
    if not empties and state.exists() and _profile_of(state) not in (None, profile):
        raise UsageError(
            f"{out} holds a run of profile '{_profile_of(state)}'; "
            "name another folder by --out, or empty this one by --fresh"
        )
    return out


def _profile_of(state: Path) -> str | None:
    """The profile that a run folder was made with; None where its state cannot tell."""
    try:
        return json.loads(state.read_text(encoding="utf-8"))["profile"]
    except (ValueError, KeyError, TypeError):
        return None


def _parameters(
    notebooks: list[Notebook],
    selected: list[Notebook],
    profile: dict[str, Any],
    settings: Sequence[str],
    common: dict[str, Any],
) -> dict[str, dict[str, Any]]:
    """Per selected notebook: the values of the profile, then `--set`, then the common ones."""
    for key in profile:
        if key in common or not any(key in n.parameters for n in notebooks):
            known = {name for n in notebooks for name in n.parameters} - set(common)
            raise UsageError(
                f"profile '{common['profile']}': no notebook has a parameter '{key}' to set"
                + nearest(key, known)
            )
    texts = dict(_setting(text, selected, notebooks) for text in settings)
    values = {}
    for n in selected:
        own = {
            k: checked(v, n.parameters[k], f"profile '{common['profile']}': '{k}'")
            for k, v in profile.items()
            if k in n.parameters
        }
        own |= {
            k: parsed(v, n.parameters[k], f"--set {k}={v}: '{k}'")
            for k, v in texts.items()
            if k in n.parameters
        }
        values[n.name] = own | {k: v for k, v in common.items() if k in n.parameters}
    return values


def _setting(text: str, selected: list[Notebook], notebooks: list[Notebook]) -> tuple[str, str]:
    """`key=value` of a --set as (key, value), the key being a parameter of a selected notebook."""
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text}: write it as KEY=VALUE, for example seed=1")
    if key in _OPTION_OF:
        raise UsageError(f"--set {text}: '{key}' has its own option, {_OPTION_OF[key]}")
    if any(key in n.parameters for n in selected):
        return key, value
    elsewhere = [n.name for n in notebooks if key in n.parameters]
    if elsewhere:
        raise UsageError(f"--set {text}: '{key}' belongs to {', '.join(elsewhere)}, not selected")
    known = {name for n in selected for name in n.parameters} - set(_OPTION_OF)
    raise UsageError(f"--set {text}: no selected notebook has '{key}'{nearest(key, known)}")


def _check_data_sets(
    selected: list[Notebook], parameters: dict[str, dict], profile: str, data: dict[str, str]
) -> None:
    """`dataset` and all of `stores` must be known and, where they are real, their folder given."""
    wanted = set()
    for notebook in selected:
        found = notebook.parameters | parameters[notebook.name]
        wanted |= {found.get("dataset"), *found.get("stores", {})} - {None}
    for name in sorted(wanted):
        known = dataset_names()
        if name not in known:
            raise UsageError(f"'{name}' is no data set of the kit{nearest(name, known)}")
        if name not in data and name not in MADE_HERE:
            raise UsageError(f"profile '{profile}' reads '{name}': give --data {name}=DIR")


def main(arguments: Sequence[str]) -> int:
    """Check the command line; print one sentence and return the exit code if it is wrong."""
    try:
        plan(arguments)
    except DBetaError as error:
        print(f"run_all.sh: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
