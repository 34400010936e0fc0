"""Contract section 5: storing (T026 to T077)."""

import concurrent.futures
import errno
import json
import re
import signal
import time

import pytest
from support import dicom
from support.dicom import Element
from support.http import (
    ANY_DICOM,
    DICOM_JSON,
    comments,
    failed_items,
    multipart,
    stored_items,
    value,
)
from support.server import sanitized, wait_for

SINGLE = {**DICOM_JSON, "Content-Type": "application/dicom"}
EMPTY_SQ = {"vr": "SQ"}


@pytest.fixture
def g():
    return dicom.capture()


def related(boundary, rest='; type="application/dicom"'):
    return {**DICOM_JSON, "Content-Type": f"multipart/related; boundary={boundary}{rest}"}


def reason(item):
    return value(item, "00081197")


def warning(item):
    return value(item, "00081196")


def nothing_stored(web):
    assert web.search("/instances") == []
    assert web.feed() == []


# -- what a store answers --


def test_T026_single_part(web):
    g = dicom.trio().g
    answer = web.store_one(g)
    assert answer.status == 200
    assert answer.type == "application/dicom+json; charset=utf-8"
    body = answer.json()
    assert isinstance(body, dict)
    assert set(body) == {"00081199"}
    assert body["00081199"]["vr"] == "SQ"
    (item,) = stored_items(answer)
    assert item == {
        "00081150": {"vr": "UI", "Value": [dicom.SECONDARY_CAPTURE]},
        "00081155": {"vr": "UI", "Value": [g.sop]},
        "00081190": {"vr": "UR", "Value": [f"{web.base}/v2{g.path}"]},
        "00741048": EMPTY_SQ,
    }
    assert web.retrieve(g) == g.bytes


def test_T027_three_parts_in_order(web):
    trio = dicom.trio()
    answer = web.store(*trio)
    assert answer.status == 200
    assert [value(i, "00081155") for i in stored_items(answer)] == [i.sop for i in trio]
    assert "00081198" not in answer.json() and "00081190" not in answer.json()


def test_T028_into_one_study(web, g):
    answer = web.store(g, study=g.study)
    assert answer.status == 200
    assert answer.json()["00081190"] == {"vr": "UR", "Value": [f"{web.base}/v2/studies/{g.study}"]}


def test_study_path_with_trailing_space(web, g):
    assert web.store(g, study=g.study + "%20").status == 200


def test_v1_store(web, g):
    v1 = web.at("/v1")
    answer = v1.store(g)
    assert answer.status == 200
    (item,) = stored_items(answer)
    assert set(item) == {"00081150", "00081155", "00081190"}
    assert value(item, "00081190") == f"{web.base}/v1{g.path}"


def test_T029_twice(web, g):
    assert web.store_one(g).status == 200
    answer = web.store_one(g)
    assert answer.status == 409
    (item,) = failed_items(answer)
    assert item == {
        "00081150": {"vr": "UI", "Value": [dicom.SECONDARY_CAPTURE]},
        "00081155": {"vr": "UI", "Value": [g.sop]},
        "00081197": {"vr": "US", "Value": [45070]},
    }
    assert "00081199" not in answer.json()
    assert len(web.feed()) == 1


def test_a_known_instance_has_no_comments_of_validation(web, g):
    odd = g.with_(BodyPartExamined="small")
    assert comments(stored_items(web.store(odd))[0])
    (item,) = failed_items(web.store(odd))
    assert reason(item) == 45070
    assert "00741048" not in item  # it is there for failures of validation (5.7)


def test_T030_one_known_one_new(web, g):
    r = g.fresh("instance")
    assert web.store_one(g).status == 200
    answer = web.store(g, r)
    assert answer.status == 202
    assert [(value(i, "00081155"), reason(i)) for i in failed_items(answer)] == [(g.sop, 45070)]
    assert [value(i, "00081155") for i in stored_items(answer)] == [r.sop]


def test_same_instance_twice_in_one_request(web, g):
    answer = web.store(g, g)
    assert answer.status == 202
    assert len(stored_items(answer)) == 1
    assert reason(failed_items(answer)[0]) in (45070, 45071)
    assert len(web.feed()) == 1


def test_T031_other_study_than_the_path(web, g):
    answer = web.store(g, study="1.2.3")
    assert answer.status == 409
    (item,) = failed_items(answer)
    assert reason(item) == 43265
    assert any("(0020,000D)" in c for c in comments(item))
    assert "00081190" not in answer.json()
    nothing_stored(web)


def test_some_of_another_study(web, g):
    other = g.fresh()
    answer = web.store(g, other, study=g.study)
    assert answer.status == 202
    assert [reason(i) for i in failed_items(answer)] == [43265]
    assert value(answer.json(), "00081190") == f"{web.base}/v2/studies/{g.study}"


def test_malformed_study_in_the_path(web, g):
    assert web.store(g, study="1.2.x").status == 400
    nothing_stored(web)


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
        f"POST /v2/studies HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nContent-Length: {len(body)}\r\n"
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


def test_content_encoding_is_refused(web, g):
    assert web.store_one(g, {"Content-Encoding": "gzip"}).status == 415
    nothing_stored(web)


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
        b"POST /v2/studies HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n"
        b"Content-Type: application/dicom\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    piece = b"10000\r\n" + bytes(65536) + b"\r\n"
    assert web.flood(start, piece).startswith(b"HTTP/1.1 413 ")
    nothing_stored(web)


@pytest.mark.parametrize("bad", [b"zz\r\nxx\r\n", b"-1\r\n", b"FFFFFFFFFFFFFFFFF\r\n", b"5\r\nab\r\n0\r\n\r\n"])
def test_malformed_chunks(web, bad):
    status = web.raw_status(
        b"POST /v2/studies HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nContent-Type: application/dicom\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + bad,
        shut=True,
    )
    assert status in (0, 400, 413), status
    nothing_stored(web)


def test_T075_expect_continue(web, g):
    with web.socket() as s:
        s.sendall(
            b"POST /v2/studies HTTP/1.1\r\nHost: h\r\nAccept: application/dicom+json\r\n"
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
            b"POST /v2/studies HTTP/1.1\r\nHost: h\r\nContent-Type: application/dicom\r\n"
            b"Expect: 100-continue\r\nContent-Length: 1000000\r\n\r\n"
        )
        assert s.recv(4096).startswith(b"HTTP/1.1 406 ")


# -- validation --


@pytest.mark.parametrize(
    "keyword, tag",
    [
        ("SOPClassUID", "(0008,0016)"),
        ("SOPInstanceUID", "(0008,0018)"),  # T046
        ("StudyInstanceUID", "(0020,000D)"),
        ("SeriesInstanceUID", "(0020,000E)"),
        ("PatientID", "(0010,0020)"),  # T047
    ],
)
@pytest.mark.parametrize("prefix", ["/v1", "/v2"])
def test_T046_T047_missing_core_attribute(web, g, prefix, keyword, tag):
    answer = web.at(prefix).store(g.with_(**{keyword: None}))
    assert answer.status == 409
    (item,) = failed_items(answer)
    assert reason(item) == 43264
    assert any(c.startswith("DICOM100: " + tag + " - ") for c in comments(item))
    nothing_stored(web)


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_empty_or_double_uid(web, g, keyword):
    for changed in (g.with_(**{keyword: ""}), g.with_(**{keyword: "1.2\\1.3"})):
        answer = web.store(changed)
        assert answer.status == 409
        assert [reason(i) for i in failed_items(answer)] == [43264]
    nothing_stored(web)


@pytest.mark.parametrize("patient_id", ["", "  "])
def test_T048_empty_patient_id(web, g, patient_id):
    answer = web.store(g.with_(PatientID=patient_id))
    assert answer.status == 202
    (item,) = stored_items(answer)
    assert warning(item) == 1
    assert comments(item)[0].startswith("DICOM100: (0010,0020) - ")


def test_T049_empty_patient_id_v1(web, g):
    answer = web.at("/v1").store(g.with_(PatientID=""))
    assert answer.status == 409
    assert [reason(i) for i in failed_items(answer)] == [43264]


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
@pytest.mark.parametrize("bad", ["1.2.x", "1.2.", "1" * 65, "1.2-3"])
def test_T050_malformed_uid(web, g, keyword, bad):
    answer = web.store(g.with_(**{keyword: bad}))
    assert answer.status == 409
    assert [reason(i) for i in failed_items(answer)] == [43264]
    nothing_stored(web)


@pytest.mark.parametrize(
    "patient_id, status",
    [
        ("x" * 64, 200),
        ("x" * 65, 409),
        ("a\x07b", 409),
        (b"ID1\0", 200),
        (b"a\xc2\x85b", 409),  # a control character beyond ASCII
        (b"a\xc2\xa0b", 200),
    ],
)
def test_patient_id_rules(web, g, patient_id, status):
    changed = g.with_(PatientID=patient_id, SpecificCharacterSet="ISO_IR 192")
    assert web.store(changed).status == status


def test_core_attribute_with_another_vr(web, g):
    answer = web.store(g.with_(PatientID=("SH", "ID1")))
    assert answer.status == 409
    assert [reason(i) for i in failed_items(answer)] == [43264]


def test_T051_bad_study_date(web, g):
    g = g.with_(StudyDate="2020-09-22x")
    answer = web.store(g)
    assert answer.status == 202
    (item,) = stored_items(answer)
    assert warning(item) == 1
    assert any(c.startswith("DICOM100: (0008,0020) - ") for c in comments(item))
    assert "00080020" not in web.metadata(g.path)[0]
    assert web.retrieve(g) == g.bytes
    assert web.search("/studies?StudyDate=20200922") == []


def test_T052_bad_study_date_v1(web, g):
    answer = web.at("/v1").store(g.with_(StudyDate="2020-09-22x"))
    assert answer.status == 409
    assert [reason(i) for i in failed_items(answer)] == [43264]
    assert any("(0008,0020)" in c for c in comments(failed_items(answer)[0]))


ITEM_WITH_BAD_BIRTH_DATE = {0x00100030: Element("DA", "1970.01")}


def test_findings_in_items_hide_no_indexed_attribute(web, g):
    bad = g.with_(
        PatientBirthDate="1970.01.01\\19700102",
        ReferencedStudySequence=[ITEM_WITH_BAD_BIRTH_DATE],
    )
    answer = web.at("/v1").store(bad)
    assert answer.status == 409
    assert [reason(i) for i in failed_items(answer)] == [43264]
    answer = web.store(bad)
    assert answer.status == 202
    assert answer.headers["Warning"].startswith("299 ")
    (comment,) = comments(stored_items(answer)[0])
    assert comment.startswith('DICOM100: (0010,0030) - "1970.01.01')
    found = web.metadata(bad.path)[0]
    assert "00100030" not in found
    assert found["00081110"]["Value"] == [{}]


def test_many_findings_hide_no_indexed_attribute(web, g):
    many = {0x00090010: Element("LO", "CREATOR")}
    many |= {0x00091000 + i: Element("CS", "small") for i in range(250)}
    bad = g.with_(tags=many, PatientBirthDate="1970.01.01")
    answer = web.at("/v1").store(bad)
    assert [reason(i) for i in failed_items(answer)] == [43264]
    answer = web.store(bad)
    assert answer.status == 202
    found = comments(stored_items(answer)[0])
    assert len(found) == 201  # of other attributes so many are told, of these all
    assert found[-1].startswith("DICOM100: (0010,0030) - ")


def test_T053_impossible_but_well_formed_date(web, g):
    g = g.with_(StudyDate="20200230")
    answer = web.store(g)
    assert answer.status == 200
    assert stored_items(answer)[0]["00741048"] == EMPTY_SQ
    assert web.search("/studies?StudyDate=20200101-20201231") == []
    assert len(web.search("/studies")) == 1
    assert value(web.metadata(g.path)[0], "00080020") == "20200230"


LONG_CS = "ABCDEFGHIJKLMNOPQ"


def test_T054_bad_attribute_without_index(web, g):
    g = g.with_(BodyPartExamined=LONG_CS)
    answer = web.store(g)
    assert answer.status == 202
    (item,) = stored_items(answer)
    assert warning(item) == 1
    assert [c[:24] for c in comments(item)] == ["DICOM100: (0018,0015) - "]
    assert "00180015" not in web.metadata(g.path)[0]
    assert web.retrieve(g) == g.bytes


def test_T055_bad_attribute_without_index_v1(web, g):
    answer = web.at("/v1").store(g.with_(BodyPartExamined=LONG_CS))
    assert answer.status == 200
    assert "00081196" not in stored_items(answer)[0]


def test_T056_name_with_trailing_nuls(web, g):
    g = g.with_(PatientName=b"Anony Mous\0\0\0\0")
    answer = web.store(g)
    assert answer.status == 200
    assert stored_items(answer)[0]["00741048"] == EMPTY_SQ
    name = value(web.metadata(g.path)[0], "00100010")["Alphabetic"]
    assert name.rstrip("\0") == "Anony Mous"
    assert len(web.search("/studies?PatientName=Anony%20Mous")) == 1


def test_T057_embedded_nul(web, g):
    answer = web.store(g.with_(AccessionNumber=b"AB\0CD1"))
    assert answer.status == 202
    (comment,) = comments(stored_items(answer)[0])
    assert comment == 'DICOM100: (0008,0050) - "AB\0CD1" is not a SH: a control character'


def test_T058_bad_date_inside_a_sequence(web, g):
    nested = {0x00080020: Element("DA", "2020.09"), 0x00081150: Element("UI", "1.2.3")}
    for undefined in (False, True):
        one = g.fresh().with_(ReferencedStudySequence=[nested], undefined=undefined)
        answer = web.store(one)
        assert answer.status == 202
        assert any("(0008,0020)" in c for c in comments(stored_items(answer)[0]))
        found = web.metadata(one.path)[0]
        assert value(found, "00080020") == "20200922"
        assert found["00081110"]["Value"] == [{"00081150": {"vr": "UI", "Value": ["1.2.3"]}}]


def test_T059_two_values_where_one_is_allowed(web, g):
    g = g.with_(StudyID="A\\B")
    answer = web.store(g)
    assert answer.status == 202
    assert any("(0020,0010)" in c for c in comments(stored_items(answer)[0]))
    assert "00200010" not in web.metadata(g.path)[0]
    assert answer.headers.get("Warning") is None


def test_T060_two_patient_ids(web, g):
    g = g.with_(PatientID="A\\B")
    answer = web.store(g)
    assert answer.status == 202
    assert warning(stored_items(answer)[0]) == 1
    assert re.fullmatch(r'299 \S+:? ".+"', answer.headers["Warning"])
    assert "00100020" not in web.metadata(g.path)[0]


def test_warning_header_for_any_indexed_attribute(web, g):
    answer = web.store(g.with_(AccessionNumber="A\\B"))
    assert answer.status == 202
    assert answer.headers["Warning"].startswith("299 ")


def test_T061_uid_with_leading_zero(web, g):
    g = g.with_(SeriesInstanceUID="1.02.3")
    answer = web.store(g)
    assert answer.status == 202
    assert any("(0020,000E)" in c for c in comments(stored_items(answer)[0]))
    assert value(web.metadata(g.path)[0], "0020000E") == "1.02.3"
    assert web.retrieve(g) == g.bytes


def test_T062_implicit_vr(web, g):
    g = g.with_(syntax=dicom.IMPLICIT)
    answer = web.store(g)
    assert answer.status == 202
    assert warning(stored_items(answer)[0]) == 45063
    assert web.retrieve(g) == g.bytes
    found = web.get(g.path, ANY_DICOM)
    assert found.type == "application/dicom; transfer-syntax=1.2.840.10008.1.2"


def test_implicit_vr_v1(web, g):
    answer = web.at("/v1").store(g.with_(syntax=dicom.IMPLICIT))
    assert answer.status == 200
    assert warning(stored_items(answer)[0]) == 45063


def test_implicit_vr_warning_beats_the_others(web, g):
    answer = web.store(g.with_(syntax=dicom.IMPLICIT, BodyPartExamined=LONG_CS))
    assert answer.status == 202
    (item,) = stored_items(answer)
    assert warning(item) == 45063
    assert any("(0018,0015)" in c for c in comments(item))


def test_implicit_vr_private_elements_leave_the_metadata(web, g):
    private = {0x00190010: Element("LO", "MAKER"), 0x00191001: Element("LO", "x")}
    explicit = g.fresh().with_(tags=private)
    implicit = g.fresh().with_(tags=private, syntax=dicom.IMPLICIT)
    web.store(explicit, implicit)
    assert value(web.metadata(explicit.path)[0], "00191001") == "x"
    assert "00191001" not in web.metadata(implicit.path)[0]


@pytest.mark.parametrize("syntax", [dicom.BIG_ENDIAN, dicom.DEFLATED, dicom.HTJ2K, "1.2.3.4.5"])
def test_other_transfer_syntaxes(web, g, syntax):
    """Same metadata as Explicit VR LE; the file as it came. An unknown syntax is read as LE."""
    sequence = [{0x00081150: Element("UI", "1.2.3"), 0x00280010: Element("US", 258)}]
    plain = g.with_(ReferencedStudySequence=sequence)
    other = plain.fresh("instance").with_(syntax=syntax)
    assert web.store(plain, other).status == 200
    assert web.retrieve(other) == other.bytes
    left, right = web.metadata(plain.path)[0], web.metadata(other.path)[0]
    assert left.pop("00080018") != right.pop("00080018")
    assert left == right


def test_undefined_lengths(web, g):
    deep = {0x00081150: Element("UI", "1.2.3")}
    for _ in range(5):
        deep = {0x00081110: Element("SQ", [deep, {}]), 0x00100020: Element("LO", "x")}
    data = {0x00081110: deep[0x00081110]}
    known = g.with_(tags=data)
    unknown = g.fresh("instance").with_(tags=data, undefined=True)
    assert web.store(known, unknown).status == 200
    left, right = web.metadata(known.path)[0], web.metadata(unknown.path)[0]
    assert left["00081110"] == right["00081110"]


@pytest.mark.parametrize("depth", [1000, 20000])
@pytest.mark.parametrize("undefined", [False, True])
def test_hostile_nesting(web, g, depth, undefined):
    """Far too deep: refused, nobody recurses."""
    if undefined:
        begin = bytes.fromhex("08001011") + b"SQ\0\0" + b"\xff" * 4 + bytes.fromhex("feff00e0ffffffff")
        raw = begin * depth
    else:
        raw = b""
        for _ in range(min(depth, 3000)):
            item = bytes.fromhex("feff00e0") + len(raw).to_bytes(4, "little") + raw
            raw = bytes.fromhex("08001011") + b"SQ\0\0" + len(item).to_bytes(4, "little") + item
    head = dict(g.data)
    for tag in [t for t in head if t > 0x00081110]:
        head.pop(tag)
    data = dicom.file_bytes(head) + raw
    answer = web.store(data)
    assert answer.status == 409
    assert [reason(i) for i in failed_items(answer)] in ([43264], [272])
    nothing_stored(web)


def nested(depth):
    data = {0x00081150: Element("UI", "1.2.3")}
    for _ in range(depth):
        data = {0x00081110: Element("SQ", [data])}
    return data


def test_nesting(web, g):
    for depth, status in ((30, 200), (200, 409)):
        answer = web.store(g.fresh().with_(tags=nested(depth)))
        assert answer.status == status, depth


@pytest.mark.parametrize("keep", [0, 1, 100, 131, 132, 140, 160, 200, 300, 420])
def test_cut_off_in_the_header(web, g, keep):
    answer = web.store(g.bytes[:keep])
    assert answer.status == 409
    assert [reason(i) for i in failed_items(answer)] == [43264]
    nothing_stored(web)


def test_no_preamble_or_no_meta(web, g):
    bare = dicom.encode(g.data)
    without_dicm = g.bytes[:128] + b"XXXX" + g.bytes[132:]
    no_meta = bytes(128) + b"DICM" + bare
    for data in (bare, without_dicm, g.bytes[132:], no_meta):
        answer = web.store(data)
        assert answer.status == 409, data[:140]
        assert [reason(i) for i in failed_items(answer)] == [43264]
    nothing_stored(web)


@pytest.mark.parametrize("position", range(132, 400, 12))
def test_damaged_header_never_breaks_the_service(web, g, position):
    data = bytearray(g.bytes)
    data[position : position + 4] = b"\xff\xff\xff\xff"
    answer = web.store(bytes(data))
    assert answer.status in (200, 202, 409)
    assert web.get("/changefeed", {}).status == 200


@pytest.mark.parametrize(
    "keyword, good, bad",
    [
        ("PatientAge", "035Y", "35Y"),
        ("PatientAge", "001D", "001X"),
        ("StudyTime", "101112.123456", "10:11:12"),
        ("StudyTime", "10", "25"),
        ("StudyTime", "235960", "236000"),
        ("PatientSize", "-1.5E+2", "1,5"),
        ("PatientSize", "1.75 ", "x"),
        ("InstanceNumber", "-2147483648", "2147483648"),
        ("InstanceNumber", " +7 ", "7.0"),
        ("Modality", "OT", "ot"),
        ("StudyDescription", "x" * 64, "x" * 65),
        ("AccessionNumber", "x" * 16, "x" * 17),
        ("PatientName", "A^B^C^D^E", "A^B^C^D^E^F"),
        ("PatientName", "A=B=C", "A=B=C=D"),
        ("PatientName", "x" * 64, "x" * 65),
        ("PatientBirthDate", "19991231", "1999.12.31"),
        ("PatientBirthDate", "", "19991331"),
    ],
)
def test_value_rules(web, g, keyword, good, bad):
    tag = dicom.KEYWORDS[keyword][0]
    assert web.store(g.fresh(**{keyword: good})).status == 200
    answer = web.store(g.fresh(**{keyword: bad}))
    assert answer.status == 202
    (item,) = stored_items(answer)
    name = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
    assert [c.split(" - ")[0] for c in comments(item)] == [f"DICOM100: {name}"]


def test_several_warnings_in_one_instance(web, g):
    answer = web.store(g.with_(Modality="ot", PatientAge="x", StudyTime="99"))
    tags = {c.split(" - ")[0] for c in comments(stored_items(answer)[0])}
    assert tags == {
        "DICOM100: (0008,0060)",
        "DICOM100: (0010,1010)",
        "DICOM100: (0008,0030)",
    }


# -- races, failures, replacement --


def test_T065_parallel_stores_of_one_instance(web):
    g = dicom.trio().g
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: web.store(g), range(8)))
    assert sorted(a.status for a in answers) == [200] + [409] * 7
    for answer in answers:
        if answer.status == 409:
            assert reason(failed_items(answer)[0]) in (45070, 45071)
    assert len(web.feed()) == 1
    assert web.retrieve(g) == g.bytes


def test_T066_storage_fails(serve):
    """Writes beyond 1 MiB fail in the process (EFBIG), as on a full or broken disk."""
    server = serve(preexec=lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN))
    web = server.http
    g, small = dicom.trio().g, dicom.capture()
    server.file_size_limit(1 << 20)
    answer = web.store(g)
    assert answer.status == 409, errno.EFBIG
    assert [reason(i) for i in failed_items(answer)] == [272]
    nothing_stored(web)
    assert web.get(g.path, ANY_DICOM).status == 404
    mixed = web.store(g, small)
    assert mixed.status == 202
    assert [reason(i) for i in failed_items(mixed)] == [272]
    assert [value(i, "00081155") for i in stored_items(mixed)] == [small.sop]
    server.file_size_limit(None)
    assert web.store(g).status == 200
    assert web.retrieve(g) == g.bytes


def test_T068_padded_uid_is_the_same(web):
    g = dicom.capture(SOPInstanceUID="1.2.3.4")
    assert web.store(g).status == 200
    for padded in ("1.2.3.4 ", "1.2.3.4\0", "1.2.3.4  "):
        answer = web.store(g.with_(SOPInstanceUID=padded))
        assert answer.status == 409
        assert [reason(i) for i in failed_items(answer)] == [45070]


def test_padded_uids_stored_first(web):
    g = dicom.capture(StudyInstanceUID="1.2.3  ", SeriesInstanceUID="1.2.3.4 ")
    assert web.store(g).status in (200, 202)
    assert web.get("/studies/1.2.3/series/1.2.3.4/metadata").status == 200
    assert len(web.search("/studies?StudyInstanceUID=1.2.3")) == 1


def test_T070_put_into_an_empty_service(web, g):
    answer = web.store(g, method="PUT")
    assert answer.status == 200
    assert len(stored_items(answer)) == 1
    assert web.retrieve(g) == g.bytes


def test_T071_put_replaces(web, g):
    assert web.store(g).status == 200
    before = web.get(g.path + "/metadata")
    changed = g.with_(PatientName="Other^Name")
    answer = web.store(changed, method="PUT")
    assert answer.status == 200
    after = web.get(g.path + "/metadata")
    assert value(after.json()[0], "00100010")["Alphabetic"] == "Other^Name"
    assert int(after.headers["ETag"]) > int(before.headers["ETag"])
    assert [(r["action"], r["state"]) for r in web.feed()] == [
        ("Create", "Replaced"),
        ("Create", "Current"),
    ]
    assert web.retrieve(g) == changed.bytes
    assert web.search("/studies?PatientName=Anony%20Mous") == []
    assert len(web.search("/studies?PatientName=Other^Name")) == 1


def test_put_with_another_sop_class(web, g):
    assert web.store(g).status == 200
    changed = g.with_(SOPClassUID=dicom.CT_IMAGE)
    assert web.store(changed, method="PUT", study=g.study).status == 200
    assert value(web.metadata(g.path)[0], "00080016") == dicom.CT_IMAGE


def test_put_of_another_study_than_the_path(web, g):
    answer = web.store(g, method="PUT", study="1.2.3")
    assert answer.status == 409
    assert [reason(i) for i in failed_items(answer)] == [43265]


@pytest.mark.parametrize("dedup, rows", [("on", 1), ("off", 2)])
def test_put_of_the_same_bytes(serve, g, dedup, rows):
    web = serve({"store.put_dedup": dedup}).http
    assert web.store(g, method="PUT").status == 200
    answer = web.store(g, method="PUT")
    assert answer.status == 200
    assert len(stored_items(answer)) == 1
    assert len(web.feed()) == rows
    assert web.store(g.with_(StudyID="2"), method="PUT").status == 200
    assert len(web.feed()) == rows + 1


def test_parallel_puts_of_one_instance(web, g):
    """All answer; the last version in the feed is the one that is read."""
    versions = [g.with_(StudyID=str(n)) for n in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda v: web.store(v, method="PUT"), versions))
    assert {a.status for a in answers} <= {200, 409}
    stored = [v for v, a in zip(versions, answers, strict=True) if a.status == 200]
    for answer in answers:
        assert answer.status == 200 or reason(failed_items(answer)[0]) == 45071
    rows = web.feed()
    assert len(rows) == len(stored)
    assert [r["state"] for r in rows] == ["Replaced"] * (len(rows) - 1) + ["Current"]
    assert web.retrieve(g) in [v.bytes for v in stored]


# -- expiry --

EXPIRY = "msdicom-expiry-time-milliseconds"


def test_T072_expiry(web, g):
    assert web.store(g, headers={EXPIRY: "1000"}).status == 200
    assert web.get(f"/studies/{g.study}/metadata").status == 200
    wait_for(
        lambda: web.get(f"/studies/{g.study}/metadata").status == 404, 30, "the end of the study"
    )
    assert [r["action"] for r in web.feed()] == ["Create", "Delete"]


def test_expiry_counts_for_the_whole_study(web, g):
    r = g.fresh("series")
    assert web.store(g).status == 200
    assert web.store(r, headers={EXPIRY: "1", "msdicom-expiry-level": "Study"}).status == 200
    wait_for(lambda: web.search("/instances") == [], 30, "the end of the study")
    assert [r["action"] for r in web.feed()] == ["Create", "Create", "Delete", "Delete"]


def test_T073_a_later_store_cancels(web, g):
    marker = g.fresh()
    assert web.store(g, headers={EXPIRY: "1500"}).status == 200
    assert web.store(g.fresh("instance")).status == 200
    assert web.store(marker, headers={EXPIRY: "2000"}).status == 200
    wait_for(
        lambda: web.get(f"/studies/{marker.study}/metadata").status == 404, 30, "the marker's end"
    )
    assert web.get(f"/studies/{g.study}/metadata").status == 200
    assert len(web.search(f"/studies/{g.study}/instances")) == 2


def test_the_same_bytes_again_cancel_an_expiry(serve, g):
    web = serve({"store.put_dedup": "on"}).http
    marker = g.fresh()
    assert web.store(g, headers={EXPIRY: "1500"}).status == 200
    assert web.store(g, method="PUT").status == 200
    assert web.store(marker, headers={EXPIRY: "2000"}).status == 200
    wait_for(
        lambda: web.get(f"/studies/{marker.study}/metadata").status == 404, 30, "the marker's end"
    )
    assert web.get(f"/studies/{g.study}/metadata").status == 200


@pytest.mark.parametrize("value_", ["0", "x", "-5", "", "1.5", "9" * 30])
def test_T074_bad_expiry(web, g, value_):
    assert web.store(g, headers={EXPIRY: value_}).status == 400
    nothing_stored(web)


@pytest.mark.parametrize(
    "headers",
    [
        {EXPIRY: "1000", "msdicom-expiry-option": "Absolute"},
        {EXPIRY: "1000", "msdicom-expiry-level": "Series"},
    ],
)
def test_bad_expiry_options(web, g, headers):
    assert web.store(g, headers=headers).status == 400
    nothing_stored(web)


def test_expiry_survives_a_restart(serve, g):
    server = serve()
    assert server.http.store(g, headers={EXPIRY: "2000"}).status == 200
    server.restart()
    web = server.http
    wait_for(lambda: web.search("/studies") == [], 30, "the end of the study")


# -- preamble --

MAGICS = {"MZ": b"MZ", "ELF": b"\x7fELF", "TIFF LE": b"II*\0", "TIFF BE": b"MM\0*"}


@pytest.mark.parametrize("magic", MAGICS.values(), ids=MAGICS.keys())
def test_T076_dangerous_preamble(serve, magic):
    preamble = (magic + bytes(range(128)))[:128]
    g = dicom.capture().with_(preamble=preamble)
    on = serve().http
    assert on.store(g).status == 200
    assert on.retrieve(g) == bytes(128) + g.bytes[128:]


def test_T076_dangerous_preamble_kept(serve):
    g = dicom.capture().with_(preamble=b"MZ" + bytes(126))
    off = serve({"store.zero_preamble": "off"}).http
    assert off.store(g).status == 200
    assert off.retrieve(g) == g.bytes


def test_harmless_preamble_is_kept(web):
    g = dicom.capture().with_(preamble=bytes(range(128)))
    assert web.store(g).status == 200
    assert web.retrieve(g) == g.bytes


# -- many --


def test_T077_two_studies_in_one_request(web, g):
    other = g.fresh()
    assert web.store(g, other).status == 200
    assert {value(s, "0020000D") for s in web.search("/studies")} == {g.study, other.study}


def test_many_parts(web, g):
    parts = [g.fresh("instance", InstanceNumber=str(n)) for n in range(500)]
    answer = web.store(*parts)
    assert answer.status == 200
    assert [value(i, "00081155") for i in stored_items(answer)] == [p.sop for p in parts]
    assert web.get(f"/studies/{g.study}/metadata").headers["ETag"].endswith("-500")


def test_more_parts_than_are_taken(web):
    """2,000 parts, one more is refused and nothing is stored."""
    one = dicom.report()
    assert web.store(*[one] * 2001).status == 413
    nothing_stored(web)
    answer = web.store(*[one] * 2000)
    assert answer.status == 202
    assert (len(stored_items(answer)), len(failed_items(answer))) == (1, 1999)


@pytest.mark.parametrize("parts, all_told", [(200, True), (2000, False)])
def test_many_parts_with_many_findings(serve, parts, all_told):
    """Comments have room for 16 MiB; beyond, instances are stored and told without theirs."""
    server = serve()
    findings = {0x00110010: Element("LO", "OURS")}
    findings |= {0x00111000 + n: Element("DA", "no date") for n in range(200)}
    base = dicom.report().with_(findings)
    group = [base] + [base.fresh("instance") for _ in range(parts - 1)]
    server.http.store(dicom.report())
    server.reset_peak()
    before = server.memory_bytes("VmHWM")
    answer = server.http.store(*group)
    assert answer.status == 202
    items = stored_items(answer)
    assert [value(i, "00081155") for i in items] == [one.sop for one in group]
    assert all(value(i, "00081196") == 1 for i in items)
    told = [comments(i) for i in items]
    assert len(told[0]) == 200 and "(0011,1000)" in told[0][0]
    assert all(len(t) == 200 for t in told) == all_told
    if not all_told:
        size = sum(len(text) for t in told for text in t)
        assert (12 << 20) < size < (32 << 20), size
        assert told[-1] == []
    if not sanitized():
        assert server.memory_bytes("VmHWM") - before < 160 << 20
    assert "00111000" not in server.http.metadata(group[-1].path)[0]
    assert server.http.get(f"/studies/{base.study}/metadata").headers["ETag"].endswith(f"-{parts}")


def test_parallel_stores_of_one_study(web, g):
    parts = [g.fresh("instance") for _ in range(60)]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(web.store, parts))
    assert {a.status for a in answers} == {200}
    assert len(web.search(f"/studies/{g.study}/instances?limit=200")) == 60
    assert [r["sequence"] for r in web.feed()] == list(range(1, 61))


def test_answer_is_strict_json_with_odd_text(web, g):
    """A reason quotes the value: quotes, backslashes and control characters must not break it."""
    answer = web.store(g.with_(BodyPartExamined=b'a"\\b\x01\x02\xff ', SpecificCharacterSet="ISO_IR 100"))
    assert answer.status == 202
    json.loads(answer.body.decode("utf-8"))


def test_time_of_a_store_is_short(web, g):
    """Not a benchmark: a store must not wait for a worker's round."""
    started = time.monotonic()
    assert web.store(g).status == 200
    assert time.monotonic() - started < 5
