"""Contract section 6: retrieving files, whole and in ranges (T078 to T101)."""

import pytest
from support import dicom
from support.http import ANY_DICOM, ANY_MULTIPART, DICOM_JSON, media_type

OCTETS_ANY = {"Accept": "application/octet-stream; transfer-syntax=*"}
J2K = dicom.JPEG_2000_LOSSLESS
HTJ2K = dicom.HTJ2K
LE = dicom.EXPLICIT

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
    path = full.trio.g.study_path if level == "study" else full.trio.g.series_path
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
    answer = full.get(full.trio.g.study_path, ANY_MULTIPART)
    assert answer.status == 200
    parts = answer.parts()
    assert [p.body for p in parts] == [i.bytes for i in full.trio]
    assert [p.headers["content-location"] for p in parts] == [
        f"{full.base}/v2{i.path}" for i in full.trio
    ]


def test_T086_study_of_many_in_one_syntax(full):
    answer = full.get(full.trio.g.study_path, {"Accept": 'multipart/related; type="application/dicom"'})
    assert answer.status == 406


def test_study_with_anything(full):
    assert len(full.get(full.trio.g.study_path, {"Accept": "*/*"}).parts()) == 3


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
    for path in (full.trio.g.study_path, full.trio.b.series_path):
        assert full.get(path, {"Accept": "application/dicom"}).status == 406
        assert full.get(path, ANY_DICOM).status == 406


def test_T089_series(full):
    answer = full.get(full.trio.g.series_path, ANY_MULTIPART)
    assert answer.status == 200
    assert [p.body for p in answer.parts()] == [full.trio.g.bytes, full.trio.r.bytes]
    answer = full.get(full.trio.b.series_path, ANY_MULTIPART)
    assert [p.body for p in answer.parts()] == [full.trio.b.bytes]


@pytest.mark.parametrize("path", ["/studies/9.9", "/studies/9.9/series/9", "/studies/{s}/series/9.9"])
def test_T090_unknown(full, path):
    answer = full.get(path.replace("{s}", full.trio.study), ANY_MULTIPART)
    assert answer.status == 404
    assert answer.type.startswith("text/plain")


def test_T091_instance_under_another_series(full):
    g, b = full.trio.g, full.trio.b
    path = b.series_path + f"/instances/{g.sop}"
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


def test_request_original_header(full):
    g = full.trio.g
    for text, status in (("true", 200), ("FALSE", 200), ("yes", 400), ("1", 400)):
        headers = {**ANY_DICOM, "msdicom-request-original": text}
        assert full.get(g.path, headers).status == status
        headers = {**DICOM_JSON, "msdicom-request-original": text}
        assert full.get(g.path + "/metadata", headers).status == status
    headers = {**OCTETS_ANY, "msdicom-request-original": "nonsense"}
    assert full.get(g.path + "/frames/1", headers).status == 200


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


@pytest.mark.parametrize("syntax", [dicom.JPEG_BASELINE, dicom.RLE, HTJ2K, dicom.IMPLICIT])
def test_any_stored_syntax_asked_by_name(web, syntax):
    if syntax == dicom.IMPLICIT:
        one = dicom.capture().with_(syntax=syntax)
    else:
        one = dicom.encapsulated([[b"\xff\xd8ab\xff\xd9"]], syntax=syntax)
    web.store(one)
    for kind in ("application/dicom", 'multipart/related; type="application/dicom"'):
        answer = web.get(one.path, {"Accept": f"{kind}; transfer-syntax={syntax}"})
        assert answer.status == 200
        assert one.bytes in answer.body
        assert web.get(one.path, {"Accept": f"{kind}; transfer-syntax=1.2.3"}).status == 406


@pytest.mark.parametrize(
    "accept",
    [
        f"application/dicom; transfer-syntax={LE}, application/dicom; transfer-syntax=*;q=0.5",
        "application/dicom, */*;q=0.1",
        f"application/dicom; transfer-syntax={LE}, application/dicom; transfer-syntax={J2K};q=0.2",
    ],
)
def test_what_needs_no_conversion_is_taken_when_the_client_takes_it(web, accept):
    one = dicom.encapsulated([[b"\xff\x4f\xff\x51j2k1"]], syntax=J2K)
    web.store(one)
    answer = web.get(one.path, {"Accept": accept})
    assert answer.status == 200
    assert one.bytes in answer.body
    assert f"transfer-syntax={J2K}".encode() in answer.body or J2K in answer.type


def test_a_study_as_the_last_entry_takes_it(full):
    accept = {"Accept": 'multipart/related; type="application/dicom", */*;q=0.1'}
    answer = full.get(full.trio.g.study_path, accept)
    assert answer.status == 200
    assert len(answer.parts()) == 3


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
    """Malformed or several: the whole file, which RFC 9110 section 14.2 allows."""
    answer = ranged(full, spec)
    assert answer.status == 200
    assert "Content-Range" not in answer.headers
    assert answer.body == full.trio.g.bytes


@pytest.mark.parametrize("spec", ["bytes=0-9", "bytes=99999999-"])
def test_ranges_are_of_get_alone(full, spec):
    """HEAD tells of the whole (RFC 9110 section 14.2)."""
    answer = full.request("HEAD", full.trio.g.path, {**RANGE, "Range": spec})
    assert answer.status == 200
    assert "Content-Range" not in answer.headers
    assert int(answer.headers["Content-Length"]) == len(full.trio.g.bytes)


def test_range_says_it_is_possible(full):
    assert full.get(full.trio.g.path, RANGE).headers["Accept-Ranges"] == "bytes"


def test_the_rest_of_another_edition(web):
    """Who goes on with a download must not get the end of a file that replaced it."""
    one = dicom.capture()
    web.store(one)
    seen = web.get(one.path, RANGE).headers["ETag"]
    rest = {**RANGE, "Range": "bytes=500-", "If-Match": f'"{seen}"'}
    answer = web.get(one.path, rest)
    assert (answer.status, answer.body) == (206, one.bytes[500:])
    assert web.store(one.with_(StudyID="2"), method="PUT").status == 200
    for method in ("GET", "HEAD"):
        for headers in (rest, {**RANGE, "If-Match": f'W/"{seen}"'}, {**rest, "If-None-Match": "*"}):
            assert web.request(method, one.path, headers).status == 412
    now = web.get(one.path, RANGE).headers["ETag"]
    assert web.get(one.path, {**rest, "If-Match": f'"x", "{now}"'}).status == 206
    assert web.get(one.path, {**RANGE, "If-Match": "*"}).status == 200
    assert web.get("/studies/1/series/2/instances/3", rest).status == 404


def test_not_modified(web):
    """A viewer's cache asks again with the ETag that it was given."""
    one = dicom.capture()
    web.store(one)
    etag = web.get(one.path, ANY_DICOM).headers["ETag"]
    for form in (etag, f'"{etag}"', f'W/"{etag}"', f'"x", "{etag}"', "*"):
        for more in ({}, {"Range": "bytes=0-9"}):
            answer = web.get(one.path, {**ANY_DICOM, **more, "If-None-Match": form})
            assert answer.status == 304, form
            assert answer.body == b""
            assert answer.headers["ETag"] == etag
    assert web.get(one.path, {**ANY_DICOM, "If-None-Match": '"x"'}).status == 200
    assert web.get(one.path, {**ANY_MULTIPART, "If-None-Match": etag}).status == 200
    assert web.store(one.with_(StudyDescription="Other"), method="PUT").status == 200
    answer = web.get(one.path, {**ANY_DICOM, "If-None-Match": etag})
    assert answer.status == 200
    assert answer.headers["ETag"] != etag
    assert web.delete(one.path).status == 204
    assert web.get(one.path, {**ANY_DICOM, "If-None-Match": "*"}).status == 404


@pytest.mark.parametrize(
    "form, status",
    [
        ("{}", 206),
        ('"{}"', 206),
        ('"0"', 200),
        ('W/"{}"', 200),  # too weak to put two answers together (RFC 9110 section 13.1.5)
        ("*", 200),
        ('"0", "{}"', 200),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 200),
    ],
)
def test_if_range(full, form, status):
    etag = full.get(full.trio.g.path, RANGE).headers["ETag"]
    headers = {**RANGE, "Range": "bytes=0-9", "If-Range": form.format(etag)}
    answer = full.get(full.trio.g.path, headers)
    assert answer.status == status
    assert answer.body == (full.trio.g.bytes[:10] if status == 206 else full.trio.g.bytes)
