"""Which model and which stores a `dbeta` command line names: ours, or the released checkpoint.

`MODEL STORE` is a model of ours and a prepared store. `--released FILE --data NAME=DIR` is the
official weights and a data set, which is prepared below `--out`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from dbeta_lib.command_options import existing_folder
from dbeta_lib.errors import DBetaError, UsageError, nearest

RELEASED_NOTE = "released weights: which recordings they were trained on is not known"


def optional_folder(param: typer.CallbackParam, path: Path | None) -> Path | None:
    return path if path is None else existing_folder(param, path)


def optional_model(param: typer.CallbackParam, path: Path | None) -> Path | None:
    """A model's folder; the word "box" is the one that comes with the kit."""
    if path == Path("box") and not path.is_dir():
        from dbeta_lib import box

        box.check()
        return box.MODEL
    return optional_folder(param, path)


def optional_file(param: typer.CallbackParam, path: Path | None) -> Path | None:
    if path is not None and not path.is_file():
        wanted = param.help.rstrip(".")
        raise UsageError(f"{path} is no file; give {wanted[0].lower()}{wanted[1:]}")
    return path


Model = Annotated[
    Path | None,
    typer.Argument(
        help='A folder that save_pretrained wrote, or "box": the kit\'s own.',
        callback=optional_model,
    ),
]
Store = Annotated[
    Path | None, typer.Argument(help="A prepared signal store.", callback=optional_folder)
]
Tasks = Annotated[
    list[str] | None,
    typer.Option("--task", help="Label tasks, as super,sub; all of the store's where none is."),
]
Released = Annotated[
    Path | None,
    typer.Option(help="The official checkpoint file (sample.pt).", callback=optional_file),
]
Data = Annotated[
    list[str] | None,
    typer.Option("--data", help="With --released: a data set and its folder, NAME=DIR."),
]
ReleasedConfig = Annotated[
    Path | None,
    typer.Option(help="The official JSON of a checkpoint of another size.", callback=optional_file),
]
Tokenizer = Annotated[
    Path | None,
    typer.Option(help="The folder of the released model's tokenizer.", callback=optional_folder),
]


@dataclass(frozen=True)
class Asked:
    """What a command line asks to be evaluated."""

    name: str  # of the encoder in tables
    model: Any
    path: Path
    is_released: bool
    stores: list[Any]

    def facts(self, store, probed: bool = False) -> dict[str, Any]:
        """Fields of a result record of this model on a store."""
        from dbeta_lib.evaluation.records import encoder_facts, store_facts
        from dbeta_lib.evaluation.results import Provenance

        unknown = Provenance.unknown(RELEASED_NOTE)
        seen = unknown if self.is_released else _seen(self.path, store, probed)
        facts = encoder_facts(self.model) | store_facts(store)
        return facts | {"encoder": self.name, "provenance": seen}


def ask_for(
    model: Path | None, store: Path | None, released: Path | None, data: list[str] | None,
    config: Path | None, tokenizer: Path | None, tasks: list[str] | None, out: Path, *, texts: bool,
) -> Asked:  # fmt: skip
    """The model and the stores of a command line. Wrong use is told before anything is read."""
    from dbeta_lib.data.store import SignalStore
    from dbeta_lib.evaluation.encoders import to_training_device
    from dbeta_lib.model import DBeta

    if released is None:
        if data or config or tokenizer:
            given = "--data" if data else "--released-config" if config else "--tokenizer"
            raise UsageError(f"{given} goes with --released FILE; name the checkpoint")
        if model is None or store is None:
            raise UsageError("give MODEL STORE, or --released FILE with --data NAME=DIR")
        loaded, opened = to_training_device(DBeta.from_pretrained(model)), SignalStore.open(store)
        return Asked(str(model), loaded, model, False, [opened])
    if model is not None:
        raise UsageError(f"{model} and --released {released} are two models; give one")
    if not data:
        raise UsageError("--released takes its recordings by --data NAME=DIR, as code-test=DIR")
    folders = [_named_folder(text, tasks) for text in data]
    loaded = _released(released, config, tokenizer, texts)
    stores = [_prepared(name, folder, out, loaded) for name, folder in folders]
    return Asked(f"released {released.name}", loaded, released, True, stores)


def split_tasks(texts: list[str] | None) -> list[str]:
    """`["super,sub", "form"]` -> each task once, in order."""
    words = [task.strip() for text in texts or [] for task in text.split(",")]
    return list(dict.fromkeys(word for word in words if word))


def _named_folder(text: str, tasks: list[str] | None) -> tuple[str, Path]:
    """`"code-test=DIR"` -> name and folder. Raises UsageError for a name, folder or task unknown.

    Tasks are looked up where the kit describes the data set: preparing it may take an hour.
    """
    from dbeta_lib.data import loader
    from dbeta_lib.evaluation.prompts import load

    name, equals, place = text.partition("=")
    folder = Path(place).expanduser()
    if not equals:
        raise UsageError(f"--data takes NAME=DIR, not '{text}'")
    if not hasattr(loader(name), "plan"):
        raise UsageError(f"--data {name}: this data set is made, not read from a folder")
    if not folder.is_dir():
        raise UsageError(f"--data {text}: {folder} is no folder; name that of {name}")
    described = load()["prompts"].get(name, {})
    for task in split_tasks(tasks) if described else ():
        if task not in described:
            raise UsageError(f"'{task}' is no label task of {name}{nearest(task, described)}")
    return name, folder


def _released(path: Path, config: Path | None, tokenizer: Path | None, texts: bool):
    """The released model where it computes best, its tokenizer looked up where it is asked texts.

    Raises DBetaError naming the file that is no checkpoint, no config or no tokenizer.
    """
    from dbeta_lib.evaluation.encoders import to_training_device
    from dbeta_lib.files import read_json
    from dbeta_lib.model import DBeta

    official = None if config is None else read_json(config)
    if official is not None and not isinstance(official, dict):
        raise DBetaError(f"{config} is no table of settings; give the official JSON")
    try:
        model = DBeta.from_released(path, official)
    except DBetaError as error:
        told = str(error) if str(path) in str(error) else f"{path}: {error}"
        raise type(error)(told) from error
    if not model.leads:
        raise UsageError(f"{config}: a network of other than 12 channels cannot read a store")
    if texts:
        _give_tokenizer(model, tokenizer)
    return to_training_device(model)


def _give_tokenizer(model, folder: Path | None) -> None:
    """Set the tokenizer, or look it up, before anything takes long."""
    try:
        model.tokenizer = folder or model.tokenizer
    except UsageError:  # of another text encoder: it says so itself
        raise
    except DBetaError as error:
        lost = f"{folder} holds no tokenizer that can be read"
        if folder is None:
            lost = "neither this disk nor the hub has the tokenizer of the released model"
        raise DBetaError(
            f"{lost}; give the folder of the one that it was trained with (google/flan-t5-base): "
            "--tokenizer DIR"
        ) from error


def _prepared(name: str, folder: Path, out: Path, model):
    """The data set as a store at the model's rate below `out`. DBetaError without its leads."""
    from dbeta_lib.data import ensure_store
    from dbeta_lib.leads import LEADS

    hz = model.sampling_rate
    store = ensure_store(name, folder, out / "stores" / f"{name}-{hz}hz", sampling_rate=hz)
    there = dict(zip(LEADS, store.lead_mask().any(axis=0)))
    if absent := [lead for lead in model.leads if not there[lead]]:
        raise DBetaError(
            f"{folder} has no recording with {', '.join(absent)}, which the released model reads; "
            "give a data set of twelve leads"
        )
    return store


def _seen(model: Path, store, probed: bool = False):
    """Provenance of a model folder, as far as the run beside it tells.

    A run keeps names and fingerprints of its stores, not their records: of another store it is not
    known whether its patients are these. `probed`: a probe is fitted on the training rows.
    """
    from dbeta_lib import box
    from dbeta_lib.evaluation.records import provenance
    from dbeta_lib.evaluation.results import Provenance
    from dbeta_lib.training.settings import Summary

    train, packed = store.rows("train"), model.resolve().parent
    if box.is_there(packed):  # it keeps which records were read
        seen = box.pretrained_on(packed)
        return provenance(store, store.rows("test"), seen, train if probed else None)
    summary = model.resolve().parent / "summary.json"
    if not summary.is_file():
        return Provenance.unknown("no summary.json beside the model: data not known")
    read = Summary.open(summary).identity.get("stores", [["another", ""]])
    others = [name for name, fingerprint in read if fingerprint != store.fingerprint]
    if others:
        told = f"pre-training read {', '.join(others)} too: compare the stores' patients"
        if all(fingerprint for _, fingerprint in read):
            names = tuple(f"{name} {fingerprint[:12]}" for name, fingerprint in read)
            return Provenance(names, None, None, None, None, told)
        return Provenance.unknown(told, Summary.open(summary).identity["store"])
    return provenance(store, store.rows("test"), [(store, train)], train if probed else None)
