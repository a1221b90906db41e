"""What a run finds in its folder: nothing, an unfinished run, a finished one, another one."""

import shutil
from pathlib import Path
from typing import Any

from dbeta_lib.errors import AnotherRun
from dbeta_lib.training.checkpoints import Checkpoints, read_run
from dbeta_lib.training.settings import Summary, first_difference

# The summary first: killed while clearing, a run must not look finished.
PRODUCTS = ("summary.json", "checkpoints", "tensorboard", "model", "curves.csv")


class RunFolder:
    """`path` holds model/, curves.csv, tensorboard/, checkpoints/ and, last, summary.json.

    identity: all that decides the weights; whatever in the folder has another one is not gone on
    with.
    """

    def __init__(self, path: Path, identity: dict[str, Any], keep: int):
        self.path, self.identity = path, identity
        self.checkpoints = Checkpoints(path / "checkpoints", keep)

    @property
    def model(self) -> Path:
        """Folder of the finished model."""
        return self.path / "model"

    def finished(self, resume: bool) -> Summary | None:
        """The summary if this very run was finished. With `resume`, another run is an error."""
        path = self.path / "summary.json"
        if not path.exists() or not (self.model / "model.safetensors").exists():
            return None
        summary = Summary.open(path)
        if resume:
            self._refuse_another(summary.identity, path)
        return None if first_difference(summary.identity, self.identity) else summary

    def unfinished(self) -> tuple[Path, dict[str, Any]] | None:
        """The last checkpoint and its `run.json`. Raises DBetaError when it is another run's."""
        last = self.checkpoints.latest()
        if last is None:
            return None
        run = read_run(last)
        self._refuse_another(run["identity"], last)
        return last, run

    def clear(self) -> bool:
        """Remove what earlier runs left; True when there was something."""
        found = [self.path / name for name in PRODUCTS if (self.path / name).exists()]
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.path.mkdir(parents=True, exist_ok=True)
        return bool(found)

    def _refuse_another(self, before: dict, where: Path) -> None:
        difference = first_difference(before, self.identity)
        if difference:
            raise AnotherRun(
                f"{where} is of another run: {difference}; give the same value, another folder, or "
                "start anew (fresh)"
            )
