"""The DICOM files that the other tests are made of, judged by pydicom."""

import io

import pydicom
import pytest
from pydicom.encaps import generate_frames
from support import dicom

NATIVE = [dicom.EXPLICIT, dicom.IMPLICIT, dicom.BIG_ENDIAN, dicom.DEFLATED]


def read(instance):
    return pydicom.dcmread(io.BytesIO(instance.bytes))


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", NATIVE)
def test_every_encoding_reads_the_same(syntax, undefined):
    nested = {0x00081150: dicom.Element("UI", "1.2.3"), 0x00280010: dicom.Element("US", 258)}
    plain = dicom.capture(ReferencedStudySequence=[nested, {}])
    data = read(plain.with_(syntax=syntax, undefined=undefined))
    assert data.file_meta.TransferSyntaxUID == syntax
    wanted = read(plain)
    assert data.PixelData == wanted.PixelData == plain.pixels
    for element in wanted:
        assert data[element.tag].value == element.value, element.tag


def test_trio():
    trio = dicom.trio()
    data = [read(i) for i in trio]
    assert {d.StudyInstanceUID for d in data} == {trio.study}
    assert data[0].SeriesInstanceUID == data[1].SeriesInstanceUID != data[2].SeriesInstanceUID
    assert [(d.Rows, d.Columns, d.SamplesPerPixel) for d in data] == [(979, 985, 3)] * 3
    assert len(trio.g.pixels) == 2892945 and len(data[0].PixelData) == 2892946
    assert len({d.PixelData for d in data}) == 3


@pytest.mark.parametrize("table", [True, False])
def test_encapsulated(table):
    one = dicom.encapsulated([[b"aaaa"], [b"bbbbbb"], [b"cc"]], table)
    data = read(one)
    assert data.file_meta.TransferSyntaxUID == dicom.JPEG_BASELINE
    frames = list(generate_frames(data.PixelData, number_of_frames=3))
    assert frames == [b"aaaa", b"bbbbbb", b"cc"]


def test_changes_leave_the_original_alone():
    one = dicom.capture()
    before = one.bytes
    other = one.with_(PatientID="P2", PatientName=None)
    assert dicom.capture().bytes != before == one.bytes
    assert "PatientName" not in read(other) and read(other).PatientID == "P2"
    assert one.fresh("instance").series == one.series != one.fresh("series").series
