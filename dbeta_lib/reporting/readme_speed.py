"""What the README says of time and memory, from the benchmarks' last results."""

from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd

from dbeta_lib.costs import NIGHT, STEPS, UTILISATION
from dbeta_lib.errors import DBetaError
from dbeta_lib.files import read_json
from dbeta_lib.reporting.tables import show

_DAY = "????-??-??"  # begins a result's name; the last counts
_PATH = "benchmarks/results"  # as the README links it


def cost(results: Path) -> str:
    """The paper's run counted: of each chip the least time, and what a share of its peak gives."""
    _, found = _last(results, "cost", "cost.py")
    full = next(one for one in found["entries"] if one["preset"] == "paper")
    step = full["step"]
    flops = step["forward_flops"] + step["backward_flops"]
    at_share = f"{STEPS:,} steps at {UTILISATION:.0%} of the peak, h"
    rows = [
        {
            "chip": name,
            "peak, TFLOPS": f"{peak / 1e12:,.0f}",
            "a step at least, ms": f"{1e3 * step['floor'][name]:.1f}",
            at_share: f"{full['hours'][name]:.1f}",
            f"share needed for {NIGHT} h": f"{full['utilisation_of_a_night'][name]:.0%}",
        }
        for name, peak in ((chip["name"], chip["flops"]) for chip in found["chips"])
    ]
    title = (
        f"A step of batch {full['batch']} with {full['text_tokens']} text tokens is "
        f"{flops / 1e12:.1f} TFLOP in bf16, all {STEPS:,} steps {STEPS * flops / 1e18:.2f} EFLOP:"
    )
    return f"{title}\n\n{show(pd.DataFrame(rows)).to_markdown()}\n"


def speed(results: Path) -> str:
    """The fast path beside the plain one, the memory of a long run, negatives for many reports."""
    lines = [_fast_path(path, found) for path, found in _of_each_switch(results).items()]
    lines.append(_soak(*_last(results, "soak", "soak.py")))
    lines.append(_negatives(results))
    return "\n".join(f"- {line}" for line in lines) + "\n"


def _of_each_switch(results: Path) -> dict[Path, dict[str, Any]]:
    """The last result of the fast path for each set of switches, the largest gain first."""
    by_switches = {}
    for path in sorted(results.glob(f"{_DAY}-fast-path-*.json")):
        found = read_json(path)
        if "records_per_s" in found:  # the full-size step has none
            by_switches[found["switches"]] = path, found
    if not by_switches:
        raise DBetaError(f"{results} holds no fast path; make it: python benchmarks/fast_path.py")
    ordered = sorted(by_switches.values(), key=lambda one: -_gain(one[1], "clock"))
    return dict(ordered)


def _gain(
    found: dict[str, Any], kind: str, name: str = "fast path", than: str = "reference"
) -> float:
    """The median of the rounds' ratios, which need not be the ratio of the medians."""
    rates = found["records_per_s"]
    return median(a / b for a, b in zip(rates[name][kind], rates[than][kind]))


def _fast_path(path: Path, found: dict[str, Any]) -> str:
    rates = {name: median(of["clock"]) for name, of in found["records_per_s"].items()}
    compiled = "layers through torch.compile"
    told = (
        f"`mini` with the {found['switches']} switches on {found['threads']} CPU threads: "
        f"{rates['fast path']:,.0f} records/s, the plain way {rates['reference']:,.0f}, "
        f"[{_gain(found, 'clock'):.2f} times]({_PATH}/{path.stem}.md) "
        f"({_gain(found, 'processor'):.2f} by processor seconds; medians of "
        f"{found['rounds']} rounds); batches are made "
        f"{_gain(found, 'clock', 'batches', 'fast path'):,.0f} times as fast as they are used"
    )
    if compiled in rates:
        told += f"; with `compile` {_gain(found, 'clock', compiled, 'fast path'):.2f} times as fast"
    return told


def _soak(path: Path, found: dict[str, Any]) -> str:
    own = found["kinds"]["own"]
    return (
        f"memory, once it has settled, grows by [{own['mb_per_1000']:.1f} MB per 1,000 steps]"
        f"({_PATH}/{path.stem}.md): {own['middle']:,.0f} MB in the middle of {found['steps']:,} "
        f"steps, {own['end']:,.0f} at the end"
    )


def _negatives(results: Path) -> str:
    """Of the largest number of reports that was run."""
    paths = sorted(results.glob(f"{_DAY}-negatives-at-scale-*.json"))
    if not paths:
        raise DBetaError(
            f"{results} holds no negatives at scale; make them: "
            "python benchmarks/negatives_at_scale.py"
        )
    path, found = max(((p, read_json(p)) for p in paths), key=lambda one: one[1]["texts"])
    table, law = found["ways"]["n3s"], found["ways"]["balanced"]
    return (
        f"[{found['texts']:,} distinct reports of {found['dim']} numbers]({_PATH}/{path.stem}.md) "
        f"on {found['threads']} thread{'s' * (found['threads'] > 1)}: the table of the 64 farthest "
        f"in {clock(table['build_s'])} min below {_gb(table)} GB, the balanced law in "
        f"{clock(law['build_s'])} min below {_gb(law)} GB"
    )


def _gb(way: dict[str, Any]) -> str:
    """Rounded up, so that below is true."""
    return f"{-(-way['peak_mb'] // 102.4) / 10:.1f}"


def clock(seconds: float) -> str:
    """Minutes and seconds, 61.2 -> "1:01"."""
    return f"{round(seconds) // 60}:{round(seconds) % 60:02d}"


def _last(results: Path, name: str, script: str) -> tuple[Path, dict[str, Any]]:
    """The last result of a benchmark. Raises DBetaError naming the script where there is none."""
    files = sorted(results.glob(f"{_DAY}-{name}.json"))
    if not files:
        raise DBetaError(f"{results} holds no result '{name}'; make it: python benchmarks/{script}")
    return files[-1], read_json(files[-1])
