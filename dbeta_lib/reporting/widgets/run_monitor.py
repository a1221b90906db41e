"""Run monitor: the curves of a pre-training, running or finished, read again when they grow."""

import asyncio
import io
from collections.abc import Callable
from pathlib import Path

import ipywidgets
import numpy as np
import pandas as pd

from dbeta_lib.errors import DBetaError
from dbeta_lib.reporting.plots_training import plot_curves
from dbeta_lib.reporting.widgets import markup
from dbeta_lib.reporting.widgets.controls import button
from dbeta_lib.reporting.widgets.shell import PAGE_PX, Panel, Sentence, View, in_words

EVERY = 5.0  # seconds between two looks


def read_curves(folder: Path | str) -> pd.DataFrame:
    """`curves.csv` of a run as far as it is written; a line that is being written is left out.

    Raises DBetaError, naming the file, where there is none yet or it has no row.
    """
    path = Path(folder) / "curves.csv"
    try:
        written = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DBetaError(
            f"{path} is not there yet; start the run (notebook 03), or name its folder"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DBetaError(f"{path} is unreadable ({error}); name the folder of a run") from error
    whole = written[: written.rfind("\n") + 1]
    try:
        curves = pd.read_csv(io.StringIO(whole))
    except (ValueError, pd.errors.ParserError) as error:
        raise DBetaError(f"{path} is no table of curves ({error}); name a run's folder") from error
    if "step" not in curves:
        raise DBetaError(f"{path} is no table of curves (no column 'step'); name a run's folder")
    if not len(curves):
        raise DBetaError(f"{path} has no row yet; the first comes with the run's first log")
    return curves


def draw(folder: Path | str) -> View:
    """All curves of a run so far, and its last numbers."""
    folder = Path(folder)
    curves = read_curves(folder)
    done = (folder / "summary.json").is_file()
    step, state = int(curves["step"].iat[-1]), "finished" if done else "running or interrupted"
    chance = {"etm": (float(np.log(2)), "ln 2"), "etm_accuracy": 0.5}
    title = f"{folder.name}: {state}, step {step:,}"
    figure = plot_curves(curves, chance, title=title)
    last = curves.ffill().iloc[-1].drop("step").dropna()
    table = pd.DataFrame({"number": last.index, "last value": last.to_numpy(dtype=float)})
    return View(((figure, f"Curves of run {title}"),), markup.table(table, f"at step {step:,}"))


@in_words
def run_monitor(folder: Path | str) -> Panel:
    """The curves of the run in a folder; read again by a button, or by itself every few seconds.

    A run that has not begun is waited for. It reads files only, so the run may go on elsewhere.

    >>> widgets.run_monitor(work.run)  # doctest: +SKIP
    """
    folder, said = Path(folder), Sentence()
    again = button("read again", "read the run's files now")
    auto = ipywidgets.Checkbox(
        description=f"read again every {EVERY:g} seconds", indent=False, layout={"width": "auto"}
    )
    panel = Panel("Run monitor", lambda: draw(folder), [[again, auto]], said, widths=[PAGE_PX])
    again.on_click(lambda _: panel.redraw())
    Refresher(folder / "curves.csv", panel.redraw, auto)
    return panel


class Refresher:
    """Calls `act` while a box is ticked and the file has changed, in the kernel's own loop.

    It ends with the box unticked, or when the widget is closed; no thread is started.
    """

    def __init__(self, path: Path, act: Callable[[], None], box: ipywidgets.Checkbox):
        self.path, self.act, self.box = path, act, box
        self.seen = self._state()
        self.timer: asyncio.TimerHandle | None = None
        box.observe(lambda _: self.switch(), "value")

    def switch(self) -> None:
        """Start or stop, as the box says. Without a running loop (no kernel) nothing is started."""
        if self.timer:
            self.timer.cancel()
            self.timer = None
        if not self.box.value:
            return
        self.look()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self.timer = loop.call_later(EVERY, self.switch) if self.box.comm else None

    def look(self) -> None:
        """Act where the file is another than at the last look."""
        state = self._state()
        if state != self.seen:
            self.seen = state
            self.act()

    def _state(self) -> tuple[float, int]:
        try:
            found = self.path.stat()
        except OSError:
            return 0.0, 0
        return found.st_mtime, found.st_size
