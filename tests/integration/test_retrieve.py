"""Contract section 6: retrieving files, metadata and frames (T078 to T127, T139)."""

import os
import struct
import time

import pytest
from support import dicom
from support.dicom import Element, Fragments
from support.http import ANY_DICOM, ANY_MULTIPART, DICOM_JSON, media_type, value
from support.server import sanitized, wait_for

OCTETS = "application/octet-stream"
OCTETS_ANY = {"Accept": "application/octet-stream; transfer-syntax=*"}
FRAMES_ANY = {"Accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*'}
J2K = dicom.JPEG_2000_LOSSLESS
HTJ2K = dicom.HTJ2K
LE = dicom.EXPLICIT


@pytest.fixture(scope="module")
def full(shared_serve):
    """A client of a service that holds the contract's G, R and B as `.trio`."""
    web = shared_serve().http
    web.trio = dicom.trio()
    assert web.store(*web.trio).status == 200
    return web


def study(web):
    return f"/studies/{web.trio.study}"


def series(web, instance):
    return f"/studies/{instance.study}/series/{instance.series}"


# -- instances --


@pytest.mark.parametrize(
    "accept",
    [
        "application/dicom; transfer-syntax=*",  # T078
        "application/dicom",  # T079
        "application/dicom; transfer-syntax=1.2.840.10008.1.2.1",
        'application/dicom; transfer-syntax="1.2.840.10008.1.2.1"',
        "APPLICATION/DICOM; Transfer-Syntax=*",
        "application/dicom; unknown=1",
        "text/html, application/dicom;q=0.5",
        "application/dicom;q=0.1, image/jpeg",
    ],
)
def test_T078_T079_single_part(full, accept):
    g = full.trio.g
    answer = full.get(g.path, {"Accept": accept})
    assert answer.status == 200
    assert answer.type == "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"
    assert answer.body == g.bytes
    assert int(answer.headers["Content-Length"]) == len(g.bytes)


@pytest.mark.parametrize(
    "accept",
    [
        'multipart/related; type="application/dicom"',  # T080
        "multipart/related; type=application/dicom",  # T081
        "*/*",  # T082
        'multipart/related; type="application/dicom"; transfer-syntax=*',
        'Multipart/Related; TYPE="Application/DICOM"',
    ],
)
def test_T080_T081_T082_multipart(full, accept):
    g = full.trio.g
    answer = full.get(g.path, {"Accept": accept})
    assert answer.status == 200
    kind, parameters = media_type(answer.type)
    assert kind == "multipart/related"
    assert parameters["type"] == "application/dicom"
    (part,) = answer.parts()
    assert part.headers["content-type"] == "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"
    assert part.headers["content-location"] == f"{full.base}/v2{g.path}"
    assert part.body == g.bytes


@pytest.mark.parametrize(
    "accept",
    [
        None,  # T083
        "application/json",  # T084
        "multipart/related",
        'multipart/related; type="image/jpeg"',
        "application/dicom;q=0",
        "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.50",  # T097
        "application/dicom; transfer-syntax=1.2.840.10008.1.2",
        "application/dicom; transfer-syntax=nonsense",
        "application/*",
        "image/*",
    ],
)
def test_T083_T084_T097_not_acceptable(full, accept):
    answer = full.get(full.trio.g.path, {} if accept is None else {"Accept": accept})
    assert answer.status == 406
    assert answer.type.startswith("text/plain")
    assert answer.body


@pytest.mark.parametrize("level", ["study", "series"])
def test_no_accept_on_study_and_series(full, level):
    path = study(full) if level == "study" else series(full, full.trio.g)
    assert full.get(path, {}).status == 406


def test_several_accept_lines(full):
    headers = [("Accept", "text/html"), ("Accept", "application/dicom; transfer-syntax=*")]
    assert full.get(full.trio.g.path, headers).status == 200


def test_order_of_accept_entries(full):
    g = full.trio.g
    multi = 'multipart/related; type="application/dicom"'
    first = full.get(g.path, {"Accept": f"{multi};q=0.4, application/dicom;q=0.6"})
    assert first.type.startswith("application/dicom;")
    second = full.get(g.path, {"Accept": f"{multi};q=0.6, application/dicom;q=0.4"})
    assert second.type.startswith("multipart/related;")
    tie = full.get(g.path, {"Accept": f"{multi}, application/dicom"})
    assert tie.type.startswith("multipart/related;")


# -- studies and series --


def test_T085_study(full):
    answer = full.get(study(full), ANY_MULTIPART)
    assert answer.status == 200
    parts = answer.parts()
    assert [p.body for p in parts] == [i.bytes for i in full.trio]
    assert [p.headers["content-location"] for p in parts] == [
        f"{full.base}/v2{i.path}" for i in full.trio
    ]


def test_T086_study_of_many_in_one_syntax(full):
    answer = full.get(study(full), {"Accept": 'multipart/related; type="application/dicom"'})
    assert answer.status == 406


def test_study_with_anything(full):
    assert len(full.get(study(full), {"Accept": "*/*"}).parts()) == 3


def test_T087_study_of_one(web):
    g = dicom.capture()
    web.store(g)
    for accept in (
        'multipart/related; type="application/dicom"',
        f'multipart/related; type="application/dicom"; transfer-syntax={LE}',
    ):
        answer = web.get(f"/studies/{g.study}", {"Accept": accept})
        assert answer.status == 200
        assert [p.body for p in answer.parts()] == [g.bytes]


def test_T088_study_as_a_single_part(full):
    for path in (study(full), series(full, full.trio.b)):
        assert full.get(path, {"Accept": "application/dicom"}).status == 406
        assert full.get(path, ANY_DICOM).status == 406


def test_T089_series(full):
    answer = full.get(series(full, full.trio.g), ANY_MULTIPART)
    assert answer.status == 200
    assert [p.body for p in answer.parts()] == [full.trio.g.bytes, full.trio.r.bytes]
    answer = full.get(series(full, full.trio.b), ANY_MULTIPART)
    assert [p.body for p in answer.parts()] == [full.trio.b.bytes]


@pytest.mark.parametrize("path", ["/studies/9.9", "/studies/9.9/series/9", "/studies/{s}/series/9.9"])
def test_T090_unknown(full, path):
    answer = full.get(path.replace("{s}", full.trio.study), ANY_MULTIPART)
    assert answer.status == 404
    assert answer.type.startswith("text/plain")


def test_T091_instance_under_another_series(full):
    g, b = full.trio.g, full.trio.b
    path = series(full, b) + f"/instances/{g.sop}"
    assert full.get(path, ANY_DICOM).status == 404
    assert full.get(path + "/metadata").status == 404
    assert full.get(path + "/frames/1", OCTETS_ANY).status == 404


@pytest.mark.parametrize("path", ["/studies/x", "/studies/1/series/x", "/studies/1/series/1/instances/x"])
def test_malformed_uids(full, path):
    assert full.get(path, ANY_MULTIPART).status == 400
    assert full.get(path + "/metadata").status == 400


def test_retrieve_through_v1(full):
    g = full.trio.g
    answer = full.at("/v1").get(g.path, ANY_MULTIPART)
    assert answer.parts()[0].body == g.bytes
    assert answer.parts()[0].headers["content-location"] == f"{full.base}/v1{g.path}"


# -- transfer syntaxes that are not converted --


def test_T095_T096_htj2k(web):
    one = dicom.encapsulated([[b"\xff\x4f\xff\x51htj2k"]], syntax=HTJ2K)
    assert web.store(one).status == 200
    assert web.get(one.path, {"Accept": "application/dicom"}).status == 406
    assert web.get(one.path, {"Accept": f"application/dicom; transfer-syntax={LE}"}).status == 406
    answer = web.get(one.path, ANY_DICOM)
    assert answer.status == 200
    assert answer.type == f"application/dicom; transfer-syntax={HTJ2K}"
    assert answer.body == one.bytes


def test_stored_syntax_asked_by_name(web):
    one = dicom.encapsulated([[b"\xff\x4f\xff\x51j2k1"]], syntax=J2K)
    web.store(one)
    answer = web.get(one.path, {"Accept": f"application/dicom; transfer-syntax={J2K}"})
    assert answer.status == 200
    assert answer.body == one.bytes


def test_T098_star_wins_at_equal_q(web):
    one = dicom.encapsulated([[b"\xff\x4f\xff\x51j2k1"]], syntax=J2K)
    web.store(one)
    accept = f"application/dicom; transfer-syntax={LE}, application/dicom; transfer-syntax=*"
    answer = web.get(one.path, {"Accept": accept})
    assert answer.status == 200
    assert answer.type == f"application/dicom; transfer-syntax={J2K}"
    assert answer.body == one.bytes


def test_mixed_syntaxes_in_one_study(web):
    g = dicom.capture()
    others = [
        g.fresh("instance").with_(syntax=dicom.IMPLICIT),
        g.fresh("instance").with_(syntax=dicom.BIG_ENDIAN),
        g.fresh("instance").with_(syntax=dicom.DEFLATED),
    ]
    web.store(g, *others)
    parts = web.get(f"/studies/{g.study}", ANY_MULTIPART).parts()
    assert [p.body for p in parts] == [i.bytes for i in (g, *others)]
    assert [media_type(p.headers["content-type"])[1]["transfer-syntax"] for p in parts] == [
        i.syntax for i in (g, *others)
    ]


# -- somebody touched the store --


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
        f"GET /v2/studies/{trio.study} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
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
        f"GET /v2/studies/{trio.study} HTTP/1.1\r\nHost: h\r\n"
        'Accept: multipart/related; type="application/dicom"; transfer-syntax=*\r\n\r\n'
    )
    web.get("/changefeed", {})
    before = server.descriptor_count()
    for _ in range(20):
        with web.socket() as s:
            s.sendall(request.encode())
            assert s.recv(1000)
    wait_for(lambda: server.descriptor_count() <= before + 2, 15, "descriptors back")
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


# -- ranges --


RANGE = {"Accept": "application/dicom; transfer-syntax=*"}


def ranged(web, spec):
    return web.get(web.trio.g.path, {**RANGE, "Range": spec})


@pytest.mark.parametrize(
    "spec, start, end",
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-131", 0, 132),
        ("bytes=128-131", 128, 132),
        ("bytes=2893000-", 2893000, None),
        ("bytes=-100", -100, None),
        ("bytes=0-99999999999", 0, None),
        ("bytes=-99999999999", 0, None),
    ],
)
def test_ranges(full, spec, start, end):
    whole = full.trio.g.bytes
    answer = ranged(full, spec)
    assert answer.status == 206
    wanted = whole[start:end]
    assert answer.body == wanted
    first = start if start >= 0 else len(whole) + start
    assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(wanted) - 1}/{len(whole)}"
    assert answer.type == "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"


@pytest.mark.parametrize("spec", ["bytes=99999999-", "bytes=-0", "bytes=2893708-2893709"])
def test_ranges_outside(full, spec):
    answer = ranged(full, spec)
    assert answer.status == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(full.trio.g.bytes)}"


@pytest.mark.parametrize(
    "spec", ["bytes=5-2", "bytes=a-b", "items=0-1", "bytes", "bytes=0-1,5-6", "bytes=-", ""]
)
def test_ranges_ignored(full, spec):
    """Malformed or several: the whole file (RFC 9110 section 14.2 allows either)."""
    answer = ranged(full, spec)
    assert answer.status in (200, 206, 416)
    if answer.status == 200:
        assert answer.body == full.trio.g.bytes


def test_range_says_it_is_possible(full):
    assert full.get(full.trio.g.path, RANGE).headers["Accept-Ranges"] == "bytes"


def test_if_range(full):
    etag = full.get(full.trio.g.path, RANGE).headers.get("ETag")
    old = full.get(full.trio.g.path, {**RANGE, "Range": "bytes=0-9", "If-Range": '"0"'})
    assert old.status == 200 and old.body == full.trio.g.bytes
    if etag and etag.startswith('"'):
        same = full.get(full.trio.g.path, {**RANGE, "Range": "bytes=0-9", "If-Range": etag})
        assert same.status == 206


# -- metadata --


def test_T106_study_metadata(full):
    answer = full.get(study(full) + "/metadata")
    assert answer.status == 200
    assert answer.type == "application/dicom+json; charset=utf-8"
    found = answer.json()
    assert [value(i, "00080018") for i in found] == [i.sop for i in full.trio]
    for item in found:
        assert "7FE00010" not in item
        assert not any(tag.startswith("0002") for tag in item)
        assert list(item) == sorted(item)
        assert all(tag == tag.upper() and len(tag) == 8 for tag in item)
    etag = answer.headers["ETag"]
    watermark, count = etag.split("-")
    assert int(watermark) > 0 and count == "3"


def test_T107_not_modified(full):
    path = study(full) + "/metadata"
    etag = full.get(path).headers["ETag"]
    answer = full.get(path, {**DICOM_JSON, "If-None-Match": etag})
    assert answer.status == 304
    assert answer.body == b""
    assert answer.headers.get("ETag") is None


@pytest.mark.parametrize(
    "form, status",
    [
        ('"{}"', 304),
        ('W/"{}"', 304),
        ('"x", "{}"', 304),
        ('"x",W/"{}" , "y"', 304),
        ("*", 304),
        ("{} ", 304),
        ('"x"', 200),
        ("x", 200),
        ("1{}", 200),
        ('"{}x"', 200),
        ("", 200),
    ],
)
def test_if_none_match_forms(full, form, status):
    path = study(full) + "/metadata"
    etag = full.get(path).headers["ETag"]
    headers = {**DICOM_JSON, "If-None-Match": form.replace("{}", etag)}
    assert full.get(path, headers).status == status


def test_quoted_etag(serve):
    web = serve({"http.quoted_etag": "on"}).http
    g = dicom.capture()
    web.store(g)
    etag = web.get(g.path + "/metadata").headers["ETag"]
    assert etag.startswith('"') and etag.endswith('"') and etag[1:-1].isdigit()
    for form in (etag, etag[1:-1]):
        headers = {**DICOM_JSON, "If-None-Match": form}
        assert web.get(g.path + "/metadata", headers).status == 304


def test_T108_etag_after_a_delete(web):
    trio = dicom.trio(8, 8)
    web.store(*trio)
    path = f"/studies/{trio.study}/metadata"
    etag = web.get(path).headers["ETag"]
    assert web.delete(trio.r.path).status == 204
    answer = web.get(path, {**DICOM_JSON, "If-None-Match": etag})
    assert answer.status == 200
    assert answer.headers["ETag"] != etag
    assert answer.headers["ETag"].endswith("-2")
    assert web.delete(trio.b.path).status == 204
    assert web.get(path).headers["ETag"].endswith("-1")


def test_etag_after_a_store(web):
    g = dicom.capture()
    web.store(g)
    before = {
        path: web.get(path + "/metadata").headers["ETag"]
        for path in (f"/studies/{g.study}", f"/studies/{g.study}/series/{g.series}", g.path)
    }
    web.store(g.fresh("instance"))
    changed = {p for p, e in before.items() if web.get(p + "/metadata").headers["ETag"] != e}
    assert changed == set(before) - {g.path}


def test_T109_instance_metadata(full):
    answer = full.get(full.trio.g.path + "/metadata")
    assert len(answer.json()) == 1
    assert answer.headers["ETag"].isdigit()


def test_series_metadata(full):
    answer = full.get(series(full, full.trio.g) + "/metadata")
    assert [value(i, "00080018") for i in answer.json()] == [full.trio.g.sop, full.trio.r.sop]
    assert answer.headers["ETag"].endswith("-2")


def test_T110_metadata_without_accept(full):
    answer = full.get(study(full) + "/metadata", {})
    assert answer.status == 406
    assert answer.body == b""


def test_T111_T112_metadata_of_the_unknown(full):
    assert full.get(study(full) + "/series/9.9/metadata").status == 404
    headers = {**DICOM_JSON, "If-None-Match": "*"}
    assert full.get("/studies/9.9/metadata", headers).status == 404
    assert full.get("/studies/9.9/metadata", {**DICOM_JSON, "If-None-Match": "1-1"}).status == 404


def test_T113_bulk_inside_a_sequence(web):
    item = {
        0x00080018: Element("UI", "1.2.3"),
        0x00420011: Element("OB", b"%PDF"),
        0x00660023: Element("OW", b"\1\2"),
    }
    g = dicom.capture().with_(ReferencedStudySequence=[item])
    assert web.store(g).status == 200
    found = web.metadata(g.path)[0]["00081110"]
    assert found == {"vr": "SQ", "Value": [{"00080018": {"vr": "UI", "Value": ["1.2.3"]}}]}


def test_T114_json_of_each_kind(web):
    g = dicom.capture(
        InstanceNumber="-12 ",
        PatientName="A^B=C^D=E",
        FrameIncrementPointer=0x00181063,
        ReferencedStudySequence=[{}],
        RequestAttributesSequence=[],
        StudyDescription="",
    ).with_(
        tags={
            0x00081160: Element("IS", "1\\2\\\\4"),
            0x00181200: Element("DA", "20200101\\20200202"),
            0x00189219: Element("SS", [-5]),
            0x00186020: Element("SL", [-70000]),
            0x00189808: Element("UL", [4000000000]),
            0x00720078: Element("US", [1, 65535]),
            0x00189087: Element("FD", 0.5),
            0x00189073: Element("FD", 1e300),
            0x00720076: Element("FL", [0.25, -2.0]),
            0x00720082: Element("SV", [-5, 2**53]),
            0x00720083: Element("UV", [2**53, 2**53 + 1]),
            0x00080119: Element("UC", "long"),
            0x00080120: Element("UR", "http://a/ "),
            0x00181401: Element("LO", " left and right "),
            0x00700006: Element("ST", " text "),
        }
    )
    answer = web.store(g)
    assert answer.status in (200, 202)
    found = web.metadata(g.path)[0]
    assert found["00200013"] == {"vr": "IS", "Value": [-12]}
    assert found["00280010"] == {"vr": "US", "Value": [8]}
    assert found["00280009"] == {"vr": "AT", "Value": ["00181063"]}
    assert found["00100010"] == {
        "vr": "PN",
        "Value": [{"Alphabetic": "A^B", "Ideographic": "C^D", "Phonetic": "E"}],
    }
    assert found["00081110"] == {"vr": "SQ", "Value": [{}]}
    assert found["00400275"] == {"vr": "SQ"}
    assert found["00081030"] == {"vr": "LO"}
    assert found["00081160"] == {"vr": "IS", "Value": [1, 2, None, 4]}
    assert found["00181200"] == {"vr": "DA", "Value": ["20200101", "20200202"]}
    assert found["00189219"] == {"vr": "SS", "Value": [-5]}
    assert found["00720078"] == {"vr": "US", "Value": [1, 65535]}
    assert found["00189087"] == {"vr": "FD", "Value": [0.5]}
    assert found["00189073"] == {"vr": "FD", "Value": [1e300]}
    assert found["00720076"] == {"vr": "FL", "Value": [0.25, -2.0]}
    assert found["00720082"]["Value"] == [-5, 2**53]
    assert found["00720083"]["Value"] == [2**53, str(2**53 + 1)]
    assert found["00080119"]["Value"] == ["long"]


def test_numbers_that_do_not_parse_stay_text(web):
    """v1 does not validate what is not indexed, so such values reach the JSON as they are."""
    g = dicom.capture(PatientSize="1,75", InstanceNumber="a")
    assert web.at("/v1").store(g).status == 200
    found = web.metadata(g.path)[0]
    assert found["00101020"] == {"vr": "DS", "Value": ["1,75"]}
    assert found["00200013"] == {"vr": "IS", "Value": ["a"]}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "0x10", "1e999", "--1", "+", "1e", "."])
def test_json_stays_json_whatever_the_number(web, number):
    g = dicom.capture(PatientSize=number)
    assert web.at("/v1").store(g).status == 200
    assert web.metadata(g.path)[0]["00101020"]["Value"] == [number]


def test_floats_that_json_cannot_say(web):
    raw = struct.pack("<ddd", float("nan"), float("inf"), 1.5)
    g = dicom.capture().with_(tags={0x00189087: Element("FD", raw[:8]), 0x00720076: Element("FL", b"\0\0\x80\x7f")})
    assert web.store(g).status == 200
    found = web.metadata(g.path)[0]  # strict JSON, or this fails
    assert found["00189087"]["vr"] == "FD"


def test_group_lengths_are_left_out(web):
    g = dicom.capture().with_(tags={0x00080000: Element("UL", 4), 0x00100000: Element("UL", 4)})
    assert web.store(g).status == 200
    assert not any(tag.endswith("0000") for tag in web.metadata(g.path)[0])


@pytest.mark.parametrize(
    "charset, raw, text",
    [
        ("ISO_IR 100", "José^Müller".encode("latin-1"), "José^Müller"),
        ("ISO_IR 192", "山田^太郎".encode(), "山田^太郎"),
        ("ISO_IR 144", "Люкceмбypг".encode("iso8859_5"), "Люкceмбypг"),
        ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ".encode("shift_jis"), "ﾔﾏﾀﾞ^ﾀﾛｳ"),
        ("GB18030", "王^小东".encode("gb18030"), "王^小东"),
        ("ISO_IR 126", "Διονυσιος".encode("iso8859_7"), "Διονυσιος"),
        ("\\ISO 2022 IR 87", b"\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "山田^太郎"),
        ("ISO 2022 IR 6\\ISO 2022 IR 149", b"\x1b$)C" + "김".encode("euc_kr") + b"^Hee", "김^Hee"),
    ],
)
def test_T115_character_sets(web, charset, raw, text):
    g = dicom.capture(SpecificCharacterSet=charset, PatientName=raw)
    answer = web.store(g)
    assert answer.status == 200, answer
    found = web.metadata(g.path)[0]
    assert value(found, "00100010")["Alphabetic"] == text
    assert found["00080005"]["Value"] == [v or None for v in charset.split("\\")]
    study_ = web.search("/studies")[0]
    assert value(study_, "00100010")["Alphabetic"] == text


def test_three_name_groups_in_japanese(web):
    """The example of PS3.5 annex H.3.1."""
    raw = (
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"
    )
    g = dicom.capture(SpecificCharacterSet="\\ISO 2022 IR 87", PatientName=raw)
    assert web.store(g).status == 200
    assert value(web.metadata(g.path)[0], "00100010") == {
        "Alphabetic": "Yamada^Tarou",
        "Ideographic": "山田^太郎",
        "Phonetic": "やまだ^たろう",
    }


def test_bytes_that_do_not_decode(web):
    g = dicom.capture(SpecificCharacterSet="ISO_IR 192", StudyDescription=b"a\xff\xfeb")
    assert web.store(g).status in (200, 202)
    found = value(web.metadata(g.path)[0], "00081030")
    assert found is None or (found.startswith("a") and "\ufffd" in found and found.endswith("b"))


# -- frames --


@pytest.mark.parametrize("accept", [OCTETS + "; transfer-syntax=*", OCTETS, f"{OCTETS}; transfer-syntax={LE}"])
def test_T116_one_frame(full, accept):
    answer = full.get(full.trio.g.path + "/frames/1", {"Accept": accept})
    assert answer.status == 200
    assert media_type(answer.type) == (OCTETS, {"transfer-syntax": LE})
    assert len(answer.body) == 2892945
    assert answer.body == full.trio.g.pixels


@pytest.mark.parametrize(
    "accept",
    [
        f'multipart/related; type="{OCTETS}"',
        f"multipart/related; type={OCTETS}",
        f'multipart/related; type="{OCTETS}"; transfer-syntax=*',
        "*/*",
    ],
)
def test_T117_one_frame_multipart(full, accept):
    answer = full.get(full.trio.r.path + "/frames/1", {"Accept": accept})
    assert answer.status == 200
    kind, parameters = media_type(answer.type)
    assert kind == "multipart/related" and parameters["type"] == OCTETS
    (part,) = answer.parts()
    assert media_type(part.headers["content-type"]) == (OCTETS, {"transfer-syntax": LE})
    assert part.headers["content-location"] == f"{full.base}/v2{full.trio.r.path}/frames/1"
    assert part.body == full.trio.r.pixels


@pytest.fixture(scope="module")
def frames(shared_serve):
    """A client of a service with frames of several kinds."""
    web = shared_serve().http
    web.native = dicom.gray_frames(3)
    web.report = dicom.report()
    assert web.store(web.native, web.report).status == 200
    return web


def test_T118_T119_frames_in_the_order_asked(frames):
    for wanted in ("1,2", "2,1", "3", "1,1,3", "3,2,1,2"):
        answer = frames.get(f"{frames.native.path}/frames/{wanted}", FRAMES_ANY)
        assert answer.status == 200
        numbers = [int(n) for n in wanted.split(",")]
        assert [p.body for p in answer.parts()] == [bytes([n]) * 24 for n in numbers]


def test_T120_several_frames_as_a_single_part(frames):
    assert frames.get(frames.native.path + "/frames/1,2", OCTETS_ANY).status == 400


@pytest.mark.parametrize(
    "wanted, status",
    [
        ("0", 400),  # T121
        ("-1", 400),  # T122
        ("a", 400),
        ("1,,2", 400),
        ("1,", 400),
        (",1", 400),
        ("1%2C2", 200),
        ("1.5", 400),
        ("99999999999999999999", 400),
        ("1;2", 400),
        ("4", 404),  # T123
        ("1,4", 404),
        ("2147483647", 404),
    ],
)
def test_T121_T122_T123_frame_lists(frames, wanted, status):
    assert frames.get(f"{frames.native.path}/frames/{wanted}", FRAMES_ANY).status == status


def test_a_long_frame_list(frames):
    wanted = ",".join(["1", "2", "3"] * 1000)
    answer = frames.get(f"{frames.native.path}/frames/{wanted}", FRAMES_ANY)
    assert answer.status == 200
    assert len(answer.parts()) == 3000


def test_T124_no_pixel_data(frames):
    assert frames.get(frames.report.path + "/frames/1", OCTETS_ANY).status == 404


def test_frames_of_the_unknown(frames):
    path = "/studies/1.2/series/1.3/instances/1.4/frames/1"
    assert frames.get(path, OCTETS_ANY).status == 404


@pytest.mark.parametrize(
    "accept",
    [
        'multipart/related; type="image/jpeg"',  # T126
        "image/jpeg",
        "application/dicom",
        f'{OCTETS}; transfer-syntax="1.2.840.10008.1.2.4.50"',
        "multipart/related",
        None,
    ],
)
def test_T126_frame_types_refused(frames, accept):
    path = frames.native.path + "/frames/1"
    answer = frames.get(path, {} if accept is None else {"Accept": accept})
    assert answer.status == 406


ENCAPSULATED = {
    "one fragment each": ([[b"aaaa"], [b"bbbbbb"], [b"cc"]], True),
    "several fragments": ([[b"aa", b"AAAA"], [b"bb"], [b"cccc", b"CC", b"cc"]], True),
    "no table, counts agree": ([[b"aaaa"], [b"bbbbbb"], [b"cc"]], False),
    "no table, JPEG ends": (
        [
            [b"\xff\xd8aa", b"aaaa\xff\xd9"],
            [b"\xff\xd8bb\xff\xd9"],
            [b"\xff\xd8c1", b"c2c2", b"c3\xff\xd9"],
        ],
        False,
    ),
}


@pytest.mark.parametrize("kind", ENCAPSULATED)
def test_T127_encapsulated_frames(web, kind):
    content, table = ENCAPSULATED[kind]
    one = dicom.encapsulated(content, table)
    assert web.store(one).status == 200
    answer = web.get(one.path + "/frames/3,1,2", FRAMES_ANY)
    assert answer.status == 200
    whole = [b"".join(frame) for frame in content]
    assert [p.body for p in answer.parts()] == [whole[2], whole[0], whole[1]]
    for part in answer.parts():
        assert media_type(part.headers["content-type"])[1]["transfer-syntax"] == one.syntax
    assert web.get(one.path + "/frames/4", FRAMES_ANY).status == 404
    native = web.get(one.path + "/frames/1", {"Accept": OCTETS})
    assert native.status == 501  # needs transcoding; see test_later.py


def test_single_frame_in_many_fragments(web):
    one = dicom.encapsulated([[bytes([n]) * 1000 for n in range(100)]], table=False)
    one = one.with_(NumberOfFrames=None)
    assert web.store(one).status == 200
    answer = web.get(one.path + "/frames/1", OCTETS_ANY)
    assert answer.status == 200
    assert answer.body == b"".join(bytes([n]) * 1000 for n in range(100))


def test_extended_offset_table(web):
    content = [[b"aaaa"], [b"bbbbbb"], [b"cc"]]
    one = dicom.encapsulated(content, table=False).with_(
        tags={
            0x7FE00001: Element("OV", struct.pack("<QQQ", 0, 12, 26)),
            0x7FE00002: Element("OV", struct.pack("<QQQ", 4, 6, 2)),
        }
    )
    assert web.store(one).status == 200
    parts = web.get(one.path + "/frames/1,2,3", FRAMES_ANY).parts()
    assert [p.body for p in parts] == [b"aaaa", b"bbbbbb", b"cc"]


@pytest.mark.parametrize("table", [b"\xff" * 12, b"\0" * 12, b"\1\0\0\0" * 3, b"abc"])
def test_lying_offset_table(web, table):
    """No crash, no bytes from elsewhere: the right frames, or a clear refusal."""
    one = dicom.encapsulated([[b"aaaa"], [b"bbbb"], [b"cccc"]]).with_(
        PixelData=("OB", Fragments([b"aaaa", b"bbbb", b"cccc"], table))
    )
    assert web.store(one).status in (200, 202, 409)
    answer = web.get(one.path + "/frames/2", OCTETS_ANY)
    assert answer.status in (200, 404, 406)
    if answer.status == 200:
        assert set(answer.body) <= set(b"abc")


@pytest.mark.parametrize("number", ["1000000", "0", "-1", "x", "99999999999"])
def test_lying_number_of_frames(web, number):
    one = dicom.gray_frames(3).with_(NumberOfFrames=number)
    assert web.store(one).status in (200, 202)
    answer = web.get(one.path + "/frames/1", OCTETS_ANY)
    assert answer.status in (200, 404, 406)
    assert web.get(one.path + "/frames/900000", OCTETS_ANY).status in (404, 406)


def test_big_endian_frames(web):
    pixels = bytes(range(48))
    one = dicom.capture(4, 6).with_(
        syntax=dicom.BIG_ENDIAN,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        PlanarConfiguration=None,
        BitsAllocated=16,
        BitsStored=16,
        HighBit=15,
        PixelData=("OW", pixels),
    )
    assert web.store(one).status == 200
    answer = web.get(one.path + "/frames/1", OCTETS_ANY)
    assert answer.status == 200
    swapped = b"".join(pixels[i + 1 : i + 2] + pixels[i : i + 1] for i in range(0, 48, 2))
    syntax = media_type(answer.type)[1]["transfer-syntax"]
    assert (syntax, answer.body) in ((dicom.BIG_ENDIAN, pixels), (LE, swapped))


def test_deflated_frames(web):
    one = dicom.gray_frames(3).with_(syntax=dicom.DEFLATED)
    assert web.store(one).status == 200
    answer = web.get(one.path + "/frames/2", OCTETS_ANY)
    assert answer.status in (200, 406)
    if answer.status == 200:
        assert answer.body == bytes([2]) * 24


def test_one_bit_frames(web):
    """3 frames of 3x3 bits are 27 bits in a row: 4 bytes; frame 2 begins at bit 9."""
    one = dicom.capture(3, 3).with_(
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        PlanarConfiguration=None,
        BitsAllocated=1,
        BitsStored=1,
        HighBit=0,
        NumberOfFrames="2",
        PixelData=("OB", b"\xff\x01\x00\x00"),
    )
    assert web.store(one).status == 200
    answer = web.get(one.path + "/frames/1", OCTETS_ANY)
    assert answer.status in (200, 406)
    if answer.status == 200:
        assert len(answer.body) in (2, 3)
        assert answer.body[0] == 0xFF and answer.body[1] & 1 == 1


def test_T139_odd_frame_has_no_pad_byte(web):
    one = dicom.capture(3, 3)
    assert len(one.pixels) == 27
    assert web.store(one).status == 200
    answer = web.get(one.path + "/frames/1", OCTETS_ANY)
    assert answer.body == one.pixels


def test_frames_read_only_their_part(serve):
    """Frame 500 of a file of 64 MB comes at once."""
    web = serve().http
    one = dicom.gray_frames(1, 256, 256).with_(
        NumberOfFrames="1000",
        PixelData=("OB", b"".join(n.to_bytes(2, "little") * 32768 for n in range(1000))),
    )
    assert web.store(one).status == 200
    started = time.monotonic()
    answer = web.get(one.path + "/frames/500", OCTETS_ANY)
    assert time.monotonic() - started < 2
    assert answer.body == (499).to_bytes(2, "little") * 32768


def test_frames_of_an_empty_pixel_element(web):
    one = dicom.capture(PixelData=("OB", b""))
    assert web.store(one).status in (200, 202)
    assert web.get(one.path + "/frames/1", OCTETS_ANY).status == 404


def test_request_original_header(full):
    g = full.trio.g
    for text, status in (("true", 200), ("FALSE", 200), ("yes", 400), ("1", 400)):
        headers = {**ANY_DICOM, "msdicom-request-original": text}
        assert full.get(g.path, headers).status == status
        headers = {**DICOM_JSON, "msdicom-request-original": text}
        assert full.get(g.path + "/metadata", headers).status == status
    headers = {**OCTETS_ANY, "msdicom-request-original": "nonsense"}
    assert full.get(g.path + "/frames/1", headers).status == 200
