"""ETS beside InfoNCE: seconds and memory of one contrast, batch 128 to 8,192.

    python benchmarks/contrast_cost.py
    python benchmarks/contrast_cost.py --device cuda

The loss alone, forward and backward, of features `[B, 768]` that are there already. Each of the two
as the library has it, all pairs of a batch at once, and in blocks of rows, where memory grows with
B and not with B x B: ETS is a sum over pairs and falls into blocks by itself; InfoNCE needs the
sums of its columns first, so one more pass. That all four give the same gradient is checked. Times
are medians of runs in turn (of the CPU's own seconds: other processes do not count); memory is what
a process of its own held above what it held before. The result goes to
benchmarks/results/<day>-contrast-cost<LABEL>.json with a page beside it.
"""

import argparse
import datetime
import multiprocessing
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dbeta_lib.evaluation.results import versions
from dbeta_lib.files import write_json
from dbeta_lib.losses import ets_loss, infonce_loss
from dbeta_lib.sweeps.memory import PeakMemory

WIDTH, ROWS = 768, 256
BATCHES = (128, 256, 512, 1024, 2048, 4096, 8192)


def whole_ets(ecg: Tensor, text: Tensor) -> None:
    ets_loss(ecg @ text.T, signs_of(len(ecg), ecg.device)).backward()


def whole_infonce(ecg: Tensor, text: Tensor) -> None:
    infonce_loss(ecg @ text.T, signs_of(len(ecg), ecg.device)).backward()


def signs_of(batch: int, device: torch.device) -> Tensor:
    return 2 * torch.eye(batch, device=device) - 1


def blocks_of(batch: int):
    """Slices of rows."""
    return [slice(start, start + ROWS) for start in range(0, batch, ROWS)]


def blocked_ets(ecg: Tensor, text: Tensor) -> None:
    """Each block of rows forward and backward before the next is made."""
    for rows in blocks_of(len(ecg)):
        logits = ecg[rows] @ text.T
        signs = -torch.ones_like(logits)
        own = torch.arange(rows.start, rows.start + len(logits), device=ecg.device)
        signs[torch.arange(len(logits)), own] = 1
        (torch.nn.functional.softplus(-signs * logits).sum() / len(ecg)).backward()


def blocked_infonce(ecg: Tensor, text: Tensor) -> None:
    """The columns' sums in a first pass without gradient, then block by block."""
    columns = torch.full((len(text),), -torch.inf, device=ecg.device)
    with torch.no_grad():
        for rows in blocks_of(len(ecg)):
            columns = torch.logaddexp(columns, (ecg[rows] @ text.T).logsumexp(0))
    for rows in blocks_of(len(ecg)):
        logits = ecg[rows] @ text.T
        own = torch.arange(rows.start, rows.start + len(logits), device=ecg.device)
        # d logsumexp / d s = softmax: with the columns' sums known it needs no other row.
        by_column = ((logits.detach() - columns).exp() * logits).sum()
        pairs = logits[torch.arange(len(logits)), own].sum()
        ((logits.logsumexp(1).sum() + by_column) / 2 - pairs).div(len(ecg)).backward()


WAYS = {
    "ETS": whole_ets, "InfoNCE": whole_infonce,
    "ETS in blocks": blocked_ets, "InfoNCE in blocks": blocked_infonce,
}  # fmt: skip


def features(batch: int, device: str) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(batch)
    made = torch.randn(2, batch, WIDTH, generator=draw) / WIDTH**0.5
    ecg, text = (m.to(device).clone().requires_grad_() for m in made)
    return ecg, text


def gradients(way: str, batch: int, device: str) -> Tensor:
    ecg, text = features(batch, device)
    WAYS[way](ecg, text)
    return torch.cat([ecg.grad, text.grad])


def check(device: str) -> None:
    """Blocks give the gradient of the whole."""
    for name in ("ETS", "InfoNCE"):
        whole, blocks = (gradients(w, 600, device) for w in (name, f"{name} in blocks"))
        torch.testing.assert_close(blocks, whole, rtol=1e-4, atol=1e-7)


def seconds(batch: int, device: str, rounds: int) -> dict[str, float]:
    """Median seconds of each way, the ways in turn."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds + 1):
        for way, run in WAYS.items():
            ecg, text = features(batch, device)
            start = clock()
            run(ecg, text)
            if device != "cpu":
                torch.cuda.synchronize()
            taken[way].append(clock() - start)
    return {way: statistics.median(times[1:]) for way, times in taken.items()}


def hold(way: str, batch: int, device: str, answers: Any) -> None:
    """MB held at most above those before the loss; put into the queue."""
    ecg, text = features(batch, device)
    WAYS[way](*features(8, device))  # libraries are loaded
    peak = PeakMemory()
    before = peak.read()
    WAYS[way](ecg, text)
    answers.put((peak.read() - before) / 2**20)


def megabytes(way: str, batch: int, device: str) -> float:
    """`hold` in a process of its own."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=hold, args=(way, batch, device, answers))
    process.start()
    found = answers.get()
    process.join()
    return found


def page(found: dict[str, Any]) -> str:
    """The result as Markdown."""
    heads = " | ".join(f"{way}, ms | MB" for way in WAYS)
    rows = "".join(
        f"| {batch:,} | "
        + " | ".join(f"{1e3 * p['seconds'][w]:,.1f} | {p['mb'][w]:,.0f}" for w in WAYS)
        + " |\n"
        for batch, p in zip(found["batches"], found["points"], strict=True)
    )
    return f"""# One contrast of a batch: ETS and InfoNCE

`python benchmarks/contrast_cost.py --device {found["device"]}`, {found["day"]}, \
{found["machine"]}, {found["threads"]} thread(s); features of {WIDTH}, blocks of {ROWS} rows

| batch | {heads} |
|---:|{"---:|" * (2 * len(WAYS))}
{rows}
Forward and backward of the loss alone, medians of {found["rounds"]}. The encoders' own cost, which
is the same for both, is not in it.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each way and batch")
    parser.add_argument("--batches", type=int, nargs="+", default=list(BATCHES))
    parser.add_argument("--label", default="", help="follows the result's name")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    check(given.device)
    points = [
        {"seconds": seconds(batch, given.device, given.rounds),
         "mb": {way: megabytes(way, batch, given.device) for way in WAYS}}
        for batch in given.batches
    ]  # fmt: skip
    day = datetime.date.today().isoformat()
    machine = f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    if given.device != "cpu":
        machine += f", {torch.cuda.get_device_name()}"
    found = {"day": day, "machine": machine, "threads": torch.get_num_threads(),
             "device": given.device, "rounds": given.rounds, "batches": given.batches,
             "points": points, "versions": versions()}  # fmt: skip
    path = given.out / f"{day}-contrast-cost{given.label}.json"
    write_json(path, found)
    path.with_suffix(".md").write_text(page(found), encoding="utf-8")
    print(page(found))


if __name__ == "__main__":
    main()
