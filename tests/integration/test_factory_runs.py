"""Runs from end to end: what they leave in the tables, and what they say when they fail."""

import json
import shutil
import threading

import pytest
from support.feed import EPOCH, FeedServer, Feed, attribute
from support.http import Client
from support.lake import Lake
from support.lake import run as program
from support.server import wait_for


class Factory(Client):
    """The routes below /factory, and what tests do with them."""

    def __init__(self, server):
        super().__init__(server.base, "/factory")
        self.server = server

    def send(self, method, path, body=None):
        headers = {} if body is None else {"Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        answer = self.request(method, path, headers, data)
        assert answer.status < 300, answer
        return answer.json() if answer.body else None

    def connections(self, url, folder="home:"):
        self.send("PUT", "/linkedServices/feed", {"properties": {"type": "RestService", "typeProperties": {"url": url}}})
        self.send("PUT", "/linkedServices/lake", {"properties": {"type": "FileServer", "typeProperties": {"host": str(folder)}}})

    def pipeline(self, name="copy", **parameters):
        def reference(to):
            return {"referenceName": to, "type": "LinkedServiceReference"}

        activity = {"name": "Sync", "type": "SyncDicomTables", "typeProperties": {"source": reference("feed"), "lake": reference("lake")}}
        self.send("PUT", f"/pipelines/{name}", {"properties": {"activities": [activity], "parameters": parameters}})
        self.send("POST", "/publish")

    def set_up(self, url, folder=None):
        self.connections(url, folder or self.server.home.with_name("lake"))
        self.pipeline()
        return self

    def begin(self, name="copy"):
        return self.send("POST", f"/pipelines/{name}/run")["runId"]

    def see(self, run):
        return self.send("GET", f"/runs/{run}")

    def ended(self, run, seconds=90):
        def look():
            found = self.see(run)
            return found if found["runEnd"] else None

        return wait_for(look, seconds, f"the end of run {run}", every=0.1)

    def run(self, name="copy"):
        return self.ended(self.begin(name))

    def rerun(self, run):
        return self.ended(self.send("POST", f"/runs/{run['runId']}/rerun")["runId"])

    def lines(self, run):
        return self.send("GET", f"/runs/{run['runId']}/logs")["value"]


@pytest.fixture
def factory(service):
    return Factory(service)


@pytest.fixture
def source():
    """A feed of 60 instances in 6 studies."""
    feed = Feed()
    more(feed, 60)
    with FeedServer(feed) as server:
        yield server


def more(feed, count):
    for _ in range(count):
        i = feed.sequence
        key = ("Microsoft.Default", f"1.2.{i // 10}", f"1.2.{i // 10}.1", f"1.2.{i // 10}.1.{i}")
        feed.add("Create", key, {"00080018": attribute("UI", key[3])})


def succeeded(run):
    assert run["status"] == "Succeeded", (run["cause"], run["hint"])
    assert not run["cause"] and not run["hint"]
    return run["counts"]


def failed(run, cause, hint):
    assert run["status"] == "Failed", run
    assert cause in run["cause"], run["cause"]
    assert hint in run["hint"], run["hint"]
    return run


def refuse(status):
    """A fault: everything is answered with that."""

    def fault(handler, path, query):
        FeedServer.send(handler, status)
        return True

    return fault


def test_success(factory, source):
    counts = succeeded(factory.set_up(source.url).run())
    assert counts["changes"] == counts["inserted"] == 60
    assert {t: c["rows"] for t, c in counts["tables"].items()} == {"instance": 60, "series": 6, "study": 6}
    assert counts["rowsIn"] == 72 and counts["rowsOut"] == 0 and counts["bytes"] > 0
    assert [s["name"] for s in counts["stages"]] == ["open", "read", "fold", "write", "commit", "state", "maintain"]
    before = len(source.requests)
    counts = succeeded(factory.run())
    assert counts["rowsIn"] == 0 and counts["requests"] == len(source.requests) - before


def test_a_token_that_is_refused(factory, source):
    source.faults.append(refuse(401))
    run = failed(factory.set_up(source.url).run(), "the service answers 401", "token")
    assert [line["level"] for line in factory.lines(run)] == ["error"]
    source.faults.clear()
    assert succeeded(factory.rerun(run))["changes"] == 60


def test_a_source_that_is_down_and_up_again(factory, source):
    down = [True, True]

    def fault(handler, path, query):
        if down:
            down.pop()
            handler.close_connection = True
            handler.connection.close()
            return True
        return False

    source.faults.append(fault)
    run = factory.set_up(source.url).run()
    counts = succeeded(run)
    assert counts["changes"] == 60 and counts["retries"] == 2
    assert [line["level"] for line in factory.lines(run)] == ["warn", "warn", "info"]
    assert all("trying again in" in line["text"] for line in factory.lines(run)[:2])


def test_cancel_in_the_middle(factory, source):
    asked, gate = threading.Event(), threading.Event()

    def fault(handler, path, query):
        if int(query.get("offset", 0)) >= 200:
            asked.set()
            gate.wait(600)
        return False

    more(source.feed, 2000)
    source.faults.append(fault)
    run = factory.set_up(source.url).begin()
    assert asked.wait(60)
    factory.send("POST", f"/runs/{run}/cancel")
    ended = factory.ended(run)
    assert ended["status"] == "Cancelled" and ended["cancelRequested"], ended
    source.faults.clear()
    gate.set()
    counts = succeeded(factory.rerun(ended))
    assert counts["tables"]["instance"]["rows"] == 2060
    assert counts["tables"]["study"]["rows"] == 206
    lake = Lake(factory.server.home.with_name("lake"), url=source.url)
    assert lake.sync()["skipped"] == 0
    heads = [lake.table("show", name) for name in ("instance", "series", "study")]
    assert [head["rows"] for head in heads] == [2060, 206, 206]


def test_full_disk(factory, source, small_disk):
    disk = small_disk("2m")
    disk.fill(leave=16384)
    run = factory.set_up(source.url, disk.folder).run()
    assert run["status"] == "Failed" and run["cause"], run
    assert "disk is full" in run["hint"] or "space" in run["hint"], run
    disk.ballast.unlink()
    disk.grow("64m")
    assert succeeded(factory.rerun(run))["tables"]["instance"]["rows"] == 60
    assert factory.server.stop() == 0  # it has files open there
    factory.server.start()


def test_two_runs_on_one_lake_beside_a_sync(factory, source, tmp_path):
    factory.set_up(source.url, tmp_path / "lake")
    factory.pipeline("second")
    runs = [factory.begin("copy"), factory.begin("second"), factory.begin("copy")]
    program("sync", "--lake", tmp_path / "lake", "--source", source.url, "--wait", "600", "--json")
    counts = [succeeded(factory.ended(r)) for r in runs]
    assert sum(c["tables"]["instance"]["rowsIn"] for c in counts) in (0, 60)  # once, by whoever came first
    assert {c["tables"]["instance"]["rows"] for c in counts} == {60}
    more(source.feed, 10)  # and a sync between two runs is followed
    out = json.loads(program("sync", "--lake", tmp_path / "lake", "--source", source.url, "--json").stdout)
    assert out["inserted"] + out["stale"] == out["changes"] >= 10
    counts = succeeded(factory.run())
    assert counts["rowsIn"] == 0 and counts["tables"]["instance"]["rows"] == 70, counts


def test_a_connection_in_use_stays(factory, source):
    factory.set_up(source.url)
    answer = factory.request("DELETE", "/linkedServices/feed", {}, None)
    assert answer.status == 409 and b"copy" in answer.body, answer
    succeeded(factory.run())


def test_a_lake_folder_that_is_deleted(factory, source, tmp_path):
    succeeded(factory.set_up(source.url, tmp_path / "lake").run())
    shutil.rmtree(tmp_path / "lake" / "dicom")
    run = failed(factory.run(), "taken away or replaced", "backfill")
    assert succeeded(factory.rerun(run))["tables"]["instance"]["rows"] == 60


def test_a_bad_url(factory):
    run = factory.set_up("http://127.0.0.1:1/", "/proc/nowhere").run()
    assert run["status"] == "Failed" and run["hint"], run
    assert "cannot make the folder" in run["cause"] or "/proc/nowhere" in run["cause"], run["cause"]


def test_windows_of_a_trigger(factory, source):
    """Two hours over a feed whose changes all came in the first."""
    factory.set_up(source.url)
    start = EPOCH.strftime("%Y-%m-%dT%H:%M:%SZ")
    end = EPOCH.replace(hour=EPOCH.hour + 3).strftime("%Y-%m-%dT%H:%M:%SZ")
    factory.send("PUT", "/triggers/hourly", {"properties": {
        "type": "TumblingWindowTrigger",
        "pipeline": {
            "pipelineReference": {"referenceName": "copy", "type": "PipelineReference"},
            "parameters": {"StartTime": "@trigger().outputs.windowStartTime", "EndTime": "@trigger().outputs.windowEndTime"},
        },
        "typeProperties": {"frequency": "Hour", "interval": 1, "startTime": start, "endTime": end, "maxConcurrency": 1},
    }})
    factory.send("POST", "/publish")
    factory.send("POST", "/triggers/hourly/start")

    def done():
        runs = factory.send("GET", "/runs?trigger=hourly")["value"]
        return runs if len(runs) == 3 and all(r["runEnd"] for r in runs) else None

    runs = sorted(wait_for(done, 60, "three windows"), key=lambda r: r["windowStart"])
    counts = [succeeded(r) for r in runs]
    assert [c["changes"] for c in counts] == [60, 0, 0]
    assert [c["requests"] for c in counts[1:]] == [1, 1]  # an empty window is one request
    assert all(c["watermark"] == 60 for c in counts)
