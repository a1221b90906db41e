"""What can be downloaded: official page and addresses, size, licence, citation, which files.

Two kinds of file list: PhysioNet publishes `SHA256SUMS.txt` with every version; for the others the
files stand here, with their SHA-256 where it is known (`pinned.json`), else None = not pinned yet.
"""

import json
from dataclasses import dataclass
from importlib.resources import files

from dbeta_lib.errors import UsageError, nearest

SUMS = "SHA256SUMS.txt"
_RECORDS = (".hea", ".dat", ".mat")
_DOCUMENTS = {"LICENSE.txt", "RECORDS"}  # of any folder
_GB = 10**9


@dataclass(frozen=True, slots=True)
class Remote:
    """One file: its path below the folder, and what is known of its content."""

    path: str
    sha256: str | None = None  # None: not pinned yet
    bytes: int | None = None
    url: str | None = None  # None: the dataset's base + path
    unpacks_to: str | None = None  # of an archive: a file or folder that is there once unpacked
    strip: str = ""  # of an archive: a leading folder that its members lose


@dataclass(frozen=True)
class Dataset:
    """One dataset as published; sizes in bytes are rounded, what a disk must hold."""

    name: str
    title: str
    page: str
    base: str  # address that a file's path is added to
    licence: str
    citation: str
    bytes: int
    files: tuple[Remote, ...] = ()  # empty: listed by SHA256SUMS.txt at `base`
    rates: tuple[
        tuple[int, str, int], ...
    ] = ()  # Hz, folder, bytes, where it is offered at several
    parts: tuple[str, ...] = ()  # folders that may be left out whole, as long as one is there
    must_accept: bool = False  # the licence is unusual: nothing is fetched before it is accepted

    def size(self, hz: int | None = None) -> int:
        """Bytes of the whole, or with one rate alone."""
        return next((size for rate, _, size in self.rates if rate == hz), self.bytes)

    def check_rate(self, hz: int | None) -> None:
        """Raises UsageError when the dataset is not offered at `hz`; None = all there is."""
        known = [rate for rate, _, _ in self.rates]
        if hz is not None and hz not in known:
            offered = f"give {' or '.join(map(str, known))}" if known else "leave the rate away"
            raise UsageError(f"{self.name} has no files of {hz} Hz to choose; {offered}")

    def chosen(self, path: str, hz: int | None = None) -> bool:
        """Whether a listed file is fetched: records, tables, licence and RECORDS; of one rate."""
        others = tuple(folder for rate, folder, _ in self.rates if hz not in (None, rate))
        if others and path.startswith(others):
            return False
        return self.needed(path) or path.rpartition("/")[2] in _DOCUMENTS

    def needed(self, path: str) -> bool:
        """Whether the kit reads a listed file: records, and tables at the top."""
        at_top = "/" not in path
        return bool(self.files) or path.endswith(_RECORDS) or (at_top and path.endswith(".csv"))

    def part(self, path: str) -> str:
        """The part that a file belongs to; "" for none."""
        return next((part for part in self.parts if path.startswith(part)), "")


def find(name: str) -> Dataset:
    """The dataset of that name. Raises UsageError with the nearest."""
    if name not in CATALOGUE:
        raise UsageError(f"'{name}' is no dataset to download{nearest(name, CATALOGUE)}")
    return CATALOGUE[name]


def _pinned(name: str) -> tuple[Remote, ...]:
    text = files(__package__).joinpath("pinned.json").read_text(encoding="utf-8")
    table = json.loads(text)[name]
    return tuple(Remote(path, known["sha256"], known["bytes"]) for path, known in table.items())


_PHYSIONET = "Goldberger et al., Circulation 101(23), e215 (2000)"
_CC_BY = "CC BY 4.0"
_MERL_COMMIT = "38799b7deb1c9958f41badcfacc6a95192787cc4"
_ALIYUN = "http://hhbucket.oss-cn-hongkong.aliyuncs.com"  # where the challenge keeps its archives

_ALL = (
    Dataset(
        "ptb-xl",
        "PTB-XL 1.0.3, 21,799 records of 10 s with reports",
        "https://physionet.org/content/ptb-xl/1.0.3/",
        "https://physionet.org/files/ptb-xl/1.0.3/",
        _CC_BY,
        "Wagner et al., PTB-XL, a large publicly available electrocardiography dataset (1.0.3), "
        f"PhysioNet, doi:10.13026/kfzx-aw45; Scientific Data 7, 154 (2020); {_PHYSIONET}",
        bytes=int(3.2 * _GB),
        rates=((100, "records100/", int(0.6 * _GB)), (500, "records500/", int(2.7 * _GB))),
        parts=("records100/", "records500/"),
    ),
    Dataset(
        "csn",
        "Chapman-Shaoxing-Ningbo (ecg-arrhythmia 1.0.0), 45,152 records of 10 s",
        "https://physionet.org/content/ecg-arrhythmia/1.0.0/",
        "https://physionet.org/files/ecg-arrhythmia/1.0.0/",
        _CC_BY,
        "Zheng, Guo, Chu, A large scale 12-lead electrocardiogram database for arrhythmia study "
        f"(1.0.0), PhysioNet 2022, doi:10.13026/wgex-er52; {_PHYSIONET}",
        bytes=int(5.5 * _GB),
    ),
    Dataset(
        "cinc2021",
        "PhysioNet/CinC Challenge 2021 1.0.3, 88,253 records of eight sources",
        "https://physionet.org/content/challenge-2021/1.0.3/",
        "https://physionet.org/files/challenge-2021/1.0.3/",
        _CC_BY,
        "Reyna et al., Will Two Do? Varying Dimensions in Electrocardiography: the PhysioNet/"
        "Computing in Cardiology Challenge 2021 (1.0.3), PhysioNet 2022, doi:10.13026/34va-7q14; "
        f"{_PHYSIONET}",
        bytes=12 * _GB,
        parts=tuple(
            f"training/{source}/"
            for source in (
                "chapman_shaoxing", "cpsc_2018", "cpsc_2018_extra", "georgia", "ningbo", "ptb",
                "ptb-xl", "st_petersburg_incart",
            )
        ),
    ),
    Dataset(
        "mimic-iv-ecg",
        "MIMIC-IV-ECG 1.0, 800,035 records of 10 s with machine statements",
        "https://physionet.org/content/mimic-iv-ecg/1.0/",
        "https://physionet.org/files/mimic-iv-ecg/1.0/",
        "ODbL 1.0 (databases made from it are shared under the same licence)",
        "Gow et al., MIMIC-IV-ECG: Diagnostic Electrocardiogram Matched Subset (1.0), PhysioNet "
        f"2023, doi:10.13026/4nqg-sb35; {_PHYSIONET}",
        bytes=98 * _GB,
    ),
    Dataset(
        "code-test",
        "CODE-test, 827 annotated records",
        "https://zenodo.org/records/3765780",
        "https://zenodo.org/records/3765780/files/",
        _CC_BY,
        "Ribeiro et al., Automatic diagnosis of the 12-lead ECG using a deep neural network, "
        "Nature Communications 11, 1760 (2020); Zenodo, doi:10.5281/zenodo.3625006",
        bytes=int(0.7 * _GB),  # archive and content; the archive's size is asked for
        files=(Remote("data.zip", unpacks_to="ecg_tracings.hdf5", strip="data"),),
    ),
    Dataset(
        "cpsc2018",
        "CPSC2018 (ICBEB), the 6,877 public records of 6 to 144 s",
        "http://2018.icbeb.org/Challenge.html",
        f"{_ALIYUN}/",
        "none stated by the organisers: read the challenge's page; the same recordings are "
        "CC BY 4.0 in cinc2021",
        "Liu et al., An Open Access Database for Evaluating the Algorithms of Electrocardiogram "
        "Rhythm and Morphology Abnormality Detection, J. Med. Imaging Health Inform. 8 (2018)",
        bytes=10 * _GB,  # archives and content
        files=(
            *(
                Remote(f"TrainingSet{i}.zip", unpacks_to=f"TrainingSet{i}")
                for i in (1, 2, 3)
            ),
            Remote("REFERENCE.csv", url="http://2018.icbeb.org/file/REFERENCE.csv"),
        ),
        must_accept=True,
    ),
    Dataset(
        "merl-splits",
        f"MERL's splits and labels of PTB-XL, CPSC2018 and CSN (commit {_MERL_COMMIT[:7]})",
        f"https://github.com/cheliu-computation/MERL-ICML2024/tree/{_MERL_COMMIT}",
        "https://raw.githubusercontent.com/cheliu-computation/MERL-ICML2024/"
        f"{_MERL_COMMIT}/finetune/data_split/",
        "MIT",
        "Liu et al., Zero-Shot ECG Classification with Multimodal Learning and Test-time Clinical "
        "Knowledge Enhancement, ICML 2024",
        bytes=11 * 10**6,
        files=_pinned("merl-splits"),
    ),
)  # fmt: skip
CATALOGUE = {dataset.name: dataset for dataset in _ALL}


def as_markdown() -> str:
    """What is offered, as the README's table: name, records, size, licence, page and citation."""
    rows = ["| `--data` name | what | size | licence | cite |", "|---|---|---:|---|---|"]
    for dataset in CATALOGUE.values():
        size = f"{dataset.bytes / _GB:.1f} GB" if dataset.bytes > _GB / 10 else (
            f"{dataset.bytes / 1e6:.0f} MB"
        )  # fmt: skip
        rows.append(
            f"| `{dataset.name}` | [{dataset.title}]({dataset.page}) | {size} | {dataset.licence} "
            f"| {dataset.citation} |"
        )
    return "\n".join(rows) + "\n"
