"""The paper's network at the paper's batch on a GPU: does it train, how fast, in how much memory?

    python benchmarks/pretrain_gpu.py
    python benchmarks/pretrain_gpu.py --device cpu --preset mini --batch-size 8 --steps 20

First times a step on random input in one way after the other, from plain fp32 (attention written
out, Adam parameter by parameter) to bf16, fused attention, fused Adam and compiled layers: seconds,
utilisation (operations of `dbeta_lib.costs` per second over the matrix rate measured in this run)
and peak memory. Then pre-trains by `pretrain` in the fastest way on a synthetic store made in a
temporary folder, validation left out: whether the losses fall, the median step with its batches
made by workers, and what 300,000 such steps would take (texts keep their padding here, so that the
operations are those counted; the profile `paper` packs them and does less). Weights are random, no
hub is asked. The result goes to benchmarks/results/<day>-pretrain-gpu.json with a page beside it.
Ends with 1, after one sentence, where there is no GPU, or when the losses are not finite or do not
fall. On a CPU it is a dry run of the script: its times say nothing of a GPU, and its files say
`dry-run`.
"""

import argparse
import datetime
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from kept import keep, system
from torch.nn.attention import SDPBackend, sdpa_kernel

from dbeta_lib.config import DBetaConfig
from dbeta_lib.costs import step_cost, total
from dbeta_lib.data import ensure_store
from dbeta_lib.errors import DBetaError
from dbeta_lib.model import DBeta
from dbeta_lib.training.layers import compiled
from dbeta_lib.training.machine_rates import matrix_rate
from dbeta_lib.training.monitor import LOSSES
from dbeta_lib.training.part_meter import between, clock_of
from dbeta_lib.training.pretrain import pretrain
from dbeta_lib.training.random_batch import random_batch
from dbeta_lib.training.settings import Summary
from dbeta_lib.training.start import build_model

PAPER_STEPS = 300_000
WARM_UP = 3  # steps; compilation falls in the first


@dataclass(frozen=True)
class Way:
    """How a step is computed."""

    name: str
    bf16: bool = False
    fused_attention: bool = False
    fused_adam: bool = False
    compiled: bool = False


WAYS = (
    Way("plain fp32"),
    Way("bf16", True),
    Way("and fused attention", True, True),
    Way("and fused Adam", True, True, True),
    Way("and compiled layers", True, True, True, True),
)


def time_way(
    config: DBetaConfig, way: Way, device: str, records: int, length: int, repeats: int
) -> dict[str, Any]:
    """`seconds` of a step (median), `peak_gib` of a GPU; both None where its memory is too small.

    Random input: `records` with `length` text tokens, words masked by the config's share.
    """
    torch.manual_seed(0)
    words = round(config.objective.mlm_probability * records * length)
    found: dict[str, Any] = {**asdict(way), "seconds": None, "peak_gib": None}
    try:
        model = DBeta(config).to(device).train()
        parameters = [p for p in model.parameters() if p.requires_grad]
        adam = {"fused": True} if way.fused_adam else {"foreach": False}
        optimizer = torch.optim.AdamW(parameters, lr=5e-5, **adam)
        batch = random_batch(config, records, length, words, device)
        clock, taken = clock_of(torch.device(device)), []
        _forget_peak(device)
        with ExitStack() as stack:
            if not way.fused_attention:
                stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            if way.compiled:
                stack.enter_context(compiled(model))
            for _ in range(WARM_UP + repeats):
                before = clock()
                with torch.autocast(device, torch.bfloat16, enabled=way.bf16):
                    loss = model(batch).losses["total"]
                loss.backward()
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                taken.append(between(before, clock()))
    except torch.OutOfMemoryError:
        return found
    found["seconds"], found["peak_gib"] = statistics.median(taken[WARM_UP:]), _peak(device)
    return found


def _forget_peak(device: str) -> None:
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peak(device: str) -> float | None:
    return torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else None


class TextSeen:
    """`with TextSeen(model) as seen:` text tokens that training steps read, padding included."""

    def __init__(self, model: torch.nn.Module):
        self.model, self.tokens = model, 0

    def __enter__(self) -> "TextSeen":
        self.hook = self.model.text_encoder.register_forward_pre_hook(self._note)
        return self

    def __exit__(self, *error: Any) -> None:
        self.hook.remove()

    def _note(self, encoder: torch.nn.Module, given: tuple) -> None:
        if self.model.training:
            self.tokens += given[0].numel()


def train(
    config: DBetaConfig, folder: Path, device: str, *, steps: int, batch_size: int, patients: int,
    workers: int, compile_layers: bool,
) -> dict[str, Any]:  # fmt: skip
    """Pre-train on a store made in `folder`; what the result file says of it."""
    rate = config.ecg.sampling_rate
    store = ensure_store(
        "synthetic", None, folder / "store", sampling_rate=rate, patients=patients, seed=0
    )
    model = build_model(config, store, 0)
    _forget_peak(device)
    # Short as the run is, the schedule has all three stages; the peak is the paper's.
    with TextSeen(model) as seen:
        summary = pretrain(
            model, store, folder / "run", steps=steps, batch_size=batch_size, seed=0, eval_every=0,
            checkpoint_every=0, log_every=max(1, steps // 20), tensorboard=False, workers=workers,
            compile=compile_layers,
        )  # fmt: skip
    curves = pd.read_csv(folder / "run" / "curves.csv")
    length = max(1, round(seen.tokens / steps / batch_size))
    return report(summary, curves, length, _peak(device))


def report(
    summary: Summary, curves: pd.DataFrame, length: int, peak: float | None
) -> dict[str, Any]:
    """Losses of the first and last row, times and memory; length: text tokens of a record."""
    settings = summary.identity["settings"]
    first, last = ({n: float(curves[n].iloc[i]) for n in LOSSES} for i in (0, -1))
    seconds = settings["batch_size"] / summary.records_per_s
    return {
        "steps": summary.steps, "batch_size": settings["batch_size"], "text_tokens": length,
        "precision": summary.precision, "compiled": settings["compile"],
        "switches": summary.identity["config"]["switches"],
        "first_losses": first, "last_losses": last, "falling": last["total"] < first["total"],
        "step_seconds": seconds, "records_per_s": summary.records_per_s, "peak_gib": peak,
        "paper_hours": PAPER_STEPS * seconds / 3600,
        "curves": curves[["step", "lr", *LOSSES]].to_dict("list"),
    }  # fmt: skip


def measure(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All ways, then training in the fastest."""
    config, device, records = DBetaConfig.preset(given.preset), given.device, given.batch_size
    peak_rate = matrix_rate(device, torch.bfloat16 if device == "cuda" else torch.float32)
    flops = total(step_cost(config, records, given.text_tokens)).flops
    ways = []
    for way in WAYS if device == "cuda" else WAYS[:-1]:  # a CPU would compile for minutes
        found = time_way(config, way, device, records, given.text_tokens, given.repeats)
        found["utilisation"] = flops / found["seconds"] / peak_rate if found["seconds"] else None
        print(f"{way.name}: {found['seconds']} s", flush=True)
        ways.append(found)
    timed = [way for way in ways if way["seconds"]]
    fastest = min(timed, key=lambda way: way["seconds"], default={"compiled": False})
    run = train(config, folder, device, steps=given.steps, batch_size=records,
                patients=given.patients, workers=given.workers,
                compile_layers=fastest["compiled"])  # fmt: skip
    done = total(step_cost(config, records, run["text_tokens"])).flops
    run["utilisation"] = done / run["step_seconds"] / peak_rate
    return {
        "preset": given.preset, "batch_size": records, "text_tokens": given.text_tokens,
        "parameters": total(step_cost(config, records, given.text_tokens)).parameters,
        "flops": flops, "matrix_rate": peak_rate, "ways": ways, "run": run,
    }  # fmt: skip


def page(found: dict[str, Any]) -> str:
    """The result as Markdown."""
    run = found["run"]
    first = found["ways"][0]["seconds"]
    rows = "\n".join(_row(way, first, found["batch_size"]) for way in found["ways"])
    dry = "" if found["gpu"] else "\nA dry run on a CPU: these times say nothing of a GPU.\n"
    memory = f", {run['peak_gib']:.1f} GiB at most" if run["peak_gib"] else ""
    return f"""# The `{found["preset"]}` preset at batch {found["batch_size"]}

`{found["command"]}`, {found["day"]}, {found["gpu"] or found["machine"]}
{dry}
{found["parameters"] / 1e6:.2f} M parameters; {found["flops"] / 1e12:.3g} TFLOP a step with \
{found["text_tokens"]} text tokens; the chip's own matrix rate, measured, is \
{found["matrix_rate"] / 1e12:.3g} TFLOPS.

| a step on random input | s | records/s | times plain | utilisation | peak memory, GiB | \
{PAPER_STEPS:,} steps, h |
|---|---:|---:|---:|---:|---:|---:|
{rows}

`pretrain` with its batches, {run["steps"]} steps of {run["batch_size"]} in {run["precision"]}\
{", compiled" if run["compiled"] else ""}, {run["text_tokens"]} text tokens: \
{run["step_seconds"]:.3f} s a step, {run["records_per_s"]:.0f} records/s, utilisation \
{run["utilisation"]:.0%}{memory}; {PAPER_STEPS:,} steps would take {run["paper_hours"]:.1f} h. The \
total loss goes from {run["first_losses"]["total"]:.2f} to {run["last_losses"]["total"]:.2f}.

By part: `python benchmarks/cost.py --device cuda --measured-batch {found["batch_size"]}`.
"""


def _row(way: dict[str, Any], plain: float | None, records: int) -> str:
    if way["seconds"] is None:
        return f"| {way['name']} | out of memory | | | | | |"
    seconds = way["seconds"]
    faster = f"{plain / seconds:.2f}" if plain else "–"
    peak = "–" if way["peak_gib"] is None else f"{way['peak_gib']:.1f}"
    return (
        f"| {way['name']} | {seconds:.3f} | {records / seconds:.0f} | {faster} "
        f"| {way['utilisation']:.0%} | {peak} | {PAPER_STEPS * seconds / 3600:.1f} |"
    )


def main(arguments: list[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--preset", default="paper", choices=("paper", "mini"))
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--text-tokens", type=int, default=64, help="of the random input")
    parser.add_argument("--repeats", type=int, default=20, help="timed steps of each way")
    parser.add_argument("--steps", type=int, default=200, help="of pre-training")
    parser.add_argument("--patients", type=int, default=600, help="of the synthetic store")
    parser.add_argument("--workers", type=int, default=4, help="processes that make batches")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args(arguments)
    is_gpu = given.device == "cuda"
    if is_gpu and not torch.cuda.is_available():
        print("this benchmark needs a CUDA GPU and none is here; nothing was run (a dry run: "
              "--device cpu --preset mini)", file=sys.stderr)  # fmt: skip
        return 1
    if not is_gpu:
        os.environ["ACCELERATE_USE_CPU"] = "true"
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = measure(given, Path(folder))
        except DBetaError as error:
            print(error, file=sys.stderr)
            return 1
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    told = " ".join(sys.argv[1:] if arguments is None else arguments)
    found |= {"command": f"python benchmarks/pretrain_gpu.py {told}".strip(), "day": day,
              "gpu": torch.cuda.get_device_name() if is_gpu else "",
              "machine": system()}  # fmt: skip
    path = given.out / f"{day}-pretrain-gpu{'' if is_gpu else '-dry-run'}.json"
    keep(path, found, page(found))
    return 0 if found["run"]["falling"] or not is_gpu else 1


if __name__ == "__main__":
    sys.exit(main())
