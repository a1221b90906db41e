"""The balanced law of wrong reports, and N3S beside it, at sizes up to MIMIC-IV-ECG's.

    python benchmarks/balanced_negatives.py --reports 20000
    python benchmarks/balanced_negatives.py --reports 180000 --device cuda

Makes `--reports` distinct texts in the manner of a recorder's statements, with frequencies of
Zipf's kind, embeds them (TF-IDF, 128 numbers), and measures seconds and largest memory of each way
in a process of its own: the balanced law, and the table of the 64 farthest, 64 draws of each, and,
up to 20,000 reports, the best guess from the text alone and the largest relative difference between
a report's share of the negatives and of the records. The result goes to
benchmarks/results/<day>-balanced-negatives-<reports><LABEL>.json with a page beside it.
Above 20,000 reports the cosines are computed again in every round: on two cores 180,000 reports
take minutes a round, on a GPU seconds.
"""

import argparse
import datetime
import multiprocessing
import platform
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dbeta_lib.balanced import BalancedNegatives
from dbeta_lib.embedders import TfidfEmbedder
from dbeta_lib.evaluation.results import versions
from dbeta_lib.files import write_json
from dbeta_lib.n3s import NegativeTable
from dbeta_lib.negative_laws import negative_shares
from dbeta_lib.seeds import rng

BATCH, BATCHES = 64, 20
RHYTHMS = (
    *("sinus rhythm", "sinus bradycardia", "sinus tachycardia", "atrial fibrillation"),
    *("atrial flutter", "paced rhythm", "junctional rhythm", "ectopic atrial rhythm"),
)
WHERE = ("anterior", "inferior", "lateral", "septal", "anteroseptal", "inferolateral", "posterior")
WHAT = ("infarct", "ischemia", "st elevation", "st depression", "t wave changes", "q waves")
WORDS = ("possible", "probable", "consider", "old", "recent", "age undetermined", "borderline")
OTHER = (
    *(
        "left axis deviation",
        "right axis deviation",
        "left bundle branch block",
        "low qrs voltages",
    ),
    *("right bundle branch block", "left ventricular hypertrophy", "prolonged qt interval"),
    *("first degree av block", "premature ventricular contractions", "early repolarization"),
    *("premature atrial contractions", "poor r wave progression"),
)


def make_texts(total: int, seed: int = 0) -> list[str]:
    """Distinct texts: a rhythm, up to four statements in any order, each with a word before it."""
    draw, texts = rng(seed, "benchmark-texts"), {}
    findings = [f"{where} {what}" for where in WHERE for what in WHAT] + list(OTHER)
    while len(texts) < total:
        chosen = draw.choice(len(findings), draw.integers(0, 5), replace=False)
        said = [f"{draw.choice(WORDS)} {findings[i]}" for i in chosen]
        texts[". ".join([str(draw.choice(RHYTHMS)), *said]) + "."] = None
    return list(texts)


def make_counts(total: int) -> np.ndarray:
    """Records with each text, the first the most frequent: Zipf's law, at least one."""
    return np.maximum(1, total / (2 + np.arange(total))).astype(np.int64)


class Embedded:
    """Vectors that are there already, in the form of an embedder."""

    def __init__(self, vectors: np.ndarray):
        self.vectors = vectors

    def embed(self, texts: list[str]) -> np.ndarray:
        """The vectors, whatever the texts."""
        return self.vectors

    def describe(self) -> dict[str, Any]:
        """Only for this benchmark."""
        return {"kind": "given"}


def measure(way: str, total: int, tau: float, device: str, answers: Any) -> None:
    """Seconds, and MB more than before, of one way; put into the queue `answers`."""
    texts, counts = make_texts(total), make_counts(total)
    start = time.perf_counter()
    embedder = Embedded(TfidfEmbedder().embed(texts))
    found = {"embedding_s": time.perf_counter() - start, "before_mb": largest_mb()}
    start = time.perf_counter()
    if way == "n3s":
        made = NegativeTable.build(texts, embedder, device=device)
    else:
        made = BalancedNegatives.build(texts, counts, embedder, tau, device=device, progress=True)
    found["build_s"] = time.perf_counter() - start
    draw, start = rng(0, "benchmark-draws"), time.perf_counter()
    for _ in range(BATCHES):
        made.sample(draw.integers(total, size=BATCH), draw)
    found["draw_ms_per_batch"] = 1e3 * (time.perf_counter() - start) / BATCHES
    found["peak_mb"] = largest_mb()
    if total <= 20_000:
        p, q = counts / counts.sum(), negative_shares(made, counts)
        found["best_guess"] = np.maximum(p, q).sum() / 2
        found["share_off_by"] = np.abs(q / p - 1).max()
    if device != "cpu":
        found["gpu_mb"] = torch.cuda.max_memory_allocated() / 2**20
    answers.put(found)


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
    rows = "".join(
        f"| {name} | {way['build_s']:,.1f} | {way['peak_mb']:,.0f} | {way['before_mb']:,.0f} "
        f"| {way['draw_ms_per_batch']:.2f} | {told(way)} |\n"
        for name, way in found["ways"].items()
    )
    return f"""# Balanced negatives and N3S for {found["reports"]:,} distinct reports

`python benchmarks/balanced_negatives.py --reports {found["reports"]} --device {found["device"]}`, \
{found["day"]}, {found["machine"]}, {found["threads"]} threads; tau = {found["tau"]:g}

| | building, s | largest memory, MB | before, MB | {BATCH} draws, ms | best guess; largest error |
|---|---:|---:|---:|---:|---:|
{rows}
Best guess: right answers of who reads the text alone. Largest error: of a report's share of the
negatives, against its share of the records, relative. Memory is that of
the whole process; "before" is with texts and vectors (128 numbers each) in it.
Embedding took {found["ways"]["balanced"]["embedding_s"]:,.1f} s.
"""


def told(way: dict) -> str:
    """The best guess and the largest error where they were computed."""
    if "best_guess" not in way:
        return "not computed"
    return f"{way['best_guess']:.3%}; {way['share_off_by']:.3%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reports", type=int, default=20_000, help="20000, 180000 or any number")
    parser.add_argument("--tau", type=float, default=0.1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--label", default="", help="follows the result's name")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    size = given.reports, given.tau, given.device
    ways = {way: measured(way, *size) for way in ("balanced", "n3s")}
    day = datetime.date.today().isoformat()
    machine = f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    if given.device != "cpu":
        machine += f", {torch.cuda.get_device_name()}"
    found = {"day": day, "machine": machine, "threads": torch.get_num_threads(),
             "reports": given.reports, "tau": given.tau, "device": given.device, "ways": ways,
             "versions": versions()}  # fmt: skip
    path = given.out / f"{day}-balanced-negatives-{given.reports}{given.label}.json"
    write_json(path, found)
    path.with_suffix(".md").write_text(page(found), encoding="utf-8")
    print(page(found))


if __name__ == "__main__":
    main()
