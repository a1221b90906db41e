"""Plot of a model beside people: its ROC per class, and where the annotators stand."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from sklearn.metrics import roc_curve

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.annotators import INDEPENDENT, MADE_GOLD, NETWORK, Comparison
from dbeta_lib.evaluation.zero_shot import ZeroShot
from dbeta_lib.reporting.axes import headline, legend_outside, light_grid
from dbeta_lib.reporting.figures import Chart, new_chart
from dbeta_lib.reporting.style import GREY, INK, MARKERS, PAGE_MM, PALETTE, styled

_COLUMNS = 3
_ROW_MM = 52.0
_LEAST_SHOWN = 0.1  # false alarms; every annotator is shown, the rest of the ROC says little


@styled
def plot_annotators(
    result: ZeroShot,
    comparisons: Sequence[Comparison],
    *,
    model: str = "the model",
    title: str = "",
) -> Chart:
    """A panel per class: the model's ROC as a line, each annotator as a point.

    comparisons as `annotators.compare` gives them for `result`. Filled points are independent of
    the gold standard, hollow ones made it, the cross is the authors' network. The axis of false
    alarms ends where the annotators do. `chart.data`: class, who, false_alarms, sensitivity (0..1);
    of the model every corner of its ROC. Raises UsageError without annotators.
    """
    if not comparisons:
        raise UsageError("there is no annotator to draw; give what annotators.compare returns")
    rows = -(-len(result.classes) // _COLUMNS)
    chart = new_chart(PAGE_MM, 22 + _ROW_MM * rows)
    panels = chart.subplots(rows, _COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
    every = np.concatenate([1 - c.specificity for c in comparisons])
    right = max(_LEAST_SHOWN, 1.15 * float(np.nanmax(every, initial=0.0)))
    parts = []
    for k, (name, axes) in enumerate(zip(result.classes, panels)):
        y, score = result.y[:, k], result.scores[:, k]
        parts.append(_panel(axes, name, y, score, comparisons, k, model))
    for axes in panels[len(result.classes) :]:
        axes.set_visible(False)
    panels[0].set(xlim=(-0.03 * right, right), ylim=(-0.03, 1.04))
    for k, axes in enumerate(panels[: len(result.classes)]):
        axes.set(ylabel="sensitivity" if k % _COLUMNS == 0 else "")
        if k + _COLUMNS >= len(result.classes):  # nothing below
            axes.set(xlabel="false alarms (1 - specificity)")
            axes.tick_params(labelbottom=True)
    headline(chart, title)
    legend_outside(chart, panels)
    chart.data = pd.concat(parts, ignore_index=True)
    return chart


def _panel(
    axes: Axes,
    name: str,
    y: np.ndarray,
    score: np.ndarray,
    comparisons: Sequence[Comparison],
    k: int,
    model: str,
) -> pd.DataFrame:
    """One class; returns what is drawn."""
    axes.set_title(f"{name} (n = {int(y.sum())})", fontsize=8)
    light_grid(axes, "both")
    table = []
    if 0 < y.sum() < len(y):
        false, true, _ = roc_curve(y, score, drop_intermediate=False)
        axes.plot(false, true, color=PALETTE[0], lw=1.2, label=model)
        table.append(pd.DataFrame({"who": model, "false_alarms": false, "sensitivity": true}))
    for comparison, look in zip(comparisons, _looks(comparisons)):
        x, at = 1 - comparison.specificity[k], comparison.sensitivity[k]
        who = _name(comparison)
        axes.plot(x, at, ls="none", ms=5, label=who, clip_on=False, **look)
        table.append(pd.DataFrame({"who": [who], "false_alarms": [x], "sensitivity": [at]}))
    return pd.concat(table).assign(**{"class": name})[
        ["class", "who", "false_alarms", "sensitivity"]
    ]


def _name(comparison: Comparison) -> str:
    """What the legend calls an annotator; who is not independent is told so."""
    name = comparison.annotator.replace("_", " ")
    if comparison.kind == MADE_GOLD:
        return f"{name} (made the gold standard)"
    return f"{name} (no human)" if comparison.kind == NETWORK else name


def _looks(comparisons: Sequence[Comparison]) -> list[dict]:
    """Marker and colour by what the annotator is: filled, hollow, or a cross."""
    looks, independent, made = [], 0, 0
    for comparison in comparisons:
        if comparison.kind == INDEPENDENT:
            independent += 1
            color = PALETTE[independent % len(PALETTE)]
            looks.append({"marker": MARKERS[independent % len(MARKERS)], "color": color})
        elif comparison.kind == MADE_GOLD:
            made += 1
            marker = MARKERS[(made - 1) % len(MARKERS)]
            looks.append({"marker": marker, "mfc": "none", "color": GREY})
        else:
            looks.append({"marker": "x", "color": INK})
    return looks
