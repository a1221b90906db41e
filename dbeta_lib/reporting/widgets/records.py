"""Which record of a store a widget shows: the controls for that, and the facts beside the ECG."""

from collections.abc import Sequence
from typing import Any

import ipywidgets
import numpy as np
import traitlets

from dbeta_lib.data.signals import unpack_bits
from dbeta_lib.data.store import SignalStore
from dbeta_lib.errors import UsageError, nearest
from dbeta_lib.leads import LEADS
from dbeta_lib.reporting.widgets import markup
from dbeta_lib.reporting.widgets.controls import FIELD, NARROW
from dbeta_lib.reporting.widgets.front import Slider
from dbeta_lib.reporting.widgets.shell import Sentence
from dbeta_lib.seeds import rng


class RecordPicker(ipywidgets.HBox):
    """Previous, next, random, a slider, and a field for a record's id; `value` is the row.

    rows: those to choose from, in this order. What goes wrong is said in `said`. Raises UsageError
    where there is no row.
    """

    value = traitlets.Int(0)

    def __init__(
        self, store: SignalStore, rows: Sequence[int], said: Sentence, row: int | None = None
    ):
        self.store, self.said = store, said
        self.slider = Slider("record", self._counted, min=1, max=2, value=1)
        self.name = ipywidgets.Text(
            description="record id", continuous_update=False, style=FIELD, layout={"width": "15em"}
        )
        self.buttons = {
            name: ipywidgets.Button(description=name, tooltip=f"{name} record", layout=NARROW)
            for name in ("previous", "next", "random")
        }
        super().__init__([*self.buttons.values(), self.slider, self.name])
        self.layout.flex_flow, self.layout.align_items = "row wrap", "center"
        self._draw, self._rows, self._moving = rng(0, "widgets-random"), np.empty(0, int), False
        self.set_rows(rows, row)
        self.slider.observe(self._on_slider, "value")
        self.name.observe(self._on_name, "value")
        for name, button in self.buttons.items():
            button.on_click(lambda _, name=name: self.said.guard(self.step)(name))

    @property
    def rows(self) -> np.ndarray:
        """int64: the rows that can be chosen."""
        return self._rows

    def set_rows(
        self, rows: Sequence[int], row: int | None = None, store: SignalStore | None = None
    ) -> None:
        """Choose from these rows from now on; stays at the row shown where it is among them.

        store: another one than before. Raises UsageError for no rows, and for a `row` that is not
        among them.
        """
        rows, self.store = np.asarray(rows, dtype=np.int64), store or self.store
        if not len(rows):
            raise UsageError(f"{self.store.path} has no record to show here")
        place = np.flatnonzero(rows == (self.value if row is None else row))
        if row is not None and not len(place):
            raise UsageError(f"row {row} is not among the {len(rows)} rows to choose from")
        self._rows = rows
        self._go(int(place[0]) if len(place) else 0)

    def step(self, way: str) -> None:
        """ "previous" and "next" go round at the ends; "random" is any other record."""
        here, count = int(self.slider.value) - 1, len(self._rows)
        if way == "random":
            there = (here + int(self._draw.integers(1, count))) % count if count > 1 else here
        else:
            there = (here + (1 if way == "next" else -1)) % count
        self._go(there)

    def find(self, name: str) -> None:
        """Go to the record of this id. Raises UsageError where it is not, or is filtered out."""
        ids = self.store.records["record_id"].astype(str).to_numpy()
        rows = np.flatnonzero(ids == name.strip())
        place = np.flatnonzero(np.isin(self._rows, rows))
        if not len(place):
            why = "is not among the records chosen here" if len(rows) else "is not in this store"
            raise UsageError(f"record '{name}' {why}; the first one here is '{ids[self._rows[0]]}'")
        self._go(int(place[0]))

    def _go(self, place: int) -> None:
        """Show a place in `rows` in all controls, then tell it as `value`."""
        self._moving = True
        row = int(self._rows[place])
        self.slider.max = len(self._rows)
        self.slider.value = place + 1
        self.name.value = str(self.store.records["record_id"].iat[row])
        self._moving = False
        self.value = row

    def _on_slider(self, change: dict[str, Any]) -> None:
        if not self._moving:
            self.said.guard(self._go)(int(change["new"]) - 1)

    def _on_name(self, change: dict[str, Any]) -> None:
        if not self._moving:
            self.said.guard(self.find)(change["new"])

    def _counted(self, value: float) -> str:
        return f"{int(value):,} of {int(self.slider.max):,}" if hasattr(self, "slider") else ""


class Labels:
    """All label tasks of a store, read once: the classes of a row, and the rows of a class."""

    def __init__(self, store: SignalStore):
        self.store = store
        frames = {task: store.labels(task) for task in store.tasks()}
        self.classes = {task: tuple(map(str, frame.columns)) for task, frame in frames.items()}
        self.there = {task: frame.to_numpy() == 1 for task, frame in frames.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """Every class of every task, each name once."""
        return tuple(dict.fromkeys(name for its in self.classes.values() for name in its))

    def of(self, row: int) -> dict[str, list[str]]:
        """Task -> the classes that the row has in it."""
        return {
            task: [name for name, has in zip(its, self.there[task][row]) if has]
            for task, its in self.classes.items()
        }

    def rows(self, name: str) -> np.ndarray:
        """int64 rows with a class, whatever its case. Raises UsageError for none, or no class."""
        wanted = name.strip().casefold()
        if wanted not in {each.casefold() for each in self.names}:
            raise UsageError(f"'{name}' is no label of this store{nearest(name, self.names)}")
        found = np.zeros(len(self.store), dtype=bool)
        for task, its in self.classes.items():
            for column, each in enumerate(its):
                if each.casefold() == wanted:
                    found |= self.there[task][:, column]
        if not found.any():
            raise UsageError(f"no record of this store has the label '{name}'; choose another")
        return np.flatnonzero(found)


def held_out_rows(store: SignalStore) -> np.ndarray:
    """Rows kept from training, to look at; all rows where the store has no test split."""
    rows = store.rows("test")
    return rows if len(rows) else np.arange(len(store))


def leads_of(store: SignalStore, row: int) -> np.ndarray:
    """bool `[12]`: the leads recorded in one row."""
    return unpack_bits(store.records["leads_present"].to_numpy()[row : row + 1])[0]


def drawn_ecg(store: SignalStore, row: int, start: int = 0, stop: int | None = None) -> np.ndarray:
    """mV `[12, n]` of one row to be looked at: the zeros after a short recording's end are NaN.

    start, stop: samples. Drawn as they are stored, those zeros would look like a heart at rest.
    """
    ecg = store.ecg(row)  # an array of its own
    ecg[:, store.samples - int(store.records["padded"].iat[row]) :] = np.nan
    return ecg[:, start:stop]


def about(store: SignalStore, row: int, labels: Labels) -> str:
    """HTML of what is known of a record: who, which split, labels, flaws, and its report."""
    record = store.records.iloc[row]
    absent = [name for name, has in zip(LEADS, leads_of(store, row)) if not has]
    known = {
        "record": record["record_id"],
        "patient": record["patient_id"] if store.meta["patients_known"] else None,
        "age": f"{record['age']:.0f} years" if record["age"] == record["age"] else None,
        "sex": record["sex"],
        "split": record["split"],
        "not recorded": ", ".join(absent),
        "recorded": _short(store, int(record["padded"])),
    }
    known |= {f"labels ({task})": ", ".join(its) or "none" for task, its in labels.of(row).items()}
    return markup.facts(known | {"report": record["report"] or "no report"})


def _short(store: SignalStore, padded: int) -> str:
    """How long a recording is that is shorter than the store's windows, else ""."""
    if not padded:
        return ""
    whole, rate = store.samples, store.sampling_rate
    return f"{(whole - padded) / rate:g} s; the model reads zeros up to {whole / rate:g} s"
