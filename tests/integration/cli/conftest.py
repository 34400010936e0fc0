"""A home, each way to name an archive, and services of somebody else: what the tests of commands start from."""

import pytest
from support.cli import DONE, run
from support.peer import Peer


@pytest.fixture
def home(tmp_path):
    """A home that no service runs on; verified at the end when it was made."""
    yield tmp_path / "archive"
    if (tmp_path / "archive" / "state").exists():
        done = run("verify", "--home", tmp_path / "archive", "--hash")
        assert done.returncode == DONE, done.stdout + done.stderr


@pytest.fixture(params=["alone", "beside a service", "by URL"])
def where(request, tmp_path):
    """Every way to say which archive: the options, and a running service or none."""
    if request.param == "alone":
        return ["--home", str(tmp_path / "archive")]
    serve = request.getfixturevalue("serve")
    service = serve()
    return ["--home", str(service.home)] if "beside" in request.param else ["--url", service.base]


@pytest.fixture
def peer():
    made = []

    def make(answer):
        made.append(Peer(answer))
        return made[-1]

    yield make
    for p in made:
        p.close()
