"""The course runs from top to bottom: one file, and eight notebooks with few training steps."""

import re
import runpy
import sys
from contextlib import chdir
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from inkling.inspect.verify import EXERCISES

COURSE = Path(__file__).parents[1] / "docs" / "course"
NOTEBOOKS = sorted(COURSE.glob("*.ipynb"))
FEW = 6


def source_of(path):
    return "\n".join(cell.source for cell in nbformat.read(path, 4).cells)


def test_a_whole_ddpm_is_one_short_file(tmp_path, monkeypatch):
    source = (COURSE / "ddpm.py").read_text()
    assert source.count("\n") <= 120
    assert "inkling" not in source.replace("inkling/", "")
    monkeypatch.setattr(sys, "argv", ["ddpm.py", "3"])
    with chdir(tmp_path):
        runpy.run_path(str(COURSE / "ddpm.py"), run_name="__main__")
        assert Path("ddpm.png").stat().st_size > 1000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path):
    notebook = nbformat.read(path, 4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs, "notebooks are kept without outputs"
            cell.source = re.sub(r"(?m)^STEPS = \d+", f"STEPS = {FEW}", cell.source)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    shown = [out for out in outputs if "image/png" in out.get("data", {})]
    assert len(shown) >= 2, "people look rather than read"
    printed = "".join(out.get("text", "") for out in outputs if out.get("name") == "stdout")
    assert "WRONG" in printed, "an exercise that is not done is marked wrong"
    assert "ok " in printed, "its answer is right"
    warned = "".join(out.get("text", "") for out in outputs if out.get("name") == "stderr")
    assert "Error" not in warned


def test_every_exercise_is_in_the_course_and_in_its_table():
    sources = {path.stem: source_of(path) for path in NOTEBOOKS}
    assert len(sources) == 8
    table = (COURSE / "index.md").read_text()
    for name in EXERCISES:
        homes = [stem for stem, source in sources.items() if f'assert mark("{name}"' in source]
        assert len(homes) == 1, name
        row = next(line for line in table.splitlines() if f"{homes[0]}.ipynb" in line)
        assert f"`{name}`" in row


def test_every_notebook_says_how_long_it_takes_and_has_answers():
    for path in NOTEBOOKS:
        source = source_of(path)
        assert re.search(r"\*\*Time:\*\* \d+ minutes", source), path.stem
        assert "## Answers" in source
        assert "Discussion" in source
