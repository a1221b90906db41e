"""Which model a widget asks: the one given, else the small one that comes with the kit."""

from typing import Any

from dbeta_lib import box


def or_box(model: Any) -> tuple[Any, str]:
    """The model to ask, and a sentence that names the one in the box and what trained it.

    "" for a model given. Raises DBetaError where none is given and the box holds none.
    """
    if model is not None:
        return model, ""
    return box.load(), f"{box.NAME[0].upper()}{box.NAME[1:]}: {box.told()}"


def hint(*sentences: str) -> str:
    """The sentences of a widget's head that say something, in one line."""
    return " ".join(filter(None, sentences))
