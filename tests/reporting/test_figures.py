import errno
import io
import warnings

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import image
from matplotlib.figure import Figure

from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.reporting import figures, style


@style.styled
def small_chart():
    chart = figures.new_chart(60, 40)
    axes = chart.subplots()
    axes.plot([0, 1], [0, 1], label="line")
    axes.set(xlabel="time [s]", ylabel="voltage [mV]")
    axes.legend()
    chart.data = pd.DataFrame({"time_s": [0.0, 1 / 3], "mv": [0, 1]})
    return chart


def test_a_figure_is_saved_as_picture_drawing_and_table(tmp_path):
    written = figures.save(small_chart(), tmp_path / "sub" / "line")
    assert [p.name for p in written] == ["line.png", "line.svg", "line.csv"]
    assert written[0].read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in written[1].read_bytes()
    assert written[2].read_text() == "time_s,mv\n0,0\n0.333333,1\n"
    assert sorted(p.name for p in written[0].parent.iterdir()) == sorted(p.name for p in written)


def test_a_suffix_in_the_name_is_not_doubled_and_a_dot_is_kept(tmp_path):
    assert figures.save(small_chart(), tmp_path / "a.png")[0].name == "a.png"
    assert figures.save(small_chart(), tmp_path / "mini.v2")[1].name == "mini.v2.svg"


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    first = figures.save(small_chart(), tmp_path / "one")
    second = figures.save(small_chart(), tmp_path / "two")
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()


def test_the_picture_on_screen_is_the_one_that_is_saved(tmp_path):
    saved = image.imread(figures.save(small_chart(), tmp_path / "line", dpi=90)[0])
    chart = small_chart()
    own = chart.dpi
    assert np.array_equal(image.imread(io.BytesIO(chart.to_png(90))), saved)
    assert chart.dpi == own


def test_no_date_and_no_version_is_written(tmp_path):
    png, svg, _ = figures.save(small_chart(), tmp_path / "line")
    assert b"<dc:date>" not in svg.read_bytes() and b"matplotlib.org" not in svg.read_bytes()
    assert matplotlib.__version__.encode() not in png.read_bytes()


def test_a_figure_without_numbers_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no table behind it"):
        figures.save(Figure(), tmp_path / "empty")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_picture(tmp_path, monkeypatch):
    png = figures.save(small_chart(), tmp_path / "line")[0]
    before = png.read_bytes()

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    chart = small_chart()
    monkeypatch.setattr(chart, "savefig", full)
    with pytest.raises(DBetaError, match="disk is full"):
        figures.save(chart, tmp_path / "line")
    assert png.read_bytes() == before
    assert not list(tmp_path.glob(".*"))


def test_a_notebook_gets_a_picture_without_pyplot():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert small_chart()._repr_png_().startswith(b"\x89PNG")
