"""Which recipe of fine-tuning serves a small network and few records?

    python benchmarks/finetune_recipes.py --model RUN/pretraining/model --store STORE --task super

The published recipe (Adam at a constant 5e-5 in batches of 128: fairseq-signals) and the one of
notebook 07 (AdamW on one cycle, a larger rate for the new layer), each from the pre-trained start
and from random weights, for as many epochs as the notebook has and for `--long` times as many. The
test records are scored once, at the epoch that validation chose. Writes, with a page,
benchmarks/results/<day>-finetune-recipes-<store>-<training records>.json.
"""

import argparse
import datetime
import time
from dataclasses import asdict
from pathlib import Path

from kept import keep

from dbeta_lib import DBeta
from dbeta_lib.data.store import SignalStore
from dbeta_lib.evaluation.baselines import random_encoder
from dbeta_lib.evaluation.finetune import Finetuned, finetune
from dbeta_lib.evaluation.finetune_settings import FinetuneConfig

HEAD_LR = 0.01  # of notebook 07
ONE_CYCLE_LR = {"pre-trained": 0.0005, "from scratch": 0.001}  # of notebook 07, by start


def settings(recipe: str, start: str, epochs: int) -> FinetuneConfig:
    """The recipe as the notebook has it."""
    if recipe == "published":
        return FinetuneConfig.recipe(recipe, epochs=epochs)
    rates = {"lr": ONE_CYCLE_LR[start], "head_lr": HEAD_LR}
    return FinetuneConfig.recipe(recipe, epochs=epochs, batch_size=32, **rates)


def row(recipe: str, start: str, told: FinetuneConfig, tuned: Finetuned, cpu_s: float) -> dict:
    """What is kept of one run."""
    found = tuned.interval
    return {
        "recipe": recipe, "start": start, "settings": asdict(told), "n_train": tuned.n_train,
        "epoch": tuned.epoch, "steps": told.epochs * -(-tuned.n_train // told.batch_size),
        "val_macro_auc": float(tuned.curve["val_macro_auc"].max()), "macro_auc": found.value,
        "low": found.low, "high": found.high, "n": found.rows, "cpu_s": cpu_s,
    }  # fmt: skip


def page(found: dict) -> str:
    """The result as Markdown."""
    lines = "\n".join(
        f"| {one['recipe']} | {one['start']} | {one['settings']['epochs']} | {one['steps']:,} | "
        f"{one['epoch']} | {one['val_macro_auc']:.3f} | {one['macro_auc']:.3f} "
        f"[{one['low']:.3f}, {one['high']:.3f}] | {one['cpu_s']:.0f} |"
        for one in found["runs"]
    )
    first = found["runs"][0]
    return f"""# Recipes of fine-tuning

`python benchmarks/finetune_recipes.py --model RUN/pretraining/model --store STORE --task \
{found["task"]}`, {found["day"]}; {found["store"]}, {first["n_train"]:,} training records, \
{first["n"]:,} test records, all leads, one seed

*published*: Adam at a constant 5e-5, batches of 128; *one-cycle*: AdamW, batches of 32, rates up \
and down once (pre-trained {ONE_CYCLE_LR["pre-trained"]:g}, from scratch \
{ONE_CYCLE_LR["from scratch"]:g}, new layer {HEAD_LR:g}).

| recipe | start | epochs | steps | epoch chosen | validation | test macro AUC [95 %] | CPU, s |
|---|---|---:|---:|---:|---:|---:|---:|
{lines}
"""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="folder of a trained model")
    parser.add_argument("--store", type=Path, required=True, help="a prepared store")
    parser.add_argument("--task", required=True, help="one of its label tasks")
    parser.add_argument("--fraction", type=float, default=1.0, help="of its training records")
    parser.add_argument("--epochs", type=int, default=8, help="of the notebook")
    parser.add_argument("--long", type=int, default=4, help="how many times as many, once more")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args(arguments)
    store, model = SignalStore.open(given.store), DBeta.from_pretrained(given.model)
    starts = {"pre-trained": model, "from scratch": random_encoder(model.config, 0)}
    plan = [
        (recipe, start, epochs)
        for epochs in (given.epochs, given.epochs * given.long)
        for start in starts
        for recipe in ("published", "one-cycle")
    ]
    runs = []
    for recipe, start, epochs in plan:
        told, busy = settings(recipe, start, epochs), time.process_time()
        tuned = finetune(starts[start], store, given.task, settings=told, fraction=given.fraction,
                         progress=False)  # fmt: skip
        runs.append(row(recipe, start, told, tuned, time.process_time() - busy))
        print(recipe, start, epochs, f"{runs[-1]['macro_auc']:.3f}", flush=True)
    found = {"day": datetime.date.today().isoformat(), "store": store.meta["name"],
             "store_fingerprint": store.fingerprint, "model": given.model.name,
             "task": given.task, "runs": runs}  # fmt: skip
    name = f"{found['day']}-finetune-recipes-{found['store']}-{runs[0]['n_train']}"
    keep(given.out / f"{name}.json", found, page(found))


if __name__ == "__main__":
    main()
