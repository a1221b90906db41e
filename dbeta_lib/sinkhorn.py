"""The balanced law of wrong reports: an entropic transport plan from reports to reports.

Let p be the share of records that have each report, and K the kernel exp(-cosine / tau), 0 where
both reports are the same. The plan P is the joint law of (own report, wrong report) that is as near
to K as it can be while both its marginals are p (Sinkhorn scaling). K is symmetric, both marginals
are alike, so one vector does for rows and columns: P = diag(w) K diag(w), with w (K w) = p.

A plain round moves log w by half its residual log p - log(w K w); Anderson's mixing of the last
rounds needs fewer. P is symmetric too, so a round looks at each pair once, in tiles, and what it
keeps of them is the mass that P has on each (report, group of `GROUP` reports): its rows sum to
w (K w), and from it a negative is drawn without looking at more than one group (`balanced.py`).

Up to `DENSE` = 20,000 reports the cosines are computed once and kept (2 R^2 bytes: 0.8 GB at
20,000). Above, every round computes them again: R * d + R^2 / 512 numbers in memory (0.6 GB at
180,000 reports of 512 numbers) and R^2 * d / 2 multiplications a round. The law of a sample of the
reports then gives the first weights, which saves about half of the rounds: log w of every report
follows from that of the sampled ones by one sum over them. The law itself is exact on both ways.
"""

from collections.abc import Callable

import numpy as np
import torch

from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.progress import tqdm
from dbeta_lib.seeds import rng

DENSE = 20_000  # distinct reports up to which all cosines are kept
GROUP = 512  # reports whose mass is kept as one number
SAMPLE = 4_000  # reports that the first weights of a large law come from
LEAST_TAU = 0.01  # below, float32 cosines no longer decide the kernel
_ROUNDING = 2.0**-24  # of a float32, relative
_SPAN = 80.0  # exponents that float32 holds: exp(-80) to exp(80)
_TILE = {"cpu": 1 << 20, "cuda": 1 << 25}  # numbers of a tile: fits the cache; keeps a GPU busy
_MEMORY = 5  # rounds that Anderson's mixing looks back on
_FARTHEST_MOVE = 30  # of a mixed step, in plain steps


def balanced_law(
    vectors: np.ndarray,
    shares: np.ndarray,
    tau: float = 0.1,
    tolerance: float = 1e-4,
    rounds: int = 500,
    group: int = GROUP,
    device: str = "cpu",
    dense: int = DENSE,
    progress: bool = False,
    each_round: Callable[[int, float], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """log w `[R]` float64, such that w_i K_ij w_j has both marginals `shares`; and its masses.

    vectors: float32 `[R, d]`, unit rows (a zero row has cosine 0 with all). shares: `[R]`, above 0,
    sum 1. tolerance: largest relative error of any report's marginal. With residuals
    r = log(shares) - log(w K w) and |r| <= e, the rows are right exactly once each is
    normalised, and the columns to a factor exp(2 e); rounds end at 2 e <= tolerance
    (e with the rounding of float32).
    rounds: at most so many. dense: reports up to which the cosines are kept between rounds.
    each_round: is told the number of a round over all pairs and the relative error it found.
    Masses: float32 `[R, ceil(R / group)]`, the plan summed over each `group` reports that follow.
    Raises DBetaError where no such law exists (a report with half of all records or more, fewer
    than two reports) or it was not reached; UsageError for an impossible tau or tolerance.
    """
    shares = np.asarray(shares, dtype=np.float64)
    _check(vectors, shares, tau, tolerance)
    plan = _Plan(vectors, tau, group, device, len(shares) <= dense)
    target, mixing = np.log(shares), _Mixing(np.sqrt(shares))
    log_weights = target.copy()
    if len(shares) > dense:
        log_weights = _from_a_sample(plan, shares, tau, device, log_weights)
    for number in range(rounds):
        masses = plan.masses(log_weights, f"balancing, round {number + 1}" if progress else "")
        with np.errstate(divide="ignore"):
            residual = target - np.log(masses.sum(1, dtype=torch.float64).cpu().numpy())
        rounding = _ROUNDING * (np.abs(log_weights).max() + 1 / tau)
        error = 2 * (np.abs(residual).max() + rounding)
        if each_round:
            each_round(number + 1, float(error))
        if error <= tolerance:
            return log_weights, masses.float().cpu().numpy()
        log_weights = mixing.next(log_weights, residual / 2)
    raise DBetaError(
        f"balanced negatives: after {rounds} rounds a report's share is still wrong by "
        f"{error:.2%}, above the tolerance of {tolerance:.2%}; raise tau={tau:g} or the tolerance"
    )


def group_masses(
    vectors: np.ndarray, log_weights: np.ndarray, tau: float, group: int = GROUP
) -> np.ndarray:
    """The plan of given weights summed over groups, float32 `[R, ceil(R / group)]`."""
    return _Plan(vectors, tau, group, "cpu", keep=False).masses(log_weights).float().numpy()


def _check(vectors: np.ndarray, shares: np.ndarray, tau: float, tolerance: float) -> None:
    if not LEAST_TAU <= tau < np.inf:
        raise UsageError(f"tau={tau:g} of balanced negatives must be at least {LEAST_TAU:g}")
    if not 1e-5 <= tolerance < 1:
        raise UsageError(f"tolerance={tolerance:g} of the shares must be from 1e-5 to below 1")
    if len(shares) < 2:
        raise DBetaError("there is one distinct report or none; no negative can be drawn")
    if len(vectors) != len(shares) or not np.isfinite(vectors).all():
        raise DBetaError("an embedding is missing, NaN or infinite; embed the reports in float32")
    if not (shares > 0).all() or abs(shares.sum() - 1) > 1e-6:
        raise DBetaError("shares of reports must be above 0 and sum to 1; count the records again")
    most = shares.max()
    if (most > 0.5 - 1e-9 and len(shares) > 2) or most > 0.5 + 1e-9:
        raise DBetaError(
            f"one report stands in {most:.1%} of all records, and negatives as frequent as the "
            "reports exist only below one half; use negatives='n3s' or 'random'"
        )


class _Plan:
    """P = w K w of given weights, never held whole: half of it, in tiles, one after the other."""

    def __init__(self, vectors, tau: float, group: int, device: str, keep: bool):
        self.total, self.tau, self.group = len(vectors), tau, group
        padded = np.zeros((-(-self.total // group) * group, vectors.shape[1]), np.float32)
        padded[: self.total] = vectors
        self.rows = torch.from_numpy(padded).to(device)
        tile = _TILE["cpu" if self.rows.device.type == "cpu" else "cuda"]
        self.width = max(1, tile // group**2) * group
        self.kept = {} if keep else None

    def masses(self, log_weights: np.ndarray, told: str = "") -> torch.Tensor:
        """`[R, ceil(R / group)]`: P summed over each group of columns; told: a progress bar's.

        Summed in float64 where the exponents of P may pass what float32 holds.
        """
        size = len(self.rows)
        span = 2 / self.tau - 2 * log_weights.min()
        exact = torch.float64 if span > _SPAN else torch.float32
        weights = torch.full((size,), -torch.inf, dtype=exact, device=self.rows.device)
        weights[: self.total] = torch.as_tensor(log_weights, dtype=exact, device=weights.device)
        sums = weights.new_empty(size, size // self.group)
        for number in tqdm(range(sums.shape[1]), desc=told, disable=not told, leave=False):
            own = slice(number * self.group, (number + 1) * self.group)
            for start in range(own.start, size, self.width):
                others = slice(start, min(start + self.width, size))
                mass = self._exponents(own, others) + weights[others]
                mass.add_(weights[own, None]).exp_()
                columns = slice(others.start // self.group, others.stop // self.group)
                sums[own, columns] = mass.view(self.group, -1, self.group).sum(dim=2)
                sums[others, number] = mass.sum(dim=0)
        return sums[: self.total]

    def _exponents(self, own: slice, others: slice) -> torch.Tensor:
        """-cosine / tau `[group, others]`, -inf for a report with itself."""
        if self.kept and (own.start, others.start) in self.kept:
            return self.kept[own.start, others.start]
        made = (self.rows[own] * (-1 / self.tau)) @ self.rows[others].T
        if others.start == own.start:
            made.diagonal().fill_(-torch.inf)
        if self.kept is not None:
            self.kept[own.start, others.start] = made
        return made


def _from_a_sample(
    plan: _Plan, shares: np.ndarray, tau: float, device: str, otherwise: np.ndarray
) -> np.ndarray:
    """First log weights `[R]`: the law of a sample of the reports, carried over to all.

    Reports enter with chances proportional to their shares, frequent ones for certain, and a
    sampled one stands for share / chance. Then w_i = p_i / (sum over the sample of K_ij w_j).
    """
    chances = _inclusion(shares, min(SAMPLE, len(shares) // 2))
    marks = np.cumsum(chances)
    level = rng(0, "balanced-sample").random() + np.arange(int(marks[-1]) + 1)
    picked = np.unique(np.searchsorted(marks, level[level < marks[-1]]))
    stands_for = shares[picked] / chances[picked]
    vectors = plan.rows[torch.from_numpy(picked).to(plan.rows.device)]
    try:
        log_weights, _ = balanced_law(
            vectors.cpu().numpy(), stands_for / stands_for.sum(), tau, 1e-2, device=device
        )
    except DBetaError:  # one report weighs half of the sample, though less of the whole
        return otherwise
    added = torch.as_tensor(log_weights, dtype=torch.float32, device=plan.rows.device)
    place = np.full(len(shares), -1)
    place[picked] = np.arange(len(picked))
    sums = np.empty(len(shares))
    for start in range(0, len(shares), plan.group):
        part = slice(start, min(start + plan.group, len(shares)))
        logs = (plan.rows[part] * (-1 / tau)) @ vectors.T
        own = np.flatnonzero(place[part] >= 0)
        logs[own, place[part][own]] = -torch.inf
        sums[part] = logs.add_(added).logsumexp(dim=1).cpu().numpy()
    return np.log(shares) - sums


def _inclusion(shares: np.ndarray, size: int) -> np.ndarray:
    """Chances `[R]` in 0..1, proportional to the shares up to certainty, with sum `size`."""
    certain = np.zeros(len(shares), dtype=bool)
    while True:
        chances = np.where(certain, 1.0, shares)
        chances[~certain] *= (size - certain.sum()) / shares[~certain].sum()
        if (chances <= 1).all():
            return chances
        certain |= chances > 1


class _Mixing:
    """Anderson's mixing of fixed-point steps; forgets its past where a step made things worse."""

    def __init__(self, weight: np.ndarray):
        self.weight = weight  # of each number in the least squares
        self.past: list[tuple[np.ndarray, np.ndarray]] = []
        self.best = np.inf

    def next(self, point: np.ndarray, step: np.ndarray) -> np.ndarray:
        """Where to go from `point`, whose plain step is `step`; both `[R]`."""
        length = np.abs(step).max()
        if not np.isfinite(length) and self.past:  # a mixed step went out of range: a plain one
            self.past, self.best = self.past[-1:], np.inf
            return np.sum(self.past[0], axis=0)
        if length > 2 * self.best:
            self.past, self.best = [], np.inf
        self.best = min(self.best, length)
        self.past = [*self.past, (point, step)][-_MEMORY - 1 :]
        if len(self.past) == 1:
            return point + step
        points, steps = (np.diff(column, axis=0).T for column in zip(*self.past, strict=True))
        weight = self.weight[:, None]
        share = np.linalg.lstsq(steps * weight, step * self.weight, rcond=1e-8)[0]
        mixed = step - (points + steps) @ share
        if np.abs(mixed).max() > _FARTHEST_MOVE * length:  # a nearly singular past says nothing
            self.past = self.past[-1:]
            mixed = step
        return point + mixed
