"""Reconstruction: hide a share of an ECG's tokens and watch the model fill them in."""

from collections.abc import Sequence

import ipywidgets
import numpy as np
import pandas as pd
import torch

from dbeta_lib.data.store import SignalStore
from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.encoders import to_encoder_input
from dbeta_lib.leads import LEADS
from dbeta_lib.model import DBeta
from dbeta_lib.reporting.plots_signals import plot_reconstruction
from dbeta_lib.reporting.widgets import markup
from dbeta_lib.reporting.widgets.asked import hint, or_box
from dbeta_lib.reporting.widgets.controls import FIELD, LeadBoxes
from dbeta_lib.reporting.widgets.front import Slider
from dbeta_lib.reporting.widgets.records import RecordPicker, held_out_rows, leads_of
from dbeta_lib.reporting.widgets.shell import PAGE_PX, Panel, Sentence, View, in_words
from dbeta_lib.seeds import int_seed

SHOWN = ("I", "II", "V1", "V5")
MOST_SEED = 9999


def draw(
    model: DBeta,
    store: SignalStore,
    row: int,
    *,
    mask_ratio: float = 0.75,
    seed: int = 0,
    leads: Sequence[str] = SHOWN,
    report: bool = False,
) -> View:
    """One record with a share of its tokens hidden and filled in, and the error of every lead.

    seed decides which tokens; report: whether the fusion may read the record's own. Raises
    UsageError without a lead, or for a ratio that hides nothing or everything.
    """
    if not leads:
        raise UsageError("no lead is ticked; tick at least one")
    mask = leads_of(store, row)[None]
    ecg, mask = to_encoder_input(store.ecg([row]), mask, store.sampling_rate, model)
    noise = torch.rand(
        1, model.config.ecg.tokens_of(ecg.shape[-1]),
        generator=torch.Generator().manual_seed(int_seed(seed, "widget-mask")),
    )  # fmt: skip
    record = store.records.iloc[row]
    texts = [record["text"]] if report else None
    filled = model.reconstruct(ecg, mask, noise=noise, texts=texts, mask_ratio=mask_ratio)
    target, drawn, hidden = (filled[k][0].cpu().numpy() for k in ("target", "prediction", "mask"))
    names = [name for name in LEADS if name in set(leads)]
    title = f"record {record['record_id']}, {hidden.mean():.0%} of the tokens hidden"
    figure = plot_reconstruction(
        target, {"filled in": drawn}, hidden, model.sampling_rate, leads=names, title=title
    )
    alt = f"Reconstruction of {title}, leads {', '.join(names)}"
    table = markup.table(errors(target, drawn, hidden), "where hidden")
    absent = report and not record["text"].strip()
    return View(((figure, alt),), table + absent * markup.paragraph("It has no report to read."))


def errors(target: np.ndarray, drawn: np.ndarray, hidden: np.ndarray) -> pd.DataFrame:
    """Per lead the mean squared error over the hidden samples, of the model and of a flat line.

    target and drawn `[12, T']` in standard deviations of the lead, hidden `[tokens]`, 1 = hidden.
    """
    where = np.repeat(hidden.astype(bool), target.shape[1] // len(hidden))
    mean = {
        "model [SD²]": ((drawn - target)[:, where] ** 2).mean(axis=1),
        "flat line [SD²]": (target[:, where] ** 2).mean(axis=1),
    }
    table = pd.DataFrame({"lead": LEADS, **mean})
    whole = {"lead": "all", **{name: values.mean() for name, values in mean.items()}}
    return pd.concat([table, pd.DataFrame([whole])], ignore_index=True)


@in_words
def reconstruction(
    store: SignalStore,
    model: DBeta | None = None,
    *,
    rows: Sequence[int] | None = None,
    row: int | None = None,
) -> Panel:
    """Hide patches of an ECG and watch the model fill them in; mask ratio, seed, leads.

    model: the one in the box by default. rows: those to choose from, the test rows by default (all
    where there are none).

    >>> widgets.reconstruction(work.store)  # doctest: +SKIP
    """
    model, trained = or_box(model)
    said = Sentence()
    picker = RecordPicker(store, held_out_rows(store) if rows is None else rows, said, row)
    ratio = Slider("hidden share", "{:.0%}".format, min=0.05, max=0.95, step=0.05, value=0.75)
    seed = ipywidgets.BoundedIntText(
        description="seed", max=MOST_SEED, style=FIELD, layout={"width": "9em"}
    )
    report = ipywidgets.Checkbox(
        description="the model may read the report", indent=False, layout={"width": "auto"}
    )
    rows_of = [{"row": picker}, {"mask_ratio": ratio, "seed": seed, "report": report}]
    return Panel(
        "Reconstruction",
        lambda **state: draw(model, store, **state),
        [*rows_of, {"leads": LeadBoxes(SHOWN)}],
        said,
        hint=hint(
            "Grey is hidden from the model; it sees the rest and draws what was there.", trained
        ),
        widths=[PAGE_PX],
    )
