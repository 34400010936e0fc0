"""Limits of the process and of requests: at the bound, and one past it."""

import json
import re
import resource
import select
import socket
import struct

import pytest
from support.dicom import capture
from support.http import ANY_DICOM, SINGLE, failed_items, reason
from support.server import wait_for

FEW = 96  # descriptors


def few_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, FEW))


def still_open(sockets):
    """Those that the other side has not closed."""
    readable = set(select.select(sockets, [], [], 0)[0])
    return [s for s in sockets if s not in readable]


def ask(s, head, body=b""):
    """The status of a request on a socket that stays open."""
    s.sendall(head + b"\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    said = b""
    while b"\r\n\r\n" not in said:
        piece = s.recv(65536)
        assert piece, f"closed after {said!r}"
        said += piece
    head, _, rest = said.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    )
    while len(rest) < length:
        rest += s.recv(65536)
    return int(head.split()[1])


def test_few_descriptors_leave_room_for_files(serve):
    """Connections never take what files need, however many come: those that are in are served."""
    server = serve(preexec=few_descriptors)
    crowd = [server.http.socket() for _ in range(FEW)]
    warning = re.search(r" op=descriptors .* connections=(\d+)", server.log())
    room = int(warning[1])
    assert 4 <= room <= FEW // 4
    wait_for(lambda: len(still_open(crowd)) <= room, what="the end of those that are too many")
    inside = still_open(crowd)
    assert len(inside) == room
    path = b"POST /v2/studies HTTP/1.1\r\n" + b"\r\n".join(
        f"{n}: {v}".encode() for n, v in SINGLE.items()
    )
    for s in inside:
        g = capture()
        assert ask(s, path, g.bytes) == 200
        accept = ANY_DICOM["Accept"]
        assert ask(s, f"GET /v2{g.path} HTTP/1.1\r\nAccept: {accept}".encode()) == 200
    for s in crowd:
        s.close()
    wait_for(lambda: server.descriptor_count() < FEW // 2, what="the end of the connections")


def test_many_parts_with_few_descriptors(serve):
    """A request whose parts are more than there are descriptors: each is stored, or refused for a
    failure of the service; and what comes after it is stored."""
    server = serve(preexec=few_descriptors)
    instances = [capture() for _ in range(FEW)]
    answer = server.http.store(*instances)
    assert answer.status in (200, 202, 409)
    assert all(reason(item) == 272 for item in failed_items(answer))
    assert server.http.store(capture()).status == 200


# -- requests --


OF_STUDIES = "00080020 00080050 00080090 00081030 00100010 00100020 00100030 0020000D".split()


@pytest.mark.parametrize("count, status", [(512, 204), (513, 400)])
def test_number_of_attributes_of_a_search(web, count, status):
    """Those that every search of studies answers are among them."""
    others = [f"0018{n:04X}" for n in range(count - len(OF_STUDIES))]
    answer = web.get("/studies?includefield=" + ",".join(OF_STUDIES + others))
    assert answer.status == status, answer


@pytest.mark.parametrize(
    "ms, status", [(1, 200), (31_536_000_000_000, 200), (31_536_000_000_001, 400)]
)
def test_longest_expiry(web, g, ms, status):
    headers = {"msdicom-expiry-time-milliseconds": str(ms)}
    answer = web.store(g, headers=headers)
    assert answer.status == status
    assert status == 200 or b"31536000000000" in answer.body  # the refusal names the bound


def test_depth_of_a_path(web):
    """Twelve segments are looked at; more are nowhere, and nothing breaks."""
    for count in (11, 12, 13, 200):
        answer = web.get("/" + "/".join(["studies"] * (count - 1)))
        assert answer.status == 404, count


def test_size_of_the_headers(web):
    """64 KiB of headers are read, more are refused with 431."""
    line = b"X-Filler: " + b"a" * 1000 + b"\r\n"
    start = b"GET /v2/changefeed HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    assert web.raw_status(start + line * 62 + b"\r\n") == 200
    assert web.raw_status(start + line * 66 + b"\r\n") == 431


def test_size_of_the_settings(serve):
    """A file of settings of 1 MiB is read, one of a byte more is refused with its name."""
    server = serve(start=False)
    config = server.home / "config"
    config.mkdir(parents=True)
    text = json.dumps({"store.put_dedup": "on"})
    (config / "service.json").write_text(text + " " * ((1 << 20) - len(text)))
    assert server.start().stop() == 0
    (config / "service.json").write_text(text + " " * ((1 << 20) + 1 - len(text)))
    code, log = server.refused()
    assert code == 1 and "service.json" in log


# -- what a client can make the service keep --


def test_clients_that_vanish_leave_nothing(serve):
    """Uploads and downloads that are cut off: descriptors, threads and spools are given back."""
    server = serve({"http.idle_timeout": 5})
    web = server.http
    g = capture(300, 300)
    assert web.store(g).status == 200
    before = server.descriptor_count(), server.thread_count()
    head = b"POST /v2/studies HTTP/1.1\r\nHost: localhost\r\nAccept: application/dicom+json\r\n"
    for n in range(60):
        with web.socket() as s:
            if n % 3 == 0:
                s.sendall(head + b"Content-Type: application/dicom\r\nContent-Length: 270000\r\n\r\n")
                s.sendall(g.bytes[: 4000 * (n + 1)])
            elif n % 3 == 1:
                s.sendall(head + b"Content-Type: multipart/related; boundary=b\r\n")
                s.sendall(b"Transfer-Encoding: chunked\r\n\r\nfffff\r\n--b\r\n\r\nDICM")
            else:
                accept = ANY_DICOM["Accept"].encode()
                s.sendall(f"GET /v2{g.path} HTTP/1.1\r\nHost: localhost\r\nAccept: ".encode() + accept)
                s.sendall(b"\r\n\r\n")
                s.recv(100)
            reset = struct.pack("ii", 1, 0)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)

    def as_before():
        """New readers of the index may stay: each has two descriptors."""
        web.get("/changefeed", {})  # a connection that comes sweeps up those that went
        return (
            server.descriptor_count() <= before[0] + 16
            and server.thread_count() <= before[1] + 1
            and not [p for p in (server.home / "files/.spool").rglob("*") if p.is_file()]
        )

    wait_for(as_before, 30, "the end of what they left")
    assert web.store(capture()).status == 200
