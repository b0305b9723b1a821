"""The documentation as a site: `make docs`, with Sphinx.

Pages for settings, examples and public names are made from the code, into docs/reference, and are
not kept in the repository.
"""

import os
import re
from importlib import import_module
from pathlib import Path

import inkling
from inkling.config.kinds import KINDS
from inkling.config.meanings import Setting, settings_of
from inkling.nets.configs import NETWORKS

HERE = Path(__file__).parent
ROOT = HERE.parent

project = "inkling"
author = "The inkling authors"
release = inkling.__version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
]
exclude_patterns = ["reference/readme.md", "jupyter_execute"]
default_role = "code"
html_theme = "furo"
html_title = "inkling"
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]
nb_execution_mode = os.environ.get("NOTEBOOKS", "off")
nb_execution_timeout = 600
nb_execution_raise_on_error = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_numpy_docstring = False
PYTHON = {
    "Sample": ("sampling.pipeline.TextToImage", "config.sample.Sample", "pixels.to_pil"),
    "Train": ("training.loop.fit", "training.loop.Progress"),
    "Recipes": ("config.overrides.override", "config.recipe.Recipe"),
    "Exercises": ("inspect.verify.exercises.mark",),
}
"""The public interface, by what one wants to do."""
PACKAGES = {"core": "Core", "nets": "Networks", "text": "Text encoders"}


def write(path: str, *parts: str) -> None:
    """One made page, where it has changed."""
    file, text = HERE / path, "\n\n".join(parts) + "\n"
    file.parent.mkdir(exist_ok=True)
    if not file.is_file() or file.read_text() != text:
        file.write_text(text)


def table(settings: list[Setting]) -> str:
    """Settings as a table of Markdown."""
    rows = ["| setting | values | default | meaning |", "|---|---|---|---|"]
    for each in settings:
        cells = (f"`{each.path}`", each.values, f"`{each.default}`", each.meaning)
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows)


def settings_page() -> None:
    """Every setting of every kind of run."""
    groups: dict[str, dict[str, Setting]] = {}
    for kind in KINDS.values():
        for name, net in NETWORKS.items():
            for each in settings_of(kind, net):
                group = each.path.partition(".")[0]
                title = f"{group}: {name}" if group == "net" else group
                if not each.path.startswith("distil.sample."):  # as in sample
                    groups.setdefault(title, {}).setdefault(each.path, each)
    write(
        "reference/settings.md",
        "# Settings",
        "Every setting of a recipe: what it means, in which unit, which values it takes, its "
        "default, and when to change it. `--set NAME=VALUE` sets one on the command line, "
        "`override(recipe, ['NAME=VALUE'])` in Python, and `inkling recipes NAME` prints those in "
        "which a recipe differs from the defaults.",
        *(f"## {title}\n\n{table([*found.values()])}" for title, found in groups.items()),
    )


def documented(path: str) -> str:
    """What autodoc makes of a class or a function."""
    module, _, name = path.rpartition(".")
    kind = "autoclass" if isinstance(getattr(import_module(module), name), type) else "autofunction"
    members = "\n   :members:" if kind == "autoclass" else ""
    return f"```{{eval-rst}}\n.. {kind}:: {path}{members}\n```"


def python_pages() -> None:
    """The public names of the library."""
    parts = ["# Python", "What `import inkling` offers, and the values that its functions take."]
    for title, names in PYTHON.items():
        parts += [f"## {title}", *(documented(f"inkling.{name}") for name in names)]
    recipes = ", ".join(f"`{name}`" for name in inkling.RECIPES)
    parts += ["## Recipes by name", f"`inkling.RECIPES` has {recipes}."]
    write("reference/python.md", *parts)
    parts = ["# Core, networks, text encoders"]
    for name, title in PACKAGES.items():
        package = import_module(f"inkling.{name}")
        things = [getattr(package, public) for public in package.__all__]
        homes = [
            f"{thing.__module__}.{thing.__qualname__}"
            for thing in things
            if callable(thing) and getattr(thing, "__module__", "").startswith("inkling.")
        ]
        parts += [f"## {title}", *map(documented, dict.fromkeys(homes))]
    write("reference/core.md", *parts)


def copied_pages() -> None:
    """The README with links of the site, the examples, and the first file of the course."""
    readme = (ROOT / "README.md").read_text().replace("](docs/", "](")
    readme = re.sub(r"\]\(examples(/(\w+)\.py)?\)", r"](reference/examples.md#\2-py)", readme)
    readme = readme.replace("#-py)", ")").replace("](CONTRIBUTING.md)", "](contributing.md)")
    write("reference/readme.md", readme.rstrip())
    parts = ["# Examples", "One idea a file."]
    for example in sorted((ROOT / "examples").glob("*.py")):
        parts += [f"## {example.name}", f"```python\n{example.read_text().rstrip()}\n```"]
    write("reference/examples.md", *parts)
    source = (HERE / "course" / "ddpm.py").read_text().rstrip()
    write("reference/ddpm.md", "# A DDPM in one file", f"```python\n{source}\n```")


settings_page()
python_pages()
copied_pages()
