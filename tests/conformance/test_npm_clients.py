"""dicomweb-client and dcmjs of npm, run by node; the scripts are in tests/clients."""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess

import pytest
from support import dicom
from support.http import value

CLIENTS = pathlib.Path(__file__).resolve().parents[1] / "clients"


def module_folders():
    """Where node looks: $NODE_PATH, and beside the scripts."""
    named = os.environ.get("NODE_PATH", "").split(os.pathsep)
    return [*(pathlib.Path(f) for f in named if f), CLIENTS / "node_modules"]


def node(script, *words):
    """The JSON that a script printed."""
    missing = None
    if shutil.which("node") is None:
        missing = "node is not installed"
    elif not any((folder / "dcmjs").is_dir() for folder in module_folders()):
        missing = "the packages of tests/clients/package-lock.json are not installed"
    if missing and os.environ.get("CI"):
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    done = subprocess.run(
        ["node", str(CLIENTS / script), *map(str, words)], capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return json.loads(done.stdout)


def sha(data):
    return hashlib.sha256(data).hexdigest()


def test_dicomweb_client(web, tmp_path):
    trio = dicom.trio(32, 20)
    files = []
    for n, instance in enumerate(trio):
        files.append(tmp_path / f"{n}.dcm")
        files[-1].write_bytes(instance.bytes)
    seen = node("dicomweb_client.js", web.base + "/v2", *files)
    assert [value(i, "00081155") for i in seen["stored"]["00081199"]["Value"]] == [
        i.sop for i in trio
    ]
    assert [value(i, "0020000D") for i in seen["studies"]] == [trio.study]
    assert len(seen["series"]) == 2
    assert len(seen["instances"]) == 3
    assert [value(i, "00080018") for i in seen["metadata"]] == [i.sop for i in trio]
    assert seen["study"] == [sha(i.bytes) for i in trio]
    assert seen["instance"] == sha(trio.g.bytes)
    assert seen["frame"] == sha(trio.g.pixels)
    assert value(seen["instanceMetadata"][0], "00080018") == trio.g.sop


def test_dcmjs_reads_the_same(web):
    nested = {
        0x00081150: dicom.Element("UI", "1.2.3"),
        0x00400275: dicom.Element("SQ", [{0x00400009: dicom.Element("SH", "STEP1")}]),
    }
    one = dicom.capture(
        PatientName="Doe^Jane",
        PatientSize="1.75",
        InstanceNumber="12",
        ReferencedStudySequence=[nested],
        SpecificCharacterSet="ISO_IR 192",
        StudyDescription="Größe".encode(),
    )
    assert web.store(one).status == 200
    seen = node("dcmjs_read.js", web.base + "/v2", one.path)
    assert {"PatientName", "ReferencedStudySequence", "StudyDescription"} <= set(seen["names"])
    assert seen["differences"] == []
