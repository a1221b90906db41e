"""One folder of products per profile, and the steps that notebooks and the CLI share.

A notebook opened alone finds here what an earlier one left, or makes it at the smallest size and
says so. Nothing is made twice: stores, tables of negatives and finished runs are reused while what
they were made from is unchanged.
"""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from dbeta_lib.balanced import ensure_balanced
from dbeta_lib.config import DBetaConfig
from dbeta_lib.data import ensure_store
from dbeta_lib.data.joined import JoinedStore
from dbeta_lib.data.store import SignalStore
from dbeta_lib.embedders import HubEmbedder, TfidfEmbedder
from dbeta_lib.errors import AnotherRun, DBetaError, UsageError, nearest
from dbeta_lib.evaluation.baselines import random_encoder
from dbeta_lib.evaluation.encoders import to_training_device
from dbeta_lib.evaluation.results import Result, load, load_all
from dbeta_lib.model import DBeta
from dbeta_lib.n3s import Negatives, RandomNegatives, ensure_table
from dbeta_lib.presets import PRESETS
from dbeta_lib.reporting import figures
from dbeta_lib.seeds import int_seed
from dbeta_lib.training.pretrain import pretrain
from dbeta_lib.training.settings import Summary
from dbeta_lib.training.start import build_model

# What a notebook opened alone trains when 03 has not run: enough to show, not to believe.
SMALLEST_RUN = {"steps": 20, "batch_size": 16, "lr": 1e-3, "eval_every": 0, "checkpoint_every": 0}


@dataclass
class Workspace:
    """Products of one profile below `out`.

    >>> work = Workspace("runs/demo", dataset="synthetic", patients=60)  # doctest: +SKIP
    >>> store = work.store  # doctest: +SKIP
    """

    out: Path | str
    dataset: str = "synthetic"  # a name in `data.DATASETS`
    data: dict[str, str] = field(default_factory=dict)  # folders of datasets on disk, by name
    sampling_rate: int = 100  # Hz of the store
    patients: int = 60  # of the synthetic cohort
    report_text: str = "published"  # of PTB-XL: "published" | "scp"
    seed: int = 0
    # What pre-training reads, and how often a record of each is seen: {"ptb-xl": 1, "csn": 0.5};
    # empty: the dataset alone.
    stores: dict[str, float] = field(default_factory=dict)

    def __post_init__(self):
        self.out = Path(self.out)
        self._stores: dict[str, SignalStore] = {}

    @property
    def results(self) -> Path:
        """Folder of result records."""
        return self.out / "results"

    @property
    def features(self) -> Path:
        """Folder of cached features."""
        return self.out / "features"

    @property
    def run(self) -> Path:
        """Folder of the pre-training run."""
        return self.out / "pretraining"

    @property
    def smallest(self) -> Path:
        """Folder of the run that stands in where 03 has not run."""
        return self.out / "smallest"

    @cached_property
    def store(self) -> SignalStore:
        """The dataset as a signal store, prepared where it is not yet.

        Raises UsageError when the dataset is read from a folder and none was given.
        """
        return self.store_of(self.dataset)

    def store_of(self, name: str) -> SignalStore:
        """The same of any dataset whose folder was given."""
        if name in self._stores:
            return self._stores[name]
        options: dict[str, Any] = {"sampling_rate": self.sampling_rate}
        if name == "synthetic":
            options |= {"patients": self.patients, "seed": self.seed}
        elif name not in self.data:
            raise UsageError(f"no folder of {name} is given; add --data {name}=DIR")
        if name == "ptb-xl":
            options["report"] = self.report_text
        dest = self.out / "stores" / f"{name}-{self.sampling_rate}hz"
        self._stores[name] = ensure_store(name, self.data.get(name), dest, **options)
        return self._stores[name]

    @cached_property
    def training_store(self) -> SignalStore | JoinedStore:
        """What pre-training reads: the workspace's store, or those of `stores` joined."""
        if not self.stores:
            return self.store
        if list(self.stores.values()) == [1]:  # as it is: a run on it alone is found again
            return self.store_of(next(iter(self.stores)))
        return JoinedStore(
            [self.store_of(name) for name in self.stores], [*self.stores.values()], self.seed
        )

    def negatives(
        self, embedder: str = "tfidf", k: int = 64, kind: str = "n3s", tau: float = 0.1
    ) -> Negatives:
        """What wrong reports are drawn from.

        kind: "n3s", the table of the k farthest; "balanced", the law at `tau`; "random", the
        training rows' reports. embedder: "tfidf", or a text encoder's name or folder.
        Raises UsageError for another kind.
        """
        store, reports = self.training_store, self.training_store.records["report_id"].to_numpy()
        if kind not in ("n3s", "balanced", "random"):
            raise UsageError(
                f"there are no '{kind}' negatives{nearest(kind, ['n3s', 'balanced', 'random'])}"
            )
        if kind == "random":
            own = reports[store.rows("train")]
            return RandomNegatives(own[own >= 0])
        chosen = TfidfEmbedder() if embedder == "tfidf" else HubEmbedder(embedder)
        if kind == "balanced":
            return ensure_balanced(store, embedder=chosen, tau=tau)
        return ensure_table(store, embedder=chosen, k=k)

    def config(self, preset: str, switches: str, **overrides: Any) -> DBetaConfig:
        """A preset at this store's rate."""
        config = DBetaConfig.preset(preset, switches, **overrides)
        if config.ecg.sampling_rate != self.sampling_rate:
            raise UsageError(
                f"preset {preset} works at {config.ecg.sampling_rate} Hz, the store at "
                f"{self.sampling_rate}; set sampling_rate to the preset's"
            )
        return config

    def pretrain(self, model: DBeta, folder: Path | None = None, **settings: Any) -> Summary:
        """Train `model` in `run` (or `folder`): a killed run goes on, a finished one is reused.

        A run with other settings, data or library code makes way, said aloud: it stays beside as
        `FOLDER.before`, in the place of what stood there. `settings` as in `PretrainConfig`, and
        `negatives`.
        """
        store, folder = self.training_store, folder or self.run
        settings = {"seed": self.seed, **settings}
        try:
            return pretrain(model, store, folder, resume=True, **settings)
        except AnotherRun as found:
            former = folder.with_name(f"{folder.name}.before")
            print(f"{str(found).split(';')[0]}; it makes way and is kept as {former}")
            shutil.rmtree(former, ignore_errors=True)
            folder.rename(former)
            return pretrain(model, store, folder, **settings)

    def model(self) -> DBeta:
        """The workspace's pre-trained model, on a GPU where there is one.

        Without a model one of the smallest run serves, said aloud.
        """
        if self.has_model:
            return to_training_device(DBeta.from_pretrained(self.run / "model"))
        print(
            f"{self.run}: no model pre-trained on this store yet (notebook 03 leaves one); "
            f"one of {SMALLEST_RUN['steps']} steps serves here, enough to show, not to believe"
        )
        model = build_model(self.config("mini", "recommended"), self.training_store, self.seed)
        self.pretrain(model, self.smallest, **SMALLEST_RUN)
        return to_training_device(model).eval()

    def mem_alone(self) -> DBeta | None:
        """The model after its steps of MEM alone, which had read no report; None without any."""
        folder = (self.run if self.has_model else self.smallest) / "mem-alone"
        if not folder.is_dir():
            return None
        return to_training_device(DBeta.from_pretrained(folder)).eval()

    @property
    def has_model(self) -> bool:
        """Whether notebook 03 has left a model that was trained on this very training store."""
        path, wanted = self.run / "summary.json", self.training_store.fingerprint
        return path.is_file() and Summary.open(path).identity["store"] == wanted

    def pretrained_on(self) -> list[tuple[SignalStore, np.ndarray]]:
        """The stores that pre-training reads, each with its training rows."""
        read = getattr(self.training_store, "stores", [self.store])
        return [(store, store.rows("train")) for store in read]

    @property
    def summary(self) -> Summary:
        """The run behind `model()`: its steps, losses and speed."""
        return Summary.open((self.run if self.has_model else self.smallest) / "summary.json")

    def name(self, model: DBeta) -> str:
        """How tables call this workspace's model: "dbeta-mini, pre-trained"."""
        return f"dbeta-{size_of(model.config)}, {'pre-trained' if self.has_model else 'smallest'}"

    def untrained(self, like: DBeta, seed: int | None = None) -> DBeta:
        """The control: the same network, tokenizer and device with random weights."""
        model = random_encoder(like.config, self.seed if seed is None else seed)
        model.tokenizer = like.tokenizer
        return model.to(like.device)

    def save(self, figure: Figure, name: str, data: pd.DataFrame | None = None) -> Figure:
        """Keep a figure as PNG, SVG and CSV under `figures/`; returns it, to be shown."""
        figures.save(figure, self.out / "figures" / name, data)
        return figure

    def keep(self, results: Iterable[Result]) -> pd.DataFrame:
        """Save result records; returns them as a table, in their order.

        A record of an earlier run that answers the same question (another seed of pre-training
        is another question) is removed, so that one folder never gives two answers.
        """
        results = list(results)
        asked = {r.question for r in results}
        for path in self.results.glob("*.json") if self.results.is_dir() else ():
            if load(path).question in asked:
                path.unlink()
        names = [r.save(self.results).name for r in results]
        return (
            load_all(self.results).set_index("file", drop=False).loc[names].reset_index(drop=True)
        )

    def table_of_results(self) -> pd.DataFrame:
        """All result records of this workspace as one table."""
        if not self.results.is_dir():
            raise DBetaError(f"{self.results} holds no results yet; run notebooks 04 and 05 first")
        return load_all(self.results)

    def ecg(self, row: int) -> np.ndarray:
        """One record, `[12, T]` in mV."""
        return self.store.ecg(np.array([row]))[0]

    def generator(self, purpose: str) -> torch.Generator:
        """A torch generator of its own for a purpose."""
        return torch.Generator().manual_seed(int_seed(self.seed, purpose))


def size_of(config: DBetaConfig) -> str:
    """The preset that has a config's widths and depths, "custom" where none has."""
    sizes = ("ecg_width", "ecg_layers", "fusion_width", "fusion_layers")
    for name in PRESETS:
        if all(config.get(s) == DBetaConfig.preset(name).get(s) for s in sizes):
            return name
    return "custom"
