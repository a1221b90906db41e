"""Every plot has its test, a table behind it, and the same bytes each time."""

from pathlib import Path

import numpy as np

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
