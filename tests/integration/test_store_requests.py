"""Contract section 5: storing, the request: negotiation, multipart, transport (T032 to T045, T063, T064, T075)."""

import pytest
from support import dicom
from support.http import (
    DICOM_JSON,
    SINGLE,
    failed_items,
    multipart,
    nothing_stored,
    reason,
    related,
    stored_items,
    value,
)


# -- negotiation --


def test_T032_no_accept(web, g):
    answer = web.request("POST", "/studies", {"Content-Type": "application/dicom"}, g.bytes)
    assert answer.status == 406
    assert answer.body == b""
    nothing_stored(web)


@pytest.mark.parametrize(
    "accept, status",
    [("application/json", 406), ("*/*", 200), ("application/*", 200)],
    ids=["T033", "T034", "T035"],
)
def test_T033_T034_T035_accept(web, g, accept, status):
    answer = web.store_one(g, {"Accept": accept})
    assert answer.status == status
    if status == 200:
        assert answer.type == "application/dicom+json; charset=utf-8"
    else:
        nothing_stored(web)


@pytest.mark.parametrize(
    "kind",
    [
        "application/octet-stream",  # T036
        "multipart/related",  # T037
        'multipart/related; type="application/dicom"',
        "multipart/mixed; boundary=b",
        "multipart/form-data; boundary=b",
        "application/dicom+json",
        "application/dicom+xml",
        'multipart/related; type="application/dicom+json"; boundary=b',
        "text/plain",
        "nonsense",
        "",
        None,
    ],
)
def test_T036_T037_content_type(web, g, kind):
    headers = dict(DICOM_JSON)
    if kind is not None:
        headers["Content-Type"] = kind
    _, body = multipart(g, boundary="b")
    body = body if "boundary" in (kind or "") else g.bytes
    assert web.request("POST", "/studies", headers, body).status == 415
    nothing_stored(web)


@pytest.mark.parametrize(
    "kind",
    [
        "APPLICATION/DICOM",
        "application/dicom; transfer-syntax=1.2.840.10008.1.2.1",
        "application/dicom ;transfer-syntax=*",
    ],
)
def test_single_part_content_types_taken(web, g, kind):
    assert web.store_one(g, {"Content-Type": kind}).status == 200


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/related; boundary=b1",
        "multipart/related; boundary=b1; type=application/dicom",
        'Multipart/Related; TYPE="application/dicom"; BOUNDARY="b1"',
        'multipart/related;type="application/dicom";boundary=b1',
        "multipart/related; boundary=b1; type=APPLICATION/DICOM",
        "multipart/related; boundary=b1; start-info=x; type=application/dicom",
    ],
)
def test_multipart_content_types_taken(web, g, kind):
    _, body = multipart(g, boundary="b1")
    answer = web.request("POST", "/studies", {**DICOM_JSON, "Content-Type": kind}, body)
    assert answer.status == 200


def test_T038_start_parameter(web, g):
    boundary, body = multipart(g)
    headers = related(boundary, '; type="application/dicom"; start="<1>"')
    assert web.request("POST", "/studies", headers, body).status == 400
    nothing_stored(web)


def test_T039_part_of_another_type(web, g):
    boundary, body = multipart(g, ({"Content-Type": "text/plain"}, b"hello"))
    assert web.request("POST", "/studies", related(boundary), body).status == 415
    nothing_stored(web)


def test_T040_cut_off_in_the_second_part(web, g):
    boundary, body = multipart(g, g.fresh())
    cut = body[: len(g.bytes) + len(g.bytes) // 2]
    assert web.request("POST", "/studies", related(boundary), cut).status == 400
    nothing_stored(web)


def test_no_closing_boundary(web, g):
    boundary, body = multipart(g, close=False)
    assert web.request("POST", "/studies", related(boundary), body).status == 400
    nothing_stored(web)


def test_client_that_goes_away(web, g):
    """The promised length never comes: nothing is stored, and the service goes on."""
    boundary, body = multipart(g, g.fresh())
    head = (
        f"POST /v2/studies HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: multipart/related; boundary={boundary}\r\n\r\n"
    )
    with web.socket() as s:
        s.sendall(head.encode() + body[:-10])
    nothing_stored(web)
    assert web.store(g).status == 200


@pytest.mark.parametrize("body", [b"--b--\r\n", b"--b--", b"\r\n--b--\r\n"])
def test_T041_no_parts(web, body):
    answer = web.request("POST", "/studies", related("b"), body)
    assert answer.status == 204
    assert answer.body == b""


def test_T042_empty_part_alone(web):
    answer = web.store(b"")
    assert answer.status == 409
    (item,) = failed_items(answer)
    assert reason(item) == 43264
    assert "00081155" not in item and "00081150" not in item


def test_empty_single_body(web):
    answer = web.store_one(b"")
    assert answer.status == 409
    assert [reason(i) for i in failed_items(answer)] == [43264]


def test_T043_empty_part_and_a_good_one(web, g):
    answer = web.store(b"", g)
    assert answer.status == 202
    assert [reason(i) for i in failed_items(answer)] == [43264]
    assert [value(i, "00081155") for i in stored_items(answer)] == [g.sop]


def test_T044_text_file(web):
    answer = web.store(b"This is not DICOM at all.\n" * 20)
    assert answer.status == 409
    (item,) = failed_items(answer)
    assert reason(item) == 43264
    assert "00081155" not in item and "00081150" not in item


def test_T045_part_without_type(web, g):
    boundary, body = multipart(g, g.fresh(), part_type=None)
    answer = web.request("POST", "/studies", related(boundary), body)
    assert answer.status == 200
    assert len(stored_items(answer)) == 2


def test_part_type_with_transfer_syntax(web, g):
    kind = {"content-type": 'Application/DICOM; transfer-syntax="1.2.840.10008.1.2.1"'}
    boundary, body = multipart((kind, g.bytes))
    assert web.request("POST", "/studies", related(boundary), body).status == 200


def test_part_headers_over_several_lines(web, g):
    kind = {"content-location": "x\r\n\tContent-Type: text/plain", "content-type": "\r\n application/dicom"}
    boundary, body = multipart((kind, g.bytes))
    assert web.request("POST", "/studies", related(boundary), body).status == 200


def test_multipart_preamble_and_epilogue(web, g):
    boundary, body = multipart(g)
    body = b"This is a message.\r\n--" + boundary[:-1].encode() + b"\r\n" + body + b"That was it.\r\n"
    assert web.request("POST", "/studies", related(boundary), body).status == 200
    assert web.retrieve(g) == g.bytes


def test_boundary_look_alikes_in_the_data(web, g):
    boundary = "edge"
    tricky = b"\r\n--edg\r\n\r\n--edgE--\r\n-\r\n--\r\n\r\r\n--edg" * 3000
    g = g.with_(PixelData=("OB", tricky))
    _, body = multipart(g, g.fresh("instance"), boundary=boundary)
    assert web.request("POST", "/studies", related(boundary), body).status == 200
    assert web.retrieve(g) == g.bytes


@pytest.mark.parametrize("length", [1, 70, 73])
def test_long_boundaries(web, g, length):
    """RFC 2046 allows 70 characters; Orthanc sends 73."""
    boundary, body = multipart(g, boundary="b" * length)
    assert web.request("POST", "/studies", related(boundary), body).status == 200


def test_boundary_beyond_reason(web, g):
    boundary, body = multipart(g, boundary="b" * 1000)
    assert web.request("POST", "/studies", related(boundary), body).status in (400, 415)
    nothing_stored(web)


def test_boundary_with_odd_characters(web, g):
    _, body = multipart(g, boundary="a'()+_,-./:=? z")
    headers = related('"a\'()+_,-./:=? z"')
    assert web.request("POST", "/studies", headers, body).status == 200


def test_part_headers_limit(web, g):
    """16 KiB for the headers of a part (section 20)."""
    kind = {"Content-Type": "application/dicom"}
    boundary, body = multipart(({**kind, "X-Fill": "a" * (16 * 1024 - 200)}, g.bytes))
    assert web.request("POST", "/studies", related(boundary), body).status == 200
    boundary, body = multipart(({**kind, "X-Fill": "a" * (16 * 1024 + 1)}, g.fresh().bytes))
    assert web.request("POST", "/studies", related(boundary), body).status == 400
    boundary, body = multipart(({**kind, "X-Fill": "a" * (4 << 20)}, g.fresh().bytes))
    assert web.request("POST", "/studies", related(boundary), body).status == 400
    assert len(web.search("/instances")) == 1


@pytest.mark.parametrize("coding", ["gzip", "deflate", "identity, gzip"])
def test_content_encoding_is_refused(web, g, coding):
    assert web.store_one(g, {"Content-Encoding": coding}).status == 415
    nothing_stored(web)


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
def test_content_encoding_that_is_none(web, g, coding):
    assert web.store_one(g, {"Content-Encoding": coding}).status == 200
    assert web.retrieve(g) == g.bytes


def test_order_of_refusals(web, g):
    """Route, then Accept, then Content-Type, then identifiers."""
    bad_type = {"Content-Type": "text/plain"}
    assert web.request("PATCH", "/studies/x", bad_type, b"").status == 405
    assert web.request("POST", "/studies/x", bad_type, b"x").status == 406
    assert web.request("POST", "/studies/x", {**bad_type, **DICOM_JSON}, b"x").status == 415
    assert web.request("POST", "/studies/x", SINGLE, g.bytes).status == 400


# -- transport --


@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
def test_chunked(web, g, size):
    boundary, body = multipart(g, g.fresh("instance"))
    pieces = (body[i : i + size] for i in range(0, len(body), size))
    answer = web.request("POST", "/studies", related(boundary), pieces, chunked=True)
    assert answer.status == 200
    assert web.retrieve(g) == g.bytes


@pytest.mark.parametrize("slip", range(1, 24))
def test_boundary_split_between_packets(web, slip):
    """The closing boundary arrives in two pieces, cut at every place."""
    g = dicom.capture(rows=2, columns=2)
    boundary, body = multipart(g, boundary="0123456789")
    cut = len(body) - slip
    pieces = iter((body[:cut], body[cut:]))
    answer = web.request("POST", "/studies", related(boundary), pieces, chunked=True)
    assert answer.status == 200
    assert web.retrieve(g) == g.bytes


def test_T063_body_above_the_limit(serve):
    web = serve({"http.body_limit": 1048576}).http
    g = dicom.capture()
    spare = 1048576 - len(g.bytes)
    fits = g.with_(PixelData=("OB", g.pixels + bytes(spare)))
    assert len(fits.bytes) == 1048576
    answer = web.store_one(fits.bytes + b"\0")
    assert answer.status == 413
    assert answer.type.startswith("text/plain")
    nothing_stored(web)
    assert web.store_one(fits).status == 200
    assert web.retrieve(fits) == fits.bytes


def test_T064_chunked_above_the_limit(serve):
    web = serve({"http.body_limit": 1048576}).http
    g = dicom.capture()
    fits = g.with_(PixelData=("OB", g.pixels + bytes(1048576 - len(g.bytes))))
    pieces = [fits.bytes[i : i + 65536] for i in range(0, len(fits.bytes), 65536)]
    answer = web.request("POST", "/studies", SINGLE, iter([*pieces, b"\0"]), chunked=True)
    assert answer.status == 413
    nothing_stored(web)
    assert web.request("POST", "/studies", SINGLE, iter(pieces), chunked=True).status == 200


def test_endless_chunked_body_is_cut_off(serve):
    """413 at once; what still comes is dropped for a few seconds, then the connection ends."""
    web = serve({"http.body_limit": 1048576}).http
    start = (
        b"POST /v2/studies HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n"
        b"Content-Type: application/dicom\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    piece = b"10000\r\n" + bytes(65536) + b"\r\n"
    assert web.flood(start, piece).startswith(b"HTTP/1.1 413 ")
    nothing_stored(web)


@pytest.mark.parametrize("bad", [b"zz\r\nxx\r\n", b"-1\r\n", b"FFFFFFFFFFFFFFFFF\r\n", b"5\r\nab\r\n0\r\n\r\n"])
def test_malformed_chunks(web, bad):
    status = web.raw_status(
        b"POST /v2/studies HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nContent-Type: application/dicom\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + bad,
        shut=True,
    )
    assert status in (0, 400, 413), status
    nothing_stored(web)


def test_T075_expect_continue(web, g):
    with web.socket() as s:
        s.sendall(
            b"POST /v2/studies HTTP/1.1\r\nHost: localhost\r\nAccept: application/dicom+json\r\n"
            b"Content-Type: application/dicom\r\nExpect: 100-continue\r\nConnection: close\r\n"
            + f"Content-Length: {len(g.bytes)}\r\n\r\n".encode()
        )
        interim = s.recv(4096)
        assert interim.startswith(b"HTTP/1.1 100 ")
        s.sendall(g.bytes)
        rest = interim.partition(b"\r\n\r\n")[2]
        while piece := s.recv(65536):
            rest += piece
    assert rest.startswith(b"HTTP/1.1 200 ")
    assert web.retrieve(g) == g.bytes


def test_expect_continue_refused_at_once(web):
    """406 and 415 need no body: the final answer comes instead of 100."""
    with web.socket() as s:
        s.sendall(
            b"POST /v2/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/dicom\r\n"
            b"Expect: 100-continue\r\nContent-Length: 1000000\r\n\r\n"
        )
        assert s.recv(4096).startswith(b"HTTP/1.1 406 ")
