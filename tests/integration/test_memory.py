"""Memory does not follow the size of what is stored and fetched."""

import concurrent.futures
import http.client
import json
import struct

import pytest
from support import dicom
from support.http import ANY_DICOM, ANY_MULTIPART, Client
from support.server import sanitized, wait_for

pytestmark = pytest.mark.skipif(sanitized(), reason="a sanitizer build needs more memory")

PIECE = bytes(1 << 20)
GROWTH = 64 << 20


def big(pixel_bytes):
    """An instance whose pixel data is `pixel_bytes` zeros: its head, and how it goes on."""
    frames = pixel_bytes >> 20
    one = dicom.gray_frames(1, 1024, 1024).with_(NumberOfFrames=str(frames), PixelData=None)
    head = one.bytes + bytes.fromhex("e07f1000") + b"OB\0\0" + struct.pack("<I", pixel_bytes)
    return one, head


def pieces(head, pixel_bytes):
    yield head
    for _ in range(pixel_bytes >> 20):
        yield PIECE


def send(server, head, pixel_bytes, chunked):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    headers = {"Content-Type": "application/dicom", "Accept": "application/dicom+json"}
    if not chunked:
        headers["Content-Length"] = str(len(head) + pixel_bytes)
    connection.request(
        "POST", "/v2/studies", pieces(head, pixel_bytes), headers, encode_chunked=chunked
    )
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def roundtrip(serve, pixel_bytes, chunked=False):
    server = serve()
    web = Client(server.base)
    assert web.store(dicom.capture()).status == 200
    one, head = big(pixel_bytes)
    server.reset_peak()
    before = server.memory_bytes("VmHWM")
    status, body = send(server, head, pixel_bytes, chunked)
    assert status == 200, body
    connection = web.connect()
    connection.request("GET", "/v2" + one.path, headers=ANY_DICOM)
    answer = connection.getresponse()
    assert int(answer.headers["Content-Length"]) == len(head) + pixel_bytes
    assert answer.read(len(head)) == head
    got = 0
    while piece := answer.read(1 << 20):
        assert piece == PIECE[: len(piece)]
        got += len(piece)
    assert got == pixel_bytes
    connection.close()
    frame = web.get(
        f"{one.path}/frames/{pixel_bytes >> 20}", {"Accept": "application/octet-stream"}
    )
    assert frame.status == 200 and frame.body == PIECE
    grown = server.memory_bytes("VmHWM") - before
    print(f"{pixel_bytes >> 20} MiB: peak grew by {grown >> 20} MiB")
    assert grown < GROWTH


@pytest.mark.parametrize("chunked", [False, True])
def test_256_megabytes(serve, chunked):
    roundtrip(serve, 256 << 20, chunked)


@pytest.mark.timeout(900)
def test_nearly_4_gigabytes(serve):
    """4095 MiB: the most that fits both the 32-bit length and the body limit."""
    roundtrip(serve, 4095 << 20)


def test_many_large_stores_at_a_time(serve):
    """8 uploads of 32 MB side by side."""
    server = serve()
    assert Client(server.base).store(dicom.capture()).status == 200
    server.reset_peak()
    before = server.memory_bytes("VmHWM")

    def one(_):
        instance, head = big(32 << 20)
        return send(server, head, 32 << 20, False)[0]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(8))) == [200] * 8
    assert server.memory_bytes("VmHWM") - before < GROWTH


def test_a_thousand_requests_leave_nothing_behind(serve):
    """Memory after 1,000 more requests is what it was after the first 500."""
    server = serve()
    web = Client(server.base)
    base = dicom.report()

    def some(count):
        for _ in range(count):
            one = base.fresh()
            assert web.store(one).status == 200
            assert web.get(one.path + "/metadata").status == 200
            assert web.delete(one.path).status == 204

    some(170)
    before = server.memory_bytes("VmRSS")
    some(330)
    assert server.memory_bytes("VmRSS") - before < 12 << 20


def test_a_study_of_2000_instances(serve):
    """Retrieved as one answer, which is sent from the files."""
    server = serve()
    web = Client(server.base)
    base = dicom.capture(128, 128)
    there = {base.sop: base}
    while len(there) < 2000:
        group = [base] if len(there) == 1 else []
        group += [base.fresh("instance") for _ in range(100 - len(group))]
        there.update({one.sop: one for one in group})
        assert web.store(*group).status == 200
    server.reset_peak()
    before = server.memory_bytes("VmHWM")
    answer = web.get(f"/studies/{base.study}", ANY_MULTIPART)
    assert answer.status == 200
    assert server.memory_bytes("VmHWM") - before < GROWTH
    assert sorted(part.body for part in answer.parts()) == sorted(
        one.bytes for one in there.values()
    )


TEXT = "x" * (1 << 20)
LONG_TAGS = (0x0040A160, 0x00100218)  # of VR UT
LONG_FIELDS = "includefield=0040A160,00100218"


def store_long_texts(web, count):
    """A study of reports with 2 MiB of text each, which LONG_FIELDS shows."""
    base = dicom.report().with_({tag: dicom.Element("UT", TEXT) for tag in LONG_TAGS})
    for one in [base] + [base.fresh("instance") for _ in range(count - 1)]:
        assert web.store(one).status == 200
    return base


def test_search_with_long_values(serve):
    """A page of 320 MB: it goes out in pieces."""
    server = serve()
    web = Client(server.base)
    base = store_long_texts(web, 160)
    server.reset_peak()
    before = server.memory_bytes("VmHWM")
    answer = web.get("/instances?limit=200&" + LONG_FIELDS)
    assert server.memory_bytes("VmHWM") - before < GROWTH
    assert answer.headers["Transfer-Encoding"] == "chunked"
    hits = answer.json()
    assert len(hits) == 160
    assert all(hit[f"{tag:08X}"]["Value"] == [TEXT] for hit in hits for tag in LONG_TAGS)
    short = web.get("/instances?limit=200")
    assert int(short.headers["Content-Length"]) == len(short.body)
    assert [h["00080018"] for h in short.json()] == [h["00080018"] for h in hits]
    assert len(web.search(f"/studies?{LONG_FIELDS}&StudyInstanceUID={base.study}")) == 1


def test_search_while_its_hits_are_deleted(serve):
    """What is gone when its turn comes is left out, and the answer is whole."""
    server = serve({"store.deletion_delay": 0})
    web = Client(server.base)
    base = store_long_texts(web, 40)
    connection = web.connect()
    connection.request(
        "GET",
        "/v2/instances?" + LONG_FIELDS,
        headers={"Accept": "application/dicom+json"},
    )
    answer = connection.getresponse()
    body = answer.read(100)
    assert web.delete(f"/studies/{base.study}").status == 204
    wait_for(lambda: server.stored_files() == [], 60, "the files' removal")
    body += answer.read()
    connection.close()
    assert 1 <= len(json.loads(body)) < 40
