"""The order of events of a run: plan, lock, skip or execute, pages, exit code."""

import sys
from collections.abc import Sequence
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

from dbeta_lib.command_line import Plan, plan
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.notebook_parameters import Notebook
from dbeta_lib.workflow.execute import Run, Stopper, execute, failure
from dbeta_lib.workflow.pages import summary, write_html, write_index
from dbeta_lib.workflow.progress import Expected, Progress, clock
from dbeta_lib.workflow.state import Keys, State, empty, finished, locked, remove_temporary

EXTRAS = {"neurokit": ("neurokit2", "features")}  # parameter -> package, extra of pyproject.toml


def main(arguments: Sequence[str]) -> int:
    """Run what the command line asks for; returns the exit code."""
    try:
        asked = plan(arguments)
        _check_extras(asked)
        with locked(asked.out), Stopper().listening() as stopper:
            return Workflow(asked, stopper).run()
    except DBetaError as error:
        print(f"run_all.sh: {error}", file=sys.stderr)
        return error.exit_code


def _check_extras(asked: Plan) -> None:
    """Hours before a notebook asks for it. Raises UsageError for a package that is not there."""
    for parameter, (package, extra) in EXTRAS.items():
        wanted = any(asked.parameters[n.name].get(parameter) for n in asked.selected)
        if wanted and find_spec(package) is None:
            raise UsageError(
                f'{parameter}=true needs {package}; install it: pip install "dbeta_lib[{extra}]"'
            )


class Workflow:
    """One run of the selected notebooks; the folder's lock is held by the caller."""

    def __init__(self, asked: Plan, stopper: Stopper) -> None:
        """Read the folder's state, or empty it where all shall be fresh."""
        self.plan = asked
        self.stopper = stopper
        if asked.empties:
            empty(asked.out)
        for name in ("notebooks", "html"):
            (asked.out / name).mkdir(parents=True, exist_ok=True)
            remove_temporary(asked.out / name)
        self.state = State(asked.out)
        self.state.save(asked.profile)
        self.keys = Keys(asked)
        self.progress = Progress(len(asked.selected))

    def run(self) -> int:
        """All selected notebooks in order, until one fails or a signal comes; the exit code."""
        self._announce()
        code, ran, started = 0, 0, datetime.now()
        for notebook in self.plan.selected:
            if self.stopper.signal:
                code = self.stopper.exit_code
                break
            key, effect = self.keys.of(notebook, self.state.notebooks)
            if self._unchanged(notebook, key):
                self.progress.skip(notebook.name, self.state.notebooks[notebook.name]["ended"])
                self._print_summary(notebook)
                continue
            code = self._execute(notebook, key, effect)
            ran += 1
            self._write_index()
            if code:
                break
        page = self._write_index()
        seconds = (datetime.now() - started).total_seconds()
        if code == 0:
            skipped = len(self.plan.selected) - ran
            self.progress.say(f"done in {clock(seconds)}: {ran} run, {skipped} skipped")
        self.progress.say(f"see {page}")
        return code

    def _write_index(self) -> Path:
        """The index page as things stand."""
        return write_index(self.plan.out, self.plan.profile, self.plan.notebooks, self.state)

    def _announce(self) -> None:
        """The first line: what will run, where to, and for how long."""
        times, records = [], dict(self.state.notebooks)
        for notebook in self.plan.selected:
            key, effect = self.keys.of(notebook, records)
            if not self._unchanged(notebook, key):
                times.append(self._expected(notebook).seconds)
                records[notebook.name] = {"status": "finished", "effect": effect}
        known = [t for t in times if t is not None]
        hint = f", about {clock(sum(known))}" if known and len(known) == len(times) else ""
        self.progress.say(
            f"profile {self.plan.profile}: {_counted(len(self.plan.selected))}, "
            f"{len(times)} to run{hint}, products in {self.plan.out}"
        )

    def _expected(self, notebook: Notebook) -> Expected:
        """How long the notebook should take, as far as known."""
        return Expected.of(notebook.name, self.state, self.plan.profile, self.plan.folder)

    def _copy(self, notebook: Notebook) -> Path:
        """The executed copy."""
        return self.plan.out / "notebooks" / f"{notebook.name}.ipynb"

    def _page(self, notebook: Notebook) -> Path:
        """The executed copy as HTML."""
        return self.plan.out / "html" / f"{notebook.name}.html"

    def _unchanged(self, notebook: Notebook, key: str) -> bool:
        """Whether the notebook's last run still stands, copy and page included."""
        record = self.state.notebooks.get(notebook.name, {})
        return (
            not self.plan.fresh
            and finished(self.state.notebooks, notebook.name)
            and record.get("key") == key
            and self._copy(notebook).exists()
            and self._page(notebook).exists()
        )

    def _execute(self, notebook: Notebook, key: str, effect: str) -> int:
        """Run one notebook, keep its copy, page and record; the exit code."""
        profile, name = self.plan.profile, notebook.name
        self.state.notebooks[name] = {"status": "running", "key": key, "effect": effect}
        self.state.save(profile)
        self.progress.start(name, self._expected(notebook))
        parameters = self.plan.parameters[name]
        run = execute(notebook, self._copy(notebook), parameters, self.stopper, self.progress.tick)
        if self._copy(notebook).exists():
            write_html(self._copy(notebook), self._page(notebook), self.plan.folder)
        ended = {"seconds": round(run.elapsed, 1), "ended": f"{datetime.now():%Y-%m-%d %H:%M}"}
        if run.error is None:
            return self._finish(notebook, run, ended)
        if self.stopper.signal or _stopped_itself(run):
            self.state.record(profile, name, status="stopped", **ended)
            self.progress.end(
                f"stopped after {clock(run.elapsed)}; the same command goes on from here"
            )
            return self.stopper.exit_code
        cell, source, message = failure(run)
        self.state.record(profile, name, status="failed", message=message, **ended)
        self.progress.end(f"failed in cell [{cell}] after {clock(run.elapsed)}")
        self._report(notebook, source, message)
        return 1

    def _finish(self, notebook: Notebook, run: Run, ended: dict) -> int:
        """Record a notebook that ended well and show its summary."""
        timing = {"seconds": ended["seconds"], "cells": run.times}
        self.state.timings[notebook.name] = timing
        text = summary(self._copy(notebook))
        self.state.record(
            self.plan.profile, notebook.name, status="finished", summary=text, **ended
        )
        self.progress.end(f"finished in {clock(run.elapsed)}")
        self._print_summary(notebook)
        return 0

    def _print_summary(self, notebook: Notebook) -> None:
        """Repeat what the notebook's `summary` cells printed."""
        text = self.state.notebooks[notebook.name].get("summary")
        if text:
            self.progress.say(text)

    def _report(self, notebook: Notebook, source: str, message: str) -> None:
        """The failing cell and its error, and where the rest is to be read."""
        self.progress.say(
            f"\n{source}\n\n{message}\n\n{notebook.name} failed; its executed copy with the whole "
            f"traceback: {self._copy(notebook)}"
        )


def _counted(number: int) -> str:
    """`1 notebook`, `6 notebooks`."""
    return f"{number} notebook{'' if number == 1 else 's'}"


def _stopped_itself(run: Run) -> bool:
    """Whether the notebook ended by the library's own Stopped: its kernel got the SIGTERM."""
    return getattr(run.error, "ename", "") == "Stopped"
