"""Orthanc's DICOMweb client sends to the service, asks it, fetches from it and deletes."""

import os
import urllib.request

import pytest
from support import dicom
from support.orthanc import Orthanc, find
from support.server import wait_for


@pytest.fixture(scope="module")
def pair(shared_serve, tmp_path_factory):
    """(client of our service, Orthanc that knows it as "service")."""
    program, plugin = find()
    if program is None or plugin is None:
        if os.environ.get("CI"):
            pytest.fail("orthanc and orthanc-dicomweb are not installed")
        pytest.skip("orthanc and orthanc-dicomweb are not installed")
    web = shared_serve().http
    orthanc = Orthanc(tmp_path_factory.mktemp("orthanc"), web.base + "/v2/")
    yield web, orthanc
    orthanc.stop()


def upload(orthanc, instance):
    return orthanc.post("/instances", instance.bytes)["ID"]


def ct(instance, number):
    """A small CT slice, which Orthanc takes for an image of its own."""
    return instance.fresh("instance", InstanceNumber=str(number)).with_(
        SOPClassUID=dicom.CT_IMAGE, Modality="CT"
    )


def test_send_ask_fetch_delete(pair):
    web, orthanc = pair
    base = dicom.capture(16, 16, PatientID="ORTHANC1", PatientName="Peer^Test")
    slices = [ct(base, n) for n in range(1, 5)]
    ids = [upload(orthanc, s) for s in slices]

    orthanc.post("/dicom-web/servers/service/stow", {"Resources": ids})
    assert len(web.search(f"/studies/{base.study}/instances")) == 4
    sent = {s.sop: web.retrieve(s) for s in slices}
    for i, s in zip(ids, slices, strict=True):
        with urllib.request.urlopen(f"{orthanc.base}/instances/{i}/file") as answer:
            assert answer.read() == sent[s.sop]

    found = orthanc.post(
        "/dicom-web/servers/service/qido", {"Uri": "/studies", "Arguments": {"PatientID": "ORTHANC1"}}
    )
    assert len(found) == 1
    assert found[0]["0020000D"]["Value"] == base.study
    assert found[0]["00100010"]["Value"] == "Peer^Test"
    found = orthanc.post(
        "/dicom-web/servers/service/qido",
        {"Uri": f"/studies/{base.study}/instances", "Arguments": {"limit": "2"}},
    )
    assert len(found) == 2

    for i in ids:
        orthanc.call("DELETE", f"/instances/{i}")
    assert orthanc.get("/instances") == []
    orthanc.post(
        "/dicom-web/servers/service/retrieve", {"Resources": [{"Study": base.study}]}
    )
    assert sorted(orthanc.get("/instances")) == sorted(ids)
    for i, s in zip(ids, slices, strict=True):
        with urllib.request.urlopen(f"{orthanc.base}/instances/{i}/file") as answer:
            assert answer.read() == s.bytes

    orthanc.post(
        "/dicom-web/servers/service/delete",
        {"Level": "Study", "StudyInstanceUID": base.study},
    )
    wait_for(lambda: web.get(f"/studies/{base.study}").status != 200, 60, "the delete")
    assert web.search("/studies?PatientID=ORTHANC1") == []


def test_send_a_study_in_chunks(pair):
    """120 instances of 200 KB: Orthanc sends with chunked transfer."""
    web, orthanc = pair
    base = dicom.capture(260, 260, PatientID="ORTHANC2")
    slices = [ct(base, n) for n in range(120)]
    for s in slices:
        upload(orthanc, s)
    study = orthanc.post("/tools/lookup", base.study.encode())[0]["ID"]
    orthanc.post("/dicom-web/servers/service/stow", {"Resources": [study]})
    assert len(web.search(f"/studies/{base.study}/instances?limit=200")) == 120
    assert web.retrieve(slices[77]) == slices[77].bytes


def test_retrieve_by_series_and_instance(pair):
    web, orthanc = pair
    base = dicom.capture(16, 16, PatientID="ORTHANC3")
    one, two = ct(base, 1), ct(base, 2)
    other = ct(base, 3).with_(SeriesInstanceUID=dicom.uid())
    assert web.store(one, two, other).status == 200
    before = set(orthanc.get("/instances"))
    orthanc.post(
        "/dicom-web/servers/service/retrieve",
        {"Resources": [{"Study": base.study, "Series": other.series}]},
    )
    assert len(set(orthanc.get("/instances")) - before) == 1
    orthanc.post(
        "/dicom-web/servers/service/retrieve",
        {"Resources": [{"Study": base.study, "Series": one.series, "Instance": two.sop}]},
    )
    assert len(set(orthanc.get("/instances")) - before) == 2


def test_metadata_through_orthanc(pair):
    web, orthanc = pair
    base = dicom.capture(16, 16, PatientID="ORTHANC4")
    assert web.store(base).status == 200
    found = orthanc.post(
        "/dicom-web/servers/service/get",
        {
            "Uri": f"/studies/{base.study}/metadata",
            "HttpHeaders": {"Accept": "application/dicom+json"},
        },
    )
    assert [i["00080018"]["Value"][0] for i in found] == [base.sop]
