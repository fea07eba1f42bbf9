"""Notebooks are numbered, check what they say, and are kept without outputs; `make docs` runs them."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))


def test_notebooks_are_numbered_without_gaps():
    assert [int(path.name[:2]) for path in NOTEBOOKS] == list(range(1, len(NOTEBOOKS) + 1))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_has_its_number_checks_and_no_outputs(path):
    notebook = json.loads(path.read_text("utf-8"))
    assert "".join(notebook["cells"][0]["source"]).startswith(f"# {int(path.name[:2])} · ")
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for cell in cells:
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
        assert cell["metadata"] == {}
    assert any("assert " in line for cell in cells for line in cell["source"])
