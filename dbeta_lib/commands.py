"""What the `dbeta` command offers over pre-training and results; see `cli.py`.

Each command is a thin skin: it reads options, calls the library functions that the notebooks call
too, and prints what came out.
"""

import dataclasses
import shutil
from pathlib import Path
from typing import Annotated

import typer

from dbeta_lib.command_options import StorePath, existing_folder, setting
from dbeta_lib.commands_data import DATA_COMMANDS
from dbeta_lib.commands_evaluation import EVALUATION_COMMANDS
from dbeta_lib.commands_prediction import PREDICTION_COMMANDS
from dbeta_lib.commands_sweep import SWEEP_COMMANDS
from dbeta_lib.commands_training import TRAINING_COMMANDS
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
    On several GPUs: accelerate launch --multi_gpu -m dbeta_lib.cli pretrain stores/ptb-xl runs/mine
    """
    from accelerate import PartialState

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
        run["mem_first"] = min(600, given.get("steps", steps) // 4)
    run |= {name: given.pop(name) for name in list(given) if name in of_run}
    PretrainConfig.of(**run)  # wrong use before anything is read
    opened = SignalStore.open(store)
    model = build_model(config.replace(**given), opened, run["seed"])
    summary = train(model, opened, out, resume=resume, fresh=fresh, **run)
    if PartialState().is_main_process:
        losses = ", ".join(f"{name} {value:.3f}" for name, value in summary.losses.items())
        typer.echo(f"{summary.model}: {summary.steps} steps, {losses}")


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
    box: Annotated[
        Path | None,
        typer.Option(help="Pack the run's model there, with its card, data statement and records."),
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
    if box:
        from dbeta_lib.box.pack import pack

        typer.echo(f"packed: {pack(folder.parent, box)}", err=True)


def _keep(folder: Path, names: list[str], keep: Path) -> None:
    """Copy the records `names` of a run, its verdicts and times; records kept before make way.

    Verdicts are the tables of notebook 08, beside the results folder. Other files in `keep` stay.
    Raises DBetaError when there is nothing to keep, or a table of verdicts is damaged.
    """
    from dbeta_lib.files import read_json, write_json
    from dbeta_lib.reporting.readme import TIMES
    from dbeta_lib.sweeps import load_verdicts

    if not names:
        raise DBetaError(f"{folder} holds no result to keep; run notebooks 04 and 05 first")
    verdicts = sorted((folder.parent / "verdicts").glob("*.json"))
    for path in verdicts:
        load_verdicts(path)
    keep.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copyfile(folder / name, keep / name)
    for path in verdicts:
        (keep / "verdicts").mkdir(exist_ok=True)
        shutil.copyfile(path, keep / "verdicts" / path.name)
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
    **EVALUATION_COMMANDS,
    **TRAINING_COMMANDS,
    **SWEEP_COMMANDS,
    **PREDICTION_COMMANDS,
    "report": report,
}
