"""One file over HTTP: resumed, retried, its SHA-256 checked while it streams.

It grows as `<name>.part` beside its place and is renamed when it is whole and right. Nothing that
the server says is believed: not its length, not that it resumes where it was asked to.
"""

import hashlib
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import requests

from dbeta_lib.download.listing import PART
from dbeta_lib.errors import DBetaError
from dbeta_lib.files import raise_disk_error

MAX_FILE_BYTES = 16 << 30  # nothing offered comes near
TRIES = 6  # in a row without a new byte
FIRST_WAIT, LONGEST_WAIT = 1.0, 300.0  # seconds; a server may ask for longer and is not obeyed
TIMEOUT = (20.0, 60.0)  # seconds to connect, and between two packets
_CHUNK = 1 << 16
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_TAG = ".tag"  # beside a part: the server's name for the version that it is a part of


class Interrupted(Exception):
    """The whole download was asked to stop; parts stay."""


class _Passing(Exception):
    """Worth another try, after `wait` seconds if the server said so."""

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.wait = wait


@dataclass
class Fetcher:
    """Fetches files, from several threads if need be.

    report: called with the number of bytes gained; negative when they are thrown away.
    sleep: seconds to wait; default: until then or until `stop` is set.
    """

    stop: threading.Event = field(default_factory=threading.Event)
    report: Callable[[int], object] = lambda gained: None
    sleep: Callable[[float], object] | None = None
    timeout: tuple[float, float] = TIMEOUT
    max_bytes: int = MAX_FILE_BYTES
    _own: threading.local = field(default_factory=threading.local)

    def size(self, url: str) -> int | None:
        """Bytes that the server announces; None when it does not answer or does not say."""
        try:
            with self._session().head(url, timeout=self.timeout, allow_redirects=True) as answer:
                return _length(answer) if answer.ok else None
        except requests.RequestException:
            return None

    def get(
        self, url: str, target: Path, sha256: str | None = None, size: int | None = None
    ) -> str:
        """Fetch `url` as `target`; its SHA-256.

        Raises DBetaError naming the address: refused, too many tries, twice another content than
        `sha256` or `size`. Raises Interrupted when `stop` is set.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        wrong = 0
        with _Part(target, self.report) as part:
            while True:
                self._stream(url, part, resumable=sha256 is not None)
                if sha256 in (None, part.sha256()) and size in (None, part.size):
                    return part.finish(target)
                part.clear()
                wrong += 1
                if wrong == 2:  # the first may have been a part of another version
                    raise DBetaError(f"{url} came twice with another content than published")

    def _stream(self, url: str, part: "_Part", resumable: bool) -> None:
        """Bring the part to its end, with as many tries as it takes while it grows."""
        failures, reached = 0, part.size
        while True:
            try:
                return self._attempt(url, part, resumable)
            except requests.RequestException as error:
                reason, wait = _words(error), None
            except _Passing as error:
                reason, wait = str(error), error.wait
            failures = 1 if part.size > reached else failures + 1
            reached = max(reached, part.size)
            if failures >= TRIES:
                raise DBetaError(
                    f"{url} failed {failures} times in a row ({reason}); is the network there?"
                )
            backoff = FIRST_WAIT * 2 ** (failures - 1)
            self._pause(min(LONGEST_WAIT, backoff if wait is None else max(wait, 0.0)))

    def _attempt(self, url: str, part: "_Part", resumable: bool) -> None:
        """One request. Raises _Passing or requests' errors; the part keeps what came."""
        self._pause(0)
        if part.size and not (resumable or part.tag):
            part.clear()  # nothing would tell that the rest belongs to another version
        headers = {"Accept-Encoding": "identity"}
        if part.size:
            headers["Range"] = f"bytes={part.size}-"
            headers |= {"If-Range": part.tag} if part.tag else {}
        options = {"headers": headers, "stream": True, "timeout": self.timeout}
        with self._session().get(url, **options) as answer:
            if _is_whole(answer, part):
                return
            _check_answer(url, answer, part)
            expected = _length(answer)
            if expected is not None and part.size + expected > self.max_bytes:
                raise DBetaError(f"{url} announces {expected} bytes, more than any file offered")
            came = 0
            for chunk in answer.iter_content(_CHUNK):
                part.write(chunk)
                came += len(chunk)
                self._pause(0)
                if part.size > self.max_bytes:
                    raise DBetaError(f"{url} does not end after {part.size} bytes")
        if expected is not None and came < expected:
            raise _Passing(f"cut after {came} of {expected} bytes")

    def _pause(self, seconds: float) -> None:
        if seconds > 0:
            (self.sleep or self.stop.wait)(seconds)
        if self.stop.is_set():
            raise Interrupted

    def _session(self) -> requests.Session:
        """One per thread: connections are kept open from file to file."""
        if not hasattr(self._own, "session"):
            self._own.session = requests.Session()
            self._own.session.headers["User-Agent"] = "dbeta_lib (python-requests)"
        return self._own.session


class _Part:
    """The unfinished file: its bytes, their hash so far, the server's name for its version."""

    def __init__(self, target: Path, report: Callable[[int], object]):
        self.path = target.with_name(target.name + PART)
        self._tag_path = target.with_name(target.name + PART + _TAG)
        self._report = report
        self.size, self.tag, self._hash = 0, "", hashlib.sha256()
        for path in (self.path, self._tag_path):
            if path.is_symlink():
                raise DBetaError(f"{path} is a link, and links are not followed; remove it")
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        self._file = os.fdopen(os.open(self.path, flags, 0o666), "r+b")
        while chunk := self._file.read(1 << 20):
            self._gain(chunk)
        if self.size and self._tag_path.is_file():
            text = self._tag_path.read_bytes()[:200].decode("ascii", "replace")
            self.tag = text if _is_tag(text) else ""

    def __enter__(self) -> "_Part":
        return self

    def __exit__(self, *_) -> None:
        """A part stays for the next time, with its tag; an empty one goes."""
        self._file.close()
        self._report(-self.size)
        if self.size == 0:
            self.path.unlink(missing_ok=True)
        if self.size and self.tag and self.path.exists():
            self._tag_path.write_text(self.tag, encoding="ascii")
        else:
            self._tag_path.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        try:
            self._file.write(chunk)
        except OSError as error:
            raise_disk_error(error, self.path)
        self._gain(chunk)

    def _gain(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        self.size += len(chunk)
        self._report(len(chunk))

    def clear(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._report(-self.size)
        self.size, self.tag, self._hash = 0, "", hashlib.sha256()

    def sha256(self) -> str:
        return self._hash.hexdigest()

    def finish(self, target: Path) -> str:
        """Put it in its place."""
        try:
            self._file.flush()
            os.replace(self.path, target)
        except OSError as error:
            raise_disk_error(error, target)
        self._report(self.size)  # stays counted when __exit__ takes an unfinished part's bytes off
        return self.sha256()


def _is_whole(answer: requests.Response, part: _Part) -> bool:
    """Whether "range not satisfiable" means that nothing is left to send."""
    if answer.status_code != 416:
        return False
    whole = re.fullmatch(r"bytes \*/(\d{1,15})", answer.headers.get("Content-Range", ""), re.ASCII)
    if whole and int(whole[1]) == part.size:
        return True
    part.clear()
    raise _Passing("the part here is longer than the file there", 0)


def _check_answer(url: str, answer: requests.Response, part: _Part) -> None:
    """Make the part ready for the body. Raises _Passing, or DBetaError where no try will help."""
    status = answer.status_code
    if status in _PASSING:
        raise _Passing(f"HTTP {status}", _retry_after(answer.headers.get("Retry-After", "")))
    if status not in (200, 206):
        raise DBetaError(f"{url} answers HTTP {status} {answer.reason}")
    tag = answer.headers.get("ETag", "")
    tag = tag if tag.startswith('"') else answer.headers.get("Last-Modified", "")
    begin = re.match(r"bytes (\d{1,15})-", answer.headers.get("Content-Range", ""), re.ASCII)
    if status == 206 and (
        not begin or int(begin[1]) != part.size or (part.tag and part.tag != tag)
    ):
        part.clear()
        raise _Passing("another range than asked for", 0)
    if status == 200 and part.size:
        part.clear()  # Range was ignored, or the file has changed: from its begin
    part.tag = tag if _is_tag(tag) else ""


def _is_tag(text: str) -> bool:
    return re.fullmatch(r"[\x20-\x7e]{1,200}", text) is not None


def _length(answer: requests.Response) -> int | None:
    """Announced bytes of the body as it is stored; None when not said, or packed on the way."""
    text = answer.headers.get("Content-Length", "")
    packed = answer.headers.get("Content-Encoding", "identity") != "identity"
    return int(text) if re.fullmatch(r"\d{1,15}", text, re.ASCII) and not packed else None


def _retry_after(text: str) -> float | None:
    """Seconds that a server asks to wait: a number, or a date."""
    if re.fullmatch(r"\d{1,9}", text, re.ASCII):
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return (when - datetime.now(UTC)).total_seconds()


def _words(error: requests.RequestException) -> str:
    """What went wrong in a few words; requests nests whole object names."""
    kinds = {
        requests.ConnectTimeout: "no connection in time",
        requests.ReadTimeout: "no answer in time",
        requests.exceptions.SSLError: "the certificate was not accepted",
        requests.ConnectionError: "no connection, or it was cut",
        requests.exceptions.ChunkedEncodingError: "the connection was cut",
    }
    return next((text for kind, text in kinds.items() if isinstance(error, kind)), str(error)[:200])
