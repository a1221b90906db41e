"""What an encoder was built with beside its weights: its layers, and the settings of each.

Two encoders of the same weights may pool by mean and by maximum: no weight tells them apart, their
layers and attributes do. What is said here is the same in every process and in training and
evaluation mode, so nothing goes in that holds an address in memory.
"""

import dataclasses
import functools
import re
from types import BuiltinFunctionType, FunctionType
from typing import Any

from torch import nn

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_OF_TORCH = frozenset(vars(nn.Module()))  # `training` and torch's own bookkeeping
_OF_A_FOLDER = "name_or_path"  # where transformers read it from, which changes no number


def settings_of(encoder: object) -> list[str]:
    """Its layers as they print, then a line for each part with the plain attributes that it has.

    Plain are text, numbers, booleans, functions (by name and code), and tuples, lists, dicts and
    dataclasses of these; an attribute that is None counts as absent. A counter among them makes the
    encoder another after every call, so that its features are computed again: better than features
    of another encoder.
    """
    parts = encoder.named_modules() if isinstance(encoder, nn.Module) else [("", encoder)]
    lines = [f"{name} {_attributes(part)}" for name, part in parts]
    return [_ADDRESS.sub("", repr(encoder)), *lines]


def _attributes(part: object) -> list[tuple[str, Any]]:
    is_foreign = type(part).__module__.startswith("transformers.")
    found = []
    for name, value in sorted(getattr(part, "__dict__", {}).items()):
        # transformers marks under such names how it loads and saves, not what it computes
        aside = is_foreign and (name.startswith("_") or name == _OF_A_FOLDER)
        # None may stand for what is made when first needed, as a tokenizer
        if name in _OF_TORCH or aside or value is None:
            continue
        if (plain := _plain(value)) is not _NOT_PLAIN:
            found.append((name, plain))
    return found


_NOT_PLAIN = object()


def _plain(value: object) -> Any:
    """The value in a form whose repr is the same everywhere, or `_NOT_PLAIN`."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, list | tuple):
        return _all_plain(value)
    if isinstance(value, dict):
        # in one order: a config that was saved and read again has another
        return _all_plain(part for key in sorted(value, key=repr) for part in (key, value[key]))
    if isinstance(value, functools.partial):
        return _all_plain([value.func, value.args, value.keywords])
    if isinstance(value, FunctionType | BuiltinFunctionType):
        return _of_function(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain({f.name: getattr(value, f.name) for f in dataclasses.fields(value)})
    return _NOT_PLAIN


def _all_plain(values) -> Any:
    plain = [_plain(value) for value in values]
    return _NOT_PLAIN if any(value is _NOT_PLAIN for value in plain) else plain


def _of_function(function: FunctionType | BuiltinFunctionType) -> list[str]:
    """Name and code: two lambdas of one line have the same name."""
    code = getattr(function, "__code__", None)
    said = [str(function.__module__), function.__qualname__]
    if code is None:
        return said
    fixed = [str(value) for value in code.co_consts if _plain(value) is not _NOT_PLAIN]
    return [*said, code.co_code.hex(), *code.co_names, *fixed]
