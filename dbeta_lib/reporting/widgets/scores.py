"""Scores of one ECG for classes that are described in words, each text encoded once."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from dbeta_lib.data.store import SignalStore
from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation import prompts
from dbeta_lib.evaluation.encoders import device_of, evaluating, to_encoder_input
from dbeta_lib.evaluation.zero_shot import similarities_to, text_vectors
from dbeta_lib.reporting.widgets.records import Labels, leads_of

Prompts = Mapping[str, Sequence[str]]


class ClassScores:
    """`of(features)` -> the mean similarity with each class's texts, as zero-shot has it.

    prompts: class -> texts. Texts that were encoded before are not encoded again.
    """

    def __init__(self, model, prompts: Prompts):
        self.model = model
        self._vectors: dict[str, np.ndarray] = {}
        self.ask(prompts)

    def ask(self, prompts: Prompts) -> None:
        """Other classes or texts. Raises UsageError for none."""
        if not prompts:
            raise UsageError("no class is described; write lines such as 'name: its description'")
        self.prompts = {name: tuple(its) for name, its in prompts.items()}
        new = [t for its in self.prompts.values() for t in its if t not in self._vectors]
        if new:
            self._vectors |= dict(zip(new, text_vectors(self.model, new)))

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.prompts)

    def of(self, features: np.ndarray) -> np.ndarray:
        """float64 `[n, K]` of ECG features `[n, D]`."""
        texts = [text for its in self.prompts.values() for text in its]
        found = similarities_to(
            self.model, features, np.stack([self._vectors[text] for text in texts])
        )
        ends = np.cumsum([len(its) for its in self.prompts.values()])[:-1]
        return np.stack([part.mean(axis=1) for part in np.split(found, ends, axis=1)], axis=1)


def features_of(model, store: SignalStore, row: int, leads: np.ndarray | None = None) -> np.ndarray:
    """float32 `[1, D]` of one row; `leads` bool `[12]` are those that may be seen."""
    mask = leads_of(store, row)
    if leads is not None:
        mask = mask & leads
    ecg, mask = to_encoder_input(store.ecg([row]), mask[None], store.sampling_rate, model)
    with evaluating(model), torch.inference_mode():
        device = device_of(model)
        return model.encode_ecg(ecg.to(device), lead_mask=mask.to(device)).float().cpu().numpy()


def default_prompts(store: SignalStore) -> dict[str, tuple[str, ...]]:
    """The kit's own texts, all of each class, for the store's chief task.

    PTB-XL's in both languages of its reports. A store whose classes the kit does not describe, as
    one of your own recordings, is asked for PTB-XL's five superclasses.
    """
    name, task = store.meta["name"], chief_task(store)
    if task not in prompts.load()["prompts"].get(name, {}):
        name, task = "ptb-xl", "super"
    return prompts.select(name, task, languages=("de", "en") if name == "ptb-xl" else ("en",))


def chief_task(store: SignalStore) -> str:
    """The label task that a widget shows first: the first one described, else any; "" = none."""
    there = store.tasks()
    described = prompts.load()["prompts"].get(store.meta["name"], {})
    return next((task for task in described if task in there), next(iter(there), ""))


def truth_of(labels: Labels, row: int) -> set[str]:
    """All classes of all tasks that a row is labelled with."""
    return {name for its in labels.of(row).values() for name in its}


def to_lines(prompts: Prompts) -> str:
    """Classes and texts as lines to be edited: "class: text", a line for each text."""
    return "\n".join(f"{name}: {text}" for name, its in prompts.items() for text in its)


def from_lines(lines: str) -> dict[str, tuple[str, ...]]:
    """The inverse of `to_lines`; a line without a colon is class and text in one.

    >>> from_lines("AF: atrial fibrillation\\npaced rhythm")
    {'AF': ('atrial fibrillation',), 'paced rhythm': ('paced rhythm',)}

    Raises UsageError for a class without text, or no line at all.
    """
    found: dict[str, list[str]] = {}
    for line in filter(str.strip, lines.splitlines()):
        name, _, text = (part.strip() for part in line.partition(":"))
        if not name or (":" in line and not text):
            raise UsageError(f"the line '{line.strip()}' needs a class and a text: 'class: text'")
        found.setdefault(name, []).append(text or name)
    if not found:
        raise UsageError("no class is described; write lines such as 'name: its description'")
    return {name: tuple(its) for name, its in found.items()}
