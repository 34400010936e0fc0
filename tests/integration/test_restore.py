"""An index put back alone, older than the files beside it (docs/operations.md): no file is lost."""

import shutil

from support import dicom

NEWER = "is newer than the index"


def keep_index(server, folder):
    """A copy of the database files; the server may run, when nothing is under way."""
    folder.mkdir()
    for path in (server.home / "state").glob("index.db*"):
        shutil.copy2(path, folder)


def put_back(server, folder):
    for path in (server.home / "state").glob("index.db*"):
        path.unlink()
    for path in folder.iterdir():
        shutil.copy2(path, server.home / "state")


def aside(server):
    """Contents of what was moved aside."""
    folder = server.home / "files" / ".unreferenced"
    return sorted(p.read_bytes() for p in folder.rglob("*") if p.is_file())


def bytes_of(*instances):
    return sorted(i.bytes for i in instances)


def test_files_beyond_the_index(serve, tmp_path):
    """The copy was made after an orderly stop: new stores meet names that are taken."""
    server = serve()
    a, b, c, d, e, f = (dicom.report() for _ in range(6))
    server.http.store(a)
    server.stop()
    keep_index(server, tmp_path / "kept")
    server.start()
    server.http.store(b)
    server.http.store(c)
    server.stop()
    put_back(server, tmp_path / "kept")
    code, found = server.verify()
    assert code == 1 and [p.endswith(NEWER) for p in found["problems"]] == [True, True], found
    server.start()
    assert server.http.store(d).status == 200
    assert server.http.retrieve(a) == a.bytes
    assert server.http.retrieve(d) == d.bytes
    assert aside(server) == bytes_of(b)
    assert "op=set-aside" in server.log()
    server.stop()
    code, found = server.verify("--hash")
    assert code == 1 and found["problemCount"] == 1 and found["unreferenced"] == 1, found
    server.start()
    assert server.http.store(e).status == 200
    code, found = server.verify("--hash")
    assert (code, found["unreferenced"]) == (0, 2), found
    assert all("was moved aside" in text for text in found["notices"]), found
    assert aside(server) == bytes_of(b, c)
    server.stop()
    put_back(server, tmp_path / "kept")  # once more: the same names again
    server.start()
    assert server.http.store(f).status == 200
    assert aside(server) == bytes_of(b, c, d)
    assert server.http.retrieve(f) == f.bytes
    server.check = False  # the file of `e` is newer than the index


def test_files_within_the_numbers_given(serve, tmp_path):
    """The copy was made of a running service, which had reserved numbers: the next start finds them."""
    server = serve()
    a, b, c = (dicom.report() for _ in range(3))
    server.http.store(a)
    keep_index(server, tmp_path / "kept")
    server.http.store(b)
    server.http.delete(a.path)
    server.kill()
    put_back(server, tmp_path / "kept")
    server.start()
    assert aside(server) == bytes_of(b)
    assert server.http.retrieve(a) == a.bytes
    assert server.http.store(b).status == 200
    assert server.http.store(c).status == 200
    code, found = server.verify("--hash")
    assert (code, found["unreferenced"]) == (0, 1), found


def test_what_was_moved_aside_is_told(serve, tmp_path):
    server = serve()
    server.stop()
    folder = server.home / "files" / ".unreferenced" / "AHDS"
    folder.mkdir(parents=True)
    (folder / "123_1.dcm").write_bytes(b"x")
    code, found = server.verify()
    assert (code, found["unreferenced"], found["problemCount"]) == (0, 1, 0)
    assert found["notices"] == [
        "file .unreferenced/AHDS/123_1.dcm was moved aside: no instance has it"
    ]
