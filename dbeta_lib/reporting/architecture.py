"""The network as a block diagram, drawn from a list of boxes and arrows.

Two encoders, the projections that ETS compares, the fusion of both streams, and the four losses
(paper section 3; the counts of layers are parameters, so that `mini` can be drawn as well).
"""

from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from dbeta_lib.errors import UsageError
from dbeta_lib.reporting.figures import Chart, new_chart
from dbeta_lib.reporting.style import INK, PAGE_MM, styled

HEIGHT_MM = 90.0
FONT_PT = 7.0
ECG, TEXT, BOTH, LOSS, INPUT = "#D6E6F2", "#FBE3CF", "#E3E3E3", "#D3EDE2", "#FFFFFF"


@dataclass(frozen=True)
class Box:
    """A block: centre and size in mm, its text and its kind's colour."""

    x: float
    y: float
    text: str
    color: str
    width: float = 25.0
    height: float = 14.0

    def side(self, name: str) -> tuple[float, float]:
        """The middle of one edge: "left", "right", "top" or "bottom"."""
        dx, dy = {"left": (-1, 0), "right": (1, 0), "top": (0, 1), "bottom": (0, -1)}[name]
        return self.x + dx * self.width / 2, self.y + dy * self.height / 2


@styled
def plot_architecture(
    *,
    ecg_layers: int = 8,
    text_encoder: str = "Flan-T5-base",
    fusion_layers: int = 6,
    decoder_layers: int = 4,
    ecg_masked: float = 0.75,
    text_masked: float = 0.25,
    negatives: float = 0.5,
) -> Chart:
    """D-BETA in one picture; by default the paper's sizes. `chart.data`: from, to.

    `ecg_masked`, `text_masked` and `negatives` are shares 0..1 of tokens, tokens and records.
    Raises UsageError for a share outside 0..1.
    """
    for share in (ecg_masked, text_masked, negatives):
        if not 0 <= share <= 1:
            raise UsageError(f"{share} is no share of tokens or records; give a number from 0 to 1")
    boxes = _ecg_row(ecg_layers, ecg_masked, decoder_layers)
    boxes |= _text_row(text_encoder, text_masked, negatives) | _middle(fusion_layers)
    chart = new_chart(PAGE_MM, HEIGHT_MM, constrained=False)
    axes = chart.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, PAGE_MM), ylim=(0, HEIGHT_MM))
    axes.axis("off")
    for box in boxes.values():
        _draw_box(axes, box)
    for start, end, sides in ARROWS:
        _draw_arrow(axes, boxes[start].side(sides[0]), boxes[end].side(sides[1]))
    _legend(axes)
    chart.data = pd.DataFrame([(a, b) for a, b, _ in ARROWS], columns=["from", "to"])
    return chart


TOP, MIDDLE, BOTTOM = 79.0, 48.0, 17.0


def _layers(count: int) -> str:
    return "layer" if count == 1 else "layers"


def _ecg_row(layers: int, masked: float, decoder_layers: int) -> dict[str, Box]:
    hide = f"{masked:.0%} of tokens\nhidden,\n{layers} transformer\n{_layers(layers)}"
    decoder = f"{decoder_layers} decoder {_layers(decoder_layers)}"
    return {
        "ecg": Box(16, TOP, "ECG\n12 leads, 10 s", INPUT),
        "ecg stem": Box(47, TOP, "some leads\ndropped,\nconvolutions,\npositions", ECG),
        "ecg encoder": Box(78, TOP, hide, ECG),
        "ecg projection": Box(108, TOP, "projection\nECG", ECG, width=21),
        "mem": Box(168, TOP, f"MEM\n{decoder}:\nhidden samples", LOSS),
    }


def _text_row(encoder: str, masked: float, negatives: float) -> dict[str, Box]:
    swap = f"{negatives:.0%} swapped\n(N3S), {masked:.0%} of\nwords hidden"
    return {
        "text": Box(16, BOTTOM, "report", INPUT),
        "text mask": Box(47, BOTTOM, swap, TEXT),
        "text encoder": Box(78, BOTTOM, f"{encoder}\nencoder", TEXT),
        "text projection": Box(108, BOTTOM, "projection\ntext", TEXT, width=21),
        "mlm": Box(168, BOTTOM, "MLM\nhidden words", LOSS),
    }


def _middle(layers: int) -> dict[str, Box]:
    fusion = f"fusion\n{layers} {_layers(layers)} of\ncross-\nattention"
    return {
        "use": Box(68, MIDDLE, "after training: zero-shot,\nlinear probe, retrieval", INPUT, 45),
        "ets": Box(108, MIDDLE, "ETS\nsame record?\nall pairs", LOSS, width=21),
        "fusion": Box(138, MIDDLE, fusion, BOTH, 19, TOP - BOTTOM + 14),
        "etm": Box(168, MIDDLE, "ETM\ndoes the report\nbelong?", LOSS),
    }


ARROWS = (
    ("ecg", "ecg stem", ("right", "left")),
    ("ecg stem", "ecg encoder", ("right", "left")),
    ("ecg encoder", "ecg projection", ("right", "left")),
    ("ecg projection", "ets", ("bottom", "top")),
    ("ecg projection", "fusion", ("right", "left")),
    ("text", "text mask", ("right", "left")),
    ("text mask", "text encoder", ("right", "left")),
    ("text encoder", "text projection", ("right", "left")),
    ("text projection", "ets", ("top", "bottom")),
    ("text projection", "fusion", ("right", "left")),
    ("ets", "use", ("left", "right")),
    ("fusion", "mem", ("right", "left")),
    ("fusion", "etm", ("right", "left")),
    ("fusion", "mlm", ("right", "left")),
)


def _draw_box(axes: Axes, box: Box) -> None:
    corner = (box.x - box.width / 2, box.y - box.height / 2)
    style = "round,pad=0,rounding_size=1.5"
    patch = FancyBboxPatch(corner, box.width, box.height, boxstyle=style, fc=box.color, ec=INK)
    patch.set(linewidth=0.7, gid="box")
    axes.add_patch(patch)
    bold = box.color == LOSS
    first, _, rest = box.text.partition("\n")
    if not bold:
        axes.text(box.x, box.y, box.text, fontsize=FONT_PT, ha="center", va="center", color=INK)
        return
    lines = rest.count("\n") + 2
    y = box.y + (lines - 1) * 1.55
    axes.text(box.x, y, first, fontsize=FONT_PT + 1, weight="bold", ha="center", va="center")
    axes.text(box.x, y - 2.0, rest, fontsize=FONT_PT, ha="center", va="top", color=INK)


def _draw_arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """A straight arrow; towards the tall box it keeps its height."""
    if abs(start[0] - end[0]) > 1:
        y = start[1] if end[1] == MIDDLE else end[1]
        start, end = (start[0], y), (end[0], y)
    look = {"arrowstyle": "-|>", "color": INK, "lw": 0.9, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", xy=end, xytext=start, arrowprops=look)


def _legend(axes: Axes) -> None:
    """What the colours mean, along the lower edge."""
    entries = ((ECG, "ECG stream"), (TEXT, "text stream"), (BOTH, "both"), (LOSS, "loss"))
    for i, (color, text) in enumerate(entries):
        x = 4.0 + 28 * i
        patch = FancyBboxPatch((x, 2.5), 4, 3, boxstyle="round,pad=0,rounding_size=0.5")
        patch.set(facecolor=color, edgecolor=INK, linewidth=0.6)
        axes.add_patch(patch)
        axes.text(x + 5.5, 4.0, text, fontsize=FONT_PT, va="center", color=INK)
