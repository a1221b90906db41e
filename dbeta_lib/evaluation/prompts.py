"""Class descriptions for zero-shot: the kit's own (`prompts.json`), a user's, or a published file.

Each class has a name, a description of two sentences with the ECG criteria, and three paraphrases
worded as reports word it, with its sources; PTB-XL's in English and German, since most of its
reports are German. A style says which of these are asked: `name`, `description`, or `ensemble`
(all of them). Results carry the hash of the very texts that were asked.

Classes of several datasets that mean one finding share its entry: in `prompts.json` they are its
name. Names alone do not tell: AF is fibrillation in CODE-test and CinC 2021, flutter in CSN.
"""

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dbeta_lib.errors import DBetaError, UsageError, nearest
from dbeta_lib.files import read_json, sha256_bytes

STYLES = ("name", "description", "ensemble")
PARAPHRASES = 3
MEND = "mend that place and save it as UTF-8, or take the kit's own descriptions"


def load(path: Path | str | None = None) -> dict:
    """The whole prompts file, checked; the kit's own by default.

    Below `prompts` stands dataset -> task -> class -> entry, also where the file names a finding or
    another task instead; entries are copies, yours to change.
    Raises DBetaError naming the file and the class whose entry is incomplete.
    """
    path = own_file() if path is None else Path(path)
    content = read_json(path, MEND)
    for part in ("sources", "prompts"):
        if not isinstance(content, Mapping) or not isinstance(content.get(part), Mapping):
            raise DBetaError(f"{path} has no table '{part}'; see the kit's own prompts.json")
    findings = _table(content.get("findings", {}), f"{path}: findings")
    prompts: dict[str, dict] = {}
    for dataset, tasks in content["prompts"].items():
        prompts[dataset] = {}
        for task, classes in _table(tasks, f"{path}: {dataset}").items():
            where = f"{path}: {dataset}/{task}"
            classes = _table(tasks.get(classes) if isinstance(classes, str) else classes, where)
            prompts[dataset][task] = {
                name: _entry(given, findings, content["sources"], f"{where}/{name}")
                for name, given in classes.items()
            }
    return {**content, "prompts": prompts}


def _table(value: object, where: str) -> Mapping:
    if not isinstance(value, Mapping):
        raise DBetaError(f"{where} is no table; see the kit's own prompts.json")
    return value


def _entry(given: object, findings: Mapping, sources: Mapping[str, str], where: str) -> dict:
    """A copy of one class's entry; a word stands for the finding of that name."""
    if isinstance(given, str):
        if given not in findings:
            close = nearest(given, findings)
            raise DBetaError(f"{where} names the finding '{given}', which is not listed{close}")
        given = findings[given]
    problem = _problem(given, sources)
    if problem:
        raise DBetaError(f"{where} {problem}")
    return copy.deepcopy(given)


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
    unknown = [str(key) for key in given if not isinstance(key, str) or key not in sources]
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
    content = read_json(path, MEND)
    if not isinstance(content, Mapping) or not content:
        raise DBetaError(f"{path} must be a JSON table of class name and text (or list of texts)")
    if isinstance(content.get("prompts"), Mapping):
        raise UsageError(f"{path} is a file like the kit's own; read it by select(..., path=...)")
    out = {}
    for name, given in content.items():
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not texts:
            raise DBetaError(f"{path}: class '{name}' has no text")
        if not all(isinstance(text, str) and text.strip() for text in texts):
            raise DBetaError(f"{path}: class '{name}' has an empty text")
        out[str(name)] = tuple(texts)
    return out


def read_file(
    path: Path | str, classes: Iterable[str], dataset: str = "", *, complete: bool = True
) -> dict[str, tuple[str, ...]]:
    """Texts of `classes` from a published prompt file as it is, or from a user's own.

    D-BETA's `context_llm.json` ("name. explanation") and MERL's `CKEPE_prompt.json` (comma lists)
    have one text per class, which both projects lower-case before they ask it; so it is here. A
    file with a list for any class is a user's, asked as it stands.
    A class goes by the names that `published_names` in `prompts.json` lists for its dataset, then
    by its own; neither case nor "_" counts (NST_ is NST). `dataset` may be left out where all
    datasets that have these classes read the file alike. With `complete` False the classes that
    the file lacks are left out: D-BETA's own has texts for part of most tasks.
    Raises DBetaError naming the file and all classes that it lacks, or as `read_own`; UsageError
    for an unknown dataset, or classes whose meaning hangs on it.
    """
    classes, given = list(classes), read_own(path)
    if all(len(texts) == 1 for texts in given.values()):
        given = {name: (texts[0].lower(),) for name, texts in given.items()}
    by_name: dict[str, tuple[str, ...]] = {}
    for name, texts in given.items():
        if by_name.setdefault(_folded(name), texts) != texts:
            raise DBetaError(f"{path} has two entries for class '{name}'; leave one of them")
    found = _agreed(classes, by_name, dataset, path)
    if (absent := missing(found, classes)) and complete:
        raise DBetaError(
            f"{path} has no text for {len(absent)} of {len(classes)} classes "
            f"({', '.join(absent)}); add them to a copy, or take the kit's own descriptions"
        )
    return {name: texts for name, texts in found.items() if texts}


def _agreed(
    classes: list[str], by_name: Mapping[str, tuple[str, ...]], dataset: str, path: Path | str
) -> dict[str, tuple[str, ...]]:
    """What `by_name` has for each class, as `dataset`, or every one with them, reads it."""
    content = load()
    known, names = content["prompts"], content["published_names"]
    if dataset:
        _known(known, dataset, "dataset with class descriptions")
    asked = [dataset] if dataset else _having(classes, known) or [""]
    readings = []
    for one in asked:
        listed = {name: [*names.get(one, {}).get(name, ()), name] for name in classes}
        texts = {
            name: next((by_name[_folded(n)] for n in there if _folded(n) in by_name), ())
            for name, there in listed.items()
        }
        readings.append(texts)
    if any(texts != readings[0] for texts in readings):
        raise UsageError(
            f"{path}: these classes mean other things in {', '.join(asked)}; name the dataset"
        )
    return readings[0]


def _having(classes: list[str], known: Mapping[str, Mapping]) -> list[str]:
    """The datasets with a task that has all of `classes`."""
    return [
        dataset
        for dataset, tasks in known.items()
        if any(set(classes) <= set(task) for task in tasks.values())
    ]


def _folded(name: str) -> str:
    return name.replace("_", "").casefold()


def missing(prompts: Mapping[str, Sequence[str]], classes: Iterable[str]) -> list[str]:
    """Classes without a text."""
    return [name for name in classes if not prompts.get(name)]


def digest(prompts: Mapping[str, Sequence[str]]) -> str:
    """Eight hexadecimal digits that change with any text of any class."""
    ordered = {name: list(prompts[name]) for name in sorted(prompts)}
    return sha256_bytes(json.dumps(ordered, ensure_ascii=False).encode())[:8]
