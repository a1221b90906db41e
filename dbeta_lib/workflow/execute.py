"""One notebook through papermill, in a kernel of this very Python.

papermill works in a thread, so that the main thread can draw progress and pass signals on: a
kernel that is asked to stop gets SIGTERM and time to write its checkpoint, then SIGKILL.
"""

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import papermill
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from dbeta_lib.command_line import ROOT
from dbeta_lib.notebook_parameters import Notebook
from dbeta_lib.progress import AS_TEXT

GRACE = 120.0  # seconds that a kernel has for its checkpoint after SIGTERM
SHOWN_LINES = 15  # of a failing cell
TICK = 0.25  # seconds between two looks of the main thread


@dataclass
class Run:
    """What is known of a running notebook; written by papermill's thread, read by the screen."""

    cells: int  # code cells with code in them
    log: Path  # what the kernel writes past the notebook; kept where it failed
    started: float = field(default_factory=time.monotonic)
    done: int = 0
    current: Any = None  # the cell being executed
    cell_started: float = 0.0
    times: list[float] = field(default_factory=list)  # seconds of each finished cell
    error: BaseException | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def cell_elapsed(self) -> float:
        """Seconds since the current cell started; 0 before the first one."""
        return time.monotonic() - self.cell_started if self.cell_started else 0.0

    def last_line(self) -> str:
        """The last line that the current cell printed, as a terminal would show it."""
        outputs = list((self.current or {}).get("outputs", []))
        texts = [o["text"] for o in outputs[-2:] if o.get("output_type") == "stream"]
        lines = "".join(texts)[-2000:].replace("\r", "\n").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


class Stopper:
    """Turns SIGINT, SIGTERM and SIGHUP into a request, and hands it to the running kernel."""

    def __init__(self) -> None:
        """No signal has come and no kernel is running."""
        self.signal: int | None = None
        self.kernel: AsyncKernelManager | None = None
        self._told: float | None = None  # when the kernel got its SIGTERM
        self._impatient = False

    @contextmanager
    def listening(self):
        """Receive the signals within the block; the former handlers come back after it."""
        names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        heard = [name for name in names if signal.getsignal(name) is not signal.SIG_IGN]  # nohup
        former = {name: signal.signal(name, self._receive) for name in heard}
        try:
            yield self
        finally:
            for name, handler in former.items():
                signal.signal(name, handler)

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 75 after SIGTERM or SIGHUP."""
        return 130 if self.signal == signal.SIGINT else 75

    def _receive(self, number: int, _frame: Any) -> None:
        """Remember the first signal; a second one ends the patience with the kernel."""
        self._impatient = self.signal is not None
        self.signal = self.signal or number

    def attend(self) -> None:
        """Pass a request on to the kernel: SIGTERM once, SIGKILL after the grace time."""
        process = getattr(getattr(self.kernel, "provisioner", None), "process", None)
        if self.signal is None or process is None or process.poll() is not None:
            return
        if self._told is None:
            self._told = time.monotonic()
            os.kill(process.pid, signal.SIGTERM)
        elif self._impatient or time.monotonic() - self._told > GRACE:
            os.killpg(os.getpgid(process.pid), signal.SIGKILL)


def execute(
    notebook: Notebook,
    output: Path,
    parameters: dict[str, Any],
    stopper: Stopper,
    tick: Callable[[Run], None],
) -> Run:
    """Run a notebook into `output`, calling `tick` several times a second; errors are in `.error`.

    The copy is `<name>.running.ipynb` while papermill writes it and is renamed at the end, whether
    the notebook ended well, failed or was stopped.
    """
    # papermill adds a cell with the parameters.
    run = Run(_code_cells(notebook.path) + bool(parameters), output.with_suffix(".log"))
    temporary = output.with_suffix(".running.ipynb")

    def work() -> None:
        try:
            _papermill(notebook, temporary, parameters, stopper, run)
        except BaseException as error:  # whatever it is, the main thread reports it
            run.error = error

    thread = threading.Thread(target=work, name=notebook.name, daemon=True)
    thread.start()
    while thread.is_alive():
        stopper.attend()
        tick(run)
        thread.join(TICK)
    stopper.kernel = None
    if run.error is None:
        run.log.unlink(missing_ok=True)
    if temporary.exists():
        os.replace(temporary, output)
    return run


def _kernel_class(stopper: Stopper, log: Path) -> type[AsyncKernelManager]:
    """A kernel of this Python and this library, whatever else is installed under those names.

    The stopper learns of it; what it writes past the notebook, as a crash does, goes to `log`.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.getenv("PYTHONPATH")]))

    class Kernel(AsyncKernelManager):
        kernel_spec = KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            display_name="Python 3",
            language="python",
            env={"PYTHONPATH": path, AS_TEXT: "1"},
            metadata={"supported_encryption": ["curve"]},
        )

        async def start_kernel(self, **options: Any) -> None:
            stopper.kernel = self
            with open(log, "wb") as file:  # the kernel process keeps a handle of its own
                await super().start_kernel(stdout=file, stderr=file, **options)

    return Kernel


def _papermill(
    notebook: Notebook,
    output: Path,
    parameters: dict[str, Any],
    stopper: Stopper,
    run: Run,
) -> None:
    """papermill's call, with hooks that keep `run` up to date."""

    def start(cell: Any, cell_index: int) -> None:
        run.current = cell
        run.cell_started = time.monotonic()

    def end(cell: Any, cell_index: int, execute_reply: Any) -> None:
        run.done += 1
        run.times.append(round(time.monotonic() - run.cell_started, 3))

    papermill.execute_notebook(
        notebook.path,
        output,
        parameters=parameters,
        kernel_name="python3",
        language="python",
        progress_bar=False,
        cwd=notebook.path.parent,
        kernel_manager_class=_kernel_class(stopper, run.log),
        on_cell_execute=start,
        on_cell_executed=end,
    )


def _code_cells(path: Path) -> int:
    """How many cells a kernel will see: the code cells that are not empty."""
    cells = nbformat.read(path, as_version=4).cells
    return sum(c.cell_type == "code" and bool(c.source.strip()) for c in cells)


def failure(run: Run) -> tuple[int, str, str]:
    """Of a failed run: cell number, source with the failing line marked, the error in a line."""
    error = run.error
    if isinstance(error, PapermillExecutionError):
        line = _failing_line("\n".join(error.traceback))
        return error.exec_count, _marked(error.source, line), f"{error.ename}: {error.evalue}"
    source = _marked((run.current or {}).get("source", ""), None)
    if isinstance(error, DeadKernelError):
        return run.done + 1, source, f"the kernel died; was the memory used up? See {run.log}"
    return run.done + 1, source, f"{type(error).__name__}: {error}"


def _failing_line(traceback: str) -> int | None:
    """Line of the cell at which the error passed, from IPython's traceback."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", traceback)
    found = re.findall(r"^(?:Cell )?In ?\[\d+\](?:, |.*?)line:? ?(\d+)", plain, flags=re.MULTILINE)
    return int(found[0]) if found else None


def _marked(source: str, line: int | None) -> str:
    """Source with line numbers, `>` at the failing line; at most `SHOWN_LINES` lines around it."""
    lines = source.rstrip().split("\n")
    first = max(0, min((line or 1) - 1 - SHOWN_LINES // 2, len(lines) - SHOWN_LINES))
    shown = range(first, min(len(lines), first + SHOWN_LINES))
    return "\n".join(f"  {'>' if i + 1 == line else ' '} {i + 1:3d} | {lines[i]}" for i in shown)
