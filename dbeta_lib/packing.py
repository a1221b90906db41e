"""Texts without their padding: what works token by token is given the real tokens of a batch alone.

Most reports are short, and a batch is as wide as its longest. What a token gives does not depend on
the padding of its batch, so losses and gradients are the same; only dropout is drawn otherwise.
"""

import torch
from torch import Tensor


class Packing:
    """Which places of `[B, L]` hold a token; packs `[B, L, ...]` to `[N, ...]` and back.

    places: int64 `[N]`, the tokens' places in the flattened `[B * L]`, ascending. Found on the CPU
    when a batch is made: so N is known there, and no device is asked for it. asked: int64 `[M]`,
    those of the places that something is read from after the last layer; all where absent.
    """

    def __init__(self, places: Tensor, records: int, length: int, asked: Tensor | None = None):
        self.places, self.records, self.length = places, records, length
        number = torch.arange(1, len(places) + 1, device=places.device)
        back = number.new_zeros(records * length).scatter(0, places, number)
        self.is_token, self.back = back > 0, (back - 1).clamp(min=0)
        self.asked = None if asked is None else Packing(asked, records, length)

    def pack(self, whole: Tensor) -> Tensor:
        """`[B, L, ...]` -> `[N, ...]`."""
        return _Pack.apply(whole.flatten(0, 1), self)

    def unpack(self, tokens: Tensor, blank: bool = True) -> Tensor:
        """`[N, ...]` -> `[B, L, ...]`, zeros where no token is.

        Without `blank` something stands there; for attention, which is told not to read it.
        """
        whole = _Unpack.apply(tokens, self, blank)
        return whole.unflatten(0, (self.records, self.length))


def unpacked(x: Tensor, packing: Packing | None, blank: bool = True) -> Tensor:
    """`[B, L, ...]` of what is packed, or is so already."""
    return x if packing is None else packing.unpack(x, blank)


def _packed(rows: Tensor, packing: Packing) -> Tensor:
    return rows.index_select(0, packing.places)


def _unpacked(tokens: Tensor, packing: Packing, blank: bool = True) -> Tensor:
    whole = tokens.index_select(0, packing.back)
    if not blank:
        return whole
    is_token = packing.is_token.view(-1, *[1] * (tokens.ndim - 1))
    return whole * is_token


class _Pack(torch.autograd.Function):
    """Each token has one place, so the gradient of one way is the other: nothing is added up."""

    @staticmethod
    def forward(ctx, rows: Tensor, packing: Packing) -> Tensor:
        ctx.packing = packing
        return _packed(rows, packing)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return _unpacked(gradient, ctx.packing), None


class _Unpack(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tokens: Tensor, packing: Packing, blank: bool) -> Tensor:
        ctx.packing = packing
        return _unpacked(tokens, packing, blank)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _packed(gradient, ctx.packing), None, None
