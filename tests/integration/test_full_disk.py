"""A full disk: stores fail cleanly, reading goes on, and with space again all is well."""

import http.client

import pytest
from support import dicom
from support.http import failed_items, value
from support.server import wait_for


@pytest.fixture
def disk(small_disk):
    return small_disk("12m")


def one_store(web, instance):
    """(stored, refused) of one store: every answer must be a clean one."""
    answer = web.store(instance)
    if answer.status == 200:
        return True
    assert answer.status in (409, 503), answer
    if answer.status == 409:
        assert [value(i, "00081197") for i in failed_items(answer)] == [272]
    return False


@pytest.mark.parametrize("rows", [300, 8], ids=["large files", "small files"])
def test_full_disk(serve, disk, rows):
    server = serve(home=disk.folder / "home", check=False)
    web = server.http
    base = dicom.capture(rows, 1000)
    stored = []
    refused = []
    if rows == 8:  # fill with ballast, so that small ones meet the end soon
        disk.fill(leave=1 << 20)
    for _ in range(400):
        instance = base.fresh()
        (stored if one_store(web, instance) else refused).append(instance)
        if len(refused) > 12:
            break
    assert stored and refused
    for instance in stored:
        assert web.retrieve(instance) == instance.bytes
    for instance in refused:
        assert web.get(instance.path, {"Accept": "*/*"}).status == 404
    listed = web.search("/instances?limit=200")
    assert {value(i, "00080018") for i in listed} == {i.sop for i in stored}
    assert len(web.feed("?limit=200")) == len(stored)

    disk.grow("64m")
    wait_for(lambda: one_store(web, refused[0]), 60, "a store with space again")
    for instance in refused[1:]:
        assert one_store(web, instance)
    for instance in stored + refused:
        assert web.retrieve(instance) == instance.bytes
    assert web.get("/health/check", {}, absolute=True).status in (200, 503)
    wait_for(
        lambda: web.get("/health/check", {}, absolute=True).status == 200, 60, "health again"
    )
    server.restart()
    assert {r["sopInstanceUid"] for r in server.http.feed("?limit=200")} == {
        i.sop for i in stored + refused
    }
    assert server.stop() == 0
    code, found = server.verify("--hash")
    assert (code, found["problemCount"]) == (0, 0), found


def test_disk_full_at_start(serve, disk):
    """It says why it cannot start, or starts and refuses stores; then space, then all is well."""
    server = serve(home=disk.folder / "home", check=False)
    g = dicom.capture()
    assert server.http.store(g).status == 200
    assert server.stop() == 0
    disk.fill()
    server.launch()
    line = server.first_line()
    if line:
        server.process.kill()
    code = server.process.wait(60)
    server.process.stdout.close()
    server.process = None
    assert line or code == 1
    disk.ballast.unlink()
    server.start()
    assert server.http.retrieve(g) == g.bytes
    assert server.http.store(g.fresh()).status == 200


def test_full_disk_in_the_middle_of_a_big_upload(serve, disk):
    server = serve(home=disk.folder / "home", check=False)
    web = server.http
    big = dicom.capture(2000, 4000)  # 24 MB
    try:
        assert not one_store(web, big)
    except (OSError, http.client.HTTPException):
        pass  # closed in the middle: also an answer
    assert web.get("/changefeed", {}).json() == []
    small = dicom.capture()
    wait_for(lambda: one_store(web, small), 60, "a store after the big one was dropped")
    assert web.retrieve(small) == small.bytes
