"""The command feed: pages, bounds, following, services without a cursor."""

import json
import signal
import socket
import threading

import pytest
from support import dicom
from support.cli import DONE, USAGE, facts, many, run, save, start
from support.server import wait_for


def feed(*words, **options):
    done = run("feed", *words, "--json", **options)
    assert done.returncode == DONE, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_feed_pages_and_bounds(home, tmp_path):
    save(tmp_path / "in", *many(420))
    facts("import", "--home", home, tmp_path / "in")
    rows = feed("--home", home)
    assert [r["sequence"] for r in rows] == list(range(1, 421))
    assert "metadata" not in rows[0]
    assert [r["sequence"] for r in feed("--home", home, "--after", "415")] == [
        416,
        417,
        418,
        419,
        420,
    ]
    assert [r["sequence"] for r in feed("--home", home, "--after", "5", "--limit", "2")] == [6, 7]
    assert feed("--home", home, "--after", "420") == []
    assert len(feed("--home", home, "--limit", "419")) == 419
    (row,) = feed("--home", home, "--limit", "1", "--metadata")
    assert row["metadata"]["00080018"]["Value"] == [row["sopInstanceUid"]]
    assert run("feed", "--home", home, "--metadata").returncode == USAGE


class Following:
    """`feed --follow --json` under way: what it has printed, and what it has said."""

    def __init__(self, *words):
        self.process = start("feed", *words, "--follow", "--json")
        self.lines, self.said, self.code = [], [], None
        streams = (self.process.stdout, self.lines), (self.process.stderr, self.said)
        self.readers = [threading.Thread(target=self.read, args=s) for s in streams]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def read(stream, into):
        for line in iter(stream.readline, ""):
            into.append(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.code = self.process.wait(60)
        for reader in self.readers:
            reader.join()
        self.process.stdout.close()
        self.process.stderr.close()

    def wait(self, count, what):
        wait_for(lambda: len(self.lines) == count, what=what, seconds=60)

    def sequences(self):
        return [json.loads(line)["sequence"] for line in self.lines]


def test_feed_follows(serve):
    service = serve()
    assert service.http.store(dicom.capture()).status == 200
    with Following("--url", service.base) as following:
        following.wait(1, "the first row")
        assert service.http.store(dicom.capture()).status == 200
        following.wait(2, "the second row")
    assert (following.code, following.said, following.sequences()) == (DONE, [], [1, 2])


def test_feed_follows_across_a_restart_of_the_service(serve):
    service = serve()
    assert service.http.store(dicom.capture()).status == 200
    with Following("--url", service.base) as following:
        following.wait(1, "the first row")
        words = [w.replace("127.0.0.1:0", f"127.0.0.1:{service.port}") for w in service.command()]
        assert service.stop() == 0
        wait_for(lambda: len(following.said) == 1, what="a word about it", seconds=60)
        service.command = lambda: words
        assert service.start().http.store(dicom.capture()).status == 200
        following.wait(2, "the second row")
    assert (following.code, following.sequences()) == (DONE, [1, 2])
    assert len(following.said) == 1 and "asking again" in following.said[0]


def test_feed_follows_a_home_that_nobody_serves(serve, home, tmp_path):
    """Changes come from other commands and servers on that home: it must leave them room."""
    save(tmp_path / "in", *many(2))
    assert facts("import", "--home", home, tmp_path / "in")["stored"] == 2
    with Following("--home", home) as following:
        following.wait(2, "the first rows")
        save(tmp_path / "more", *many(3))
        assert facts("import", "--home", home, tmp_path / "more")["stored"] == 3
        following.wait(5, "rows of an import")
        service = serve(home=home)
        assert service.http.store(dicom.capture()).status == 200
        following.wait(6, "a row of a service")
    assert (following.code, following.said, following.sequences()) == (DONE, [], [1, 2, 3, 4, 5, 6])


def test_feed_follows_a_home_whose_service_comes_back_elsewhere(serve, tmp_path):
    """The address is that of the home, wherever its service listens, and when none does."""
    service = serve()
    assert service.http.store(dicom.capture()).status == 200
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with taken, Following("--home", service.home) as following:
        following.wait(1, "the first row")
        port = service.port
        assert service.stop() == 0
        taken.bind(("127.0.0.1", port))  # and refuses: no service comes back to it
        wait_for(lambda: len(following.said) == 1, what="a word about it", seconds=60)
        save(tmp_path / "in", *many(2))
        assert facts("import", "--home", service.home, tmp_path / "in")["stored"] == 2
        following.wait(3, "rows of an import")
        assert service.start().http.store(dicom.capture()).status == 200
        following.wait(4, "a row of the service elsewhere")
    assert (following.code, following.sequences()) == (DONE, [1, 2, 3, 4])


@pytest.mark.parametrize("knows", ["nothing of the cursor", "no such parameter"])
def test_feed_of_a_foreign_service(peer, knows):
    """Azure has no afterSequence: it ignores it (or refuses it), and pages by offset."""
    rows = [{"sequence": 2 * i + 1, "action": "Create", "state": "Current"} for i in range(450)]

    def answer(handler):
        query = dict(p.split("=") for p in handler.path.partition("?")[2].split("&"))
        if "afterSequence" in query and knows == "no such parameter":
            handler.say(400, "text/plain", b"no")
            return
        limit, offset = int(query["limit"]), int(query.get("offset", 0))
        assert limit <= 200
        handler.say(200, "application/json", json.dumps(rows[offset : offset + limit]).encode())

    azure = peer(answer)
    assert feed("--url", azure.url) == rows
    assert feed("--url", azure.url, "--after", "801", "--limit", "10") == rows[401:411]
    assert len(feed("--url", azure.url, "--limit", "3")) == 3


def test_feed_of_a_peer_is_no_order_to_a_terminal(peer):
    """One line a change and one column a value, whatever is in them."""
    row = {"sequence": 1, "timestamp": "a\tb\nc\x1b[31m", "action": "\u202ex", "state": "\u009b"}
    text = json.dumps([row]).encode()
    done = run("feed", "--url", peer(lambda h: h.say(200, "application/json", text)).url)
    assert done.returncode == DONE
    cells = ["1", "a\ufffdb\ufffdc\ufffd[31m", "\ufffdx", "\ufffd", "-", "-", "-", "-"]
    assert done.stdout == "\t".join(cells) + "\n"
