"""Ask the ECGs: a sentence ranks a store's recordings; the best one is shown with class scores."""

from collections.abc import Sequence
from pathlib import Path

import ipywidgets
import numpy as np
import pandas as pd

from dbeta_lib.data.store import SignalStore
from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.features import extract
from dbeta_lib.evaluation.zero_shot import similarities
from dbeta_lib.reporting.ecg_paper import draw_ecg
from dbeta_lib.reporting.plots_results import plot_score_bars
from dbeta_lib.reporting.widgets import markup
from dbeta_lib.reporting.widgets.asked import hint, or_box
from dbeta_lib.reporting.widgets.controls import field
from dbeta_lib.reporting.widgets.front import Slider
from dbeta_lib.reporting.widgets.records import Labels, drawn_ecg, held_out_rows, leads_of
from dbeta_lib.reporting.widgets.scores import (
    ClassScores,
    Prompts,
    default_prompts,
    from_lines,
    to_lines,
    truth_of,
)
from dbeta_lib.reporting.widgets.shell import Panel, Sentence, View, in_words

SHOWN = 10  # recordings in the ranking
MANY = 2000  # recordings from which encoding takes seconds, and a bar shows how far it is


def draw(
    scores: ClassScores,
    store: SignalStore,
    labels: Labels,
    rows: np.ndarray,
    features: np.ndarray,
    *,
    query: str,
    place: int = 1,
    lines: str = "",
) -> View:
    """The recordings that fit a sentence best; the one at `place` on paper, with class scores.

    features `[n, D]` of `rows`; lines: the classes to score it for, as `scores.to_lines` has them.
    Raises UsageError for an empty sentence.
    """
    if not query.strip():
        raise UsageError("the sentence is empty; type one, such as 'atrial fibrillation'")
    found = similarities(scores.model, features, [query])[:, 0]
    order = np.argsort(-found, kind="stable")
    scores.ask(from_lines(lines))
    place = max(1, min(int(place), len(order), SHOWN))
    best = order[place - 1]
    row = int(rows[best])
    record = store.records["record_id"].iat[row]
    title = f"place {place} of {len(rows):,}: record {record}"
    paper = draw_ecg(
        drawn_ecg(store, row), store.sampling_rate, lead_mask=leads_of(store, row), title=title,
        report=store.records["report"].iat[row],
    )  # fmt: skip
    bars = plot_score_bars(
        scores.classes, scores.of(features[best : best + 1])[0], truth=truth_of(labels, row),
        title=f"record {record}: fits which class?",
    )  # fmt: skip
    pictures = ((paper, f"ECG at {title}, for the sentence: {query}"),
                (bars, f"Scores of record {record} for {len(scores.classes)} classes"))  # fmt: skip
    return View(pictures, markup.table(ranking(store, labels, rows, found, order), query))


def ranking(
    store: SignalStore, labels: Labels, rows: np.ndarray, found: np.ndarray, order: np.ndarray
) -> pd.DataFrame:
    """The first places: place, similarity, record, labels, report."""
    top = order[:SHOWN]
    records = store.records.iloc[rows[top]]
    return pd.DataFrame(
        {
            "place": np.arange(1, len(top) + 1),
            "similarity": found[top],
            "record": records["record_id"].astype(str).to_numpy(),
            "labels": [", ".join(sorted(truth_of(labels, int(row)))) for row in rows[top]],
            "report": records["report"].to_numpy(),
        }
    )


@in_words
def ask(
    store: SignalStore,
    model=None,
    *,
    rows: Sequence[int] | None = None,
    prompts: Prompts | None = None,
    cache_dir: Path | str | None = None,
    query: str = "left bundle branch block",
) -> Panel:
    """Type a sentence: the recordings that fit best, and one of them with scores for classes.

    model: the one in the box by default. rows: those searched, the test rows by default. prompts:
    class -> texts, to be edited in the widget; the kit's own for the store by default. Features are
    read from `cache_dir` where they were computed before.

    >>> widgets.ask(work.store)  # doctest: +SKIP
    """
    model, trained = or_box(model)
    said, labels = Sentence(), Labels(store)
    rows = held_out_rows(store) if rows is None else np.asarray(rows, dtype=np.int64)
    if not len(rows):
        raise UsageError(f"{store.path} has no record to ask")
    features = extract(model, store, rows, cache_dir, progress=len(rows) > MANY)
    scores = ClassScores(model, default_prompts(store) if prompts is None else prompts)
    lines = ipywidgets.Textarea(
        value=to_lines(scores.prompts), description="classes, one per line as 'class: text'",
        continuous_update=False, rows=5,
        style={"description_width": "initial"}, layout={"width": "56em"},
    )  # fmt: skip
    last = min(SHOWN, len(rows))
    place = Slider("show place", lambda at: f"{int(at)} of {last}", min=1, max=last, value=1)
    return Panel(
        "Ask the ECGs",
        lambda **state: draw(scores, store, labels, rows, features, **state),
        [
            {"query": field("sentence", query, "type a sentence, then press Enter")},
            {"place": place},
            {"lines": lines},
        ],
        said,
        hint=hint(
            f"{len(rows):,} recordings are ranked by the model's similarity to your sentence.",
            trained,
        ),
        widths=[800, 520],
    )
