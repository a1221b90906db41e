"""Leads: switch leads off and watch the zero-shot scores of one ECG move."""

from collections.abc import Sequence

import numpy as np

from dbeta_lib.data.store import SignalStore
from dbeta_lib.errors import UsageError
from dbeta_lib.leads import LEADS
from dbeta_lib.reporting.plots_leads import draw_kept_leads
from dbeta_lib.reporting.plots_results import plot_score_shift
from dbeta_lib.reporting.widgets import markup
from dbeta_lib.reporting.widgets.asked import hint, or_box
from dbeta_lib.reporting.widgets.controls import LeadBoxes
from dbeta_lib.reporting.widgets.records import (
    Labels,
    RecordPicker,
    drawn_ecg,
    held_out_rows,
    leads_of,
)
from dbeta_lib.reporting.widgets.scores import (
    ClassScores,
    Prompts,
    default_prompts,
    features_of,
    truth_of,
)
from dbeta_lib.reporting.widgets.shell import Panel, Sentence, View, in_words


def draw(
    scores: ClassScores, store: SignalStore, labels: Labels, row: int, *, leads: Sequence[str]
) -> View:
    """One record with all its leads and with some: scores before and after, and the ECG.

    A lead that is off is zeros and masked, as when leads are dropped in training. Raises UsageError
    where no recorded lead is left.
    """
    kept = np.isin(LEADS, list(leads)) & leads_of(store, row)
    if not kept.any():
        raise UsageError("no recorded lead is left on; switch at least one on")
    both = [features_of(scores.model, store, row), features_of(scores.model, store, row, kept)]
    before, after = (scores.of(features)[0] for features in both)
    truth, record = truth_of(labels, row), store.records["record_id"].iat[row]
    names = [name for name, there in zip(LEADS, kept) if there]
    shift = plot_score_shift(
        scores.classes, before, after, truth=truth, title=f"record {record}",
        labels=("all leads", f"{len(names)} on"),
    )  # fmt: skip
    paper = draw_kept_leads(
        drawn_ecg(store, row), store.sampling_rate, names,
        title=f"record {record}, {len(names)} of {leads_of(store, row).sum()} leads on",
    )  # fmt: skip
    shown = f"record {record} with leads {', '.join(names)}"
    pictures = ((shift, f"Class scores of {shown}, beside all leads"), (paper, f"ECG of {shown}"))
    moved = _places(scores.classes, before), _places(scores.classes, after)
    told = [f"{name}: place {moved[0][name]} of {len(before)}, now {moved[1][name]}"
            for name in scores.classes if name in truth]  # fmt: skip
    head = "Labelled classes:" if told else "It is labelled with none of the classes asked here."
    return View(pictures, "".join(map(markup.paragraph, [head, *told])))


def _places(classes: Sequence[str], scores: np.ndarray) -> dict[str, int]:
    """Class -> its place by score, 1 = best."""
    order = np.argsort(-scores, kind="stable")
    return {classes[at]: place for place, at in enumerate(order, 1)}


@in_words
def leads(
    store: SignalStore,
    model=None,
    *,
    prompts: Prompts | None = None,
    rows: Sequence[int] | None = None,
    row: int | None = None,
) -> Panel:
    """Switch leads of an ECG off and watch the scores of the classes move.

    model: the one in the box by default. prompts: class -> texts, the kit's own for the store by
    default; rows: those to choose from, the test rows by default.

    >>> widgets.leads(work.store)  # doctest: +SKIP
    """
    model, trained = or_box(model)
    said, labels = Sentence(), Labels(store)
    picker = RecordPicker(store, held_out_rows(store) if rows is None else rows, said, row)
    scores = ClassScores(model, default_prompts(store) if prompts is None else prompts)
    return Panel(
        "Leads",
        lambda **state: draw(scores, store, labels, **state),
        [{"row": picker}, {"leads": LeadBoxes()}],
        said,
        hint=hint("Hollow: the score with all leads. Full: with those ticked.", trained),
        widths=[520, 700],
    )
