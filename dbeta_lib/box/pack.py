"""Pack a finished run as a box: the model with its records, card, data statement and hashes.

    dbeta report runs/ptbxl/results --box dbeta_lib/box

Every number in the card comes from a file in the box, so that a test can hold the two together.
The run must have trained on one store, still beside it, whose data set the kit can download: the
card names licence and citation from there.
"""

import inspect
import json
import shlex
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dbeta_lib import box
from dbeta_lib.checkpoint_files import CONFIG, TOKENIZER, WEIGHTS
from dbeta_lib.code_commit import running_commit
from dbeta_lib.config import DBetaConfig
from dbeta_lib.data import loader
from dbeta_lib.data.store import SignalStore
from dbeta_lib.download.catalogue import CATALOGUE
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.evaluation.encoders import weights_hash
from dbeta_lib.evaluation.features import extract
from dbeta_lib.evaluation.prompts import load as load_prompts
from dbeta_lib.evaluation.results import load, versions
from dbeta_lib.evaluation.zero_shot import class_texts, score_classes
from dbeta_lib.files import atomic_write, sha256_file, write_json
from dbeta_lib.model import DBeta
from dbeta_lib.prediction.known import REFERENCE, Reference, known
from dbeta_lib.prediction.questions import ask
from dbeta_lib.presets import PRESETS
from dbeta_lib.reporting import model_card
from dbeta_lib.training.settings import PretrainConfig, Summary
from dbeta_lib.workspace import size_of

CONTROLS = ("untrained model", "random encoder", "hand-made features", "text only")
_BY_OPTION = ("steps", "batch_size", "lr", "seed")  # of `dbeta pretrain`, in this order
_MADE = ("model", "results", box.SUMMARY, REFERENCE, box.SEEN, box.CARD, box.STATEMENT)


def pack(run: Path, dest: Path) -> Path:
    """Make `dest` a box of the run `run` (`pretraining/`, `results/`, `stores/`); its manifest.

    What a box holds there already is replaced once the new one is whole; other files stay.
    Raises UsageError for a folder that is no finished run on one downloadable data set, DBetaError
    where its records do not fit its model.
    """
    summary, store = _run_of(run)
    model = DBeta.from_pretrained(run / "pretraining" / "model")
    dest.mkdir(parents=True, exist_ok=True)
    partial = dest / ".box.partial"
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "model").mkdir(parents=True)
    try:
        for name in (CONFIG, WEIGHTS):
            shutil.copyfile(run / "pretraining" / "model" / name, partial / "model" / name)
        shutil.copytree(run / "pretraining" / "model" / TOKENIZER, partial / "model" / TOKENIZER)
        written = json.loads((run / "pretraining" / box.SUMMARY).read_text(encoding="utf-8"))
        write_json(partial / box.SUMMARY, written | {"model": "model"})
        _keep_results(run / "results", partial / "results", store, weights_hash(model))
        write_json(partial / REFERENCE, _references(model, partial / "model", store))
        _keep_seen(store, partial / box.SEEN)
        # In the order in which it will be read again, so that the texts can be made again too.
        told = json.loads(json.dumps(_told(model, summary, store), sort_keys=True))
        _write_texts(told, partial)
        files = sorted(path for path in partial.rglob("*") if path.is_file())
        told["files"] = {p.relative_to(partial).as_posix(): sha256_file(p) for p in files}
        return _put(partial, dest, told)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def rewrite(folder: Path) -> None:
    """Write a box's card and data statement again, after their wording in the code was changed."""
    told = box.check(folder)
    _write_texts(told, folder)
    texts = {name: sha256_file(folder / name) for name in (box.CARD, box.STATEMENT)}
    write_json(folder / box.MANIFEST, told | {"files": told["files"] | texts})


def _write_texts(told: dict[str, Any], folder: Path) -> None:
    for name, write in ((box.CARD, model_card.card), (box.STATEMENT, model_card.statement)):
        text = write(told, folder)
        with atomic_write(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _put(partial: Path, dest: Path, told: dict[str, Any]) -> Path:
    """Replace the box's files; its manifest goes first and comes last, so none looks whole."""
    (dest / box.MANIFEST).unlink(missing_ok=True)
    for name in _MADE:
        old = dest / name
        shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
        (partial / name).rename(old)
    write_json(dest / box.MANIFEST, told)
    return dest / box.MANIFEST


def _run_of(run: Path) -> tuple[Summary, SignalStore]:
    """The run's summary and the store that it trained on."""
    if not (run / "pretraining" / box.SUMMARY).is_file():
        raise UsageError(
            f"{run} holds no finished run (pretraining/{box.SUMMARY}); run 03 to 05 first"
        )
    summary = Summary.open(run / "pretraining" / box.SUMMARY)
    stores = [p.parent for p in sorted(run.glob("stores/*/store.json"))]
    found = [s for s in map(SignalStore.open, stores) if s.fingerprint == summary.identity["store"]]
    if not found:
        raise UsageError(f"{run / 'stores'} lacks the store that the run trained on; prepare it")
    if found[0].meta["name"] not in CATALOGUE:
        raise UsageError(f"{found[0].meta['name']} is none of the published data sets: no licence")
    return summary, found[0]


def _keep_results(folder: Path, dest: Path, store: SignalStore, weights: str) -> None:
    """The records that the card needs: zero-shot and the probe at all labels, with controls."""
    dest.mkdir()
    own = 0
    for path in sorted(folder.glob("*.json")):
        result = load(path)
        is_asked = result.protocol == "zero-shot" or (
            result.protocol == "linear probe" and result.label_fraction == 1
        )
        is_ours = result.weights_hash == weights
        named = is_ours or result.encoder in CONTROLS
        if (result.metric, result.lead_subset) == ("macro_auc", "12") and is_asked and named:
            if result.store_fingerprint != store.fingerprint:
                raise DBetaError(f"{path} is of another store; run notebooks 04 and 05 again")
            shutil.copyfile(path, dest / path.name)
            own += is_ours and result.protocol == "zero-shot"
    if not own:
        raise DBetaError(f"{folder} holds no zero-shot result of this model; run notebook 04")


def _references(model: DBeta, folder: Path, store: SignalStore) -> dict[str, Any]:
    """Quantiles of each class's scores over the test rows, for every task that was measured."""
    rows, found = store.rows("test"), {}
    features = extract(model, store, rows)
    for task in load_prompts()["prompts"].get(store.meta["name"], {}):
        about = known(folder, weights_hash(model), ask(task))
        if about.result:
            classes = tuple(about.questions.texts)
            scores = score_classes(model, features, class_texts(classes, about.questions.texts))
            who = f"{len(rows):,} test ECGs of {store.meta['name']}"
            levels = Reference.of(who, classes, scores).quantiles
            quantiles = {name: [round(float(v), 4) for v in its] for name, its in levels.items()}
            found[task] = {"digest": about.questions.digest, "who": who, "quantiles": quantiles}
    return found


def _keep_seen(store: SignalStore, path: Path) -> None:
    columns = ["record_id", "patient_id", "report_id", "signal_hash", "fold"]
    read = store.records.iloc[store.rows("train")][columns].reset_index(drop=True)
    with atomic_write(path) as temporary:
        read.to_parquet(temporary, index=False)


def _told(model: DBeta, summary: Summary, store: SignalStore) -> dict[str, Any]:
    """What `box.json` says, but for the files' hashes."""
    records = store.records.iloc[store.rows("train")]
    size, name = size_of(model.config), store.meta["name"]
    folds = sorted({int(f) for f in records["fold"].unique()} - {0})
    part = f"folds {folds[0]} to {folds[-1]}" if folds else "the training split"
    return {
        "format": 1,
        "sentence": f"D-BETA {size}, pre-trained on {name} ({part}: {len(records):,} ECGs with "
        f"their reports, {summary.steps:,} steps).",
        "packed": datetime.now(UTC).date().isoformat(),
        "commit": running_commit(),
        "versions": versions(),
        "commands": commands(summary.identity, store),
        "model": {
            "size": size, "switches": str(model.config.switches), "weights": weights_hash(model),
            "parameters": sum(p.numel() for p in model.parameters()),
            "features": model.config.fusion.fusion_width,
        },
        "data": {
            "name": name, "fingerprint": store.fingerprint, "part": part,
            "reports_from_labels": store.reports_from_labels,
            "sampling_rate": store.sampling_rate, "source": store.meta["source"],
            "options": store.meta["preparation"]["options"], "counts": store.meta["counts"],
            "training": model_card.described(records, store),
        },
    }  # fmt: skip


def commands(identity: dict[str, Any], store: SignalStore) -> list[str]:
    """The commands that make the same weights again, from what the run kept of itself."""
    config = DBetaConfig.from_dict(identity["config"])
    switches = str(config.switches)
    changed = {name: _changed(config, DBetaConfig.preset(name, switches)) for name in PRESETS}
    size = min(changed, key=lambda name: len(changed[name]))
    settings, plain = identity["settings"], PretrainConfig().identity()
    asked = ["dbeta", "pretrain", "STORE", "OUT", "--preset", size, "--switches", switches]
    for name in _BY_OPTION:
        asked += [f"--{name.replace('_', '-')}", f"{settings[name]:g}"]
    sets = {k: v for k, v in settings.items() if k not in (*_BY_OPTION, "precision")}
    sets = {k: v for k, v in sets.items() if _plain(v) != _plain(plain[k])}
    sets |= {"mem_first": settings["mem_first"]}  # where none is given, the command chooses one
    sets |= changed[size]
    return [_prepare(store), shlex.join(asked + _set(sets))]


def _prepare(store: SignalStore) -> str:
    """The command that made the store."""
    name, options = store.meta["name"], store.meta["preparation"]["options"]
    parameters = inspect.signature(loader(name).plan).parameters
    plain = {key: p.default for key, p in parameters.items()}
    plain |= {"keep_seconds": 10, "window": "first", "splits": ""}
    changed = {k: v for k, v in options.items() if k in plain and _plain(v) != _plain(plain[k])}
    changed.pop("sampling_rate", None)
    asked = ["dbeta", "prepare", name, "DATA", "STORE", "--hz", str(store.sampling_rate)]
    for key in ("window", "splits"):
        asked += [f"--{key}", str(changed.pop(key))] if key in changed else []
    return shlex.join(asked + _set(changed))


def _set(values: dict[str, Any]) -> list[str]:
    return [
        word
        for name, value in sorted(values.items())
        for word in ("--set", f"{name}={value if isinstance(value, str) else json.dumps(value)}")
    ]


def _plain(value: Any) -> str:
    return json.dumps(float(value) if isinstance(value, int | float) else value, sort_keys=True)


def _changed(config: DBetaConfig, preset: DBetaConfig) -> dict[str, Any]:
    """Fields of the model that are not the preset's."""
    ours, theirs = (dict(_fields(c.to_dict())) for c in (config, preset))
    return {k: v for k, v in ours.items() if _plain(v) != _plain(theirs.get(k))}


def _fields(parts: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    for part in parts.values():
        if isinstance(part, dict):
            yield from part.items()
