"""The site says what the code is: public names, pictures and the lines that made them, files that pages name."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
MODULES = {
    "qicircuits": "qicircuits",
    "circuits": "qicircuits.circuits",
    "device": "qicircuits.device",
    "drawing": "qicircuits.drawing",
    "resources": "qicircuits.resources",
    "free_fermion": "qicircuits.free_fermion",
    "testing": "qicircuits.testing",
    "adapters": "adapters",
}
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))


@pytest.mark.parametrize("page", MODULES)
def test_reference_has_every_public_name_once_and_no_other(page):
    text = (ROOT / f"docs/reference/{page}.md").read_text("utf-8")
    names = re.findall(r"^\.\. auto(?:class|function|data):: (\w+)$", text, flags=re.MULTILINE)
    assert sorted(names) == sorted(importlib.import_module(MODULES[page]).__all__)


def test_every_reference_page_is_known_here():
    pages = {path.stem for path in ROOT.glob("docs/reference/*.md")}
    assert pages == {*MODULES, "index", "quic"}


def test_first_page_leads_to_every_notebook():
    index = (ROOT / "docs/index.md").read_text("utf-8")
    for path in NOTEBOOKS:
        assert f"(../notebooks/{path.name})" in index


def test_gallery_is_made_by_three_lines_a_picture():
    sys.path.insert(0, str(ROOT / "docs/images"))
    try:
        from make_gallery import PAGE, drawings
    finally:
        sys.path.pop(0)
    page = PAGE.read_text("utf-8")
    pictures = []
    for picture, code, drawing in drawings(page):
        assert isinstance(drawing, Axes | Figure), picture
        assert len(code.strip().splitlines()) <= 3, picture
        assert (PAGE.parent / picture).stat().st_size > 1000
        pictures.append(picture)
    assert pictures == re.findall(r"\((images/gallery/\S+)\)", page)
    assert {PAGE.parent / picture for picture in pictures} == set(PAGE.parent.glob("images/gallery/*"))


def plot_commands():
    page = (ROOT / "docs/gallery.md").read_text("utf-8")
    for block, after in re.findall(r"^```bash\n(.*?)^```$(.*?)(?=^```|\Z)", page, flags=re.MULTILINE | re.DOTALL):
        yield block.strip(), re.findall(r"\(((?:images|results)/\S+)\)", after)


# In one process: what these commands import takes longer than what they do.
RUN_ALL = """
import runpy, sys
from pathlib import Path
from adapters.cli import app
for command in sys.argv[1:]:
    program, *sys.argv = command.split()
    try:
        if program == "python":
            sys.path[0] = str(Path(sys.argv[0]).parent)
            runpy.run_path(sys.argv[0], run_name="__main__")
        else:
            app(sys.argv)
    except SystemExit as end:
        assert not end.code, command
"""


@pytest.mark.integration
def test_plots_of_the_gallery_are_drawn_from_the_results_that_are_kept(tmp_path):
    commands = dict(plot_commands())
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    pictures = [tmp_path / "docs" / picture for shown in commands.values() for picture in shown]
    assert len(commands) == 5
    for command, shown in commands.items():
        assert shown, command
    for picture in pictures:
        picture.unlink()
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    subprocess.run([sys.executable, "-c", RUN_ALL, *commands], cwd=tmp_path, env=environment, check=True)
    for picture in pictures:
        assert picture.stat().st_size > 1000


def test_files_on_the_map_of_ideas_exist():
    text = (ROOT / "docs/explanations/map_of_ideas.md").read_text("utf-8")
    paths = re.findall(r"`([\w/]+(?:\.py|/))`", text)
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_of_notebooks_lead_somewhere(path):
    cells = json.loads(path.read_text("utf-8"))["cells"]
    text = "".join(line for cell in cells if cell["cell_type"] == "markdown" for line in cell["source"])
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert (path.parent / target).exists(), target
