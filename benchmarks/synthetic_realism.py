"""Do synthetic ECGs look like real ones? The same ruler on PTB-XL's normal sinus records and ours.

    python benchmarks/synthetic_realism.py --data ../shared/data/ptb-xl

writes benchmarks/results/<day>-synthetic-realism.json (medians and ranges, the spectrum, what leads
have in common) and figures/synthetic_vs_real.png. The test: every median of PR, QRS and QT, of the
R amplitudes and of the noise lies within the 5 to 95 % range of the real records; exit code 1 when
one does not. With --neurokit the intervals of lead II are measured by neurokit2's wavelets too.
"""

import argparse
import ast
import datetime
from pathlib import Path

import numpy as np
import pandas as pd
from ecg_measures import INDEPENDENT, measure
from scipy.signal import resample_poly, welch

from dbeta_lib.data.synthetic import CONDITIONS, generate
from dbeta_lib.data.wfdb_read import read_wfdb
from dbeta_lib.evaluation.results import versions
from dbeta_lib.files import sha256_file, write_json
from dbeta_lib.leads import LEADS

ROOT = Path(__file__).resolve().parents[1]
TESTED = ("pr", "qrs", "qt", "r_ii", "r_v5", "noise_beats", "noise_high", "wander")
BANDS = ((0.2, 0.6), (0.6, 1.5), (1.5, 3), (3, 6), (6, 10), (10, 15), (15, 25), (25, 35), (35, 45))
_FOLDER = {100: "filename_lr", 500: "filename_hr"}
# What stands side by side in the figure: a condition, and the PTB-XL codes nearest to it.
SHOWN = (
    ("normal ecg", ("NORM", "SR"), 0),
    ("left bundle branch block", ("CLBBB", "SR"), 2),
    ("right bundle branch block", ("CRBBB", "SR"), 2),
    ("left ventricular hypertrophy", ("LVH", "SR"), 1),
    ("anterior infarct", ("ASMI", "SR"), 1),
    ("atrial fibrillation", ("AFIB",), 1),
)

ROW_MV = 4.0  # between two rows of leads: the tall S waves of LBBB and LVH need it


def main() -> int:
    """Measure, write, say. Exit code 0 when all tested medians lie within the real range."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--data", type=Path, required=True, help="PTB-XL as published")
    options.add_argument("--patients", type=int, default=1334, help="of the synthetic cohort")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--neurokit", action="store_true", help="a second ruler (slow)")
    options.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options.add_argument("--figure", type=Path, default=ROOT / "figures" / "synthetic_vs_real.png")
    given = options.parse_args()
    table = read_ptb_xl(given.data)
    result = {"versions": versions(), "seed": given.seed, "patients": given.patients,
              "real_table_sha256": sha256_file(given.data / "ptbxl_database.csv")}  # fmt: skip
    for rate in (100, 500):
        real = real_normals(given.data, table, rate)
        patients = given.patients if rate == 100 else min(given.patients, 300)
        ecg, records, labels = generate(patients, 3, rate, given.seed)
        normal = ecg[labels["normal ecg"].to_numpy() == 1] / 1000.0
        result[f"{rate}_hz"] = compare(real, normal, rate, given.neurokit)
        if rate == 100:
            draw(given.figure, given.data, table, ecg, records, labels)
    day = datetime.date.today().isoformat()
    write_json(given.out / f"{day}-synthetic-realism.json", result)
    return report(result)


def read_ptb_xl(folder: Path) -> pd.DataFrame:
    """`ptbxl_database.csv` with the set of each record's SCP codes in `codes`."""
    table = pd.read_csv(folder / "ptbxl_database.csv", index_col="ecg_id")
    return table.assign(codes=table["scp_codes"].map(lambda text: set(ast.literal_eval(text))))


def real_normals(folder: Path, table: pd.DataFrame, rate: int) -> np.ndarray:
    """mV `[n, 12, 10 * rate]` of the records that are NORM and SR and are there at this rate."""
    normal = table[table["codes"].map({"NORM", "SR"}.issubset)]
    names = [name for name in normal[_FOLDER[rate]] if (folder / f"{name}.hea").is_file()]
    return np.stack([read_wfdb(folder, name, rate).ecg for name in names])


def compare(real: np.ndarray, synthetic: np.ndarray, rate: int, neurokit: bool) -> dict:
    """Quantiles of every measurement, the spectrum and the lead correlations of both groups."""
    groups = {"real": real, "synthetic": synthetic}
    measured = {
        name: pd.DataFrame([measure(one, rate) for one in ecg]) for name, ecg in groups.items()
    }
    if neurokit:
        for name, ecg in groups.items():
            more = pd.DataFrame([measure_by_neurokit(one, rate) for one in ecg[:300]])
            measured[name] = pd.concat([measured[name], more], axis=1)
    return {
        "n": {name: len(ecg) for name, ecg in groups.items()},
        "measurements": quantiles(measured["real"], measured["synthetic"]),
        "spectrum_db": spectrum(real, synthetic, rate),
        "lead_correlation": correlations(real, synthetic),
    }


def quantiles(real: pd.DataFrame, synthetic: pd.DataFrame) -> dict:
    """5, 50 and 95 % of both, and whether the synthetic median lies within the real 5 to 95 %."""
    table = {}
    for name in real.columns:
        r, s = (np.nanquantile(group[name], [0.05, 0.5, 0.95]) for group in (real, synthetic))
        table[name] = {
            "real": r.round(4).tolist(),
            "synthetic": s.round(4).tolist(),
            "within": bool(r[0] <= s[1] <= r[2]),
        }
    return table


def spectrum(real: np.ndarray, synthetic: np.ndarray, rate: int) -> dict:
    """Median power of II, V1 and V5 in bands (dB re mV^2/Hz), real and synthetic."""
    table = {}
    for lead in ("II", "V1", "V5"):
        bands = {}
        for low, high in BANDS:
            pair = []
            for ecg in (real, synthetic):
                f, power = welch(ecg[:, LEADS.index(lead)], rate, nperseg=4 * rate, axis=1)
                inside = power[:, (f >= low) & (f < high)].mean(axis=1)
                pair.append(round(float(np.median(10 * np.log10(inside + 1e-12))), 1))
            bands[f"{low:g}-{high:g} Hz"] = pair
        table[lead] = bands
    return table


def correlations(real: np.ndarray, synthetic: np.ndarray) -> dict:
    """Median correlation between independent leads within a record, real and synthetic."""
    medians = [
        np.median([np.corrcoef(one[INDEPENDENT]) for one in ecg], axis=0)
        for ecg in (real, synthetic)
    ]
    names = [LEADS[i] for i in INDEPENDENT]
    return {
        f"{names[i]}-{names[j]}": [round(float(m[i, j]), 2) for m in medians]
        for i in range(8)
        for j in range(i)
    }


def measure_by_neurokit(ecg: np.ndarray, rate: int) -> dict[str, float]:
    """PR, QRS and QT (ms) of lead II as neurokit2 delineates them; {} where it finds nothing."""
    import neurokit2

    signal = resample_poly(ecg[1], 500 // rate, 1) if rate < 500 else ecg[1]
    try:
        clean = neurokit2.ecg_clean(signal, sampling_rate=500)
        peaks = neurokit2.ecg_peaks(clean, sampling_rate=500)[1]["ECG_R_Peaks"]
        waves = neurokit2.ecg_delineate(clean, peaks, sampling_rate=500, method="dwt")[1]
    except (ValueError, IndexError, ZeroDivisionError, KeyError):
        return {}
    at = {name: np.array(waves[f"ECG_{name}"], dtype=float) for name in
          ("P_Onsets", "R_Onsets", "R_Offsets", "T_Offsets")}  # fmt: skip
    return {
        "neurokit_pr": 2 * np.nanmedian(at["R_Onsets"] - at["P_Onsets"]),
        "neurokit_qrs": 2 * np.nanmedian(at["R_Offsets"] - at["R_Onsets"]),
        "neurokit_qt": 2 * np.nanmedian(at["T_Offsets"] - at["R_Onsets"]),
    }


def draw(
    path: Path,
    folder: Path,
    table: pd.DataFrame,
    ecg: np.ndarray,
    records: pd.DataFrame,
    labels: pd.DataFrame,
) -> None:
    """Real left, synthetic right, one row per condition of SHOWN; the 12 leads for 2.5 s each."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.0, 3.2 * len(SHOWN)), layout="constrained")
    figure.supxlabel("one square: 0.2 s across, 0.5 mV up; each lead for 2.5 s", fontsize=9)
    for row, (condition, codes, nth) in enumerate(SHOWN):
        real = table[table["codes"].map(set(codes).issubset)]
        real = real[real["codes"].map(len) <= len(codes) + 1]
        real = real[[(folder / f"{name}.hea").is_file() for name in real["filename_lr"]]]
        name = real["filename_lr"].iloc[min(nth, len(real) - 1)]
        mine = np.flatnonzero((labels[condition] == 1) & alone(labels, condition))[3 * nth]
        left = figure.add_subplot(len(SHOWN), 2, 2 * row + 1)
        right = figure.add_subplot(len(SHOWN), 2, 2 * row + 2)
        title = f"real: {condition} (PTB-XL {int(name[-8:-3])}, {codes[0]})"
        paper(left, read_wfdb(folder, name, 100).ecg, title)
        paper(right, ecg[mine] / 1000.0, f"synthetic: {records['report'][mine]}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=70, metadata={"Software": None})


def alone(labels: pd.DataFrame, condition: str) -> pd.Series:
    """Records with no finding but this one and a plain rhythm."""
    rhythm = "sinus rhythm" if condition != "atrial fibrillation" else condition
    free = {condition, rhythm, "normal ecg"}
    others = [name for name in CONDITIONS if name not in free]
    return (labels[rhythm] == 1) & ~labels[others].any(axis=1)


def paper(axes, ecg: np.ndarray, title: str) -> None:
    """Three rows of four leads on a grid of 0.2 s and 0.5 mV."""
    from matplotlib.ticker import MultipleLocator

    columns = np.arange(12).reshape(4, 3)
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
    for column, leads in enumerate(columns):
        for row, lead in enumerate(leads):
            part = ecg[lead, column * 250 : (column + 1) * 250] - np.median(ecg[lead])
            base, left = -ROW_MV * row, 2.5 * column
            axes.plot(np.arange(250) / 100 + left, part + base, "k", linewidth=0.7)
            axes.axvline(left, color="#C0C0C0", linewidth=0.8)
            axes.text(left + 0.05, base + 1.4, LEADS[lead], fontsize=8, weight="bold", bbox=box)
    axes.set(xlim=(0, 10), ylim=(-2 * ROW_MV - 2.6, 2.6), xticklabels=[], yticklabels=[])
    axes.set_title(title, fontsize=9)
    axes.xaxis.set_major_locator(MultipleLocator(0.2))
    axes.yaxis.set_major_locator(MultipleLocator(0.5))
    axes.grid(color="#F0C8C4", linewidth=0.4)
    axes.tick_params(length=0)


def report(result: dict) -> int:
    """Print the table; 1 when a tested median lies outside the real range."""
    outside = 0
    for rate in (100, 500):
        part = result[f"{rate}_hz"]
        print(f"\n{rate} Hz: {part['n']['real']} real, {part['n']['synthetic']} synthetic normals")
        print(f"{'':14}{'real 5 / 50 / 95 %':>28}{'synthetic 5 / 50 / 95 %':>30}")
        for name, row in part["measurements"].items():
            real, own = (" / ".join(f"{v:.4g}" for v in row[key]) for key in ("real", "synthetic"))
            mark = "" if row["within"] else "  outside"
            print(f"{name:14}{real:>28}{own:>30}{mark}")
            outside += name in TESTED and not row["within"]
    return int(outside > 0)


if __name__ == "__main__":
    raise SystemExit(main())
