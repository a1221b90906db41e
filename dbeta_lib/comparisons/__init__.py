"""Comparison models: trained by D-BETA's loop on D-BETA's batches, taken by every evaluation.

`COMPARISONS[name](config, tokenizer, **settings)` makes one beside a D-BETA of `config`;
`training.start.build_model(config, store, seed, build=COMPARISONS[name])` with seeded weights.
`supervised.ResNet18` learns from labels instead, and is trained by `evaluation.finetune`.
"""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from dbeta_lib.checkpoint_files import CONFIG
from dbeta_lib.comparisons.clip_style import CLIPStyle
from dbeta_lib.comparisons.config import ComparisonConfig
from dbeta_lib.comparisons.contrastive_segments import ContrastiveSegments
from dbeta_lib.comparisons.mem_only import mem_only
from dbeta_lib.comparisons.merl import MERL
from dbeta_lib.comparisons.simclr import SimCLR
from dbeta_lib.errors import DBetaError
from dbeta_lib.model import DBeta

MODELS = {model.name: model for model in (MERL, CLIPStyle, ContrastiveSegments, SimCLR)}
COMPARISONS: dict[str, Callable[..., nn.Module]] = {
    **{name: model.build for name, model in MODELS.items()},
    "mem-only": mem_only,
}


def open_model(folder: Path | str) -> nn.Module:
    """The model of a run's `model/` or of a checkpoint, a D-BETA or a comparison, in eval mode.

    Raises DBetaError where there is none, or one that this version does not know.
    """
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise DBetaError(f"{folder} holds no model ({CONFIG} is missing); give its folder")
    name = ComparisonConfig.from_json(path).name
    if name and name not in MODELS:
        raise DBetaError(f"{path} is of a '{name}', which this version does not know; update it")
    return (MODELS[name] if name else DBeta).from_pretrained(Path(folder))
