"""Map: ECGs and reports laid out by likeness; click a point, or encircle many, to see the ECGs."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import ipywidgets
import numpy as np
from matplotlib.path import Path as Outline

from dbeta_lib.data.store import SignalStore
from dbeta_lib.errors import UsageError, nearest
from dbeta_lib.evaluation.baselines import heart_rate
from dbeta_lib.evaluation.layout import Layout, layout
from dbeta_lib.reporting.ecg_paper import draw_ecg
from dbeta_lib.reporting.figures import Chart
from dbeta_lib.reporting.plots_map import NAMED, plot_map, to_data
from dbeta_lib.reporting.widgets.asked import hint, or_box
from dbeta_lib.reporting.widgets.controls import FIELD, button, choice
from dbeta_lib.reporting.widgets.records import Labels, RecordPicker, about, drawn_ecg, leads_of
from dbeta_lib.reporting.widgets.scores import chief_task
from dbeta_lib.reporting.widgets.shell import Panel, Sentence, View, in_words

COLOURS = ("label", "patient", "fold", "heart rate")
RATE = "heart rate [beats per minute]"
MANY = 2000  # ECGs from which encoding takes seconds, and a bar shows how far it is
RINGS = 200  # chosen points that are ringed; of more, these first


class Points:
    """The points of a layout with what they can be coloured by."""

    def __init__(self, store: SignalStore, places: Layout, labels: Labels, method: str):
        self.store, self.places, self.labels, self.method = store, places, labels, method
        self.records, self.task = store.records.iloc[places.rows], chief_task(store)

    def colours(self, by: str, label: str = "") -> np.ndarray:
        """What `plot_map` colours the ECGs by: names, or numbers for the heart rate.

        label: one class against all others; without it each ECG has the rarest of its labels in the
        store's chief task, among the commonest. Raises UsageError for another `by` or an unknown
        label.
        """
        if by not in COLOURS:
            raise UsageError(f"points are not coloured by '{by}'{nearest(by, COLOURS)}")
        if by == "heart rate":
            return self.rates
        if by == "patient":
            return self.records["patient_id"].astype(str).to_numpy()
        if by == "fold":
            folds = self.records["fold"].to_numpy()
            named = [f"fold {fold}" for fold in folds]
            return np.array(named if (folds >= 0).any() else self.records["split"].astype(str))
        return self._one_label(label) if label.strip() else self._rarest_label()

    def told(self, by: str, label: str = "") -> str:
        """What the colours are, in words."""
        if by == "label" and label.strip():
            return f"coloured: those labelled “{label.strip()}”"
        rule = f" ({self.task}; of several the rarest)" if by == "label" and self.task else ""
        return f"coloured by {by}{rule}"

    def _one_label(self, label: str) -> np.ndarray:
        has = np.isin(self.places.rows, self.labels.rows(label))
        return np.where(has, label.strip(), "")

    def _rarest_label(self) -> np.ndarray:
        names = np.full(len(self.places.rows), "", dtype=object)
        every = {
            name: self.labels.there[self.task][self.places.rows, column]
            for column, name in enumerate(self.labels.classes.get(self.task, ()))
        }
        common = sorted(every, key=lambda name: -int(every[name].sum()))[:NAMED]
        for name in common:  # the commonest first, so that the rarest has the last word
            names[every[name]] = name
        return names.astype(str)

    @cached_property
    def rates(self) -> np.ndarray:
        """Heart rate of each ECG: as the store has it, else measured at the R peaks."""
        if "heart_rate" in self.records:
            return self.records["heart_rate"].to_numpy(dtype=float)
        rate = self.store.sampling_rate
        return np.array([heart_rate(self.store.ecg(row), rate) for row in self.places.rows])

    def along(self, chart: Chart, path: Sequence[tuple[float, float]], text: bool) -> np.ndarray:
        """int64 rows picked by a path on the picture: the nearest point's, or all inside.

        With `text` reports can be clicked too: all rows that have it. Raises UsageError where none
        is inside.
        """
        outline = np.array([to_data(chart, x, y) for x, y in path])
        places = self.places
        if len(outline) > 2:
            inside = places.rows[Outline(outline).contains_points(places.ecg)]
            if not len(inside):
                raise UsageError("no ECG is inside the line; draw it around some points")
            return inside
        every = np.concatenate([places.ecg, places.text]) if text else places.ecg
        at = int(np.hypot(*(every - outline[0]).T).argmin())
        if at < len(places.rows):
            return places.rows[at : at + 1]
        report = places.report_ids[at - len(places.rows)]
        return places.rows[self.records["report_id"].to_numpy() == report]

    def neighbour(self, row: int, passed: set[int]) -> int:
        """The row whose point is nearest to that of `row`, those in `passed` left out."""
        here = self.places.ecg[np.flatnonzero(self.places.rows == row)[0]]
        distance = np.hypot(*(self.places.ecg - here).T)
        distance[np.isin(self.places.rows, [row, *passed])] = np.inf
        if not np.isfinite(distance).any():
            raise UsageError("every point has been shown; choose a record to begin anew")
        return int(self.places.rows[distance.argmin()])


def draw(
    points: Points,
    row: int,
    *,
    by: str = "label",
    label: str = "",
    text: bool = False,
    group: Sequence[int] = (),
) -> View:
    """The map with one ECG ringed large, the others of `group` small, and that ECG on paper.

    group: rows of the store. by, label as in `Points.colours`; text: reports are shown too.
    """
    store, places = points.store, points.places
    ringed = [row, *(other for other in list(group)[:RINGS] if other != row)]
    at = np.searchsorted(places.rows, ringed)
    title = f"{len(places.rows):,} ECGs of {store.meta['name']}, {points.told(by, label)}"
    chart = plot_map(
        places.ecg, points.colours(by, label), text=places.text if text else None, chosen=at,
        unit=RATE, axis=points.method.upper(), title=title,
    )  # fmt: skip
    record = store.records["record_id"].iat[row]
    paper = draw_ecg(
        drawn_ecg(store, row),
        store.sampling_rate,
        lead_mask=leads_of(store, row),
        title=f"record {record}",
    )
    pictures = (
        (chart, f"Map of {title}; ringed: record {record}"),
        (paper, f"ECG of record {record}"),
    )
    return View(pictures, about(store, row, points.labels))


@in_words
def embedding_map(
    store: SignalStore,
    model=None,
    *,
    rows: Sequence[int] | None = None,
    cache_dir: Path | str | None = None,
    method: str = "umap",
    limit: int = 4000,
    seed: int = 0,
) -> Panel:
    """A map of a store's ECGs: click a point, or draw a line around some, to see the ECGs.

    By keyboard: previous, next, record id, and "nearest", which walks from point to point. model:
    the one in the box by default. rows, method, limit, seed and `cache_dir`, where the coordinates
    are kept, as in `layout`.

    >>> widgets.embedding_map(work.store)  # doctest: +SKIP
    """
    model, trained = or_box(model)
    rows = None if rows is None else np.sort(np.asarray(rows, dtype=np.int64))
    options = {"cache_dir": cache_dir, "method": method, "limit": limit, "seed": seed}
    options["progress"] = min(limit, len(store)) > MANY
    places, labels, said = layout(model, store, rows, **options), Labels(store), Sentence()
    points = Points(store, places, labels, method)
    picker = RecordPicker(store, places.rows, said)
    near = button("nearest", "the nearest point not shown yet")
    every = button("all points", "choose from all points again")
    text = ipywidgets.Checkbox(
        description="reports too",
        indent=False,
        layout={"width": "auto"},
        disabled=not len(places.text),
    )
    label = ipywidgets.Combobox(
        description="one label", options=labels.names, continuous_update=False, style=FIELD,
        placeholder="any; type a label, then Enter", layout={"width": "28em"},
    )  # fmt: skip
    looks = {"by": choice("colour", {name: name for name in COLOURS}, "label"),
             "label": label, "text": text}  # fmt: skip
    passed: set[int] = set()

    def drawn(**state: object) -> View:
        group = picker.rows if len(picker.rows) < len(places.rows) else ()
        return draw(points, group=group, **state)

    panel = Panel(
        "Map", drawn, [{"row": picker}, [near, every], looks], said,
        hint=hint("Click a point, or draw a line around some with the button held.", trained),
        widths=[640, 640], on_path=lambda path: follow(path),
    )  # fmt: skip

    def follow(path: list[tuple[float, float]]) -> None:
        found = points.along(panel.view.pictures[0][0], path, text.value)
        with panel.held():
            if len(path) == 1 and len(found) == 1:
                picker.set_rows(places.rows, int(found[0]))
            else:
                picker.set_rows(found, int(found[0]))

    def step(_: object) -> None:
        passed.add(picker.value)
        with panel.held():
            picker.set_rows(places.rows, points.neighbour(picker.value, passed))

    def reset(_: object) -> None:
        passed.clear()
        with panel.held():
            picker.set_rows(places.rows)

    near.on_click(said.guard(step))
    every.on_click(said.guard(reset))
    return panel
