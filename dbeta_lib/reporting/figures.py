"""Figures that carry the numbers behind them, and their way to disk: PNG, SVG and CSV.

A `Chart` is a matplotlib Figure made without pyplot: nothing has to be closed, no backend is
chosen, and a notebook shows it once. The same chart gives the same bytes on every run.
"""

import io
from pathlib import Path

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dbeta_lib.errors import UsageError
from dbeta_lib.files import atomic_write
from dbeta_lib.reporting.style import MM_PER_INCH, style_context

QUICK = 3  # zlib's level of pictures on screen: half the time of the usual 6, a tenth more bytes

# None leaves the key out: neither the day nor matplotlib's version may change the bytes.
_METADATA = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
}


class Chart(Figure):
    """A figure with `data`, the table that it shows (a DataFrame, written as CSV by `save`)."""

    data: pd.DataFrame | None = None

    def to_png(self, dpi: float | None = None) -> bytes:
        """The picture as PNG, at the figure's own resolution by default.

        Not by `savefig`, which draws a chart once to place its axes and once more to keep it.
        """
        buffer, own = io.BytesIO(), self.dpi
        self.dpi = dpi or own
        try:
            with style_context():
                FigureCanvasAgg(self).print_png(
                    buffer, metadata=_METADATA["png"], pil_kwargs={"compress_level": QUICK}
                )
        finally:
            self.dpi = own
        return buffer.getvalue()

    def _repr_png_(self) -> bytes:
        """The picture for a notebook in which pyplot was never imported."""
        return self.to_png()


def new_chart(width_mm: float, height_mm: float, constrained: bool = True) -> Chart:
    """An empty chart of this size; `constrained` = matplotlib places the axes."""
    size = (width_mm / MM_PER_INCH, height_mm / MM_PER_INCH)
    chart = Chart(figsize=size, layout="constrained" if constrained else None)
    FigureCanvasAgg(chart)  # attaches itself
    return chart


def save(
    figure: Figure, path: Path | str, data: pd.DataFrame | None = None, dpi: int | None = None
) -> list[Path]:
    """Write `path` with the suffixes .png, .svg and .csv, each whole or not at all; returns them.

    `data` is the table behind the figure, by default `figure.data`; `dpi` by the style sheet
    (200). Raises UsageError when there is no table: a figure whose numbers nobody can read again
    is not saved.
    """
    data = getattr(figure, "data", None) if data is None else data
    if data is None:
        raise UsageError(f"the figure {path} has no table behind it; give `data`, a DataFrame")
    path = Path(path)
    if path.suffix in {".png", ".svg", ".csv"}:
        path = path.with_suffix("")
    written = []
    for kind, metadata in _METADATA.items():
        target = path.with_name(f"{path.name}.{kind}")
        with atomic_write(target) as temporary, style_context():
            figure.savefig(temporary, format=kind, metadata=metadata, dpi=dpi)
        written.append(target)
    target = path.with_name(f"{path.name}.csv")
    with atomic_write(target) as temporary:
        data.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")
    return [*written, target]
