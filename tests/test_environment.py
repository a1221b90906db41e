"""The four lists of packages agree: pyproject, environment.yml, constraints, and the code."""

import ast
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA_NAME = {  # ours -> conda-forge's, where they differ
    "torch": "pytorch",
    "faiss-cpu": "faiss-gpu",
    "huggingface-hub": "huggingface_hub",
    "jupyter-client": "jupyter_client",
    "playwright": "playwright-python",  # conda-forge's "playwright" is the driver alone
}
IMPORT_NAME = {  # ours -> the module's, where they differ
    "ipython": "IPython",
    "faiss-cpu": "faiss",
    "pyyaml": "yaml",
    "pytest-xdist": "xdist",
    "scikit-learn": "sklearn",
    "umap-learn": "umap",
}


def required(*extras: str) -> dict[str, str]:
    """Package -> version bound of the dependencies and of some extras."""
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    return {r.name: str(r.specifier) for r in map(Requirement, lines)}


def test_environment_yml_is_pyproject_under_conda_forges_names():
    content = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert content["channels"][0] == "conda-forge"
    conda = {r.name: str(r.specifier) for r in map(Requirement, content["dependencies"])}
    assert conda.pop("python") == PROJECT["requires-python"]
    assert conda.pop("pip") == ""
    assert conda == {CONDA_NAME.get(name, name): v for name, v in required("dev").items()}


def test_every_dependency_is_pinned_within_its_bound():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {}
    for line in lines:
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            (specifier,) = requirement.specifier
            assert specifier.operator == "==", line
            pins[canonicalize_name(requirement.name)] = specifier.version
    assert "+" not in pins["torch"], "a build label would shut the CUDA build out"
    for name, bound in required("dev", "features", "formats", "deberta").items():
        pin = pins[canonicalize_name(name)]
        assert Requirement(f"{name}{bound}").specifier.contains(pin), f"{name} {pin} is not {bound}"


def third_party_imports() -> dict[str, str]:
    """Top-level modules imported by the library -> one file that does."""
    found = {}
    for path in sorted((ROOT / "dbeta_lib").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
            for name in names:
                found[name.split(".")[0]] = path.name
    return {m: f for m, f in found.items() if m not in sys.stdlib_module_names and m != "dbeta_lib"}


def test_what_the_library_imports_is_listed():
    ours = set(required()) | set(required("features", "formats"))
    listed = {IMPORT_NAME.get(n, n.replace("-", "_")) for n in ours}
    missing = {m: f for m, f in third_party_imports().items() if m not in listed}
    assert not missing, f"add to pyproject.toml: {missing}"


@pytest.mark.parametrize("name", ["profiles/smoke", "profiles/demo", "profiles/ptbxl"])
def test_the_profiles_are_part_of_the_tree(name):
    assert (ROOT / "notebooks" / f"{name}.yaml").is_file()


def test_the_console_script_exists():
    module, function = PROJECT["scripts"]["dbeta"].split(":")
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
    assert function in {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}


def test_citation_names_kit_and_paper():
    content = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert content["version"] == PROJECT["version"]
    assert content["license"] == "Apache-2.0"
    assert "2410.02131" in str(content["references"])
