"""`dbeta predict`: what a model says of one's own ECGs."""

from pathlib import Path
from typing import Annotated

import typer

from dbeta_lib.command_models import optional_file, optional_folder, optional_model
from dbeta_lib.errors import DBetaError, UsageError

PAGES = 20  # recordings of a folder that get their own place on its page
MANY = 4  # classes that a folder's table names


def predict(
    ecgs: Annotated[Path, typer.Argument(help="A recording, or a folder of them: FILE|DIR.")],
    model: Annotated[
        Path | None,
        typer.Option(help="A folder that save_pretrained wrote.", callback=optional_model),
    ] = None,
    task: Annotated[str, typer.Option(help="Classes that the kit describes.")] = "super",
    prompts: Annotated[
        Path | None,
        typer.Option(help="Your own classes: JSON of name and texts.", callback=optional_file),
    ] = None,
    neighbours: Annotated[
        Path | None,
        typer.Option(help="A prepared store to find alike ECGs in.", callback=optional_folder),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with the ECG on paper.")] = None,
    png: Annotated[Path | None, typer.Option(help="Write the ECG on paper, of one FILE.")] = None,
    features: Annotated[Path | None, typer.Option(help="Write the features as .npz.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the scores, a line a class.")] = None,
    rate: Annotated[float, typer.Option(min=0, help="Hz of CSV and NumPy files.")] = 0,
    leads: Annotated[str, typer.Option(help="Leads of NumPy files, as I,II,V2.")] = "",
    units: Annotated[str, typer.Option(help="Units of CSV and NumPy files.")] = "mV",
    limit: Annotated[int, typer.Option(min=1, help="Most recordings of a folder.")] = 1000,
) -> None:
    """What does a model say of this ECG? Findings, features, scores; no network.

    WFDB, EDF, CSV, NumPy; DICOM, HL7 aECG, SCP-ECG and carts' XML with the extra "formats". Without
    --model the small one that comes with the kit answers. Tasks: super, sub, form, rhythm and those
    of the other data sets. For research and teaching, not for diagnosis.

    Example: dbeta predict my-ecg.edf --html page.html --neighbours stores/ptb-xl
    """
    from dbeta_lib.prediction import predict as ask
    from dbeta_lib.prediction import predict_folder

    options = {
        "task": task, "prompts": prompts, "neighbours": neighbours, "sampling_rate": rate or None,
        "leads": [name for name in leads.split(",") if name.strip()] or None, "units": units,
    }  # fmt: skip
    if ecgs.is_dir():
        if png:
            raise UsageError(f"--png draws one recording; name a file in {ecgs}, or give --html")
        found = predict_folder(ecgs, model, **options, limit=limit)
        _tell_many(ecgs, found, html, features, csv)
        return
    told = ask(ecgs, model, **options)
    typer.echo(told.text())
    _write(features, csv, [told])
    if html:
        _save(html, told.html().encode())
    if png:
        _save(png, told.figure().to_png())


def _tell_many(folder: Path, found, html: Path | None, features: Path | None, csv: Path | None):
    """A line a recording as it comes, then what could not be read; the pages and tables asked."""
    from dbeta_lib.prediction import NOTICE, Unread
    from dbeta_lib.prediction.page import folded, many
    from dbeta_lib.prediction.result import summary, summary_key, summary_table

    kept, unread, pages = [], [], []
    for each in found:
        if isinstance(each, Unread):
            unread.append(each)
            continue
        if not kept:
            about = each.about
            typer.echo("\n".join([about.name, *about.sentences(), summary_key(about), ""]))
        typer.echo(summary(each, MANY))
        if html and len(pages) < PAGES:
            pages.append(folded(each))
        kept.append(each.without_signal())
    for each in unread:
        typer.echo(f"X {each.says}")
    recordings = "1 recording" if len(kept) == 1 else f"{len(kept)} recordings"
    typer.echo(f"\n{recordings}, {len(unread)} not read. {NOTICE}")
    if not kept:
        raise DBetaError(f"{folder}: no recording in it could be read, as is said above")
    _write(features, csv, kept)
    if html:
        _save(html, many(str(folder), pages, summary_table(kept), unread).encode())


def _write(features: Path | None, csv: Path | None, told: list) -> None:
    import io

    import numpy as np
    import pandas as pd

    if features:
        buffer = io.BytesIO()
        names = np.array([each.name for each in told])
        np.savez(buffer, record=names, features=np.stack([each.features for each in told]))
        _save(features, buffer.getvalue())
    if csv:
        rows = pd.concat([each.rows() for each in told])
        _save(csv, rows.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode())


def _save(path: Path, data: bytes) -> None:
    from dbeta_lib.files import atomic_write

    with atomic_write(path) as partial:
        partial.write_bytes(data)
    typer.echo(f"written: {path}")


PREDICTION_COMMANDS = {"predict": predict}
