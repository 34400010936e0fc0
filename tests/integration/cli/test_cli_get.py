"""The commands get and delete: what is written where, cut answers, questions before deletion."""

import gzip
import json
import re

import pytest
from support import dicom, http
from support.cli import DONE, FAILED, PARTLY, USAGE, facts, on_terminal, run, save

MULTIPART = 'multipart/related; type="application/dicom"; boundary=xyz'


def multipart(*files, locations=()):
    """A body of that type."""
    heads = [{"Content-Type": "application/dicom"} for _ in files]
    for head, location in zip(heads, locations, strict=False):
        head["Content-Location"] = location
    return http.multipart(*zip(heads, files, strict=True), boundary="xyz")[1]


# -- get --


def test_get_from_a_peer_without_locations(peer, tmp_path):
    trio = dicom.trio(8, 8)
    other = peer(lambda h: h.say(200, MULTIPART, multipart(*(i.bytes for i in trio))))
    got = facts("get", trio.study, "--url", other.url, "--to", tmp_path)
    assert got["files"] == 3
    for i in trio:
        assert (tmp_path / i.study / i.series / f"{i.sop}.dcm").read_bytes() == i.bytes
    single = peer(lambda h: h.say(200, "application/dicom", trio.g.bytes))
    assert facts("get", trio.study, "--url", single.url, "--to", tmp_path / "2")["files"] == 1


def test_get_never_leaves_the_folder(peer, tmp_path):
    one = dicom.capture()
    places = [
        "http://h/studies/../series/../instances/..%2f..%2fx",
        "/studies/1/series/2/instances/../../y",
    ]
    for place in places:  # not UIDs: the file itself is asked
        sly = peer(lambda h, p=place: h.say(200, MULTIPART, multipart(one.bytes, locations=[p])))
        facts("get", "1.2", "--url", sly.url, "--to", tmp_path / "to")
    assert [p.name for p in tmp_path.iterdir()] == ["to"]
    assert [p.name for p in (tmp_path / "to").rglob("*.*") if p.is_file()] == [f"{one.sop}.dcm"]
    evil = one.with_(SOPInstanceUID="../../../etc/x")
    worse = peer(lambda h: h.say(200, MULTIPART, multipart(evil.bytes)))
    done = run("get", "1.2", "--url", worse.url, "--to", tmp_path / "to2")
    assert done.returncode == FAILED
    assert list((tmp_path / "to2").iterdir()) == []


def test_get_of_what_is_not_there_leaves_nothing(serve, peer, tmp_path):
    other = peer(lambda h: h.say(200, "text/html", b"<p>"))
    for base in (serve().base, other.url):
        assert run("get", "1.2.3", "--url", base, "--to", tmp_path / "a" / "b").returncode == FAILED
        assert list(tmp_path.glob("a")) == []


def test_get_of_odd_answers(peer, tmp_path):
    """Others' faults are theirs, and what arrived is told apart from what did not."""
    one = dicom.capture()
    body = multipart(one.bytes)
    packed = gzip.compress(body)
    rows = [
        (200, "multipart/related", body, FAILED, "multipart without a boundary"),
        (200, MULTIPART, b"", FAILED, "the answer holds no files"),
        (200, MULTIPART, b"--xyz--\r\n", FAILED, "the answer holds no files"),
        (204, None, b"", FAILED, "there is no study 1.2.3"),
        (206, MULTIPART, body, PARTLY, "the service has more of the study than it gives"),
    ]
    for status, kind, sent, code, said in rows:
        other = peer(lambda h, s=status, k=kind, b=sent: h.say(s, k, b))
        done = run("get", "1.2.3", "--url", other.url, "--to", tmp_path / str(len(sent)))
        assert (done.returncode, said in done.stderr) == (code, True), (status, done.stderr)
    codings = []

    def pack(h):
        codings.append(h.headers["Accept-Encoding"])
        h.say(200, MULTIPART, packed, Content_Encoding="gzip")

    run("get", "1.2.3", "--url", peer(pack).url, "--to", tmp_path / "packed")
    assert codings == ["identity"]  # unasked, any coding would be fair


@pytest.mark.parametrize("whole_parts, code", [(0, FAILED), (1, PARTLY), (2, PARTLY)])
def test_get_of_a_cut_answer(peer, tmp_path, whole_parts, code):
    a, b = dicom.capture(), dicom.capture()
    body = multipart(a.bytes, b.bytes)
    ends = [
        len(a.bytes) // 2,
        body.index(b.bytes) + 10,
        len(body) - 2,
    ]  # the last: not as long as said

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", MULTIPART)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: ends[whole_parts]])
        handler.close_connection = True

    cut = peer(answer)
    done = run("get", "1.2", "--url", cut.url, "--to", tmp_path, "--json")
    assert done.returncode == code, done.stderr
    assert re.fullmatch(r"dicomlake: .*\n", done.stderr)
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(files) == whole_parts
    assert {p.read_bytes() for p in files} <= {a.bytes, b.bytes}
    if whole_parts:
        report = json.loads(done.stdout)
        assert (report["files"], report["complete"]) == (whole_parts, False)


# -- delete --


def test_delete_asks(home, tmp_path):
    one = dicom.capture()
    save(tmp_path / "in", one)
    facts("import", "--home", home, tmp_path / "in")
    where = ["--home", home]
    done = run("delete", one.study, *where)
    assert done.returncode == USAGE
    assert "--yes" in done.stderr
    for typed in (b"n\n", b"\n", b"yess\n"):
        code, out, shown = on_terminal("delete", one.study, *where, typed=typed)
        assert (code, out) == (FAILED, "")
        assert f"Delete study {one.study}" in shown and "nothing was deleted" in shown
        assert len(facts("search", *where)) == 1
    code, out, _ = on_terminal("delete", one.study, *where, typed=b"y\n")
    assert (code, out) == (DONE, f"deleted study {one.study}\n")
    assert facts("search", *where) == []
