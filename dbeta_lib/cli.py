"""The `dbeta` command: each command a thin skin on one function of the library.

A command imports what it needs inside itself, so that `--help` answers at once, and raises
DBetaError (or UsageError) with one sentence; `main` prints it and turns it into the exit code:
0 done, 1 failed, 2 wrong use, 75 stopped by SIGTERM with a checkpoint, 130 by Ctrl-C.
"""

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dbeta_lib.commands import COMMANDS
from dbeta_lib.errors import DBetaError, UsageError

app = typer.Typer(
    name="dbeta",
    add_completion=False,
    rich_markup_mode=None,
    help="ECG-language pre-training after D-BETA. For research and teaching, not for diagnosis.",
)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options of every command; `main` reads `--debug` wherever it stands."""


@app.command()
def doctor(
    ecgs: Annotated[
        Path | None, typer.Argument(help="A recording, or a folder of them: FILE|DIR.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the page on the ECGs there too.")] = None,
    rate: Annotated[float, typer.Option(min=0, help="Hz of CSV and NumPy files.")] = 0,
    leads: Annotated[str, typer.Option(help="Leads of NumPy files, as I,II,V2.")] = "",
    units: Annotated[str, typer.Option(help="Units of CSV and NumPy files.")] = "mV",
    limit: Annotated[int, typer.Option(min=1, help="Most recordings looked at.")] = 1000,
    disk: Annotated[Path, typer.Option(help="Where products will go: its disk.")] = Path("."),
) -> None:
    """What is wrong with these ECGs? Without FILE|DIR: what has this machine? No network.

    Leads, order, units, rate, length, polarity, hum, gaps, duplicates, each with what to do; exit
    code 1 where a finding would spoil results. Of the machine: versions, device, memory, disk, hub.

    Example: dbeta doctor ~/my-ecgs --html doctor.html
    """
    if ecgs is not None:
        files = {"file_rate": rate, "file_leads": leads, "file_units": units}
        _examine_ecgs(ecgs, html, limit=limit, **files)
        return
    from dbeta_lib.doctor import examine

    findings = examine(disk)
    for finding in findings:
        typer.echo(str(finding))
    wrong = [f.name for f in findings if f.status == "wrong"]
    if wrong:
        raise DBetaError(
            f"not as pyproject.toml asks: {', '.join(wrong)}; ./run_all.sh installs it"
        )


def _examine_ecgs(path: Path, html: Path | None, **options) -> None:
    from dbeta_lib.ecg_doctor import examine
    from dbeta_lib.files import atomic_write

    if not path.exists():
        raise UsageError(f"{path} is not there; name a recording or a folder of them")
    report = examine(path, **options)
    typer.echo(report.text())
    if html:
        with atomic_write(html) as partial:
            partial.write_text(report.html(), encoding="utf-8")
        typer.echo(f"written: {html}")
    if report.spoils:
        raise DBetaError(f"{path}: what is found above would spoil results")


for _name, _function in COMMANDS.items():
    app.command(_name)(_function)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; errors in one sentence on stderr. Returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    debug = "--debug" in given
    try:
        code = app([a for a in given if a != "--debug"], prog_name="dbeta", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except Exception as error:  # the one place where any error becomes a sentence
        if debug:
            traceback.print_exc()
        sentence, code = _sentence(error)
        print(f"dbeta: {sentence}", file=sys.stderr)
        return code


def _sentence(error: Exception) -> tuple[str, int]:
    """What to print for an error, and the exit code."""
    if isinstance(error, DBetaError):
        return str(error), error.exit_code
    if isinstance(error, typer.Abort):
        return "stopped", 130
    if hasattr(error, "format_message"):  # wrong use that typer found
        text = error.format_message().rstrip(".")
        return f"{text}; see dbeta --help" if text else "see dbeta --help", error.exit_code
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}; check the path and its permissions", 1
    return f"{type(error).__name__}: {error}; --debug shows where", 1


if __name__ == "__main__":
    sys.exit(main())
