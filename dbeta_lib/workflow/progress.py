"""What the user sees while notebooks run: a moving bar on a terminal, sparse lines in a log."""

import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dbeta_lib.files import read_json
from dbeta_lib.workflow.execute import Run
from dbeta_lib.workflow.state import State

EVERY = 30.0  # seconds between two lines of one notebook in a plain log


@dataclass(frozen=True)
class Expected:
    """How long a notebook should take: in all, and cell by cell where it ran here before."""

    seconds: float | None = None
    cells: tuple[float, ...] = ()

    @classmethod
    def of(cls, name: str, state: State, profile: str, folder: Path) -> "Expected":
        """From its last run in this folder, else from the kit's own table, else unknown."""
        if name in state.timings:
            return cls(state.timings[name]["seconds"], tuple(state.timings[name]["cells"]))
        table = folder / "profiles" / "expected_minutes.json"
        minutes = read_json(table).get(profile, {}).get(name) if table.is_file() else None
        return cls(None if minutes is None else 60.0 * minutes)

    def of_cell(self, index: int, cells: int) -> float | None:
        """Seconds of the cell `index` (from 0) of `cells`, where they are known."""
        return self.cells[index] if len(self.cells) == cells and index < cells else None


def clock(seconds: float) -> str:
    """`0:07`, `12:30` or `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def about(seconds: float | None) -> str:
    """`, expected 2:30`, or nothing where no time is known."""
    return "" if seconds is None else f", expected {clock(seconds)}"


class Progress:
    """Lines for starts and ends; in between a bar (terminal) or a line now and then (log)."""

    def __init__(self, total: int, console: Console | None = None) -> None:
        """`total` notebooks will be reported."""
        self.console = console or Console()
        self.total = total
        self.index = 0
        self.title = ""
        self.expected = Expected()
        self._live: Live | None = None
        self._next_line = 0.0

    def say(self, text: str) -> None:
        """A line that stays."""
        self.console.print(escape(text), soft_wrap=True, highlight=False)

    def skip(self, name: str, ended: str) -> None:
        """A notebook that is finished and unchanged."""
        self.index += 1
        self.say(f"[{self.index}/{self.total}] {name}: unchanged since {ended}, skipped")

    def start(self, name: str, expected: Expected) -> None:
        """A notebook begins."""
        self.index += 1
        self.title = f"[{self.index}/{self.total}] {name}"
        self.expected = expected
        self._next_line = time.monotonic() + EVERY
        if self.console.is_terminal:
            self._live = Live(console=self.console, transient=True, auto_refresh=False)
            self._live.start()
        else:
            self.say(f"{self.title}: started{about(expected.seconds)}")

    def tick(self, run: Run) -> None:
        """Draw where the notebook is."""
        if self._live is not None:
            self._live.update(self._bar(run), refresh=True)
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + EVERY
            last = run.last_line()
            self.say(
                f"{self.title}: {self._cell(run)}; {clock(run.elapsed)} in all"
                f"{about(self.expected.seconds)}" + (f" | {last[:100]}" if last else "")
            )

    def end(self, text: str) -> None:
        """The notebook is over: `finished in 0:31`."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        self.say(f"{self.title}: {text}")

    def _cell(self, run: Run) -> str:
        """`cell 3/19 0:07, expected 0:20`."""
        number = min(run.done + 1, run.cells)
        expected = self.expected.of_cell(number - 1, run.cells)
        return f"cell {number}/{run.cells} {clock(run.cell_elapsed)}{about(expected)}"

    def _bar(self, run: Run) -> Group:
        """Title, bar and times; below them the cell and the last line that it printed."""
        bar = Table.grid(padding=(0, 1))
        total = max(run.cells, run.done, 1)
        bar.add_row(
            Text(self.title),
            ProgressBar(total=total, completed=run.done, width=20),
            Text(f"{clock(run.elapsed)}{about(self.expected.seconds)}"),
        )
        last = run.last_line()
        below = f"    {self._cell(run)}" + (f" | {last}" if last else "")
        return Group(bar, Text(below, style="dim", no_wrap=True, overflow="ellipsis"))
