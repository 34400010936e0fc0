"""Contract section 7: searching (T140 to T184)."""

from urllib.parse import quote

import pytest
from support import dicom
from support.http import DICOM_JSON, value

STUDY_DEFAULT = set(
    "00080020 00080050 00080090 00081030 00100010 00100020 00100030 0020000D".split()
)
SERIES_DEFAULT = set("00080060 00081090 0020000E 00400244".split())
INSTANCE_DEFAULT = {"00080018"}
STUDY_ALL = set(
    "00080005 00080020 00080030 00080050 00080056 00080063 00080090 00080201 00081030 00081032"
    " 00081060 00081080 00081110 00100010 00100020 00100030 00100040 00101010 00101020 00101030"
    " 00102180 001021B0 0020000D 00200010".split()
)
SERIES_ALL = set(
    "00080005 00080021 00080031 00080060 00080201 0008103E 0020000E 00200011 00200060 00400244"
    " 00400245 00400275 00081090".split()
)
INSTANCE_ALL = set(
    "00080005 00080016 00080018 00080056 00080201 00200013 00280008 00280010 00280011"
    " 00280100".split()
)
STUDY_V1 = set(
    "00080005 00080020 00080030 00080050 00080056 00080090 00080201 00100010 00100020 00100030"
    " 00100040 0020000D 00200010".split()
)
SERIES_V1 = set(
    "00080005 00080060 00080201 0008103E 0020000E 00400244 00400245 00400275".split()
)


@pytest.fixture(scope="module")
def trio(shared_serve):
    """A client of a service with G, R and B (small) as `.trio`."""
    web = shared_serve().http
    t = dicom.trio(8, 8)
    more = {
        "SeriesDescription": "Sample series",
        "ManufacturerModelName": "Model 7",
        "PerformedProcedureStepStartDate": "20200923",
        "SpecificCharacterSet": "ISO_IR 100",
    }
    web.trio = dicom.Trio(*(i.with_(**more) for i in t))
    assert web.store(*web.trio).status == 200
    return web


def uids(found, tag="0020000D"):
    return [value(item, tag) for item in found]


# -- resources and what they return --


def test_T140_empty_service(web):
    for path in ("/studies", "/series", "/instances"):
        answer = web.get(path)
        assert answer.status == 204
        assert answer.body == b""


def test_T141_studies(trio):
    answer = trio.get("/studies")
    assert answer.status == 200
    assert answer.type == "application/dicom+json; charset=utf-8"
    (found,) = answer.json()
    assert set(found) == STUDY_DEFAULT
    assert list(found) == sorted(found)
    assert found["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Anony Mous"}]}
    assert found["00080020"] == {"vr": "DA", "Value": ["20200922"]}
    assert found["0020000D"] == {"vr": "UI", "Value": [trio.trio.study]}


def test_attributes_that_are_not_there_are_left_out(web):
    g = dicom.capture(StudyDescription=None, AccessionNumber=None)
    web.store(g)
    assert set(web.search("/studies")[0]) == STUDY_DEFAULT - {"00081030", "00080050"}


def test_T142_no_accept(trio):
    assert trio.get("/studies", {}).status == 406


def test_xml_is_not_spoken(trio):
    assert trio.get("/studies", {"Accept": "application/dicom+xml"}).status == 406


def test_T172_series(trio):
    found = trio.search("/series")
    assert len(found) == 2
    for item in found:
        assert set(item) == STUDY_DEFAULT | SERIES_DEFAULT
    t = trio.trio
    assert uids(found, "0020000E") == [t.b.series, t.g.series]


def test_T173_series_of_a_study(trio):
    found = trio.search(f"/studies/{trio.trio.study}/series")
    assert len(found) == 2
    for item in found:
        assert set(item) == SERIES_DEFAULT | {"0020000D"}


def test_instances(trio):
    found = trio.search("/instances")
    assert len(found) == 3
    for item in found:
        assert set(item) == STUDY_DEFAULT | SERIES_DEFAULT | INSTANCE_DEFAULT
    assert uids(found, "00080018") == [i.sop for i in reversed(list(trio.trio))]


def test_T177_instances_of_a_study(trio):
    found = trio.search(f"/studies/{trio.trio.study}/instances")
    assert len(found) == 3
    for item in found:
        assert set(item) == SERIES_DEFAULT | INSTANCE_DEFAULT | {"0020000D"}


def test_T178_instances_of_a_series(trio):
    g = trio.trio.g
    found = trio.search(f"/studies/{g.study}/series/{g.series}/instances")
    assert len(found) == 2
    for item in found:
        assert set(item) == INSTANCE_DEFAULT | {"0020000D", "0020000E"}


@pytest.mark.parametrize(
    "path",
    [
        "/studies/9.9/series",  # T179
        "/studies/9.9/instances",
        "/studies/9.9/series/9.8/instances",
        "/studies/{s}/series/9.8/instances",
    ],
)
def test_T179_unknown_parent(trio, path):
    assert trio.search(path.replace("{s}", trio.trio.study)) == []


@pytest.mark.parametrize(
    "path", ["/studies/1.2.A/series", "/studies/1.2.A/instances", "/studies/1/series/x/instances"]
)
def test_T183_malformed_parent(trio, path):
    assert trio.get(path).status == 400


def test_T184_v1_defaults(trio):
    v1 = trio.at("/v1")
    (study,) = v1.search("/studies")
    present = set(trio.metadata(trio.trio.g.path)[0])
    assert set(study) == STUDY_V1 & present
    assert set(v1.search("/series")[0]) == (STUDY_V1 | SERIES_V1) & present
    assert set(v1.search("/instances")[0]) == (STUDY_V1 | SERIES_V1 | INSTANCE_ALL) & present


# -- parameters --


@pytest.mark.parametrize(
    "query, count",
    [
        ("PatientID=id1", 1),  # T143
        ("PatientID=ID1", 1),
        ("00100020=ID1", 1),  # T144
        ("PatientID=ID%2A", 0),  # T146
        ("PatientID=ID*", 0),
        ("PatientID=ID?", 0),
        ("PatientID=ID1%20%20", 1),
        ("PatientID=ID1,ID2", 0),
        ("PatientID=%20ID1", 0),
        ("AccessionNumber=acc1", 1),
        ("AccessionNumber=ACC", 0),
        ("StudyDescription=SHAPES", 1),
        ("ReferringPhysicianName=ref^erring", 1),
        ("PatientBirthDate=19700101", 1),
        ("PatientID=ID1&StudyDescription=Shapes", 1),
        ("PatientID=ID1&StudyDescription=Other", 0),
        ("PatientName=anony mous".replace(" ", "%20"), 1),  # T158
        ("PatientName=Anony", 0),  # T159
        ("PatientName=Anony%20Mous%20", 1),
        ("PatientName=Anony^Mous", 0),
        ("ModalitiesInStudy=OT", 1),  # T166
        ("ModalitiesInStudy=ot", 1),
        ("ModalitiesInStudy=CT", 0),
        ("0020000d={study}", 1),
        ("StudyInstanceUID={study}", 1),
        ("StudyInstanceUID={study}%20", 1),
        ("StudyInstanceUID=1.2", 0),
    ],
)
def test_study_filters(trio, query, count):
    found = trio.search("/studies?" + query.replace("{study}", trio.trio.study))
    assert len(found) == count


@pytest.mark.parametrize(
    "query",
    [
        "patientid=ID1",  # T145
        "PatientID=",  # T147
        "PatientID",
        "PatientID=%20",
        "PatientName=+%09&fuzzymatching=true",
        "StudyDate=%20",
        "PatientID=ID1&00100020=ID1",  # T148
        "PatientID=ID1&PatientID=ID2",
        "SOPClassUID=1",  # T149
        "StudyTime=101112",
        "NumberOfStudyRelatedInstances=3",
        "foo=1",  # T150
        "00100021=x",
        "0010002=x",
        "001000200=x",
        "=x",
        "Modality=OT",
        "SOPInstanceUID=1",
        "limit=0",  # T151
        "limit=201",
        "limit=x",
        "limit=",
        "limit=-1",
        "offset=-1",
        "offset=x",
        "fuzzymatching=1",  # T164
        "fuzzymatching=",
        "includefield=nonsense",  # T171
        "includefield=patientsex",
        "includefield=",
        "includefield=00081110.00081150",
        "includefield=ReferencedStudySequence.ReferencedSOPClassUID",
        "includefield=0010004",
        "PatientID=%ff",
        "PatientID=%zz",
        "PatientID=a%00b%",
    ],
)
def test_refused_queries(trio, query):
    answer = trio.get("/studies?" + query)
    assert answer.status == 400, answer
    assert answer.type.startswith("text/plain")


@pytest.mark.parametrize("name", ["Limit", "foo", "fuzzymatching"])
def test_refusals_name_the_parameter(trio, name):
    answer = trio.get(f"/studies?{name}=x")
    assert answer.status == 400
    assert name.lower() in answer.text.lower()


def test_T152_names_without_case(trio):
    assert trio.get("/studies?LIMIT=1&Offset=0&FuzzyMatching=false").status == 200
    assert trio.get("/studies?IncludeField=PatientSex").status == 200


def test_limit_bounds(trio):
    assert len(trio.search("/instances?limit=1")) == 1
    assert len(trio.search("/instances?limit=200")) == 3
    assert len(trio.search("/instances?limit=2&offset=2")) == 1


def test_T155_offset_beyond_the_end(trio):
    assert trio.get("/studies?offset=1000").status == 204
    assert trio.get("/studies?offset=2147483647").status == 204


@pytest.mark.parametrize(
    "dates, count",
    [
        ("20200922", 1),
        ("20200101-20201231", 1),  # T156
        ("20200922-", 1),
        ("-20200922", 1),
        ("20200922-20200922", 1),
        ("20200923-", 0),
        ("-20200921", 0),
        ("20200923", 0),
    ],
)
def test_T156_dates(trio, dates, count):
    assert len(trio.search("/studies?StudyDate=" + dates)) == count


@pytest.mark.parametrize(
    "dates",
    [
        "-",  # T157
        "20201231-20200101",
        "2020",
        "20201301",
        "20200230",
        "00000101",
        "-00001231",
        "20200101-20200102-20200103",
        "2020-09-22",
        "x",
        "20200101-x",
        "202009222",
    ],
)
def test_T157_bad_dates(trio, dates):
    assert trio.get("/studies?StudyDate=" + dates).status == 400


@pytest.mark.parametrize(
    "name, count",
    [
        ("ano mo", 1),  # T160
        ("nony", 0),  # T161
        ("mous anony", 0),  # T162
        ("anony", 1),
        ("mous", 1),
        ("a m", 1),
        ("anony mouse", 0),
        ("ANONY^MOUS", 1),
        ("anony=mous", 1),
        ("  ano   mo ", 1),
        ("ano*", 0),
        ("%25", 0),
        ("_nony", 0),
    ],
)
def test_T160_T161_T162_fuzzy(trio, name, count):
    query = f"PatientName={name.replace(' ', '%20')}&fuzzymatching=true"
    assert len(trio.search("/studies?" + query)) == count


def test_T163_quote_in_a_fuzzy_name(trio):
    assert trio.get("/studies?PatientName=%22x&fuzzymatching=true").status == 400
    assert trio.get("/studies?PatientName=%22x").status == 204


def test_fuzzy_is_for_names_only(trio):
    assert trio.search("/studies?PatientID=ID&fuzzymatching=true") == []
    assert len(trio.search("/studies?PatientID=ID1&fuzzymatching=true")) == 1


def test_fuzzy_phrases(web):
    names = ["John^Doe", "Doe^John", "John Q^Doe", "Johnny^B=Doe", "The^Of"]
    patients = {}
    for n, name in enumerate(names):
        patients[name] = dicom.capture(PatientName=name, PatientID=f"P{n}")
    assert web.store(*patients.values()).status == 200

    def found(words):
        query = f"PatientName={words.replace(' ', '%20')}&fuzzymatching=true&limit=200"
        return {value(i, "00100020") for i in web.search("/studies?" + query)}

    assert found("jo do") == {"P0"}
    assert found("do") == {"P0", "P1", "P2", "P3"}
    assert found("john") == {"P0", "P1", "P2", "P3"}
    assert found("ohn") == set()
    assert found("john q doe") == {"P2"}
    assert found("b doe") == {"P3"}
    assert found("the of") == {"P4"}
    assert found("johnny b d") == {"P3"}


def test_T165_accents(web):
    g = dicom.capture(PatientName="José^Müller", SpecificCharacterSet="ISO_IR 100")
    assert web.store(g).status == 200
    for name in ("jose^muller", "JOSÉ^MÜLLER", "José^Muller"):
        assert len(web.search("/studies?PatientName=" + quote(name))) == 1, name
        fuzzy = quote(name.replace("^", " ")[:6])
        assert len(web.search(f"/studies?PatientName={fuzzy}&fuzzymatching=true")) == 1, name
    assert web.search("/studies?PatientName=jose%5Emullerx") == []


@pytest.mark.parametrize(
    "path, query, count",
    [
        ("/series", "Modality=OT", 2),
        ("/series", "Modality=CT", 0),
        ("/series", "PatientID=ID1", 2),
        ("/series", "ManufacturerModelName=model%207", 2),
        ("/series", "PerformedProcedureStepStartDate=20200923", 2),
        ("/series", "PerformedProcedureStepStartDate=20200924-", 0),
        ("/series", "SeriesInstanceUID={g}", 1),
        ("/series", "StudyInstanceUID={study}", 2),
        ("/instances", "Modality=OT", 3),  # T180
        ("/instances", "SOPInstanceUID={sop}", 1),
        ("/instances", "SeriesInstanceUID={g}", 2),
        ("/instances", "PatientName=ano&fuzzymatching=true", 3),
        ("/instances", "ModalitiesInStudy=OT", 3),
        ("/studies/{study}/series", "Modality=OT", 2),
        ("/studies/{study}/series", "SeriesInstanceUID={g}", 1),
        ("/studies/{study}/instances", "SeriesInstanceUID={g}", 2),
        ("/studies/{study}/instances", "SOPInstanceUID={sop}", 1),
        ("/studies/{study}/series/{g}/instances", "SOPInstanceUID={sop}", 1),
    ],
)
def test_filters_at_each_resource(trio, path, query, count):
    g = trio.trio.g
    url = f"{path}?{query}"
    for name, text in (("{study}", g.study), ("{g}", g.series), ("{sop}", g.sop)):
        url = url.replace(name, text)
    assert len(trio.search(url)) == count


@pytest.mark.parametrize(
    "path, query",
    [
        ("/studies/{study}/series", "PatientID=ID1"),  # T174
        ("/studies/{study}/series", "StudyInstanceUID={study}"),  # T175
        ("/studies/{study}/series", "SOPInstanceUID=1.2"),
        ("/studies/{study}/instances", "PatientName=x"),
        ("/studies/{study}/instances", "StudyInstanceUID={study}"),
        ("/studies/{study}/series/{g}/instances", "Modality=OT"),
        ("/studies/{study}/series/{g}/instances", "SeriesInstanceUID={g}"),
        ("/series", "SOPInstanceUID=1.2"),
    ],
)
def test_filters_of_other_levels(trio, path, query):
    g = trio.trio.g
    url = f"{path}?{query}".replace("{study}", g.study).replace("{g}", g.series)
    assert trio.get(url).status == 400


# -- includefield --


def test_T167_computed_attributes(trio):
    (found,) = trio.search("/studies?includefield=ModalitiesInStudy,00201208")
    assert found["00080061"] == {"vr": "CS", "Value": ["OT"]}
    assert found["00201208"] == {"vr": "IS", "Value": [3]}
    assert set(found) == STUDY_DEFAULT | {"00080061", "00201208"}


def test_number_of_series(trio):
    (found,) = trio.search("/studies?includefield=NumberOfStudyRelatedSeries")
    assert found["00201206"] == {"vr": "IS", "Value": [2]}


def test_retrieve_url_when_named(trio):
    g = trio.trio.g
    (found,) = trio.search("/studies?includefield=RetrieveURL")
    assert found["00081190"] == {"vr": "UR", "Value": [f"{trio.base}/v2/studies/{g.study}"]}
    found = trio.search(f"/instances?includefield=00081190&SOPInstanceUID={g.sop}")
    assert value(found[0], "00081190") == f"{trio.base}/v2{g.path}"


def test_T168_fields_from_the_newest_instance(trio):
    for query in (
        "includefield=00100040&includefield=StudyTime",
        "includefield=00100040,StudyTime",
        "includefield=PatientSex,00080030,00080030",
    ):
        (found,) = trio.search("/studies?" + query)
        assert value(found, "00100040") == "O"
        assert value(found, "00080030") == "101112"
        assert set(found) == STUDY_DEFAULT | {"00100040", "00080030"}


def test_newest_instance_answers(web):
    g = dicom.capture(PatientSex="F")
    web.store(g)
    web.store(g.fresh("instance", PatientSex="M"))
    assert value(web.search("/studies?includefield=PatientSex")[0], "00100040") == "M"
    web.store(g.fresh("instance", PatientSex=None))
    assert "00100040" not in web.search("/studies?includefield=PatientSex")[0]


def test_instance_level_fields(trio):
    found = trio.search("/instances?includefield=InstanceNumber,Rows,PatientSex")
    assert [value(i, "00280010") for i in found] == [8, 8, 8]
    assert {value(i, "00200013") for i in found} == {1, 2}
    assert {value(i, "00100040") for i in found} == {"O"}


def test_file_meta_is_never_included(trio):
    for field in ("00020010", "TransferSyntaxUID"):
        found = trio.search("/instances?includefield=" + field)
        assert len(found) == 3 and all("00020010" not in item for item in found)


def test_bulk_is_never_included(trio):
    found = trio.search("/instances?includefield=PixelData")
    assert all("7FE00010" not in item for item in found)


def test_a_whole_sequence_may_be_included(web):
    nested = {0x00081150: dicom.Element("UI", "1.2.3")}
    web.store(dicom.capture(ReferencedStudySequence=[nested]))
    (found,) = web.search("/studies?includefield=ReferencedStudySequence")
    assert found["00081110"]["Value"] == [{"00081150": {"vr": "UI", "Value": ["1.2.3"]}}]


def test_T169_all(trio):
    (study,) = trio.search("/studies?includefield=all")
    present = set(trio.metadata(trio.trio.b.path)[0])
    assert set(study) == STUDY_ALL & present
    series = trio.search("/series?includefield=all")
    assert set(series[0]) == (STUDY_ALL | SERIES_ALL) & present
    instances = trio.search("/instances?includefield=all")
    assert set(instances[0]) == (STUDY_ALL | SERIES_ALL | INSTANCE_ALL) & present


def test_T170_all_and_more(trio):
    answer = trio.get("/studies?includefield=ALL,PatientSex")
    assert answer.status == 200
    assert answer.json() == trio.get("/studies?includefield=all").json()


def test_T176_counts_of_series(trio):
    found = trio.search(f"/studies/{trio.trio.study}/series?includefield=00201209")
    assert {value(i, "0020000E"): value(i, "00201209") for i in found} == {
        trio.trio.g.series: 2,
        trio.trio.b.series: 1,
    }


def test_filters_are_returned(trio):
    (found,) = trio.search("/studies?ModalitiesInStudy=OT")
    assert set(found) == STUDY_DEFAULT | {"00080061"}
    found = trio.search("/instances?Modality=OT")
    assert all(value(i, "00080060") == "OT" for i in found)


def test_private_and_unknown_fields(web):
    private = {
        0x00190010: dicom.Element("LO", "MAKER"),
        0x00191001: dicom.Element("LO", "mine"),
    }
    web.store(dicom.capture().with_(tags=private))
    (found,) = web.search("/instances?includefield=00191001")
    assert value(found, "00191001") == "mine"


# -- which value shows --


def test_T181_newer_description(web):
    g = dicom.capture(StudyDescription="first")
    web.store(g)
    web.store(g.fresh("instance", StudyDescription="second"))
    assert value(web.search("/studies")[0], "00081030") == "second"
    assert web.search("/studies?StudyDescription=first") == []


@pytest.mark.parametrize("later", [None, ""])
def test_T182_older_value_stays(web, later):
    g = dicom.capture(StudyDescription="first")
    web.store(g)
    web.store(g.fresh("instance", StudyDescription=later))
    assert value(web.search("/studies")[0], "00081030") == "first"


@pytest.mark.parametrize("later", ["00000000", "20200230", "20200101-20201231", "-"])
def test_a_date_that_is_not_indexed_leaves_the_older_one(web, later):
    g = dicom.capture(PatientBirthDate="19700101", PerformedProcedureStepStartDate="20200923")
    web.store(g)
    h = g.fresh("instance", PatientBirthDate=later, PerformedProcedureStepStartDate=later)
    assert web.store(h).status == 200
    for query in ("PatientBirthDate=19700101", "PerformedProcedureStepStartDate=20200923-"):
        (found,) = web.search("/series?" + query)
        assert value(found, "00100030") == "19700101"
        assert value(found, "00400244") == "20200923"
    assert web.delete(g.path).status == 204
    (found,) = web.search("/series")
    assert not {"00100030", "00400244"} & set(found)
    assert value(web.metadata(h.path)[0], "00100030") == later


def test_empty_patient_id_does_not_win(web):
    g = dicom.capture(PatientID="P1")
    web.store(g)
    assert web.store(g.fresh("instance", PatientID="")).status == 202
    assert value(web.search("/studies")[0], "00100020") == "P1"
    assert len(web.search("/studies?PatientID=P1")) == 1


def test_columns_after_deleting_the_newest(web):
    """Invariant 5 of section 23: recomputed."""
    g = dicom.capture(StudyDescription="first", Modality="CT")
    newest = g.fresh("series", StudyDescription="second", Modality="MR")
    web.store(g)
    web.store(newest)
    assert web.search("/studies?ModalitiesInStudy=MR")
    assert web.delete(newest.path).status == 204
    assert value(web.search("/studies")[0], "00081030") == "first"
    assert web.search("/studies?ModalitiesInStudy=MR") == []


def test_modalities_of_several_series(web):
    g = dicom.capture(Modality="SR")
    web.store(g, g.fresh("series", Modality="CT"), g.fresh("series", Modality="CT"))
    (found,) = web.search("/studies?ModalitiesInStudy=CT&includefield=ModalitiesInStudy")
    assert sorted(found["00080061"]["Value"]) == ["CT", "SR"]


def test_a_study_without_modalities(web):
    """Contract 7.5: what is absent is omitted, whatever stands before and behind it."""
    web.store(dicom.capture(Modality=None))
    for fields in ("ModalitiesInStudy", "StudyTime", "NumberOfStudyRelatedInstances,RetrieveURL"):
        for path in ("/studies", "/series"):
            (found,) = web.search(f"{path}?includefield=ModalitiesInStudy,{fields}")
            assert "00080061" not in found and "0020000D" in found
    (found,) = web.search("/studies?includefield=ModalitiesInStudy,NumberOfStudyRelatedInstances")
    assert value(found, "00201208") == 1


# -- order and pages --


@pytest.fixture(scope="module")
def many(shared_serve):
    """250 studies; `.order` is newest first."""
    web = shared_serve().http
    base = dicom.report()
    studies = [base.fresh(PatientID=f"P{n % 5}") for n in range(250)]
    for start in range(0, 250, 50):
        assert web.store(*studies[start : start + 50]).status == 200
    web.order = [s.study for s in reversed(studies)]
    return web


def test_T153_default_page(many):
    assert uids(many.search("/studies")) == many.order[:100]


def test_T154_pages(many):
    found = []
    for offset in (0, 100, 200):
        found += uids(many.search(f"/studies?limit=100&offset={offset}"))
    assert found == many.order


def test_page_of_two_hundred(many):
    assert uids(many.search("/studies?limit=200")) == many.order[:200]
    assert uids(many.search("/studies?limit=200&offset=200")) == many.order[200:]


def test_pages_of_a_filter(many):
    wanted = [s for n, s in enumerate(many.order) if (249 - n) % 5 == 3]
    found = uids(many.search("/studies?PatientID=P3&limit=30"))
    found += uids(many.search("/studies?PatientID=P3&limit=30&offset=30"))
    assert found == wanted


def test_order_is_of_creation_not_of_change(web):
    first, second = dicom.capture(), dicom.capture()
    web.store(first)
    web.store(second)
    web.store(first.fresh("instance"))
    assert uids(web.search("/studies")) == [second.study, first.study]
    assert uids(web.search("/instances"))[0] == first.study


def test_number_of_parameters(many):
    """256 of them are taken, one more is refused."""
    fields = [f"includefield=0018{0x9000 + n:04X}" for n in range(255)]
    assert many.get("/studies?limit=200&" + "&".join(fields)).status == 200
    assert many.get("/studies?limit=200&a=b&" + "&".join(fields)).status == 400


def test_sql_in_values(trio):
    for text in ("'", "''--", "%27%20OR%201=1--", "%25", "_D1", "a%5C"):
        assert trio.get("/studies?PatientID=" + text).status == 204, text
        assert trio.get(f"/studies?PatientName={text}&fuzzymatching=true").status in (204, 400)


def test_etag_headers_play_no_part(trio):
    assert trio.get("/studies", {**DICOM_JSON, "If-None-Match": "*"}).status == 200
