"""What does a model say of this ECG? One call for the command line, notebooks and widgets.

    prediction = predict("my-ecg.edf")
    print(prediction.text())

A file, or an array, is looked at as `ecg_doctor` does, cut and cleaned as for a store, embedded,
and scored for classes that are only described; where result files beside the model say how well it
tells a class on records kept aside, that stands beside the score. For research and teaching.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dbeta_lib.prediction.inputs import from_array, from_file, from_folder
from dbeta_lib.prediction.refusals import Unread
from dbeta_lib.prediction.result import Prediction
from dbeta_lib.prediction.words import NOTICE

__all__ = ["NOTICE", "Prediction", "Unread", "predict", "predict_folder"]
Prompts = Mapping[str, Sequence[str]] | Path | str


def predict(
    source: Path | str | np.ndarray,
    model: Any = None,
    *,
    task: str = "super",
    prompts: Prompts | None = None,
    neighbours: Any = None,
    sampling_rate: float | None = None,
    leads: Sequence[str] | None = None,
    units: str = "mV",
    name: str = "array",
) -> Prediction:
    """Features, zero-shot scores and, with a store, the nearest ECGs of one recording.

    source: a file in any format of `data.formats`, or an array `[leads, T]` or `[T, leads]`. model:
    the one in the box by default; a folder that `save_pretrained` wrote, or any model with
    `encode_ecg`, `encode_text` and `similarity`. task: classes that the kit describes ("super" of
    PTB-XL; all: `prompts.json`). prompts: your own, class -> texts, or a JSON file of that.
    neighbours: a signal store or its folder. sampling_rate (Hz), leads, units: of arrays, CSV and
    NumPy files; an array needs the rate. name: what an array is called.
    Raises UsageError for an unknown task or option, DBetaError naming the file for one that cannot
    be used.
    """
    options = {"sampling_rate": sampling_rate, "leads": leads, "units": units}
    is_array = isinstance(source, np.ndarray) or not isinstance(source, Path | str)
    given = from_array(source, **options, name=name) if is_array else from_file(source, **options)
    return _predictor(model, task, prompts, neighbours).predict([given])[0]


def predict_folder(
    folder: Path | str,
    model: Any = None,
    *,
    task: str = "super",
    prompts: Prompts | None = None,
    neighbours: Any = None,
    sampling_rate: float | None = None,
    leads: Sequence[str] | None = None,
    units: str = "mV",
    limit: int = 1000,
) -> Iterator[Prediction | Unread]:
    """The same of the first `limit` recordings below a folder, in the order of their names.

    What cannot be used comes as `Unread` with a sentence. Raises as `predict`, and UsageError for a
    folder without recordings.
    """
    files = from_folder(Path(folder), sampling_rate, leads, units, limit)
    return _predictor(model, task, prompts, neighbours).stream(files)


def _predictor(model: Any, task: str, prompts: Prompts | None, neighbours: Any):
    from dbeta_lib.prediction.questions import ask

    questions = ask(task, prompts)  # wrong use is told before anything is loaded
    from dbeta_lib.prediction.predictor import Predictor

    return Predictor(model, questions, neighbours)
