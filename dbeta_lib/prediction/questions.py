"""What a model is asked: the classes of a task with their texts, or a user's own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dbeta_lib.errors import UsageError, nearest
from dbeta_lib.evaluation import prompts as written

STYLE, LANGUAGES = "ensemble", ("en",)  # where no result tells how a task is best asked
OWN = "your own prompts"


@dataclass(frozen=True)
class Questions:
    """texts: by class. wording: as result records say it ("ensemble de+en").

    names: what a class is called in words. dataset and task are "" for a user's own.
    """

    texts: Mapping[str, tuple[str, ...]]
    wording: str
    names: Mapping[str, str] = field(default_factory=dict)
    task: str = ""
    dataset: str = ""

    @property
    def digest(self) -> str:
        """Changes with any text: a result is about the very texts that were asked."""
        return written.digest(self.texts)

    def worded(self, style: str, languages: Sequence[str]) -> "Questions":
        """The same task in another style and in these languages."""
        return of_task(self.dataset, self.task, style, languages)


def ask(task: str, prompts: Mapping[str, Sequence[str]] | Path | str | None = None) -> Questions:
    """The questions of a task, or a user's own. Raises UsageError, DBetaError as they are read."""
    if prompts is None:
        return of_task(_dataset_of(task), task, STYLE, LANGUAGES)
    if isinstance(prompts, Path | str):
        return Questions(written.read_own(prompts), f"{OWN}, {Path(prompts).name}")
    texts = {name: (its,) if isinstance(its, str) else tuple(its) for name, its in prompts.items()}
    empty = [name for name, its in texts.items() if not its or not all(t.strip() for t in its)]
    if empty or not texts:
        raise UsageError(f"class '{empty[0]}' has no text" if empty else "prompts name no class")
    return Questions(texts, OWN)


def of_task(dataset: str, task: str, style: str, languages: Sequence[str]) -> Questions:
    """The kit's own descriptions of a task."""
    texts = written.select(dataset, task, style, languages)
    names = {name: its[0] for name, its in written.select(dataset, task, "name", ["en"]).items()}
    return Questions(texts, f"{style} {'+'.join(languages)}", names, task, dataset)


def _dataset_of(task: str) -> str:
    """The data set whose task this is. Raises UsageError for one that the kit does not describe."""
    known = {name: dataset for dataset, tasks in written.load()["prompts"].items()
             for name in tasks}  # fmt: skip
    if task not in known:
        raise UsageError(f"'{task}' is no task with class descriptions{nearest(task, known)}")
    return known[task]
