"""Contract section 6: retrieving while something happens to the store, or to the client (T102 to T105)."""

import os

import pytest
from support import dicom
from support.http import ANY_DICOM, ANY_MULTIPART, media_type
from support.server import sanitized, wait_for

OCTETS_ANY = {"Accept": "application/octet-stream; transfer-syntax=*"}


def damaged(serve, change):
    """A service with one instance whose file `change` was applied to."""
    server = serve(check=False)
    g = dicom.capture()
    assert server.http.store(g).status == 200
    (path,) = server.stored_files()
    change(path)
    return server, g


def flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def flip_keeping_time(path):
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def cut(path):
    with open(path, "r+b") as f:
        f.truncate(path.stat().st_size // 2)


@pytest.mark.parametrize(
    "change", [lambda p: p.unlink(), flip, cut], ids=["removed T102", "altered T103", "cut"]
)
def test_T102_T103_file_touched_outside(serve, change):
    server, g = damaged(serve, change)
    for path, headers in (
        (g.path, ANY_DICOM),
        (g.path, ANY_MULTIPART),
        (f"/studies/{g.study}", ANY_MULTIPART),
        (g.path + "/frames/1", OCTETS_ANY),
    ):
        answer = server.http.get(path, headers)
        assert answer.status == 424, (path, answer)
        assert answer.type.startswith("text/plain")
    assert server.http.get(g.path + "/metadata").status == 200
    code, found = server.verify()
    assert code != 0 and found["problemCount"] == 1, found


def test_hidden_alteration_is_found_by_verify(serve):
    """Size and time as before: only the hash tells."""
    server, g = damaged(serve, flip_keeping_time)
    code, found = server.verify("--hash")
    assert code != 0 and found["problemCount"] == 1, found


def test_one_broken_instance_of_three_ends_the_answer_early(serve):
    """The first bytes are out: the connection closes without the closing boundary."""
    server = serve(check=False)
    web = server.http
    trio = dicom.trio()
    web.store(*trio)
    for path in server.stored_files():
        if path.read_bytes() == trio.b.bytes:
            path.unlink()
    request = (
        f"GET /v2/studies/{trio.study} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        'Accept: multipart/related; type="application/dicom"; transfer-syntax=*\r\n\r\n'
    )
    answer = web.raw(request.encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 424"):
        return  # all files were opened before the first byte: better still
    assert head.startswith(b"HTTP/1.1 200")
    boundary = head.split(b'boundary="')[1].split(b'"')[0]
    assert b"--" + boundary + b"--" not in body
    assert not body.endswith(b"\r\n0\r\n\r\n")


def test_T105_client_disconnects(serve):
    server = serve()
    web = server.http
    trio = dicom.trio()
    web.store(*trio)
    request = (
        f"GET /v2/studies/{trio.study} HTTP/1.1\r\nHost: localhost\r\n"
        'Accept: multipart/related; type="application/dicom"; transfer-syntax=*\r\n\r\n'
    )
    web.get("/changefeed", {})
    before = server.descriptor_count()
    for _ in range(20):
        with web.socket() as s:
            s.sendall(request.encode())
            assert s.recv(1000)
    wait_for(lambda: server.descriptor_count() <= before + 2, 60, "descriptors back")
    assert web.retrieve(trio.g) == trio.g.bytes


@pytest.mark.skipif(sanitized(), reason="a sanitizer build needs more memory")
def test_T104_study_of_two_thousand(serve):
    server = serve()
    web = server.http
    first = dicom.capture(100, 100)
    count = 2000
    sent = {}
    for start in range(0, count, 250):
        batch = [first.fresh("instance") for _ in range(250)]
        assert web.store(*batch).status == 200
        sent.update((b.sop, len(b.bytes)) for b in batch)
    server.reset_peak()
    before = server.memory_bytes("VmHWM")
    connection = web.connect()
    connection.request("GET", f"/v2/studies/{first.study}", headers=ANY_MULTIPART)
    answer = connection.getresponse()
    assert answer.status == 200
    boundary = media_type(answer.headers["Content-Type"])[1]["boundary"].encode()
    got, seen, tail = 0, 0, b""
    while piece := answer.read(1 << 20):
        got += len(piece)
        seen += (tail + piece).count(b"\r\n\r\n" + bytes(128) + b"DICM") - tail.count(
            b"\r\n\r\n" + bytes(128) + b"DICM"
        )
        tail = (tail + piece)[-200:]
    connection.close()
    assert seen == count
    assert got > sum(sent.values())
    assert boundary + b"--" in tail
    assert server.memory_bytes("VmHWM") - before < 64 << 20


def test_retrieve_goes_on_while_the_study_is_deleted(serve):
    """The versions are fixed when the answer begins (6.4)."""
    web = serve().http
    trio = dicom.trio()
    web.store(*trio)
    connection = web.connect()
    connection.request("GET", f"/v2/studies/{trio.study}", headers=ANY_MULTIPART)
    answer = connection.getresponse()
    first = answer.read(1000)
    assert web.delete(f"/studies/{trio.study}").status == 204
    body = first + answer.read()
    connection.close()
    for instance in trio:
        assert instance.bytes in body
