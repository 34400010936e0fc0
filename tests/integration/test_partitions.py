"""Contract section 4: data partitions (T217 to T228)."""

import concurrent.futures

import pytest
from support import dicom
from support.http import ANY_DICOM, ANY_MULTIPART, stored_items, value


@pytest.fixture
def on(serve):
    """A client of a service with partitions."""
    return serve({"service.partitions": "on"}).http


def test_openapi_names_the_paths_that_answer(on):
    """Each of them in both versions; those without a partition answer 400 to everything."""
    for version in ("/v1", "/v2"):
        paths = on.at(version).get("/api.json", {}).json()["paths"]
        for path in ("studies", "studies/{study}/series", "series", "instances", "export", "workitems"):
            assert f"{version}/{path}" not in paths
            for operation in paths[f"{version}/partitions/{{partitionName}}/{path}"].values():
                named = [p["name"] for p in operation["parameters"]]
                assert named == ["partitionName"] + ["study"] * path.count("{study}")
        assert {f"{version}/{path}" for path in ("partitions", "changefeed", "api.json")} <= set(paths)


def names(web):
    answer = web.get("/partitions", {})
    assert answer.status == 200
    return [p["partitionName"] for p in answer.json()]


@pytest.mark.parametrize(
    "method, path",
    [
        ("GET", "/partitions"),  # T217
        ("GET", "/partitions/x/studies"),  # T218
        ("POST", "/partitions/x/studies"),
        ("GET", "/partitions/Microsoft.Default/studies"),
        ("DELETE", "/partitions/x/studies/1.2"),
    ],
)
def test_T217_T218_off(web, method, path):
    answer = web.request(method, path, {"Accept": "application/dicom+json"})
    assert answer.status == 400
    assert answer.type.startswith("text/plain")


@pytest.mark.parametrize(
    "method, path",
    [
        ("GET", "/studies"),  # T219
        ("GET", "/series"),
        ("GET", "/studies/1.2"),
        ("GET", "/studies/1.2/metadata"),
        ("POST", "/studies"),
        ("PUT", "/studies/1.2"),
        ("DELETE", "/studies/1.2"),
        ("POST", "/studies/$bulkUpdate"),  # T227
        ("POST", "/studies/$bulkupdate"),
        ("POST", "/export"),
        ("GET", "/workitems"),
    ],
)
def test_T219_T227_path_without_partition(on, method, path):
    answer = on.request(method, path, {"Accept": "application/dicom+json"})
    assert answer.status == 400
    assert "artition" in answer.text


def test_T220_the_default(on):
    answer = on.get("/partitions", {})
    assert answer.status == 200
    assert answer.type == "application/json; charset=utf-8"
    (only,) = answer.json()
    assert set(only) == {"partitionKey", "partitionName", "createdDate"}
    assert (only["partitionKey"], only["partitionName"]) == (1, "Microsoft.Default")
    assert only["createdDate"].endswith("+00:00")


def test_T221_first_store_creates(on):
    g = dicom.capture()
    a = on.at("/v2/partitions/clinic-A")
    answer = a.store(g)
    assert answer.status == 200
    url = f"{on.base}/v2/partitions/clinic-A{g.path}"
    assert value(stored_items(answer)[0], "00081190") == url
    assert [p["partitionKey"] for p in on.get("/partitions", {}).json()] == [1, 2]
    assert names(on) == ["Microsoft.Default", "clinic-A"]
    assert a.retrieve(g) == g.bytes
    (part,) = a.get(g.path, ANY_MULTIPART).parts()
    assert part.headers["content-location"] == url
    assert len(a.search("/studies")) == 1
    answer = a.store(g.fresh("instance"), study=g.study)
    assert value(answer.json(), "00081190") == (
        f"{on.base}/v2/partitions/clinic-A/studies/{g.study}"
    )


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("into_study", [False, True])
def test_each_store_creates(on, method, into_study):
    g = dicom.capture()
    client = on.at("/v2/partitions/new")
    assert client.store(g, method=method, study=g.study if into_study else None).status == 200
    assert names(on) == ["Microsoft.Default", "new"]


def test_the_default_partition_by_name(on):
    g = dicom.capture()
    client = on.at("/v2/partitions/Microsoft.Default")
    assert client.store(g).status == 200
    assert names(on) == ["Microsoft.Default"]
    assert on.feed()[0]["partitionName"] == "Microsoft.Default"


def test_T222_same_instance_twice(on):
    g = dicom.capture()
    a, b = on.at("/v2/partitions/clinic-A"), on.at("/v2/partitions/clinic-B")
    assert a.store(g).status == 200
    other = g.with_(PatientName="Other^One")
    assert b.store(other).status == 200
    assert a.retrieve(g) == g.bytes
    assert b.retrieve(g) == other.bytes
    assert len(a.search("/instances")) == len(b.search("/instances")) == 1
    assert a.search("/studies?PatientName=Other^One") == []


def test_T223_unknown_partition(on):
    none = on.at("/v2/partitions/none")
    assert none.get("/studies/1.2", ANY_MULTIPART).status == 400
    assert none.get("/studies").status == 400
    assert none.get("/studies/1.2/metadata").status == 400
    assert none.get("/studies/1.2/series/1/instances/1", ANY_DICOM).status == 400
    assert none.delete("/studies/1.2").status == 400
    assert names(on) == ["Microsoft.Default"]


def test_names_have_case(on):
    g = dicom.capture()
    assert on.at("/v2/partitions/Clinic").store(g).status == 200
    assert on.at("/v2/partitions/clinic").get("/studies").status == 400
    assert on.at("/v2/PARTITIONS/Clinic").get("/studies").status == 200


@pytest.mark.parametrize(
    "name", ["a%20b", "a%2Fb", "x" * 65, "..", ".", "%2e%2e", "a%00", "%C3%A4", "a*b", "a:b", "a%5Cb"]
)
def test_T224_bad_names(on, name):
    client = on.at(f"/v2/partitions/{name}")
    assert client.store(dicom.capture()).status == 400
    assert client.get("/studies").status == 400
    assert names(on) == ["Microsoft.Default"]


@pytest.mark.parametrize("name", ["x" * 64, "a.b", "_", "-", "...", "A-1_b.c", "%41bc"])
def test_good_names(on, name):
    g = dicom.capture()
    client = on.at(f"/v2/partitions/{name}")
    assert client.store(g).status == 200
    assert client.retrieve(g) == g.bytes


def test_T225_parallel_first_stores(on):
    g = dicom.capture()
    client = on.at("/v2/partitions/busy")
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: client.store(g.fresh()), range(20)))
    assert [a.status for a in answers] == [200] * 20
    assert names(on) == ["Microsoft.Default", "busy"]
    assert len(client.search("/studies")) == 20


def test_T226_delete_in_one(on):
    g = dicom.capture()
    a, b = on.at("/v2/partitions/clinic-A"), on.at("/v2/partitions/clinic-B")
    a.store(g)
    b.store(g)
    assert a.delete(f"/studies/{g.study}").status == 204
    assert a.search("/studies") == []
    assert b.retrieve(g) == g.bytes
    assert len(b.search("/studies")) == 1
    assert names(on) == ["Microsoft.Default", "clinic-A", "clinic-B"]


def test_T228_switching_off_again(serve):
    server = serve({"service.partitions": "on"})
    g = dicom.capture()
    server.http.at("/v2/partitions/clinic-A").store(g)
    assert server.stop() == 0
    server.settings["service.partitions"] = "off"
    code, said = server.refused()
    assert code in (1, 2)
    assert "partition" in said and "Traceback" not in said
    server.settings["service.partitions"] = "on"
    server.start()
    assert server.http.at("/v2/partitions/clinic-A").retrieve(g) == g.bytes


def test_switching_on_keeps_the_old_data(serve):
    server = serve()
    g = dicom.capture()
    server.http.store(g)
    server.restart(service__partitions="on")
    client = server.http.at("/v2/partitions/Microsoft.Default")
    assert client.retrieve(g) == g.bytes
    server.restart(service__partitions="off")
    assert server.http.retrieve(g) == g.bytes


def test_partition_before_the_accept_check(on):
    """Order of section 2.2: 400 for the partition wins over 406."""
    assert on.at("/v2/partitions/none").get("/studies", {}).status == 400


def test_v1_partitions(on):
    g = dicom.capture()
    v1 = on.at("/v1/partitions/old")
    answer = v1.store(g)
    assert answer.status == 200
    url = f"{on.base}/v1/partitions/old{g.path}"
    assert value(stored_items(answer)[0], "00081190") == url
