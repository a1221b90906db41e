"""What decides the outcome of a run: while none of it changes, a finished run is kept."""

import json
from pathlib import Path
from typing import Any

from dbeta_lib.comparisons import MODELS
from dbeta_lib.comparisons.supervised import ResNet18
from dbeta_lib.evaluation.prompts import digest
from dbeta_lib.files import sha256_bytes
from dbeta_lib.sweeps.evaluate import FRACTIONS, prompts_of
from dbeta_lib.sweeps.spec import SUPERVISED, Run
from dbeta_lib.training.sources import DECIDING, code_hash

_EVALUATION = (
    "evaluation/features.py", "evaluation/logistic.py", "evaluation/metrics.py",
    "evaluation/probe*.py", "evaluation/zero_shot.py", "sweeps/evaluate.py", "sweeps/train.py",
    "training/monitor.py", "training/start.py",
)  # fmt: skip
_TUNING = ("comparisons/supervised.py", "evaluation/finetune*.py", "sweeps/supervised.py")


def identity_of(run: Run, store: Any) -> dict[str, Any]:
    """Plain values; two runs of the same ones have the same outcome.

    Of a text model on disk the names and sizes of its files count.
    """
    supervised = run.model == SUPERVISED
    sources = _TUNING if supervised else getattr(MODELS.get(run.model, ResNet18), "sources", ())
    profile = run.profile
    texts = prompts_of(run, store)
    found = {
        "model": run.model,
        "model_settings": run.own_settings,
        "config": run.config.to_dict(),
        "settings": vars(run.tuning) if supervised else run.training.identity(),
        "seed": run.seed,
        "negatives_embedder": _files(profile.negatives_embedder),
        "store": store.fingerprint,
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
    files = sorted(f"{p.name} {p.stat().st_size}" for p in folder.iterdir() if p.is_file())
    return sha256_bytes("\n".join(files).encode())[:16]
