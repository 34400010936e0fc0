"""What only happens between two calls, or when one fails: a preloaded library (faultpoint.c) makes it so."""

import pathlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import dicom
from support.http import ANY_DICOM, ANY_MULTIPART
from support.server import preloadable, sanitized, wait_for


@pytest.fixture(scope="module")
def faultpoint(tmp_path_factory):
    return preloadable(pathlib.Path(__file__).with_name("faultpoint.c"), tmp_path_factory.mktemp("faultpoint"))


@pytest.fixture
def faulty(serve, faultpoint, tmp_path):
    """A server with the library; `.control` is the folder it looks at."""
    server = serve({"store.deletion_delay": 0}, start=False)
    server.control = tmp_path / "control"
    server.control.mkdir()
    server.env = {**server.env, "LD_PRELOAD": faultpoint, "FAULTPOINT_FOLDER": str(server.control)}
    if sanitized():
        server.env["ASAN_OPTIONS"] = "verify_asan_link_order=0:detect_leaks=0"
    server.start()
    return server


# -- a file that is removed between a look at the index and its opening --

FORMS = {
    "instance": lambda g: (g.path, ANY_DICOM),
    "part": lambda g: (g.path, ANY_MULTIPART),
    "study": lambda g: (f"/studies/{g.study}", ANY_MULTIPART),
    "frame": lambda g: (g.path + "/frames/1", {"Accept": "application/octet-stream"}),
}


def while_held(server, path, headers, change):
    """The answer to a GET that looked at the index before `change` and opens the file after."""
    with ThreadPoolExecutor(1) as pool:
        (server.control / "hold").touch()
        answer = pool.submit(server.http.get, path, headers)
        wait_for((server.control / "held").exists, what="the retrieve at the file")
        change()
        (server.control / "hold").unlink()
        return answer.result()


@pytest.mark.parametrize("form", FORMS)
def test_deleted_under_a_retrieve(faulty, form):
    g = dicom.capture(8, 8)
    faulty.http.store(g)

    def delete():
        assert faulty.http.delete(f"/studies/{g.study}").status == 204
        wait_for(lambda: faulty.stored_files() == [], 60, "the file's removal")

    assert while_held(faulty, *FORMS[form](g), delete).status == 404


@pytest.mark.parametrize("form", FORMS)
def test_replaced_under_a_retrieve(faulty, form):
    g = dicom.capture(8, 8)
    other = g.with_(PixelData=("OB", bytes(8 * 8 * 3)))
    faulty.http.store(g)

    def replace():
        assert faulty.http.store(other, method="PUT").status == 200
        wait_for(lambda: len(faulty.stored_files()) == 1, 60, "the old file's removal")

    answer = while_held(faulty, *FORMS[form](g), replace)
    assert answer.status == 200
    body = answer.body if form in ("instance", "frame") else answer.parts()[0].body
    assert body == (bytes(8 * 8 * 3) if form == "frame" else other.bytes)


def test_removed_by_somebody_else_is_still_424(faulty):
    g = dicom.capture(8, 8)
    faulty.http.store(g)
    faulty.check = False

    def remove():
        for path in faulty.stored_files():
            path.unlink()

    assert while_held(faulty, *FORMS["instance"](g), remove).status == 424


# -- a commit whose sync fails: nobody knows whether it would outlive a crash --


def fail_syncs(server, count):
    (server.control / "syncs").write_text(f"{count}\n")


def replaced_with_failing_syncs(server, count):
    g = dicom.report()
    other = g.with_(StudyID="2")
    assert server.http.store(g).status == 200
    fail_syncs(server, count)
    assert server.http.store(other, method="PUT").status in (409, 503)
    assert int((server.control / "syncs").read_text()) == 0
    assert server.http.retrieve(g) == g.bytes, "not acknowledged, so not there"
    return g, other


@pytest.mark.parametrize("crash", [False, True])
def test_put_whose_sync_fails_is_undone(faulty, crash):
    """The next write takes its place in the log, and then its file goes."""
    g, other = replaced_with_failing_syncs(faulty, 1)
    wait_for(lambda: len(faulty.stored_files()) == 1, 60, "the new file's removal")
    if crash:
        faulty.kill()
        faulty.start()
        assert faulty.http.retrieve(g) == g.bytes
    assert faulty.http.store(other, method="PUT").status == 200
    assert faulty.http.retrieve(g) == other.bytes


def test_put_whose_sync_and_undoing_fail(faulty):
    """It may count after a crash: both files stay until that is known, and what is there can be had."""
    g, other = replaced_with_failing_syncs(faulty, 2)
    assert len(faulty.stored_files()) == 2
    faulty.kill()
    faulty.start()
    assert faulty.http.retrieve(g) in (g.bytes, other.bytes)
    wait_for(lambda: len(faulty.stored_files()) == 1, 60, "one file is left in its place")
    code, found = faulty.verify("--hash")
    assert (code, found["problemCount"]) == (0, 0), found
