"""Text of unknown length in a figure: wrapped by its measured width, never read as mathematics."""

import functools

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from dbeta_lib.reporting.style import MM_PER_INCH

LINE_HEIGHT = 1.35  # in font sizes
NEAR = 0.05  # of a line: bearings and kerning at blanks make less of a difference


@functools.lru_cache(maxsize=32)
def _font(size: float, weight: str) -> FontProperties:
    return FontProperties(family="DejaVu Sans", size=size, weight=weight)


@functools.lru_cache(maxsize=20_000)
def width_mm(text: str, size: float, weight: str = "normal") -> float:
    """Printed width of one line of `text` in mm at `size` points (outlines, without hinting)."""
    if not text:
        return 0.0
    points, _, _ = text_to_path.get_text_width_height_descent(text, _font(size, weight), False)
    return points * MM_PER_INCH / 72


def height_mm(lines: int, size: float) -> float:
    """Printed height of a block of lines in mm."""
    return lines * size * LINE_HEIGHT * MM_PER_INCH / 72


def ascent_mm(size: float) -> float:
    """From the baseline to the top of capitals and umlauts, in mm."""
    return 0.9 * size * MM_PER_INCH / 72


def clean(text: str) -> str:
    """White space folded to single blanks, characters that cannot be printed left out."""
    folded = " ".join(str(text).split())
    return "".join(c for c in folded if c.isprintable())


def shorten(text: str, available_mm: float, size: float, weight: str = "normal") -> str:
    """`text` if it fits, else its beginning with an ellipsis."""
    text = clean(text)
    if width_mm(text, size, weight) <= available_mm:
        return text
    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if width_mm(text[:middle] + "…", size, weight) <= available_mm:
            fits = middle
        else:
            too_long = middle
    return text[:fits].rstrip() + "…"


def wrap(
    text: str,
    available_mm: float,
    size: float,
    weight: str = "normal",
    max_lines: int | None = None,
) -> list[str]:
    """`text` in lines of at most `available_mm`; words too long for a line are cut.

    With `max_lines` the last line ends in an ellipsis when text is left over. Empty text: no line.
    """
    lines, line, rough = [], "", 0.0
    gap = width_mm("n n", size, weight) - 2 * width_mm("n", size, weight)
    for word in clean(text).split():
        candidate = f"{line} {word}" if line else word
        longer = rough + gap * bool(line) + width_mm(word, size, weight)
        if _fits(candidate, longer, available_mm, size, weight):
            line, rough = candidate, longer
            continue
        if line:
            lines.append(line)
        *cut, line = _cut(word, available_mm, size, weight)
        rough = width_mm(line, size, weight)
        lines.extend(cut)
    if line:
        lines.append(line)
    if max_lines is not None and len(lines) > max_lines:
        rest = " ".join(lines[max_lines - 1 : max_lines + 1])
        lines = [*lines[: max_lines - 1], shorten(rest, available_mm, size, weight)]
    return lines


def _fits(line: str, rough: float, available_mm: float, size: float, weight: str) -> bool:
    """Whether a line fits; `rough` is the sum of its words, and only where it is near is measured.

    A word's width is remembered, a line's is not worth it: so a report costs its new words.
    """
    if abs(rough - available_mm) > NEAR * available_mm:
        return rough < available_mm
    return width_mm(line, size, weight) <= available_mm


def _cut(word: str, available_mm: float, size: float, weight: str) -> list[str]:
    """A word in pieces that fit, at least one character each."""
    if width_mm(word, size, weight) <= available_mm:
        return [word]
    pieces, piece = [], ""
    for character in word:
        if piece and width_mm(piece + character, size, weight) > available_mm:
            pieces.append(piece)
            piece = ""
        piece += character
    return [*pieces, piece]
