"""One step of the full-size network, the fast way and the plain way: `fast_path.py --full`."""

import resource
from multiprocessing import get_context
from typing import Any

import torch
from accelerate import Accelerator
from kept import timed

from dbeta_lib.config import DBetaConfig
from dbeta_lib.model import DBeta
from dbeta_lib.training.loop import Loop
from dbeta_lib.training.random_batch import random_batch
from dbeta_lib.training.reference import plain_step
from dbeta_lib.training.schedule import optimizer_and_schedule
from dbeta_lib.training.settings import PretrainConfig


def full_steps(config: DBetaConfig, way: str, steps: int, size: int, tokens: int, threads: int):
    """Seconds of the clock and of the processor of each step, and the peak of memory in GB."""
    torch.set_num_threads(threads)
    words = round(config.objective.mlm_probability * size * tokens)
    model, batch = DBeta(config).train(), random_batch(config, size, tokens, words)
    settings = PretrainConfig(batch_size=size)
    if way == "fast path":
        loop = Loop(Accelerator(), model, None, None, None, settings)
        step = lambda: loop._one_step(batch)  # noqa: E731
    else:
        optimizer, _ = optimizer_and_schedule([*model.parameters()], settings)
        step = lambda: plain_step(model, batch, optimizer)  # noqa: E731
    step()  # the optimizer's state is made
    seconds = [timed(step) for _ in range(steps)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"clock": [s[0] for s in seconds], "processor": [s[1] for s in seconds], "peak_gb": peak}


def measure_full(steps: int, size: int = 8, tokens: int = 64) -> dict[str, Any]:
    """Both ways at full size, each in a process of its own: its peak of memory is its own too."""
    found, config = {}, DBetaConfig.preset("paper")
    for way in ("fast path", "reference"):
        with get_context("spawn").Pool(1) as pool:
            given = (config, way, steps, size, tokens, torch.get_num_threads())
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
    return f"""# The full-size network: a step of {found["batch_size"]} records

{about(found)}, preset `paper`, {found["text_tokens"]} text tokens, best of {found["steps"]} steps

| way | s per step | processor s | largest memory, GB |
|---|---:|---:|---:|
{rows}
A step is forward, backward and optimizer in single precision.
All texts are {found["text_tokens"]} tokens long here, so the fast path saves nothing on padding.
"""


def about(found: dict[str, Any]) -> str:
    """Command, day, machine and how busy it was."""
    machine = f"{found['machine']}, {found['threads']} thread(s), load {found['load']:.1f}"
    return f"`{found['command']}`, {found['day']}, {machine}, priority {found['nice']}"
