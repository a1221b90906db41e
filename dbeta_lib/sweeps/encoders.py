"""The sweep of text encoders as tables: what each row encodes with, what that gains and knows."""

from pathlib import Path

import pandas as pd

from dbeta_lib.embedders import HubEmbedder
from dbeta_lib.evaluation.text_pairs import pair_cosines
from dbeta_lib.sweeps.compare import Comparison
from dbeta_lib.sweeps.finished import FinishedRun
from dbeta_lib.sweeps.texts import READINGS

WEIGHTS = ("drawn here", "published")
TOLD = {"before": "as it comes", "after": "after D-BETA", "features": "D-BETA's text features"}


def encoder_table(compared: Comparison) -> pd.DataFrame:
    """A row per finished row: name, architecture, weights, frozen, width, layers, parameters.

    weights: one of `WEIGHTS`, what the text encoder began with. parameters: of the text encoder.
    Rows whose model reads no text are left out.
    """
    rows = {}
    for run in compared.runs:
        facts = run.facts.get("text_encoder")
        if facts and run.name not in rows:
            given = WEIGHTS[bool(facts["name"])]
            kept = {key: facts[key] for key in
                    ("architecture", "frozen", "width", "layers", "parameters")}  # fmt: skip
            rows[run.name] = {"name": run.name, "weights": given, **kept}
    columns = ["name", "weights", "architecture", "frozen", "width", "layers", "parameters"]
    counts = dict.fromkeys(("width", "layers", "parameters"), "int64")  # of no rows too
    return pd.DataFrame(rows.values(), columns=columns).astype(counts)


def encoder_gains(compared: Comparison, reference: str, question: str) -> pd.DataFrame:
    """`Comparison.verdicts` of every other row against `reference`, with `encoder_table`'s columns.

    The index is the row's name. Rows without these scores, or without a seed that the reference
    has, are left out.
    """
    table = encoder_table(compared).set_index("name")
    pairs = {name: (name, reference) for name in table.index if name != reference}
    return compared.verdicts(pairs, question).join(table)


def thawed(names: list[str]) -> dict[str, tuple[str, str]]:
    """Pairs for `Comparison.verdicts`: each row that is trained against the same one, frozen."""
    return {name: (name, f"{name}, frozen") for name in names if f"{name}, frozen" in names}


def pairs_of(run: FinishedRun) -> dict[str, pd.Series]:
    """ "MiniLM, frozen: as it comes" -> cosines of the text pairs; one for each of `TOLD`.

    A frozen encoder is after the training what it was before, and is told once.
    """
    if run.text_pairs is None:
        return {}
    frozen = run.facts["text_encoder"]["frozen"]
    asked = [name for name in READINGS if not (frozen and name == "after")]
    return {f"{run.name}: {TOLD[name]}": run.text_pairs[name] for name in asked}


def pairs_of_folders(folder: Path | str, pairs: pd.DataFrame) -> dict[str, pd.Series]:
    """The same of every text encoder that lies in `folder`, by its folder's name."""
    found = sorted(path.parent for path in Path(folder).expanduser().glob("*/config.json"))
    asked = {path.name: HubEmbedder(str(path), progress=False) for path in found}
    return {
        f"{name}: {TOLD['before']}": pd.Series(pair_cosines(pairs, embedder.embed))
        for name, embedder in asked.items()
    }
