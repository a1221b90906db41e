"""ETS beside InfoNCE: seconds and memory of one contrast, batch 128 to 8,192.

    python benchmarks/contrast_cost.py
    python benchmarks/contrast_cost.py --device cuda

What `training.contrast_cost` measures, kept: both losses from the same B x B logits of random
features, forward and backward, in turn. The result goes to
benchmarks/results/<day>-contrast-cost<LABEL>.json with a page beside it.
"""

import argparse
import datetime
from pathlib import Path
from typing import Any

import torch
from kept import keep, system

from dbeta_lib.training.contrast_cost import contrast_cost

WIDTH = 768
BATCHES = (128, 256, 512, 1024, 2048, 4096, 8192)


def page(found: dict[str, Any]) -> str:
    """The result as Markdown."""
    cells = "| {batch:,} | {loss} | {ms:,.1f} | {peak_mb:,.1f} |\n".format
    rows = "".join(cells(ms=1e3 * row["seconds"], **row) for row in found["rows"])
    return f"""# One contrast of a batch: ETS and InfoNCE

`python benchmarks/contrast_cost.py --device {found["device"]}`, {found["day"]}, \
{found["machine"]}, {found["threads"]} thread(s), features of {WIDTH}, medians of {found["repeats"]}

| batch | loss | ms | largest memory, MB |
|---:|---|---:|---:|
{rows}
Forward and backward of the loss alone; the encoders, whose cost is the same for both, are not in
it. On a CPU the time is what it worked for this process, over all threads. Memory is what torch's
tensors held at once beyond the features. InfoNCE is the model's form, which takes several partners
of a record.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each loss and batch")
    parser.add_argument("--batches", type=int, nargs="+", default=list(BATCHES))
    parser.add_argument("--label", default="", help="follows the result's name")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    table = contrast_cost(given.batches, WIDTH, given.repeats, given.device)
    day = datetime.date.today().isoformat()
    machine = system()
    if given.device != "cpu":
        machine += f", {torch.cuda.get_device_name()}"
    found = {"day": day, "machine": machine, "threads": torch.get_num_threads(),
             "device": given.device, "repeats": given.repeats,
             "rows": table.to_dict("records")}  # fmt: skip
    path = given.out / f"{day}-contrast-cost{given.label}.json"
    keep(path, found, page(found))


if __name__ == "__main__":
    main()
