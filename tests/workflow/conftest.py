"""Tiny notebooks and profiles in a temporary folder, and ways to run them."""

import json
from pathlib import Path

import pytest


class Kit:
    """A folder of throwaway notebooks with a profile `demo` and a place for products."""

    def __init__(self, folder: Path) -> None:
        self.notebooks = folder / "notebooks"
        self.out = folder / "out"
        (self.notebooks / "profiles").mkdir(parents=True)
        self.profile("seed: 0\n")

    def profile(self, text: str, name: str = "demo") -> None:
        """Write a profile."""
        (self.notebooks / "profiles" / f"{name}.yaml").write_text(text, encoding="utf-8")

    def write(self, name: str, *cells: str, parameters: str = "seed = 0", title: str = "") -> Path:
        """Write a notebook: a heading, a parameters cell, then code cells (`#summary` tags one)."""
        code = [self._cell("parameters", parameters, ["parameters"])]
        for i, source in enumerate(cells):
            tags = ["summary"] if source.startswith("#summary") else []
            code.append(self._cell(f"cell-{i}", source, tags))
        heading = {
            "cell_type": "markdown",
            "id": "title",
            "metadata": {},
            "source": f"# {title or name}",
        }
        content = {"cells": [heading, *code], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        path = self.notebooks / f"{name}.ipynb"
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    @staticmethod
    def _cell(name: str, source: str, tags: list[str]) -> dict:
        return {
            "cell_type": "code",
            "id": name,
            "metadata": {"tags": tags} if tags else {},
            "source": source,
            "outputs": [],
            "execution_count": None,
        }

    def arguments(self, *options: str) -> list[str]:
        """Options of run_all.sh that lead to these notebooks and products."""
        return ["--notebooks", str(self.notebooks), "--out", str(self.out), *options]

    def state(self) -> dict:
        """The content of workflow.json."""
        return json.loads((self.out / "workflow.json").read_text(encoding="utf-8"))

    def printed(self, name: str) -> str:
        """What the executed copy of a notebook printed."""
        path = self.out / "notebooks" / f"{name}.ipynb"
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        outputs = [o for c in cells for o in c.get("outputs", [])]
        return "".join("".join(o.get("text", "")) for o in outputs)


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    """An empty Kit."""
    return Kit(tmp_path)
