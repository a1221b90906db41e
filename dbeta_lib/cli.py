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
from dbeta_lib.errors import DBetaError

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
    folder: Annotated[
        Path, typer.Argument(help="Where products will go: its disk is looked at.")
    ] = Path("."),
) -> None:
    """Say what this machine has: versions, device, threads, memory, disk, faiss, hub. No network.

    Example: dbeta doctor runs
    """
    from dbeta_lib.doctor import examine

    findings = examine(folder)
    for finding in findings:
        typer.echo(str(finding))
    wrong = [f.name for f in findings if f.status == "wrong"]
    if wrong:
        raise DBetaError(
            f"not as pyproject.toml asks: {', '.join(wrong)}; ./run_all.sh installs it"
        )


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
