"""The house's floors: an import points down, never up, never in a circle."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "dbeta_lib"
FLOORS = [  # from the ground; modules of one floor may import each other, but not in a circle
    {
        "code_commit",
        "config",
        "config_checks",
        "errors",
        "files",
        "leads",
        "packing",
        "presets",
        "progress",
        "seeds",
    },
    {"data", "download"},
    {"augmentations", "balanced", "batch", "checkpoint_files", "embedders", "encoders", "fusion"}
    | {"heads", "inference", "losses", "mined_tables", "n3s", "negative_laws", "neighbours"}
    | {"costs", "official_names", "outputs", "processes", "sinkhorn"},
    {"model"},
    {"box"},
    {"released", "training", "comparisons"},
    {"evaluation"},
    {"sweeps"},
    {"reporting"},
    {"box.pack", "ecg_doctor", "prediction", "workspace"},
    {"cli", "command_line", "command_models", "command_options", "commands", "commands_data"}
    | {
        "commands_evaluation",
        "commands_prediction",
        "commands_sweep",
        "commands_training",
        "doctor",
        "notebook_parameters",
        "workflow",
    },
]
FLOOR_OF = {module: floor for floor, modules in enumerate(FLOORS) for module in modules}


def module_name(path: Path) -> str:
    """`dbeta_lib.data.store` of its file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(p): p for p in sorted(LIBRARY.rglob("*.py"))}
INSIDE = [name for name in MODULES if name != "dbeta_lib"]  # the root only re-exports, lazily


def imports(name: str, top_level_only: bool = False) -> set[str]:
    """Modules of the library that a module imports, anywhere or when it is loaded."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    found = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively; write the whole name"
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {f if f in MODULES else node.module for f in full}
    return {f for f in found if f in MODULES and f != "dbeta_lib"}


def floor(name: str) -> int:
    """The floor of a module of the library: its own where it has one, else its package's."""
    inside = name.removeprefix("dbeta_lib.")
    return FLOOR_OF[inside if inside in FLOOR_OF else inside.split(".")[0]]


def test_every_module_has_a_floor():
    unknown = {n.split(".")[1] for n in INSIDE} - FLOOR_OF.keys()
    assert not unknown, f"put {sorted(unknown)} on a floor of FLOORS"


@pytest.mark.parametrize("name", INSIDE)
def test_an_import_points_down(name):
    upward = [other for other in imports(name) if floor(other) > floor(name)]
    assert not upward, f"{name} imports {upward} from above"


def test_no_import_goes_in_a_circle():
    try:
        list(TopologicalSorter({n: imports(n) - {n} for n in INSIDE}).static_order())
    except CycleError as error:
        pytest.fail(f"imports in a circle: {' -> '.join(error.args[1])}")


def test_a_circle_and_an_upward_import_would_be_seen():
    assert "dbeta_lib.errors" in imports("dbeta_lib.files")
    assert (
        floor("dbeta_lib.data.store") < floor("dbeta_lib.model") < floor("dbeta_lib.workflow.run")
    )
    with pytest.raises(CycleError):
        list(TopologicalSorter({"a": {"b"}, "b": {"a"}}).static_order())


def test_the_command_line_needs_the_standard_library_alone():
    # -I -S: no site-packages at all, as with a system's Python where nothing is installed.
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import dbeta_lib.command_line as c; "
        "print(c.dataset_names())"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-B", "-c", code], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert b"ptb-xl" in done.stdout
