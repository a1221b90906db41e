"""The paper's network at the paper's batch on a GPU: does it train, how fast, in how much memory?

    python benchmarks/pretrain_gpu.py [--steps 200] [--batch-size 128] [--out benchmarks/results]

Makes a synthetic store at 500 Hz in a temporary folder, builds the `paper` preset (Flan-T5-base
from its config, weights random: no hub is asked), pre-trains in bf16, and writes a dated JSON with
the losses, the median time of a step, the peak of allocated memory and the versions. Ends with 1,
after one sentence, where there is no GPU, or when the losses are not finite or do not fall.
"""

import argparse
import datetime
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from dbeta_lib.config import DBetaConfig
from dbeta_lib.data import ensure_store
from dbeta_lib.errors import DBetaError
from dbeta_lib.evaluation.results import versions
from dbeta_lib.files import write_json
from dbeta_lib.training.monitor import LOSSES
from dbeta_lib.training.pretrain import pretrain
from dbeta_lib.training.settings import Summary
from dbeta_lib.training.start import build_model

PAPER_STEPS = 300_000


def main(arguments: list[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--patients", type=int, default=600, help="of the synthetic store")
    parser.add_argument("--workers", type=int, default=4, help="processes that make batches")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    asked = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("this benchmark needs a CUDA GPU and none is here; nothing was run", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = measure(
                DBetaConfig.preset("paper"), Path(folder), steps=asked.steps, workers=asked.workers,
                batch_size=asked.batch_size, patients=asked.patients,
            )  # fmt: skip
        except DBetaError as error:
            print(error, file=sys.stderr)
            return 1
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    command = f"python benchmarks/pretrain_gpu.py {' '.join(arguments or sys.argv[1:])}".strip()
    write_json(
        asked.out / f"pretrain_gpu-{today}.json", {"command": command, "date": today, **found}
    )
    print(
        f"{found['step_seconds']:.3f} s per step, {found['records_per_s']:.0f} records/s, peak "
        f"{found['peak_gib']} GiB; {PAPER_STEPS:,} steps would take {found['paper_hours']:.1f} h; "
        f"losses {'fall' if found['falling'] else 'DO NOT FALL'}"
    )
    return 0 if found["falling"] else 1


def measure(
    config: DBetaConfig,
    folder: Path,
    *,
    steps: int,
    batch_size: int,
    patients: int,
    workers: int = 0,
) -> dict[str, Any]:
    """Train on a store made in `folder`; what the result file says of it."""
    rate = config.ecg.sampling_rate
    store = ensure_store(
        "synthetic", None, folder / "store", sampling_rate=rate, patients=patients, seed=0
    )
    model = build_model(config, store, 0)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    # Short as the run is, the schedule has all three stages; the peak is the paper's.
    summary = pretrain(
        model, store, folder / "run", steps=steps, batch_size=batch_size, seed=0, eval_every=0,
        checkpoint_every=0, log_every=max(1, steps // 20), tensorboard=False, workers=workers,
    )  # fmt: skip
    curves = pd.read_csv(folder / "run" / "curves.csv")
    return report(summary, curves, sum(p.numel() for p in model.parameters()))


def report(summary: Summary, curves: pd.DataFrame, parameters: int) -> dict[str, Any]:
    """Losses of the first and last row, times and memory."""
    settings = summary.identity["settings"]
    first, last = ({n: float(curves[n].iloc[i]) for n in LOSSES} for i in (0, -1))
    seconds = settings["batch_size"] / summary.records_per_s
    is_gpu = summary.device == "cuda"
    return {
        "machine": {
            "gpu": torch.cuda.get_device_name() if is_gpu else "none",
            "cpu": platform.processor() or platform.machine(), "system": platform.platform(),
        },
        "versions": {**versions(), "python": platform.python_version()},
        "parameters": parameters, "steps": summary.steps, "batch_size": settings["batch_size"],
        "precision": summary.precision, "switches": summary.identity["config"]["switches"],
        "first_losses": first, "last_losses": last, "falling": last["total"] < first["total"],
        "step_seconds": seconds, "records_per_s": summary.records_per_s,
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if is_gpu else None,
        "paper_hours": PAPER_STEPS * seconds / 3600,
        "curves": curves[["step", "lr", *LOSSES]].to_dict("list"),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
