"""Contract section 5: storing, what is wrong with an instance (T046 to T062)."""

import re

import pytest
from support import dicom
from support.dicom import Element
from support.http import (
    ANY_DICOM,
    comments,
    failed_items,
    nothing_stored,
    reason,
    stored_items,
    value,
    warning,
)

EMPTY_SQ = {"vr": "SQ"}


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


@pytest.mark.parametrize(
    "changes, status",
    [
        ({"Modality": "ct"}, 200),  # v2 warns of these
        ({"SeriesInstanceUID": "1.02.3"}, 200),
        ({"StudyDate": "20200229\\x"}, 200),
        ({"StudyDate": "20200230"}, 409),  # and not of these
        ({"StudyDate": "20200101-20200102"}, 409),
    ],
)
def test_index_rules_v1(web, g, changes, status):
    g = g.with_(**changes)
    answer = web.at("/v1").store(g)
    assert answer.status == status
    if status == 409:
        assert [reason(i) for i in failed_items(answer)] == [43264]
        nothing_stored(web)
    else:
        ((keyword, values),) = changes.items()
        kept = web.metadata(g.path)[0][f"{dicom.KEYWORDS[keyword][0]:08X}"]["Value"]
        assert kept == values.split("\\")
        assert ("Warning" in answer.headers) == (len(kept) > 1)


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


def test_warning_header_names_the_host_of_the_urls(serve, g):
    """Also without a Host header, and with another one than the target's."""
    web = serve({"http.hosts": "a.example,b.example"}).http
    body = g.with_(StudyDescription="A\\B").bytes
    rest = (
        b"Accept: application/dicom+json\r\nContent-Type: application/dicom\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )
    own = f"{web.host}:{web.port}".encode()
    for start, host in (
        (b"PUT /v2/studies HTTP/1.0\r\n", own),
        (b"PUT http://a.example:99/v2/studies HTTP/1.1\r\nHost: b.example\r\n", b"a.example:99"),
        (b"PUT /v2/studies HTTP/1.1\r\nHost: b.example\r\n", b"b.example"),
    ):
        answer = web.raw(start + rest)
        assert b"\r\nWarning: 299 " + host + b': "' in answer, answer
        assert b"http://" + host + b"/v2/studies/" in answer, answer


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


CUT = "DICOM100: (7FE0,0010) - the file is cut off in this element, or what follows cannot be read"
ENCAPSULATED = dicom.encapsulated([[b"\xff\xd8ab\xff\xd9"]] * 3)


@pytest.mark.parametrize("kind", ["native", "encapsulated", "without its end"])
def test_cut_off_in_the_pixel_data(web, g, kind):
    """The header is whole and the file is kept, but nobody should take it for a whole one."""
    whole = g if kind == "native" else ENCAPSULATED.fresh()
    kept = whole.bytes[: -8 if kind == "without its end" else -20]
    answer = web.store(kept)
    assert answer.status == 202
    (item,) = stored_items(answer)
    assert warning(item) == 1
    assert comments(item) == [CUT]
    assert web.retrieve(whole) == kept
    assert web.store(whole.fresh()).status == 200


@pytest.mark.parametrize("kind", ["native", "encapsulated"])
@pytest.mark.parametrize("tail", ["00", "00" * 7, "00" * 4096, "feffdde000000000", "ff" * 512, "0a"])
def test_bytes_after_the_pixel_data(web, g, kind, tail):
    """Zeros are padding; of a delimiter too many, or anything else, the answer tells."""
    whole = g if kind == "native" else ENCAPSULATED.fresh()
    kept = whole.bytes + bytes.fromhex(tail)
    answer = web.store(kept)
    padding = set(tail) == {"0"}
    assert answer.status == (200 if padding else 202)
    (item,) = stored_items(answer)
    assert comments(item) == ([] if padding else [CUT])
    assert web.retrieve(whole) == kept


def test_cut_off_in_the_pixel_data_v1(web, g):
    answer = web.at("/v1").store(g.bytes[:-20])
    assert answer.status == 200
    assert [warning(i) for i in stored_items(answer)] == [None]


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
