"""How long does a widget take to show another record?

    python benchmarks/widget_redraw.py --store STORE

On a store (PTB-XL at 100 Hz for the numbers that are quoted) each widget is put up as in a
notebook, with the model in the box, and moved by its own controls: "next" again and again, another
sentence, another report. Timed is everything from the control to the PNG and the text that the page
would be sent; what the browser and the network add is not. The explorer is measured once more on
50,000 records, this store's again and again under ids of their own. Beside the clock stand the
seconds of the processor, which other work on the machine does not lengthen; so the load before and
after stands there too. Writes, with a page,
benchmarks/results/<day>-widget-redraw-<store>-<records>.json.
"""

import argparse
import datetime
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from kept import keep, machine

from dbeta_lib.data.store import SignalStore
from dbeta_lib.embedders import TfidfEmbedder
from dbeta_lib.n3s import ensure_table
from dbeta_lib.reporting import widgets
from dbeta_lib.reporting.widgets.shell import Panel

WANTED_MS = 300  # at the median, on two cores
MANY = 50_000
QUERIES = ("atrial fibrillation", "left bundle branch block", "sinus bradycardia", "normal ecg")
ROWS = 200  # test records that are asked and mapped: the first of them


class Repeated:
    """The signals of a small store again and again, `count` rows that take no room of their own."""

    def __init__(self, signals: np.ndarray, count: int):
        self.signals, self.shape, self.dtype = signals, (count, *signals.shape[1:]), signals.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, place):
        return self.signals[np.asarray(place) % len(self.signals)]


def repeated(store: SignalStore, count: int) -> SignalStore:
    """A store of `count` rows, each with an id of its own; without labels."""
    records = store.records.iloc[np.arange(count) % len(store)].reset_index(drop=True)
    records["record_id"] = [f"{name}-{i}" for i, name in enumerate(records["record_id"])]
    meta = store.meta | {"tasks": {}}
    return SignalStore(store.path, meta, Repeated(store.signals, count), records)


def step(panel: Panel, number: int) -> None:
    panel.controls["row"].step("random" if number % 2 else "next")


def put(name: str, values) -> Callable[[Panel, int], None]:
    """Sets one control to one value after another."""
    return lambda panel, number: panel.controls[name].set_trait("value", values[number])


def measured(what: str, panel: Panel, move: Callable[[Panel, int], None], times: int) -> dict:
    """Milliseconds of each of `times` moves, the first two left out, and what changed."""
    clock, busy = [], []
    for number in range(times + 2):
        before = panel.pictures[0].png, panel.view.text
        start, worked = time.perf_counter(), time.process_time()
        move(panel, number)
        clock.append(1e3 * (time.perf_counter() - start))
        busy.append(1e3 * (time.process_time() - worked))
        assert (panel.pictures[0].png, panel.view.text) != before, f"{what} shows nothing new"
        assert not panel.said.value, f"{what}: {panel.said.value}"
    low, middle, high = np.percentile(clock[2:], [5, 50, 95])
    row = {
        "what": what, "ms": middle, "ms_5": low, "ms_95": high,
        "cpu_ms": float(np.median(busy[2:])), "png_kb": len(panel.pictures[0].png) / 1000,
    }  # fmt: skip
    print(f"{what}: {middle:.0f} ms, processor {row['cpu_ms']:.0f} ms", flush=True)
    return row


def measure(store: SignalStore, times: int) -> list[dict]:
    """A row for each widget."""
    rows, sentences = store.rows("test")[:ROWS], [QUERIES[i % 4] for i in range(times + 2)]
    hidden = [0.25 + 0.05 * (i % 10) for i in range(times + 2)]
    with tempfile.TemporaryDirectory() as folder:
        on = {"cache_dir": folder, "rows": rows}
        table = ensure_table(store, Path(folder) / "table.npz", TfidfEmbedder())
        first = "a rhythm that is none of those asked next"
        share = widgets.reconstruction(store)
        cases = [
            ("explorer", widgets.explorer(store), step),
            (f"explorer, {MANY:,} records", widgets.explorer(repeated(store, MANY)), step),
            ("reconstruction, another record", widgets.reconstruction(store), step),
            ("reconstruction, another share", share, put("mask_ratio", hidden)),
            (
                "ask, another sentence",
                widgets.ask(store, **on, query=first),
                put("query", sentences),
            ),
            ("negatives", widgets.negatives(store, table), put("rank", range(2, times + 4))),
            ("map, another point", widgets.embedding_map(store, **on, method="pca"), step),
            ("leads", widgets.leads(store), step),
            ("why", widgets.why(store), step),
        ]
        return [measured(what, panel, move, times) for what, panel, move in cases]


def told(found: dict) -> str:
    """Whether the explorer is as fast as wanted, by the clock and by the processor."""
    row = found["rows"][0]
    by = {name: "below" if row[key] < WANTED_MS else "NOT below"
          for name, key in (("clock", "ms"), ("processor", "cpu_ms"))}  # fmt: skip
    return (
        f"The explorer's change of record took {row['ms']:.0f} ms at the median, {by['clock']} the "
        f"{WANTED_MS} ms\nwanted, and {row['cpu_ms']:.0f} ms of the processor, {by['processor']}."
    )


def page(found: dict) -> str:
    """The result as Markdown."""
    line = (
        "| {what} | {ms:,.0f} | {ms_5:,.0f} to {ms_95:,.0f} | {cpu_ms:,.0f} | {png_kb:,.0f} |"
    ).format
    lines = "\n".join(line(**row) for row in found["rows"])
    load, verdict = " and ".join(f"{each:.1f}" for each in found["load"]), told(found)
    return f"""# How long a widget takes to show another record

`python benchmarks/widget_redraw.py --store STORE`, {found["day"]}, {found["machine"]}; \
{found["store"]}, {found["records"]:,} records at {found["sampling_rate"]} Hz, the model in the box

From the control to the picture and the text that the page is sent, {found["times"]} moves each:

| widget | median, ms | 5 to 95 %, ms | processor, median, ms | picture, kB |
|---|---:|---:|---:|---:|
{lines}

{verdict}

Jobs ready to run when this began and when it ended: {load}, on {found["cores"]} cores. With more
jobs than cores the clock counts their time too.
"""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, required=True, help="a prepared store of PTB-XL")
    parser.add_argument("--times", type=int, default=30, help="moves of each widget")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args(arguments)
    store, load = SignalStore.open(given.store), [os.getloadavg()[0]]
    rows = measure(store, given.times)
    found = {
        "day": datetime.date.today().isoformat(), "machine": machine(), "cores": os.cpu_count(),
        "store": store.meta["name"], "store_fingerprint": store.fingerprint,
        "records": len(store), "sampling_rate": store.sampling_rate, "rows": rows,
        "times": given.times, "load": [*load, os.getloadavg()[0]],
    }  # fmt: skip
    path = given.out / f"{found['day']}-widget-redraw-{found['store']}-{len(store)}.json"
    keep(path, found, page(found))


if __name__ == "__main__":
    main()
