"""The tables of the docs that say an article's steps as commands and as calls: read from the page, to be run."""

import os
import re
import subprocess

from .server import ROOT, program


def steps(page, form):
    """Rows of docs/PAGE below "The article's steps", of steps of that form: (step, commands, calls)."""
    text = (ROOT / "docs" / page).read_text()
    rows = []
    for line in text.split("## The article's steps")[1].splitlines():
        cells = [c.strip() for c in line.strip().strip("|").split(" | ")]
        if len(cells) == 4 and re.fullmatch(form, cells[0]):
            rows.append((cells[0], re.findall(r"`([^`]*)`", cells[2]), re.findall(r"`([^`]*)`", cells[3])))
    return rows


def environment(folder, **names):
    """What a shell finds: the program by its name, a home below the folder, and these names."""
    (folder / "bin").mkdir()
    (folder / "bin" / "dicomlake").symlink_to(program())
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "DICOMLAKE_HOME": str(folder / "home"), **{k: str(v) for k, v in names.items()}}


def shell(command, env):
    """A command of the table, as a person would type it."""
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=env, timeout=300)
