"""Imports run in one direction, heavy libraries stay behind their doors, and the names are this project's."""

import ast
from pathlib import Path

import pytest

import adapters
import qicircuits

ROOT = Path(__file__).parents[2]
FILES = sorted([*ROOT.glob("qicircuits/**/*.py"), *ROOT.glob("adapters/**/*.py")])

# What may be imported only below one of these paths.
ONLY_IN = {
    "pennylane": [
        "qicircuits/circuits/",
        "qicircuits/device/",
        "qicircuits/resources/estimate.py",
        "qicircuits/testing.py",
    ],
    "matplotlib": ["qicircuits/drawing/", "adapters/evaluation/", "adapters/finetune/"],
    "transformers": ["adapters/"],
    "peft": ["adapters/"],
    "adapters": ["adapters/"],
    "typer": ["adapters/"],
    "rich": ["adapters/", "qicircuits/resources/"],
}


def imported(file):
    """Absolute names of everything a file imports, wherever in it."""
    package = file.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_libraries_are_imported_only_where_they_belong(file):
    where = file.relative_to(ROOT).as_posix()
    for name in imported(file):
        allowed = ONLY_IN.get(name.split(".")[0])
        assert allowed is None or any(where.startswith(path) for path in allowed), f"{where} imports {name}"


def test_circuits_and_simulator_are_each_others_oracle():
    simulator = ["subspace", "compound", "givens", "orthogonal", "free_fermion", "engine"]
    for file in ROOT.glob("qicircuits/circuits/**/*.py"):
        for name in imported(file):
            assert not any(name.startswith(f"qicircuits.{part}") for part in simulator), f"{file.name} imports {name}"
    for part in simulator:
        for file in [*ROOT.glob(f"qicircuits/{part}.py"), *ROOT.glob(f"qicircuits/{part}/*.py")]:
            assert not any(name.startswith("qicircuits.circuits") for name in imported(file)), file.name


def test_no_torch_where_integers_are_enough():
    for name in ("subsets", "layouts"):
        assert not any(i.startswith("torch") for i in imported(ROOT / "qicircuits" / f"{name}.py"))


def test_only_one_file_touches_the_registry_of_peft():
    touching = [f.name for f in FILES if "adapters" in f.parts and "register_peft_method" in f.read_text()]
    assert touching == ["peft_plugin.py"]


@pytest.mark.parametrize("package", [qicircuits, adapters])
def test_packages_are_this_project_and_list_their_names_sorted(package):
    assert Path(package.__file__).is_relative_to(ROOT)
    assert package.__all__ == sorted(package.__all__)
    assert all(hasattr(package, name) for name in package.__all__)
    assert all(getattr(package, name).__doc__ for name in package.__all__)
