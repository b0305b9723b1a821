"""The pictures of previews one by one, for those who compare or score them elsewhere."""

from collections import Counter
from pathlib import Path

from inkling.runs.preview import NO_PROMPT, Rows
from inkling.system.disk import file_name
from inkling.visualize import grids

CONDITIONAL, UNCONDITIONAL = FOLDERS = ("conditional", "unconditional")
"""Folders of pictures with and without a prompt."""


def save_files(rows: Rows, folder: Path, step: int) -> None:
    """Write each picture of a preview into a file of its own.

    `conditional/step-000500-PROMPT-0.png` and `unconditional/step-000500-0.png`; prompts whose
    names would be the same count on.

    Args:
        rows: of the preview.
        folder: where the two folders are.
        step: of training.

    Raises:
        UserError: a file cannot be written.
    """
    counts: Counter[str] = Counter()
    for prompt, images in rows:
        name = f"step-{step:06d}"
        if prompt == NO_PROMPT:
            start = folder / UNCONDITIONAL / name
        else:
            start = folder / CONDITIONAL / f"{name}-{file_name(prompt)}"
        key = str(start).casefold()  # some file systems take capitals for the same letters
        for image in images:
            file = start.with_name(f"{start.name}-{counts[key]}.png")
            grids.save(grids.as_picture(image), file)
            counts[key] += 1
