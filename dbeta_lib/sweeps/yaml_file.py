"""Reading a sweep's YAML file.

name: components                  # of its folder of results; the file's own by default
preset: mini                      # these two of `DBetaConfig.preset`, also in a row of its own
switches: recommended
overrides: {}                     # DBetaConfig fields of every row
profiles:                         # `spec.Profile` by name: data, length, evaluation
  demo: {dataset: synthetic, patients: 1334, steps: 150, batch_size: 32,
         settings: {pack_texts: true}}  # PretrainConfig fields of every row
runs:                             # a row each
  - name: + ETS
    group: added                  # what it is compared within
    model: dbeta                  # or a comparison model, random, supervised, text-only
    overrides: {negatives: random}    # DBetaConfig fields; they win over profile and file
    settings: {lr: 0.001}         # PretrainConfig fields (FinetuneConfig's if supervised)
    model_settings: {}            # the comparison model's own
    seeds: [0]                    # in place of the profile's
    paper: ["Table 6: + ETS"]     # printed rows that it stands for, "table: row"
    note: with random negatives   # what a reader should know
shared: {}                        # anything, for YAML's anchors; not read
"""

from pathlib import Path
from typing import Any

import yaml

from dbeta_lib.config import DBetaConfig
from dbeta_lib.errors import UsageError, nearest
from dbeta_lib.evaluation.finetune_settings import FinetuneConfig
from dbeta_lib.sweeps.spec import (
    DBETA,
    DECIDED,
    SUPERVISED,
    Profile,
    Run,
    Sweep,
    checked_fields,
    slug,
    typed,
    whole_numbers,
)
from dbeta_lib.training.settings import PretrainConfig

_FILE = {
    "name": "", "preset": "mini", "switches": "recommended", "overrides": {}, "profiles": {},
    "runs": [], "shared": {},
}  # fmt: skip
_ROW = {
    "name": "", "group": "", "model": DBETA, "preset": "", "switches": "", "overrides": {},
    "settings": {}, "model_settings": {}, "seeds": [], "paper": [],
    "note": "",
}  # fmt: skip


def read_sweep(path: Path | str, profile: str = "demo", **changes: Any) -> Sweep:
    """The sweep of a file at one of its profiles; `changes` are further fields of `Profile`.

    `overrides` and `settings` among the changes are added to the profile's own. Raises UsageError
    naming the file and what in it is unknown, of another type, given twice, or not to be built.
    """
    path = Path(path)
    file = _known(_read(path), _FILE, str(path))
    name = file["name"] or path.stem
    if not file["runs"]:
        raise UsageError(f"{path} names no runs; add a list of them under 'runs'")
    if profile not in file["profiles"]:
        raise UsageError(f"{path} has no profile '{profile}'{nearest(profile, file['profiles'])}")
    sizes = _profile(file["profiles"][profile], changes, f"{path}, profile {profile}")
    rows = [_row(row, number, path) for number, row in enumerate(file["runs"], start=1)]
    _check_names(rows, path)
    for wanted in sizes.rows:
        if wanted not in (names := [row["name"] for row in rows]):
            near = nearest(wanted, names)
            raise UsageError(f"{path}, profile {profile}: there is no row '{wanted}'{near}")
    runs = []
    for order, row in enumerate(rows):
        if sizes.rows and row["name"] not in sizes.rows:
            continue
        where = f"{path}, row '{row['name']}'"
        try:
            config = _config(file, sizes, row, where)
            for seed in row["seeds"] or sizes.seeds:
                runs.append(_run(name, order, row, seed, config, profile, sizes))
        except UsageError as error:
            raise UsageError(_told(error, where)) from error
    return Sweep(name, path, profile, sizes, tuple(runs))


def _told(error: UsageError, where: str) -> str:
    return str(error) if str(error).startswith(where) else f"{where}: {error}"


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, of which YAML would keep the last unseen."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        given = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        twice = next((key for key in given if given.count(key) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(
                None, None, f"'{twice}' is given twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise UsageError(f"{path} is not there; name a sweep's YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        told = " ".join(str(error).split())
        raise UsageError(f"{path} is no YAML that can be read: {told}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} is no sweep; it needs the tables 'profiles' and 'runs'")
    return found


def _known(values: Any, known: dict[str, Any], where: str) -> dict[str, Any]:
    """`values` with defaults for what is absent, by name and type."""
    if not isinstance(values, dict):
        raise UsageError(f"{where} is no table of fields")
    for name, value in values.items():
        if name not in known:
            raise UsageError(f"{where} has an unknown '{name}'{nearest(str(name), known)}")
        typed(value, known[name], f"{where}: {name}")
    return {**known, **values}


def _profile(values: Any, changes: dict[str, Any], where: str) -> Profile:
    if not isinstance(values, dict):
        raise UsageError(f"{where} is no table of fields")
    checked_fields(Profile, values, where)
    added = {
        name: {**values.get(name, {}), **changes.get(name, {})}
        for name in ("overrides", "settings")
    }
    checked_fields(PretrainConfig, added["settings"], f"{where}, settings")
    for name in added["settings"]:
        if name in DECIDED:
            raise UsageError(f"{where}, settings: {name} is a field of the profile itself")
    return Profile(**checked_fields(Profile, {**values, **changes, **added}, where))


def _row(values: Any, number: int, path: Path) -> dict[str, Any]:
    row = _known(values, _ROW, f"{path}, row {number}")
    if not row["name"]:
        raise UsageError(f"{path}, row {number} has no name")
    whole_numbers(row["seeds"], f"{path}, row '{row['name']}': seeds")
    return row


def _check_names(rows: list[dict[str, Any]], path: Path) -> None:
    """Two rows in one folder would overwrite each other."""
    seen: dict[str, str] = {}
    for name in (row["name"] for row in rows):
        if not slug(name) or slug(name) in seen:
            other = seen.get(slug(name), "nothing")
            raise UsageError(
                f"{path}: the row '{name}' has the same folder as '{other}'; rename it"
            )
        seen[slug(name)] = name


def _config(file: dict, sizes: Profile, row: dict, where: str) -> DBetaConfig:
    """Preset and switches, then what file, profile and row change of them."""
    config = DBetaConfig.preset(
        row["preset"] or file["preset"], row["switches"] or file["switches"]
    )
    overrides = {**file["overrides"], **sizes.overrides, **row["overrides"]}
    for name, value in overrides.items():
        typed(value, config.get(name), f"{where}: {name}")
    return config.replace(**overrides)


def _run(
    sweep: str, order: int, row: dict, seed: int, config: DBetaConfig, profile: str, sizes: Profile
) -> Run:
    kind = FinetuneConfig if row["model"] == SUPERVISED else PretrainConfig
    checked_fields(kind, row["settings"], "settings")
    return Run(
        sweep=sweep, name=row["name"], group=row["group"], order=order, seed=seed,
        model=row["model"], config=config, overrides=row["overrides"], settings=row["settings"],
        model_settings=row["model_settings"], paper=tuple(map(str, row["paper"])),
        note=row["note"], profile_name=profile,
        profile=sizes,
    )  # fmt: skip
