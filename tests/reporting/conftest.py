"""What every figure is asked: is all text inside, apart from other text, and large enough?"""

import itertools

import matplotlib.text
import pytest

from dbeta_lib.reporting.style import MIN_FONT_PT, MM_PER_INCH, PAGE_MM


def drawn_texts(figure):
    """All texts that a reader sees: ticks out of view and empty strings left out."""
    figure.canvas.draw()
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            shown = set(axis._update_ticks()) if axes.axison and axis.get_visible() else set()
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if tick not in shown:
                    hidden |= {tick.label1, tick.label2}
    found = []
    for text in figure.findobj(matplotlib.text.Text):
        if text.get_visible() and text.get_text().strip() and text not in hidden:
            found.append(text)
    return found


def faults(figure):
    """Sentences about texts that are cut off, lie upon each other, or are too small in print."""
    texts = drawn_texts(figure)
    boxes = [text.get_window_extent() for text in texts]
    page = figure.bbox
    scale = min(1.0, PAGE_MM / MM_PER_INCH / figure.get_figwidth())
    found = []
    for text, box in zip(texts, boxes, strict=True):
        name = text.get_text()[:40]
        if box.x0 < -1 or box.y0 < -1 or box.x1 > page.x1 + 1 or box.y1 > page.y1 + 1:
            found.append(f"'{name}' is outside the figure")
        if text.get_fontsize() * scale < MIN_FONT_PT - 0.05:
            found.append(f"'{name}' is printed at {text.get_fontsize() * scale:.1f} pt")
    for (a, box), (b, other) in itertools.combinations(zip(texts, boxes, strict=True), 2):
        wide = min(box.x1, other.x1) - max(box.x0, other.x0)
        high = min(box.y1, other.y1) - max(box.y0, other.y0)
        if wide > 1 and high > 1:
            found.append(f"'{a.get_text()[:40]}' lies upon '{b.get_text()[:40]}'")
    return found


@pytest.fixture
def layout_faults():
    return faults


@pytest.fixture
def texts_of():
    return lambda figure: [text.get_text() for text in drawn_texts(figure)]


@pytest.fixture
def by_gid():
    """Artists of a figure by the name given to them."""
    return lambda figure, gid: figure.findobj(lambda artist: artist.get_gid() == gid)
