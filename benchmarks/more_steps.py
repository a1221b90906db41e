"""What do more steps of pre-training give? The linear probe on every checkpoint that a run kept.

    dbeta pretrain STORE RUN --steps 8000 --set keep=99 --set checkpoint_every=1000
    python benchmarks/more_steps.py --store STORE --checkpoints RUN/checkpoints --task super

Writes benchmarks/results/<day>-more-steps-<store>.json and a page beside it: macro AUC on the test
split at 1, 10 and 100 % of the labels (mean of five draws, 95 % interval) for each checkpoint and
for the untrained network. Checkpoints before the last were taken before the learning rate had sunk,
so a run that ends there would stand a little higher; the question is only where the curve flattens.
"""

import argparse
import datetime
from pathlib import Path

import pandas as pd
from kept import keep

from dbeta_lib import DBeta
from dbeta_lib.data.store import SignalStore
from dbeta_lib.evaluation.baselines import random_encoder
from dbeta_lib.evaluation.features import extract
from dbeta_lib.evaluation.probe import linear_probe
from dbeta_lib.reporting.tables import pivot


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder of step-* folders")
    parser.add_argument("--task", default="super")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    store = SignalStore.open(given.store)
    folders = sorted(given.checkpoints.glob("step-*"))
    if not folders:
        parser.error(f"{given.checkpoints} holds no step-* folder")
    models = {int(folder.name.split("-")[1]): DBeta.from_pretrained(folder) for folder in folders}
    encoders = {0: random_encoder(next(iter(models.values())).config, 0), **models}
    rows = []
    for steps, encoder in encoders.items():
        rows += probed(steps, encoder, store, given.task)
        print(steps, *(f"{row['macro_auc']:.3f}" for row in rows[-3:]), flush=True)
    found = {"store": store.meta["name"], "store_fingerprint": store.fingerprint,
             "records": len(store), "task": given.task, "checkpoints": rows}  # fmt: skip
    day = datetime.date.today().isoformat()
    path = given.out / f"{day}-more-steps-{store.meta['name']}-{len(store)}.json"
    keep(path, found, page(found))


def page(found: dict) -> str:
    """The result as Markdown: steps x share of the labels, and what doubling the steps gave."""
    rows = pd.DataFrame(found["checkpoints"])
    table = pivot(rows.rename(columns={"macro_auc": "value"}), rows="steps")
    last = rows["steps"].max()
    half = rows.loc[rows["steps"] <= last / 2, "steps"].max()
    auc = rows.set_index(["label_fraction", "steps"])["macro_auc"]
    gains = ", ".join(
        f"{auc[share, last] - auc[share, half]:+.3f} at {share * 100:g} %"
        for share in sorted(rows["label_fraction"].unique())
    )
    title = f"{found['store']}, {found['records']:,} records, {found['task']}"
    return (
        f"# What more steps give: {title}\n\n"
        "Linear probe on the test split, macro AUC [95 %], mean of five draws of few labels; step "
        "0 is the untrained network. Every checkpoint is of one run: those before the last were "
        f"taken at a high learning rate.\n\n{table.to_markdown()}\n\n"
        f"From {half:,} to {last:,} steps: {gains}.\n"
    )


def probed(steps: int, encoder, store: SignalStore, task: str) -> list[dict]:
    """One row per share of the labels."""
    probes = linear_probe(
        extract(encoder, store, progress=False), store.labels(task), store.records["split"],
        patients=store.records["patient_id"], valid=store.labels_valid(task), progress=False,
    )  # fmt: skip
    return [
        {"steps": steps, "label_fraction": one.fraction, "n_train": one.n_train,
         "n_test": one.n_test, "macro_auc": one.interval.value, "low": one.interval.low,
         "high": one.interval.high}
        for one in probes
    ]  # fmt: skip


if __name__ == "__main__":
    main()
