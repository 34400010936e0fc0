"""Running `dicomlake sync` and `dicomlake table` on a lake of one's own."""

import json
import pathlib

import pydicom.data

from . import cli

REAL_FILES = pathlib.Path(pydicom.data.__file__).parent / "test_files"  # what pydicom ships


def run(*words, check=True):
    """Run the program; its CompletedProcess. `check`: it must succeed."""
    done = cli.run(*words)
    if check:
        assert done.returncode == 0, f"exit {done.returncode}: {done.stderr}{done.stdout}"
    return done


def home_of_files(folder, *paths):
    """A home with these files, all of pydicom's if none is named, and their tables; those that cannot be stored are not
    in it."""
    assert run("import", "--home", folder, *(paths or [REAL_FILES]), check=False).returncode in (cli.DONE, cli.PARTLY)
    run("sync", "--home", folder)
    return folder


class Lake:
    def __init__(self, folder, url=None, **options):
        """`options` are given to each sync: mode="compat" and the like."""
        self.folder, self.url = folder, url
        self.options = [w for k, v in options.items() for w in (f"--{k.replace('_', '-')}", v)]
        folder.mkdir(parents=True, exist_ok=True)

    def command(self, *words, url=None):
        source = ["--source", url or self.url] if url or self.url else []
        return ["sync", "--lake", self.folder, *source, "--json", *self.options, *words]

    def sync(self, *words, url=None):
        """The summary of a sync that must succeed."""
        return json.loads(run(*self.command(*words, url=url)).stdout)

    def fails(self, *words, code=1, url=None):
        """What a sync that must fail says."""
        done = run(*self.command(*words, url=url), check=False)
        assert done.returncode == code, f"exit {done.returncode}: {done.stderr}{done.stdout}"
        assert done.stderr.startswith("dicomlake: "), done.stderr
        return done.stderr

    def table(self, action, *words, check=True):
        done = run("table", action, *words, "--lake", self.folder, "--json", check=check)
        return json.loads(done.stdout) if check else done

    def path(self, name):
        return self.folder / "dicom" / name
