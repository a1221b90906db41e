"""One look for every figure: the style sheet, the palette, the widths, and who has which colour.

Figures are drawn inside `style_context`, so neither the user's matplotlibrc nor the order of calls
changes them, and nothing global stays changed afterwards.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

import matplotlib as mpl

P = ParamSpec("P")
R = TypeVar("R")

STYLE_SHEET = Path(__file__).with_name("dbeta.mplstyle")

MM_PER_INCH = 25.4
PAGE_MM = 183.0  # two columns of a journal, the width of a notebook cell
COLUMN_MM = 89.0  # one column
MIN_FONT_PT = 7.0  # smallest text, once the figure is as wide as the page

# Okabe and Ito (2008); the order keeps the first three apart in grey print as well.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#7A7A7A"  # controls: random encoder, shuffled pairs, chance
LIGHT = "#E9EDF2"  # areas behind data
INK = "#222222"
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINE_STYLES = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)))
CONTROL_LINE_STYLES = ((0, (4, 2)), (0, (2, 1)))  # dots are for levels of chance alone
CONTROL_WORDS = ("random", "shuffled", "chance", "untrained", "control")


@contextmanager
def style_context() -> Iterator[None]:
    """Matplotlib's defaults plus the style sheet inside the block; the old settings after it."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_sheet())
        yield


@functools.cache
def _sheet() -> mpl.RcParams:
    """The style sheet, read once."""
    return mpl.rc_params_from_file(STYLE_SHEET, fail_on_error=True, use_default_template=False)


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Decorator: the function runs inside `style_context`."""

    @functools.wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        with style_context():
            return draw(*args, **kwargs)

    return inside


def is_control(name: str) -> bool:
    """True for names of controls ("random encoder", "shuffled ECG"), which are always grey."""
    return any(word in str(name).lower() for word in CONTROL_WORDS)


def series_styles(names: Iterable[str]) -> dict[str, dict]:
    """Colour, marker and line style per name, by order of appearance; controls in grey.

    Up to 28 series differ in at least one of the three, the first four without colour too.
    """
    styles, position, controls = {}, 0, 0
    for name in dict.fromkeys(names):
        if is_control(name):
            styles[name] = {
                "color": GREY,
                "marker": MARKERS[-1 - controls % len(MARKERS)],
                "linestyle": CONTROL_LINE_STYLES[controls % len(CONTROL_LINE_STYLES)],
            }
            controls += 1
            continue
        styles[name] = {
            "color": PALETTE[position % len(PALETTE)],
            "marker": MARKERS[position % len(MARKERS)],
            "linestyle": LINE_STYLES[position % len(LINE_STYLES)],
        }
        position += 1
    return styles
