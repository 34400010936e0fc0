"""A damaged database of pipelines, triggers and runs: the archive serves all the same, says what is
wrong and where, and writes nothing over what is left."""

import sqlite3
import subprocess
import time

import pytest
from support import dicom
from support.factory_rest import Factory, hourly, set_up
from support.rest import problem
from support.server import program, wait_for

DAMAGED = ("state/factory.db", "pipelines, triggers and runs", "damaged", "backup", "aside")


def health(server):
    answer = server.http.get("/health/check", {}, absolute=True)
    found = answer.json()
    parts = {detail["name"]: detail["status"] for detail in found["details"]}
    return answer.status, found["overallStatus"], parts["PipelinesHealthCheck"]


def content(server):
    found = {p.name: p.read_bytes() for p in (server.home / "state").glob("factory.db*")}
    return {name: data for name, data in found.items() if data and not name.endswith("-shm")}


def spoil_all(data):
    return b"\xa5" * len(data)


def spoil_table(data):
    """The file opens; what is in the table of documents cannot be right."""
    with sqlite3.connect(":memory:") as db:
        db.deserialize(data[:18] + b"\1\1" + data[20:])  # its log is empty: read without one
        (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'published'").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    return data[: (page - 1) * size] + b"\xa5" * size + data[page * size :]


def spoil_header(data):
    return b"\xa5" * 100 + data[100:]


def a_home(serve):
    server = serve()
    set_up(Factory(server.base))
    assert server.http.store(dicom.capture()).status == 200
    return server


def expect_damage(server):
    """What such a service answers."""
    factory = Factory(server.base)
    assert server.http.store(dicom.capture().fresh()).status == 200
    assert len(server.http.feed("?limit=200")) >= 2
    assert server.http.search("/studies")
    problem(factory.get("/pipelines", {}), 503, *DAMAGED)
    problem(factory.get("/triggers/hourly", {}), 503, *DAMAGED)
    problem(factory.get("/runs", {}), 503, *DAMAGED)
    problem(factory.post("/publish"), 503, *DAMAGED)
    problem(factory.put("/pipelines/other", {"properties": {"activities": []}}), 503, *DAMAGED)
    problem(factory.post("/pipelines/copy/run"), 503, *DAMAGED)
    assert [c["name"] for c in factory.value("/linkedServices")["value"]] == ["feed", "lake"]
    wait_for(lambda: health(server) == (200, "Degraded", "Degraded"), what="Degraded")
    metrics = server.http.get("/metrics", {}, absolute=True)
    assert metrics.status == 200
    assert "dicomlake_pipelines_database_up 0" in metrics.text
    assert "dicomlake_statements_running" in metrics.text
    assert "factory.db" in server.log() and "damaged" in server.log()


@pytest.mark.parametrize("spoil", [spoil_all, spoil_table, spoil_header])
def test_a_damaged_database_of_pipelines(serve, spoil):
    server = a_home(serve)
    assert health(server) == (200, "Healthy", "Healthy")
    assert "dicomlake_pipelines_database_up 1" in server.http.get("/metrics", {}, absolute=True).text
    assert server.stop() == 0
    path = server.home / "state" / "factory.db"
    whole = path.read_bytes()
    path.write_bytes(spoil(whole))
    before = content(server)
    server.start()
    expect_damage(server)
    time.sleep(1.2)  # whoever looks each second has looked once more
    assert server.stop() == 0
    assert content(server) == before
    path.write_bytes(whole)
    server.start()
    assert health(server) == (200, "Healthy", "Healthy")
    assert [p["name"] for p in Factory(server.base).value("/pipelines")["value"]] == ["copy"]


def test_put_right_while_the_service_runs(serve):
    """Moved aside: an empty one takes its place, drafts are there and can be published again."""
    server = a_home(serve)
    assert server.stop() == 0
    path = server.home / "state" / "factory.db"
    path.write_bytes(spoil_all(path.read_bytes()))
    server.start()
    expect_damage(server)
    path.rename(path.with_suffix(".aside"))
    wait_for(lambda: health(server)[1] == "Healthy", 60, "Healthy")
    factory = Factory(server.base)
    assert factory.post("/publish").json() == {"published": 2}
    assert factory.put("/triggers/other", hourly()).status == 201
    assert factory.value("/runs")["value"] == []


def test_what_is_in_the_log_stays_there(serve):
    """A kill leaves a write-ahead log; whoever finds the file damaged must not clear it away."""
    server = a_home(serve)
    server.kill()
    path = server.home / "state" / "factory.db"
    assert (server.home / "state" / "factory.db-wal").stat().st_size > 0
    path.write_bytes(b"\xa5" * 8192)
    before = content(server)
    done = run(server, "run", "list")
    assert content(server) == before or done.returncode == 0  # the log alone may hold every page


def run(server, *words):
    return subprocess.run(
        [program(), *words, "--home", server.home], capture_output=True, text=True, timeout=120
    )


def test_commands_say_what_is_damaged(serve):
    server = a_home(serve)
    assert server.stop() == 0
    path = server.home / "state" / "factory.db"
    path.write_bytes(spoil_all(path.read_bytes()))
    for words in (("pipeline", "list"), ("run", "list"), ("trigger", "start", "hourly")):
        done = run(server, *words)
        assert done.returncode == 1
        for word in (*DAMAGED, str(path)):
            assert word in done.stderr, (words, word, done.stderr)
    assert run(server, "connection", "list").returncode == 0
    assert run(server, "sql", "SELECT 1").returncode == 0


def test_a_database_of_a_newer_program(serve):
    server = a_home(serve)
    assert server.stop() == 0
    db = sqlite3.connect(server.home / "state" / "factory.db")
    db.execute("PRAGMA user_version = 999")
    db.commit()
    db.close()
    server.start()
    problem(Factory(server.base).get("/pipelines", {}), 503, "state/factory.db", "newer")
    wait_for(lambda: health(server) == (200, "Degraded", "Degraded"), what="Degraded")
