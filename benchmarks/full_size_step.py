"""One step of the full-size network, the fast way and the plain way: `fast_path.py --full`."""

import resource
from contextlib import nullcontext
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from kept import timed
from official_step import official_step

from dbeta_lib.config import DBetaConfig
from dbeta_lib.model import DBeta
from dbeta_lib.training.layers import prepared
from dbeta_lib.training.loop import Loop
from dbeta_lib.training.random_batch import random_batch
from dbeta_lib.training.reference import plain_step
from dbeta_lib.training.schedule import optimizer_and_schedule
from dbeta_lib.training.settings import PretrainConfig

FAST, PLAIN, OFFICIAL = "fast path", "reference", "official network"


def full_steps(
    config: DBetaConfig,
    way: str,
    steps: int,
    size: int,
    tokens: int,
    threads: int,
    official: Path | None = None,
):
    """Seconds of the clock and of the processor of each step, and the peak of memory in GB."""
    torch.set_num_threads(threads)
    settings = PretrainConfig(batch_size=size, quick_dropout=way == FAST)
    if way == OFFICIAL:
        step = official_step(official, config.text.text_architecture, size, tokens)
    else:
        words = round(config.objective.mlm_probability * size * tokens)
        model, batch = DBeta(config).train(), random_batch(config, size, tokens, words)
    if way == FAST:
        loop = Loop(Accelerator(), model, None, None, None, settings)
        step = lambda: loop._one_step([batch])  # noqa: E731
    elif way == PLAIN:
        optimizer, _ = optimizer_and_schedule([*model.parameters()], settings)
        step = lambda: plain_step(model, batch, optimizer)  # noqa: E731
    with prepared(model, settings) if way == FAST else nullcontext():
        step()  # the optimizer's state is made
        seconds = [timed(step) for _ in range(steps)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"clock": [s[0] for s in seconds], "processor": [s[1] for s in seconds], "peak_gb": peak}


def measure_full(
    steps: int, size: int = 8, tokens: int = 64, official: Path | None = None
) -> dict[str, Any]:
    """All ways at full size, each in a process of its own: its peak of memory is its own too."""
    found, config = {}, DBetaConfig.preset("paper")
    for way in (FAST, PLAIN, *([OFFICIAL] if official else [])):
        with get_context("spawn").Pool(1) as pool:
            given = (config, way, steps, size, tokens, torch.get_num_threads(), official)
            found[way] = pool.apply(full_steps, given)
    return {"batch_size": size, "text_tokens": tokens, "steps": steps, "ways": found}


def full_page(found: dict[str, Any]) -> str:
    """The result at full size as Markdown."""
    cells = "| {} | {:.2f} | {} | {:.1f} |\n".format
    best = {way: min(ways["clock"]) for way, ways in found["ways"].items()}
    rows = "".join(
        cells(way, best[way], f"{min(ways['processor']):.2f}", ways["peak_gb"])
        for way, ways in found["ways"].items()
    )
    told = ""
    if OFFICIAL in found["ways"]:
        gain = best[OFFICIAL] / best[FAST]
        told = (
            f"The fast path takes {gain:.2f} times as many steps in a second as the official "
            "network by its plain loop (1.5 wanted).\n"
        )
    return f"""# The full-size network: a step of {found["batch_size"]} records

{about(found)}, preset `paper`, {found["text_tokens"]} text tokens, best of {found["steps"]} steps

| way | s per step | processor s | largest memory, GB |
|---|---:|---:|---:|
{rows}
{told}A step is forward, backward and optimizer in single precision.
All texts are {found["text_tokens"]} tokens long here, so the fast path saves nothing on padding.
"""


def about(found: dict[str, Any]) -> str:
    """Command, day, machine and how busy it was."""
    machine = f"{found['machine']}, {found['threads']} thread(s), load {found['load']:.1f}"
    return f"`{found['command']}`, {found['day']}, {machine}, priority {found['nice']}"
