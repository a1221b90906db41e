"""Arguments that several `dbeta` commands share."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from dbeta_lib.errors import UsageError, nearest


def existing_folder(param: typer.CallbackParam, path: Path) -> Path:
    """A folder that a command reads; wrong use where it is not there, so no hub is asked for it."""
    if not path.is_dir():
        wanted = param.help.rstrip(".")
        raise UsageError(f"{path} is no folder; give {wanted[0].lower()}{wanted[1:]}")
    return path


StorePath = Annotated[
    Path, typer.Argument(help="A prepared signal store.", callback=existing_folder)
]
ModelPath = Annotated[
    Path, typer.Argument(help="A folder that save_pretrained wrote.", callback=existing_folder)
]
OutPath = Annotated[Path, typer.Option("--out", help="Folder for result records.")]


def setting(text: str, defaults: dict[str, Any]) -> tuple[str, Any]:
    """`"mask_ratio=0.5"` -> ("mask_ratio", 0.5), of the type that the field's default has.

    Raises UsageError for an unknown name and for a value of another type.
    """
    from dbeta_lib.notebook_parameters import checked, parsed

    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set takes key=value, not '{text}'")
    if name not in defaults:
        raise UsageError(f"there is no setting '{name}'{nearest(name, defaults)}")
    if not isinstance(defaults[name], dict):
        return name, parsed(value, defaults[name], f"--set {name}")
    try:
        return name, checked(json.loads(value), defaults[name], f"--set {name}")
    except json.JSONDecodeError:
        raise UsageError(f"--set {name} takes JSON, not '{value}'") from None
