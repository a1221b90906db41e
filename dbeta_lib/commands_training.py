"""`dbeta finetune`: every weight of a model learns from the labels of a store."""

from pathlib import Path
from typing import Annotated

import typer

from dbeta_lib.command_models import Data, Model, Released, ReleasedConfig, Store, ask_for
from dbeta_lib.command_options import OutPath
from dbeta_lib.errors import UsageError, nearest
from dbeta_lib.leads import subset_mask


def finetune(
    model: Model = None,
    store: Store = None,
    task: Annotated[str, typer.Option(help="A label task of the store.")] = "",
    leads: Annotated[
        str, typer.Option(help="12, 6, 3, 2, 1, or a list such as I,II,V2; separated by spaces.")
    ] = "12",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training records.")] = 10,
    recipe: Annotated[
        str, typer.Option(help="one-cycle, or published: Adam at a constant 5e-5, long trainings.")
    ] = "one-cycle",
    lr: Annotated[
        float | None, typer.Option(help="Peak of the learning rate; without it 5e-4, or 5e-5.")
    ] = None,
    fraction: Annotated[float, typer.Option(help="Share of the training labels, 0..1.")] = 1.0,
    challenge_weights: Annotated[
        Path | None, typer.Option(help="The CinC Challenge's weights.csv, for its score.")
    ] = None,
    released: Released = None,
    data: Data = None,
    released_config: ReleasedConfig = None,
    out: OutPath = Path("results"),
) -> None:
    """Full fine-tuning with each set of leads, the epoch chosen on the validation split.

    Example: dbeta finetune runs/mine/model stores/ptb-xl --task super --leads "12 3 1" --epochs 8
    """
    from dbeta_lib.evaluation.finetune import finetune as tune
    from dbeta_lib.evaluation.finetune_settings import FinetuneConfig

    asked = ask_for(
        model, store, released, data, released_config, None, [task] if task else None, out,
        texts=False,
    )  # fmt: skip
    if not leads.split():
        raise UsageError("--leads names no set of leads; give 12, or several as '12 3 1'")
    for subset in leads.split():  # before the first of them takes its time
        subset_mask(subset)
    rate = {} if lr is None else {"lr": lr}
    few = {"batch_size": 32, "lr": 5e-4} if recipe == "one-cycle" else {}
    settings = FinetuneConfig.recipe(recipe, **{**few, "epochs": epochs, **rate})
    for opened in asked.stores:
        if task not in opened.tasks():
            told = f"'{task}' is no label task" if task else "--task names none"
            raise UsageError(f"{told} of {opened.path}{nearest(task, opened.tasks())}")
        for subset in leads.split():
            found = tune(
                asked.model, opened, task, settings=settings, lead_mask=subset, fraction=fraction,
                challenge_weights=challenge_weights,
            )  # fmt: skip
            told = f"{epochs} epochs, lr {settings.lr:g}"
            told += "" if recipe == "one-cycle" else f", {recipe} recipe"
            facts = asked.facts(opened, probed=True) | {"variant": told}
            for record in found.results(**facts):
                path = record.save(out)
                typer.echo(
                    f"{subset} leads, epoch {found.epoch} of {epochs}: {record.metric} "
                    f"{record.value:.3f} [{record.low:.3f}, {record.high:.3f}]; record: {path}"
                )


TRAINING_COMMANDS = {"finetune": finetune}
