"""A source that misbehaves, two syncs at once, a full disk: clear errors, committed work stays."""

import json
import signal
import subprocess
import threading
import time

import pytest
from support.cli import listens
from support.feed import FeedServer, Generator
from support.lake import Lake
from support.readers import lake_differences, read_table
from support.server import program, wait_for

TRIES = 8  # of a request, then a sync gives it up


@pytest.fixture
def world(tmp_path):
    generator = Generator(21)
    generator.step(60)
    with FeedServer(generator.feed) as server:
        yield generator, server, Lake(tmp_path / "lake", url=server.url)


def pages_only(fault):
    """A fault for pages of the feed, not for `latest`."""

    def wrapped(handler, path, query):
        return path.endswith("/changefeed") and fault(handler, query)

    return wrapped


def pages_asked(server):
    with server.lock:
        return sum(path.endswith("/changefeed") for path, _, _ in server.requests)


def once(action, times=1):
    left = [times]

    def fault(handler, query):
        if left[0] == 0:
            return False
        left[0] -= 1
        action(handler)
        return True

    return pages_only(fault)


def answer(status, body=b"", *headers):
    return lambda handler: FeedServer.send(handler, status, body, headers)


def cut(handler):
    """Half a page, then the connection ends."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    handler.wfile.write(b'[{"sequence":1,')
    handler.wfile.flush()
    handler.connection.close()
    handler.close_connection = True


@pytest.mark.parametrize(
    "fault",
    [answer(429, b"", ("Retry-After", "1")), answer(503, b"busy", ("Retry-After", "0")), answer(500), answer(502), cut],
    ids=["429", "503", "500", "502", "cut"],
)
def test_passing_faults_are_retried(world, fault):
    generator, server, lake = world
    server.faults.append(once(fault, 2))
    out = lake.sync()
    assert out["retries"] >= 2
    assert not lake_differences(lake.folder, generator.feed)


@pytest.mark.parametrize("status", [401, 403])
def test_denied(world, tmp_path, status):
    _, server, lake = world
    token = tmp_path / "token"
    token.write_text("s3cret-token")
    server.faults.append(lambda handler, path, query: FeedServer.send(handler, status) or True)
    said = lake.fails("--token-file", token)
    assert str(status) in said and "s3cret" not in said
    assert any(h.get("Authorization") == "Bearer s3cret-token" for _, _, h in server.requests)


BAD_ROWS = {
    "action": ({"action": "Purge"}, "Purge"),
    "state": ({"state": "Lost"}, "Lost"),
    "no uid": ({"sopInstanceUid": ""}, "sopInstanceUid"),
    "negative sequence": ({"sequence": -4}, "sequence is no"),
    "time": ({"timestamp": "yesterday"}, "timestamp"),
    "metadata": ({"metadata": [1]}, "metadata"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_wrong_rows_name_the_sequence(world, name):
    """Rows before are committed; the wrong one is named, nothing of its batch is visible."""
    generator, server, lake = world
    lake.sync()
    patch, word = BAD_ROWS[name]
    generator.step(3)
    rows = [server.feed.json(r) for r in generator.feed.ordered()]
    rows[-2].update(patch)

    def fault(handler, query):
        offset, limit = int(query["offset"]), int(query["limit"])
        from support.feed import at

        start = server.moment(query["startTime"], None)
        chosen = [row for row, r in zip(rows, generator.feed.ordered()) if at(r["us"]) >= start]
        FeedServer.send(handler, 200, json.dumps(chosen[offset : offset + limit]).encode())
        return True

    before = {n: lake.table("show", n)["version"] for n in ("instance", "series", "study")}
    server.faults.append(pages_only(fault))
    said = lake.fails()
    assert word in said or str(rows[-2]["sequence"]) in said, said
    assert {n: lake.table("show", n)["version"] for n in before} == before
    server.faults.clear()
    lake.sync()
    assert not lake_differences(lake.folder, generator.feed)


def test_not_json_for_ever(world):
    _, server, lake = world
    server.faults.append(pages_only(lambda handler, query: FeedServer.send(handler, 200, b"<html>") or True))
    process = subprocess.Popen([program(), *map(str, lake.command())], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: pages_asked(server) > 1, what="a second try")
    process.terminate()
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1 and f"{TRIES} times" not in said, said


def test_nobody_there(tmp_path):
    lake = Lake(tmp_path / "lake", url="http://127.0.0.1:1")
    process = subprocess.Popen([program(), *map(str, lake.command())], stderr=subprocess.PIPE, text=True)
    listens(process, signal.SIGTERM)
    time.sleep(1)  # it may come anywhere in its tries
    process.terminate()
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1 and f"{TRIES} times" not in said, said


def test_two_syncs_exclude_each_other(world):
    generator, server, lake = world
    asked, gate = threading.Event(), threading.Event()

    def fault(handler, query):
        asked.set()
        gate.wait(600)
        return False

    server.faults.append(pages_only(fault))
    first = subprocess.Popen([program(), *map(str, lake.command())], stdout=subprocess.DEVNULL)
    assert asked.wait(60)
    assert "another sync" in lake.fails()
    patient = subprocess.Popen([program(), *map(str, lake.command("--wait", 600))], stdout=subprocess.DEVNULL)
    with pytest.raises(subprocess.TimeoutExpired):
        patient.wait(1)
    gate.set()
    assert first.wait(120) == 0
    assert patient.wait(120) == 0
    assert not lake_differences(lake.folder, generator.feed)


def test_parameters_are_checked(world, tmp_path):
    _, server, lake = world
    cases = {
        ("--BatchSize", "0"): "BatchSize",
        ("--BatchSize", "x"): "BatchSize",
        ("--ApiVersion", "1"): "ApiVersion",
        ("--StartTime", "2026-01-01"): "StartTime",
        ("--StartTime", "2026-01-02T00:00:00Z", "--EndTime", "2026-01-01T00:00:00Z"): "EndTime",
        ("--InstanceTablePath", "../x"): "InstanceTablePath",
        ("--InstanceTablePath", "series"): "TablePath",
        ("--RetentionHours", "100"): "RetentionHours",
        ("--profile", "r9"): "r9",
        ("--mode", "fast"): "fast",
        ("--column", "x=NoSuchKeyword:string"): "NoSuchKeyword",
        ("--column", "bad name=PatientID:string"): "name",
        ("--column", "x=PatientID:colour"): "colour",
    }
    for words, expected in cases.items():
        assert expected in lake.fails(*words, code=2), words
    assert not (lake.folder / "dicom").exists()


def test_follow(world):
    """A change is in the tables soon after it is in the feed; Ctrl-C ends it cleanly."""
    generator, server, lake = world
    process = subprocess.Popen([program(), *map(str, lake.command("--follow"))], stdout=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 240
        while True:
            if (lake.path("study") / "_delta_log" / f"{1:020}.json").exists():
                break
            assert time.monotonic() < deadline
            time.sleep(0.1)
        generator.step(10)
        while lake_differences(lake.folder, generator.feed):
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        process.terminate()
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(out)["watermark"] == generator.feed.sequence


def test_a_window_that_changes_while_it_is_read(world):
    """A row comes to light behind the reader: the window is read again, nothing is lost or doubled."""
    generator, server, lake = world
    generator.step(600)
    changed = []

    def fault(handler, query):
        if int(query["offset"]) > 0 and not changed:
            changed.append(True)
            key = ("Microsoft.Default", "9", "9.1", "9.1.1")
            row = generator.feed.add("Create", key, {}, us=generator.feed.rows[3]["us"])
            generator.feed.us = max(r["us"] for r in generator.feed.rows)
            assert row["sequence"] == generator.feed.sequence
        return False

    server.faults.append(pages_only(fault))
    lake.sync("--BatchSize", 50)
    assert changed
    assert not lake_differences(lake.folder, generator.feed)


def test_a_feed_that_goes_backwards(world):
    """For ever: an error after a few tries, not a loop; what was committed stays."""
    generator, server, lake = world
    lake.sync()
    generator.step(20)

    def fault(handler, query):
        rows = [server.feed.json(r) for r in reversed(generator.feed.ordered())]
        FeedServer.send(handler, 200, json.dumps(rows).encode())
        return True

    server.faults.append(pages_only(fault))
    said = lake.fails()
    assert "sequence" in said, said
    server.faults.clear()
    lake.sync()
    assert not lake_differences(lake.folder, generator.feed)


def test_rebuild(world):
    """Emptied and taken in again: the same rows, old versions still read, and the sync after it goes on."""
    generator, server, lake = world
    lake.sync()
    old = lake.table("show", "instance")["version"]
    before = read_table(lake.path("instance"))
    generator.step(10)
    out = lake.sync("--rebuild")
    assert out["changes"] == len(generator.feed.rows)
    assert not lake_differences(lake.folder, generator.feed)
    order = lambda r: (r["partitionName"], r["studyinstanceuid"], r["seriesinstanceuid"], r["sopinstanceuid"])  # noqa: E731
    assert sorted(read_table(lake.path("instance"), old), key=order) == sorted(before, key=order)
    generator.step(10)
    assert lake.sync()["changes"] < len(generator.feed.rows)
    assert not lake_differences(lake.folder, generator.feed)


def test_full_disk(world, small_disk):
    """No room: a clear error, nothing half-written is visible, and the next sync goes on."""
    generator, server, lake = world
    disk = small_disk("3m")
    small = Lake(disk.folder / "lake", url=server.url)
    small.sync("--batch-changes", 20)
    disk.fill()
    generator.step(40)
    said = small.fails()
    assert "space" in said.lower(), said
    disk.ballast.unlink()
    disk.grow("64m")
    small.sync()
    assert not lake_differences(small.folder, generator.feed)
    for name in ("instance", "series", "study"):
        assert small.table("check", name) == []
