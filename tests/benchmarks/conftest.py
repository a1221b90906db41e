"""Benchmarks are scripts beside each other, not a package: this loads one by its name."""

import importlib
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="session")
def load_benchmark():
    """`load_benchmark("soak")` -> the module; it finds its neighbours as it does when it is run."""
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module
    sys.path.remove(str(FOLDER))
