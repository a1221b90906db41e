"""Which code computed: the git commit of the library, where it lies in a checkout."""

import functools
import subprocess
from pathlib import Path

import dbeta_lib

NOT_KNOWN = "not known"


@functools.cache
def running_commit() -> str:
    """`commit()` as it was when this process first asked, whatever is committed meanwhile."""
    return commit()


def commit(folder: Path | None = None) -> str:
    """The git commit of the code, "not known" outside a checkout; says if files were changed.

    `folder`: of the library. A folder that git does not track (an installed package that happens
    to lie in somebody's repository) has no commit.
    """
    folder = Path(dbeta_lib.__file__).parent if folder is None else folder
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return NOT_KNOWN
    found = _git(folder, "rev-parse", "HEAD")
    if found is None:
        return NOT_KNOWN
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".")
    return f"{found}, with changed files" if changed else found


def _git(folder: Path, *words: str) -> str | None:
    """What git answers, None where it does not run or knows nothing."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
