"""Every plot has its test, a table behind it, and the same bytes each time."""

from pathlib import Path

import numpy as np
import pandas as pd

from dbeta_lib.reporting import figures, plots


def test_every_public_plot_is_named_in_a_test():
    tests = "".join(p.read_text(encoding="utf-8") for p in Path(__file__).parent.glob("test_*.py"))
    assert [name for name in plots.__all__ if f"plots.{name}(" not in tests] == []
    assert sorted(plots.__all__) == plots.__all__


def test_a_plot_drawn_twice_is_the_same_file(tmp_path):
    for folder in ("one", "two"):
        chart = plots.plot_score_bars(["a", "b"], np.array([1.0, 2.0]), truth=["a"])
        figures.save(chart, tmp_path / folder / "scores")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


LONG_TITLE = "report: sinusrhythmus, erregungsrückbildungsstörungen $1 $2 anterolateral. " * 6


def test_titles_of_any_length_are_wrapped_above_the_data(layout_faults):
    flat = np.zeros((12, 160))
    table = pd.DataFrame({"class": ["MI"], "auc": 0.7, "low": 0.6, "high": 0.8, "n_pos": 9})
    charts = [
        plots.plot_reconstruction(flat, flat, np.ones(10), 100, leads=["I"], title=LONG_TITLE),
        plots.plot_class_auc(table, title=LONG_TITLE),
        plots.plot_score_bars(["a", "b"], [1, 2], truth=["a"], title=LONG_TITLE),
        plots.plot_curves(pd.DataFrame({"step": [1, 2], "mlm": [2.0, 1.0]}), title=LONG_TITLE),
        plots.plot_schedule([0.1, 0.2], title=LONG_TITLE),
    ]
    for chart in charts:
        assert layout_faults(chart) == []
        assert " ".join(chart.get_suptitle().split()) == LONG_TITLE.strip()


def test_a_long_title_does_not_take_the_room_of_the_data():
    def panel_height(title):
        chart = plots.plot_score_bars(["a", "b", "c"], [1, 2, 3], title=title)
        chart.canvas.draw()
        return chart.axes[0].get_window_extent().height

    assert panel_height(LONG_TITLE) > 0.95 * panel_height("one line")
