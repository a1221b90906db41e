"""Which version of the library's code decides a run's weights: a hash of the sources that do."""

import ast
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from dbeta_lib.files import sha256_bytes

_LIBRARY = Path(__file__).parents[1]
DECIDING = (
    "augmentations.py", "balanced.py", "batch.py", "config.py", "encoders/*.py", "fusion.py",
    "heads.py", "inference.py", "leads.py", "losses.py", "mined_tables.py", "model.py", "n3s.py",
    "packing.py", "presets.py", "processes.py", "seeds.py", "sinkhorn.py", "training/batches.py",
    "training/loop.py", "training/masking.py", "training/quick_dropout.py",
    "training/recorder.py", "training/schedule.py", "training/tokens.py",
)  # fmt: skip


@cache
def code_hash(library: Path = _LIBRARY, deciding: Sequence[str] = DECIDING) -> str:
    """Sixteen hexadecimal digits that change with the code of any deciding file.

    Comments, docstrings and layout do not count, as they change no weight. Another Python may
    write the same code otherwise and then gives another hash: too careful rather than too little.
    """
    files = sorted(path for pattern in deciding for path in library.glob(pattern))
    parts = [f"{path.relative_to(library).as_posix()}\n{_bare_code(path)}" for path in files]
    return sha256_bytes("\n".join(parts).encode())[:16]


def _bare_code(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_text(part)] or [ast.Pass()]
    return ast.unparse(tree)


def _is_text(statement: ast.stmt) -> bool:
    """Whether it is a string that nothing uses, as a docstring is."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
