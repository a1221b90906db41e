"""The errors a user meets: one sentence that names the file or value and the remedy.

Entry points (`run_all.sh`, `dbeta`) print the sentence and end with `exit_code`; the traceback
stays behind `--debug`.
"""

import difflib
from collections.abc import Iterable


class DBetaError(Exception):
    """Something failed while running; the message is one sentence with the remedy."""

    exit_code = 1


class UsageError(DBetaError):
    """Wrong use that the command line, a config or a call alone decides."""

    exit_code = 2


class Stopped(DBetaError):
    """Stopped by SIGTERM after a checkpoint was written; resumable."""

    exit_code = 75


class EncoderAbsent(DBetaError):
    """No disk at hand and no hub has a text encoder that was named."""


class AnotherRun(DBetaError):
    """A folder holds a training run with other settings, data or code than the one asked for."""


def nearest(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the known name closest to `name`, or the list of known names."""
    names = sorted(known)
    lowered = {n.lower(): n for n in names}
    close = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{lowered[close[0]]}'?"
    return f"; known: {', '.join(names)}" if names else ""
