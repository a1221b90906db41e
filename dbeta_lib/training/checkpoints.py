"""Checkpoints: folders that are whole or not there, opened without running any code.

    step-00000500/model.safetensors, config.json, tokenizer/   (`DBeta.from_pretrained` reads it)
    step-00000500/training.pt   optimizer, schedule and random states (tensors and plain values)
    step-00000500/run.json      step, what the run was told, what it has seen so far; written last

A folder is built under another name and renamed. The last `keep` stay.
"""

import errno
import random
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_model
from torch import nn

from dbeta_lib.errors import DBetaError
from dbeta_lib.files import flush, read_json, sha256_bytes, write_json

FORMAT = 1
_UNREADABLE = (  # what torch.load and load_state_dict raise on files that are something else
    UnpicklingError, RuntimeError, EOFError, OSError, KeyError, IndexError, TypeError, ValueError,
    AttributeError,
)  # fmt: skip
_NO_SPACE = 1 << 20  # bytes free; torch's writer does not say why it failed, the disk does
_NAME = re.compile(r"step-(\d+)")


class Checkpoints:
    """The checkpoints of one run, in `folder`."""

    def __init__(self, folder: Path, keep: int = 2):
        self.folder, self.keep = folder, keep

    def all(self) -> list[Path]:
        """Finished checkpoints, oldest first."""
        found = self.folder.glob("step-*") if self.folder.is_dir() else ()
        return sorted(p for p in found if _NAME.fullmatch(p.name) and (p / "run.json").is_file())

    def latest(self) -> Path | None:
        """The last finished checkpoint, None when there is none."""
        return (self.all() or [None])[-1]

    def save(
        self, step: int, model: nn.Module, training: dict[str, Any], run: dict[str, Any]
    ) -> Path:
        """Write the checkpoint of `step`, then remove all but the last `keep`.

        training: state dicts by name (tensors and plain values). run: JSON values. Raises
        DBetaError when the disk is full; the checkpoints before stay as they are.
        """
        path = self.folder / f"step-{step:08d}"
        partial = self.folder / f".{path.name}.partial"
        with _removed_on_error(partial), _full_disk_named(path, self.latest()):
            partial.mkdir(parents=True)
            model.save_pretrained(partial)
            torch.save({**training, "random": random_states()}, partial / "training.pt")
            flush(partial / "training.pt")  # before run.json, by which a checkpoint counts as whole
            write_json(partial / "run.json", {"format": FORMAT, "step": step, **run})
            shutil.rmtree(path, ignore_errors=True)
            partial.rename(path)
        self.prune()
        return path

    def prune(self) -> None:
        """Remove all but the last `keep`, and what a run killed while it did so has left."""
        kept = self.all()[-self.keep :]
        for path in self.folder.glob("step-*"):
            if _NAME.fullmatch(path.name) and path not in kept:
                shutil.rmtree(path)


def read_run(path: Path) -> dict[str, Any]:
    """`run.json` of a checkpoint. Raises DBetaError when it is damaged or of another format."""
    run = read_json(path / "run.json")
    if not isinstance(run, dict) or run.get("format") != FORMAT:
        raise DBetaError(f"{path / 'run.json'} has another format; start the run anew (fresh)")
    return run


def save_model_folder(model: nn.Module, path: Path) -> None:
    """`model.save_pretrained`, whole or not at all; an older folder is replaced."""
    partial = path.with_name(f".{path.name}.partial")
    with _removed_on_error(partial), _full_disk_named(path, None):
        model.save_pretrained(partial)
        shutil.rmtree(path, ignore_errors=True)
        partial.rename(path)


def load_weights(path: Path, model: nn.Module) -> None:
    """Weights of a checkpoint or model folder into `model`; DBetaError when they do not fit."""
    file = path / "model.safetensors"
    try:
        load_model(model, file)
    except (SafetensorError, RuntimeError, OSError) as error:
        raise DBetaError(
            f"{file} is damaged or of another model ({str(error)[:200]}); delete {path} to go on "
            "from the checkpoint before it"
        ) from error


def weights_hash(model: nn.Module) -> str:
    """SHA-256 of all weights and buffers by name, as result records of the model give it."""
    parts = []
    for name, tensor in sorted(model.state_dict().items()):
        raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        parts.append(f"{name} {tensor.dtype} {tuple(tensor.shape)} {sha256_bytes(raw.tobytes())}")
    return sha256_bytes("\n".join(parts).encode())


def load_training(path: Path, optimizer: Any, schedule: Any) -> None:
    """Optimizer, schedule and random states of a checkpoint; never runs code from the file."""
    file = path / "training.pt"
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
        if not isinstance(found, dict):
            raise TypeError(f"a {type(found).__name__} where a dict is expected")
        optimizer.load_state_dict(found["optimizer"])
        schedule.load_state_dict(found["schedule"])
        set_random_states(found["random"])
    except _UNREADABLE as error:
        raise DBetaError(
            f"{file} holds no training state (damaged, of another run, or a pickle with more than "
            f"tensors, which is not opened); delete {path} to go on from the checkpoint before it"
        ) from error


def random_states() -> dict[str, Any]:
    """Every global random state, as tensors and plain values."""
    name, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, gauss),
    }


def set_random_states(states: dict[str, Any]) -> None:
    """The inverse of `random_states`; GPU states only where as many GPUs are there."""
    torch.set_rng_state(states["torch"])
    if states["cuda"] and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
    random.setstate(states["python"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))


@contextmanager
def _removed_on_error(partial: Path) -> Iterator[None]:
    shutil.rmtree(partial, ignore_errors=True)
    try:
        yield
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@contextmanager
def _full_disk_named(path: Path, last: Path | None) -> Iterator[None]:
    """Say in a sentence that the disk is full; the writers tell it in four different ways."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError, DBetaError) as error:
        if not _is_full(error, path.parent):
            raise
        stays = f"{last} stays and the run can be resumed from it" if last else "nothing was kept"
        raise DBetaError(
            f"the disk is full: {path} was not written; {stays}; free some space and resume"
        ) from error


def _is_full(error: BaseException | None, folder: Path) -> bool:
    seen = set()  # causes may lead in a circle
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if any(words in str(error) for words in ("os error 28", "No space left", "disk is full")):
            return True
        error = error.__cause__ or error.__context__
    return shutil.disk_usage(folder).free < _NO_SPACE
