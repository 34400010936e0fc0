"""What others do to a lake between two syncs, or under one: restored tables, lost and old state."""

import json
import random
import subprocess
import time

import pytest
from support.feed import Feed, FeedServer, Generator, at
from support.fold import KEYS
from support.lake import Lake, run
from support.readers import lake_differences
from support.server import program, wait_for


class CursorServer(FeedServer):
    """A feed in the order of its sequences, with a cursor: as our own service gives it."""

    def answer(self, handler, path, query):
        def send(status, body=b""):
            self.send(handler, status, body, (("dl-feed-id", "cursor"), ("dl-page-limit", "500")))

        rows = self.feed.ordered()
        if path.endswith("/changefeed/latest"):
            return send(200, json.dumps(Feed.json(rows[-1])).encode()) if rows else send(204)
        limit = int(query.get("limit", 100))
        if "afterSequence" in query:
            rows = [r for r in rows if r["sequence"] > int(query["afterSequence"])][:limit]
        else:
            start = self.moment(query.get("startTime"), at(-(10**15)))
            end = self.moment(query.get("endTime"), at(10**15))
            offset = int(query.get("offset", 0))
            rows = [r for r in rows if start <= at(r["us"]) < end][offset : offset + limit]
        return send(200, json.dumps([Feed.json(r) for r in rows], ensure_ascii=False).encode())


SERVERS = {"windows": FeedServer, "cursor": CursorServer}
MODES = ("dv", "compat")


def restore(lake, name, version):
    return run("table", "restore", name, "--version", version, "--lake", lake.folder)


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("mode", MODES)
def test_restored_tables_go_on(tmp_path, mode, kind):
    """Tables go back to any version, each to its own: the next sync brings them forward again."""
    rng = random.Random(mode + kind)
    generator = Generator(31)
    lake = Lake(tmp_path / "lake", mode=mode)
    with SERVERS[kind](generator.feed) as server:
        lake.url = server.url
        for turn in range(6):
            generator.step(rng.randrange(1, 30))
            lake.sync("--batch-changes", rng.choice([3, 100]))
            if turn % 2:
                run("table", "optimize", "instance", "--full", "--lake", lake.folder)
            for name in rng.sample(list(KEYS), rng.randrange(1, 4)):
                restore(lake, name, rng.randrange(lake.table("show", name)["version"] + 1))
            lake.sync("--batch-changes", rng.choice([3, 100]))
            assert not lake_differences(lake.folder, generator.feed), f"turn {turn}"
            for name in KEYS:
                assert lake.table("check", name) == []


@pytest.mark.parametrize("mode", MODES)
def test_restored_under_a_follower(tmp_path, mode):
    """The follower starts again from what the table has; it does not go on with a gap."""
    generator = Generator(32)
    generator.step(60)
    with CursorServer(generator.feed) as server:
        lake = Lake(tmp_path / "lake", url=server.url, mode=mode)
        lake.sync("--batch-changes", 10)
        process = subprocess.Popen([program(), *map(str, lake.command("--follow"))], stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 240
            for version in (1, 3):
                generator.step(5)
                while lake_differences(lake.folder, generator.feed):
                    assert time.monotonic() < deadline and process.poll() is None
                    time.sleep(0.2)
                restore(lake, "instance", version)
                generator.step(5)
            while lake_differences(lake.folder, generator.feed):
                assert time.monotonic() < deadline and process.poll() is None
                time.sleep(0.2)
        finally:
            process.terminate()
            process.wait(60)


def test_follow_no_more_often_than_the_interval(tmp_path):
    """Changes that come within it share a commit. A busy machine makes fewer, never more."""
    generator = Generator(33)
    generator.step(10)
    with CursorServer(generator.feed) as server:
        lake = Lake(tmp_path / "lake", url=server.url)
        lake.sync()
        before = lake.table("show", "instance")["version"]
        began = time.monotonic()
        words = map(str, lake.command("--follow", "--interval", 3))
        process = subprocess.Popen([program(), *words], stdout=subprocess.DEVNULL)
        try:
            for _ in range(20):
                generator.step(1)
                time.sleep(0.3)
            wait_for(lambda: not lake_differences(lake.folder, generator.feed), 120, "all changes", 0.5)
        finally:
            process.terminate()
            process.wait(60)
        commits = lake.table("show", "instance")["version"] - before
        assert commits <= (time.monotonic() - began) / 3 + 2


def test_an_interval_is_for_following(tmp_path):
    lake = Lake(tmp_path / "lake", url="http://127.0.0.1:1")
    assert "--follow" in lake.fails("--interval", 3, code=2)
    assert "--interval" in lake.fails("--follow", "--interval", 0, code=2)


class LateServer(FeedServer):
    """Answers a page as it was before `meanwhile` was called."""

    meanwhile = None

    def answer(self, handler, path, query):
        if not path.endswith("/changefeed") or self.meanwhile is None:
            return super().answer(handler, path, query)
        meanwhile, self.meanwhile = self.meanwhile, None
        held = []
        super().answer(type("Held", (), {"send": held.append})(), path, query)
        meanwhile()
        self.send(handler, *held)

    def send(self, handler, status, body=b"", headers=()):
        if hasattr(handler, "wfile"):
            return FeedServer.send(handler, status, body, headers)
        handler.send(status), handler.send(body)


@pytest.mark.parametrize("mode", MODES)
def test_a_page_older_than_anothers_commit(tmp_path, mode):
    """A page says that an instance is there; before its rows are committed, another sync, with a state of its own, has
    taken the instance away. The page does not bring it back, and what came into being anew says when."""
    generator = Generator(34)
    feed = generator.feed
    gone, anew = generator.keys[0], generator.keys[1]
    generator.step(40)
    lake = Lake(tmp_path / "lake", mode=mode)
    other = Lake(tmp_path / "other", mode=mode)
    with LateServer(feed) as server:
        lake.url = other.url = server.url
        lake.sync()
        (other.folder / "dicom").symlink_to(lake.folder / "dicom")
        other.sync()
        for key in (gone, anew):
            feed.add("Create", key, {})

        def meanwhile():
            feed.add("Delete", gone)
            feed.add("Delete", anew)
            other.sync()
            feed.add("Create", anew, {})
            other.sync()

        server.meanwhile = meanwhile
        summary = lake.sync()
        assert server.meanwhile is None and summary["replans"] > 0
        assert not lake_differences(lake.folder, feed)
        for each in (other, lake):
            each.sync()
            assert not lake_differences(lake.folder, feed)


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("way", ["lock removed", "two states"])
def test_two_at_once_without_a_lock(tmp_path, way, kind):
    """Two that know nothing of each other, by one state index or two: one gives way, tables stay right."""
    rng = random.Random(way + kind)
    generator = Generator(33)
    generator.step(30)
    lakes = [Lake(tmp_path / "lake")] * 2
    running = [None, None]
    with SERVERS[kind](generator.feed) as server:
        lakes[0].url = server.url
        lakes[0].sync()
        if way == "two states":
            lakes[1] = Lake(tmp_path / "other", url=server.url)
            (lakes[1].folder / "dicom").symlink_to(lakes[0].folder / "dicom")
        words = ["--follow"] if kind == "cursor" else []
        end = time.monotonic() + 10
        while time.monotonic() < end:
            for i, lake in enumerate(lakes):
                if running[i] is None or running[i].poll() is not None:
                    for lock in lake.folder.glob(".dicomlake/*/lake.lock"):
                        lock.unlink()
                    command = map(str, lake.command(*words, "--batch-changes", 3))
                    running[i] = subprocess.Popen([program(), *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            with server.lock:
                generator.step(rng.randrange(1, 8))
            time.sleep(rng.random() * 0.3)
        for process in running:
            process.terminate()
            process.wait(60)
        for lake in lakes:
            lake.sync()
            assert not lake_differences(lake.folder, generator.feed)
