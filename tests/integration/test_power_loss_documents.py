"""What an answer about a document is worth when the power fails: as test_power_loss.py, for
connections, pipelines, what was published of them, lakehouses, notebooks and cohorts."""

import shutil

import pytest
from support import dicom, power
from support.factory_rest import feed, hourly, lake, pipeline
from support.lake import run as command
from support.rest import Rest
from support.server import Server

NOTEBOOK = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
COHORT = "/lakehouse/lakehouses/home/cohorts/some"
# What is asked, one after the other, and the statuses that say that it was done.
REQUESTS = (
    ("PUT", "/factory/linkedServices/feed", feed(), 201),
    ("PUT", "/factory/linkedServices/lake", lake(), 201),
    ("PUT", "/factory/pipelines/copy", pipeline(), 201),
    ("POST", "/factory/publish", None, 200),
    ("PUT", "/factory/triggers/hourly", hourly(), 201),
    ("PUT", "/lakehouse/lakehouses/research", {"description": "first", "shortcuts": []}, 201),
    ("PUT", "/lakehouse/lakehouses/research/notebooks/one", NOTEBOOK, 201),
    ("PUT", "/lakehouse/lakehouses/research/notebooks/two", NOTEBOOK, 201),
    ("DELETE", "/lakehouse/lakehouses/research/notebooks/one", None, 204),
    ("PUT", "/lakehouse/lakehouses/research", {"description": "second", "shortcuts": []}, 200),
    ("DELETE", COHORT, None, 204),
    ("POST", "/factory/publish", None, 200),
    ("DELETE", "/factory/triggers/hourly", None, 204),
    ("PUT", "/lakehouse/lakehouses/passing", {"description": "", "shortcuts": []}, 201),
    ("DELETE", "/lakehouse/lakehouses/passing", None, 204),
)
PATHS = sorted({path for _, path, _, _ in REQUESTS if path != "/factory/publish"})


class Client(power.Noted, Rest):
    """Of one recorded service or of one found; knows from which ports it asked."""

    def __init__(self, base):
        super().__init__(base, "")
        self.ports = []

    def request(self, *words, **more):
        answer = super().request(*words, **more)
        self.ports.append(self.asked_from)
        return answer


def seen(client):
    """Every document, None where there is none."""
    out = {}
    for path in PATHS:
        answer = client.get(path, {})
        assert answer.status in (200, 404), answer
        out[path] = answer.json() if answer.status == 200 else None
    return out


def fill(folder):
    """A home with a cohort: saving one takes a process that a recorder must not be in."""
    server = Server(folder / "home")
    server.start()
    try:
        assert server.http.store(dicom.capture()).status == 200
        command("sync", "--home", server.home, "--source", server.base)
        wish = {"statement": "SELECT studyInstanceUid, sopInstanceUid, filePath FROM instance"}
        answer = Rest(server.base, "").put(COHORT, wish)
        assert answer.status in (200, 201), answer
        assert server.stop() == 0
    finally:
        if server.process is not None:
            server.kill()
    return power.Tree.read(folder)


@pytest.fixture(scope="module")
def recorded(place, recorder):
    (place / "before").mkdir()
    run = power.Recording(place / "run", recorder, fill(place / "before"))
    server = Server(run.box / "home", env=run.env)
    server.log_path = run.folder / "service.log"
    server.start()
    client = Client(server.base)
    run.states = [seen(client)]  # after each request
    ends = []
    try:
        for method, path, body, status in REQUESTS:
            answer = client.send(method, path, body)
            assert answer.status == status, (path, answer)
            ends.append(len(client.ports) - 1)
            run.states.append(seen(client))
    finally:
        server.kill()
    run.end()
    answers = [run.answered(port) for port in client.ports]
    run.moments = [answers[n] + 1 for n in ends]
    return run


def fault(run, folder, tree, position):
    """What is wrong on this disk, in words; None when nothing is."""
    done = sum(at <= position for at in run.moments)
    now, next_ = run.states[done], run.states[min(done + 1, len(REQUESTS))]
    tree.write(folder)
    server = Server(folder / "home")
    server.log_path = run.folder / "found.log"
    try:
        server.start()
        found = seen(Client(server.base))
        wrong = [p for p in PATHS if found[p] not in (now[p], next_[p])]
        return f"after {done} answers: {[(p, found[p], now[p]) for p in wrong]}" if wrong else None
    except AssertionError as problem:
        return str(problem)[:1000]
    finally:
        if server.process is not None:
            server.kill()
        shutil.rmtree(folder)


def first_fault(run, place, cuts, chance, forgotten=None):
    for position, mode, tree in run.disks(cuts, chance, forgotten):
        if found := fault(run, place / "found", tree, position):
            return position, mode, found
    return None


def test_recorder_sees_everything(recorded):
    assert recorded.differences() is None


@pytest.mark.timeout(900)
def test_what_was_answered(recorded, place, chance):
    cuts = {at: ("nothing", chance.choice(power.MODES)) for at in recorded.moments}
    assert first_fault(recorded, place, cuts, chance) is None


def without(what):
    def forgotten(kind, made):
        path = made.made.removeprefix("/")
        of_file = isinstance(made, power.File) and path.endswith(".new")
        of_log = path.endswith("/factory.db-wal")
        of_folder = isinstance(made, power.Folder) and path.startswith(("home/config/", "home/lakehouse"))
        return None if (of_file, of_log, of_folder)[what] else kind

    return forgotten


@pytest.mark.timeout(900)
@pytest.mark.parametrize("what", range(3), ids=["documents", "log", "names"])
def test_without_a_sync_something_is_lost(recorded, place, chance, what):
    cuts = dict.fromkeys(recorded.moments, ("nothing", "names"))
    found = first_fault(recorded, place, cuts, chance, without(what))
    assert found is not None
    print(found)
