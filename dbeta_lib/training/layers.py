"""The repeated layers of a model while it trains: recomputed to save memory, or compiled.

Both are undone afterwards, so that the model can be copied, saved and evaluated as any other.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from dbeta_lib.training.quick_dropout import dropping_quickly
from dbeta_lib.training.settings import PretrainConfig

VARIANTS = 64  # of compiled layers at most


def layers_of(model: nn.Module) -> list[nn.Module]:
    """The transformer layers of all parts: what stands in a list of modules and has parts itself.

    Of a layer within a layer only the outer one.
    """
    found = []
    for part in model.children():
        if isinstance(part, nn.ModuleList) and all(any(layer.children()) for layer in part):
            found += part
        else:
            found += layers_of(part)
    return found


@contextmanager
def prepared(model: nn.Module, settings: PretrainConfig) -> Iterator[None]:
    """The layers as the settings ask for them."""
    with ExitStack() as stack:
        if settings.checkpoint_activations:
            stack.enter_context(recomputed(model))
        if settings.quick_dropout:
            stack.enter_context(dropping_quickly(model))
        if settings.compile:
            stack.enter_context(compiled(model))
        yield


@contextmanager
def recomputed(model: nn.Module) -> Iterator[None]:
    """Each layer keeps its input alone and runs again, with the same dropout, for its gradient.

    (Chen et al., 2016, arXiv 1604.06174): memory for activations falls to about one layer's, a step
    takes about a third more arithmetic, and the gradient is the same.
    """
    layers = layers_of(model)
    for layer in layers:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


@contextmanager
def compiled(model: nn.Module) -> Iterator[None]:
    """Each layer goes through torch.compile, for any number of tokens; dropout is drawn otherwise.

    Layers of one kind share what was compiled, so that this takes a minute rather than ten. They
    also share one list of variants (kind, training or not, shapes), which torch ends at 8 unless
    told otherwise; what comes after that would run uncompiled, with a warning in a log.
    """
    layers = layers_of(model)
    for layer in layers:
        layer.compile(dynamic=True)
    try:
        with torch._dynamo.config.patch(recompile_limit=VARIANTS):
            yield
    finally:
        for layer in layers:
            layer._compiled_call_impl = None
