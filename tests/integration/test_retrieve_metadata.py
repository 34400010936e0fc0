"""Contract section 6: retrieving metadata (T106 to T115)."""

import struct

import pytest
from support import dicom
from support.dicom import Element
from support.http import DICOM_JSON, value


def test_T106_study_metadata(full):
    answer = full.get(full.trio.g.study_path + "/metadata")
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
    path = full.trio.g.study_path + "/metadata"
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
    path = full.trio.g.study_path + "/metadata"
    etag = full.get(path).headers["ETag"]
    headers = {**DICOM_JSON, "If-None-Match": form.replace("{}", etag)}
    assert full.get(path, headers).status == status


def test_if_none_match_in_several_lines(full):
    path = full.trio.g.study_path + "/metadata"
    etag = full.get(path).headers["ETag"]
    lines = [("If-None-Match", '"x"'), ("If-None-Match", f'"{etag}"')]
    assert full.get(path, [*DICOM_JSON.items(), *lines]).status == 304


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
    answer = full.get(full.trio.g.series_path + "/metadata")
    assert [value(i, "00080018") for i in answer.json()] == [full.trio.g.sop, full.trio.r.sop]
    assert answer.headers["ETag"].endswith("-2")


def test_T110_metadata_without_accept(full):
    answer = full.get(full.trio.g.study_path + "/metadata", {})
    assert answer.status == 406
    assert answer.body == b""


def test_T111_T112_metadata_of_the_unknown(full):
    assert full.get(full.trio.g.study_path + "/series/9.9/metadata").status == 404
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
