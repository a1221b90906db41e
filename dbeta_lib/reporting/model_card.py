"""A box's model card and data statement, written from the files in it.

Every number comes from `box.json`, `summary.json` or a result record, and both texts can be made
again from the box, which a test does. The card follows Mitchell et al. (Model Cards for Model
Reporting, FAT* 2019), the statement Bender and Friedman (Data Statements, TACL 6, 2018).
"""

from pathlib import Path
from typing import Any

import pandas as pd

from dbeta_lib.download.catalogue import CATALOGUE
from dbeta_lib.evaluation.results import load_all, split_note, without_digest
from dbeta_lib.files import read_json
from dbeta_lib.reporting.tables import format_interval, show

PAPER = (
    "Pham, Saeed and Ma, Boosting Masked ECG-Text Auto-Encoders as Discriminative Learners, ICML "
    "2025, arXiv 2410.02131"
)
LICENCE = "CC BY 4.0"  # of the weights: what made them is under it, and asks to be named
FACTS = {  # what is known of a data set beyond its files, with the source of it
    "ptb-xl": (
        "12-lead ECGs of 10 s, recorded between October 1989 and June 1996 with devices of "
        "Schiller AG; reports and SCP-ECG statements by up to two cardiologists, a part of them "
        "by the device and checked by nobody (Wagner et al., Scientific Data 7, 154, 2020). The "
        "institutional ethics committee approved that the anonymous data be published "
        "(PTB-2020-1; the data set's page)."
    ),
}
_INTENDED = """\
For teaching and research: to see at once, without a download and before any training, what such a
model does with an ECG; as the start of experiments; as a small baseline.

**Not for patients.** It is no medical device, was tested on no patient's care, and its scores are
similarities without a threshold or a probability. Nobody should take or leave a decision about a
person's health because of them: no clinician, no patient, no insurer, no employer. Do not identify
persons with its features."""
_LIMITS = """\
- One hospital's data in the training, small network, few steps: on ECGs of other carts, hospitals
  and populations expect less than the tables say; nothing here measures how much.
- Recordings of 10 s, twelve leads. What is shorter is filled with zeros, and so is a missing lead:
  expect less of both.
- Texts are best worded as the reports of the training are. A negation ("no ST elevation") may be
  read past.
- The text side reads what it knows from reports: a class that no report names has a score all the
  same, and it means nothing. Classes with few positives have wide intervals: look at them.
- A finding that the reports' authors left out was taught as absent."""


def card(told: dict[str, Any], folder: Path) -> str:
    """MODEL_CARD.md. told: what `box.json` says; folder: the box."""
    summary, results = read_json(folder / "summary.json"), load_all(folder / "results")
    model, data = told["model"], told["data"]
    own = results[results["weights_hash"] == model["weights"]]
    parts = [
        f"# Model card: D-BETA {model['size']}, pre-trained on {_title(data)}",
        told["sentence"] + " Written by `dbeta report RESULTS --box DIR` from the files beside it.",
        _facts(told, summary, folder),
        "## What it is for, and who must not use it\n\n" + _INTENDED,
        "## What made it\n\n" + _made(told, summary, own),
        "## How well it does\n\n" + _measured(results, own, data),
        "## Limits\n\n" + _LIMITS,
        "## What to cite\n\n" + _cite(data),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _title(data: dict[str, Any]) -> str:
    return {"ptb-xl": "PTB-XL"}.get(data["name"], data["name"])


def _facts(told: dict[str, Any], summary: dict[str, Any], folder: Path) -> str:
    model, config = told["model"], summary["identity"]["config"]
    ecg, weights = config["ecg"], folder / "model" / "model.safetensors"
    seconds = ecg["samples"] / ecg["sampling_rate"]
    rows = {
        "takes": f"{ecg['channels']} leads, {seconds:g} s at {ecg['sampling_rate']} Hz, mV; texts "
        f"of up to {config['text']['max_text_tokens']} tokens, lower case",
        "gives": f"{model['features']} features of an ECG or a text, and their similarity",
        "parameters": f"{model['parameters']:,}, switches `{model['switches']}`",
        "file": f"`model/model.safetensors`, {weights.stat().st_size / 1e6:.1f} MB, float32",
        "hash of the weights": f"`{model['weights']}`",
        "packed": f"{told['packed']} with {_versions(told['versions'])}",
        "licence of the weights": f"{LICENCE}, with the attribution below; the code is Apache-2.0",
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {k} | {v} |" for k, v in rows.items())])


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _made(told: dict[str, Any], summary: dict[str, Any], own: pd.DataFrame) -> str:
    data, training = told["data"], told["data"]["training"]
    lines = [
        f"{_title(data)}, {data['part']}: {training['records']:,} ECGs of "
        f"{training['patients']:,} patients with their reports; labels were not read. "
        f"{summary['steps']:,} steps, {summary['records']:,} records drawn, "
        f"{summary['seconds'] / 60:.0f} minutes on {summary['device']}. "
        f"Code: commit {told['commit']} packed it, {_commits(own)} measured it; the training "
        f"code's hash is `{summary['identity']['library_code']}`.",
        "",
        "The commands that make it again, `DATA` being the data set as downloaded:",
        "",
        "```bash",
        *told["commands"],
        "```",
    ]
    return "\n".join(lines)


def _commits(results: pd.DataFrame) -> str:
    """Those of the records' code; records of before the field name none."""
    return " and ".join(sorted(set(results["commit"]) - {""})) or "one that is not known"


def _measured(results: pd.DataFrame, own: pd.DataFrame, data: dict[str, Any]) -> str:
    domain = own["domain"].iloc[0]
    parts = [
        "Macro AUC with 95 % intervals by bootstrap over patients, on test records whose patients "
        f"were in no training. These numbers are **{domain}**: training read other records of the "
        "same data set, signals and reports. A result computed on the training part itself would "
        "have its signals seen.",
        _table(results[results["protocol"] == "zero-shot"], "Zero-shot"),
    ]
    probes = results[results["protocol"] == "linear probe"]
    if len(probes):
        title = "Linear probe on frozen features, all labelled training records"
        parts.append(_table(probes, title))
    for task, of_task in own[own["protocol"] == "zero-shot"].groupby("task", sort=True):
        parts.append(_classes(of_task, task))
    note = split_note(results)
    return "\n\n".join([*parts, *([note] if note else [])])


def _table(results: pd.DataFrame, title: str) -> str:
    rows = []
    ordered = results.sort_values(["task", "value"], ascending=[True, False], kind="stable")
    for row in ordered.to_dict("records"):
        wording = without_digest(row["variant"])
        value = format_interval(row["value"], row["low"], row["high"], 3, 3)
        classes = f"{int(row['k_used'])} of {int(row['k'])}"
        rows.append((row["task"], row["encoder"], wording, value, row["n"], classes))
    heads = ["task", "encoder", "asked as", "macro AUC", "n", "classes"]
    frame = pd.DataFrame(rows, columns=heads)
    if not frame["asked as"].any():
        frame = frame.drop(columns="asked as")
    return f"{title}:\n\n{show(frame).to_markdown()}"


def _classes(results: pd.DataFrame, task: str) -> str:
    """Class by class, of the wording that `dbeta predict` asks; not chosen by its result."""
    ranked = sorted(results["variant"], key=lambda v: (not v.startswith("ensemble"), -len(v), v))
    chosen = results[results["variant"] == ranked[0]].iloc[0]
    rows = [
        (name, format_interval(one["auc"], one["low"], one["high"], 3, 3), int(one["positives"]))
        for name, one in chosen["per_class"].items()
    ]
    table = show(pd.DataFrame(rows, columns=["class", "AUC", "positives"])).to_markdown()
    wording = without_digest(chosen["variant"])
    summary = f"Zero-shot, {task}, class by class ({wording}, n = {chosen['n']:,})"
    return f"<details><summary>{summary}</summary>\n\n{table}\n</details>"


def _cite(data: dict[str, Any]) -> str:
    return f"The method: {PAPER}.\n\nThe data: {CATALOGUE[data['name']].citation}."


def described(records: pd.DataFrame, store) -> dict[str, Any]:
    """Of records that were trained on: how many, of whom, in which languages, with which labels."""
    rows = records.index.to_numpy()
    patients = records.drop_duplicates("patient_id")
    ages = patients["age"].dropna()
    quartiles = ages.quantile([0.25, 0.5, 0.75]).tolist() if len(ages) else []
    labels = {task: store.labels(task).to_numpy()[rows].sum(axis=0) for task in store.tasks()}
    return {
        "records": len(records),
        "patients": len(patients),
        "with_report": int((records["report_id"] >= 0).sum()),
        "distinct_reports": int(records.loc[records["report_id"] >= 0, "report_id"].nunique()),
        "languages": {k: int(v) for k, v in records["language"].value_counts().items()},
        "sex": {k: int(v) for k, v in patients["sex"].value_counts().items()},
        "age_quartiles": quartiles,
        "labels": {
            task: dict(zip(map(str, store.labels(task).columns), map(int, counts)))
            for task, counts in labels.items()
        },
    }


def statement(told: dict[str, Any], folder: Path) -> str:
    """DATA_STATEMENT.md: what the model was shown, and whose it is. `folder` as in `card`."""
    data, training = told["data"], told["data"]["training"]
    official = CATALOGUE[data["name"]]
    options = ", ".join(f"{key} {value or 'none'}" for key, value in data["options"].items())
    parts = [
        f"# Data statement: what the model in this folder was trained on\n\n{told['sentence']}",
        "## Source\n\n"
        f"{_title(data)}, licence {official.licence}; its page offers now: {official.title}, "
        f"<{official.page}>. {FACTS.get(data['name'], '')}\n\n"
        f"Read here: version {data['source']['version']}, {data['counts']['records']:,} records "
        f"(checksum `{data['source']['checksum']}`). "
        f"Prepared with {options}; fingerprint of the store `{data['fingerprint']}`. "
        f"Set aside, with reasons: {data['counts']['set_aside'] or 'none'}.",
        f"## Who and what\n\n{_who(data, training)}",
        "## Language\n\n"
        f"Reports as {'made from labels' if data['reports_from_labels'] else 'published'}, "
        "lower-cased and white space folded: "
        f"{training['with_report']:,} records with one of {training['distinct_reports']:,} "
        f"different texts. By language, found by their words: {_counts(training['languages'])}. "
        "They are shorthand of one profession, with spelling mistakes and the cart's own remarks.",
        "## Findings in the training records\n\n"
        f"Labels trained nothing; they say what was there.\n\n{_labels(training)}",
        "## What is not here\n\n"
        "No name, date or place of a patient is in the box. `seen.parquet` lists the numbers of "
        "the records and patients, as published, and a hash of each signal, so that a result can "
        "say whether its records had been seen.",
        f"## What to cite\n\n{_cite(data)}",
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _who(data: dict[str, Any], training: dict[str, Any]) -> str:
    ages = training["age_quartiles"]
    told = (
        f"quartiles of age {', '.join(f'{age:.0f}' for age in ages)} years" if ages else "no ages"
    )
    return (
        f"Of these {data['part']} trained it: {training['records']:,} ECGs of "
        f"{training['patients']:,} patients ({_counts(training['sex'])}; {told}). Records by "
        "split: "
        f"{_counts(data['counts']['split'])}; no patient stands in two of them."
    )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _labels(training: dict[str, Any]) -> str:
    return "\n".join(
        f"- {task}: {_counts(dict(sorted(counts.items(), key=lambda c: -c[1])))}"
        for task, counts in training["labels"].items()
    )
