"""What a comparison model is made of: a D-BETA's numbers, and those that it adds."""

import dataclasses
from dataclasses import dataclass, field, fields
from typing import Any

from dbeta_lib.config import AUGMENTING, DBetaConfig
from dbeta_lib.errors import UsageError, nearest

# Batches as a contrastive model needs them: every record with its own text, all words to be read,
# nothing dropped or rolled; and no weight for losses that the model does not have.
PLAIN_BATCHES: dict[str, Any] = {
    "negatives": "random",
    "negative_fraction": 0.0,
    "mlm_masking": "none",
    **AUGMENTING,
    "mlm_weight": 0.0,
    "mem_weight": 0.0,
    "etm_weight": 0.0,
    "ets_weight": 0.0,
}


@dataclass(frozen=True)
class ComparisonConfig(DBetaConfig):
    """A D-BETA's config, of which encoders and batches are made, with a name and more settings."""

    name: str = ""  # of the model, a key of `COMPARISONS`
    settings: dict[str, Any] = field(default_factory=dict)  # fields of the model's `Settings`

    @classmethod
    def of(cls, config: DBetaConfig, name: str, settings: dict[str, Any]) -> "ComparisonConfig":
        """`config` with a name and settings."""
        own = {f.name: getattr(config, f.name) for f in fields(DBetaConfig)}
        return cls(**own, name=name, settings=dict(settings))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ComparisonConfig":
        """The inverse of `to_dict`. Raises UsageError for an unknown key, format or kind."""
        if not isinstance(values, dict):
            return super().from_dict(values)  # which says so
        rest = dict(values)
        name, settings = rest.pop("name", ""), rest.pop("settings", {})
        if not isinstance(name, str) or not isinstance(settings, dict):
            raise UsageError("a config's name must be a text, and its settings a mapping")
        return dataclasses.replace(super().from_dict(rest), name=name, settings=settings)


def settings_of(kind: type, values: dict[str, Any], model: str) -> Any:
    """The dataclass `kind` with `values`. Raises UsageError for a name that it does not have."""
    known = [f.name for f in fields(kind)]
    for name in values:
        if name not in known:
            raise UsageError(f"{model} has no setting '{name}'{nearest(name, known)}")
    return kind(**values)
