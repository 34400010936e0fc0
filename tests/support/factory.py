"""Pipelines by their commands: a home with a lake beside it, a daemon, windows of a day, a source that is held."""

import contextlib
import subprocess
import threading

from . import cli
from .cli import USAGE

TOKEN = "a-secret-that-nobody-may-read"


class Home(cli.Home):
    """A home whose connections may use a token, which is never printed."""

    def __init__(self, folder):
        super().__init__(folder / "home", DICOM_TOKEN=TOKEN)
        self.folder = folder
        self.lake = folder / "lake"

    def __call__(self, *words, **options):
        done = super().__call__(*words, **options)
        assert TOKEN not in done.stdout + done.stderr
        return done

    def refused(self, *words, code=USAGE):
        """What a command says that is refused."""
        done = self(*words, code=code)
        assert done.stderr.startswith("dicomlake: "), done.stderr
        assert done.stdout == "", done.stdout
        return done.stderr

    def runs(self, *words):
        return self.facts("run", "list", *words)

    @contextlib.contextmanager
    def daemon(self):
        process = self.start_daemon()
        try:
            yield process
        finally:
            process.terminate()
            assert process.wait(60) == 0
            process.stdout.close()

    def start_daemon(self):
        process = cli.start("trigger", "daemon", env=self.env, stderr=subprocess.DEVNULL)
        assert process.stdout.readline() == f"scheduling on {self.path}\n"
        return process

    def setup(self, url, publish=True):
        """A source, a lake and a pipeline between them."""
        self("connection", "add", "source", "--type", "dicom", "--url", url)
        self("connection", "add", "lake", "--type", "lake", "--url", self.lake)
        self("pipeline", "create", "copy", "--dicom", "source", "--lake", "lake")
        if publish:
            self("pipeline", "publish")
        return self


def hours(first, last):
    """The words for the hours [first, last) of the feed's first day."""
    return "--from", f"2026-01-05T{8 + first:02d}:00:00Z", "--to", f"2026-01-05T{8 + last:02d}:00:00Z"


def tumbling(home, name="hourly", *words):
    """A published trigger whose windows are only made by a backfill: its own begin in the year 2100."""
    home("trigger", "create", name, "--pipeline", "copy", "--start", "2100-01-01", *words)
    home("pipeline", "publish")


@contextlib.contextmanager
def held(source):
    """The service does not answer windows until the context ends."""
    gate = threading.Event()

    def wait(handler, path, query):
        if "limit" in query:
            gate.wait(600)
        return False

    source.faults.append(wait)
    try:
        yield gate
    finally:
        gate.set()
