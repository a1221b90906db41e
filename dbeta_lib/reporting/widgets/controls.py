"""Controls that several widgets share; each says by itself, in words, what it does."""

from collections.abc import Iterable, Mapping
from typing import Any

import ipywidgets
import traitlets

from dbeta_lib.leads import LEADS, SUBSETS

NARROW = {"width": "auto", "min_width": "6em"}
FIELD = {"description_width": "initial"}


def choice(name: str, options: Mapping[str, Any], value: Any) -> ipywidgets.ToggleButtons:
    """One of a few values, all in sight: a row of buttons, each with its whole meaning on it."""
    return ipywidgets.ToggleButtons(
        options=list(options.items()),
        value=value,
        description=name,
        tooltips=[f"{name}: {label}" for label in options],
        style={"description_width": "initial", "button_width": "auto"},
    )


def field(name: str, value: str, hint: str = "", width: str = "36em") -> ipywidgets.Text:
    """A line of text; it counts when Enter is pressed or the field is left."""
    return ipywidgets.Text(
        value=value,
        description=name,
        placeholder=hint,
        continuous_update=False,
        style=FIELD,
        layout={"width": width},
    )


def button(name: str, hint: str) -> ipywidgets.Button:
    """A button; `hint` is what it does, in a few words."""
    return ipywidgets.Button(description=name, tooltip=hint, layout=NARROW)


class LeadBoxes(ipywidgets.HBox):
    """A box to tick for each lead, and buttons for the usual sets; `value` names those ticked."""

    value = traitlets.Tuple(LEADS)

    def __init__(self, leads: Iterable[str] = LEADS):
        chosen = set(leads)
        self.boxes = {
            name: ipywidgets.Checkbox(
                value=name in chosen,
                description=name,
                indent=False,
                layout={"width": "auto", "margin": "0 10px 0 0"},
            )
            for name in LEADS
        }
        self.sets = {f"{key} leads" if key != "1" else "lead I": SUBSETS[key] for key in SUBSETS}
        buttons = [button(name, f"show {' '.join(its)}") for name, its in self.sets.items()]
        super().__init__([*self.boxes.values(), *buttons])
        self.layout.flex_flow, self.layout.align_items = "row wrap", "center"
        self._moving = False
        self._tell()
        for box in self.boxes.values():
            box.observe(self._tell, "value")
        for each, its in zip(buttons, self.sets.values()):
            each.on_click(lambda _, its=its: self.tick(its))

    def tick(self, leads: Iterable[str]) -> None:
        """Tick these leads and no other."""
        chosen = set(leads)
        self._moving = True
        for name, box in self.boxes.items():
            box.value = name in chosen
        self._moving = False
        self._tell()

    def _tell(self, _: Any = None) -> None:
        if not self._moving:
            self.value = tuple(name for name, box in self.boxes.items() if box.value)
