"""The dicomweb-client of PyPI, and pydicom reading what comes back."""

import io

import numpy
import pydicom
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset
from support import dicom


@pytest.fixture
def api(web):
    return DICOMwebClient(web.base + "/v2")


def read(instance):
    return pydicom.dcmread(io.BytesIO(instance.bytes))


def test_store_search_retrieve_delete(api):
    trio = dicom.trio(64, 48)
    # This client reads the answer of a store only when its type has no charset; ours has one, as
    # Azure's has (contract 1.5), so the answer is looked at in the other tests.
    api.store_instances([read(i) for i in trio])

    (study,) = api.search_for_studies(search_filters={"PatientID": "ID1"})
    study = Dataset.from_json(study)
    assert study.StudyInstanceUID == trio.study
    assert str(study.PatientName) == "Anony Mous"
    assert len(api.search_for_series(trio.study)) == 2
    assert len(api.search_for_instances(trio.study, trio.g.series)) == 2
    found = api.search_for_instances(limit=2, offset=1, fields=["Rows", "Columns"])
    assert [i["00280010"]["Value"] for i in found] == [[64], [64]]
    assert (
        len(api.search_for_studies(fuzzymatching=True, search_filters={"PatientName": "ano"})) == 1
    )

    whole = api.retrieve_study(trio.study, media_types=(("application/dicom", "*"),))
    assert {d.SOPInstanceUID for d in whole} == {i.sop for i in trio}
    one = api.retrieve_instance(trio.study, trio.b.series, trio.b.sop)
    assert one == read(trio.b)
    assert one.pixel_array.shape == (64, 48, 3)

    metadata = api.retrieve_study_metadata(trio.study)
    assert len(metadata) == 3
    for item, instance in zip(metadata, trio, strict=True):
        dataset = Dataset.from_json(item)
        wanted = read(instance)
        del wanted.PixelData
        wanted.pop("FileMetaInformationGroupLength", None)
        assert dataset == wanted
    assert len(api.retrieve_series_metadata(trio.study, trio.g.series)) == 2
    assert (
        api.retrieve_instance_metadata(trio.study, trio.g.series, trio.g.sop)["00080018"]["Value"][0]
        == trio.g.sop
    )

    api.delete_instance(trio.study, trio.g.series, trio.g.sop)
    assert len(api.search_for_instances(trio.study)) == 2
    api.delete_series(trio.study, trio.b.series)
    api.delete_study(trio.study)
    assert api.search_for_studies() == []


def test_frames(api, web):
    one = dicom.gray_frames(5, 16, 12)
    web.store(one)
    frames = api.retrieve_instance_frames(
        one.study, one.series, one.sop, frame_numbers=[2, 5],
        media_types=(("application/octet-stream", "*"),),
    )
    assert [numpy.frombuffer(f, numpy.uint8).tolist() for f in frames] == [[2] * 192, [5] * 192]


def test_iterated_retrieve(api, web):
    base = dicom.capture(16, 16)
    batch = [base.fresh("instance") for _ in range(30)]
    web.store(*batch)
    # several instances can only be had as stored (contract 6.3)
    found = api.iter_series(base.study, base.series, media_types=(("application/dicom", "*"),))
    seen = {d.SOPInstanceUID for d in found}
    assert seen == {b.sop for b in batch}


def test_errors(api):
    with pytest.raises(requests.HTTPError) as failure:
        api.retrieve_study("1.2.3")
    assert failure.value.response.status_code == 404
    with pytest.raises(requests.HTTPError) as failure:
        api.search_for_studies(search_filters={"NumberOfFrames": "1"})
    assert failure.value.response.status_code == 400


def test_a_rich_data_set(api):
    """Nested sequences, names in Japanese, private elements, every kind of number."""
    data = read(dicom.capture(8, 8))
    data.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    data.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    data.ImagePositionPatient = ["-1.5", "0", "2.25"]
    data.DiffusionBValue = 0.1
    item = Dataset()
    item.CodeValue = "121311"
    item.CodingSchemeDesignator = "DCM"
    inner = Dataset()
    inner.CodeMeaning = "Localizer"
    item.EquivalentCodeSequence = [inner]
    data.ProcedureCodeSequence = [item, Dataset()]
    block = data.private_block(0x0099, "DICOMLAKE TEST", create=True)
    block.add_new(1, "LO", "private")
    block.add_new(2, "FD", [1.5, -2.5])
    api.store_instances([data])
    found = Dataset.from_json(api.retrieve_study_metadata(data.StudyInstanceUID)[0])
    wanted = data.copy()
    del wanted.PixelData
    assert found.PatientName == wanted.PatientName
    for tag in ("ImagePositionPatient", "DiffusionBValue", "ProcedureCodeSequence"):
        assert found[tag].value == wanted[tag].value, tag
    assert found[0x0099, 0x1001].value == "private"
    assert list(found[0x0099, 0x1002].value) == [1.5, -2.5]
