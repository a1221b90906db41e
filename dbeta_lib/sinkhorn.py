"""The balanced law of wrong reports: an entropic transport plan from reports to reports.

Let p be the share of records that have each report, and K the kernel exp(-cosine / tau), 0 where
both reports are the same. The plan P is the joint law of (own report, wrong report) that is as near
to K as it can be while both its marginals are p (Sinkhorn scaling). K is symmetric, both marginals
are alike, so one vector does for rows and columns: P = diag(w) K diag(w), with w (K w) = p.

The kernel is never inverted and its exponentials are never stored: each round takes, for every
report, a log-sum-exp over the others, which cannot overflow at any tau. A plain round moves
log w by half its residual; Anderson's mixing of the last rounds needs fewer.

Memory: R vectors of d numbers, two blocks of cosines (128 MiB each), and, up to `DENSE` = 20,000
reports, all cosines (4 R^2 bytes: 1.6 GB at 20,000). Above, every round computes the cosines again
block by block, O(R * d) memory and R^2 * d multiplications a round. This was chosen over a sample
of candidates for each report: a sampled kernel has another plan, may have none (a frequent report
needs enough partners), and it would have to be kept; here the law stays exact and its whole
description is one number per report.
"""

import numpy as np
import torch

from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.progress import tqdm

DENSE = 20_000  # distinct reports up to which all cosines are kept
LEAST_TAU = 0.01  # below, float32 cosines no longer decide the kernel
_BLOCK_BYTES = 128 << 20  # float32 cosines worked on at once
_ROUNDING = 2.0**-24  # of a float32, relative
_MEMORY = 5  # rounds that Anderson's mixing looks back on
_FARTHEST_MOVE = 30  # of a mixed step, in plain steps


def balanced_log_weights(
    vectors: np.ndarray,
    shares: np.ndarray,
    tau: float = 0.1,
    tolerance: float = 1e-4,
    rounds: int = 500,
    block: int | None = None,
    device: str = "cpu",
    dense: int = DENSE,
    progress: bool = False,
) -> np.ndarray:
    """log w `[R]` float64, such that w_i K_ij w_j has both marginals `shares`.

    vectors: float32 `[R, d]`, unit rows (a zero row has cosine 0 with all). shares: `[R]`, above 0,
    sum 1. tolerance: largest relative error of any report's marginal. With residuals
    r = log(shares) - log w - log(K w) and |r| <= e, the rows are right exactly once each is
    normalised, and the columns to a factor exp(2 e); rounds end at 2 e <= tolerance
    (e with the rounding of float32).
    rounds: at most so many. dense: reports up to which the cosines are kept between rounds.
    Raises DBetaError where no such law exists (a report with half of all records or more, fewer
    than two reports) or it was not reached; UsageError for an impossible tau or tolerance.
    """
    shares = np.asarray(shares, dtype=np.float64)
    _check(vectors, shares, tau, tolerance)
    kernel = _LogKernel(vectors, tau, block, device, len(shares) <= dense)
    target, mixing = np.log(shares), _Mixing(np.sqrt(shares))
    log_weights = target.copy()
    for _ in tqdm(range(rounds), desc="balancing", disable=not progress):
        residual = target - log_weights - kernel.log_sums(log_weights)
        error = 2 * (np.abs(residual).max() + _ROUNDING * np.abs(log_weights).max())
        if error <= tolerance:
            return log_weights
        log_weights = mixing.next(log_weights, residual / 2)
    raise DBetaError(
        f"balanced negatives: after {rounds} rounds a report's share is still wrong by "
        f"{error:.2%}, above the tolerance of {tolerance:.2%}; raise tau={tau:g} or the tolerance"
    )


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


class _LogKernel:
    """-cosine / tau of all pairs, -inf for a report with itself; computed in blocks of rows."""

    def __init__(self, vectors, tau: float, block: int | None, device: str, keep: bool):
        self.rows = torch.as_tensor(np.ascontiguousarray(vectors, np.float32), device=device)
        self.scale = -1.0 / tau
        size = block or max(1, _BLOCK_BYTES // (4 * len(self.rows)))
        self.starts = range(0, len(self.rows), size)
        self.size = size
        self.kept = [self._block(start) for start in self.starts] if keep else None

    def _block(self, start: int) -> torch.Tensor:
        own = self.rows[start : start + self.size]
        logs = own @ self.rows.T
        logs.mul_(self.scale)
        logs.diagonal(start).fill_(-torch.inf)
        return logs

    def log_sums(self, log_weights: np.ndarray) -> np.ndarray:
        """log of sum_j K_ij exp(log_weights_j), float64 `[R]`."""
        added = torch.as_tensor(log_weights, dtype=torch.float32, device=self.rows.device)
        out = np.empty(len(self.rows))
        for number, start in enumerate(self.starts):
            logs = self.kept[number] + added if self.kept else self._block(start).add_(added)
            top = logs.amax(dim=1, keepdim=True)
            sums = logs.sub_(top).exp_().sum(dim=1, keepdim=True)
            out[start : start + self.size] = (top + sums.log()).double().squeeze(1).cpu().numpy()
        return out


class _Mixing:
    """Anderson's mixing of fixed-point steps; forgets its past where a step made things worse."""

    def __init__(self, weight: np.ndarray):
        self.weight = weight  # of each number in the least squares
        self.past: list[tuple[np.ndarray, np.ndarray]] = []
        self.best = np.inf

    def next(self, point: np.ndarray, step: np.ndarray) -> np.ndarray:
        """Where to go from `point`, whose plain step is `step`; both `[R]`."""
        length = np.abs(step).max()
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
