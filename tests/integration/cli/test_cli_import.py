"""The command import: archives, links, large files, interruptions, reasons, the bar."""

import bz2
import contextlib
import gzip
import io
import json
import lzma
import os
import re
import resource
import signal
import socket
import subprocess
import tarfile
import threading
import zipfile

import pytest
from support import dicom
from support.cli import DONE, FAILED, PARTLY, USAGE, facts, many, on_terminal, run, save, send, start
from support.server import wait_for

ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def test_archives(home, tmp_path):
    """Names of entries are labels: nothing is written anywhere but in the home."""
    a, b, c, d, e = (dicom.capture() for _ in range(5))
    box = tmp_path / "box" / "deep"
    box.mkdir(parents=True)
    with zipfile.ZipFile(box / "a.zip", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("../../../escaped.dcm", a.bytes)
        z.writestr("/absolute.dcm", b.bytes)
        z.writestr("notes.txt", "hello")
        inner = io.BytesIO()
        with zipfile.ZipFile(inner, "w") as nested:
            nested.writestr("x.dcm", c.bytes)
        z.writestr("nested.zip", inner.getvalue())
    with tarfile.open(box / "b.tar.gz", "w:gz") as t:
        for name, content in (("../up.dcm", c.bytes), ("empty", b"")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            t.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("link.dcm")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        t.addfile(link)
    (box / "c.dcm.gz").write_bytes(gzip.compress(d.bytes))
    (box / "plain.dcm").write_bytes(e.bytes)
    before = {p for p in tmp_path.rglob("*") if home not in p.parents}
    report = facts("import", "--home", home, box)
    assert (report["stored"], report["skipped"], report["refused"]) == (5, 3, 0)
    skipped = [r for r in report["reasons"] if r["outcome"] == "skipped"]
    assert {f.split(": ")[-1] for r in skipped for f in r["files"]} == {
        "notes.txt",
        "nested.zip",
        "empty",
    }
    (nested,) = [r for r in skipped if r["reason"] == "an archive in an archive, not opened"]
    assert (nested["count"], nested["files"][0].split(": ")[-1]) == (1, "nested.zip")
    after = {p for p in tmp_path.rglob("*") if home not in p.parents}
    assert after - before == {home}
    got = facts("get", a.study, "--home", home, "--to", tmp_path / "out")
    assert got["files"] == 1
    assert (tmp_path / "out" / a.study / a.series / f"{a.sop}.dcm").read_bytes() == a.bytes


def test_damaged_archives_are_refused(home, tmp_path):
    good = many(3, rows=64, columns=64)
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as t:
        for i, instance in enumerate(good):
            info = tarfile.TarInfo(f"{i}.dcm")
            info.size = len(instance.bytes)
            t.addfile(info, io.BytesIO(instance.bytes))
    (tmp_path / "cut.tgz").write_bytes(whole.getvalue()[:-200])
    done = run("import", "--home", home, tmp_path / "cut.tgz", "--json")
    report = json.loads(done.stdout)
    assert done.returncode in (FAILED, PARTLY)
    assert report["refused"] >= 1
    assert report["stored"] < 3
    (tmp_path / "no.zip").write_bytes(b"PK\3\4" + os.urandom(2000))
    report = facts("import", "--home", home, tmp_path / "no.zip", code=FAILED)
    assert report["refused"] == 1


@pytest.mark.parametrize("kind", ["one file", "tar", "tar of much", "two members", "parted mark"])
def test_gzip_files_that_are_not_what_their_check_says_are_refused(kind, home, tmp_path):
    """Level 0 holds the bytes as they are: nothing but the check tells of one that is another."""
    sides = {"tar of much": 2048, "parted mark": 256}
    one = dicom.capture(rows=sides.get(kind, 8), columns=sides.get(kind, 8))
    plain = one.bytes
    if "tar" in kind:
        box = io.BytesIO()
        with tarfile.open(fileobj=box, mode="w") as t:
            info = tarfile.TarInfo("a.dcm")
            info.size = len(one.bytes)
            t.addfile(info, io.BytesIO(one.bytes))
        plain = box.getvalue()
    good = gzip.compress(plain, 0)
    if kind == "two members":
        good = gzip.compress(plain[:300], 0) + gzip.compress(plain[300:], 0)
    if kind == "parted mark":  # of the second member: its first byte is the last that 64 KiB hold
        parts = ([gzip.compress(p, 0) for p in (plain[:k], plain[k:])] for k in range(65000, 65536))
        good = b"".join(next(p for p in parts if len(p[0]) == 65535))
    end = len(good)
    for name, at in (("middle", end // 2), ("crc", end - 8), ("size", end - 1)):
        bad = bytearray(good)
        bad[at] ^= 1
        (tmp_path / f"{name}.gz").write_bytes(bad)
        done = run("import", "--home", home, tmp_path / f"{name}.gz", "--json")
        report = json.loads(done.stdout)
        assert done.returncode in (FAILED, PARTLY), (name, report)
        if report["stored"] > 0:
            assert "files that were stored from it may be" in report["reasons"][-1]["reason"]
        assert report["stored"] == 0 or "tar" in kind, name
    for tail in (b"", bytes(512), b"\x1f", b"\x1f\x8a" + bytes(30)):  # padded, as tapes are; no member
        (tmp_path / "good.gz").write_bytes(good + tail)
        report = facts("import", "--home", home, "--update", tmp_path / "good.gz")
        assert [report[k] for k in ("stored", "storedWithWarnings", "refused")] == [1, 0, 0], tail


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress])
def test_the_check_behind_the_end_of_a_tar_is_read(pack, home, tmp_path):
    box = io.BytesIO()
    with tarfile.open(fileobj=box, mode="w") as t:
        for name in ("a.dcm", "b.dcm"):
            one = dicom.capture(rows=256, columns=256).bytes
            one = one[: len(one) // 2] + os.urandom(len(one) - len(one) // 2)
            info = tarfile.TarInfo(name)
            info.size = len(one)
            t.addfile(info, io.BytesIO(one))
    good = pack(box.getvalue())
    for at in range(1, 8):
        bad = bytearray(good)
        bad[len(bad) * at // 8] ^= 1
        (tmp_path / "bad").write_bytes(bad)
        done = run("import", "--home", home, tmp_path / "bad", "--json")
        assert done.returncode in (FAILED, PARTLY), (at, done.stdout)
    (tmp_path / "good").write_bytes(good)
    assert facts("import", "--home", home, "--update", tmp_path / "good")["refused"] == 0


def test_large_entries_and_files_are_streamed(home, tmp_path):
    """Beyond what is held in memory; the process stays small."""
    big = dicom.capture(3000, 3000, shape="none")  # 27 MB
    entry = big.fresh()
    (tmp_path / "big.dcm").write_bytes(big.bytes)
    with zipfile.ZipFile(tmp_path / "big.zip", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("small.dcm", dicom.capture().bytes)
        z.writestr("big.dcm", entry.bytes)
    report = facts("import", "--home", home, tmp_path / "big.dcm", tmp_path / "big.zip")
    assert report["stored"] == 3
    for instance in (big, entry):
        facts("get", instance.study, "--home", home, "--to", tmp_path / "out")
        path = tmp_path / "out" / instance.study / instance.series / f"{instance.sop}.dcm"
        assert path.read_bytes() == instance.bytes


def test_memory_does_not_grow_with_the_file(serve, tmp_path):
    service = serve()
    with open(tmp_path / "huge.dcm", "wb") as f:
        head = dicom.capture(PixelData=("OB", b"")).bytes
        assert head.endswith(b"OB\0\0\0\0\0\0")
        size = 400 << 20
        f.write(head[:-4] + size.to_bytes(4, "little"))
        f.truncate(len(head) + size)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    report = facts("import", "--url", service.base, tmp_path / "huge.dcm")
    assert report["stored"] == 1
    after = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert after == before or after < 200 << 10, f"{after} KiB"


def test_links_and_other_things_in_folders(home, tmp_path):
    inside = save(tmp_path / "tree" / "a", *many(3))
    secret = save(tmp_path / "outside", dicom.capture())
    (tmp_path / "tree" / "loop").symlink_to("..")
    (tmp_path / "tree" / "a" / "self").symlink_to(".")
    (tmp_path / "tree" / "out").symlink_to(secret)
    (tmp_path / "tree" / "file").symlink_to(secret / "0000.dcm")
    (tmp_path / "way").symlink_to(tmp_path / "tree")
    os.mkfifo(tmp_path / "tree" / "pipe")
    report = facts("import", "--home", home, tmp_path / "way")
    assert (report["stored"], report["skipped"]) == (3, 5)
    assert {r["reason"]: r["count"] for r in report["reasons"]} == {
        "symbolic link, not followed": 4,
        "not a regular file": 1,
    }
    # what a person names is followed, and refused when it is nothing to import
    report = facts("import", "--home", home, tmp_path / "tree" / "file")
    assert report["stored"] == 1
    report = facts("import", "--home", home, tmp_path / "tree" / "pipe", code=FAILED)
    assert report["refused"] == 1
    assert inside.exists()


def test_resume(where, tmp_path):
    files = many(120)
    save(tmp_path / "in", *files[:50])
    assert facts("import", *where, tmp_path / "in")["stored"] == 50
    save(tmp_path / "in", *files)
    report = facts("import", *where, tmp_path / "in")
    assert (report["stored"], report["alreadyThere"], report["refused"]) == (70, 50, 0)
    report = facts("import", *where, tmp_path / "in")
    assert (report["stored"], report["alreadyThere"]) == (0, 120)


def test_the_same_file_twice_at_once(home, tmp_path):
    one = dicom.capture()
    for i in range(40):
        save(tmp_path / f"in{i}", one)
    report = facts("import", "--home", home, *(tmp_path / f"in{i}" for i in range(40)))
    assert (report["stored"], report["alreadyThere"], report["refused"]) == (1, 39, 0)


def test_update_replaces(home, tmp_path):
    one = dicom.capture()
    save(tmp_path / "in", one)
    assert facts("import", "--home", home, tmp_path / "in")["stored"] == 1
    save(tmp_path / "in", one.with_(PatientName="Other^Name"))
    assert facts("import", "--home", home, tmp_path / "in")["alreadyThere"] == 1
    assert facts("import", "--home", home, tmp_path / "in", "--update")["stored"] == 1
    (match,) = facts("search", "--home", home)
    assert match["00100010"]["Value"] == [{"Alphabetic": "Other^Name"}]


def test_reasons_without_patient_data(home, tmp_path):
    good = dicom.capture()
    save(
        tmp_path / "in",
        good,
        good.fresh(PatientBirthDate="SECRETDATE"),
        good.fresh(PatientBirthDate="SECRETDAY1"),
        good.fresh(PatientID=None, PatientName="Secret^Name"),
    )
    (tmp_path / "in" / "readme.txt").write_text("SECRET words")
    (tmp_path / "in" / "empty.dcm").write_bytes(b"")
    done = run("import", "--home", home, tmp_path / "in", "--verbose")
    assert done.returncode == PARTLY
    assert "secret" not in (done.stdout + done.stderr).lower().replace(str(tmp_path).lower(), "")
    assert re.search(r"^ +1  stored$", done.stdout, re.M)
    assert re.search(r"^ +2  stored with warnings$", done.stdout, re.M)
    assert re.search(
        r"^ +2  some attributes failed validation \(1\) \(0010,0030\)$", done.stdout, re.M
    )
    assert re.search(
        r"^ +1  the data set fails validation \(43264\) \(0010,0020\)$", done.stdout, re.M
    )
    assert re.search(r"^ +2  not DICOM$", done.stdout, re.M)
    assert re.fullmatch(
        r"refused: .*0003\.dcm: the data set fails validation \(43264\) \(0010,0020\)\n",
        done.stderr,
    )
    report = facts("import", "--home", home, tmp_path / "in", code=PARTLY)
    (refused,) = [r for r in report["reasons"] if r["outcome"] == "refused"]
    assert refused["code"] == 43264
    assert refused["count"] == 1
    assert [f.rsplit("/", 1)[1] for f in refused["files"]] == ["0003.dcm"]


def test_exit_codes_of_import(home, tmp_path):
    good = save(tmp_path / "good", dicom.capture())
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.dcm").write_bytes(bytes(128) + b"DICMgarbage")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("no")
    for paths, code in (
        ([good], DONE),
        ([tmp_path / "bad"], FAILED),
        ([good, tmp_path / "bad"], PARTLY),
        ([tmp_path / "text"], DONE),  # found in a folder: skipped
        ([tmp_path / "text" / "notes.txt"], FAILED),  # named: refused
        ([good, tmp_path / "nowhere"], PARTLY),
        ([tmp_path / "nowhere"], FAILED),
    ):
        done = run("import", "--home", home, *paths)
        assert done.returncode == code, (paths, done.stdout, done.stderr)
        assert done.stderr == ""


BARE = "a bare data set, without preamble and file meta information"


def test_bare_data_sets_are_refused_not_passed_over(home, tmp_path):
    """They are DICOM that the service does not take: a folder of them is not done."""
    one = dicom.capture()
    folder = tmp_path / "bare"
    folder.mkdir()
    for name, syntax in (("i", dicom.IMPLICIT), ("e", dicom.EXPLICIT), ("b", dicom.BIG_ENDIAN)):
        data = dicom.encode(one.data, syntax != dicom.IMPLICIT, syntax != dicom.BIG_ENDIAN)
        (folder / name).write_bytes(data)
    (folder / "meta").write_bytes(one.bytes[132:])
    (folder / "mark").write_bytes(one.bytes[128:])
    (folder / "text").write_text("notes")
    (folder / "zeros").write_bytes(bytes(1000))
    with zipfile.ZipFile(tmp_path / "bare.zip", "w") as z:
        z.write(folder / "i")
    report = facts("import", "--home", home, folder, tmp_path / "bare.zip", code=FAILED)
    assert [(r["outcome"], r["reason"], r["count"]) for r in report["reasons"]] == [
        ("refused", BARE, 6),
        ("skipped", "not DICOM", 2),
    ]


def test_dicomdir_is_skipped(home, tmp_path):
    folder = save(tmp_path / "cd", dicom.capture())
    directory = dicom.put({}, SOPClassUID="1.2.840.10008.1.3.10", SOPInstanceUID=dicom.uid())
    (folder / "DICOMDIR").write_bytes(dicom.file_bytes(directory))
    report = facts("import", "--home", home, folder)
    assert (report["stored"], report["skipped"], report["refused"]) == (1, 1, 0)


def test_partitions(serve, tmp_path):
    service = serve({"service.partitions": "on"})
    one = dicom.capture()
    save(tmp_path / "in", one)
    where = ["--home", service.home]
    done = run("import", *where, tmp_path / "in")
    assert done.returncode == FAILED
    assert "the service answered HTTP 400 (is --partition right?)" in done.stdout
    save(tmp_path / "more", *many(300))
    done = run("import", *where, tmp_path / "more")
    assert done.returncode == FAILED
    assert "is --partition right?" in done.stderr
    assert "stopped before the end" in done.stdout
    for name in ("clinic-A", "clinic-B"):
        assert facts("import", *where, "--partition", name, tmp_path / "in")["stored"] == 1
        assert len(facts("search", *where, "--partition", name)) == 1
    assert (
        facts("get", one.study, *where, "--partition", "clinic-A", "--to", tmp_path)["files"] == 1
    )
    facts("delete", one.study, *where, "--partition", "clinic-A", "--yes")
    assert facts("search", *where, "--partition", "clinic-A") == []
    assert len(facts("search", *where, "--partition", "clinic-B")) == 1
    assert run("search", *where, "--partition", "none").returncode == USAGE
    names = [line.split("\t")[4] for line in run("feed", *where).stdout.splitlines()]
    assert names == ["clinic-A", "clinic-B", "clinic-A"]


def test_the_limit_of_the_service_is_a_reason(serve, tmp_path):
    service = serve({"http.body_limit": "1500000"})
    save(tmp_path / "in", *many(5), dicom.capture(1000, 1000))
    report = facts("import", "--url", service.base, tmp_path / "in", code=PARTLY)
    assert (report["stored"], report["refused"]) == (5, 1)
    assert [r["reason"] for r in report["reasons"]] == ["larger than the service takes (HTTP 413)"]


def test_service_away(tmp_path):
    save(tmp_path / "in", *many(200))
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{s.getsockname()[1]}"  # bound, nobody listens
        done = run("import", "--url", url, tmp_path / "in", "--json")
        assert done.returncode == FAILED
        assert json.loads(done.stdout)["complete"] is False
        assert re.fullmatch(r"dicomlake: .*\n", done.stderr)
        for words in (["search"], ["get", "1.2"], ["delete", "1.2", "--yes"], ["feed"]):
            done = run(*words, "--url", url, cwd=tmp_path)
            assert (done.returncode, done.stdout) == (FAILED, ""), words


def test_service_dies_in_the_middle(serve, tmp_path):
    service = serve()
    save(tmp_path / "in", *many(3000))
    process = start("import", "--url", service.base, tmp_path / "in", "--json")
    wait_for(lambda: len(service.stored_files()) > 600, what="some files")
    service.kill()
    out, err = process.communicate(timeout=60)
    report = json.loads(out)
    assert process.returncode == FAILED
    assert report["complete"] is False
    assert 0 < report["stored"] < 3000
    assert "dicomlake: " in err
    # what was said to be stored is there, and the rest follows
    service.start()
    again = facts("import", "--url", service.base, tmp_path / "in")
    assert again["stored"] + again["alreadyThere"] == 3000
    assert again["alreadyThere"] >= report["stored"]


def stored_answer(handler, gate=None, counts=None):
    """Say that every part was stored, once the gate is open; `counts` gets the number of parts."""
    uids = re.findall(rb"\x08\0\x18\0UI..([0-9.]+)", handler.body())
    if counts is not None:
        counts.append(len(uids))
    if gate is not None:
        gate.wait(600)
    items = [{"00081155": {"vr": "UI", "Value": [u.decode()]}} for u in uids]
    body = json.dumps({"00081199": {"vr": "SQ", "Value": items}}).encode()
    with contextlib.suppress(OSError):
        handler.say(200, "application/dicom+json", body)


def test_first_interrupt_finishes_the_second_cuts_off(peer, tmp_path):
    save(tmp_path / "in", *many(400))
    counts = []  # at most 32 a request, fewer where the folder is read slower than files are sent
    gate = threading.Event()
    slow = peer(lambda handler: stored_answer(handler, gate, counts))
    process = start("import", "--url", slow.url, tmp_path / "in", "--json", "-j", "2")
    wait_for(lambda: len(counts) == 2, what="two requests")
    send(process)
    gate.set()
    out, err = process.communicate(timeout=120)
    report = json.loads(out)
    assert process.returncode == FAILED
    assert (report["complete"], report["stored"]) == (False, sum(counts))
    assert len(slow.asked) == len(counts) == 2

    never = threading.Event()
    stuck = peer(lambda handler: (handler.body(), never.wait(600)))
    process = start("import", "--url", stuck.url, tmp_path / "in", "--json", "-j", "2")
    wait_for(lambda: len(stuck.asked) == 2, what="two requests")
    send(process)
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)  # nobody has answered by then
    never.set()
    assert process.returncode == FAILED
    assert json.loads(out)["stored"] == 0


def test_small_files_share_requests(peer, tmp_path):
    fast = peer(stored_answer)
    save(tmp_path / "in", *many(64), dicom.capture(900, 900))
    report = facts("import", "--url", fast.url, tmp_path / "in", "-j", "1")
    assert report["stored"] == 65
    assert set(fast.asked) == {"POST /dicom-web/studies"}
    assert len(fast.asked) < 20


def test_the_bar_shows_on_a_terminal_only(home, tmp_path):
    save(tmp_path / "in", *many(3000))
    code, out, shown = on_terminal("import", "--home", home, tmp_path / "in", width=70)
    assert code == DONE
    assert re.search(r"^ +3000  stored$", out, re.M)
    assert "importing  " in shown and " files" in shown
    lines = [ESCAPES.sub("", line).strip("\n") for line in shown.split("\r")]
    assert max(len(line) for line in lines) <= 70
    assert any(re.search(r"/\d+\+? files", line) for line in lines)
    assert shown.endswith("\r\x1b[K")  # wiped at the end
    done = run("import", "--home", home, tmp_path / "in")
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
