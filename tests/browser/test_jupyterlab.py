"""Notebook 10 in a real JupyterLab, moved by mouse and keyboard in a real browser.

One test, since one server serves all; each widget is a subtest of its own.
"""

import json
import re
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dbeta_lib.command_line import ROOT

sys.path.insert(0, str(Path(__file__).parent))
import lab

HOSTILE = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"
NAMED = (
    "button",
    "checkbox",
    "combobox",
    "img",
    "radio",
    "region",
    "slider",
    "spinbutton",
    "textbox",
)
DIGEST = """async e => {
  const bytes = await (await fetch(e.src)).arrayBuffer();
  const digest = await crypto.subtle.digest('SHA-256', bytes);
  return e.naturalWidth > 0 ? [...new Uint8Array(digest)].join() : '';
}"""
LAST_CELLS = """\
from dbeta_lib.data.store import SignalStore
from dbeta_lib.reporting.widgets.front import Slider
from dbeta_lib.reporting.widgets.shell import Panel, View
def inverse(number):
    return View(text=f"{1 / number:.3f}")
Panel("Breaks at zero", inverse, [{"number": Slider("number", max=9, value=1)}])
---
widgets.explorer(SignalStore.open(PLACE))"""


def write_hostile(path: Path) -> Path:
    """A store whose ids, patients, labels and reports would run in a page that trusted them."""
    from dbeta_lib.data.signals import Record, to_signal
    from dbeta_lib.data.writer import StoreWriter

    wave = np.sin(np.arange(1000) / 8)[None] * np.ones((12, 1))
    with StoreWriter(path, HOSTILE, 100, 1000, "1", "none") as writer:
        for i in range(3):
            record = Record(
                f"r{i}{HOSTILE}", to_signal(wave), f"p{i}{HOSTILE}", "test", report=HOSTILE
            )
            writer.add(record)
        frame = pd.DataFrame({HOSTILE: [1, 0, 1]}, index=[f"r{i}{HOSTILE}" for i in range(3)])
        writer.labels("things", frame, "as made here")
        writer.close()
    return path


def write_notebook(folder: Path, out: Path, hostile: Path) -> None:
    """Notebook 10 as it is right after an installation: no run stands below `out`.

    With parameters of smoke, and the cells that only this test has.
    """
    notebook = json.loads((ROOT / "notebooks" / "10_explore.ipynb").read_text(encoding="utf-8"))
    (at,) = (i for i, c in enumerate(notebook["cells"]) if c["id"] == "parameters")
    own = f"out, patients, map_points = {str(out)!r}, 40, 60"
    more = [own, *LAST_CELLS.replace("PLACE", repr(str(hostile))).split("\n---\n")]
    cells = [
        {"cell_type": "code", "id": f"test-{i}", "metadata": {}, "outputs": [], "source": source,
         "execution_count": None}
        for i, source in enumerate(more)
    ]  # fmt: skip
    notebook["cells"] = [
        *notebook["cells"][: at + 1], cells[0], *notebook["cells"][at + 1 :], *cells[1:]
    ]  # fmt: skip
    folder.mkdir()
    (folder / "10_explore.ipynb").write_text(json.dumps(notebook), encoding="utf-8")


class Widget:
    """A widget of the page, by its title."""

    def __init__(self, page, title: str, number: int = 0):
        head = page.get_by_role("heading", name=title, exact=True)
        self.page = page
        self.panel = page.locator(".dbeta-panel", has=head).nth(number)
        self.panel.scroll_into_view_if_needed()

    def picture(self, number: int = 0):
        return self.panel.locator("img").nth(number)

    def alt(self, number: int = 0) -> str:
        return self.picture(number).get_attribute("alt")

    def shows(self, pattern: str, number: int = 0) -> None:
        """A picture whose description matches, at once or when the last change has arrived."""
        until(
            lambda: re.search(pattern, self.alt(number)),
            f"'{pattern}' is not in {self.alt(number)}",
        )

    def text(self) -> str:
        return self.panel.inner_text()

    def get(self, role: str, name: str):
        return self.panel.get_by_role(role, name=name, exact=True)

    def click(self, name: str, role: str = "button") -> None:
        self.get(role, name).click()

    def press(self, role: str, name: str, *keys: str) -> None:
        """Keys pressed with the focus on a control, where they must arrive."""
        self.get(role, name).focus()
        for key in keys:
            self.page.keyboard.press(key)

    def type(self, role: str, name: str, text: str) -> None:
        """A text in place of the one there, then Enter, all by keyboard."""
        self.press(role, name, "ControlOrMeta+a")
        self.page.keyboard.type(text)
        self.page.keyboard.press("Enter")

    def state(self) -> tuple[str, ...]:
        """Bytes (as a digest) and description of every picture, and all text."""
        pictures = self.panel.locator("img").all()
        return (*(p.evaluate(DIGEST) + p.get_attribute("alt") for p in pictures), self.text())

    def changes(self, act, *, picture: int | None = 0) -> None:
        """`act`, and wait until the picture has other bytes (None: until the text differs)."""
        before = settled(self.state)
        act()
        place = -1 if picture is None else picture
        until(lambda: self.state()[place] != before[place], f"no change after {act}")

    def says(self, words: str) -> None:
        """An error that a reader sees, and that a screen reader is told."""
        alert = self.panel.get_by_role("alert")
        until(lambda: alert.is_visible() and words in alert.inner_text(), f"'{words}' is not said")
        assert "Traceback" not in self.text()

    def is_well(self) -> None:
        until(lambda: not self.panel.get_by_role("alert").count(), "an error stays")


def until(ask, failed: str):
    """Wait for a true answer; pictures that are just being replaced cannot be read."""
    from playwright.sync_api import Error

    deadline, problem = time.monotonic() + lab.PATIENCE, ""
    while time.monotonic() < deadline:
        try:
            if answer := ask():
                return answer
        except Error as error:
            problem = str(error)
        time.sleep(0.05)
    raise AssertionError(f"{failed} {problem}")


def settled(ask):
    """An answer that was the same twice."""
    last = [None]

    def same():
        now = ask()
        is_same, last[0] = now == last[0], now
        return now if is_same else None

    return until(same, "nothing stays as it is")


@pytest.mark.skipif(lab.CHROMIUM is None, reason="Debian's package chromium is not installed")
def test_each_widget_of_notebook_10_moves_by_mouse_and_by_keyboard(tmp_path, subtests):
    from playwright.sync_api import sync_playwright

    write_notebook(tmp_path / "notebooks", tmp_path / "out", write_hostile(tmp_path / "hostile"))
    with (
        lab.server(tmp_path / "notebooks", tmp_path / "private") as address,
        sync_playwright() as playwright,
        lab.browser_page(playwright) as page,
    ):
        lab.run_all(page, address, "10_explore.ipynb")
        failed = page.locator(".jp-OutputArea-output[data-mime-type*='error']")
        assert not failed.count(), failed.first.inner_text()
        for check in CHECKS:
            with subtests.test(check.__name__):
                check(page, tmp_path)
        assert page.evaluate("window.hacked") is None


def explorer(page, tmp_path):
    it = Widget(page, "ECG explorer")
    first = it.alt()
    it.changes(lambda: it.click("next"))
    record = re.search(r"record (\S+):", it.alt())[1]
    assert it.alt() != first and record in it.text()
    it.changes(lambda: it.press("button", "previous", "Tab", "Space"))  # Tab leads to "next"
    it.changes(lambda: it.press("slider", "record", "ArrowRight"))
    third = it.alt()
    it.changes(lambda: it.press("slider", "record", "ArrowLeft", "ArrowLeft"))
    it.changes(lambda: it.get("slider", "record").click())  # its middle
    assert it.alt() not in (first, third)
    it.changes(lambda: it.type("textbox", "record id", re.search(r"record (\S+):", first)[1]))
    it.shows(re.escape(first))
    it.changes(lambda: it.click("50 mm/s"))
    it.changes(lambda: it.press("slider", "from second", "End"))
    it.shows("seconds 5 to 10, 50 mm/s")
    it.changes(lambda: it.get("checkbox", "V6").uncheck())
    it.changes(lambda: it.press("checkbox", "V5", "Space"))
    it.shows("10 leads")
    it.type("combobox", "only with the label", "sinus rhythm")
    until(lambda: re.search(r"\b\d+ of [1-9]\d?\b", it.text()), "a label chooses records")
    it.type("combobox", "only with the label", "no such label")
    it.says("'no such label' is no label of this store")
    it.type("textbox", "record id", "<i>nobody</i>")
    it.says("record '<i>nobody</i>' is not in this store")
    it.changes(lambda: it.click("next"))
    it.is_well()


def reconstruction(page, tmp_path):
    it = Widget(page, "Reconstruction")
    assert "75% of the tokens hidden" in it.alt()
    it.changes(lambda: it.press("slider", "hidden share", "ArrowLeft", "ArrowLeft"))
    it.shows("66% of the tokens hidden")  # 40 of 61
    it.changes(lambda: it.get("slider", "hidden share").click())
    it.changes(lambda: it.type("spinbutton", "seed", "7"))
    it.changes(lambda: it.get("checkbox", "V2").check())
    it.changes(lambda: it.click("random"))
    it.is_well()


def ask(page, tmp_path):
    it = Widget(page, "Ask the ECGs")

    def order():
        return it.panel.get_by_role("row").all_inner_texts()

    before = order()
    it.changes(lambda: it.type("textbox", "sentence", "normal ecg"), picture=None)
    after = order()
    ids = [[row.split("\t")[2] for row in rows[1:]] for rows in (before, after)]
    assert len(ids[1]) == 10 and ids[0] != ids[1], "a typed sentence orders the list anew"
    it.changes(lambda: it.press("slider", "show place", "ArrowRight"))
    it.shows(f"ECG at place 3 .* record {ids[1][2]}")
    it.changes(lambda: it.get("slider", "show place").click())
    box = it.get("textbox", "classes, one per line as 'class: text'")
    it.changes(lambda: (box.fill("mine: a fast heart\nyours: a slow heart"), box.blur()), picture=1)
    it.shows("2 classes", 1)
    it.type("textbox", "sentence", " ")
    it.says("the sentence is empty")
    it.type("textbox", "sentence", "normal ecg")
    it.is_well()


def negatives(page, tmp_path):
    it = Widget(page, "Negatives")
    first = it.alt()
    it.changes(lambda: it.click("next"))
    assert it.alt().startswith("Report ") and it.alt() != first
    it.changes(lambda: it.press("slider", "report", "End"))
    it.changes(lambda: it.press("button", "previous", "Space"))
    it.changes(lambda: it.type("textbox", "find words", "fibrillation"))
    it.changes(lambda: it.click("find next"))
    it.type("textbox", "find words", "unicorn")
    it.says("no training report holds 'unicorn'")


def embedding_map(page, tmp_path):
    it = Widget(page, "Map")
    box = it.picture().bounding_box()
    left, top, width, height = (box[key] for key in ("x", "y", "width", "height"))
    it.changes(lambda: page.mouse.click(left + width * 0.8, top + height * 0.12), picture=1)
    it.changes(lambda: it.press("button", "nearest", "Space"), picture=1)
    it.changes(lambda: it.press("button", "next", "Enter"), picture=1)

    def encircle():
        page.mouse.move(left + width * 0.05, top + height * 0.05)
        page.mouse.down()
        for x, y in ((0.97, 0.05), (0.97, 0.45), (0.05, 0.45)):
            page.mouse.move(left + width * x, top + height * y, steps=5)
        page.mouse.up()

    it.changes(encircle)
    count = int(re.search(r"of (\d+)", it.text())[1])
    assert 1 <= count < 60, "fewer than all points are inside the line"
    it.changes(lambda: it.click("all points"))
    assert "of 60" in it.text()
    it.changes(lambda: it.click("heart rate"))
    it.shows("coloured by heart rate")
    it.changes(lambda: it.press("checkbox", "reports too", "Space"))
    it.is_well()


def run_monitor(page, tmp_path):
    it = Widget(page, "Run monitor")
    path = tmp_path / "out" / "pretraining" / "curves.csv"
    it.says(f"{path} is not there")  # nothing was trained here
    path.parent.mkdir(parents=True)

    def grow(step: int) -> None:
        with open(path, "a") as file:
            file.write(f"{step},{4 - step / 1000},{0.5 + step / 10000}\n")

    path.write_text("step,total,etm_accuracy\n")
    grow(1000)
    it.click("read again")
    it.shows("step 1,000")
    it.is_well()
    it.press("checkbox", "read again every 5 seconds", "Space")
    it.changes(lambda: grow(2000))  # by itself
    it.shows("step 2,000")
    it.get("checkbox", "read again every 5 seconds").uncheck()
    it.is_well()


def leads(page, tmp_path):
    it = Widget(page, "Leads")
    it.changes(lambda: it.get("checkbox", "V1").uncheck())
    assert "V1," not in it.alt()
    it.changes(lambda: it.press("checkbox", "II", "Space"), picture=1)
    it.changes(lambda: it.click("2 leads"))
    it.shows("with leads I, II,? ")
    it.get("checkbox", "I").uncheck()
    it.get("checkbox", "II").uncheck()
    it.says("switch at least one on")
    it.changes(lambda: it.press("button", "12 leads", "Space"))
    it.is_well()


def why(page, tmp_path):
    it = Widget(page, "Why this score")
    it.changes(lambda: it.type("combobox", "class", "atrial flutter"))
    it.shows("“atrial flutter”")
    it.changes(lambda: it.click("pieces of 2 s"))
    it.changes(lambda: it.press("button", "next", "Space"))
    it.type("combobox", "class", "atrial fluter")
    it.says("did you mean 'atrial flutter'?")


def predict(page, tmp_path):
    it = Widget(page, "Predict")
    assert it.alt() == "ECG of example-ecg.npy" and "not for diagnosis" in it.text()
    broken = tmp_path / "<b>broken.csv"
    broken.write_text("this is no ECG")
    it.type("textbox", "file", str(broken))
    it.says("broken.csv")
    np.save(tmp_path / "mine.npy", np.random.default_rng(0).normal(0, 0.3, (12, 1000)))
    it.changes(lambda: it.type("textbox", "file", str(tmp_path / "mine.npy")))
    it.shows("ECG of mine.npy")
    it.is_well()
    it.get("textbox", "file").click(click_count=3)  # by mouse: all of it chosen, then left
    page.keyboard.insert_text(str(tmp_path / "out" / "example-ecg.npy"))
    it.changes(lambda: it.panel.get_by_role("heading", name="Predict", exact=True).click())
    it.shows("ECG of example-ecg.npy")


def an_error_in_a_callback(page, tmp_path):
    it = Widget(page, "Breaks at zero")
    it.press("slider", "number", "Home")
    it.says("ZeroDivisionError")
    it.changes(lambda: it.press("slider", "number", "End"), picture=None)
    it.is_well()
    assert "0.111" in it.text()


def hostile_text(page, tmp_path):
    it = Widget(page, "ECG explorer", 1)
    assert it.text().count(HOSTILE) >= 4, "shown as the text that it is"
    assert not it.panel.locator("script, img[src=x]").count()
    it.changes(lambda: it.click("next"), picture=None)
    it.type("combobox", "only with the label", HOSTILE + "?")
    it.says(HOSTILE + "?")
    assert page.evaluate("window.hacked") is None


def names_and_focus(page, tmp_path):
    """Every control has a name that can be said, and Tab goes through them as they are read."""
    unnamed = re.compile(rf"^\s*- ({'|'.join(NAMED)})( \"\")?( \[|:|$)")
    panels = page.locator(".dbeta-panel").all()
    assert len(panels) == 11
    for panel in panels:
        lines = panel.aria_snapshot().splitlines()
        assert [line for line in lines if unnamed.match(line)] == []
    it = Widget(page, "ECG explorer")
    it.get("button", "previous").focus()
    at = "e => { const b = e.getBoundingClientRect(); return [b.top + b.height / 2, b.left]; }"
    places = []
    for _ in range(30):
        active = page.evaluate_handle("document.activeElement").as_element()
        if not it.panel.evaluate("(p, e) => p.contains(e)", active):
            break
        places.append(active.evaluate(at))
        page.keyboard.press("Tab")
    assert len(places) > 20, "all controls are reached"
    for (y, x), (next_y, next_x) in pairwise(places):
        assert next_y > y + 12 or (abs(next_y - y) <= 12 and next_x > x), "row by row"


CHECKS = (
    explorer, reconstruction, ask, negatives, embedding_map, run_monitor, leads, why, predict,
    an_error_in_a_callback, hostile_text, names_and_focus,
)  # fmt: skip
