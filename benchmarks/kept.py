"""What the benchmarks have in common: how a result is kept, and what is said of the machine."""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from dbeta_lib.evaluation.results import versions
from dbeta_lib.files import write_json


def keep(path: Path, found: dict[str, Any], page: str) -> None:
    """Write `found` with the versions of Python and packages as JSON, the page beside; print it."""
    known = {"python": platform.python_version(), **versions()}
    write_json(path, {**found, "versions": known})
    path.with_suffix(".md").write_text(page, encoding="utf-8")
    print(page)


def system() -> str:
    """`x86_64, Linux, Python 3.11.7`."""
    return f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}"


def machine() -> str:
    """`x86_64, Linux, 2 cores, 1 threads, Python 3.11.7`."""
    cores = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    return f"{platform.machine()}, {platform.system()}, {cores}, Python {platform.python_version()}"


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds of the clock and of the processor (of all cores together), and what came out."""
    start, busy = time.perf_counter(), time.process_time()
    out = work()
    return time.perf_counter() - start, time.process_time() - busy, out
