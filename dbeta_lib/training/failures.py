"""What the machine may do to a run, said in a sentence with the remedy: memory, lost workers."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from dbeta_lib.errors import DBetaError
from dbeta_lib.training.settings import PretrainConfig

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")
_LOST_WORKER = ("dataloader worker", "shared memory")


@contextmanager
def lost_workers_told() -> Iterator[None]:
    """A killed worker breaks its connection; that it was killed torch says, by a signal, later."""
    try:
        yield
    except (ConnectionError, EOFError):
        time.sleep(1)  # the signal's handler raises RuntimeError here
        raise


def named(
    error: Exception,
    settings: PretrainConfig,
    step: int,
    device: torch.device,
    processes: int,
    last: Path | None,
) -> Exception:
    """A DBetaError that explains `error`, met in `step` (from 1); any other error as it is.

    last: the checkpoint that the run can go on from.
    """
    text = str(error).lower()
    resume = f"resume from {last}" if last else "start again"
    if any(words in text for words in _LOST_WORKER):
        first = str(error).splitlines()[0].rstrip(". ")
        return DBetaError(
            f"step {step}: a process that makes batches was lost ({first}); most often memory or "
            f"/dev/shm is full: lower workers (now {settings.workers}), then {resume}"
        )
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        words in text for words in _OUT_OF_MEMORY
    ):
        at_once = settings.batch_size // (processes * settings.accumulate)
        return DBetaError(
            f"step {step}: out of memory on {device} with batch_size={settings.batch_size}, "
            f"{at_once} records at once; lower batch_size, or keep it and raise accumulate (now "
            f"{settings.accumulate}) or set checkpoint_activations, then {_again(settings, resume)}"
        )
    return error


def _again(settings: PretrainConfig, resume: str) -> str:
    """What can be changed in the run that goes on, and what makes another run."""
    if settings.checkpoint_activations:
        return "start anew"
    return f"start anew (with checkpoint_activations alone, {resume})"
