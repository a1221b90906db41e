"""A whole dataset: licence shown, disk checked, files fetched by several threads, unpacked."""

import fcntl
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from dbeta_lib.download.catalogue import SUMS, Dataset, Remote, find
from dbeta_lib.download.fetch import Fetcher
from dbeta_lib.download.listing import inside, read_sums
from dbeta_lib.download.parallel import each
from dbeta_lib.download.summary import Summary, readable
from dbeta_lib.download.unpack import unpack
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.files import atomic_write, sha256_file
from dbeta_lib.progress import tqdm

RECORDED = "downloaded.sha256"  # hashes of what was fetched where none is published
GIVE_UP_AFTER = 20  # failed files in a row: the server or the network is gone
MAX_WORKERS = 16


def download(
    name: str,
    dest: Path | str,
    *,
    base: str | None = None,
    workers: int = 4,
    hz: int | None = None,
    accept_licence: bool = False,
    progress: bool = True,
    sleep: Callable[[float], object] | None = None,
) -> Summary:
    """Fetch a dataset of the catalogue into the folder `dest`; run again, it goes on.

    base: another address to fetch from, a mirror for example. hz: one rate alone, where several are
    published. accept_licence: you have read the licence, where it must be read first. sleep: waits
    so many seconds between tries. Files that are there with the published SHA-256 are kept.
    Raises UsageError for wrong use, DBetaError naming how many files failed and the first.
    """
    dataset = find(name)
    dataset.check_rate(hz)
    _check_use(base, workers, Path(dest))
    print(introduction(dataset, hz))
    if dataset.must_accept and not accept_licence:
        raise UsageError(
            f"{name}'s licence is unusual ({dataset.licence}); read {dataset.page}, then accept it "
            "(--accept-licence)"
        )
    stop = threading.Event()
    with _locked(Path(dest)):
        run = _Run(dataset, Path(dest), (base or dataset.base).rstrip("/") + "/", base is not None)
        return run.go(Fetcher(stop, sleep=sleep), workers, hz, progress)


def introduction(dataset: Dataset, hz: int | None = None) -> str:
    """Title, page, size, licence and citation, a line each."""
    return (
        f"{dataset.title}\n  page      {dataset.page}\n"
        f"  size      about {readable(dataset.size(hz))}\n"
        f"  licence   {dataset.licence}\n  cite      {dataset.citation}"
    )


@dataclass(frozen=True)
class _Outcome:
    """One file: bytes fetched (0 = it was there), its SHA-256, or why it failed."""

    remote: Remote
    fetched: bool = False
    bytes: int = 0
    sha256: str = ""
    failure: str = ""


@dataclass
class _Run:
    dataset: Dataset
    dest: Path
    base: str
    is_mirror: bool  # every file comes from `base`

    def go(self, fetcher: Fetcher, workers: int, hz: int | None, progress: bool) -> Summary:
        remotes = self._listing(fetcher, hz)
        self._check_disk(remotes, fetcher, hz)
        done = self._fetch_all(remotes, fetcher, workers, hz, progress)
        self._record(done)
        keep = {remote.path for remote in remotes}
        for remote in remotes:
            if remote.unpacks_to:
                unpack(self.dest / remote.path, self.dest, remote.strip, keep, progress)
        return Summary(
            self.dataset.name,
            self.dest,
            right=sum(outcome.remote.sha256 is not None for outcome in done),
            fetched=sum(outcome.fetched for outcome in done),
            bytes=sum(outcome.bytes for outcome in done),
            unchecked=tuple(sorted(o.remote.path for o in done if o.remote.sha256 is None)),
        )

    def _url(self, remote: Remote) -> str:
        own = None if self.is_mirror else remote.url
        return own or self.base + quote(remote.path)

    def _listing(self, fetcher: Fetcher, hz: int | None) -> list[Remote]:
        """The files to have. PhysioNet's list is fetched first, again if its size has changed."""
        if self.dataset.files:
            return list(self.dataset.files)
        file, url = inside(self.dest, SUMS), self.base + SUMS
        if not file.is_file() or file.stat().st_size != fetcher.size(url):
            try:
                fetcher.get(url, file)
            except DBetaError as error:
                page = self.dataset.page
                raise DBetaError(
                    f"{error}; look at {page} and run the same command again"
                ) from error
        remotes = [
            Remote(path, sha256)
            for path, sha256 in read_sums(file).items()
            if self.dataset.chosen(path, hz) and path != SUMS
        ]
        if not remotes:
            raise DBetaError(f"{url} lists no file of {self.dataset.name}; look at the page above")
        return remotes

    def _check_disk(self, remotes: list[Remote], fetcher: Fetcher, hz: int | None) -> None:
        """Raises DBetaError when what is still to come does not fit."""
        missing = [r for r in remotes if not os.path.lexists(self.dest / r.path)]
        if self.dataset.files:
            sizes = [remote.bytes or fetcher.size(self._url(remote)) or 0 for remote in missing]
            # an archive's content needs at least its own size again
            needed = sum(s * (2 if r.unpacks_to else 1) for r, s in zip(missing, sizes))
        else:
            needed = int(self.dataset.size(hz) * len(missing) / len(remotes))
        free = shutil.disk_usage(self.dest).free
        if needed > free:
            raise DBetaError(
                f"{self.dest} has {readable(free)} free and {self.dataset.name} needs "
                f"{readable(needed)}; free some space or name a folder on another disk"
            )

    def _fetch_all(
        self, remotes: list[Remote], fetcher: Fetcher, workers: int, hz: int | None, progress: bool
    ) -> list[_Outcome]:
        """Every file. Raises DBetaError when some failed; Ctrl-C leaves parts."""
        done, failed, in_a_row = [], [], 0
        recorded = read_sums(self.dest / RECORDED) if (self.dest / RECORDED).is_file() else {}
        size = sum(r.bytes or 0 for r in remotes) or self.dataset.size(hz)
        bar = tqdm(
            total=size, desc=self.dataset.name, unit="B", unit_scale=True, disable=not progress,
            mininterval=0.5,
        )  # fmt: skip
        with bar:
            meter = _Meter(bar, size / len(remotes))
            fetcher.report = meter.gain

            def job(remote: Remote) -> _Outcome:
                return self._one(remote, fetcher, recorded.get(remote.path))

            with closing(each(job, remotes, workers, fetcher.stop)) as outcomes:
                for outcome in outcomes:
                    meter.correct(outcome.bytes)
                    (failed if outcome.failure else done).append(outcome)
                    in_a_row = in_a_row + 1 if outcome.failure else 0
                    if in_a_row == GIVE_UP_AFTER:
                        break
        if failed:
            self._record(done)
            raise self._failure(failed, len(remotes), in_a_row == GIVE_UP_AFTER)
        return done

    def _one(self, remote: Remote, fetcher: Fetcher, recorded: str | None) -> _Outcome:
        try:
            target, url = inside(self.dest, remote.path), self._url(remote)
            if target.is_dir():
                raise DBetaError(f"{target} is a folder where a file belongs; remove it")
            if target.is_file():
                sha256 = sha256_file(target)
                known = remote.sha256 or recorded
                if sha256 == known or (not known and target.stat().st_size == fetcher.size(url)):
                    return _Outcome(remote, sha256=sha256)
            sha256 = fetcher.get(url, target, remote.sha256, remote.bytes)
            return _Outcome(remote, True, target.stat().st_size, sha256)
        except DBetaError as error:  # said once all others are done
            return _Outcome(remote, failure=str(error))

    def _record(self, done: list[_Outcome]) -> None:
        """Keep the hashes of files that have no published one: `verify` compares with them."""
        lines = [f"{o.sha256}  {o.remote.path}\n" for o in done if o.remote.sha256 is None]
        if lines:
            with atomic_write(inside(self.dest, RECORDED)) as temporary:
                temporary.write_text("".join(sorted(lines)), encoding="utf-8")

    def _failure(self, failed: list[_Outcome], files: int, gave_up: bool) -> DBetaError:
        first = min(failed, key=lambda outcome: outcome.remote.path)
        also = ", the last ones in a row, so the rest was not tried" if gave_up else ""
        return DBetaError(
            f"{len(failed)} of {files} files of {self.dataset.name} failed{also}; the first is "
            f"{first.remote.path}: {first.failure}; run the same command again, it goes on"
        )


class _Meter:
    """The bar over bytes, fed by threads; its total is an estimate that every file corrects."""

    def __init__(self, bar: tqdm, share: float):
        self._bar, self._share, self._lock = bar, share, threading.Lock()

    def gain(self, size: int) -> None:
        with self._lock:
            self._bar.update(size)

    def correct(self, size: int) -> None:
        with self._lock:
            self._bar.total = max(self._bar.total + size - self._share, self._bar.n)


def _check_use(base: str | None, workers: int, dest: Path) -> None:
    if base is not None and urlsplit(base).scheme not in ("http", "https"):
        raise UsageError(
            f"'{base}' is no address to fetch from; give one that begins with https://"
        )
    if not 1 <= workers <= MAX_WORKERS:
        raise UsageError(f"workers={workers}: give 1 to {MAX_WORKERS} files at a time")
    if dest.exists() and not dest.is_dir():
        raise UsageError(f"{dest} is a file; name a folder to download into")


@contextmanager
def _locked(dest: Path) -> Iterator[None]:
    """The folder, made and locked. Raises DBetaError when another process downloads into it."""
    dest.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(dest, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sentence = f"another process downloads into {dest}; wait for it or end it"
            raise DBetaError(sentence) from None
        yield
    finally:
        os.close(descriptor)
