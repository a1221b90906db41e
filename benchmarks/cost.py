"""What a pre-training step costs, part by part: counted, bounded from below, measured.

    python benchmarks/cost.py
    python benchmarks/cost.py --device cuda --measured-batch 128

Counts operations and memory traffic of `mini` at batch 32 and of the paper's network at batch 128
(`dbeta_lib.costs`), sets beside them the floor on an H100, an H200 and this machine, whose matrix
rate and memory bandwidth are measured in the same run, and times every part of real steps here, on
random input of the same shapes. A CPU takes the paper's network at `--measured-batch` records. The
result goes to benchmarks/results/<day>-cost<LABEL>.json, and its page to benchmarks/cost.md.
"""

import argparse
import datetime
import os
import statistics
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from kept import system

from dbeta_lib.config import DBetaConfig
from dbeta_lib.costs import (
    CHIPS,
    NIGHT,
    OPTIMIZER,
    STEPS,
    UTILISATION,
    Chip,
    Part,
    floor,
    hours,
    step_cost,
    total,
)
from dbeta_lib.encoders.ecg import is_cheap_at
from dbeta_lib.evaluation.results import versions
from dbeta_lib.files import write_json
from dbeta_lib.model import DBeta
from dbeta_lib.training.machine_rates import copy_rate, matrix_rate
from dbeta_lib.training.part_meter import PartMeter
from dbeta_lib.training.random_batch import random_batch
from dbeta_lib.training.schedule import optimizer_and_schedule
from dbeta_lib.training.settings import PretrainConfig


def timed(config: DBetaConfig, records: int, length: int, words: int, device: str, repeats: int):
    """Median seconds by part: {part: {"forward": s, "backward": s}}; the first step warms up."""
    model = DBeta(config).to(device).train()
    batch = random_batch(config, records, length, words, device)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer, _ = optimizer_and_schedule(parameters, PretrainConfig(), fused=True)
    taken = defaultdict(list)
    for number in range(repeats + 1):
        meter = PartMeter(model)
        with meter:
            with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                loss = model(batch).losses["total"]
            meter.backward(loss)
            meter.during(OPTIMIZER, optimizer.step)
        optimizer.zero_grad(set_to_none=True)
        for key, seconds in meter.read().items() if number else ():
            taken[key].append(seconds)
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for (part, direction), seconds in taken.items():
        found[part][direction] = statistics.median(seconds)
    return dict(found)


def entry(
    preset: str, records: int, length: int, here: Chip, element_bytes: int,
    device: str = "", repeats: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Cost, floors and (with a device) times of a preset at a batch."""
    config = DBetaConfig.preset(preset)
    words, ecg = round(config.objective.mlm_probability * records * length), config.ecg
    cheap = is_cheap_at(records, ecg.kept, ecg.tokens, ecg.position_kernel, ecg.ecg_width)
    parts = step_cost(config, records, length, words, element_bytes, device == "cpu" and cheap)
    times = timed(config, records, length, words, device, repeats) if device else {}
    whole = {d: sum(t.get(d, 0) for t in times.values()) for d in ("forward", "backward")}
    chips = (*CHIPS, here)
    step = {c.name: floor(parts, c) for c in chips}
    return {
        "preset": preset, "batch": records, "text_tokens": length, "words": words,
        "element_bytes": element_bytes, "visible": config.ecg.kept, "tokens": config.ecg.tokens,
        "parts": [row(p, {c.name: p.floor(c) for c in chips}, times.get(p.name), here)
                  for p in parts],
        "step": row(total(parts), step, whole if times else None, here),
        "hours": {c.name: hours(parts, c.flops, UTILISATION, STEPS) for c in CHIPS},
        "utilisation_of_a_night": {c.name: hours(parts, c.flops, 1, STEPS) / NIGHT for c in CHIPS},
    }  # fmt: skip


def row(part: Part, floors: dict[str, float], times: dict | None, here: Chip) -> dict[str, Any]:
    """What is kept of a part; times: {"forward": s, "backward": s}, None where none was measured.

    utilisation: operations per measured second over the machine's measured matrix rate.
    """
    used = part.flops / sum(times.values()) / here.flops if times and part.flops else None
    return {**asdict(part), "floor": floors, "measured": times, "utilisation": used}


def measure(
    device: str, mini: tuple[int, int], paper: tuple[int, int], measured: int, repeats: int
) -> dict[str, Any]:
    """Rates of the machine and all entries; mini, paper: (batch, text tokens); measured: batch."""
    is_gpu = device == "cuda"
    dtype, element = (torch.bfloat16, 2) if is_gpu else (torch.float32, 4)
    here = Chip("here", matrix_rate(device, dtype), copy_rate(device))
    entries = [
        entry("mini", *mini, here, element, device, repeats),
        entry("paper", *paper, here, 2, *((device, repeats) if measured == paper[0] else ())),
    ]
    if measured != paper[0]:
        entries.append(
            entry("paper", measured, paper[1], here, element, device, max(1, repeats // 3))
        )
    rates = {"flops": here.flops, "bandwidth": here.bandwidth, "dtype": str(dtype).split(".")[1]}
    return {"rates": rates, "chips": [asdict(chip) for chip in CHIPS], "entries": entries}


def page(found: dict[str, Any]) -> str:
    """The result as Markdown."""
    rates, threads = found["rates"], found["threads"]
    clock = "seconds that its one thread worked" if threads == 1 else "seconds on the wall"
    gpus = "" if found["gpu"] else "No GPU was at hand: what is said of them is computed."
    where = found["gpu"] or f"{threads} of {found['cores']} CPU cores"
    chips = "\n".join(
        f"- {c['name']}: {c['flops'] / 1e12:.0f} TFLOPS of dense bf16, "
        f"{c['bandwidth'] / 1e12:g} TB/s "
        f"([data sheet]({c['source']}), whose figure with sparsity is halved)"
        for c in found["chips"]
    )
    paper = next(one for one in found["entries"] if one["preset"] == "paper")
    step = paper["step"]
    sums = "\n".join(
        f"| {name} | {step['floor'][name] * 1e3:,.1f} | {STEPS * step['floor'][name] / 3600:.1f} "
        f"| {paper['hours'][name]:.1f} | {paper['utilisation_of_a_night'][name]:.0%} |"
        for name in (c["name"] for c in found["chips"])
    )
    flops = step["forward_flops"] + step["backward_flops"]
    return f"""# What a step costs

`{found["command"]}`, {found["day"]}, {found["machine"]}

Counted are matrix products and convolutions, forward and backward, two operations to a
multiplication with its addition (torch's own counter gives the same on the real network, a test);
bytes are the least traffic: each product reads its factors and writes its result once, attention
does not write its scores, everything else is fused; weights' gradients and the optimizer in fp32.
The floor is the larger of operations / peak rate and bytes / bandwidth, forward and backward each:

{chips}
- here: {where}, {rates["flops"] / 1e9:,.0f} GFLOPS in {rates["dtype"]} and \
{rates["bandwidth"] / 1e9:.1f} GB/s, measured in this run by a large matrix product and a copy

Measured times are medians, in {clock}, at a load of {found["load"]:.0f} on
{found["cores"]} cores: other work takes caches and bandwidth from either side of a comparison.
Utilisation is operations per measured second over the measured matrix rate. {gpus}

## {STEPS:,} steps of batch {paper["batch"]}

A step is {flops / 1e12:.1f} TFLOP, {STEPS:,} of them {STEPS * flops / 1e18:.2f} EFLOP.

| chip | floor of a step, ms | all steps at the floor, h | at {UTILISATION:.0%} of the peak, h \
| needed for {NIGHT} h |
|---|---:|---:|---:|---:|
{sums}
{"".join(map(_section, found["entries"]))}"""


def _section(one: dict[str, Any]) -> str:
    is_timed = any(part["measured"] for part in one["parts"])
    head = ["part", "parameters, M", "GFLOP forward", "backward", "MB forward", "backward"]
    head += [f"floor {c.name.split()[0]}, ms" for c in _chips(one)]
    head += ["floor here, ms", "measured forward, ms", "backward, ms", "utilisation"] * is_timed
    rows = "\n".join(_row(part, is_timed, _chips(one)) for part in [*one["parts"], one["step"]])
    precision = {2: "bf16", 4: "fp32"}[one["element_bytes"]]
    return f"""
## `{one["preset"]}`, batch {one["batch"]}, {one["text_tokens"]} text tokens, {precision}

{one["visible"]} of {one["tokens"]} ECG tokens visible, {one["words"]:,} words masked.

| {" | ".join(head)} |
|---|{"---:|" * (len(head) - 1)}
{rows}
"""


def _chips(one: dict[str, Any]) -> tuple[Chip, ...]:
    """Those whose peak is in the precision of the entry."""
    return CHIPS if one["element_bytes"] == 2 else ()


def _row(part: dict[str, Any], is_timed: bool, chips: tuple[Chip, ...]) -> str:
    ms = {chip: 1e3 * seconds for chip, seconds in part["floor"].items()}
    cells = [part["name"], f"{part['parameters'] / 1e6:,.2f}"]
    cells += [f"{part[f'{d}_flops'] / 1e9:,.2f}" for d in ("forward", "backward")]
    cells += [f"{part[f'{d}_bytes'] / 1e6:,.1f}" for d in ("forward", "backward")]
    cells += [f"{ms[c.name]:.3g}" for c in chips]
    if is_timed:
        times, used = part["measured"] or {}, part["utilisation"]
        cells += [f"{ms['here']:,.2f}"]
        cells += [f"{1e3 * times.get(d, 0):,.2f}" for d in ("forward", "backward")]
        cells += ["–" if used is None else f"{used:.0%}"]
    return f"| {' | '.join(cells)} |"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--measured-batch", type=int, default=4, help="of the paper's network")
    parser.add_argument("--repeats", type=int, default=9, help="steps of mini; a third of paper")
    parser.add_argument("--label", default="", help="follows the result's name")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="of cost.md")
    given = parser.parse_args(arguments)
    found = measure(given.device, (32, 32), (128, 64), given.measured_batch, given.repeats)
    day = datetime.date.today().isoformat()
    command = f"python benchmarks/cost.py --device {given.device} "
    command += f"--measured-batch {given.measured_batch} --repeats {given.repeats}"
    machine = system()
    found |= {"day": day, "command": command, "machine": machine, "cores": os.cpu_count(),
              "threads": torch.get_num_threads(), "load": os.getloadavg()[0],
              "gpu": torch.cuda.get_device_name() if given.device == "cuda" else "",
              "versions": versions()}  # fmt: skip
    write_json(given.out / "results" / f"{day}-cost{given.label}.json", found)
    (given.out / f"cost{given.label}.md").write_text(page(found), encoding="utf-8")
    print(page(found))


if __name__ == "__main__":
    main()
