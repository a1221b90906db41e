"""`dbeta sweep`: the runs of a YAML file, those that are not finished, one by one or as a list."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from dbeta_lib.command_options import setting
from dbeta_lib.errors import DBetaError, UsageError


def sweep(
    file: Annotated[Path, typer.Argument(help="The sweep's YAML file.")],
    profile: Annotated[
        str, typer.Option(help="A profile of the file; ptbxl where --data is given, else demo.")
    ] = "",
    data: Annotated[
        list[str] | None, typer.Option(help="A data set's folder: NAME=DIR, as ptb-xl=DIR.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the runs; runs/PROFILE/sweeps by default.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="A row by its name; several times.")
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(help="A seed; several times.")] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Copy what is finished there, without models.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A field of the profile: steps=600.")
    ] = None,
    show: Annotated[
        bool, typer.Option("--list", help="Print one command for each unfinished run; run nothing.")
    ] = False,
    prepare: Annotated[
        bool, typer.Option("--prepare", help="Only make the store that all runs read.")
    ] = False,
) -> None:
    """Train and evaluate every row of a file with every seed; what is finished is left alone.

    A run that fails is named and the others go on (exit code 1 at the end); SIGTERM stops with a
    checkpoint (75), and the same command goes on. --list is for a cluster's job array. --keep
    copies finished runs when all are through; notebooks 08 and 09 read such a folder.

    Example: dbeta sweep notebooks/sweeps/components.yaml --data ptb-xl=DIR --only "+ ETS" --seed 2
    """
    from dbeta_lib.command_line import data_folders
    from dbeta_lib.sweeps import keep as keep_runs
    from dbeta_lib.sweeps import read_sweep, run_all, status
    from dbeta_lib.sweeps.status import left

    profile = profile or ("ptbxl" if data else "demo")
    out = out or Path("runs") / profile / "sweeps"
    found = read_sweep(file, profile, **_changes(settings))
    runs = found.pick(only, seed)
    stores = _stores(found.profile, data_folders(data or []), out)
    if show:
        _print_commands(file, runs, profile, data, out, settings)
        return
    if prepare:
        for rate in sorted({run.sampling_rate for run in runs}):
            stores(rate)
        return
    failures = run_all(runs, stores, out, say=typer.echo, progress=True)
    table = left(status(runs, out, stores))
    typer.echo(table.to_string(index=False))
    if keep:
        states = status(found.runs, out, stores)
        whole = [run for run, state in zip(found.runs, states["state"]) if state == "finished"]
        kept = keep_runs(whole, out, keep)
        typer.echo(f"{kept} finished runs copied to {keep / found.name}", err=True)
        for row in states[states["state"] == "changed"].itertuples():
            typer.echo(f"not copied: {row.name}, seed {row.seed}: {row.why}", err=True)
    if failures:
        raise DBetaError(
            f"{len(failures)} of {len(runs)} runs failed, first {failures[0]}; tracebacks stand in "
            f"failed.txt of their folders below {out / found.name}"
        )


def _changes(settings: list[str] | None) -> dict[str, Any]:
    """`["steps=600"]` as fields of a profile."""
    from dbeta_lib.sweeps import Profile

    defaults = {name: list(v) if isinstance(v, tuple) else v for name, v in vars(Profile()).items()}
    return dict(setting(text, defaults) for text in settings or [])


def _stores(profile, folders: dict[str, str], out: Path) -> Callable[[int], Any]:
    """The store of a rate, prepared once; beside the sweeps, where the notebooks have theirs."""
    from dbeta_lib.workspace import Workspace

    if profile.dataset != "synthetic" and profile.dataset not in folders:
        raise UsageError(
            f"this profile reads '{profile.dataset}': give --data {profile.dataset}=DIR"
        )
    home = out.parent if out.name == "sweeps" else out
    made: dict[int, Any] = {}

    def at(rate: int) -> Any:
        if rate not in made:
            work = Workspace(
                home, profile.dataset, folders, rate, profile.patients, profile.report_text
            )
            made[rate] = work.store
        return made[rate]

    return at


def _print_commands(file: Path, runs, profile: str, data, out: Path, settings) -> None:
    """One line per run that is not finished, each to be run by itself and in any order."""
    from dbeta_lib.sweeps import status

    common = ["dbeta", "sweep", str(file), "--profile", profile, "--out", str(out)]
    common += [part for text in data or [] for part in ("--data", text)]
    common += [part for text in settings or [] for part in ("--set", text)]
    typer.echo(f"# once, before these: {shlex.join([*common, '--prepare'])}", err=True)
    states = status(runs, out)["state"]
    for run, state in zip(runs, states, strict=True):
        if state != "finished":
            typer.echo(shlex.join([*common, "--only", run.name, "--seed", str(run.seed)]))


SWEEP_COMMANDS = {"sweep": sweep}
