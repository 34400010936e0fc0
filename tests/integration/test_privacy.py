"""Nothing of a patient reaches the log or a refusal, whatever is sent."""

import pytest
from support import dicom
from support.dicom import Element
from support.http import ANY_DICOM, DICOM_JSON

SECRETS = ["Zyxwvut", "Qponmlk", "SECRETID77", "19010203", "ACCSECRET"]


def recognisable(**changes):
    return dicom.capture(
        PatientName="Zyxwvut^Qponmlk",
        PatientID="SECRETID77",
        PatientBirthDate="19010203",
        AccessionNumber="ACCSECRET",
        **changes,
    )


def seen_in(text):
    return [s for s in SECRETS if s.lower() in text.lower()]


@pytest.mark.parametrize("version", ["/v1", "/v2"])
def test_bad_stores(serve, version):
    server = serve()
    web = server.http.at(version)
    bad = [
        recognisable(),
        recognisable(StudyDate="Zyxwvut"),
        recognisable(Modality="zyxwvut^qponmlk^SECRETID77"),
        recognisable(StudyInstanceUID="SECRETID77"),
        recognisable(SOPInstanceUID=None),
        recognisable().with_(PatientID="SECRETID77" * 10),
        recognisable().with_(PatientID="SECRETID77\\SECRETID77"),
        recognisable().with_(PatientName="Zyxwvut=" * 9),
        recognisable().with_(PatientBirthDate="19010203x"),
        recognisable().with_(syntax=dicom.IMPLICIT),
        recognisable().with_(syntax=dicom.DEFLATED).bytes[:600],
        recognisable().bytes[:700],
        recognisable().bytes[132:],
        recognisable().with_(
            ReferencedStudySequence=[{0x00100010: Element("PN", "Zyxwvut^" * 9)}]
        ),
        b"Zyxwvut^Qponmlk SECRETID77" * 100,
    ]
    for instance in bad:
        assert web.store(instance).status in (200, 202, 409)
        assert web.store(instance, method="PUT").status in (200, 202, 409)
    web.store(*bad)
    data = bytearray(recognisable().bytes)
    for position in range(132, len(data), 23):
        data[position] ^= 0x5A
        web.store(bytes(data))
        data[position] ^= 0x5A
    assert server.stop() == 0
    assert server.log().strip(), "the log must say something, or this test sees nothing"
    assert seen_in(server.log()) == []


def test_queries_and_paths(serve):
    server = serve()
    web = server.http
    g = recognisable()
    web.store(g)
    for path in (
        "/studies?PatientName=Zyxwvut^Qponmlk",
        "/studies?PatientID=SECRETID77",
        "/studies?PatientID=SECRETID77&PatientID=SECRETID77",
        "/studies?StudyDate=Zyxwvut",
        "/studies?PatientBirthDate=19010203-18000101",
        "/studies?PatientName=%22Zyxwvut&fuzzymatching=true",
        "/studies?Zyxwvut=1",
        "/studies?includefield=Zyxwvut",
        "/studies?limit=SECRETID77",
        "/studies?PatientID=%3cSECRETID77",
        "/studies/Zyxwvut/metadata",
        "/studies/1/series/SECRETID77/metadata",
        "/Zyxwvut",
        "/changefeed?startTime=SECRETID77",
    ):
        web.get(path)
    web.get(g.path, {**ANY_DICOM, "X-Patient": "Zyxwvut"})
    web.get(g.path + "/metadata")
    web.delete(g.path)
    web.store(g.fresh(), headers={"Content-Type": "application/Zyxwvut"})
    web.store(g.fresh(), headers={"msdicom-expiry-time-milliseconds": "SECRETID77"})
    assert server.stop() == 0
    assert server.log().count("/v2") + server.log().count("studies") > 0
    assert seen_in(server.log()) == []


def test_the_feed_of_the_deleted_says_nothing(serve):
    """Identifiers of a deleted instance stay, what it held does not: not even in the database."""
    server = serve({"store.deletion_delay": 0})
    g = recognisable()
    server.http.store(g)
    assert server.http.delete(g.path).status == 204
    assert seen_in(server.http.get("/changefeed", {}).text) == []
    assert server.http.get("/studies", DICOM_JSON).status == 204


def test_refusals_of_reads_do_not_quote(serve):
    web = serve().http
    for path in ("/studies?StudyDate=Zyxwvut", "/studies?PatientName=%22Zyxwvut&fuzzymatching=true"):
        answer = web.get(path)
        assert answer.status == 400
        assert seen_in(answer.text) == []
