"""Does memory stay flat? `mini` pre-trained for 2,000 steps, its memory noted on the way.

    python benchmarks/soak.py
    python benchmarks/soak.py --steps 20000 --batch-size 32 --workers 2

Trains on a synthetic cohort by `pretrain` as it is, with validation, checkpoints and curves, and
notes the resident memory of the process, and of its workers, in every tenth step. Pages of the
store's memory map are counted apart: the system takes them back when it needs them. The slope is
that of a straight line through all that was noted in the second half. The result
goes to benchmarks/results/<day>-soak<LABEL>.json with a page beside it.
"""

import argparse
import datetime
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from kept import keep, system
from torch import nn

from dbeta_lib.config import DBetaConfig
from dbeta_lib.data import ensure_store
from dbeta_lib.training.pretrain import pretrain
from dbeta_lib.training.start import build_model

NOTED_EVERY = 10  # steps
SETTLED = 0.5  # share of the steps after which the slope is taken
EARLY = 0.2  # and the one after which it is told as well
MB = 2**20


class MemoryNotes:
    """`with MemoryNotes(model) as notes:` memory by training step, noted as the model is called.

    `rows`: step, own (MB that is this process's alone), resident (the memory map's pages too),
    workers (own of all children), gpu (MB of tensors).
    """

    def __init__(self, model: nn.Module):
        self.model, self.rows, self.step = model, [], 0

    def __enter__(self) -> "MemoryNotes":
        self.hook = self.model.register_forward_hook(self._note)
        return self

    def __exit__(self, *error: Any) -> None:
        self.hook.remove()

    def _note(self, model: nn.Module, *_: Any) -> None:
        if not model.training:  # validation
            return
        self.step += 1
        if self.step % NOTED_EVERY == 0:
            own = psutil.Process()
            memory, children = own.memory_info(), own.children()
            self.rows.append({
                "step": self.step, "own": (memory.rss - memory.shared) / MB,
                "resident": memory.rss / MB, "workers": sum(map(_own_mb, children)),
                "gpu": torch.cuda.memory_allocated() / MB if torch.cuda.is_available() else 0.0,
            })  # fmt: skip


def _own_mb(process: psutil.Process) -> float:
    """MB of another process alone; 0 for one that has just ended."""
    try:
        memory = process.memory_info()
    except psutil.NoSuchProcess:
        return 0.0
    return (memory.rss - memory.shared) / MB


def slope_of(steps: list[int], values: list[float], after: float = SETTLED) -> dict[str, float]:
    """`mb_per_1000` steps after a share of them, and its standard error `se`; MB in.

    Notes that follow each other are alike, so the error is that of the means of ten equal parts
    (fewer where there are fewer notes; four at least).
    """
    later = np.asarray(steps) > after * steps[-1]
    x, y = (np.asarray(v, dtype=float)[later] for v in (steps, values))
    parts = min(10, len(x))
    x, y = (np.array([part.mean() for part in np.array_split(v, parts)]) for v in (x, y))
    line, covariance = np.polyfit(x, y, 1, cov=True)
    return {"mb_per_1000": 1000 * line[0], "se": 1000 * float(covariance[0, 0]) ** 0.5}


def soak(folder: Path, *, steps: int, batch_size: int, patients: int, workers: int) -> dict:
    """Train in `folder`; the notes, and for each kind of memory start, middle, end and slope."""
    store = ensure_store("synthetic", None, folder / "store", sampling_rate=100,
                         patients=patients, seed=0)  # fmt: skip
    model = build_model(DBetaConfig.preset("mini", switches="recommended"), store, 0)
    began = time.perf_counter()
    with MemoryNotes(model) as notes:
        summary = pretrain(
            model, store, folder / "run", steps=steps, batch_size=batch_size, seed=0, lr=1e-3,
            eval_every=max(1, steps // 8), checkpoint_every=max(1, steps // 8), workers=workers,
            progress=False,
        )  # fmt: skip
    columns = {name: [row[name] for row in notes.rows] for name in notes.rows[0]}
    return {"notes": columns, "kinds": kinds_of(columns), "seconds": time.perf_counter() - began,
            "records": len(store), "steps": steps, "batch_size": batch_size, "workers": workers,
            "device": summary.device, "precision": summary.precision,
            "last_loss": summary.losses["total"]}  # fmt: skip


def kinds_of(columns: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Start, middle, end, largest and slope of each kind of memory that there was, MB."""
    kinds = {}
    for name in ("own", "resident", "workers", "gpu"):
        values = columns[name]
        if max(values) > 0:
            kinds[name] = {"start": values[0], "middle": values[len(values) // 2 - 1],
                           "end": values[-1], "largest": max(values),
                           **slope_of(columns["step"], values)}  # fmt: skip
    return kinds


TITLES = {"own": "the process's own", "resident": "with the store's mapped pages",
          "workers": "its workers", "gpu": "tensors on the GPU"}  # fmt: skip


def page(found: dict[str, Any]) -> str:
    """The result as Markdown."""
    cells = (
        "| {title} | {start:,.1f} | {middle:,.1f} | {end:,.1f} | {mb_per_1000:+.2f} ± {se:.2f} |"
    )
    rows = "\n".join(cells.format(title=TITLES[k], **v) for k, v in found["kinds"].items())
    half, notes = found["steps"] // 2, found["notes"]
    early = slope_of(notes["step"], notes["own"], EARLY)
    return f"""# Memory over {found["steps"]:,} steps of pre-training

`{found["command"]}`, {found["day"]}, {found["machine"]}, {found["threads"]} thread(s)

Preset `mini`, batches of {found["batch_size"]} from {found["records"]:,} synthetic records, \
{found["workers"]} workers, {found["precision"]} on {found["device"]}; validated and a checkpoint \
written eight times.

| memory, MB | step {NOTED_EVERY} | step {half:,} | step {found["steps"]:,} | per 1,000 steps |
|---|---:|---:|---:|---:|
{rows}

The slope is that of a line through the means of ten equal stretches of the second half, with its
standard error. The half was chosen when a first run had been seen: taken after the first
{EARLY:.0%} of the steps, while memory still settles, the process's own slope is
{early["mb_per_1000"]:+.2f} ± {early["se"]:.2f}. The whole run took {found["seconds"] / 60:.1f} \
minutes.
"""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--patients", type=int, default=100, help="of the synthetic cohort")
    parser.add_argument("--workers", type=int, default=0, help="processes that make batches")
    parser.add_argument("--label", default="", help="follows the result's name")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args(arguments)
    if given.steps < 100:
        parser.error("a slope needs notes: give --steps 100 or more")
    size = {name: getattr(given, name) for name in ("steps", "batch_size", "patients", "workers")}
    with tempfile.TemporaryDirectory() as folder:
        found = soak(Path(folder), **size)
    day = datetime.date.today().isoformat()
    command = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in size.items())
    found |= {"day": day, "command": f"python benchmarks/soak.py {command}",
              "machine": f"{system()}, {os.cpu_count()} cores",
              "threads": torch.get_num_threads()}  # fmt: skip
    path = given.out / f"{day}-soak{given.label}.json"
    keep(path, found, page(found))


if __name__ == "__main__":
    main()
