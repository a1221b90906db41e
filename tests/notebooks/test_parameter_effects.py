"""Every parameter of every notebook does something: change it, run the notebook, compare.

A notebook runs in a real kernel, cell by cell, with the values of `smoke`, twice: what differs
between these two runs is no effect, nor are times and speeds. Then one parameter at a time is
changed, with the same products at hand, until a cell shows, or a product holds, something else.
It takes half an hour, hence marked as slow.
"""

import hashlib
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb
from transformers import BertConfig, BertModel

from dbeta_lib.command_line import ROOT, plan
from dbeta_lib.data import cinc2021
from dbeta_lib.data.synthetic import generate
from dbeta_lib.encoders.text import train_tokenizer
from dbeta_lib.leads import LEADS
from dbeta_lib.notebook_parameters import find_notebooks

sys.path.insert(0, str(Path(__file__).parent))
from kernels import Kernel

NOTEBOOKS = {notebook.name[:2]: notebook for notebook in find_notebooks(ROOT / "notebooks")}
# Notebooks whose products must stand before one is run.
BEFORE = {"04": ["03"], "05": ["03"], "06": ["03"], "07": ["03"], "10": ["03"], "11": ["03", "04"]}
# Values beside those of `smoke`, among which a change is made; {NAME} is a path of `places`.
BESIDE = {
    "synthetic": {},
    "real": {
        "dataset": "ptb-xl", "data": {"ptb-xl": "{ptb-xl}"}, "task": "super",
        "languages": ["de", "en"], "sentences": ["normales ekg"], "classes": ["NORM"],
    },
    "cinc": {"dataset": "cinc2021", "data": {"cinc2021": "{cinc2021}"}, "task": "cinc2021",
             "stores": {"synthetic": 1}, "leads": ["12"]},
}  # fmt: skip
CHANGES = {  # parameter -> another value, and among which values it is changed
    "profile": ("other", "synthetic"),
    "out": ("{elsewhere}", "synthetic"),
    "data": ({"ptb-xl": "{fewer}"}, "real"),
    "seed": (1, "synthetic"),
    "dataset": ("synthetic", "real"),
    "stores": ({"synthetic": 2}, "synthetic"),
    "sampling_rate": (500, "synthetic"),
    "patients": (61, "synthetic"),
    "own_file": ("{own}", "synthetic"),
    "report_text": ("scp", "real"),
    "tour_patients": (61, "synthetic"),
    "tour_steps": (5, "synthetic"),
    "drawing_steps": (5, "synthetic"),
    "tour_lr": (0.003, "synthetic"),
    "hidden_share": (0.5, "synthetic"),
    "preset": ("paper", "synthetic"),
    "dropout": (0.5, "synthetic"),
    "training": ({"pack_texts": True}, "synthetic"),
    "switches": ("paper", "synthetic"),
    "task": ("form", "real"),
    "more_tasks": (["form"], "real"),
    "sentences": (["sinus rhythm", "atrial flutter", "normal ecg"], "synthetic"),
    "classes": (["sinus bradycardia", "left bundle branch block", "normal ecg"], "synthetic"),
    "resamples": (101, "synthetic"),
    "batch_size": (17, "synthetic"),
    "negatives_embedder": ("{bert}", "synthetic"),
    "candidates": (5, "synthetic"),
    "near": (0.1, "synthetic"),
    "report_rank": (2, "synthetic"),
    "overrides": ({"mask_ratio": 0.25}, "synthetic"),
    "text_model": ("{bert}", "synthetic"),
    "steps": (7, "synthetic"),
    "mem_first": (3, "synthetic"),
    "lr": (0.002, "synthetic"),
    "eval_every": (2, "synthetic"),
    "checkpoint_every": (2, "synthetic"),
    "workers": (1, "synthetic"),
    "languages": (["de"], "real"),
    "style": ("description", "synthetic"),
    "query": ("atrial flutter", "synthetic"),
    "fractions": ([0.5, 1.0], "synthetic"),
    "draws": (3, "synthetic"),
    "neurokit": (True, "synthetic"),
    "merl_epochs": (2, "synthetic"),
    "subsets": (["II,V1"], "synthetic"),
    "singles": (False, "synthetic"),
    "fraction": (0.5, "synthetic"),
    "leads": (["6"], "synthetic"),
    "recipe": ("published", "synthetic"),
    "epochs": (2, "synthetic"),
    "tuning_lr": (0.005, "synthetic"),
    "head_lr": (0.05, "synthetic"),
    "scratch_lr": (0.005, "synthetic"),
    "width": (8, "synthetic"),
    "person_epochs": (0, "synthetic"),
    "challenge_weights": ("{weights}", "cinc"),
    "whose_model": ("box", "synthetic"),
    "map_method": ("umap", "synthetic"),
    "map_points": (50, "synthetic"),
    "reference": ("BERT tiny", "synthetic"),
    "encoders": ("{encoders}", "synthetic"),
    "more_results": ([], "synthetic"),
    "sweeps": ("{elsewhere}", "synthetic"),
    "sweep_size": ("", "synthetic"),
    "sweep_seeds": ([1], "synthetic"),
    "question": ("probe_100", "synthetic"),
    "batches": ([32], "synthetic"),
}
# What a change of one of these alone can do is to be refused in a sentence that says what belongs
# together: a network and the store's rate, a class and its task.
REFUSED = {"sampling_rate": "mini works at 100 Hz, the store at 500",
           "preset": "paper works at 500 Hz, the store at 100",
           "task": "'NORM' is no class of task form"}  # fmt: skip
# Counts the processes that Python itself forks, such as those that make batches.
COUNT_FORKS = (
    "import sys\n_forks = []\n"
    "sys.addaudithook(lambda event, _: _forks.append(event) if event == 'os.fork' else None)"
)
ERROR = re.compile(r"\w+Error: [^\"]*")
CASES = [(number, name) for number, notebook in NOTEBOOKS.items() for name in notebook.parameters]


def without_times(shown: str | dict) -> str | dict:
    """What was shown, without bars of progress and with # for times and speeds."""
    if isinstance(shown, dict):  # by MIME type; pictures as they are
        return {k: without_times(v) if k.startswith("text/") else v for k, v in shown.items()}
    lines = [line for line in re.split(r"[\r\n]+", "".join(shown)) if "%|" not in line]
    return re.sub(r"\b[\d.,:]+(?= ?(s|ms|min|kB|days|records?/s)\b)", "#", "\n".join(lines))


class Telling(Kernel):
    """A kernel whose `tell(code)` gives what the code shows as JSON, without times."""

    def __init__(self):
        super().__init__(ROOT / "notebooks")
        self.tell(COUNT_FORKS)

    def tell(self, code: str) -> str:
        shown = self.run(code)
        errors = [shown.error] if shown.error else []
        everything = [*shown.data, *errors, shown.stdout, shown.stderr]
        return json.dumps([without_times(each) for each in everything], sort_keys=True)


class Bench:
    """Runs notebooks among given values, on products that stand as they would."""

    def __init__(self, folder: Path, places: dict[str, Path]):
        self.folder, self.places = folder, places | {"elsewhere": folder / "elsewhere"}
        self.kernels: dict[str, Telling] = {}
        self.plain: dict[tuple[str, str], dict[str, str]] = {}

    def close(self) -> None:
        for kernel in self.kernels.values():
            kernel.close()

    def _filled(self, value):
        """A value with the paths of places put in."""
        text = re.sub(r"\{([a-z0-9-]+)\}", lambda m: str(self.places[m[1]]), json.dumps(value))
        return json.loads(text)

    def values(self, number: str, beside: str) -> dict:
        """The parameters of a notebook in `smoke`, changed as `beside` tells."""
        name = NOTEBOOKS[number].name
        given = plan(["--profile", "smoke", "--out", str(self.folder / "out")]).parameters[name]
        changed = {k: v for k, v in BESIDE[beside].items() if k in NOTEBOOKS[number].parameters}
        return NOTEBOOKS[number].parameters | given | self._filled(changed)

    def _stand(self, number: str, beside: str) -> None:
        """The folder of products as it is when a notebook begins."""
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        shutil.rmtree(self.folder / "elsewhere", ignore_errors=True)
        if number in BEFORE:
            kept = self.folder / f"before-{number}-{beside}"
            if not kept.exists():
                last = BEFORE[number][-1]
                self._stand(last, beside)
                for _ in self._cells(last, self.values(last, beside)):
                    pass
                shutil.copytree(self.folder / "out", kept)
            shutil.rmtree(self.folder / "out", ignore_errors=True)
            shutil.copytree(kept, self.folder / "out")
        else:
            (self.folder / "out").mkdir()

    def _cells(self, number: str, values: dict):
        """(cell, what it shows), cell by cell, and at last the products and processes made."""
        if number not in self.kernels:
            self.kernels[number] = Telling()
        kernel = self.kernels[number]
        for cell in json.loads(NOTEBOOKS[number].path.read_text(encoding="utf-8"))["cells"]:
            if "parameters" in cell["metadata"].get("tags", []):
                lines = [f"{name} = {value!r}" for name, value in values.items()]
                kernel.tell("\n".join([*lines, "_forks.clear()"]))
            elif cell["cell_type"] == "code":
                shown = kernel.tell("".join(cell["source"]))
                yield cell["id"], shown
        yield "processes", kernel.tell("len(_forks)")
        for path in sorted(p for p in (self.folder / "out").rglob("*") if p.is_file()):
            name = path.relative_to(self.folder / "out").as_posix()
            yield f"product {name}", hashlib.sha256(path.read_bytes()).hexdigest()

    def once(self, number: str, beside: str) -> dict[str, str]:
        """Everything that a notebook shows and leaves among these values, changed in nothing."""
        if (number, beside) not in self.plain:
            self._stand(number, beside)
            shown = dict(self._cells(number, self.values(number, beside)))
            errors = {cell: ERROR.search(text) for cell, text in shown.items()}
            broken = {cell: error[0] for cell, error in errors.items() if error}
            assert not broken, f"notebook {number} does not run {beside}: {broken}"
            self.plain[number, beside] = shown
        return self.plain[number, beside]

    def noise(self, number: str) -> set[str]:
        """What differs between two runs of the same."""
        if (number, "again") not in self.plain:
            self.once(number, "synthetic")
            self._stand(number, "synthetic")
            again = dict(self._cells(number, self.values(number, "synthetic")))
            self.plain[number, "again"] = again
        first, again = self.once(number, "synthetic"), self.plain[number, "again"]
        return {name for name in first | again if first.get(name) != again.get(name)}

    def effect(self, number: str, name: str) -> tuple[str, str]:
        """The first cell or product that a changed parameter changes, and what it shows now."""
        value, beside = CHANGES[name]
        plain, noise = self.once(number, beside), self.noise(number)
        values = self.values(number, beside)
        assert values[name] != self._filled(value), f"{name} would not change"
        self._stand(number, beside)
        missing = set(plain) - noise
        for what, shown in self._cells(number, values | {name: self._filled(value)}):
            if what not in noise and plain.get(what) != shown:
                return what, shown
            missing.discard(what)
        return min(missing, default=""), ""


def write_ecg(path: Path, uv: np.ndarray, comments: list[str]) -> None:
    """One record at 100 Hz in WFDB's format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wfdb.wrsamp(
        path.name, fs=100, units=["mV"] * 12, sig_name=list(LEADS), fmt=["16"] * 12,
        adc_gain=[1000.0] * 12, baseline=[0] * 12, write_dir=str(path.parent),
        p_signal=np.ascontiguousarray(uv.T) / 1000, comments=comments,
    )  # fmt: skip


@pytest.fixture(scope="module")
def places(tmp_path_factory, make_ptb_xl):
    """Data folders, a text encoder and a matrix of weights, by name."""
    folder = tmp_path_factory.mktemp("places")
    for name, records in (("ptb-xl", 120), ("fewer", 100)):
        (folder / name).mkdir()
        make_ptb_xl(folder / name, records)
    codes = ["426783006", "164889003", "733534002,426783006", "426177001", "270492004"]
    ecg = generate(60, 1, 100, seed=4)[0]
    for i, uv in enumerate(ecg):
        path = folder / "cinc2021" / "training" / "georgia" / "g1" / f"E{i:05d}"
        write_ecg(path, uv, ["Age: 60", "Sex: Male", f"Dx: {codes[i % len(codes)]}"])
    scored = pd.Series(cinc2021.read_classes(folder))  # code -> class
    names = ["|".join(same.index) for _, same in scored.groupby(scored)]
    weights = pd.DataFrame(0.5 + 0.5 * np.eye(len(names)), index=names, columns=names)
    weights.to_csv(folder / "weights.csv")
    tokenizer = train_tokenizer(["sinus rhythm. normal ecg.", "atrial fibrillation."] * 3, 200)
    tokenizer.save_pretrained(folder / "bert")
    size = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(vocab_size=len(tokenizer), intermediate_size=32, **size)
    BertModel(config).save_pretrained(folder / "bert")
    paths = {name: folder / name for name in ("ptb-xl", "fewer", "cinc2021", "bert")}
    own = folder / "cinc2021" / "training" / "georgia" / "g1" / "E00000.hea"
    return paths | {"weights": folder / "weights.csv", "own": own, "encoders": folder}


@pytest.fixture(scope="module")
def bench(tmp_path_factory, places):
    made = Bench(tmp_path_factory.mktemp("bench"), places)
    yield made
    made.close()


def test_each_documented_parameter_is_changed_here_and_no_other():
    assert {name for _, name in CASES} == set(CHANGES)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "name"), CASES, ids=[f"{n}-{p}" for n, p in CASES])
def test_a_changed_parameter_changes_what_the_notebook_shows_or_leaves(bench, number, name):
    where, shown = bench.effect(number, name)
    assert where, f"{name} changes nothing that notebook {number} shows or leaves"
    error = ERROR.search(shown)
    refusal = REFUSED.get(name, "") if error else ""
    assert not error or (refusal and refusal in error[0]), f"{where}: {error[0]}"
