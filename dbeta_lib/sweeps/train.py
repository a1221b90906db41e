"""From a run to the encoder that is evaluated: built, trained by the one loop, or left as drawn."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from dbeta_lib.comparisons import COMPARISONS
from dbeta_lib.config import DBetaConfig
from dbeta_lib.errors import AnotherRun
from dbeta_lib.evaluation.encoders import to_training_device
from dbeta_lib.model import DBeta
from dbeta_lib.n3s import Negatives
from dbeta_lib.sweeps.spec import RANDOM, Run, slug
from dbeta_lib.sweeps.texts import Texts, texts_after, texts_before
from dbeta_lib.training.pretrain import pretrain
from dbeta_lib.training.settings import Summary
from dbeta_lib.training.start import build_model, negatives_for


@dataclass
class Trained:
    """An encoder and what its training took."""

    encoder: nn.Module
    parameters: int  # that learn
    steps: int = 0
    seconds: float = 0.0  # of training
    records_per_s: float | None = None  # of training, None where there was none
    losses: dict[str, float] = field(default_factory=dict)  # means over the last steps
    texts: Texts | None = None  # what it makes of texts, where it reads any


def build(run: Run, store: Any) -> nn.Module:
    """The untrained model of a run, its new weights drawn from the run's seed.

    Raises EncoderAbsent where its text encoder is neither among the profile's, nor on the hub.
    """
    makes = COMPARISONS.get(run.model, DBeta)
    if run.own_settings:
        makes = partial(makes, **run.own_settings)
    config = run.config.replace(text_model=run.text_model)
    return build_model(config, store, run.seed, build=makes)


def train(
    run: Run,
    store: Any,
    folder: Path,
    say: Callable[[str], None],
    progress: bool,
    model: nn.Module | None = None,
) -> Trained:
    """The model of a run, trained below `folder`; a killed training goes on.

    model: as `build` made it, where it is at hand.
    """
    model = build(run, store) if model is None else model
    learns = sum(p.numel() for p in model.parameters() if p.requires_grad)
    texts = texts_before(model) if run.reads_reports or run.model == RANDOM else None
    if run.model == RANDOM:
        model = to_training_device(model).eval()
        return Trained(model, learns, texts=texts_after(texts, model))
    summary = _pretrain(model, store, folder, say, progress, run)
    return Trained(
        model, learns, summary.steps, summary.seconds, summary.records_per_s, summary.losses,
        texts_after(texts, model),
    )  # fmt: skip


def _pretrain(model, store, folder: Path, say, progress: bool, run: Run) -> Summary:
    given = {
        "settings": run.training, "say": say, "progress": progress,
        "negatives": _negatives(run, model.config, store, say),
    }  # fmt: skip
    try:
        return pretrain(model, store, folder, resume=True, **given)
    except AnotherRun as found:
        say(f"{str(found).split(';')[0]}; it makes way for the run asked for")
        return pretrain(model, store, folder, fresh=True, **given)


def _negatives(run: Run, config: DBetaConfig, store: Any, say) -> Negatives:
    """What the model's config names, made once for all runs.

    A file of its own for each kind, so that no run makes anew what another, or a notebook, uses.
    """
    embedder, objective = run.profile.negatives_embedder, config.objective
    kind = "n3s" if objective.negatives == "released" else objective.negatives  # the same table
    words = [kind, slug(embedder)]
    if embedder != "tfidf":
        words.append(objective.n3s_pooling)
    if kind == "balanced":
        words.append(f"tau{objective.negatives_tau:g}")
    path = store.path.with_name(f"{store.path.name}.sweeps.{'-'.join(words)}.npz")
    return negatives_for(config, store, embedder=embedder, path=path, say=say)
