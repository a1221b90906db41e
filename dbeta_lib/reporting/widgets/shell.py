"""The shell around every widget: controls, one place for sentences, pictures, text.

A widget is a pure function `draw(...) -> View` of what its controls say; the shell calls it when
one of them changes and puts the result on the page. Whatever goes wrong becomes a sentence there:
no traceback, and never silence. Where nobody watches (papermill, `nbconvert --execute`) a static
picture of the first state takes the widget's place.
"""

import base64
import functools
import html
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ParamSpec

import ipywidgets
from IPython import get_ipython
from IPython.display import publish_display_data
from matplotlib.figure import Figure

from dbeta_lib.errors import DBetaError
from dbeta_lib.progress import AS_TEXT
from dbeta_lib.reporting.widgets.front import Path, Picture

P = ParamSpec("P")
PAGE_PX = 792  # width of a chart as wide as the page, pixel for pixel

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class View:
    """What a widget shows of one state: pictures, each with its description, and text beside.

    `text` is HTML; whoever makes it escapes what it holds (see `markup`).
    """

    pictures: tuple[tuple[Figure, str], ...] = ()
    text: str = ""


class Sentence(ipywidgets.HTML):
    """One place of a widget for what goes wrong, announced to screen readers; empty otherwise."""

    def say(self, text: str) -> None:
        """Show one plain sentence; an empty one takes the last away."""
        alert = f'<div class="dbeta-error" role="alert">{html.escape(text)}</div>'
        self.value = alert if text else ""

    def guard(self, call: Callable[P, None]) -> Callable[P, None]:
        """`call`, with any error as a sentence here; what was said before goes at its start."""

        @functools.wraps(call)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
            self.say("")
            try:
                call(*args, **kwargs)
            except Exception as error:  # a callback has no caller that could hear of it
                _log.debug("in a widget", exc_info=True)
                self.say(sentence(error))

        return guarded


def sentence(error: Exception) -> str:
    """An error in words: the kit's own as they are, any other named as unexpected."""
    if isinstance(error, DBetaError):
        return str(error)
    told = f"{type(error).__name__}: {error}".rstrip(": ")
    return f"this did not work ({told}); change the input, or run the cell again"


class Panel(ipywidgets.VBox):
    """A widget: `draw` of what the controls say, redrawn whenever one of them changes.

    rows: controls in the order of the keyboard, a row of the page each. Those of a mapping are
    what `draw` takes, as keyword arguments; those of a plain list act by themselves. widths: of the
    pictures on the page, in CSS pixels at most. on_path: hears what is clicked or encircled on the
    first picture, see `front.Picture`.
    """

    def __init__(
        self,
        title: str,
        draw: Callable[..., View],
        rows: Sequence[Mapping[str, ipywidgets.Widget] | Sequence[ipywidgets.Widget]] = (),
        said: Sentence | None = None,
        hint: str = "",
        widths: Sequence[int] = (800,),
        on_path: Callable[[Path], None] | None = None,
    ):
        self.title, self.draw, self.widths, self.on_path = title, draw, widths, on_path
        self.said = Sentence() if said is None else said
        states = [row for row in rows if isinstance(row, Mapping)]
        self.controls = {name: each for row in states for name, each in row.items()}
        self.view = View()
        self.pictures: list[Picture] = []
        self._text = ipywidgets.HTML(layout={"flex": "1 1 16em", "min_width": "12em"})
        self._text.add_class("dbeta-text")
        self._shown = ipywidgets.HBox(layout={"flex_flow": "row wrap", "overflow": "hidden"})
        head = f'<div class="dbeta-title" role="heading" aria-level="3">{html.escape(title)}</div>'
        if hint:
            head += f'<div class="dbeta-hint">{html.escape(hint)}</div>'
        boxes = [_row(row.values() if isinstance(row, Mapping) else row) for row in rows]
        super().__init__([ipywidgets.HTML(head), *boxes, self.said, self._shown])
        self.add_class("dbeta-panel")
        for control in self.controls.values():
            control.observe(lambda _: self.redraw(), "value")
        self._held = False
        self.redraw()

    def redraw(self) -> None:
        """Draw what the controls say now, or say why it cannot be drawn."""
        if not self._held:
            self.said.guard(self._redraw)()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Change several controls inside the block; the panel is drawn once, after it."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        self.redraw()

    def _redraw(self) -> None:
        self.show(self.draw(**{name: control.value for name, control in self.controls.items()}))

    def show(self, view: View) -> None:
        """Put a view on the page; pictures that were there are changed in place."""
        self.view = view
        while len(self.pictures) < len(view.pictures):
            width = self.widths[min(len(self.pictures), len(self.widths) - 1)]
            self.pictures.append(Picture(width=width))
            if self.on_path and len(self.pictures) == 1:
                self.pictures[0].selectable = True
                self.pictures[0].on_path(self.said.guard(self.on_path))
        for picture, (figure, description) in zip(self.pictures, view.pictures):
            picture.png, picture.alt = figure.to_png(), description
        self._text.value = view.text
        shown = (*self.pictures[: len(view.pictures)], self._text)
        if shown != self._shown.children:
            self._shown.children = shown

    def _ipython_display_(self) -> None:
        """The live widget, with its first picture for whoever reads the saved notebook later."""
        pictures = [_bundle(figure, alt) for figure, alt in self.view.pictures]
        if is_watched():
            live = super()._repr_mimebundle_()
            data, metadata = pictures[0] if pictures else ({}, {})
            publish_display_data({**data, **live}, metadata)
            return
        for data, metadata in pictures:
            publish_display_data(data, metadata)
        text = self.said.value + self.view.text
        if text:
            publish_display_data({"text/html": text, "text/plain": f"{self.title}: text"})


def in_words(make: Callable[P, Panel]) -> Callable[P, Panel]:
    """Decorator of what makes a widget: where the data cannot be shown, the widget says why."""

    @functools.wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> Panel:
        try:
            return make(*args, **kwargs)
        except DBetaError as error:
            panel = Panel(make.__name__.replace("_", " "), lambda: View())
            panel.said.say(str(error))
            return panel

    return made


def is_watched() -> bool:
    """Whether a page with a person before it shows the output, and not a runner that keeps it.

    Runners tell the kernel that nobody can be asked for input; `run_all.sh` also says so by the
    environment. False outside a notebook.
    """
    kernel = getattr(get_ipython(), "kernel", None)
    return bool(getattr(kernel, "_allow_stdin", False)) and not os.environ.get(AS_TEXT)


def _bundle(figure: Figure, description: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A picture as notebooks keep it: data and metadata by MIME type."""
    data = {"image/png": base64.b64encode(figure.to_png()).decode(), "text/plain": description}
    return data, {"image/png": {"alt": description}}


def _row(controls: Iterable[ipywidgets.Widget]) -> ipywidgets.HBox:
    layout = {"flex_flow": "row wrap", "align_items": "center", "overflow": "hidden"}
    return ipywidgets.HBox(list(controls), layout=layout)
