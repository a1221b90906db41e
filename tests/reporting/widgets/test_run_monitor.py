import asyncio

import ipywidgets
import numpy as np
import pytest

from dbeta_lib.errors import DBetaError
from dbeta_lib.reporting import widgets
from dbeta_lib.reporting.widgets.run_monitor import EVERY, Refresher, draw, read_curves

HEADER = "step,mlm,mem,val_mlm\n"
ROWS = ["10,5.0,1.1,\n", "20,4.0,1.0,4.5\n", "30,3.0,0.9,\n"]


@pytest.fixture
def run(tmp_path):
    (tmp_path / "curves.csv").write_text(HEADER + ROWS[0] + ROWS[1])
    return tmp_path


def test_a_line_that_is_being_written_is_left_out(run):
    with open(run / "curves.csv", "a") as file:
        file.write("30,3.")
    assert read_curves(run)["step"].tolist() == [10, 20]


def test_the_curves_grow_with_the_file_and_the_last_numbers_are_told(run, png):
    panel = widgets.run_monitor(run)
    before, again = png(panel), panel.children[1].children[0]
    assert "running or interrupted, step 20" in panel.pictures[0].alt
    with open(run / "curves.csv", "a") as file:
        file.write(ROWS[2])
    again.click()
    assert png(panel) != before and "step 30" in panel.pictures[0].alt
    data = panel.view.pictures[0][0].data
    assert data["mlm"].tolist() == [5, 4, 3] and np.isnan(data["val_mlm"].iloc[-1])
    assert ">4.500<" in panel.view.text, "the last validation, though later rows have none"
    (run / "summary.json").write_text("{}")
    again.click()
    assert "finished, step 30" in panel.pictures[0].alt


@pytest.mark.parametrize(("written", "said"), [
    (None, "is not there yet; start the run"),
    (HEADER, "has no row yet"),
    ("", "is no table of curves"),
])  # fmt: skip
def test_a_run_that_has_nothing_yet_is_said_and_waited_for(tmp_path, png, written, said):
    path = tmp_path / "curves.csv"
    if written is not None:
        path.write_text(written)
    panel = widgets.run_monitor(tmp_path)
    assert said in panel.said.value and not panel.pictures
    path.write_text(HEADER + ROWS[0])
    panel.children[1].children[0].click()
    assert panel.said.value == "" and png(panel)


def test_another_programs_file_is_no_traceback(tmp_path):
    (tmp_path / "curves.csv").write_bytes(b"\xff\xfe\x00binary\n")
    with pytest.raises(DBetaError, match="is unreadable"):
        draw(tmp_path)
    (tmp_path / "curves.csv").write_text("a,b\n1,2\n")
    assert "no table of curves" in widgets.run_monitor(tmp_path).said.value


def test_the_file_is_read_again_only_when_it_has_changed_and_only_while_ticked(run, monkeypatch):
    calls, box = [], ipywidgets.Checkbox()

    async def live():
        loop = asyncio.get_running_loop()
        refresher = Refresher(run / "curves.csv", lambda: calls.append(loop.time()), box)
        waits = []
        monkeypatch.setattr(loop, "call_later", lambda delay, act: waits.append((delay, act)))
        box.value = True
        assert calls == [] and waits[-1][0] == EVERY
        with open(run / "curves.csv", "a") as file:
            file.write(ROWS[2])
        waits[-1][1]()
        waits[-1][1]()
        assert len(calls) == 1 and len(waits) == 3
        box.value = False
        assert len(waits) == 3 and refresher.timer is None

    asyncio.run(live())


def test_outside_a_kernel_nothing_is_started(run):
    box = ipywidgets.Checkbox()
    refresher = Refresher(run / "curves.csv", lambda: None, box)
    box.value = True
    assert refresher.timer is None
