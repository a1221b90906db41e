"""Class descriptions for zero-shot: the kit's own (`prompts.json`), or a user's file.

Each class has a name, a description of two sentences with the ECG criteria, and three paraphrases
worded as reports word it, with its sources; PTB-XL's in English and German, since most of its
reports are German. A style says which of these are asked: `name`, `description`, or `ensemble`
(all of them). Results carry the hash of the very texts that were asked.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dbeta_lib.errors import DBetaError, UsageError, nearest
from dbeta_lib.files import read_json, sha256_bytes

STYLES = ("name", "description", "ensemble")
PARAPHRASES = 3


def load(path: Path | str | None = None) -> dict:
    """The whole prompts file, checked; the kit's own by default.

    Raises DBetaError naming the file and the class whose entry is incomplete.
    """
    path = own_file() if path is None else Path(path)
    content = read_json(path)
    for part in ("sources", "prompts"):
        if not isinstance(content, Mapping) or not isinstance(content.get(part), Mapping):
            raise DBetaError(f"{path} has no table '{part}'; see the kit's own prompts.json")
    for dataset, tasks in content["prompts"].items():
        for task, classes in tasks.items():
            for name, entry in classes.items():
                problem = _problem(entry, content["sources"])
                if problem:
                    raise DBetaError(f"{path}: {dataset}/{task}/{name} {problem}")
    return content


def own_file() -> Path:
    """Where the kit's own descriptions stand."""
    return Path(__file__).with_name("prompts.json")


def _problem(entry: object, sources: Mapping[str, str]) -> str:
    """What is wrong with one class's entry, in words; empty when nothing is."""
    if not isinstance(entry, Mapping):
        return "is no table"
    given = entry.get("source")
    if not isinstance(given, list) or not given:
        return "has no source"
    unknown = [key for key in given if key not in sources]
    if unknown:
        return f"names the source '{unknown[0]}', which is not listed{nearest(unknown[0], sources)}"
    languages = [key for key in entry if key != "source"]
    if not languages:
        return "has no language"
    for language in languages:
        part = entry[language]
        paraphrases = part.get("paraphrases") if isinstance(part, Mapping) else None
        if not isinstance(paraphrases, list) or len(paraphrases) != PARAPHRASES:
            return f"needs {PARAPHRASES} paraphrases in '{language}'"
        texts = [part.get("name"), part.get("description"), *paraphrases]
        if not all(isinstance(text, str) and text.strip() for text in texts):
            return f"has an empty text in '{language}'"
    return ""


def select(
    dataset: str,
    task: str,
    style: str = "ensemble",
    languages: Sequence[str] = ("en",),
    path: Path | str | None = None,
) -> dict[str, tuple[str, ...]]:
    """Texts by class name, to be given to `zero_shot`.

    >>> select("ptb-xl", "super", "name")["MI"]
    ('myocardial infarction',)

    Raises UsageError for an unknown dataset, task, style or language, with the nearest known one.
    """
    tasks = _known(load(path)["prompts"], dataset, "dataset with class descriptions")
    classes = _known(tasks, task, f"task of {dataset} with class descriptions")
    if style not in STYLES:
        raise UsageError(f"'{style}' is no style of prompts{nearest(style, STYLES)}")
    if not languages:
        raise UsageError("no language of prompts is named; give 'en', 'de' or both")
    return {
        name: tuple(text for language in languages for text in _texts(entry, name, style, language))
        for name, entry in classes.items()
    }


def _known(table: Mapping[str, Mapping], key: str, what: str) -> Mapping:
    if key not in table:
        raise UsageError(f"'{key}' is no {what}{nearest(key, table)}")
    return table[key]


def _texts(entry: Mapping, name: str, style: str, language: str) -> list[str]:
    if language not in entry or language == "source":
        there = [key for key in entry if key != "source"]
        raise UsageError(
            f"class '{name}' has no description in '{language}'; there is {', '.join(there)}"
        )
    part = entry[language]
    if style == "ensemble":
        return [part["name"], part["description"], *part["paraphrases"]]
    return [part[style]]


def read_own(path: Path | str) -> dict[str, tuple[str, ...]]:
    """A user's file: JSON of class name -> text, or -> list of texts.

    Raises DBetaError, naming the file and the class, for broken JSON or an entry without text.
    """
    content = read_json(path)
    if not isinstance(content, Mapping) or not content:
        raise DBetaError(f"{path} must be a JSON table of class name and text (or list of texts)")
    out = {}
    for name, given in content.items():
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not texts:
            raise DBetaError(f"{path}: class '{name}' has no text")
        if not all(isinstance(text, str) and text.strip() for text in texts):
            raise DBetaError(f"{path}: class '{name}' has an empty text")
        out[str(name)] = tuple(texts)
    return out


def missing(prompts: Mapping[str, Sequence[str]], classes: Iterable[str]) -> list[str]:
    """Classes without a text."""
    return [name for name in classes if not prompts.get(name)]


def digest(prompts: Mapping[str, Sequence[str]]) -> str:
    """Eight hexadecimal digits that change with any text of any class."""
    ordered = {name: list(prompts[name]) for name in sorted(prompts)}
    return sha256_bytes(json.dumps(ordered, ensure_ascii=False).encode())[:8]
