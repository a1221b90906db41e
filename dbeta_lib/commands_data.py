"""What the `dbeta` command offers over data: getting it, checking it, turning it into stores."""

import inspect
from pathlib import Path
from typing import Annotated

import typer

from dbeta_lib.command_options import setting
from dbeta_lib.errors import DBetaError, UsageError


def prepare(
    name: Annotated[str, typer.Argument(help="A dataset: `dbeta prepare --help` lists them.")],
    folders: Annotated[
        list[Path], typer.Argument(help="SRC DEST; for the synthetic cohort DEST alone.")
    ],
    hz: Annotated[int, typer.Option(min=50, help="Sampling rate of the store.")] = 500,
    window: Annotated[
        str, typer.Option(help="Which ten seconds of a record: first, centre or all.")
    ] = "first",
    splits: Annotated[str, typer.Option(help="Folder of MERL's split files, to use these.")] = "",
    workers: Annotated[int, typer.Option(min=1, help="Processes that read records.")] = 2,
    shard: Annotated[str, typer.Option(help="i/n: prepare part i (0 to n - 1) of n alone.")] = "",
    merge: Annotated[int, typer.Option(min=0, help="n: put n prepared parts together.")] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A dataset's own option, as report=scp: key=value."),
    ] = None,
) -> None:
    """Turn a dataset, as it was downloaded, into a signal store.

    Datasets: synthetic, ptb-xl, mimic-iv-ecg, cpsc2018, csn, cinc2021, code-test, and folder for
    recordings of your own. A store that stands and is unchanged is used as it is. DEST.html tells
    what is in it.

    Example: dbeta prepare ptb-xl ~/ptb-xl-1.0.3 stores/ptb-xl --hz 100
    """
    from dbeta_lib import data

    module = data.loader(name)
    wanted = 2 if hasattr(module, "plan") else 1
    if len(folders) != wanted:
        form = "DEST" if wanted == 1 else "SRC DEST"
        raise UsageError(f"prepare {name} takes {form}; {len(folders)} folders are given")
    source, dest = (folders[0] if wanted == 2 else None), folders[-1]
    if merge:
        if shard:
            raise UsageError("--shard prepares a part, --merge puts parts together: give one")
        if source is not None and not source.is_dir():
            raise UsageError(f"{source} is no folder; name the folder of {name}")
        _tell(data.merge(dest, merge, name=name, options={"sampling_rate": hz, "window": window}))
        return
    known = _own_options(module) | ({"keep_seconds": 10.0} if wanted == 2 else {})
    options = dict(setting(text, known) for text in settings or [])
    if wanted == 2:
        options |= {"window": window, "splits": splits}
    if shard:
        data.prepare(name, source, dest, hz, workers=workers, shard=_shard(shard), **options)
        return
    _tell(data.ensure_store(name, source, dest, workers=workers, sampling_rate=hz, **options))


def _tell(store) -> None:
    """Leave a page on the store beside it; the counts stay what is printed last."""
    from dbeta_lib.reporting import data_report

    data_report.write(store, store.path.with_name(f"{store.path.name}.html"))


def _own_options(module) -> dict:
    """The options of a dataset with their defaults."""
    makes = getattr(module, "plan", None) or module.prepare
    common = ("sampling_rate", "workers", "progress")
    return {
        p.name: p.default
        for p in inspect.signature(makes).parameters.values()
        if p.kind is p.KEYWORD_ONLY and p.name not in common
    }


def _shard(text: str) -> tuple[int, int]:
    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal()):
        raise UsageError(f"--shard takes i/n, as 0/16, not '{text}'")
    return int(number), int(of)


def verify(
    what: Annotated[list[str], typer.Argument(help="STORE, or NAME DIR for a download.")],
) -> None:
    """Is a store what was prepared, and do its leads and patients hold? Is a download whole?

    Example: dbeta verify stores/ptb-xl, or: dbeta verify ptb-xl ~/ptb-xl-1.0.3
    """
    if len(what) > 2:
        raise UsageError(f"verify takes STORE or NAME DIR; {len(what)} words are given")
    if not Path(what[-1]).is_dir():
        wanted = "a prepared signal store" if len(what) == 1 else "the folder of the download"
        raise UsageError(f"{what[-1]} is no folder; give {wanted}")
    if len(what) == 2:
        from dbeta_lib.download import verify as verify_download

        found = verify_download(what[0], Path(what[1]))
        typer.echo(str(found))
        found.check()
        return
    _verify_store(Path(what[0]))


def _verify_store(path: Path) -> None:
    from dbeta_lib.data.checks import verify as check
    from dbeta_lib.data.store import SignalStore

    found = check(SignalStore.open(path))
    typer.echo(f"{path}: {found['rows']} rows, as prepared; rows by split {found['split']}")
    typer.echo(f"Einthoven residual in mV: {found['residual_mv']}")
    typer.echo(f"records with a flat lead: {len(found['flat'])}")
    for row in found["swapped"].itertuples():
        typer.echo(f"{row.record_id}: {row.finding}")
    if found["crossing"]:
        raise DBetaError(f"patients on both sides of a split: {', '.join(found['crossing'][:10])}")


def download(
    name: Annotated[str, typer.Argument(help="A dataset that is offered openly.")],
    dest: Annotated[Path, typer.Argument(help="Folder to put it in.")],
    hz: Annotated[int, typer.Option(help="Where rates are offered apart: 100 or 500.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Files fetched at a time.")] = 4,
    base: Annotated[str, typer.Option(help="Address of a mirror.")] = "",
    accept: Annotated[
        bool, typer.Option("--accept-licence", help="Accept the licence that is printed.")
    ] = False,
) -> None:
    """Fetch an open dataset; the same command goes on where it was cut off.

    Example: dbeta download ptb-xl ~/ptb-xl-1.0.3 --hz 100
    """
    from dbeta_lib.download import download as fetch

    found = fetch(
        name, dest, base=base or None, workers=workers, hz=hz or None, accept_licence=accept
    )
    typer.echo(str(found))


DATA_COMMANDS = {"download": download, "verify": verify, "prepare": prepare}
