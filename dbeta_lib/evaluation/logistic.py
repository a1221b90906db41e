"""L2-regularised logistic regression for all classes and all C at once, by batched L-BFGS.

Each (class, C) is one convex problem, the one scikit-learn's LogisticRegression solves:

    minimise over w, b:  |w|^2 / 2 + C * sum_i log(1 + exp(-t_i (x_i w + b))),   t_i = +-1

The problems share the data, so every step is two matrix products for all of them. The features
are first turned to their principal axes: that changes no solution (the penalty is rotation-
invariant, and w has no part outside the rows' span), shrinks 13 records of 768 features to 12
numbers each, and makes a diagonal preconditioner nearly exact.
"""

from dataclasses import dataclass

import numpy as np

TOLERANCE = 1e-7  # on the expected fall of the objective, relative to its value
MEMORY = 8  # pairs of the L-BFGS history


@dataclass(frozen=True)
class Axes:
    """Centre `[D]` and principal axes `[D, R]` of the training rows, all that they span."""

    centre: np.ndarray
    axes: np.ndarray
    scales: np.ndarray  # singular values [R]

    def project(self, x: np.ndarray) -> np.ndarray:
        """`[n, D]` -> `[n, R]`."""
        return (x - self.centre) @ self.axes


def principal_axes(x: np.ndarray) -> Axes:
    """The span of the centred rows of `x` `[n, D]`, by the smaller of its two Gram matrices."""
    centre = x.mean(axis=0)
    moved = x - centre
    n, d = moved.shape
    if n <= d:
        squares, left = np.linalg.eigh(moved @ moved.T)
        keep = squares > max(squares[-1], 0) * 1e-12
        scales = np.sqrt(squares[keep])
        return Axes(centre, moved.T @ left[:, keep] / scales, scales)
    squares, axes = np.linalg.eigh(moved.T @ moved)
    keep = squares > max(squares[-1], 0) * 1e-12
    return Axes(centre, axes[:, keep], np.sqrt(squares[keep]))


def fit(
    x: np.ndarray, y: np.ndarray, grid: np.ndarray, max_steps: int = 300
) -> tuple[np.ndarray, np.ndarray]:
    """Solve every class at every C: `[n, D]`, 0/1 `[n, K]`, `[M]` -> `[M, D, K]`, `[M, K]`.

    Every column of `y` must hold both values. Returned are weights and intercepts for `x` as
    given: `x @ w[m] + b[m]` is the logit.
    """
    x = np.asarray(x, dtype=np.float64)
    axes = principal_axes(x)
    n, classes, count = len(x), y.shape[1], len(grid)
    targets = np.tile(np.where(y > 0, 1.0, -1.0), count)  # [n, P], P = M K, class fastest
    c = np.repeat(np.asarray(grid, dtype=np.float64), classes)
    share = np.tile(np.clip(np.mean(y > 0, axis=0), 1 / n, 1 - 1 / n), count)
    curvature = c * share * (1 - share)
    diagonal = np.vstack([1 + axes.scales[:, None] ** 2 * curvature, n * curvature[None]])
    start = np.zeros_like(diagonal)
    start[-1] = np.log(share / (1 - share))
    solved = _minimise(axes.project(x), targets, c, start, diagonal, max_steps)
    w = (axes.axes @ solved[:-1]).reshape(x.shape[1], count, classes).transpose(1, 0, 2)
    b = solved[-1].reshape(count, classes) - np.einsum("d,mdk->mk", axes.centre, w)
    return w, b


def _objective(
    z: np.ndarray, targets: np.ndarray, c: np.ndarray, v: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Value `[P]` and gradient `[R + 1, P]` at v (weights, intercept last)."""
    margins = (z @ v[:-1] + v[-1]) * targets
    tail = np.exp(-np.abs(margins))
    value = (np.maximum(-margins, 0) + np.log1p(tail)).sum(axis=0) * c
    value += (v[:-1] ** 2).sum(axis=0) / 2
    # derivative of log(1 + exp(-m)) is -1 / (1 + exp(m)), written so that no exponential overflows
    slope = -targets * np.where(margins >= 0, tail, 1.0) / (1 + tail) * c
    gradient = np.vstack([z.T @ slope + v[:-1], slope.sum(axis=0)[None]])
    return value, gradient


def _minimise(
    z: np.ndarray,
    targets: np.ndarray,
    c: np.ndarray,
    v: np.ndarray,
    diagonal: np.ndarray,
    max_steps: int,
) -> np.ndarray:
    """Batched L-BFGS: each column of `v` `[R + 1, P]` is a problem with steps of its own."""
    out = v.copy()
    active = np.arange(v.shape[1])
    value, gradient = _objective(z, targets, c, v)
    history: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(max_steps):
        fall = (gradient**2 / diagonal).sum(axis=0) / 2
        todo = fall > TOLERANCE * value
        if not todo.all():
            out[:, active] = v
            active = active[todo]
            targets, c, v, diagonal = targets[:, todo], c[todo], v[:, todo], diagonal[:, todo]
            value, gradient = value[todo], gradient[:, todo]
            history = [(s[:, todo], g[:, todo]) for s, g in history]
            if not len(active):
                break
        step = _direction(gradient, diagonal, history)
        new, new_value, new_gradient = _line_search(z, targets, c, v, value, gradient, step)
        history = [*history[-MEMORY + 1 :], (new - v, new_gradient - gradient)]
        v, value, gradient = new, new_value, new_gradient
    out[:, active] = v
    return out


def _direction(
    gradient: np.ndarray, diagonal: np.ndarray, history: list[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """Minus the inverse Hessian's estimate times the gradient (two-loop recursion), by column."""
    q = gradient.copy()
    memo = []
    for s, g in reversed(history):
        curve = (s * g).sum(axis=0)
        rho = np.divide(1.0, curve, out=np.zeros_like(curve), where=curve > 0)
        alpha = rho * (s * q).sum(axis=0)
        q -= alpha * g
        memo.append((s, g, rho, alpha))
    q /= diagonal
    for s, g, rho, alpha in reversed(memo):
        q += (alpha - rho * (g * q).sum(axis=0)) * s
    return -q


def _line_search(
    z: np.ndarray,
    targets: np.ndarray,
    c: np.ndarray,
    v: np.ndarray,
    value: np.ndarray,
    gradient: np.ndarray,
    step: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Halve each problem's step until its value falls enough (Armijo, 1e-4)."""
    slope = (gradient * step).sum(axis=0)
    size = np.ones_like(value)
    for _ in range(30):
        new = v + size * step
        new_value, new_gradient = _objective(z, targets, c, new)
        short = new_value > value + 1e-4 * size * slope + 1e-12 * np.abs(value)
        if not short.any():
            break
        size[short] /= 2
    return new, new_value, new_gradient
