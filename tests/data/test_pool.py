"""Results come in order and stay what they were, whatever the number of processes."""

import functools
import os

import numpy as np
import pytest

from dbeta_lib.data.pool import each, ordered_map
from dbeta_lib.errors import DBetaError, UsageError

JOBS = [(n, n * 7919 % 5000) for n in range(700)]  # of many sizes: files grow and shrink


def make(job) -> tuple[int, np.ndarray]:
    number, size = job
    return number, np.full(size, number, np.int16)


def spooled(folder, jobs):
    """What stands in the folder of the arrays while a chunk is made, once for each job."""
    (arrays,) = folder.iterdir()
    names = sorted(os.listdir(arrays))
    return [names for _ in jobs]


def end_early(jobs):
    os._exit(1)


def test_results_are_those_of_a_loop_and_may_be_kept(tmp_path):
    found = list(ordered_map(functools.partial(each, make), JOBS, 2, False, spool=tmp_path))
    assert [number for number, _ in found] == [number for number, _ in JOBS]
    for (number, array), (_, size) in zip(found, JOBS, strict=True):
        assert array.shape == (size,) and (array == number).all()  # no later one is in its place
    assert list(tmp_path.iterdir()) == []


def test_a_few_files_are_written_over_and_over(tmp_path):
    seen = list(ordered_map(functools.partial(spooled, tmp_path), JOBS, 2, False, spool=tmp_path))
    assert len(seen) == len(JOBS)
    assert set(seen[-1]) <= {str(n) for n in range(8)}


def test_one_worker_reads_no_further_than_asked():
    asked = []

    def watched(jobs):
        for job in jobs:
            asked.append(job)
            yield job

    results = ordered_map(watched, list(range(100)), 1, False)
    assert [next(results), next(results)] == [0, 1] and asked == [0, 1]


def test_a_worker_that_is_killed_is_told_in_a_sentence(tmp_path):
    with pytest.raises(DBetaError, match="rerun with workers=1"):
        list(ordered_map(end_early, JOBS, 2, False, spool=tmp_path))
    with pytest.raises(UsageError, match="workers=0"):
        next(ordered_map(end_early, JOBS, 0, False))
    assert list(ordered_map(end_early, [], 2, False, spool=tmp_path)) == []
