"""Where results may be written: nothing that training wrote is lost."""

from pathlib import Path

from inkling.errors import UserError
from inkling.models.checkpoint import CHECKPOINTS
from inkling.runs.run_folder import BEST, MILESTONES, SAMPLES, TRACES
from inkling.training import posthoc_ema

_FILES = (*TRACES, BEST, "curves.png")
_FOLDERS = (SAMPLES, MILESTONES, CHECKPOINTS, posthoc_ema.FOLDER)
"""What training writes into a run folder."""


def check_output(out: Path, *endings: str) -> None:
    """Refuse a file for a result that ends otherwise, or that a run has written itself.

    Args:
        out: the file, whether or not it is there.
        endings: that it may have, such as ".png".

    Raises:
        UserError: it says which name would do.
    """
    if endings and out.suffix.lower() not in endings:
        raise UserError(f"--out {out} should end in {' or '.join(endings)}")
    folder = out.parent.parent if out.parent.name in _FOLDERS else out.parent
    inside = out.parent.name in _FOLDERS or out.name in _FILES
    if inside and any((folder / name).is_file() for name in TRACES):
        raise UserError(f"{out} belongs to the run in {folder}; choose another --out")
