"""What the contract has and the program does not do yet answers 501 with a clear sentence."""

import pytest
from support import dicom
from support.http import DICOM_JSON

LATER = [
    ("GET", "{instance}/rendered"),  # T128 to T138
    ("GET", "{instance}/frames/1/rendered"),
    ("POST", "/extendedquerytags"),  # T229 to T248
    ("GET", "/extendedquerytags"),
    ("GET", "/extendedquerytags/00101010"),
    ("PATCH", "/extendedquerytags/00101010"),
    ("DELETE", "/extendedquerytags/00101010"),
    ("GET", "/extendedquerytags/00101010/errors"),
    ("GET", "/operations/00000000000040008000000000000001"),  # T249 to T251
    ("POST", "/studies/$bulkUpdate"),  # T252 to T263
    ("POST", "/export"),  # T264 to T267
    ("POST", "/workitems?1.2.9"),  # T268 to T296
    ("GET", "/workitems"),
    ("GET", "/workitems/1.2.9"),
    ("POST", "/workitems/1.2.9"),
    ("PUT", "/workitems/1.2.9/state"),
    ("POST", "/workitems/1.2.9/cancelrequest"),
]


@pytest.fixture(scope="module")
def one(shared_serve):
    """A client of a service with one small instance, `.instance`."""
    web = shared_serve().http
    web.instance = dicom.capture()
    assert web.store(web.instance).status == 200
    return web


@pytest.mark.parametrize("method, path", LATER)
def test_not_yet(one, method, path):
    path = path.replace("{instance}", one.instance.path)
    body = b"[{}]" if method in ("POST", "PUT", "PATCH") else None
    answer = one.request(method, path, {**DICOM_JSON, "Content-Type": "application/json"}, body)
    assert answer.status == 501
    assert answer.type.startswith("text/plain")
    assert answer.text.endswith(".") and "\n" not in answer.text.strip()


@pytest.mark.parametrize("method, path", LATER)
def test_methods_of_such_routes_are_known(one, method, path):
    path = path.replace("{instance}", one.instance.path).split("?")[0]
    answer = one.request("PROPFIND", path, DICOM_JSON)
    assert answer.status == 405
    assert method in {m.strip() for m in answer.headers["Allow"].split(",")}


def test_versions_of_a_route_of_one_version(one):
    answer = one.request("POST", "/studies/$bulkUpdate", DICOM_JSON, b"{}")
    assert answer.headers["api-supported-versions"] == "2"
    assert one.at("/v1").request("POST", "/studies/$bulkUpdate", DICOM_JSON, b"{}").status == 404


@pytest.mark.parametrize("condition", [{"If-Match": '"0-0"'}, {"If-None-Match": "*"}])
def test_replacing_on_a_condition(one, condition):
    changed = one.instance.with_(StudyID="2")
    answer = one.store(changed, method="PUT", headers=condition)
    assert answer.status == 501
    assert one.retrieve(one.instance) == one.instance.bytes


def test_T262_bulk_update_is_not_in_v1(one):
    assert one.at("/v1").request("POST", "/studies/$bulkUpdate", DICOM_JSON, b"{}").status == 404


@pytest.mark.parametrize(
    "syntax, target",
    [
        (dicom.EXPLICIT, dicom.JPEG_2000_LOSSLESS),  # T092
        (dicom.JPEG_BASELINE, dicom.EXPLICIT),  # T093
        (dicom.RLE, dicom.JPEG_2000_LOSSLESS),  # T094
        (dicom.IMPLICIT, dicom.EXPLICIT),
        (dicom.BIG_ENDIAN, dicom.EXPLICIT),
    ],
)
def test_T092_T093_T094_transcoding(web, syntax, target):
    """Where the contract converts: 501 until it is there, never other bytes than asked for."""
    if syntax in (dicom.JPEG_BASELINE, dicom.RLE):
        instance = dicom.encapsulated([[b"\xff\xd8ab\xff\xd9"]], syntax=syntax)
    else:
        instance = dicom.capture().with_(syntax=syntax)
    assert web.store(instance).status in (200, 202)
    answer = web.get(instance.path, {"Accept": f"application/dicom; transfer-syntax={target}"})
    assert answer.status == 501
    assert answer.type.startswith("text/plain") and answer.text
    star = {"Accept": f"application/dicom; transfer-syntax={target};q=0.5, application/dicom; transfer-syntax=*"}
    assert web.get(instance.path, star).body == instance.bytes


def test_T125_frame_as_jpeg_2000(one):
    accept = {"Accept": 'multipart/related; type="image/jp2"'}
    assert one.get(one.instance.path + "/frames/1", accept).status in (406, 501)


def test_jpeg_2000_frame_that_is_stored_so(web):
    instance = dicom.encapsulated([[b"\xff\x4f\xff\x51j2k1"]], syntax=dicom.JPEG_2000_LOSSLESS)
    assert web.store(instance).status == 200
    accept = {"Accept": 'multipart/related; type="image/jp2"'}
    answer = web.get(instance.path + "/frames/1", accept)
    assert answer.status == 200
    (part,) = answer.parts()
    assert part.headers["content-type"] == (
        "image/jp2; transfer-syntax=1.2.840.10008.1.2.4.90"
    )
    assert part.body == b"\xff\x4f\xff\x51j2k1"
