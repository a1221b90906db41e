"""Running a sweep: each run trained, measured and written whole; what is finished is not repeated.

A run is stopped by SIGTERM with a checkpoint and goes on from there. One that fails is named, its
traceback kept in `failed.txt`, and the others go on; one whose text encoder is nowhere at hand is
skipped, the reason kept in `skipped.txt`.
"""

import shutil
import time
import traceback
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import nn

from dbeta_lib.errors import DBetaError, EncoderAbsent, Stopped
from dbeta_lib.evaluation.results import versions
from dbeta_lib.files import atomic_write, read_json, write_json
from dbeta_lib.sweeps.evaluate import Measured, evaluate, evaluate_text_only
from dbeta_lib.sweeps.finished import FORMAT, PAIRS, RESULTS, RUN, SCORES, save_scores
from dbeta_lib.sweeps.identity import identity_of
from dbeta_lib.sweeps.memory import PeakMemory
from dbeta_lib.sweeps.spec import SUPERVISED, TEXT_ONLY, Run
from dbeta_lib.sweeps.supervised import learn_from_labels
from dbeta_lib.sweeps.texts import Texts
from dbeta_lib.sweeps.train import Trained, build, train
from dbeta_lib.sweeps.twins import adopt, twin_of
from dbeta_lib.training.settings import first_difference
from dbeta_lib.training.termination import Termination

TRAINING, FAILED, SKIPPED = "training", "failed.txt", "skipped.txt"


def run_one(
    run: Run,
    store: Any,
    out: Path | str,
    *,
    say: Callable[[str], None] = print,
    progress: bool = False,
) -> dict[str, Any]:
    """Train and measure one run below `out`; a finished one of the same identity is left alone.

    Where another row or sweep below `out` has such a one, it is copied.
    Returns the facts of its `run.json`. Raises DBetaError as `training.pretrain` and the
    evaluations do, EncoderAbsent where its text encoder is nowhere, Stopped after SIGTERM.
    """
    folder, identity = run.folder(out), identity_of(run, store)
    if not (why := unfinished(folder, identity)):
        return read_json(folder / RUN)
    if (folder / RUN).exists():
        say(f"{run.sweep}, {run.name}, seed {run.seed}: {why}; it is run again")
    twin = None if run.profile.keep_models else twin_of(run, identity, out)
    started, memory = time.perf_counter(), PeakMemory()
    is_built = twin is None and run.model not in (SUPERVISED, TEXT_ONLY)
    model = build(run, store) if is_built else None
    for name in (RUN, FAILED, SKIPPED):  # not before: without its text encoder all stays as it is
        (folder / name).unlink(missing_ok=True)
    if twin:
        shutil.rmtree(folder / TRAINING, ignore_errors=True)
        return adopt(run, twin, _description(run, store), folder)
    trained, measured = _outcome(run, store, folder, say, progress, model)
    facts = {
        **_description(run, store), **_costs(trained, memory), "text_encoder": _text(run, trained),
        "wall_seconds": round(time.perf_counter() - started, 2),
        **measured.matching, "identity": identity,
    }  # fmt: skip
    _write(folder, measured, facts, trained.texts)
    _clear(folder, run.profile.keep_models)
    return facts


def run_all(
    runs: Iterable[Run],
    store: Any,
    out: Path | str,
    *,
    say: Callable[[str], None] = print,
    progress: bool = False,
) -> list[str]:
    """All runs, one after the other; returns a sentence for each that failed.

    store: a signal store, or a function of the sampling rate in Hz that gives one, where rows work
    at several rates. Raises Stopped after SIGTERM; the same call goes on.
    """
    failures, runs = [], list(runs)
    with Termination() as asked:
        for number, run in enumerate(runs, start=1):
            if asked.stop:
                raise Stopped(
                    f"stopped by SIGTERM before run {number} of {len(runs)}; go on with it"
                )
            sentence = _told(run, store, out, say, progress)
            say(f"[{number}/{len(runs)}] {run.sweep}, {run.name}, seed {run.seed}: {sentence}")
            if sentence.startswith("failed"):
                failures.append(f"{run.name}, seed {run.seed}: {sentence}")
    return failures


def unfinished(folder: Path, identity: dict[str, Any]) -> str:
    """Why a run must be trained; "" where its folder is whole and of this identity."""
    try:
        found = read_json(folder / RUN) if (folder / RUN).exists() else None
    except DBetaError:
        return "its run.json is damaged"
    if found is None:
        return "it was not run yet"
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        return "its run.json is of another version"
    before = found.get("identity", {})
    if "store" not in identity:  # nothing to compare the data with
        before = {name: value for name, value in before.items() if name != "store"}
    if difference := first_difference(before, identity):
        return f"before, {difference}"
    if not (folder / SCORES).is_file() or not any((folder / RESULTS).glob("*.json")):
        return "its scores or results are gone"
    return ""


def _told(run: Run, store: Any, out: Path | str, say, progress: bool) -> str:
    """Run it, in a sentence; whatever goes wrong with one run must not end the others."""
    folder = run.folder(out)
    try:
        at_rate = store(run.sampling_rate) if callable(store) else store
        before = (folder / RUN).stat().st_mtime_ns if (folder / RUN).exists() else 0
        facts = run_one(run, at_rate, out, say=_quiet(say), progress=progress)
    except Stopped:
        raise
    except EncoderAbsent as error:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SKIPPED).write_text(f"{error}\n", encoding="utf-8")
        return f"skipped: {error}"
    except Exception as error:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FAILED).write_text(traceback.format_exc(), encoding="utf-8")
        kind = "" if isinstance(error, DBetaError) else f"{type(error).__name__}: "
        return f"failed: {kind}{error}"
    if (folder / RUN).stat().st_mtime_ns == before:
        return "finished before"
    if "copied_from" in facts:
        return f"the same as {facts['copied_from']}, copied"
    return f"finished in {facts['wall_seconds']:.0f} s"


def _quiet(say: Callable[[str], None]) -> Callable[[str], None]:
    """Of a training's sentences only those on what is not as a reader expects."""
    return lambda sentence: say(sentence) if "again" in sentence or "resumed" in sentence else None


def _outcome(
    run: Run, store: Any, folder: Path, say, progress: bool, model: nn.Module | None
) -> tuple[Trained, Measured]:
    if run.model == SUPERVISED:
        return learn_from_labels(run, store, progress)
    if run.model == TEXT_ONLY:
        return Trained(None, 0), evaluate_text_only(run, store)
    trained = train(run, store, folder / TRAINING, say, progress, model)
    return trained, evaluate(run, trained.encoder, store)


def _description(run: Run, store: Any) -> dict[str, Any]:
    return {
        "format": FORMAT, "sweep": run.sweep, "name": run.name, "group": run.group,
        "order": run.order, "seed": run.seed, "model": run.model, "overrides": run.overrides,
        "settings": run.settings, "model_settings": run.model_settings, "note": run.note,
        "paper": run.paper,
        "switches": run.config.switches, "profile": run.profile_name, "task": run.profile.task,
        "data": store.meta["name"], "store_fingerprint": store.fingerprint,
        "batch_size": run.training.batch_size, "versions": versions(),
        "date": datetime.now(UTC).date().isoformat(),
    }  # fmt: skip


def _costs(trained: Trained, memory: PeakMemory) -> dict[str, Any]:
    return {
        "steps": trained.steps, "train_seconds": round(trained.seconds, 2),
        "records_per_s": trained.records_per_s, "parameters": trained.parameters,
        "peak_memory_mb": round(memory.read() / 2**20, 1), "peak_memory_of": memory.of,
        "losses": trained.losses,
    }  # fmt: skip


def _text(run: Run, trained: Trained) -> dict[str, Any] | None:
    """What is told of the text encoder, and where its weights are from: "" = drawn here."""
    if trained.texts is None:
        return None
    return {"name": run.config.text.text_model, "from": run.text_model, **trained.texts.facts}


def _write(folder: Path, measured: Measured, facts: dict[str, Any], texts: Texts | None) -> None:
    shutil.rmtree(folder / RESULTS, ignore_errors=True)
    for result in measured.results:
        result.save(folder / RESULTS)
    save_scores(folder / SCORES, measured.scores)
    (folder / PAIRS).unlink(missing_ok=True)
    if texts is not None:
        with atomic_write(folder / PAIRS) as temporary:
            texts.pairs.to_csv(temporary, index=False)
    curves = folder / TRAINING / "curves.csv"
    if curves.is_file():
        shutil.copyfile(curves, folder / "curves.csv")
    write_json(folder / RUN, facts)


def _clear(folder: Path, keep_models: bool) -> None:
    """Remove checkpoints, and the model unless it is to be kept."""
    training = folder / TRAINING
    for path in training.iterdir() if keep_models and training.is_dir() else ():
        if path.name == "checkpoints":
            shutil.rmtree(path)
    if not keep_models:
        shutil.rmtree(training, ignore_errors=True)
