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


def test_feed_follows(serve):
    service = serve()
    assert service.http.store(dicom.capture()).status == 200
    process = start("feed", "--url", service.base, "--follow", "--json")
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(iter(process.stdout.readline, "")))
    reader.start()
    wait_for(lambda: len(lines) == 1, what="the first row")
    assert service.http.store(dicom.capture()).status == 200
    wait_for(lambda: len(lines) == 2, what="the second row", seconds=60)
    assert [json.loads(line)["sequence"] for line in lines] == [1, 2]
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == DONE
    reader.join()
    assert process.stderr.read() == ""
    process.stdout.close()
    process.stderr.close()


def test_feed_follows_across_a_restart_of_the_service(serve):
    service = serve()
    assert service.http.store(dicom.capture()).status == 200
    process = start("feed", "--url", service.base, "--follow", "--json")
    lines, said = [], []
    readers = [
        threading.Thread(target=lambda: lines.extend(iter(process.stdout.readline, ""))),
        threading.Thread(target=lambda: said.extend(iter(process.stderr.readline, ""))),
    ]
    for reader in readers:
        reader.start()
    try:
        wait_for(lambda: len(lines) == 1, what="the first row")
        words = [w.replace("127.0.0.1:0", f"127.0.0.1:{service.port}") for w in service.command()]
        assert service.stop() == 0
        wait_for(lambda: len(said) == 1, what="a word about it")
        service.command = lambda: words
        assert service.start().http.store(dicom.capture()).status == 200
        wait_for(lambda: len(lines) == 2, what="the second row", seconds=60)
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
        for reader in readers:
            reader.join()
        process.stdout.close()
        process.stderr.close()
    assert code == DONE
    assert len(said) == 1 and "asking again" in said[0]
    assert [json.loads(line)["sequence"] for line in lines] == [1, 2]


def test_feed_follows_a_home_that_nobody_serves(serve, home, tmp_path):
    """Changes come from other commands and servers on that home: it must leave them room."""
    save(tmp_path / "in", *many(2))
    assert facts("import", "--home", home, tmp_path / "in")["stored"] == 2
    process = start("feed", "--home", home, "--follow", "--json")
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(iter(process.stdout.readline, "")))
    reader.start()
    try:
        wait_for(lambda: len(lines) == 2, what="the first rows")
        save(tmp_path / "more", *many(3))
        assert facts("import", "--home", home, tmp_path / "more")["stored"] == 3
        wait_for(lambda: len(lines) == 5, what="rows of an import")
        service = serve(home=home)
        assert service.http.store(dicom.capture()).status == 200
        wait_for(lambda: len(lines) == 6, what="a row of a service")
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
        reader.join()
        said = process.stderr.read()
        process.stdout.close()
        process.stderr.close()
    assert (code, said) == (DONE, "")
    assert [json.loads(line)["sequence"] for line in lines] == [1, 2, 3, 4, 5, 6]


def test_feed_follows_a_home_whose_service_comes_back_elsewhere(serve, tmp_path):
    """The address is that of the home, wherever its service listens, and when none does."""
    service = serve()
    assert service.http.store(dicom.capture()).status == 200
    process = start("feed", "--home", service.home, "--follow", "--json")
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    lines, said = [], []
    readers = [
        threading.Thread(target=lambda: lines.extend(iter(process.stdout.readline, ""))),
        threading.Thread(target=lambda: said.extend(iter(process.stderr.readline, ""))),
    ]
    for reader in readers:
        reader.start()
    try:
        wait_for(lambda: len(lines) == 1, what="the first row")
        port = service.port
        assert service.stop() == 0
        taken.bind(("127.0.0.1", port))  # and refuses: no service comes back to it
        wait_for(lambda: len(said) == 1, what="a word about it", seconds=60)
        save(tmp_path / "in", *many(2))
        assert facts("import", "--home", service.home, tmp_path / "in")["stored"] == 2
        wait_for(lambda: len(lines) == 3, what="rows of an import", seconds=60)
        assert service.start().http.store(dicom.capture()).status == 200
        wait_for(lambda: len(lines) == 4, what="a row of the service elsewhere", seconds=60)
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
        for reader in readers:
            reader.join()
        taken.close()
        process.stdout.close()
        process.stderr.close()
    assert code == DONE
    assert [json.loads(line)["sequence"] for line in lines] == [1, 2, 3, 4]


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
