"""What this machine has to offer the kit, found out without any network: `dbeta doctor`."""

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dbeta_lib import __version__

ALTERNATIVES = {  # conda-forge and CUDA builds of one package carry other names
    "faiss-cpu": ("faiss-gpu", "faiss", "faiss-gpu-cu12"),
}
DISK_GB = 5.0  # free space under which a finding is a warning: full PTB-XL at 100 Hz and its runs
MEMORY_GB = 4.0


@dataclass(frozen=True)
class Finding:
    """One line of the report; status is ok, note (worth knowing) or wrong (must be mended)."""

    name: str
    value: str
    status: str = "ok"

    def __str__(self) -> str:
        mark = {"ok": " ", "note": "!", "wrong": "X"}[self.status]
        return f"{mark} {self.name:<18} {self.value}"


def examine(folder: Path) -> list[Finding]:
    """All findings; `folder` is where products will go."""
    return [
        Finding("dbeta_lib", f"{__version__} in {Path(__file__).parent}"),
        Finding("python", f"{platform.python_version()} on {platform.platform()}"),
        *packages(_requirements()),
        *devices(),
        threads(),
        memory(),
        disk(folder),
        faiss_backend(),
        hub(),
    ]


def _requirements() -> list[str]:
    """The dependencies of the installed kit; none where it is not installed."""
    try:
        return importlib.metadata.requires("dbeta_lib") or []
    except importlib.metadata.PackageNotFoundError:
        return []


def packages(requirements: Iterable[str]) -> list[Finding]:
    """Each required package with its version, wrong where it is missing or too old."""
    from packaging.requirements import Requirement

    found = []
    for line in requirements:
        requirement = Requirement(line)
        if requirement.marker is None:  # the extras are optional
            version = _version(requirement.name)
            fits = version is not None and requirement.specifier.contains(version, prereleases=True)
            text = version or "not installed"
            text += "" if fits else f", needed: {requirement.specifier}"
            found.append(Finding(requirement.name, text, "ok" if fits else "wrong"))
    return found or [Finding("packages", "the kit is not installed: pip install -e .", "wrong")]


def _version(name: str) -> str | None:
    """Version of an installed package, under any of its names."""
    for candidate in (name, *ALTERNATIVES.get(name, ())):
        try:
            return importlib.metadata.version(candidate)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def devices() -> list[Finding]:
    """Where torch will compute."""
    try:
        import torch
    except ImportError as error:
        return [Finding("device", f"torch cannot be imported ({error})", "wrong")]
    found = []
    for i in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(i)
        precision = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
        found.append(
            Finding(
                f"device cuda:{i}", f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB, {precision}"
            )
        )
    if not found and torch.backends.mps.is_available():
        found.append(Finding("device", "mps (Apple GPU)"))
    return found or [Finding("device", "cpu (enough for smoke, demo and ptbxl)")]


def threads() -> Finding:
    """Cores that this process may use, and what limits the threads."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limit = os.environ.get("OMP_NUM_THREADS")
    return Finding("threads", f"{cores} cores, OMP_NUM_THREADS {limit or 'not set'}")


def memory() -> Finding:
    """Memory of the machine."""
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Finding("memory", f"{size:.0f} GiB", "ok" if size >= MEMORY_GB else "note")


def disk(folder: Path) -> Finding:
    """Free space on the disk of `folder`, or of the nearest parent that exists."""
    place = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    free = shutil.disk_usage(place).free / 2**30
    return Finding("disk", f"{free:.0f} GiB free at {place}", "ok" if free >= DISK_GB else "note")


def faiss_backend() -> Finding:
    """Whether faiss can be used, and on what; torch does the same search without it."""
    try:
        import faiss
    except ImportError as error:
        return Finding("faiss", f"cannot be imported ({error}); torch searches instead", "note")
    gpus = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    return Finding("faiss", f"{faiss.__version__} on {f'{gpus} GPUs' if gpus else 'cpu'}")


def hub() -> Finding:
    """Models that Hugging Face's cache holds; the hub itself is not asked."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    names = sorted(
        p.name.removeprefix("models--").replace("--", "/") for p in cache.glob("models--*")
    )
    offline = "offline by HF_HUB_OFFLINE, " if constants.HF_HUB_OFFLINE else ""
    return Finding("hub cache", f"{offline}{', '.join(names) or 'no models'} in {cache}")
