"""Contract section 11: where files lie (T299), and the home as a whole."""

import stat

import pytest
from support import dicom
from support.server import wait_for

# watermark -> first three digits of XXH64 over its decimal text (section 11.1)
PREFIXES = {1: "132", 2: "692", 3: "274", 10: "542", 45: "182", 100: "614"}


def test_T299_file_at_its_path(serve):
    server = serve()
    trio = dicom.trio(8, 8)
    server.http.store(*trio)
    for row, instance in zip(server.http.feed(), trio, strict=True):
        path = server.home / "files" / row["filePath"]
        assert path.read_bytes() == instance.bytes == server.http.retrieve(instance)


def test_names_of_files(serve):
    server = serve({"service.workspace": "ws", "service.name": "svc"})
    base = dicom.report()
    server.http.store(*[base.fresh() for _ in range(120)])
    found = {}
    for row in server.http.feed("?limit=200&includeMetadata=false"):
        folder, _, name = row["filePath"].rpartition("/")
        assert folder == "AHDS/ws/dicom/svc/Microsoft.Default"
        prefix, watermark = name.removesuffix(".dcm").split("_")
        found[int(watermark)] = prefix
    assert len(found) == 120
    known = set(PREFIXES) & set(found)
    assert known, sorted(found)[:5]
    for watermark in known:
        assert found[watermark] == PREFIXES[watermark]


def test_nothing_but_what_belongs_there(serve):
    server = serve({"store.deletion_delay": 0})
    server.http.store(dicom.capture())
    server.http.store(b"not dicom")
    assert server.stop() == 0
    assert {p.name for p in server.home.iterdir()} <= {"files", "state", "config"}
    inside = [p for p in (server.home / "files").rglob("*") if p.is_file()]
    assert [p.suffix for p in inside] == [".dcm"]
    assert not (server.home / "state" / "serve.json").exists()


def test_only_the_owner_may_look(serve, tmp_path):
    """Also in a home that somebody made for all to enter."""
    home = tmp_path / "open"
    home.mkdir(mode=0o755)
    server = serve(home=home)
    server.http.store(dicom.capture())
    for path in home.iterdir():
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o077 == 0, (path.name, oct(mode))


def test_everything_is_there_after_a_restart(serve):
    server = serve()
    trio = dicom.trio(8, 8)
    server.http.store(*trio)
    etag = server.http.get(f"/studies/{trio.study}/metadata").headers["ETag"]
    found = server.http.search("/instances?includefield=all")
    server.restart()
    web = server.http
    assert web.search("/instances?includefield=all") == found
    assert web.get(f"/studies/{trio.study}/metadata").headers["ETag"] == etag
    for instance in trio:
        assert web.retrieve(instance) == instance.bytes


def test_verify_of_a_sound_home(serve):
    server = serve()
    trio = dicom.trio(8, 8)
    server.http.store(*trio)
    server.http.delete(trio.b.path)
    for words in ((), ("--hash",)):
        code, found = server.verify(*words)
        assert code == 0
        assert found["problemCount"] == 0
        assert (found["instances"], found["changes"], found["waiting"]) == (2, 4, 1)


@pytest.mark.parametrize(
    "name", ["132_1.dcm", "999_2.dcm", "692_2_metadata.json", "notes.txt", "_.dcm"]
)
def test_verify_finds_what_nobody_knows(serve, name):
    """A deleted version's file that is back, another name for a known version, other things."""
    server = serve({"store.deletion_delay": 0}, check=False)
    first, second = dicom.report(), dicom.report()
    server.http.store(first)
    server.http.store(second)
    assert [p.name for p in server.stored_files()] == ["132_1.dcm", "692_2.dcm"]
    assert server.http.delete(first.path).status == 204
    wait_for(lambda: len(server.stored_files()) == 1, 60, "the first file's removal")
    assert server.verify()[0] == 0
    (known,) = server.stored_files()
    (known.parent / name).write_bytes(second.bytes)
    code, found = server.verify()
    assert code != 0 and found["problemCount"] == 1, found
    assert name in found["problems"][0]


@pytest.mark.parametrize("where", ["files", "files/AHDS"])
def test_a_stray_spool_is_swept_at_start(serve, where):
    """Whatever a spool is called, nothing but .dcm files is left after a start."""
    server = serve()
    g = dicom.capture()
    server.http.store(g)
    head = (
        "POST /v2/studies HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nContent-Length: 90000000\r\n"
        "Content-Type: application/dicom\r\n\r\n"
    )
    with server.http.socket() as s:
        s.sendall(head.encode() + g.fresh().bytes + bytes(1 << 20))
        server.http.get("/changefeed", {})
        server.kill()
    server.start()
    left = [p for p in (server.home / where).rglob("*") if p.is_file()]
    assert [p.suffix for p in left] == [".dcm"]
    assert server.http.retrieve(g) == g.bytes
