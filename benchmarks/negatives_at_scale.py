"""Negatives for as many distinct reports as MIMIC-IV-ECG has: seconds and largest memory.

    python benchmarks/negatives_at_scale.py --texts 20000 --dim 512
    python benchmarks/negatives_at_scale.py --texts 180000 --dim 512
    python benchmarks/negatives_at_scale.py --texts 180000 --dim 512 --device cuda

Makes `--texts` unit vectors of `--dim` numbers with the structure that reports have (a shared
direction, clusters of Zipf's sizes, one in twenty an exact copy of another vector, as the same
words in another order give), and frequencies of Zipf's kind. Then measures, each in a process of
its own: the table of the 64 farthest (N3S), the balanced law, and 100 batches of 64 draws of each.
Checked in the same run, in float64 and by other code: the farthest of 100 reports, and the share
that 100 reports have among the balanced negatives, against their share among the records.
The result goes to <OUT>/<day>-negatives-at-scale-<texts>x<dim><LABEL>.json, a page beside it.
"""

import argparse
import datetime
import multiprocessing
import os
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kept import keep, system

from dbeta_lib.balanced import BalancedNegatives
from dbeta_lib.n3s import NegativeTable
from dbeta_lib.neighbours import TIE, farthest
from dbeta_lib.seeds import rng
from dbeta_lib.sinkhorn import balanced_law

K, BATCH, BATCHES, CHECKED = 64, 64, 100, 100


def make_vectors(texts: int, dim: int, seed: int = 0, copies: float = 0.05) -> np.ndarray:
    """float32 `[texts, dim]` unit rows: mean cosine about 0.2, clusters, and exact copies."""
    draw = rng(seed, "benchmark-vectors")
    centres = draw.standard_normal((max(8, round(texts**0.5)), dim), dtype=np.float32)
    centres += 0.5 * draw.standard_normal(dim, dtype=np.float32)
    cluster = draw.choice(len(centres), texts, p=zipf(len(centres)))
    rows = draw.standard_normal((texts, dim), dtype=np.float32)
    for start in range(0, texts, 4096):
        part = slice(start, start + 4096)
        rows[part] = 0.6 * rows[part] + centres[cluster[part]]
        rows[part] /= np.linalg.norm(rows[part], axis=1, keepdims=True)
    order, number = draw.permutation(texts), round(copies * texts)
    originals = order[number : number + number // 10 + 1]
    rows[order[:number]] = rows[draw.choice(originals, number, p=zipf(len(originals)))]
    return rows


def zipf(total: int) -> np.ndarray:
    """Chances `[total]` that fall as 1 / rank."""
    chances = 1 / (1 + np.arange(total))
    return chances / chances.sum()


def make_counts(texts: int) -> np.ndarray:
    """Records with each text, the first the most frequent: Zipf's law, at least one."""
    return np.maximum(1, texts / (2 + np.arange(texts))).astype(np.int64)


def measure(way: str, texts: int, dim: int, tau: float, device: str, answers: Any) -> None:
    """What one way takes; put into the queue `answers`."""
    vectors, counts = make_vectors(texts, dim), make_counts(texts)
    found, clock = {"before_mb": largest_mb()}, Clock()
    if way == "n3s":
        table = farthest(vectors, K, device=device, progress=True)
        made = NegativeTable(table, np.arange(texts), {"kind": "given"}, "")
    else:
        found["errors"] = []

        def each_round(number: int, error: float) -> None:
            found["errors"].append(error)
            print(f"round {number}: {error:.1e} after {clock.read('x')['x_s']:,.0f} s", flush=True)

        solved = balanced_law(
            vectors, counts / counts.sum(), tau, device=device, each_round=each_round
        )
        known = np.arange(texts), counts, tau, {"kind": "given"}, ""
        made = BalancedNegatives(vectors, solved[0], *known, solved[1])
    found |= clock.read("build")
    draw, clock = rng(0, "benchmark-draws"), Clock()
    for _ in range(BATCHES):
        made.sample(draw.integers(texts, size=BATCH), draw)
    found["draw_ms_per_batch"] = 1e3 * clock.read("draws")["draws_cpu_s"] / BATCHES
    found["peak_mb"] = largest_mb()
    if device != "cpu":
        found["gpu_mb"] = torch.cuda.max_memory_allocated() / 2**20
    check = farthest_agree if way == "n3s" else shares_off_by
    answers.put({**found, "checked": check(made, vectors, counts)})


class Clock:
    """Seconds since it was made: of this process's cores, and of the wall."""

    def __init__(self):
        self.cpu, self.wall = time.process_time(), time.perf_counter()

    def read(self, name: str) -> dict[str, float]:
        """`<name>_cpu_s` and `<name>_s`."""
        cpu, wall = time.process_time() - self.cpu, time.perf_counter() - self.wall
        return {f"{name}_cpu_s": cpu, f"{name}_s": wall}


def farthest_agree(made: NegativeTable, vectors: np.ndarray, counts: np.ndarray) -> float:
    """Share of checked reports whose list equals a full float64 sort's."""
    picked = rng(0, "benchmark-check").choice(len(vectors), CHECKED, replace=False)
    same = 0
    for row in picked:
        cosine = np.concatenate(
            [part.astype(np.float64) @ vectors[row] for part in np.array_split(vectors, 64)]
        ).round(TIE)
        cosine[row] = np.inf
        same += np.array_equal(np.argsort(cosine, kind="stable")[:K], made.table[row])
    return same / CHECKED


def shares_off_by(made: BalancedNegatives, vectors: np.ndarray, counts: np.ndarray) -> float:
    """Largest relative error of checked reports' share of the negatives: sum over i of p_i P(j|i).

    The drawn law divides each row of the plan by its own sum, which the masses hold.
    """
    p = counts / counts.sum()
    picked = rng(0, "benchmark-check").choice(len(vectors), CHECKED, replace=False)
    scale = np.log(p / made.masses.sum(axis=1, dtype=np.float64)) + made.log_weights
    share = np.zeros(CHECKED)
    for part in np.array_split(np.arange(len(vectors)), 64):
        logs = -(vectors[part].astype(np.float64) @ vectors[picked].T) / made.tau
        logs[part[:, None] == picked] = -np.inf
        share += np.exp(logs + scale[part, None] + made.log_weights[picked]).sum(axis=0)
    return float(np.abs(share / p[picked] - 1).max())


def largest_mb() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(*given: Any) -> dict[str, float]:
    """`measure` in a new process, so that one way's memory is not taken for another's."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=measure, args=(*given, answers))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{given[0]} ended with {process.exitcode}; see above")
    return answers.get()


def page(found: dict) -> str:
    """The result as Markdown."""
    titles = {"n3s": "the 64 farthest (N3S)", "balanced": f"balanced law, tau {found['tau']:g}"}
    rows = "".join(
        f"| {titles[name]} | {way['build_s']:,.0f} | {way['build_cpu_s']:,.0f} "
        f"| {way['peak_mb']:,.0f} | {way['before_mb']:,.0f} | {way['draw_ms_per_batch']:.2f} |\n"
        for name, way in found["ways"].items()
    )
    balanced = found["ways"]["balanced"]
    return f"""# Negatives for {found["texts"]:,} distinct reports, {found["dim"]} numbers each

`{found["command"]}`, {found["day"]}, {found["machine"]}, {found["threads"]} thread(s); load of
the machine at the start {found["load"]:.1f} on {found["cores"]} cores

| | building, s | CPU s | largest memory, MB | before, MB | {BATCH} draws, CPU ms |
|---|---:|---:|---:|---:|---:|
{rows}
Memory is that of the whole process; "before" is with Python, torch and the vectors in it. The law
took {len(balanced["errors"])} rounds over all pairs. Checked with other code in float64: of
{CHECKED} reports, {found["ways"]["n3s"]["checked"]:.0%} have the same 64 farthest; the share of
{CHECKED} reports among the negatives, wrong by at most {balanced["checked"]:.1e} of itself.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=20_000, help="20000, 180000 or any number")
    parser.add_argument("--dim", type=int, default=512, help="numbers in a text's vector")
    parser.add_argument("--tau", type=float, default=0.1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--label", default="", help="follows the result's name")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    load, day = os.getloadavg()[0], datetime.date.today().isoformat()
    size = given.texts, given.dim, given.tau, given.device
    ways = {way: measured(way, *size) for way in ("n3s", "balanced")}
    machine = system()
    if given.device != "cpu":
        machine += f", {torch.cuda.get_device_name()}"
    command = "python benchmarks/negatives_at_scale.py --texts {} --dim {} --tau {:g} --device {}"
    found = {"day": day, "command": command.format(*size), "machine": machine, "load": load,
             "cores": os.cpu_count(), "threads": torch.get_num_threads(), "texts": given.texts,
             "dim": given.dim, "tau": given.tau, "device": given.device, "ways": ways}  # fmt: skip
    name = f"{day}-negatives-at-scale-{given.texts}x{given.dim}{given.label}.json"
    keep(given.out / name, found, page(found))


if __name__ == "__main__":
    main()
