"""docs/clients.md: what it tells people to type is typed; the requests of a viewer it has a configuration for."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from support import dicom
from support.http import DICOM_JSON
from support.orthanc import Orthanc, find
from support.pages import snippet
from support.server import ROOT, wait_for

PAGE = "docs/clients.md"
ADDRESS = "http://127.0.0.1:8080"


def ct():
    return dicom.capture(16, 16, PatientName="Doe^Jane").with_(SOPClassUID=dicom.CT_IMAGE, Modality="CT")


def typed(code, web):
    """The code for the service under test."""
    assert ADDRESS in code
    return code.replace(ADDRESS, web.base)


def test_python(web):
    studies = [ct(), ct()]
    for one in studies:
        assert web.store(one).status == 200
    code = typed(snippet(PAGE, "python", "retrieve_study"), web)
    code += "    print('frame', len(frame))\n"
    code += "    one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID + '.1'\n"
    code += "    print('stored', len(client.store_instances([one])))\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for one in studies:
        assert re.search(rf"^{re.escape(one.study)} 1 CT \(16, 16", done.stdout, re.M), done.stdout
    assert done.stdout.count(f"frame {len(studies[0].pixels)}\nstored 0\n") == 2  # its result is empty
    assert len(web.search("/instances")) == 4


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(web, tmp_path):
    one = ct()
    (tmp_path / "image.dcm").write_bytes(one.bytes)
    names = {"STUDY": one.study, "SERIES": one.series, "SOP": one.sop}
    script = "set -e\ncurl() { command curl --fail --max-time 60 \"$@\"; }\n"
    script += typed(snippet(PAGE, "sh", "--data-binary"), web)
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120, env={**os.environ, **names}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(one.sop) >= 3  # stored, metadata, feed
    assert (tmp_path / "one.dcm").read_bytes() == one.bytes
    assert one.bytes in (tmp_path / "study.multipart").read_bytes()
    assert web.search("/studies") == []  # the last line


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_feed(web):
    assert web.store(ct()).status == 200
    script = f"set -e\nurl={web.base}/v2\n" + snippet(PAGE, "sh", "afterSequence").replace("curl ", "curl --fail ")
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[][]{") and '"sequence":1' in done.stdout


@pytest.mark.skipif(None in find(), reason="orthanc and orthanc-dicomweb are not installed")
def test_orthanc_passes_on(web, tmp_path):
    """Its configuration and its script; the instance comes over its REST interface as it would over DIMSE."""
    config = json.loads("{" + typed(snippet(PAGE, "json", "LuaScripts"), web) + "}")
    (script,) = config["LuaScripts"]
    assert script == "/etc/orthanc/to-dicomlake.lua"
    path = tmp_path / "to-dicomlake.lua"
    path.write_text(snippet(PAGE, "lua", "OnStoredInstance"))
    config["LuaScripts"] = [str(path)]
    orthanc = Orthanc(tmp_path / "orthanc", web.base + "/v2/", config=config)
    try:
        one = ct()
        orthanc.post("/instances", one.bytes)
        wait_for(lambda: web.search(f"/studies?StudyInstanceUID={one.study}"), 30, "what Orthanc passes on")
        assert web.retrieve(one) == one.bytes
        (study,) = orthanc.get("/studies")
        assert web.delete(f"/studies/{one.study}").status == 204
        words = re.search(r"`curl -d '(\{.*?\})' http://127\.0\.0\.1:8042(\S+)`", (ROOT / PAGE).read_text())
        orthanc.post(words.group(2), json.loads(words.group(1).replace("STUDY-ID", study)))
        assert len(web.search("/studies")) == 1
    finally:
        orthanc.stop()


def test_ohif(serve):
    """The list of studies, the series of one, metadata and a frame, asked for as the viewer does."""
    (origin,) = re.findall(r"--set cors\.origins=(\S+?)`", (ROOT / PAGE).read_text())
    web = serve({"cors.origins": origin}).http
    one = ct()
    assert web.store(one).status == 200
    configuration = snippet(PAGE, "js", "qidoRoot")
    assert "supportsWildcard: false" in configuration and "'wadors'" in configuration
    frame = 'multipart/related; type="application/octet-stream"; transfer-syntax="*"'
    fields = "includefield=00081030%2C00080060%2C00080090%2C00100030"
    for path, accept in [
        (f"/studies?limit=101&offset=0&fuzzymatching=true&PatientName=ja&{fields}", None),
        (f"/studies?StudyInstanceUID={one.study}&limit=101&offset=0&fuzzymatching=true&{fields}", None),
        (f"/studies/{one.study}/series?includefield=0008103E%2C00080021", None),
        (f"/studies/{one.study}/series/{one.series}/metadata", None),
        (f"{one.path}/frames/1", frame),
    ]:
        headers = {**(DICOM_JSON if accept is None else {"Accept": accept}), "Origin": origin}
        asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "accept"}
        allowed = web.request("OPTIONS", path.split("?")[0], {"Origin": origin, **asked})
        assert allowed.status == 204 and allowed.headers["Access-Control-Allow-Headers"]
        answer = web.get(path, headers)
        assert answer.status == 200, path
        assert answer.headers["Access-Control-Allow-Origin"] == origin


@pytest.mark.parametrize(
    "accept, status",
    [
        (None, 406),
        ("application/json", 406),
        ('multipart/related; type="application/dicom"', 406),
        ('multipart/related; type="application/dicom"; transfer-syntax=*', 200),
    ],
)
def test_what_surprises(web, accept, status):
    one = ct()
    assert web.store(one, one.fresh("instance")).status == 200
    again = web.store(one)
    assert again.status == 409 and "45070" in again.text
    assert web.get("/studies?PatientName=Doe*", DICOM_JSON).status == 204
    path = "/studies" if accept == "application/json" else f"/studies/{one.study}"
    assert web.get(path, {} if accept is None else {"Accept": accept}).status == status
