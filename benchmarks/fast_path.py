"""The fast path of pre-training beside the plain one: records/s, and what each step of it saves.

    python benchmarks/fast_path.py --store STORE [--switches paper] [--compiled]
    python benchmarks/fast_path.py --full [--official CHECKOUT]

The first trains `mini` in all ways in turn, round after round, each way from the same weights on
the same records of a store at 100 Hz: the fast path as `pretrain` runs it, the fast path with one
step switched off, and the reference (`training.reference`: fixed-length padding, logits everywhere,
a Python loop over records, eager attention, AdamW in a loop). Making batches and extracting
features are timed in the same rounds. Numbers are medians of rounds, ratios are taken within a
round; beside the clock's stand those of the processor, which other work on the machine changes
less. The second trains the full-size network on batches of 8 with 64 text tokens, in a process for
each way, the official network among them where a checkout of it is given. Each writes
benchmarks/results/<day>-fast-path-<what>.json with a page beside it; on two idle cores the first
takes about three minutes, the second about two.
"""

import argparse
import dataclasses
import datetime
import os
import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from accelerate import Accelerator
from full_size_step import about, full_page, measure_full
from kept import keep, system, timed
from torch import Tensor

from dbeta_lib import heads
from dbeta_lib.batch import Batch
from dbeta_lib.config import DBetaConfig
from dbeta_lib.data.store import SignalStore
from dbeta_lib.encoders import layers, packed_t5
from dbeta_lib.evaluation.features import extract
from dbeta_lib.losses import mem_loss
from dbeta_lib.model import DBeta
from dbeta_lib.n3s import Negatives, RandomNegatives
from dbeta_lib.outputs import Streams
from dbeta_lib.training.batches import BatchMaker
from dbeta_lib.training.layers import prepared
from dbeta_lib.training.loop import Loop
from dbeta_lib.training.reference import (
    POSITIONS,
    Kinds,
    PlainBatches,
    eager_attend,
    padded,
    plain_losses,
    plain_step,
    plainly,
)
from dbeta_lib.training.schedule import optimizer_and_schedule
from dbeta_lib.training.settings import PretrainConfig
from dbeta_lib.training.start import build_model

WANTED, WANTED_PIPELINE = 2, 10
COMPILED = "layers through torch.compile"
Step = Callable[[], Any]


class Ways:
    """Ways to train `mini` on a store; each begins with the same weights and sees the same records.

    Wrong texts are random ones of the training split, so that no table has to be made first.
    """

    def __init__(self, store: SignalStore, config: DBetaConfig, batch_size: int):
        self.store, self.config = store, config
        self.settings = PretrainConfig(steps=100_000, batch_size=batch_size)
        reports = store.records["report_id"].to_numpy()[store.rows("train")]
        self.negatives: Negatives = RandomNegatives(reports[reports >= 0])
        self.tokenizer = build_model(config, store).tokenizer
        self.lasting = ExitStack()  # what is done to the models once, as `pretrain` does

    def model(self) -> DBeta:
        return build_model(self.config, self.store, 0, self.tokenizer).train()

    def maker(self, kind: type[BatchMaker], pack: bool = False) -> BatchMaker:
        return kind(
            self.store, self.store.rows("train"), self.tokenizer, self.config, self.negatives,
            batch_size=self.settings.batch_size, seed=0, pack_texts=pack,
        )  # fmt: skip

    def fast(
        self,
        kind: type[BatchMaker] = BatchMaker,
        pack: bool = True,
        change: Callable[[Batch], Batch] = lambda batch: batch,
        kinds: Kinds | None = None,
        within: Callable[[], AbstractContextManager] = nullcontext,
        fused: bool = True,
        quick: bool = True,
        compiled: bool = False,
    ) -> Step:
        """The step of `pretrain`, or what is left of it with one thing switched off."""
        model, maker = self.model(), self.maker(kind)
        loop = Loop(Accelerator(), model, maker, None, None, self.settings)
        settings = PretrainConfig.of(self.settings, quick_dropout=quick, compile=compiled)
        self.lasting.enter_context(prepared(model, settings))
        if kinds:
            self.lasting.enter_context(plainly(model, kinds))
        if not fused:
            loop.optimizer, loop.schedule = optimizer_and_schedule(loop.parameters, self.settings)

        def step() -> None:
            with within():
                loop._one_step([change(maker[loop.step].packed(pack))])
            if loop.step % self.settings.log_every == 0:
                loop.recorder.means(loop.step)

        return step

    def reference(self) -> Step:
        model, batches = self.model(), batches_of(self.maker(PlainBatches))
        optimizer, _ = optimizer_and_schedule([*model.parameters()], self.settings)
        return lambda: plain_step(model, next(batches), optimizer)

    def all(self, compiled: bool = False) -> dict[str, Step]:
        """By name, the fast path first and the reference last."""
        more = {COMPILED: self.fast(compiled=True)} if compiled else {}
        limit = self.config.text.max_text_tokens
        return {
            "fast path": self.fast(),
            "eager attention": self.fast(within=eagerly),
            "all ECG tokens to the end": self.fast(within=to_the_end),
            "positions of all ECG tokens": self.fast(kinds=POSITIONS),
            "logits of words at all positions": self.fast(change=everywhere),
            "padded to the longest of the batch": self.fast(pack=False),
            "padded to the limit": self.fast(pack=False, change=lambda batch: padded(batch, limit)),
            "a Python loop over records": self.fast(kind=PlainBatches),
            "torch's dropout": self.fast(quick=False),
            "AdamW in a loop": self.fast(fused=False),
            **more,
            "reference": self.reference(),
        }

    def difference(self) -> float:
        """Largest relative difference of a loss between both paths, without dropout."""
        model, maker = self.model().eval(), self.maker(BatchMaker, True)
        with torch.no_grad():
            fast, plain = model(maker[0]).losses, plain_losses(model, self.maker(PlainBatches)[0])
        return max(abs(fast[name] / loss - 1).item() for name, loss in plain.items())


@contextmanager
def eagerly() -> Iterator[None]:
    """Every attention of the fast path written out."""
    with ExitStack() as stack:
        for module in (layers, packed_t5, heads):
            stack.enter_context(mock.patch.object(module, "attend", eager_attend))
        yield


@contextmanager
def to_the_end() -> Iterator[None]:
    """The last layers of fusion and MEM decoder for all tokens, of which few are read."""

    def streams(model: DBeta, ecg: Tensor, noise: Tensor, batch: Batch) -> Streams:
        given = batch.input_ids, batch.attention_mask, noise
        return model.streams(ecg, *given, packing=batch.packing())

    def mem(model: DBeta, read: Tensor, restore: Tensor, whole: Tensor, seen: Tensor):
        samples, mask = model.mem_head(read, restore), restore >= read.shape[1] - 1
        return samples, mem_loss(samples, model.mem_target(whole, seen), mask.to(seen.dtype))

    changed = {"_batch_streams": streams, "_mem": mem}
    with mock.patch.multiple(DBeta, **changed):
        yield


def batches_of(maker: BatchMaker) -> Iterator[Batch]:
    return map(maker.__getitem__, count())


def everywhere(batch: Batch) -> Batch:
    """The same batch; the last layer and the logits are computed without a label too."""
    places = torch.arange(batch.mlm_labels.numel())
    return dataclasses.replace(batch, mlm_places=places, text_asked=None)


def measure(
    store: SignalStore,
    steps: int,
    rounds: int,
    switches: str = "recommended",
    compiled: bool = False,
    batch_size: int = 32,
) -> dict[str, Any]:
    """Records per second, by the clock and by the processor, of each way in each round."""
    config = DBetaConfig.preset("mini", switches=switches, negatives="random")
    ways = Ways(store, config, batch_size)
    with ways.lasting:
        return _measured(ways, steps, rounds, compiled)


def _measured(ways: Ways, steps: int, rounds: int, compiled: bool) -> dict[str, Any]:
    store, batch_size, trained = ways.store, ways.settings.batch_size, ways.all(compiled)
    fast, plain = (batches_of(ways.maker(kind)) for kind in (BatchMaker, PlainBatches))
    rows, encoder = np.arange(min(len(store), 8 * batch_size)), ways.model()
    others = {
        "batches": (lambda: next(fast).packed(), 4 * steps, batch_size),
        "batches, a Python loop over records": (lambda: next(plain), steps, batch_size),
        "features": (lambda: extract(encoder, store, rows, progress=False), 1, len(rows)),
    }
    work = {**{name: (step, steps, batch_size) for name, step in trained.items()}, **others}
    found: dict[str, dict[str, list[float]]] = {n: {"clock": [], "processor": []} for n in work}
    for _ in range(rounds):
        for name, (step, times, records) in work.items():
            step()  # what comes before it has emptied the caches
            taken = timed(lambda step=step, times=times: [step() for _ in range(times)])
            for kind, seconds in zip(found[name], taken):
                found[name][kind].append(times * records / seconds)
    return {
        "batch_size": batch_size, "steps": steps, "rounds": rounds,
        "switches": ways.config.switches,
        "largest_loss_difference": ways.difference(), "records_per_s": found,
    }  # fmt: skip


def ratio(found: dict[str, Any], name: str, other: str, kind: str) -> list[float]:
    """`name` over `other` in each round."""
    rates = found["records_per_s"]
    return [a / b for a, b in zip(rates[name][kind], rates[other][kind])]


def page(found: dict[str, Any]) -> str:
    """The result as Markdown."""
    median, rates = statistics.median, found["records_per_s"]

    def row(name: str, *ratios: float) -> str:
        numbers = [median(rates[name][kind]) for kind in ("clock", "processor")]
        cells = [f"{number:,.0f}" for number in numbers] + [f"{one:.2f}" for one in ratios]
        return f"| {name} | " + " | ".join(cells) + " |\n"

    def beside(name: str, other: str) -> list[float]:
        return [median(ratio(found, name, other, kind)) for kind in ("clock", "processor")]

    ways = [name for name in rates if not name.startswith(("batches", "features"))]
    ways.sort(key=lambda name: (name != "fast path") + (name == "reference"))
    trained = "".join(row(name, *beside(name, "fast path")) for name in ways)
    others = "".join(row(name) for name in rates if name not in ways)
    rounds = ", ".join(f"{one:.2f}" for one in ratio(found, "fast path", "reference", "clock"))
    gain, gain_cpu = beside("fast path", "reference")
    fed, fed_cpu = beside("batches", "fast path")
    return f"""# The fast path of pre-training beside the plain one

{about(found)}, `mini`, switches `{found["switches"]}`, batches of \
{found["batch_size"]}, medians of {found["rounds"]} rounds of {found["steps"]} steps

The fast path trains **{gain:.2f} times** the records/s of the reference ({gain_cpu:.2f} by the \
processor; {WANTED} wanted; in each round {rounds}). One process makes batches {fed:.0f} times as \
fast as they are trained on ({fed_cpu:.0f} by the processor; {WANTED_PIPELINE} wanted).

| training | records/s | records per processor second | of the fast path | by the processor |
|---|---:|---:|---:|---:|
{trained}
Between first and last row the fast path with one thing changed, named by what stands in its place.
The fast path is `pretrain` with `pack_texts` and `quick_dropout`. Without dropout the losses
of both paths differ by {found["largest_loss_difference"]:.1e} of their size at most.

| without training | records/s | records per processor second |
|---|---:|---:|
{others}
"""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, help="a store at 100 Hz, as PTB-XL's")
    parser.add_argument("--switches", choices=("recommended", "paper"), default="recommended")
    parser.add_argument(
        "--compiled", action="store_true", help="also layers through torch.compile; a minute more"
    )
    parser.add_argument("--full", action="store_true", help="the full-size network instead")
    parser.add_argument("--official", type=Path, help="a checkout of the official code; --full")
    parser.add_argument("--steps", type=int, help="of each way and round (3; also with --full)")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args(arguments)
    if not given.full and given.store is None:
        parser.error("give --store STORE, or --full")
    if given.official and not (given.official / "configs" / "config.json").is_file():
        parser.error(f"{given.official} is no checkout of the official code: configs/config.json")
    load = os.getloadavg()[0]
    if given.full:
        found, name = measure_full(given.steps or 3, official=given.official), "full"
    else:
        store = SignalStore.open(given.store)
        found = measure(store, given.steps or 3, given.rounds, given.switches, given.compiled)
        name = f"{store.meta['name']}-{len(store)}"
        name += "" if given.switches == "recommended" else f"-{given.switches}"
    words = ["--full" if given.full else "--store STORE"]
    for option in ("switches", "steps", "rounds"):
        if getattr(given, option) != parser.get_default(option):
            words.append(f"--{option} {getattr(given, option)}")
    words += ["--official CHECKOUT"] * bool(given.official) + ["--compiled"] * given.compiled
    found = {
        "command": f"python benchmarks/fast_path.py {' '.join(words)}",
        "day": datetime.date.today().isoformat(), "load": load, "nice": os.nice(0),
        "machine": system(), "threads": torch.get_num_threads(), **found,
    }  # fmt: skip
    path = given.out / f"{found['day']}-fast-path-{name}.json"
    keep(path, found, full_page(found) if given.full else page(found))


if __name__ == "__main__":
    main()
