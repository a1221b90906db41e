"""Why this score: which seconds and leads carry a class score, by hiding them one by one."""

from collections.abc import Sequence

import ipywidgets
import numpy as np

from dbeta_lib.data.store import SignalStore
from dbeta_lib.errors import UsageError, nearest
from dbeta_lib.evaluation.occlusion import occlude
from dbeta_lib.leads import LEADS
from dbeta_lib.reporting.plots_occlusion import plot_occlusion
from dbeta_lib.reporting.widgets import markup
from dbeta_lib.reporting.widgets.asked import hint, or_box
from dbeta_lib.reporting.widgets.controls import FIELD, choice
from dbeta_lib.reporting.widgets.records import (
    Labels,
    RecordPicker,
    about,
    drawn_ecg,
    held_out_rows,
    leads_of,
)
from dbeta_lib.reporting.widgets.scores import Prompts, default_prompts, truth_of
from dbeta_lib.reporting.widgets.shell import PAGE_PX, Panel, Sentence, View, in_words

WINDOWS = {"pieces of 0.5 s": 0.5, "pieces of 1 s": 1.0, "pieces of 2 s": 2.0}


def draw(
    model, store: SignalStore, labels: Labels, prompts: Prompts, row: int, *,
    name: str, window: float = 1.0,
) -> View:  # fmt: skip
    """One record, each piece shaded by how far the score of class `name` falls without it.

    Raises UsageError for a class that is not described.
    """
    if name not in prompts:
        raise UsageError(f"'{name}' is no class with a text here{nearest(name, prompts)}")
    ecg, record = store.ecg(row), store.records["record_id"].iat[row]
    texts, mask = list(prompts[name]), leads_of(store, row)
    found = occlude(model, ecg, store.sampling_rate, texts, lead_mask=mask, window=window)
    has = "labelled so" if name in truth_of(labels, row) else "not labelled so"
    title = f"record {record}: score {found.score:.2f} for “{name}” ({has})"
    drawn = np.where(mask[:, None], drawn_ecg(store, row), np.nan)
    figure = plot_occlusion(drawn, store.sampling_rate, found, title=title)
    most = LEADS[int(found.leads.argmax())] if (found.leads == found.leads).all() else ""
    told = f"Without lead {most} the score falls most." if most else ""
    return View(
        ((figure, f"Occlusion of {title}"),), markup.paragraph(told) + about(store, row, labels)
    )


@in_words
def why(
    store: SignalStore,
    model=None,
    *,
    prompts: Prompts | None = None,
    rows: Sequence[int] | None = None,
    row: int | None = None,
    name: str = "",
) -> Panel:
    """Which seconds and leads carry the score of a class: hide them, and see how far it falls.

    model: the one in the box by default. prompts: class -> texts, the kit's own for the store by
    default; name: the class to begin with, by default one that the record is labelled with, where
    any of them is described.

    >>> widgets.why(work.store)  # doctest: +SKIP
    """
    model, trained = or_box(model)
    said, labels = Sentence(), Labels(store)
    prompts = default_prompts(store) if prompts is None else prompts
    picker = RecordPicker(store, held_out_rows(store) if rows is None else rows, said, row)
    first = next((n for n in prompts if n in truth_of(labels, picker.value)), next(iter(prompts)))
    described = ipywidgets.Combobox(
        value=name or first, options=tuple(prompts), description="class",
        placeholder="type a class, then Enter", continuous_update=False, style=FIELD,
        layout={"width": "24em"},
    )  # fmt: skip
    return Panel(
        "Why this score",
        lambda **state: draw(model, store, labels, prompts, **state),
        [{"row": picker}, {"name": described, "window": choice("hide", WINDOWS, 1.0)}],
        said,
        hint=hint(
            "Orange: hidden, the score falls, so this spoke for the class. Violet: against it.",
            trained,
        ),
        widths=[PAGE_PX],
    )
