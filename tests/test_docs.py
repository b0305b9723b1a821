"""The pages that reason with code: every block runs, every claim in it holds."""

import re
import shlex
from contextlib import chdir
from pathlib import Path

import pytest

from inkling.cli import cli

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(
    str(path.relative_to(DOCS)) for path in [*DOCS.glob("*.md"), *DOCS.glob("course/*.md")]
)


@pytest.mark.parametrize("page", ["questions.md"])
def test_a_page_runs_from_top_to_bottom_and_draws_its_pictures(page, tmp_path):
    text = (DOCS / page).read_text()
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", text, flags=re.S | re.M))
    assert code.count("assert") > 5
    with chdir(tmp_path):
        exec(compile(code, page, "exec"), {"__name__": page})
    shown = re.findall(r"\]\((images/[^)]+)\)", text)
    assert shown
    for name in shown:
        assert (tmp_path / name).is_file(), f"{name} is shown and no block draws it"
        assert (DOCS / name).is_file(), f"{name} is not in the repository"


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_exist(page):
    prose = re.sub(r"^```.*?^```", "", (DOCS / page).read_text(), flags=re.S | re.M)
    for target in re.findall(r"\]\(([^)#]+)\)", prose):
        if not target.startswith("http"):
            assert ((DOCS / page).parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES)
def test_commands_have_the_options_that_they_are_shown_with(page):
    blocks = re.findall(r"^```sh\n(.*?)^```", (DOCS / page).read_text(), flags=re.S | re.M)
    for line in "".join(blocks).splitlines():
        called = re.search(r"(?:^| -m )inkling (\w+)(.*)", line)
        if called and "..." not in line:
            verb, rest = called.groups()
            assert verb in cli.commands, line
            with cli.commands[verb].make_context(verb, shlex.split(rest, comments=True)):
                pass
