"""What is in a signal store, counted: one function per question, each with a table as its answer.

`rows` are windows of 10 s; a record has one or several of them. What belongs to a record (its
report, age, sex) is counted once per record, what belongs to a signal once per row.
"""

import numpy as np
import pandas as pd

from dbeta_lib.data.signals import unpack_bits
from dbeta_lib.data.splits import crossing_patients
from dbeta_lib.data.store import SPLITS, UNUSED, SignalStore
from dbeta_lib.leads import LEADS
from dbeta_lib.reporting.tables import NOTHING, Table, show

ORDER = (*SPLITS, UNUSED)
_AGES = (0, 18, 40, 60, 80, np.inf)
_AGE_NAMES = ("under 18", "18 to 39", "40 to 59", "60 to 79", "80 and over")
_SEXES = ("female", "male", "unknown")
_FINDINGS = (
    ("leads_present", "with a missing lead (zeros, masked)"),
    ("flat_leads", "with a flat lead (kept as recorded)"),
    ("nan_filled", "with short gaps (interpolated)"),
    ("padded", "shorter than the window (zeros after their end)"),
)


def once(store: SignalStore) -> pd.DataFrame:
    """The records of a store, the first row of each."""
    return store.records.drop_duplicates("record_id")


def present_splits(records: pd.DataFrame) -> list[str]:
    """train, val and test, and "unused" where rows are in it."""
    return [s for s in ORDER if s in SPLITS or (records["split"] == s).any()]


def share(part: float, whole: float) -> str:
    """ "12 (3.4 %)", "0", and "–" where there is nothing to have a share of."""
    if not whole or not part:
        return "0" if whole else NOTHING
    percent = 100 * part / whole
    return f"{int(part):,} ({percent:.1f} %)" if percent >= 0.05 else f"{int(part):,} (< 0.1 %)"


def splits(store: SignalStore) -> Table:
    """Rows, records, patients and reports of each split, and of all."""
    found = []
    for split in (*present_splits(store.records), "all"):
        rows = store.records if split == "all" else store.records[store.records["split"] == split]
        of = rows.drop_duplicates("record_id")
        text = of["report_id"][of["report_id"] >= 0]
        found.append(
            {
                "split": split, "rows": len(rows), "records": len(of),
                "patients": of["patient_id"].nunique(), "with a report": len(text),
                "distinct reports": text.nunique(),
            }
        )  # fmt: skip
    return show(pd.DataFrame(found))


def crossing(store: SignalStore) -> list[str]:
    """Patients in more than one of train, val and test: none is what must be."""
    used = store.records[store.records["split"] != UNUSED]
    return crossing_patients(used["patient_id"], used["split"])


def leads(store: SignalStore) -> Table:
    """In how many rows each lead is present, missing and flat."""
    there = store.lead_mask().sum(axis=0)
    flat = unpack_bits(store.records["flat_leads"].to_numpy()).sum(axis=0)
    n = len(store)
    rows = [
        (lead, f"{yes:,}", share(n - yes, n), share(still, n))
        for lead, yes, still in zip(LEADS, there, flat)
    ]
    return Table(
        ("lead", "recorded", "missing", "flat"), tuple(rows), (False, True, True, True), "Leads"
    )


def quality(store: SignalStore) -> Table:
    """Rows by what was noticed: leads, gaps, length, and the findings of the checks."""
    records, n = store.records, len(store)
    whole = (1 << len(LEADS)) - 1
    rows = []
    for column, words in _FINDINGS:
        hit = records[column] != whole if column == "leads_present" else records[column] > 0
        rows.append((words, hit))
    names = records["findings"].str.split(",").explode()
    for name in sorted(set(names) - {""}):
        hit = pd.Series(False, records.index)
        hit[names.index[names == name]] = True
        rows.append((f"finding of the checks: {name}", hit))
    cells = [
        (words, share(hit.sum(), n), ", ".join(records["record_id"][hit].unique()[:5]))
        for words, hit in rows
    ]
    return Table(("rows", "n", "for example"), tuple(cells), (False, True, False), "Quality")


def lengths(store: SignalStore) -> Table:
    """Windows per record, seconds recorded per row, and samples interpolated."""
    per_record = store.records.groupby("record_id", sort=False).size()
    samples, hz = store.meta["samples"], store.sampling_rate
    filled = store.records["nan_filled"]
    what = {
        "windows per record": per_record,
        "seconds recorded in a window": (samples - store.records["padded"]) / hz,
        "samples interpolated, in rows with gaps": filled[filled > 0],
    }
    quantiles = {"smallest": 0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "largest": 1}
    rows = [
        (name, f"{len(values):,}", *(_number(values, q) for q in quantiles.values()))
        for name, values in what.items()
    ]
    return Table(("", "n", *quantiles), tuple(rows), (False,) + (True,) * 6, "Lengths")


def prevalence(store: SignalStore, task: str) -> tuple[Table, list[str]]:
    """Positives of each class by split, commonest first; and classes that a split lacks.

    Shares are of the rows that have a label of the task, as every evaluation counts them.
    """
    labels = store.labels(task).reset_index(drop=True)
    split = store.records["split"].reset_index(drop=True)
    valid = labels.any(axis=1)
    names = present_splits(store.records)
    counts = pd.DataFrame({s: labels[split == s].sum() for s in names}).astype(int)
    sizes = {s: int((valid & (split == s)).sum()) for s in names}
    counts = counts.iloc[np.argsort(-counts.sum(axis=1).to_numpy(), kind="stable")]
    everything = sum(sizes.values())
    rows = [
        (str(name), share(row.sum(), everything), *(share(row[s], sizes[s]) for s in names))
        for name, row in counts.iterrows()
    ]
    rows.append(("rows with a label", f"{everything:,}", *(f"{n:,}" for n in sizes.values())))
    bare = [int(((split == s) & ~valid).sum()) for s in names]
    rows.append(("rows without", f"{sum(bare):,}", *(f"{n:,}" for n in bare)))
    absent = [
        f"{name} in {s}"
        for name, row in counts.iterrows()
        for s in SPLITS
        if row[s] == 0 < sizes[s]
    ]
    head = ("class", "all", *names)
    return Table(head, tuple(rows), (False,) + (True,) * (1 + len(names))), absent


def languages(store: SignalStore) -> Table:
    """Records with a report by its language and split."""
    of = once(store)
    of = of[of["report_id"] >= 0]
    table = pd.crosstab(of["language"], of["split"]).reindex(
        columns=present_splits(store.records), fill_value=0
    )
    table = table.iloc[np.argsort(-table.sum(axis=1).to_numpy(), kind="stable")]
    sizes = table.sum()
    rows = [(str(i), *(share(r[s], sizes[s]) for s in table)) for i, r in table.iterrows()]
    return Table(("language", *table.columns), tuple(rows), (False,) + (True,) * table.shape[1])


def shared_reports(store: SignalStore) -> list[str]:
    """For val and test: how many of the records carry a text that also occurs in train."""
    of = once(store)
    of = of[of["report_id"] >= 0]
    known = set(of["report_id"][of["split"] == "train"])
    said = []
    for split in ("val", "test"):
        ids = of["report_id"][of["split"] == split]
        if len(ids):
            said.append(f"{split} {share(ids.isin(known).sum(), len(ids))}")
    return said


def people(store: SignalStore) -> Table:
    """Records by age and sex."""
    of = once(store)
    group = pd.cut(of["age"], _AGES, right=False, labels=_AGE_NAMES).astype(object)
    table = pd.crosstab(group.fillna("unknown"), of["sex"].where(of["sex"].isin(_SEXES), "unknown"))
    table = table.reindex([*_AGE_NAMES, "unknown"], columns=_SEXES, fill_value=0)
    n = len(of)
    rows = [(name, *(share(row[s], n) for s in _SEXES)) for name, row in table.iterrows()]
    rows.append(("all", *(share(table[s].sum(), n) for s in _SEXES)))
    return Table(("age [years]", *_SEXES), tuple(rows), (False,) + (True,) * len(_SEXES))


def ages(store: SignalStore) -> str:
    """Median and quartiles of the ages that are known, in words."""
    known = once(store)["age"].dropna()
    if known.empty:
        return "No age is known."
    low, middle, high = known.quantile([0.25, 0.5, 0.75])
    return (
        f"Median age {middle:.0f} years (quartiles {low:.0f} and {high:.0f}, "
        f"from {known.min():.0f} to {known.max():.0f}; known for {len(known):,} records)."
    )


def duplicate_signals(store: SignalStore) -> pd.DataFrame:
    """Groups of rows with the very same samples: whose they are, and whether splits share them.

    Columns rows, whose ("one record" = its windows, "one patient", "several patients"), across
    (True: in more than one of train, val and test), splits and records (texts); the gravest first.
    """
    rows = store.records[store.records["signal_hash"].duplicated(keep=False)]
    groups = rows.groupby("signal_hash", sort=False)
    found = pd.DataFrame({"rows": groups.size()})
    one_record, one_patient = (
        groups["record_id"].nunique() == 1,
        groups["patient_id"].nunique() == 1,
    )
    found["whose"] = np.select(
        [one_record, one_patient], ["one record", "one patient"], "several patients"
    )
    used = rows[rows["split"] != UNUSED].groupby("signal_hash")["split"].nunique()
    found["across"] = used.reindex(found.index, fill_value=0) > 1
    found["splits"] = groups["split"].agg(lambda s: ", ".join(sorted(set(s), key=ORDER.index)))
    found["records"] = groups["record_id"].agg(lambda names: ", ".join(dict.fromkeys(names)))
    is_grave = 2 * found["across"] + (found["whose"] == "several patients")
    return found.iloc[np.argsort(-is_grave.to_numpy(), kind="stable")].reset_index(drop=True)


def _number(values: pd.Series, quantile: float) -> str:
    return f"{values.quantile(quantile):,.4g}" if len(values) else NOTHING
