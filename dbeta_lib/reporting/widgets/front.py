"""The two parts of a widget that ipywidgets has not: a slider with a name, a picture that answers.

A screen reader cannot announce the handle of ipywidgets' own sliders, and its pictures have no
description and tell no click. Both are small scripts (`slider.js`, `picture.js`) that anywidget
brings to the page; everything that they show is decided in Python.
"""

import pathlib
from collections.abc import Callable
from typing import Any

import anywidget
import traitlets

_HERE = pathlib.Path(__file__).parent
Path = list[tuple[float, float]]  # places on a picture, see `Picture`


class Slider(anywidget.AnyWidget):
    """A number between `min` and `max` in steps, with a label; `shown` words its value.

    A value out of the range is brought to its nearer end.
    """

    _esm = _HERE / "slider.js"
    _css = _HERE / "front.css"
    value = traitlets.Float(0).tag(sync=True)
    min = traitlets.Float(0).tag(sync=True)
    max = traitlets.Float(1).tag(sync=True)
    step = traitlets.Float(1).tag(sync=True)
    description = traitlets.Unicode().tag(sync=True)
    readout = traitlets.Unicode().tag(sync=True)

    def __init__(self, description: str, shown: Callable[[float], str] = "{:g}".format, **traits):
        self.shown = shown
        super().__init__(description=description, **traits)
        self._word()

    @traitlets.validate("value")
    def _clip(self, proposal: dict[str, Any]) -> float:
        return float(max(self.min, min(self.max, proposal["value"])))

    @traitlets.observe("min", "max")
    def _stay_inside(self, _: Any) -> None:
        self.value = self.value

    @traitlets.observe("value", "max")
    def _word(self, _: Any = None) -> None:
        self.readout = self.shown(self.value) if hasattr(self, "shown") else ""


class Picture(anywidget.AnyWidget):
    """A PNG with its description; `on_path` hears what is clicked or encircled on it.

    A path is a list of places (x, y), fractions of the picture's width and height from its upper
    left corner: one place for a click, several for a line drawn with the button held.
    """

    _esm = _HERE / "picture.js"
    _css = _HERE / "front.css"
    png = traitlets.Bytes().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    width = traitlets.Int(800).tag(sync=True)  # CSS pixels; never wider than the cell
    selectable = traitlets.Bool(False).tag(sync=True)

    def on_path(self, heard: Callable[[Path], None]) -> None:
        """Call `heard` with each path drawn."""
        self.on_msg(
            lambda _, message, __: heard([(float(x), float(y)) for x, y in message["path"]])
        )
