"""How much of anything that grows (seconds, operations) each part of a step takes, by direction.

A mark is set wherever one part of the network gives way to another: forward by hooks on modules,
backward by hooks on the nodes of autograd's graph, each of which is known by its sequence number to
belong to the module that made it. What grew between two marks belongs to the part of the first.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

# By the name of a model's module; of a module within another the inner one counts.
PARTS = {
    "ecg_encoder.stem": "stem", "ecg_encoder.positions": "positions", "ecg_encoder": "ECG encoder",
    "text_encoder": "text encoder", "ecg_projection": "projections",
    "text_projection": "projections", "ecg_pooler": "projections", "text_pooler": "projections",
    "fused_ecg_pooler": "projections", "fused_text_pooler": "projections", "fusion": "fusion",
    "mlm_head": "MLM head", "mem_head": "MEM decoder",
}  # fmt: skip
REST = "ETM, ETS, losses"  # what runs in no other part; masking and the MEM target among it


class PartMeter:
    """Measures steps of `model`; `taken[part, direction]` is what one step took, after `read`.

    stamp: gives a reading; by default seconds (`clock_of` the model's device). The names of the
    parts are those of `costs.step_cost`.

    >>> meter = PartMeter(model)                       # doctest: +SKIP
    >>> with meter:                                    # doctest: +SKIP
    ...     loss = model(batch).losses["total"]
    ...     meter.backward(loss)
    ...     meter.during("optimizer", optimizer.step)
    >>> meter.read()["fusion", "forward"]              # doctest: +SKIP
    """

    def __init__(self, model: nn.Module, stamp: Callable[[], Any] | None = None):
        self.model = model
        device = next(model.parameters()).device
        self.stamp = stamp or clock_of(device)

    def __enter__(self) -> "PartMeter":
        self.marks: list[tuple[tuple[str, str], Any]] = []
        self.made: list[tuple[int, str]] = []  # sequence numbers from here on belong to the part
        self.within, self.hooks = [REST], []
        modules = dict(self.model.named_modules())
        for name, part in PARTS.items():
            if name in modules:
                self._watch(modules[name], part)
        self._mark(REST, "forward")
        return self

    def __exit__(self, *error: Any) -> None:
        self._mark("", "")
        for hook in self.hooks:
            hook.remove()

    def _watch(self, module: nn.Module, part: str) -> None:
        def enter(*_: Any) -> None:
            self.within.append(part)
            self._mark(part, "forward")

        def leave(*_: Any) -> None:
            self.within.pop()
            self._mark(self.within[-1], "forward")

        self.hooks.append(module.register_forward_pre_hook(enter))
        self.hooks.append(module.register_forward_hook(leave))

    def _mark(self, part: str, direction: str) -> None:
        self.marks.append(((part, direction), self.stamp()))
        if direction == "forward":
            self.made.append((torch.autograd._get_sequence_nr(), part))

    def backward(self, loss: Tensor) -> None:
        """`loss.backward()`, each node's share noted with the part that made it."""
        for node in _nodes(loss.grad_fn):
            number = node._sequence_nr()
            part = next((p for first, p in reversed(self.made) if first <= number), REST)
            self.hooks.append(node.register_prehook(lambda _, p=part: self._mark(p, "backward")))
        self._mark(REST, "backward")
        loss.backward()
        self._mark(REST, "forward")

    def during(self, name: str, work: Callable[[], Any]) -> None:
        """What is no part of the network, as the optimizer's step."""
        self._mark(name, "forward")
        work()
        self._mark(REST, "forward")

    def read(self) -> dict[tuple[str, str], float]:
        """What was taken by (part, "forward" or "backward"), in the order of the first marks."""
        taken: dict[tuple[str, str], float] = defaultdict(float)
        for (key, before), (_, after) in zip(self.marks, self.marks[1:], strict=False):
            taken[key] += between(before, after)
        return dict(taken)


def clock_of(device: torch.device) -> Callable[[], Any]:
    """Seconds: of a GPU by events; of one CPU thread those it worked, of several the wall's."""
    if device.type == "cuda":
        return _event
    return time.process_time if torch.get_num_threads() == 1 else time.perf_counter


def between(before: Any, after: Any) -> float:
    """What grew from one reading to a later one; waits for a GPU to have come so far."""
    if not isinstance(before, torch.cuda.Event):
        return after - before
    after.synchronize()
    return before.elapsed_time(after) / 1000


def _event() -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def _nodes(root: Any) -> list[Any]:
    """Nodes of the graph that have a sequence number of their own: all but the leaves'."""
    found, waiting, seen = [], [root], {root}
    while waiting:
        node = waiting.pop()
        if node.name() != "torch::autograd::AccumulateGrad":
            found.append(node)
        for after, _ in node.next_functions:
            if after is not None and after not in seen:
                seen.add(after)
                waiting.append(after)
    return found
