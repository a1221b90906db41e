"""What do labels alone give? ResNet-18 from scratch on the five superclasses of PTB-XL at 100 Hz.

    python benchmarks/supervised_ptbxl.py --data PTB-XL_OR_STORE --out RESULT.json

The data: PTB-XL's folder in its published layout (a store of it is then kept beside the result), or
a store that is prepared already. Trained on folds 1-8, epoch chosen on fold 9, scored once on fold
10. Published networks of this family reach a macro AUC of 0.92 to 0.93 on all 21,837 records
(Strodthoff et al., IEEE JBHI 25, 2021). As there, training sees random parts of 2.5 s; evaluation
sees whole records here. That was chosen on fold 9 of 2,000 records: 0.870 in 30 such epochs, 0.857
in 15 epochs of whole records, which cost twice the time. The result file holds the record, the
curve of epochs, the settings and the speed.
"""

import argparse
import dataclasses
import datetime
from pathlib import Path

import torch

from dbeta_lib.comparisons.supervised import ResNet18
from dbeta_lib.data import ensure_store
from dbeta_lib.data.store import SignalStore
from dbeta_lib.evaluation.finetune import Finetuned, finetune
from dbeta_lib.evaluation.finetune_settings import FinetuneConfig
from dbeta_lib.evaluation.records import encoder_facts, store_facts
from dbeta_lib.files import write_json

RATE = 100  # Hz


def main() -> None:
    given = arguments()
    store = opened(given.data, given.out)
    settings = FinetuneConfig.from_scratch(epochs=given.epochs, lr=given.lr, crop=given.crop)
    encoder = ResNet18(width=given.width, seed=given.seed)
    found = finetune(encoder, store, given.task, settings=settings, seed=given.seed)
    name = f"ResNet18, width {given.width}, from scratch"
    facts = {**encoder_facts(encoder), **store_facts(store), "encoder": name}
    write_json(given.out, report(found, facts, len(store)))
    print(f"{name}: macro AUC {found.interval} on {len(found.y)} test records")
    print(f"epoch {found.epoch} of {len(found.curve)}, {found.seconds:.0f} s, ", end="")
    print(f"{found.records_per_s:.0f} records/s in training")


def arguments() -> argparse.Namespace:
    """The command line."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--data", type=Path, required=True, help="PTB-XL's folder, or a store")
    options.add_argument("--out", type=Path, required=True, help="result file (JSON)")
    options.add_argument("--task", default="super")
    options.add_argument("--epochs", type=int, default=30)
    options.add_argument("--width", type=int, default=32, help="channels of the first stage")
    options.add_argument("--lr", type=float, default=3e-3, help="peak of the learning rate")
    options.add_argument("--crop", type=float, default=2.5, help="s of a record seen in training")
    options.add_argument("--seed", type=int, default=0)
    return options.parse_args()


def opened(data: Path, out: Path) -> SignalStore:
    """The store, prepared beside the result where the data are PTB-XL's own folder."""
    if (data / "store.json").is_file():
        return SignalStore.open(data)
    return ensure_store("ptb-xl", data, out.parent / f"ptb-xl-{RATE}hz", sampling_rate=RATE)


def report(found: Finetuned, facts: dict, records: int) -> dict:
    """What the result file holds."""
    return {
        "date": datetime.date.today().isoformat(),
        "result": dataclasses.asdict(found.results(**facts)[0]),
        "records": records,
        "curve": found.curve.to_dict("records"),
        "epoch": found.epoch,
        "settings": dataclasses.asdict(found.settings),
        "parameters": found.parameters,
        "records_per_s": found.records_per_s,
        "seconds": found.seconds,
        "threads": torch.get_num_threads(),
    }


if __name__ == "__main__":
    main()
