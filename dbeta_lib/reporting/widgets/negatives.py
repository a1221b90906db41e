"""Negatives: a report, those nearest to it, and the farthest, from which N3S draws."""

import numpy as np
import pandas as pd

from dbeta_lib.data.store import SignalStore
from dbeta_lib.embedders import Embedder, TfidfEmbedder, embed_reports
from dbeta_lib.errors import UsageError
from dbeta_lib.n3s import NegativeTable, distinct_reports, ensure_table, hub_counts
from dbeta_lib.reporting.plots_reports import plot_neighbours
from dbeta_lib.reporting.widgets import markup
from dbeta_lib.reporting.widgets.controls import button, field
from dbeta_lib.reporting.widgets.front import Slider
from dbeta_lib.reporting.widgets.shell import PAGE_PX, Panel, Sentence, View, in_words

NEAR, FAR_DRAWN = 10, 10  # neighbours shown, and how many of the farthest are in the picture


class Reports:
    """The distinct training reports of a store, the most frequent first, with their vectors."""

    def __init__(self, store: SignalStore, table: NegativeTable, embedder: Embedder):
        ids, texts = distinct_reports(store)
        if not np.array_equal(ids, table.report_ids):
            raise UsageError("the table of negatives is of other reports; build it from this store")
        self.table, self.ids, self.texts = table, ids, texts
        self.vectors, self.hubs = embed_reports(texts, embedder), hub_counts(table)
        own = store.records["report_id"].to_numpy()[store.rows("train")]
        self.counts = np.bincount(np.searchsorted(ids, own[own >= 0]), minlength=len(ids))
        self.order = np.argsort(-self.counts, kind="stable")

    def holding(self, words: str) -> np.ndarray:
        """Places in `order` of the reports that hold some words, whatever their case.

        Raises UsageError where none does.
        """
        wanted = words.casefold().strip()
        found = [i for i, at in enumerate(self.order) if wanted in self.texts[at].casefold()]
        if not found:
            raise UsageError(f"no training report holds '{words}'; try fewer words")
        return np.array(found)


def draw(reports: Reports, *, rank: int = 1) -> View:
    """The report of a rank (1 = the most frequent): nearest and farthest, cosines, hub counts."""
    this = int(reports.order[int(rank) - 1])
    cosine = reports.vectors @ reports.vectors[this]
    near = [j for j in np.argsort(-cosine, kind="stable")[: NEAR + 1] if j != this][:NEAR]
    far = np.searchsorted(reports.ids, reports.table.candidates(reports.ids[this]))
    sides = [[(reports.texts[j], float(cosine[j])) for j in side] for side in (near, far)]
    figure = plot_neighbours(reports.texts[this], sides[0], sides[1][:FAR_DRAWN], max_lines=3)
    said = (
        f"This report stands in {reports.counts[this]:,} training records, and in the candidate "
        f"lists of {reports.hubs[this]:,} reports (on average {reports.table.k}, at most "
        f"{reports.hubs.max():,})."
    )
    alt = f"Report {int(rank)} of {len(reports.ids):,}, its nearest and its farthest reports"
    caption = f"all {len(far)} farthest: one of these is the negative"
    text = markup.paragraph(said) + markup.table(_listed(reports, cosine, far), caption, True)
    return View(((figure, alt),), text)


def _listed(reports: Reports, cosine: np.ndarray, these: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "cosine": cosine[these].astype(float),
            "in lists": reports.hubs[these],
            "records": reports.counts[these],
            "report": [reports.texts[j] for j in these],
        }
    )


@in_words
def negatives(
    store: SignalStore, table: NegativeTable | None = None, embedder: Embedder | None = None
) -> Panel:
    """A report, its 10 nearest and all its farthest (64 as in the paper), with hub counts.

    table: the store's own by default, built with TF-IDF where there is none. embedder: the one that
    the table was made with, TF-IDF by default.

    >>> widgets.negatives(work.store)  # doctest: +SKIP
    """
    embedder, said = embedder or TfidfEmbedder(), Sentence()
    if not (store.records["report_id"].to_numpy()[store.rows("train")] >= 0).any():
        raise UsageError(f"{store.path} has no training reports, so there are no negatives to show")
    table = table or ensure_table(store)
    if table.embedder != embedder.describe():
        raise UsageError(
            "the table of negatives was made with another embedder; give that one as `embedder`"
        )
    reports, count = Reports(store, table, embedder), len(table.report_ids)
    rank = Slider("report", lambda at: f"{int(at):,} of {count:,}", min=1, max=count, value=1)
    words = field("find words", "", "words of a report, then Enter")
    again = button("find next", "the next report that holds these words")
    steps = {"previous": -1, "next": 1}
    buttons = [button(name, f"{name} report, by frequency") for name in steps]

    def find(_: object) -> None:
        if words.value.strip():
            places = reports.holding(words.value) + 1
            later = places[places > rank.value]
            rank.value = int(later[0] if len(later) else places[0])

    words.observe(said.guard(find), "value")
    again.on_click(said.guard(find))
    for each, step in zip(buttons, steps.values()):
        move = said.guard(lambda _, step=step: rank.set_trait("value", rank.value + step))
        each.on_click(move)
    return Panel(
        "Negatives", lambda **state: draw(reports, **state),
        [buttons, {"rank": rank}, [words, again]], said,
        hint="Reports by how often they occur; the farthest are what N3S draws from.",
        widths=[PAGE_PX],
    )  # fmt: skip
