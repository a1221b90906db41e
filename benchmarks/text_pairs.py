"""What do published text encoders take for the same and the opposite, and how fast do they read?

    python benchmarks/text_pairs.py FOLDER_OR_NAME... [--store STORE]

Asks each text encoder, as it comes, the pairs of `dbeta_lib/evaluation/text_pairs.json` beside a
control that goes by words alone (TF-IDF of the pairs' own texts), and with --store embeds the
store's distinct training reports, timed by the processor's seconds. An encoder that is nowhere is
named and left out. Writes, with a page, benchmarks/results/<day>-text-pairs.json.
"""

import argparse
import datetime
import time
from pathlib import Path

import numpy as np
import pandas as pd
from kept import keep, machine

from dbeta_lib.data.store import SignalStore
from dbeta_lib.embedders import HubEmbedder, TfidfEmbedder, embed_reports
from dbeta_lib.errors import EncoderAbsent
from dbeta_lib.evaluation.text_pairs import load_pairs, pair_cosines, pair_table
from dbeta_lib.n3s import distinct_reports

CONTROL = "words alone (control)"


def facts(embedder: HubEmbedder) -> dict:
    """What the encoder is."""
    _, model = embedder._load()
    return {
        "architecture": model.config.model_type, "width": model.config.hidden_size,
        "parameters": sum(p.numel() for p in model.parameters()),
        "weights": embedder.describe()["weights"],
    }  # fmt: skip


def reading(embedder: HubEmbedder, reports: list[str]) -> dict:
    """How fast reports are embedded, and how alike the encoder finds two of them."""
    embed_reports(reports[:8], embedder)  # warm
    start = time.process_time()
    rows = embed_reports(reports, embedder)
    seconds = time.process_time() - start
    likeness = (rows @ rows.T)[np.triu_indices(len(rows), 1)]
    return {"reports": len(reports), "cpu_s": seconds, "reports_per_cpu_s": len(reports) / seconds,
            "mean_cosine": float(likeness.mean())}  # fmt: skip


def page(found: dict) -> str:
    """The result as Markdown."""
    table = pd.DataFrame(found["pairs"])
    cells = {
        (row.encoder, row.language, row.against): f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]"
        for row in table.itertuples()
    }
    asked = [(language, against) for against in ("unrelated", "opposite")
             for language in ("all", "en", "de")]  # fmt: skip
    heads = " | ".join(f"above {against}, {language}" for language, against in asked)
    lines = [
        f"| {name} | " + " | ".join(cells[name, *question] for question in asked) + " |"
        for name in dict.fromkeys(table["encoder"])
    ]
    read = [
        f"| {name} | {its['architecture']} | {its['parameters'] / 1e6:.1f} | {its['width']} | "
        + (f"{its['reports_per_cpu_s']:.0f} | {its['mean_cosine']:.2f} |"
           if "cpu_s" in its else "- | - |")
        for name, its in found["encoders"].items()
    ]  # fmt: skip
    store = f"{found['reports']:,} reports of {found['store']}" if found["store"] else "no store"
    left = "".join(f"\n\nLeft out: {sentence}" for sentence in found["absent"])
    newline = "\n"
    return f"""# What text encoders take for the same

`python benchmarks/text_pairs.py`, {found["day"]}, {found["machine"]}; {store}

Pair AUC of synonyms, {table["findings"].max()} findings, 1,000 resamples of the findings:

| text encoder, as it comes | {heads} |
|---|---|---|---|---|---|---|
{newline.join(lines)}

| text encoder | architecture | millions | width | reports per CPU second | mean cosine of two |
|---|---|---:|---:|---:|---:|
{newline.join(read)}{left}
"""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("encoders", nargs="*", help="text encoders: folders or hub names")
    parser.add_argument("--store", type=Path, help="whose training reports are embedded")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args(arguments)
    pairs, reports, store = load_pairs(), [], ""
    if given.store:
        opened = SignalStore.open(given.store)
        store, reports = opened.meta["name"], distinct_reports(opened)[1]
    cosines, encoders, absent = {CONTROL: pair_cosines(pairs, TfidfEmbedder().embed)}, {}, []
    for place in given.encoders:
        name, embedder = Path(place).name, HubEmbedder(place, progress=False)
        try:
            encoders[name] = facts(embedder)
        except EncoderAbsent as error:
            absent.append(str(error).split(";")[0])
            continue
        cosines[name] = pair_cosines(pairs, embedder.embed)
        encoders[name] |= reading(embedder, reports) if reports else {}
        print(name, encoders[name], flush=True)
    found = {"day": datetime.date.today().isoformat(), "machine": machine(), "store": store,
             "reports": len(reports), "encoders": encoders, "absent": absent,
             "pairs": pair_table(pairs, cosines).to_dict("records")}  # fmt: skip
    path = given.out / f"{found['day']}-text-pairs.json"
    keep(path, found, page(found))


if __name__ == "__main__":
    main()
