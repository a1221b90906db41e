"""What decides the outcome of a run: while none of it changes, a finished run is kept."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from dbeta_lib.comparisons import MODELS
from dbeta_lib.comparisons.supervised import ResNet18
from dbeta_lib.evaluation.prompts import digest
from dbeta_lib.files import sha256_bytes, sha256_file
from dbeta_lib.sweeps.evaluate import FRACTIONS, prompts_of
from dbeta_lib.sweeps.spec import SUPERVISED, Run
from dbeta_lib.training.sources import DECIDING, code_hash

# What reads or chooses beside the files that decide weights.
_EVALUATION = (
    "embedders.py", "evaluation/baselines.py", "evaluation/encoders.py", "evaluation/features.py",
    "evaluation/logistic.py", "evaluation/metrics.py", "evaluation/probe*.py",
    "evaluation/text_pairs.py", "evaluation/zero_shot.py", "neighbours.py", "sweeps/evaluate.py",
    "sweeps/texts.py", "sweeps/train.py", "training/monitor.py", "training/start.py",
)  # fmt: skip
_TUNING = ("comparisons/supervised.py", "evaluation/finetune*.py", "sweeps/supervised.py")


def identity_of(run: Run, store: Any = None) -> dict[str, Any]:
    """Plain values; two runs of the same ones have the same outcome.

    Of a text model on disk its files count, by their content. Without a store, as for a list of
    what is left, its fingerprint is left out.
    """
    supervised = run.model == SUPERVISED
    sources = _TUNING if supervised else getattr(MODELS.get(run.model, ResNet18), "sources", ())
    profile = run.profile
    texts = prompts_of(run, profile.dataset if store is None else store.meta["name"])
    found = {
        "model": run.model,
        "model_settings": run.own_settings,
        "config": run.config.to_dict(),
        "settings": vars(run.tuning) if supervised else run.training.identity(),
        "seed": run.seed,
        "negatives_embedder": _files(profile.negatives_embedder),
        **({} if store is None else {"store": store.fingerprint}),
        "text_model": _files(run.text_model),
        "evaluation": {
            "task": profile.task, "fractions": FRACTIONS, "draws": profile.draws,
            "resamples": profile.resamples, "eval_records": profile.eval_records,
            "prompts": digest(texts) if texts else "",
        },
        "code": code_hash(deciding=(*DECIDING, *_EVALUATION, *sources)),
    }  # fmt: skip
    return json.loads(json.dumps(found))  # as it will be read again


def _files(text_model: str) -> str:
    folder = Path(text_model)
    if not text_model or not folder.is_dir():
        return text_model
    files = sorted(path for path in folder.iterdir() if path.is_file())
    told = "\n".join(f"{path.name} {_content(path, *_stamp(path))}" for path in files)
    return sha256_bytes(told.encode())[:16]


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


@lru_cache
def _content(path: Path, _size: int, _changed: int) -> str:
    """Weights are hundreds of megabytes and asked for by every run of a sweep: read once."""
    return sha256_file(path)
