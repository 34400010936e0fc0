"""The DICOM reader beside pydicom and DCMTK, over every file that pydicom ships. Offline.

`python test_reader.py` prints the table pydicom_files.tsv anew.
"""

import json
import pathlib
import shutil
import sys

import pydicom
import pytest
from pydicom.encaps import generate_fragmented_frames

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import judges  # noqa: E402

TABLE = pathlib.Path(__file__).resolve().with_name("pydicom_files.tsv")

# Whole files on which a judge and we part, with the row of docs/dicom-json.md that says why.
PYDICOM_APART = {"test_files/UN_sequence.dcm": "N2"}
DCMTK_APART = {
    "charset_files/chrSQEncoding.dcm": "N11",
    "test_files/SC_rgb_jpeg.dcm": "N10",
    "test_files/UN_sequence.dcm": "N2",
}
# Part 10 files that the reader refuses.
REFUSED = {
    "test_files/dicomdirtests/DICOMDIR-nooffset": "passes the end of its item",
    "test_files/rtplan_truncated.dcm": "the input ends inside the header",
}


def table_rows():
    files = judges.shipped_files()
    lines = judges.dump("verdict", *files.values())
    return [f"{name}\t{line}".rstrip() for name, line in zip(files, lines)]


HEAD = [
    "# What the store service does with each file that pydicom %s ships (contract 5.4 and 5.5)." % pydicom.__version__,
    "# file\tstored, warnings or refused\twhy: implicit (45063), no-patient-id, tags with a finding; truncated",
]


def test_the_table_is_what_the_reader_says():
    assert TABLE.read_text(encoding="utf-8").splitlines() == HEAD + table_rows()


def test_there_are_files():
    assert len(judges.shipped_files()) > 150
    assert len(judges.dicom_files()) > 130


def test_refused_files():
    files = judges.shipped_files()
    part10 = {n: p for n, p in files.items() if p.read_bytes()[128:132] == b"DICM"}
    refused = {}
    for name, line in zip(part10, judges.dump("json", *part10.values())):
        if not line.startswith("{"):
            refused[name] = line
    assert set(refused) == set(REFUSED)
    for name, words in REFUSED.items():
        assert words in refused[name]


@pytest.fixture(scope="module")
def ours():
    files = judges.dicom_files()
    return {n: json.loads(line) for n, line in zip(files, judges.dump("json", *files.values()))}


@pytest.fixture(scope="module")
def facts():
    files = judges.dicom_files()
    return {n: json.loads(line) for n, line in zip(files, judges.dump("facts", *files.values()))}


FILES = judges.dicom_files()


@pytest.mark.parametrize("name", FILES)
def test_json_as_pydicom_has_it(name, ours):
    theirs = judges.pydicom_json(judges.read_with_pydicom(FILES[name]))
    found = judges.differences(ours[name], theirs, loose=False)
    if name in PYDICOM_APART:
        assert found, "no longer apart: take it off the list"
        return
    assert found == []


@pytest.mark.parametrize("name", FILES)
def test_keys_ascend(name, ours):
    def check(data_set):
        assert list(data_set) == sorted(data_set)
        for element in data_set.values():
            if element["vr"] == "SQ":
                for item in element.get("Value", []):
                    check(item)
            assert element.get("Value") != []

    check(ours[name])


def before_pixels(path, folder):
    """A copy that ends where the pixel data begins: dcm2json has no JSON for encapsulated pixels."""
    ds = judges.read_with_pydicom(path)
    raw = ds.get_item(0x7FE00010) if 0x7FE00010 in ds else None
    copy = folder / "cut.dcm"
    if raw is None or ds.file_meta.get("TransferSyntaxUID", "").endswith(".1.99"):
        shutil.copy(path, copy)
    else:
        head = 8 if ds.original_encoding[0] else 12
        copy.write_bytes(path.read_bytes()[: raw.value_tell - head])
    return copy


@pytest.mark.parametrize("name", FILES)
def test_json_as_dcmtk_has_it(name, tmp_path):
    if shutil.which("dcm2json") is None:
        pytest.skip("dcm2json (Debian package dcmtk) is not installed")
    copy = before_pixels(FILES[name], tmp_path)
    theirs, complaint = judges.dcmtk_json(copy)
    if theirs is None and "character set" in complaint.lower():
        pytest.skip("this DCMTK cannot convert the character set (N11)")
    (line,) = judges.dump("json", copy)
    if name in DCMTK_APART:
        assert theirs is None or judges.differences(json.loads(line), theirs, loose=True)
        return
    assert theirs is not None, complaint
    assert judges.differences(json.loads(line), theirs, loose=True) == []


@pytest.mark.parametrize("name", FILES)
def test_frames_as_pydicom_has_them(name, facts):
    ds = judges.read_with_pydicom(FILES[name])
    known = facts[name]
    if "PixelData" not in ds or not len(ds.PixelData):
        assert not known["pixels"]
        return
    assert known["pixels"]
    if name == "test_files/badVR.dcm":
        assert known["frame_count"] == 1  # NumberOfFrames is '1A'
        return
    assert known["frame_count"] == int(ds.get("NumberOfFrames", 1) or 1)
    assert known["encapsulated"] == ds["PixelData"].is_undefined_length
    content = FILES[name].read_bytes()
    if known["deflated"]:
        assert known["indexed"]
        return
    frames = [b"".join(content[at : at + n] for at, n in one) if one else None for one in known["frames"]]
    if known["encapsulated"]:
        theirs = generate_fragmented_frames(ds.PixelData, number_of_frames=known["frame_count"])
        assert frames == [b"".join(one) for one in theirs]
        return
    if "Rows" not in ds:
        assert not known["indexed"]
        return
    size = ds.Rows * ds.Columns * ds.SamplesPerPixel * ds.BitsAllocated // 8
    if ds.PhotometricInterpretation == "YBR_FULL_422":
        size = size // 3 * 2
    for index, frame in enumerate(frames):
        assert frame == (ds.PixelData[index * size : (index + 1) * size] if frame is not None else None)
        assert frame is not None or known["truncated"]


def test_pydicom_dictionary_is_ours():
    """Every element of the dictionary, with its VRs and VM, is the one that pydicom knows."""
    from pydicom.datadict import dictionary_VM, keyword_for_tag

    rows = (judges.ROOT / "src/dict/data/elements.tsv").read_text().splitlines()
    for row in rows:
        tag, vrs, vm, keyword, _ = row.split("\t") if not row.startswith("#") else ("x", 0, 0, 0, 0)
        if "x" in tag:
            continue
        assert keyword_for_tag(int(tag, 16)) == keyword
        assert judges.known_vr(int(tag, 16)) == vrs.replace("/", " or ")
        assert dictionary_VM(int(tag, 16)) == vm


if __name__ == "__main__":
    print("\n".join(HEAD + table_rows()))
