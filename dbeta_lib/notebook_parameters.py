"""The notebooks' parameters: read from their cells and the profiles, checked, never guessed.

papermill runs an unknown parameter with a warning and does not see annotated defaults; here a
name that no notebook has, or a value of another type, is an error. Standard library alone: this
runs before anything is installed.
"""

import ast
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from dbeta_lib.errors import DBetaError, UsageError

_YAML_LINE = re.compile(
    r"""([A-Za-z_]\w*):[ \t]+("(?:[^"\\]|\\.)*"|\[[^#]*\]|\{("\w[\w-]*":[ ][^#{}\[\]]*)?\}|"""
    r"""[^"'#\[\]{}]+?)[ \t]*([ \t]\#.*)?"""
)
_YAML_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "none"}
_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list like 1,2,3",
    tuple: "a list like 1,2,3",
    dict: "a mapping like {'a': 1}",
}


@dataclass(frozen=True)
class Notebook:
    """One notebook `NN_name.ipynb` with the defaults of its parameters cell."""

    path: Path
    parameters: dict[str, Any]

    @property
    def name(self) -> str:
        """`03_pretraining`."""
        return self.path.stem

    @property
    def number(self) -> int:
        """3, of `03_pretraining`."""
        return int(self.name.split("_")[0])


def find_notebooks(folder: Path) -> list[Notebook]:
    """The notebooks `NN_*.ipynb` of a folder in order. Raises DBetaError where there is none."""
    paths = sorted(p for p in folder.glob("*.ipynb") if re.match(r"\d\d_", p.name))
    if not paths:
        raise DBetaError(f"{folder} holds no notebook named like 00_tour.ipynb")
    return [Notebook(path, read_parameters(path)) for path in paths]


def read_parameters(path: Path) -> dict[str, Any]:
    """Names and default values of the cell tagged `parameters`; {} without such a cell.

    Raises DBetaError where the file is no notebook or a default is no plain literal.
    """
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        raise DBetaError(f"{path} is no readable notebook; restore it from git") from None
    tagged = [c for c in cells if "parameters" in c.get("metadata", {}).get("tags", [])]
    values = {}
    for cell in tagged:
        try:
            values.update(_assignments("".join(cell["source"])))
        except (SyntaxError, ValueError) as error:
            raise DBetaError(
                f"{path}: the parameters cell takes 'name = literal' lines only ({error})"
            ) from None
    return values


def _assignments(source: str) -> dict[str, Any]:
    """`name = literal` statements as a dict; ValueError for anything else."""
    values = {}
    for statement in ast.parse(source).body:
        if not (isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)):
            raise ValueError(f"line {statement.lineno} is no plain assignment")
        values[statement.targets[0].id] = ast.literal_eval(statement.value)
    return values


def read_profile(path: Path) -> dict[str, Any]:
    """A profile: flat `key: value` lines, the part of YAML that reads the same everywhere.

    A value is a number, true, false, null, a "quoted" or plain text, a [list] of these, or a
    {"mapping": 1} of quoted names to them.
    Raises DBetaError naming the line for anything else.
    """
    values = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _YAML_LINE.fullmatch(line.rstrip())
        if match is None or match[1] in values or match[1].lower() in _YAML_WORDS:
            raise DBetaError(f"{path}, line {number}: write 'key: value', each key once")
        try:
            values[match[1]] = json.loads(match[2], parse_float=_yaml_float, parse_constant=_refuse)
        except ValueError:
            plain = re.fullmatch(r"[A-Za-z][\w ./+-]*", match[2])
            if plain is None or match[2].lower() in _YAML_WORDS:
                raise DBetaError(
                    f"{path}, line {number}: {match[2]} can be read in two ways; "
                    "write 1.0e-3 for 1e-3 and put text in double quotes"
                ) from None
            values[match[1]] = match[2]
    return values


def _yaml_float(text: str) -> float:
    """A number that YAML readers take for one: an exponent needs a point and a sign."""
    if "e" in text.lower() and re.fullmatch(r"-?\d+\.\d+[eE][+-]\d+", text) is None:
        raise ValueError(text)
    return float(text)


def _refuse(text: str) -> NoReturn:
    """NaN and Infinity: numbers for JSON, text for YAML."""
    raise ValueError(text)


def checked(value: Any, default: Any, what: str) -> Any:
    """`value` as the type of `default`; UsageError starting with `what` where it is another type.

    A whole number serves as a number; a default of None takes any literal.
    """
    if isinstance(default, (list, tuple)) and isinstance(value, (list, tuple)):
        each = f"each item of {what}"
        return [checked(item, default[0], each) for item in value] if default else list(value)
    if default is None or type(value) is type(default):
        return value
    if isinstance(default, float) and type(value) is int:
        return float(value)
    raise UsageError(f"{what} takes {_KINDS[type(default)]}, as its default {default!r}")


def parsed(text: str, default: Any, what: str) -> Any:
    """The text of a `--set` as a value of the type of `default`.

    Raises UsageError where it is none.
    """
    if isinstance(default, str):
        return text
    if isinstance(default, bool) or text.lower() in ("true", "false"):
        return checked({"true": True, "false": False}.get(text.lower(), text), default, what)
    if isinstance(default, (list, tuple)):
        return _parsed_list(text, default, what)
    value = _literal(text)
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{what} takes a finite number")
    return checked(value, default, what)


def _parsed_list(text: str, default: list | tuple, what: str) -> list:
    """`[1, 2]` or `1,2` as a list whose items have the type of the default's items."""
    value = _literal(text)
    if isinstance(value, str) and value.startswith(("[", "(")):
        raise UsageError(f"{what} takes {_KINDS[list]}, with quotes around each text in brackets")
    if not isinstance(value, (list, tuple)):
        value = [_literal(part.strip()) for part in text.split(",") if part.strip()]
    if default and isinstance(default[0], str):
        value = [str(item) for item in value]
    return checked(value, default, what)


def _literal(text: str) -> Any:
    """A Python literal, None for `none` and `null`, else the text itself."""
    if text.lower() in ("none", "null"):
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
