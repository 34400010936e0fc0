"""Contract section 8: deleting (T185 to T192)."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from support import dicom
from support.http import ANY_DICOM, ANY_MULTIPART, value
from support.server import wait_for


@pytest.fixture
def stored(web):
    """The client, with G, R and B (small) stored as `.trio`."""
    web.trio = dicom.trio(8, 8)
    assert web.store(*web.trio).status == 200
    return web


def test_T185_T186_study(stored):
    path = f"/studies/{stored.trio.study}"
    answer = stored.delete(path)
    assert answer.status == 204
    assert answer.body == b""
    for level in ("/studies", "/series", "/instances"):
        assert stored.get(level).status == 204
    assert stored.get(path, ANY_MULTIPART).status == 404
    assert stored.get(path + "/metadata").status == 404
    for instance in stored.trio:
        assert stored.get(instance.path, ANY_DICOM).status == 404
        assert stored.get(instance.path + "/frames/1", {"Accept": "*/*"}).status == 404
    rows = stored.feed()
    assert [r["action"] for r in rows] == ["Create"] * 3 + ["Delete"] * 3
    assert {r["sopInstanceUid"] for r in rows[3:]} == {i.sop for i in stored.trio}
    assert stored.delete(path).status == 404


def test_T187_one_instance(stored):
    path = f"/studies/{stored.trio.study}"
    etag = stored.get(path + "/metadata").headers["ETag"]
    assert stored.delete(stored.trio.g.path).status == 204
    assert len(stored.search(path + "/series")) == 2
    assert stored.get(path + "/metadata").headers["ETag"] != etag
    assert stored.delete(stored.trio.g.path).status == 404


def test_T188_last_instance_of_a_series(stored):
    b = stored.trio.b
    assert stored.delete(b.path).status == 204
    found = stored.search(f"/studies/{b.study}/series")
    assert [value(s, "0020000E") for s in found] == [stored.trio.g.series]
    assert stored.get(f"/studies/{b.study}/series/{b.series}/metadata").status == 404


def test_last_instance_of_a_study(web):
    g = dicom.capture()
    web.store(g)
    assert web.delete(g.path).status == 204
    assert web.search("/studies") == []
    assert web.get(f"/studies/{g.study}/metadata").status == 404


def test_series(stored):
    g = stored.trio.g
    assert stored.delete(f"/studies/{g.study}/series/{g.series}").status == 204
    assert [r["action"] for r in stored.feed()] == ["Create"] * 3 + ["Delete"] * 2
    assert len(stored.search("/instances")) == 1
    assert stored.delete(f"/studies/{g.study}/series/{g.series}").status == 404


@pytest.mark.parametrize(
    "path, status",
    [
        ("/studies/9.9", 404),
        ("/studies/{s}/series/9.9", 404),  # T189
        ("/studies/{s}/series/{b}/instances/{g}", 404),
        ("/studies/{s}/series/{b}/instances/9.9", 404),
        ("/studies/abc", 400),  # T190
        ("/studies/{s}/series/abc", 400),
        ("/studies/{s}/series/{b}/instances/abc", 400),
    ],
)
def test_T189_T190_nothing_there(stored, path, status):
    trio = stored.trio
    path = path.replace("{s}", trio.study).replace("{b}", trio.b.series).replace("{g}", trio.g.sop)
    assert stored.delete(path).status == status
    assert len(stored.search("/instances")) == 3


def test_T191_delete_and_store_again(web):
    g = dicom.capture()
    assert web.store(g).status == 200
    first = web.get(g.path + "/metadata").headers["ETag"]
    assert web.delete(g.path).status == 204
    assert web.store(g).status == 200
    assert [(r["action"], r["state"]) for r in web.feed()] == [
        ("Create", "Replaced"),
        ("Delete", "Replaced"),
        ("Create", "Current"),
    ]
    assert int(web.get(g.path + "/metadata").headers["ETag"]) > int(first)
    assert web.retrieve(g) == g.bytes


def test_T192_files_go_at_once_without_a_delay(serve):
    server = serve({"store.deletion_delay": 0})
    web = server.http
    trio = dicom.trio(8, 8)
    web.store(*trio)
    assert len(server.stored_files()) == 3
    assert web.delete(trio.g.path).status == 204
    wait_for(lambda: len(server.stored_files()) == 2, 60, "the file's removal")
    assert web.retrieve(trio.r) == trio.r.bytes
    assert web.delete(f"/studies/{trio.study}").status == 204
    wait_for(lambda: server.stored_files() == [], 60, "the files' removal")


def test_replaced_files_go_too(serve):
    server = serve({"store.deletion_delay": 0})
    g = dicom.capture()
    server.http.store(g)
    changed = g.with_(StudyID="2")
    assert server.http.store(changed, method="PUT").status == 200
    wait_for(lambda: len(server.stored_files()) == 1, 60, "the older file's removal")
    assert server.http.retrieve(g) == changed.bytes


def test_files_stay_for_the_delay(serve):
    server = serve()
    g = dicom.capture()
    server.http.store(g)
    assert server.http.delete(g.path).status == 204
    server.restart()
    assert len(server.stored_files()) == 1
    code, found = server.verify()
    assert (code, found["problemCount"], found["waiting"]) == (0, 0, 1)


def test_removal_touches_only_the_old_version(serve):
    server = serve({"store.deletion_delay": 1})
    web = server.http
    g = dicom.capture()
    web.store(g)
    assert web.delete(g.path).status == 204
    assert web.store(g).status == 200
    wait_for(lambda: len(server.stored_files()) == 1, 60, "the old file's removal")
    assert web.retrieve(g) == g.bytes


@pytest.mark.parametrize("level", ["study", "series", "instance"])
def test_if_match_keeps_what_has_changed(stored, level):
    g = stored.trio.g
    path = g.path if level == "instance" else f"/studies/{g.study}"
    path += f"/series/{g.series}" if level == "series" else ""
    seen = stored.get(path + "/metadata").headers["ETag"]
    assert stored.store(g.with_(StudyID="2"), method="PUT").status == 200
    rows = stored.feed()
    for tag in (seen, f'"{seen}"', f'W/"{seen}"', "", '"1", "2"', '"*"'):
        assert stored.delete(path, {"If-Match": tag}).status == 412
    now = stored.get(path + "/metadata").headers["ETag"]
    weak = {"If-Match": f'W/"{now}"'}  # too weak to delete by (RFC 9110 section 13.1.1)
    assert stored.delete(path, weak).status == 412
    assert stored.feed() == rows
    assert stored.delete(path, {"If-Match": f'"{seen}", "{now}"'}).status == 204
    assert stored.delete(path, {"If-Match": f'"{now}"'}).status == 404


@pytest.mark.parametrize("form", ["{}", '"{}"', "*"])
def test_if_match_of_what_is_as_it_was(stored, form):
    path = f"/studies/{stored.trio.study}"
    tag = stored.get(path + "/metadata").headers["ETag"]
    assert stored.delete(path, {"If-Match": form.format(tag)}).status == 204


def test_if_match_in_several_lines(stored):
    path = f"/studies/{stored.trio.study}"
    tag = stored.get(path + "/metadata").headers["ETag"]
    assert stored.delete(path, [("If-Match", '"x"'), ("If-Match", f'"{tag}"')]).status == 204


@pytest.mark.parametrize("form", ["{}", 'W/"{}"', '"1", "{}"', "*"])
def test_if_none_match_keeps_what_it_names(stored, form):
    path = f"/studies/{stored.trio.study}"
    tag = stored.get(path + "/metadata").headers["ETag"]
    assert stored.delete(path, {"If-None-Match": form.format(tag)}).status == 412
    assert stored.delete(path, {"If-None-Match": form.format(tag), "If-Match": "*"}).status == 412
    assert stored.get(path + "/metadata").status == 200
    assert stored.delete("/studies/9.9", {"If-None-Match": "*"}).status == 404
    assert stored.delete(path, {"If-None-Match": '"1"'}).status == 204


def test_delete_of_a_large_study(web):
    g = dicom.capture()
    batch = [g.fresh("instance") for _ in range(400)]
    assert web.store(*batch).status == 200
    assert web.delete(f"/studies/{g.study}").status == 204
    rows = web.feed("?afterSequence=400&limit=1000&includeMetadata=false")
    assert len(rows) == 400
    assert {r["action"] for r in rows} == {"Delete"}
    assert web.search("/instances") == []


def test_parallel_deletes(stored):
    path = f"/studies/{stored.trio.study}"
    with ThreadPoolExecutor(6) as pool:
        statuses = [a.status for a in pool.map(lambda _: stored.delete(path), range(6))]
    assert sorted(statuses) == [204] + [404] * 5
    assert len(stored.feed()) == 6


@pytest.mark.parametrize(
    "path",
    [
        "/studies/{study}/series//",
        "/studies/{study}/series//instances/9.9.9",
        "/studies//series/9.9",
        "/studies/{study}/series/ /instances/9.9",
    ],
)
def test_an_empty_segment_names_nothing(stored, path):
    path = path.replace(" ", "%20").format(study=stored.trio.study)
    assert stored.delete(path).status in (400, 404)
    assert len(stored.get("/instances").json()) == 3
