"""What a run finds in its folder: nothing, an unfinished run, a finished one, another one.

Only what bears a mark of a run of this library is ever removed: a folder named by mistake keeps its
`model/` and `checkpoints/`.
"""

import shutil
from pathlib import Path
from typing import Any

from dbeta_lib.errors import AnotherRun, DBetaError
from dbeta_lib.files import read_json, write_json
from dbeta_lib.training.checkpoints import Checkpoints, read_run
from dbeta_lib.training.settings import Summary, first_difference

# The summary first: killed while clearing, a run must not look finished.
PRODUCTS = ("summary.json", "checkpoints", "tensorboard", "model", "mem-alone", "curves.csv")
# Written before anything else, so that a run killed before its first checkpoint is known too.
MARK = ".dbeta-run.json"


class RunFolder:
    """`path` holds model/, curves.csv, tensorboard/, checkpoints/ and, last, summary.json.

    mem-alone/ is the model after the steps of MEM alone, where there were any: it has read no text.

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

    @property
    def mem_alone(self) -> Path:
        """Folder of the model that has seen ECGs only."""
        return self.path / "mem-alone"

    def finished(self, resume: bool) -> Summary | None:
        """The summary if this very run was finished. With `resume`, another run is an error."""
        path = self.path / "summary.json"
        if not _is_summary(path):
            return None
        if resume:
            self._refuse_another(read_json(path)["identity"], path)
        if not (self.model / "model.safetensors").exists():
            return None
        summary = Summary.open(path)
        return None if first_difference(summary.identity, self.identity) else summary

    def unfinished(self) -> tuple[Path, dict[str, Any]] | None:
        """The last checkpoint and its `run.json`. Raises DBetaError when it is another run's."""
        last = self.checkpoints.latest()
        if last is None:
            return None
        run = read_run(last)
        self._refuse_another(run["identity"], last)
        return last, run

    def make_way(self, resume: bool, fresh: bool, removes: bool = True) -> bool:
        """Make ready for a run from its first step; True when something was removed.

        fresh: what an earlier run left is removed. resume: likewise, as `unfinished` has found
        nothing to go on from. removes: False in all processes but one. Raises DBetaError, and
        removes nothing, when neither is given or when no mark tells that a run left it.
        """
        found = [self.path / name for name in PRODUCTS if (self.path / name).exists()]
        if found and not self._is_ours():
            names = ", ".join(path.name for path in found)
            raise DBetaError(
                f"{self.path} holds {names}, which no run of this library is known to have left; "
                "name another folder, or remove them yourself"
            )
        if found and not (resume or fresh):
            raise AnotherRun(
                f"{self.path} holds {self._what()}; name another folder, go on with it (resume), "
                "or remove it and start anew (fresh)"
            )
        if removes:
            write_json(self.path / MARK, {"format": 1})
            for path in found:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return bool(found)

    def _is_ours(self) -> bool:
        """Whether something here tells that a run left it."""
        summary = self.path / "summary.json"
        return (self.path / MARK).exists() or _is_summary(summary) or bool(self.checkpoints.all())

    def _what(self) -> str:
        """`"a finished run whose settings.lr was 0.1 and is 0.2"`: which run is there."""
        summary, last = self.path / "summary.json", self.checkpoints.latest()
        if _is_summary(summary):
            kind, before = "a finished run", read_json(summary)["identity"]
        elif last:
            kind, before = f"an unfinished run ({last.name})", read_run(last)["identity"]
        else:
            return "a run that was stopped before its first checkpoint"
        difference = first_difference(before, self.identity)
        return f"{kind} whose {difference}" if difference else f"{kind} of these settings"

    def _refuse_another(self, before: dict, where: Path) -> None:
        difference = first_difference(before, self.identity)
        if difference:
            raise AnotherRun(
                f"{where} is of another run: {difference}; give the same value, another folder, or "
                "start anew (fresh)"
            )


def _is_summary(path: Path) -> bool:
    """Whether a run wrote it, of whatever version; other programs have a summary.json too."""
    try:
        found = read_json(path)
    except DBetaError:
        return False
    return isinstance(found, dict) and isinstance(found.get("identity"), dict)
