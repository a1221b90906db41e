"""What does a text encoder take for the same, and what for the opposite?

`text_pairs.json` has findings, each with texts that mean the same (abbreviations, other wordings),
that mean the opposite (denied; the other side, direction, degree or origin) and that are about
something else. An encoder places texts; the cosine of two says how near they are:

    pair AUC = mean over synonym pairs i and other pairs j of [c_i > c_j] + [c_i = c_j] / 2

the share of (synonym, other) that the cosines order rightly: 0.5 is chance, below it the others are
nearer than the synonyms. Asked against unrelated pairs it is whether the encoder knows that LBBB is
a left bundle branch block; against opposite pairs, whether meaning counts for more than spelling,
since "no ST elevation" shares all its words with "ST elevation" and "raised ST segments" one.
Findings are resampled for the interval, all pairs of one together.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dbeta_lib.data.reports import normalise_report
from dbeta_lib.embedders import HubEmbedder
from dbeta_lib.errors import DBetaError, UsageError, nearest
from dbeta_lib.evaluation.metrics import Interval, bootstrap, paired_bootstrap
from dbeta_lib.inference import inference_mode

PATH = Path(__file__).with_name("text_pairs.json")
KINDS = {  # list in the file -> kind of its pairs, what the two texts are to each other
    "abbreviations": ("abbreviation", "synonym"),
    "wordings": ("wording", "synonym"),
    "negations": ("negation", "opposite"),
    "contraries": ("contrary", "opposite"),
    "unrelated": ("unrelated", "unrelated"),
}
AGAINST = ("unrelated", "opposite")
COLUMNS = ("finding", "language", "kind", "relation", "text", "other")

Embed = Callable[[list[str]], Any]  # texts -> `[n, d]`, an array or a tensor


def load_pairs(path: Path | str = PATH, language: str = "") -> pd.DataFrame:
    """A row per pair, columns `COLUMNS`; of one language ("en", "de") where it is given.

    finding numbers the findings; text and other are the two texts, as a reader writes them. Raises
    DBetaError where the file is absent or damaged, UsageError for a language that it does not have.
    """
    try:
        findings = json.loads(Path(path).read_text(encoding="utf-8"))["findings"]
        rows = [
            (number, one["language"], kind, relation, one["finding"], other)
            for number, one in enumerate(findings)
            for name, (kind, relation) in KINDS.items()
            for other in one[name]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DBetaError(f"{path} is no file of text pairs ({error}); install it again") from error
    pairs = pd.DataFrame(rows, columns=list(COLUMNS))
    if not language:
        return pairs
    if language not in (known := set(pairs["language"])):
        raise UsageError(f"{path} has no language '{language}'{nearest(language, known)}")
    return pairs[pairs["language"] == language].reset_index(drop=True)


def pair_cosines(pairs: pd.DataFrame, embed: Embed) -> np.ndarray:
    """Cosine of each pair, float64 `[n]` in -1..1; 0 where a text has the zero vector.

    embed: called once with all distinct texts, folded and lower-cased as reports are. Raises
    UsageError where it gives another number of rows, DBetaError where a value is not finite.
    """
    columns = [pairs[name].map(normalise_report).tolist() for name in ("text", "other")]
    texts = sorted({*columns[0], *columns[1]})
    rows = embed(texts)
    rows = rows.detach().cpu().float().numpy() if hasattr(rows, "detach") else np.asarray(rows)
    if rows.ndim != 2 or len(rows) != len(texts):
        raise UsageError(f"the encoder made {rows.shape} of {len(texts)} texts; give [n, d]")
    if not np.isfinite(rows).all():
        raise DBetaError("the encoder made NaN or infinity of a text; run it in float32 or bf16")
    rows = rows.astype(np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows / np.where(length > 0, length, 1)
    place = {text: number for number, text in enumerate(texts)}
    first, second = ([place[text] for text in column] for column in columns)
    return np.einsum("nd,nd->n", rows[first], rows[second])


def pair_auc(
    pairs: pd.DataFrame,
    cosines: Sequence[float],
    against: str = "unrelated",
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """The pair AUC of synonyms above `against` ("unrelated" or "opposite"), over findings.

    pairs as `load_pairs` gives them, or a part of it; cosines `[n]` in its order. The interval's
    `patients` is the number of findings. Raises UsageError for another question or length.
    """
    is_synonym, (found,), findings = _asked(pairs, [cosines], against)
    return bootstrap(is_synonym, found, findings, resamples, seed)


def pair_gain(
    pairs: pd.DataFrame,
    one: Sequence[float],
    other: Sequence[float],
    against: str = "unrelated",
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Pair AUC of the encoder with cosines `one` minus that of `other`, on the same findings."""
    is_synonym, found, findings = _asked(pairs, [one, other], against)
    return paired_bootstrap(is_synonym, *found, findings, resamples, seed)


def _asked(pairs: pd.DataFrame, cosines: Sequence[Sequence[float]], against: str):
    """Of the rows that are compared: is it a synonym pair, each encoder's cosines, the finding."""
    if against not in AGAINST:
        raise UsageError(f"synonyms are asked against{nearest(against, AGAINST)}")
    for each in cosines:
        if len(each) != len(pairs):
            raise UsageError(f"{len(each)} cosines are given for {len(pairs)} pairs")
    kept = pairs["relation"].isin(["synonym", against]).to_numpy()
    is_synonym = (pairs["relation"] == "synonym").to_numpy()[kept]
    found = [np.asarray(each, dtype=np.float64)[kept] for each in cosines]
    return is_synonym, found, pairs["finding"][kept]


def pair_table(
    pairs: pd.DataFrame, cosines: dict[str, Sequence[float]], resamples: int = 1000
) -> pd.DataFrame:
    """Both questions of several encoders (name -> cosines), in all languages and in each.

    Columns: encoder, language ("all", "en", "de"), against, value, low, high, n (pairs), findings.
    """
    languages = {"all": np.ones(len(pairs), dtype=bool)}
    languages |= {name: (pairs["language"] == name).to_numpy() for name in pairs["language"]}
    rows = []
    for encoder, values in cosines.items():
        values = np.asarray(values)
        for language, part in languages.items():
            for against in AGAINST:
                found = pair_auc(pairs[part], values[part], against, resamples)
                rows.append((encoder, language, against, found.value, found.low, found.high,
                             found.rows, found.patients))  # fmt: skip
    head = ["encoder", "language", "against", "value", "low", "high", "n", "findings"]
    return pd.DataFrame(rows, columns=head)


def states_of(model: Any) -> Embed:
    """How the text encoder itself places texts: the mean of its hidden states, before any head.

    model: a DBeta or a comparison model that reads texts; read in evaluation mode.
    """
    return partial(_states, model)


@inference_mode
def _states(model: Any, texts: list[str]) -> np.ndarray:
    return HubEmbedder.of(model.tokenizer, model.text_encoder.model, progress=False).embed(texts)
