"""What do cached features save? A whole sweep of probes, and the same head through the encoder.

    python benchmarks/probe_sweep.py --store STORE [--model RUN/pretraining/model]

On a store of PTB-XL (all 21,837 records for the numbers that are quoted): features once, from the
model given or from an untrained mini; then from these features the kit's linear probe and MERL's
recipe (100 epochs), each for four tasks x 1, 10 and 100 % of the labels x 5 seeds, intervals
included. In the same run some batches of 16 of MERL's way without a cache are timed, a frozen
encoder with a linear layer on it, and 100 epochs of that are extrapolated for each task; the page
shows the arithmetic. Beside the seconds of the clock stand those of the processor, which other
work on the machine does not lengthen. Writes, with a page,
benchmarks/results/<day>-probe-sweep-<store>-<records>.json.
"""

import argparse
import datetime
import time
from pathlib import Path

import numpy as np
import torch
from kept import keep, machine, timed
from torch import nn

from dbeta_lib import DBeta
from dbeta_lib.config import DBetaConfig
from dbeta_lib.data.store import SPLITS, SignalStore
from dbeta_lib.evaluation.baselines import random_encoder
from dbeta_lib.evaluation.encoders import evaluating, to_encoder_input
from dbeta_lib.evaluation.features import extract
from dbeta_lib.evaluation.merl_head import BATCH, DECAY, EPOCHS, RATE
from dbeta_lib.evaluation.merl_probe import PERCENTS, merl_probe
from dbeta_lib.evaluation.probe import FRACTIONS, SEEDS, linear_probe

TASKS = ("super", "sub", "form", "rhythm")
WANTED_S = 120  # of the kit's sweep, on two cores


def sweep(store: SignalStore, features: np.ndarray, task: str) -> dict:
    """Seconds of both protocols on one task, and their AUC at all labels."""
    valid, splits = store.labels_valid(task), store.records["split"]
    given = (features, store.labels(task), splits)
    about = {"patients": store.records["patient_id"], "valid": valid, "progress": False}
    kit_s, kit_cpu_s, kit = timed(lambda: linear_probe(*given, FRACTIONS, SEEDS, **about))
    merl_s, merl_cpu_s, merl = timed(lambda: merl_probe(*given, PERCENTS, SEEDS, **about))
    return {
        "task": task, **{name: int((valid & (splits == name)).sum()) for name in SPLITS},
        "classes": len(kit[-1].classes), "kit_s": kit_s, "kit_cpu_s": kit_cpu_s,
        "merl_s": merl_s, "merl_cpu_s": merl_cpu_s,
        "kit_auc": {f"{one.fraction:g}": one.interval.value for one in kit},
        "merl_auc": {f"{one.percent / 100:g}": one.selected.interval.value for one in merl},
    }  # fmt: skip


def through_encoder(encoder, store: SignalStore, classes: int, batches: int) -> float:
    """Seconds per record of training a linear layer on the frozen encoder, batches of 16."""
    rows = np.random.default_rng(0).permutation(store.rows("train"))
    width = extract(encoder, store, rows[:1], progress=False).shape[1]
    head, loss_of = nn.Linear(width, classes), nn.BCEWithLogitsLoss()
    adam = torch.optim.Adam(head.parameters(), lr=RATE, weight_decay=DECAY)
    target = torch.zeros(BATCH, classes)
    present, spent = store.lead_mask(), []
    for number in range(batches + 3):
        start = time.perf_counter()
        part = np.take(rows, range(number * BATCH, (number + 1) * BATCH), mode="wrap")
        ecg, mask = to_encoder_input(store.ecg(part), present[part], store.sampling_rate, encoder)
        with evaluating(encoder):
            out = encoder.encode_ecg(ecg, lead_mask=mask)
        adam.zero_grad()
        loss_of(head(out.clone()), target).backward()
        adam.step()
        spent.append(time.perf_counter() - start)
    return float(np.mean(spent[3:])) / BATCH  # the first three warm up


def extrapolate(row: dict, train_s: float, embed_s: float) -> float:
    """Seconds of one run of 100 epochs at all labels, val and test embedded after each."""
    return EPOCHS * (row["train"] * train_s + (row["val"] + row["test"]) * embed_s)


def page(found: dict) -> str:
    """The result as Markdown."""
    rows, kit = found["tasks"], sum(row["kit_s"] for row in found["tasks"])
    merl, through = (sum(row[name] for row in rows) for name in ("merl_s", "through_s"))
    lines = "\n".join(
        f"| {row['task']} ({row['classes']} classes) | {row['train']:,} / {row['val']:,} / "
        f"{row['test']:,} | {row['kit_s']:.1f} | {row['merl_s']:.1f} | "
        f"{row['through_s'] / 3600:.2f} |"
        for row in rows
    )
    first, train_ms, embed_ms = rows[0], 1e3 * found["train_s"], 1e3 * found["embed_s"]
    verdict = "within" if kit + found["features_s"] <= WANTED_S else "NOT within"
    kit_cpu = sum(row["kit_cpu_s"] for row in rows) + found["features_cpu_s"]
    return f"""# Probes from cached features, and through the encoder

`python benchmarks/probe_sweep.py --store STORE`, {found["day"]}, {found["machine"]}; \
{found["store"]}, {found["records"]:,} records, {found["width"]} features of {found["encoder"]}

Features once: {found["features_s"]:.1f} s. Then four tasks x {len(FRACTIONS)} shares of labels x \
{len(SEEDS)} seeds (all labels are one draw for the kit's probe), 1,000 resamples for each interval:

| task | train / val / test | kit's probe, s | MERL's recipe, s | one run through the encoder, h |
|---|---:|---:|---:|---:|
{lines}
| all | | {kit:.1f} | {merl:.1f} | {through / 3600:.2f} |

The kit's sweep with its features: {kit + found["features_s"]:.0f} s, {verdict} the {WANTED_S} s \
wanted ({kit_cpu:.0f} s of the processor, all cores together; other work on the machine lengthens \
the first number alone). MERL's recipe: {EPOCHS} epochs in batches of {BATCH}.

Through the encoder, one run at all labels, extrapolated: training took {train_ms:.2f} ms a record \
({found["batches"]} batches of {BATCH}), embedding {embed_ms:.2f} ms; {first["task"]}: {EPOCHS} x \
({first["train"]:,} x {train_ms:.2f} + ({first["val"]:,} + {first["test"]:,}) x {embed_ms:.2f}) ms \
= {first["through_s"]:,.0f} s. That is one seed at one share, where the columns before are all.
"""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, required=True, help="of PTB-XL, with its four tasks")
    parser.add_argument("--model", type=Path, help="folder of a trained model; else a random mini")
    parser.add_argument("--batches", type=int, default=100, help="timed through the encoder")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args(arguments)
    store = SignalStore.open(given.store)
    if absent := sorted(set(TASKS) - set(store.tasks())):
        parser.error(f"{given.store} has no task {', '.join(absent)}; give a store of PTB-XL")
    encoder, name = random_encoder(DBetaConfig.preset("mini"), 0), "an untrained mini"
    if given.model:
        encoder, name = DBeta.from_pretrained(given.model).eval(), f"{given.model.name}, given"
    features_s, features_cpu_s, features = timed(lambda: extract(encoder, store, progress=False))
    print(f"features {features_s:.1f} s", flush=True)
    rows = []
    for task in TASKS:
        rows.append(sweep(store, features, task))
        print(task, f"{rows[-1]['kit_s']:.1f} s, {rows[-1]['merl_s']:.1f} s", flush=True)
    train_s = through_encoder(encoder, store, rows[0]["classes"], given.batches)
    embed_s = features_s / len(store)
    for row in rows:
        row["through_s"] = extrapolate(row, train_s, embed_s)
    found = {"day": datetime.date.today().isoformat(), "machine": machine(), "encoder": name,
             "store": store.meta["name"], "store_fingerprint": store.fingerprint,
             "records": len(store), "width": features.shape[1], "features_s": features_s,
             "features_cpu_s": features_cpu_s, "batches": given.batches, "train_s": train_s,
             "embed_s": embed_s, "tasks": rows}  # fmt: skip
    path = given.out / f"{found['day']}-probe-sweep-{found['store']}-{len(store)}.json"
    keep(path, found, page(found))


if __name__ == "__main__":
    main()
