"""ECG explorer: any record of a store on ECG paper, with its report and labels beside."""

from collections.abc import Sequence
from typing import Any

import ipywidgets

from dbeta_lib.data.store import SignalStore
from dbeta_lib.errors import UsageError
from dbeta_lib.leads import LEADS
from dbeta_lib.reporting.ecg_paper import draw_ecg
from dbeta_lib.reporting.ecg_sheet import LAYOUTS
from dbeta_lib.reporting.widgets.controls import FIELD, LeadBoxes, choice
from dbeta_lib.reporting.widgets.front import Slider
from dbeta_lib.reporting.widgets.records import Labels, RecordPicker, about, drawn_ecg, leads_of
from dbeta_lib.reporting.widgets.shell import Panel, Sentence, View, in_words

PAPER_MM = 250.0  # of time axis on one sheet: 10 s at 25 mm/s
GAINS = {"5 mm/mV": 5.0, "10 mm/mV": 10.0, "20 mm/mV": 20.0}
SPEEDS = {"12.5 mm/s": 12.5, "25 mm/s": 25.0, "50 mm/s": 50.0}


def draw(
    store: SignalStore,
    labels: Labels,
    row: int,
    *,
    layout: str = "3x4+rhythm",
    leads: Sequence[str] = LEADS,
    gain: float = 10.0,
    speed: float = 25.0,
    start: float = 0.0,
) -> View:
    """One record on paper from second `start` on, as much of it as a sheet holds.

    All twelve leads lie as `layout` says, fewer in strips one above the other. gain in mm/mV, speed
    in mm/s. Raises UsageError without a lead.
    """
    if not leads:
        raise UsageError("no lead is ticked; tick at least one")
    duration = store.samples / store.sampling_rate
    seconds = min(duration, PAPER_MM / speed)
    start = max(0.0, min(start, duration - seconds))
    first = round(start * store.sampling_rate)
    ecg = drawn_ecg(store, row, first, first + round(seconds * store.sampling_rate))
    record = store.records["record_id"].iat[row]
    figure = draw_ecg(
        ecg,
        store.sampling_rate,
        lead_mask=leads_of(store, row),
        title=f"{store.meta['name']}, record {record}",
        layout=layout if tuple(leads) == LEADS else ",".join(leads),
        seconds=seconds,
        speed=speed,
        gain=gain,
    )
    shown = f"{len(leads)} leads, seconds {start:g} to {start + seconds:g}"
    alt = f"ECG of record {record}: {shown}, {speed:g} mm/s, {gain:g} mm/mV"
    return View(((figure, alt),), about(store, row, labels))


@in_words
def explorer(store: SignalStore, *more: SignalStore, row: int | None = None) -> Panel:
    """Look through a store, or several: ECG on paper, report, labels; filter by label.

    row: the record to begin with, the first by default.

    >>> widgets.explorer(work.store)  # doctest: +SKIP
    """
    said, stores = Sentence(), _named((store, *more))
    labels = {name: Labels(each) for name, each in stores.items()}
    picker = RecordPicker(store, range(len(store)), said, row)
    which = choice("store", {name: name for name in stores}, next(iter(stores)))
    only = ipywidgets.Combobox(
        description="only with the label",
        placeholder="any; type a label, then Enter",
        options=labels[which.value].names,
        continuous_update=False,
        style=FIELD,
        layout={"width": "32em"},
    )
    begin = Slider("from second", "{:.1f} s".format, step=0.1, max=0)
    looks = {
        "layout": choice("layout", {name: name for name in LAYOUTS}, "3x4+rhythm"),
        "gain": choice("gain", GAINS, 10.0),
        "speed": choice("speed", SPEEDS, 25.0),
        "start": begin,
    }
    acts = [which, only] if more else [only]
    panel = Panel(
        "ECG explorer",
        lambda **state: draw(stores[which.value], labels[which.value], **state),
        [{"row": picker}, acts, looks, {"leads": LeadBoxes()}],
        said,
    )

    def choose(_: Any) -> None:
        here = stores[which.value]
        rows = labels[which.value].rows(only.value) if only.value.strip() else range(len(here))
        picker.set_rows(rows)

    def switch(_: Any) -> None:
        with panel.held():
            here = stores[which.value]
            picker.set_rows(range(len(here)), row=0, store=here)
            only.options, only.value = labels[which.value].names, ""
            roll(None)

    def roll(_: Any) -> None:
        here = stores[which.value]
        begin.max = max(0.0, here.samples / here.sampling_rate - PAPER_MM / looks["speed"].value)

    only.observe(said.guard(choose), "value")
    which.observe(said.guard(switch), "value")
    looks["speed"].observe(said.guard(roll), "value")
    return panel


def _named(stores: Sequence[SignalStore]) -> dict[str, SignalStore]:
    """Stores by name, with the rate where two have the same name."""
    names = [store.meta["name"] for store in stores]
    return {
        f"{name} {store.sampling_rate} Hz" if names.count(name) > 1 else name: store
        for name, store in zip(names, stores)
    }
