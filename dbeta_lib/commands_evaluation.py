"""The `dbeta` commands that evaluate a model: one of ours, or the released checkpoint.

With `--released` the official example is one command: the data set is prepared, the model loaded
under the official names and asked, and each number has its interval and leaves its record.
"""

import time
from pathlib import Path
from typing import Annotated

import typer

from dbeta_lib.command_models import (
    Data,
    Model,
    Released,
    ReleasedConfig,
    Store,
    Tasks,
    Tokenizer,
    ask_for,
    optional_file,
    split_tasks,
)
from dbeta_lib.command_options import OutPath
from dbeta_lib.errors import DBetaError, UsageError, nearest


def zero_shot(
    model: Model = None,
    store: Store = None,
    tasks: Tasks = None,
    style: Annotated[str, typer.Option(help="name, description or ensemble.")] = "ensemble",
    languages: Annotated[str, typer.Option(help="Of the prompts, as en or de,en.")] = "en",
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="The JSON of your own prompts, or a published file of them.",
            callback=optional_file,
        ),
    ] = None,
    released: Released = None,
    data: Data = None,
    released_config: ReleasedConfig = None,
    tokenizer: Tokenizer = None,
    out: OutPath = Path("results"),
) -> None:
    """Score the test split for classes that are only described.

    With --released the released dot product and the cosine, and on CODE-test the annotators beside.

    A task for which the file of prompts has part of the classes is asked for these alone.

    Example: dbeta zero-shot runs/mine/model stores/ptb-xl --task super --languages de,en, or:
    dbeta zero-shot --released sample.pt --data code-test=DIR --prompts context_llm.json
    """
    from dbeta_lib.evaluation.cosine import ByCosine
    from dbeta_lib.evaluation.features import extract
    from dbeta_lib.evaluation.prompts import read_own

    if prompts:
        read_own(prompts)  # a file that cannot be read is told before data are prepared
    spoken = [language.strip() for language in languages.split(",")]
    asked = ask_for(
        model, store, released, data, released_config, tokenizer, tasks, out, texts=True
    )
    scorers = {"": asked.model}
    if asked.is_released:
        scorers = {", dot product": asked.model, ", cosine": ByCosine(asked.model)}
    words = prompts.as_posix() if prompts else f"{style} {','.join(spoken)}"
    for opened in asked.stores:
        texts = {
            task: _texts(opened, task, prompts, style, spoken)
            for task in _tasks(opened, tasks, described=prompts is None)
        }
        texts = {task: its for task, its in texts.items() if _is_asked(opened, task, its, prompts)}
        if not texts:
            raise DBetaError(
                f"{prompts} has texts for no task of {opened.path}; add them to a copy, or leave "
                "--prompts out to take the kit's own descriptions"
            )
        started, rows = time.monotonic(), opened.rows("test")
        ecg = extract(asked.model, opened, rows, out / "features" if asked.is_released else None)
        seconds, facts = time.monotonic() - started, asked.facts(opened)
        for task, its in texts.items():
            _ask(opened, task, its, rows, ecg, scorers, words, facts, seconds, out)


def _ask(
    store, task: str, texts: dict, rows, ecg, scorers: dict, words: str, facts: dict,
    seconds: float, out: Path,
) -> None:  # fmt: skip
    """One label task by each similarity: table, record, and on CODE-test the annotators."""
    from dbeta_lib.evaluation import annotators
    from dbeta_lib.evaluation.prompts import digest
    from dbeta_lib.evaluation.records import from_zero_shot
    from dbeta_lib.evaluation.zero_shot import class_texts, score_classes, summarise

    labels, labelled = store.labels(task), store.labels_valid(task)[rows]
    every, kept = len(labels.columns), rows[labelled]
    labels = labels[[name for name in labels.columns if texts.get(str(name))]]
    classes = tuple(map(str, labels.columns))
    part = "" if len(classes) == every else f", {len(classes)} of {every} classes"
    patients = store.records["patient_id"].to_numpy()[kept]
    for how, scorer in scorers.items():
        started = time.monotonic()
        scores = score_classes(scorer, ecg[labelled], class_texts(classes, texts))
        measured = summarise(task, classes, kept, labels.to_numpy()[kept], scores, patients)
        about = facts | {
            "variant": f"{words}{how}{part} ({digest(texts)})",
            "wall_time_s": seconds + time.monotonic() - started,
        }
        path = from_zero_shot(measured, **about).save(out)
        typer.echo(f"{store.meta['name']} {task}, {words}{how}{part}, n = {len(kept)}")
        typer.echo(measured.table().to_string(float_format="%.3f"))
        used = f"{measured.macro.k_used} of {measured.macro.k} classes"
        typer.echo(f"macro AUC {measured.interval}, {used}; record: {path}\n")
        if (store.meta["name"], task) == (annotators.DATASET, annotators.GOLD):
            _beside_annotators(store, measured, about, how, out)


def _beside_annotators(store, measured, facts: dict, how: str, out: Path) -> None:
    """The model at each annotator's specificity: table, records and figure."""
    from dbeta_lib.evaluation import annotators
    from dbeta_lib.reporting import figures
    from dbeta_lib.reporting.plots_annotators import plot_annotators

    votes = annotators.votes_of(store, measured.classes, measured.rows)
    compared = annotators.compare(measured, votes)
    for one in compared:
        annotators.from_comparison(one, **facts).save(out)
    typer.echo("sensitivity at each annotator's specificity, means over the classes:")
    typer.echo(annotators.table(compared).to_string(index=False, float_format="%.3f"))
    chart = plot_annotators(measured, compared, title=f"{facts['encoder']}{how}, CODE-test")
    slug = how.strip(", ").replace(" ", "-")
    picture, *_ = figures.save(chart, out / "figures" / f"annotators-{slug or 'similarity'}")
    typer.echo(f"figure: {picture}\n")


def probe(
    model: Model = None,
    store: Store = None,
    tasks: Tasks = None,
    draws: Annotated[int, typer.Option(min=1, help="Draws of each share of labels.")] = 5,
    released: Released = None,
    data: Data = None,
    released_config: ReleasedConfig = None,
    out: OutPath = Path("results"),
) -> None:
    """Linear probe at 1, 10 and 100 % of the labels, beside the same network untrained.

    Example: dbeta probe runs/mine/model stores/ptb-xl --task super, or:
    dbeta probe --released sample.pt --data ptb-xl=DIR --task super,rhythm
    """
    from dbeta_lib.evaluation.baselines import random_encoder
    from dbeta_lib.evaluation.features import extract
    from dbeta_lib.evaluation.records import encoder_facts, store_facts

    asked = ask_for(model, store, released, data, released_config, None, tasks, out, texts=False)
    for opened in asked.stores:
        if not len(opened.rows("train")):
            raise DBetaError(
                f"{opened.path} has no training records for a probe to learn from; ask its test "
                "records by text: dbeta zero-shot"
            )
        named = _tasks(opened, tasks)
        control = random_encoder(asked.model.config, 0).to(asked.model.device)
        untrained = encoder_facts(control) | store_facts(opened)
        untrained["encoder"] = f"{asked.name}, untrained"
        for encoder, facts in (
            (asked.model, asked.facts(opened, probed=True)),
            (control, untrained),
        ):
            started = time.monotonic()
            ecg = extract(encoder, opened, cache_dir=out / "features" if released else None)
            seconds = time.monotonic() - started
            for task in named:
                _probe(opened, task, ecg, draws, facts, seconds, out)


def _probe(store, task: str, ecg, draws: int, facts: dict, seconds: float, out: Path) -> None:
    """One label task at every share of labels: a line and a record each."""
    from dbeta_lib.evaluation.probe import linear_probe
    from dbeta_lib.evaluation.records import from_probe

    started, records = time.monotonic(), store.records
    probes = linear_probe(
        ecg, store.labels(task), records["split"], seeds=range(draws),
        patients=records["patient_id"], valid=store.labels_valid(task),
        record_ids=records["record_id"],
    )  # fmt: skip
    seconds += time.monotonic() - started
    for measured in probes:
        from_probe(measured, **facts, task=task, wall_time_s=seconds).save(out)
        typer.echo(
            f"{facts['encoder']}, {task}, {measured.n_train} labelled records: {measured.interval}"
        )


def _tasks(store, asked: list[str] | None, described: bool = False) -> list[str]:
    """The label tasks that are asked for; all, or all that the kit has descriptions for.

    Of CODE-test the gold standard alone: its other tasks are the annotators.
    """
    from dbeta_lib.evaluation.annotators import DATASET, GOLD
    from dbeta_lib.evaluation.prompts import load

    name, there = store.meta["name"], store.tasks()
    if not there:
        raise DBetaError(f"{store.path} has no labels to evaluate on; prepare a data set with some")
    wanted = split_tasks(asked)
    for task in wanted:
        if task not in there:
            raise UsageError(f"'{task}' is no label task of {store.path}{nearest(task, there)}")
    if wanted:
        return wanted
    if name == DATASET:
        return [GOLD]
    known = load()["prompts"].get(name, {}) if described else there
    return [task for task in there if task in known] or there


def _texts(store, task: str, prompts: Path | None, style: str, languages: list[str]) -> dict:
    """Texts of a task's classes by name: the kit's own, or those that a file has."""
    from dbeta_lib.evaluation.prompts import load, read_file, select

    name = store.meta["name"]
    if prompts is None:
        return select(name, task, style, languages)
    known = name if name in load()["prompts"] else ""
    return read_file(prompts, store.labels(task).columns, known, complete=False)


def _is_asked(store, task: str, texts: dict, prompts: Path | None) -> bool:
    """Whether a task has texts enough; a sentence names the classes that are without."""
    from dbeta_lib.evaluation.prompts import missing

    classes = [str(name) for name in store.labels(task).columns]
    absent = missing(texts, classes)
    if not absent:
        return True
    there, name = len(classes) - len(absent), f"{store.meta['name']} {task}"
    end = f"only the other {there} are asked" if there > 1 else "the task is left out"
    typer.echo(
        f"{name}: {prompts or 'the kit'} has no text for {len(absent)} of {len(classes)} classes "
        f"({', '.join(absent)}); {end}",
        err=True,
    )
    return there > 1


EVALUATION_COMMANDS = {"zero-shot": zero_shot, "probe": probe}
