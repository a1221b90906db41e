"""What the `dbeta` command offers over pre-training and evaluation; see `cli.py`.

Each command is a thin skin: it reads options, calls the library functions that the notebooks call
too, and prints what came out.
"""

import dataclasses
import shutil
import time
from pathlib import Path
from typing import Annotated

import typer

from dbeta_lib.command_options import ModelPath, OutPath, StorePath, existing_folder, setting
from dbeta_lib.commands_data import DATA_COMMANDS
from dbeta_lib.errors import DBetaError, UsageError


def negatives(
    store: StorePath,
    embedder: Annotated[
        str, typer.Option(help="tfidf, or a text encoder's hub name or folder.")
    ] = "tfidf",
    k: Annotated[int, typer.Option(min=1, help="Farthest reports kept for each.")] = 64,
) -> None:
    """Mine the farthest reports of every training report (N3S), beside the store.

    Example: dbeta negatives stores/ptb-xl --embedder google/flan-t5-small
    """
    from dbeta_lib.data.store import SignalStore
    from dbeta_lib.embedders import HubEmbedder, TfidfEmbedder
    from dbeta_lib.n3s import ensure_table, hub_counts

    chosen = TfidfEmbedder() if embedder == "tfidf" else HubEmbedder(embedder)
    table = ensure_table(SignalStore.open(store), embedder=chosen, k=k)
    serving = int((hub_counts(table) > 0).sum())
    typer.echo(f"{serving} of {len(table.report_ids)} distinct reports ever serve as a negative")


def pretrain(
    store: StorePath,
    out: Annotated[Path, typer.Argument(help="Folder of the run.")],
    preset: Annotated[str, typer.Option(help="mini, paper or released.")] = "mini",
    switches: Annotated[str, typer.Option(help="paper, released or recommended.")] = "recommended",
    steps: Annotated[int, typer.Option(min=1)] = 2400,
    batch_size: Annotated[int, typer.Option(min=2)] = 32,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 1.5e-3,
    seed: Annotated[int, typer.Option(help="Of weights, order, masks and negatives.")] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes that make batches.")] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any field of the model's config or of the run: key=value."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in OUT.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Remove the run in OUT first.")] = False,
) -> None:
    """Pre-train on a store's training split. Ends with 75 after SIGTERM, resumable.

    Example: dbeta pretrain stores/ptb-xl runs/mine --steps 1500 --set mask_ratio=0.75 --set keep=9
    """
    from dbeta_lib.config import DBetaConfig
    from dbeta_lib.data.store import SignalStore
    from dbeta_lib.training.pretrain import pretrain as train
    from dbeta_lib.training.settings import PretrainConfig
    from dbeta_lib.training.start import build_model

    config, of_run = DBetaConfig.preset(preset, switches), dataclasses.asdict(PretrainConfig())
    of_model = {k: v for part in dataclasses.asdict(config).values() if isinstance(part, dict)
                for k, v in part.items()}  # fmt: skip
    given = dict(setting(text, of_model | of_run) for text in settings or [])
    run = {"steps": steps, "batch_size": batch_size, "lr": lr, "seed": seed, "workers": workers}
    if switches == "recommended":  # as the profiles have it; --set mem_first=0 for none
        run["mem_first"] = min(600, steps // 4)
    run |= {name: given.pop(name) for name in list(given) if name in of_run}
    PretrainConfig.of(**run)  # wrong use before anything is read
    opened = SignalStore.open(store)
    model = build_model(config.replace(**given), opened, run["seed"])
    summary = train(model, opened, out, resume=resume, fresh=fresh, **run)
    losses = ", ".join(f"{name} {value:.3f}" for name, value in summary.losses.items())
    typer.echo(f"{summary.model}: {summary.steps} steps, {losses}")


def zero_shot(
    model: ModelPath,
    store: StorePath,
    task: Annotated[str, typer.Option(help="A label task of the store.")],
    style: Annotated[str, typer.Option(help="name, description or ensemble.")] = "ensemble",
    languages: Annotated[str, typer.Option(help="Of the prompts, as en or de,en.")] = "en",
    prompts: Annotated[
        Path | None, typer.Option(help="Your own prompts, or a published file of them.")
    ] = None,
    out: OutPath = Path("results"),
) -> None:
    """Score the test split for classes that are only described.

    Example: dbeta zero-shot runs/mine/model stores/ptb-xl --task super --languages de,en
    """
    from dbeta_lib.data.store import SignalStore
    from dbeta_lib.evaluation.prompts import digest, load, read_file, select
    from dbeta_lib.evaluation.records import encoder_facts, from_zero_shot, store_facts
    from dbeta_lib.evaluation.zero_shot import zero_shot as measure
    from dbeta_lib.model import DBeta

    loaded, opened = DBeta.from_pretrained(model), SignalStore.open(store)
    name = opened.meta["name"]
    if prompts:
        known = name if name in load()["prompts"] else ""
        texts = read_file(prompts, opened.labels(task).columns, known)
    else:
        texts = select(name, task, style, languages.split(","))
    started = time.monotonic()
    measured = measure(loaded, opened, task, texts)
    seconds = time.monotonic() - started
    asked = prompts.as_posix() if prompts else f"{style} {languages}"
    variant = f"{asked} ({digest(texts)[:8]})"
    facts = encoder_facts(loaded) | store_facts(opened) | {"provenance": _seen(model, opened)}
    facts |= {"encoder": str(model), "variant": variant, "wall_time_s": seconds}
    path = from_zero_shot(measured, **facts).save(out)
    typer.echo(measured.table().to_string(float_format="%.3f"))
    typer.echo(f"macro AUC {measured.interval}; record: {path}")


def probe(
    model: ModelPath,
    store: StorePath,
    task: Annotated[str, typer.Option(help="A label task of the store.")],
    draws: Annotated[int, typer.Option(min=1, help="Draws of each share of labels.")] = 5,
    out: OutPath = Path("results"),
) -> None:
    """Linear probe at 1, 10 and 100 % of the labels, beside the same network untrained.

    Example: dbeta probe runs/mine/model stores/ptb-xl --task super
    """
    from dbeta_lib.data.store import SignalStore
    from dbeta_lib.evaluation.baselines import random_encoder
    from dbeta_lib.evaluation.features import extract
    from dbeta_lib.evaluation.probe import linear_probe
    from dbeta_lib.evaluation.records import encoder_facts, from_probe, store_facts
    from dbeta_lib.model import DBeta

    loaded, opened = DBeta.from_pretrained(model), SignalStore.open(store)
    records = opened.records
    control = random_encoder(loaded.config, 0)
    for name, encoder in ((str(model), loaded), (f"{model}, untrained", control)):
        started = time.monotonic()
        probes = linear_probe(
            extract(encoder, opened), opened.labels(task), records["split"],
            seeds=range(draws), patients=records["patient_id"], valid=opened.labels_valid(task),
        )  # fmt: skip
        seconds = time.monotonic() - started
        facts = encoder_facts(encoder) | store_facts(opened)
        facts |= {"encoder": name, "task": task, "wall_time_s": seconds}
        if encoder is loaded:
            facts["provenance"] = _seen(model, opened, probed=True)
        for measured in probes:
            from_probe(measured, **facts).save(out)
            typer.echo(f"{name}, {measured.n_train} labelled records: {measured.interval}")


def _seen(model: Path, store, probed: bool = False):
    """Provenance of a model folder, as far as the run beside it tells.

    A run keeps the fingerprint of its store and no name: of another store it is not known whether
    its patients are these. `probed`: a probe is fitted on the training rows.
    """
    from dbeta_lib.evaluation.records import provenance
    from dbeta_lib.evaluation.results import Provenance
    from dbeta_lib.training.settings import Summary

    summary = model.resolve().parent / "summary.json"
    if not summary.is_file():
        return Provenance.unknown("no summary.json beside the model: data not known")
    read = Summary.open(summary).identity.get("stores", [["another", ""]])
    others = [name for name, fingerprint in read if fingerprint != store.fingerprint]
    if others:
        told = f"pre-training read {', '.join(others)} too: compare the stores' patients"
        return Provenance.unknown(told, Summary.open(summary).identity["store"])
    train = store.rows("train")
    return provenance(store, store.rows("test"), [(store, train)], train if probed else None)


def report(
    folder: Annotated[
        Path, typer.Argument(help="A folder of result records.", callback=existing_folder)
    ],
    keep: Annotated[
        Path | None, typer.Option(help="Copy the records there, for the README to quote.")
    ] = None,
    readme: Annotated[
        Path | None,
        typer.Option(help="Fill this README's tables from all kept records, and its figures."),
    ] = None,
    paper: Annotated[
        Path | None, typer.Option(help="Folder for the paper's tables beside ours: MD, LaTeX, CSV.")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(help="Write one HTML page: what was run, beside the paper.")
    ] = None,
    parity: Annotated[
        Path | None, typer.Option(help="A parity file or folder, for the certificate.")
    ] = None,
) -> None:
    """Print all results of a folder as a Markdown table; keep them; set them beside the paper's.

    Example: dbeta report runs/demo/results --keep benchmarks/results/demo --readme README.md
    """
    from dbeta_lib.evaluation.results import load_all, table
    from dbeta_lib.reporting.readme import copy_figures, write

    if keep and keep.resolve() == folder.resolve():
        raise UsageError(f"--keep {keep} is the results folder itself; name another folder")
    if parity and not (certificate and parity.exists()):
        raise UsageError(f"--parity {parity}: a file or folder that is there, with --certificate")
    found = load_all(folder)
    typer.echo(table(found))
    if keep:
        _keep(folder, list(found["file"]), keep)
        typer.echo(f"copied to {keep}", err=True)
    if readme:
        write(readme, readme.parent / "benchmarks" / "results")
        copied = copy_figures(readme, folder.parent / "figures")
        typer.echo(f"{readme}: tables written, figures copied: {', '.join(copied)}", err=True)
    if paper:
        from dbeta_lib.reporting.paper_tables import export

        typer.echo("\n".join(map(str, export(found, paper))), err=True)
    if certificate:
        from dbeta_lib.reporting.certificate import write as certify

        typer.echo(certify(folder, certificate, parity=parity), err=True)


def _keep(folder: Path, names: list[str], keep: Path) -> None:
    """Copy the records `names` of a run, and its notebooks' times; records kept before make way.

    Other files in `keep` stay. Raises DBetaError when there is nothing to keep.
    """
    from dbeta_lib.files import read_json, write_json
    from dbeta_lib.reporting.readme import TIMES

    if not names:
        raise DBetaError(f"{folder} holds no result to keep; run notebooks 04 and 05 first")
    keep.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copyfile(folder / name, keep / name)
    for path in keep.glob("*.json"):  # only now: whatever fails above loses nothing
        if path.name not in names and _is_record(path):
            path.unlink()
    state = folder.parent / "workflow.json"
    if state.is_file():
        notebooks = read_json(state)["notebooks"]
        seconds = {name: record.get("seconds") for name, record in notebooks.items()}
        write_json(keep.parent / TIMES / f"{keep.name}.json", seconds)


def _is_record(path: Path) -> bool:
    """Whether a file is a result record; the dated files of benchmarks are none."""
    from dbeta_lib.evaluation.results import load

    try:
        load(path)
    except DBetaError:
        return False
    return True


COMMANDS = {
    **DATA_COMMANDS,
    "negatives": negatives,
    "pretrain": pretrain,
    "zero-shot": zero_shot,
    "probe": probe,
    "report": report,
}
