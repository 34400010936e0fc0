"""Every file that pydicom ships, stored through HTTP.

dicom/pydicom_files.tsv says what the reader makes of each: stored, stored with warnings, refused, and
why. The service must do just that; what it stores comes back byte for byte, with metadata that is
strict JSON. PUT, because some of the files share their UIDs.
"""

import csv
import json
import pathlib
import re

import pydicom
import pytest
from support.http import (
    ANY_DICOM,
    DICOM_JSON,
    comments,
    failed_items,
    stored_items,
    value,
)

TABLE = pathlib.Path(__file__).resolve().parent / "dicom" / "pydicom_files.tsv"
DATA = pathlib.Path(pydicom.__file__).resolve().parent / "data"
STATUS = {"stored": 200, "warnings": 202, "refused": 409}
PUT = {**DICOM_JSON, "Content-Type": "application/dicom"}


def rows():
    with open(TABLE, encoding="utf-8", newline="") as f:
        lines = [line for line in f if not line.startswith("#")]
    return [(*row, "")[:3] for row in csv.reader(lines, delimiter="\t")]


@pytest.fixture(scope="module")
def web(shared_serve):
    return shared_serve().http


def test_there_are_files():
    assert len(rows()) > 150


def tags(item):
    """The tags that an item's comments name, in the form of the table."""
    found = (re.match(r"DICOM100: \((\w{4}),(\w{4})\) - ", c) for c in comments(item))
    return {(m.group(1) + m.group(2)).upper() for m in found}


@pytest.mark.parametrize("name, verdict, why", rows(), ids=[r[0] for r in rows()])
def test_file(web, name, verdict, why):
    data = (DATA / name).read_bytes()
    answer = web.request("PUT", "/studies", PUT, data)
    assert answer.status == STATUS[verdict], (why, answer)
    if verdict == "refused":
        assert [value(i, "00081197") for i in failed_items(answer)] == [43264]
        return
    (item,) = stored_items(answer)
    if verdict == "warnings":
        words = set(why.replace(",", " ").split())
        assert value(item, "00081196") == (45063 if "implicit" in words else 1)
        named = {w for w in words if re.fullmatch("[0-9A-F]{8}", w)}
        named |= {"00100020"} if "no-patient-id" in words else set()
        named |= {"7FE00010"} if "truncated" in words else set()
        assert tags(item) == named
    path = value(item, "00081190").removeprefix(web.base)
    got = web.get(path, ANY_DICOM, absolute=True)
    assert got.status == 200
    dual = data.startswith((b"II*\0", b"MM\0*"))  # DICOM and TIFF in one: its preamble is zeroed
    assert got.body == (bytes(128) + data[128:] if dual else data)
    metadata = web.get(path + "/metadata", absolute=True)
    assert metadata.status == 200
    (found,) = json.loads(metadata.body.decode("utf-8"))
    assert value(found, "00080018") == value(item, "00081155")
    assert list(found) == sorted(found)
    frame = web.get(path + "/frames/1", {"Accept": "*/*"}, absolute=True)
    assert frame.status in (200, 404, 406), frame
