"""Predict: a file of one's own, and what a model says of it, with the research-only notice."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dbeta_lib.reporting.widgets import markup
from dbeta_lib.reporting.widgets.controls import field
from dbeta_lib.reporting.widgets.shell import Panel, View, in_words

HINT = "the path of an ECG file, then Enter"


def draw(answer: Callable[[Path], Any], *, file: str) -> View:
    """What `answer` says of a file, with the ECG on paper; without a file what to do.

    answer: a function that takes a path and returns a `Prediction` (`prediction.predict`, with the
    model and the classes that are to be asked). It raises DBetaError for a file that it cannot use.
    """
    if not file.strip():
        return View(text=markup.paragraph(f"Type {HINT}."))
    found = answer(Path(file.strip()).expanduser())
    picture = (found.figure(), f"ECG of {found.name}")
    return View((picture,), found._repr_html_())


@in_words
def predict(answer: Callable[[Path], Any], file: Path | str = "") -> Panel:
    """A field for the path of an ECG file: scores, warnings, and the ECG on paper.

    answer: `dbeta_lib.prediction.predict`, as it is, or with a model, classes, or rate and units of
    your files: `functools.partial(predict, sampling_rate=500, units="uV")`.

    >>> widgets.predict(prediction.predict)  # doctest: +SKIP
    """
    own = field("file", str(file), HINT, width="44em")
    hint = "WFDB, EDF, CSV, NumPy and more; for research and teaching, not for diagnosis."
    return Panel(
        "Predict", lambda **state: draw(answer, **state), [{"file": own}], hint=hint, widths=[760]
    )
