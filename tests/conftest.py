"""Fixtures of the tests that run the program."""

import pathlib
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

pytest.register_assert_rewrite("support")  # its assertions show their values as well
from support import server  # noqa: E402


class Services:
    """Starts servers and, when the test is over, stops and judges them."""

    def __init__(self, folder):
        self.folder = folder
        self.servers = []

    def __call__(self, settings=None, home=None, check=True, start=True, **options):
        """A running server with a client `.http`. `check`: verify the home at the end."""
        home = home or self.folder / f"home{len(self.servers)}"
        made = server.Server(home, settings, **options)
        made.check = check
        self.servers.append(made)
        if start:
            made.start()
        return made

    def finish(self):
        problems = []
        for s in self.servers:
            try:
                problems += self.judge(s)
            except AssertionError as problem:  # the others still have to be stopped
                problems.append(str(problem))
            finally:
                if s.process is not None:
                    s.kill()
            if s.home.is_relative_to(self.folder):
                shutil.rmtree(s.home, ignore_errors=True)
        assert not problems, "\n".join(problems)

    @staticmethod
    def judge(s):
        """Stop a server; what is wrong with how it ended and what it left."""
        problems = []
        if s.process is not None and not s.running():
            problems.append(f"ended by itself with exit code {s.process.wait()}")
        elif s.process is not None:
            code = s.stop()
            if code != 0:
                problems.append(f"exit code {code} after SIGTERM")
        log = s.log()
        if found := server.defects(log):
            problems.append(f"log has {found}:\n{log[-4000:]}")
        if s.check and (s.home / "state").exists():
            code, found = s.verify()
            if code != 0 or found["problems"]:
                problems.append(f"verify: exit {code}, {found}")
        return problems


@pytest.fixture
def serve(tmp_path):
    """The server factory: serve({"service.partitions": "on"})."""
    services = Services(tmp_path)
    yield services
    services.finish()


@pytest.fixture
def service(serve):
    """One server on a fresh home with the settings as they come."""
    return serve()


@pytest.fixture
def web(service):
    """A client of that server, below /v2."""
    return service.http


@pytest.fixture(scope="module")
def shared_serve(tmp_path_factory):
    """As `serve`, for tests that only read what a module stored once."""
    services = Services(tmp_path_factory.mktemp("shared"))
    yield services
    services.finish()
