"""Every file that pydicom ships, stored through HTTP.

The reader's own test (tests/conformance/dicom) writes down in pydicom_files.tsv what each file is;
here the service must say the same: stored, with a warning, or refused. And always: what was stored
comes back byte for byte, with metadata that is strict JSON, and nothing breaks the service.
"""

import json
import pathlib

import pydicom
import pytest
from support.http import ANY_DICOM, comments, failed_items, stored_items, value

RECORD = pathlib.Path(__file__).resolve().parent / "dicom" / "pydicom_files.tsv"


def shipped():
    """Files inside the installed package: what it would download is not asked for."""
    root = pathlib.Path(pydicom.__file__).parent / "data"
    names = sorted(
        p for p in (*root.glob("test_files/**/*"), *root.glob("charset_files/*")) if p.is_file()
    )
    return [p for p in names if p.suffix in (".dcm", "") or "dicom" in p.name.lower()]


FILES = shipped()


@pytest.fixture(scope="module")
def web(shared_serve):
    return shared_serve().http


def test_there_are_files():
    assert len(FILES) > 60


@pytest.mark.parametrize("path", FILES, ids=[p.name for p in FILES])
def test_file(web, path):
    data = path.read_bytes()
    answer = web.store_one(data)
    assert answer.status in (200, 202, 409), answer
    if answer.status == 409:
        (item,) = failed_items(answer)
        assert value(item, "00081197") in (43264, 45070)
        if value(item, "00081197") == 43264 and "00081155" in item:
            assert comments(item)
        return
    (item,) = stored_items(answer)
    url = value(item, "00081190")
    assert url.startswith(web.base)
    path_ = url[len(web.base) :]
    got = web.get(path_, ANY_DICOM, absolute=True)
    assert got.status == 200
    assert got.body == data or got.body[128:] == data[128:]
    metadata = web.get(path_ + "/metadata", absolute=True)
    assert metadata.status == 200
    (found,) = json.loads(metadata.body.decode("utf-8"))
    assert value(found, "00080018") == value(item, "00081155")
    assert list(found) == sorted(found)
    frame = web.get(path_ + "/frames/1", {"Accept": "*/*"}, absolute=True)
    assert frame.status in (200, 404, 406), frame
