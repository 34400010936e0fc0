"""The commands, from the outside: what they print, what they exit with, what they leave behind."""

import contextlib
import fcntl
import gzip
import http.server
import io
import json
import os
import pathlib
import pty
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import termios
import threading
import time
import zipfile

import deltalake
import duckdb
import duckdb_extension_delta
import pyarrow
import pydicom.data
import pytest
from support import dicom, orthanc
from support.server import ROOT, program, wait_for

DONE, FAILED, USAGE, PARTLY = 0, 1, 2, 3
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


# -- running the program --


def run(*words, env=None, stdin=subprocess.DEVNULL, timeout=120, cwd=None):
    return subprocess.run(
        [program(), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=stdin,
        cwd=cwd,
        env={**{k: v for k, v in os.environ.items() if k != "DICOMLAKE_HOME"}, **(env or {})},
    )


def facts(*words, code=DONE, **options):
    """The JSON that a command prints; its exit code is checked."""
    done = run(*words, "--json", **options)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout)


def start(*words, **options):
    return subprocess.Popen(
        [program(), *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        **options,
    )


def on_terminal(*words, typed=b"", width=80, stdout_too=False):
    """Run with standard error (and input) on a terminal: (exit code, stdout, what it showed)."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    process = subprocess.Popen(
        [program(), *map(str, words)],
        stdin=slave,
        stdout=slave if stdout_too else subprocess.PIPE,
        stderr=slave,
    )
    os.close(slave)
    if typed:
        os.write(master, typed)
    shown = b""
    out = b""
    end = time.monotonic() + 60
    streams = [master] + ([] if stdout_too else [process.stdout.fileno()])
    while streams and time.monotonic() < end:
        for stream in select.select(streams, [], [], 1)[0]:
            try:
                piece = os.read(stream, 65536)
            except OSError:  # the terminal's other end is closed
                piece = b""
            if not piece:
                streams.remove(stream)
            elif stream == master:
                shown += piece
            else:
                out += piece
    code = process.wait(30)
    if process.stdout:
        process.stdout.close()
    os.close(master)
    return code, out.decode(), shown.decode()


def save(folder, *instances):
    folder.mkdir(parents=True, exist_ok=True)
    for i, instance in enumerate(instances):
        (folder / f"{i:04}.dcm").write_bytes(instance.bytes)
    return folder


def many(count, **changes):
    first = dicom.capture(**changes)
    return [first.fresh("instance", InstanceNumber=str(i + 1)) for i in range(count)]


@pytest.fixture
def home(tmp_path):
    """A home that no service runs on; verified at the end when it was made."""
    yield tmp_path / "archive"
    if (tmp_path / "archive" / "state").exists():
        done = run("verify", "--home", tmp_path / "archive", "--hash")
        assert done.returncode == DONE, done.stdout + done.stderr


@pytest.fixture(params=["alone", "beside a service", "by URL"])
def where(request, tmp_path):
    """Every way to say which archive: the options, and a running service or none."""
    if request.param == "alone":
        return ["--home", str(tmp_path / "archive")]
    serve = request.getfixturevalue("serve")
    service = serve()
    return ["--home", str(service.home)] if "beside" in request.param else ["--url", service.base]


# -- a peer of somebody else --


class Peer:
    """An HTTP server that answers as a function says: answer(handler) -> None."""

    def __init__(self, answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                peer.asked.append(f"{self.command} {self.path}")
                answer(self)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

            def body(self):
                length = self.headers.get("Content-Length")
                if length is not None:
                    return self.rfile.read(int(length))
                out = b""
                while size := int(self.rfile.readline(), 16):
                    out += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return out

            def say(self, status, kind, body=b"", **headers):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                for name, text in headers.items():
                    self.send_header(name.replace("_", "-"), text)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words):
                pass

        peer = self
        self.asked = []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/dicom-web"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def peer():
    made = []

    def make(answer):
        made.append(Peer(answer))
        return made[-1]

    yield make
    for p in made:
        p.server.shutdown()
        p.server.server_close()


def multipart(*files, locations=()):
    out = b""
    for i, file in enumerate(files):
        out += b"--xyz\r\nContent-Type: application/dicom\r\n"
        if locations:
            out += f"Content-Location: {locations[i]}\r\n".encode()
        out += b"\r\n" + file + b"\r\n"
    return out + b"--xyz--\r\n"


MULTIPART = 'multipart/related; type="application/dicom"; boundary=xyz'


# -- help and usage --

COMMANDS = [
    *("serve", "import", "search", "get", "delete", "feed", "sync", "table"),
    *("connection", "pipeline", "trigger", "run", "lakehouse", "shortcut", "sql", "notebook"),
    *("verify", "version"),
]


def test_help_lists_every_command():
    done = run("help")
    assert done.returncode == DONE
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", done.stdout, re.M), command
    for words in (["--help"], ["-h"], ["help", "--help"], ["help", "-h"]):
        assert run(*words).stdout == done.stdout, words
    assert run().returncode == USAGE


@pytest.mark.parametrize("command", COMMANDS)
def test_help_and_manual_agree(command):
    done = run(command, "--help")
    assert done.returncode == DONE
    assert done.stdout.startswith(f"usage: dicomlake {command}")
    assert "\nexample:\n  dicomlake " in done.stdout
    options = r"^ +(?:-(\w), +)?--([\w-]+)(?: ([A-Z:=]+))?(?:  |$)"
    in_help = set(re.findall(options, done.stdout.split("settings (")[0], re.M))
    manual = (ROOT / "packaging" / "dicomlake.1").read_text()
    section = re.search(rf"^\.SS {command}\b(.*?)^\.S[SH] ", manual, re.M | re.S).group(1)
    in_manual = set()
    for tag in re.findall(r"^\.TP\n(.*)", section, re.M):
        plain = re.sub(r"\\f.", "", tag.replace("\\-", "-")).replace('"', "")
        plain = re.sub(r"\s*,\s*", ", ", re.sub(r"^\.\w+ ", "", plain))
        match = re.match(r"(?:-(\w), )?--([\w-]+)(?: +([A-Z:=]+))?$", plain.strip())
        assert match, tag
        in_manual.add(tuple(g or "" for g in match.groups()))
    assert in_help == in_manual


def test_serve_help_lists_every_setting():
    text = run("serve", "--help").stdout
    for name in ("service.partitions", "http.body_limit", "store.deletion_delay", "cors.origins", "factory.schedule"):
        assert re.search(rf"^  {re.escape(name)} .*\(default: ", text, re.M), name


def test_version():
    version = facts("version")
    assert version["name"] == "dicomlake"
    assert re.fullmatch(r"\d+\.\d+\.\d+", version["version"])
    assert (
        run("--version").stdout
        == f"dicomlake {version['version']} (DICOM {version['dicomEdition']})\n"
    )


@pytest.mark.parametrize(
    "words, said",
    [
        (["import"], "something is missing"),
        (["search", "--home", "a", "--url", "http://h"], "exclude each other"),
        (["search"], "no archive named; give --home DIR or --url URL, or set DICOMLAKE_HOME"),
        (["search", "--url", "h:80"], "not a URL"),
        (["search", "--url", "http://u:secret@h"], "user name"),
        (["get", "..", "--url", "http://h"], "not a UID"),
        (["feed", "--after", "-1"], "--after"),
        (["serve", "--home", "x", "--listen", "80"], "not HOST:PORT"),
        (["serve", "--home", "x", "--set", "http.body_limit"], "NAME=VALUE"),
        (["serve", "--home", "x", "--set", "no.such=1"], "no.such"),
        (["serve", "--home", "x", "--set", "service.partitions=perhaps"], "service.partitions"),
        (["import", "--jobs", "0", "x"], "from 1 to 64"),
    ],
)
def test_wrong_usage(words, said, tmp_path):
    done = run(*words, cwd=tmp_path)
    assert done.returncode == USAGE
    assert done.stdout == ""
    assert re.fullmatch(r"dicomlake: .*\n", done.stderr), done.stderr
    assert said in done.stderr
    assert "secret" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_mistyped_home_does_not_become_an_archive(tmp_path):
    for words in (["search"], ["get", "1.2"], ["delete", "1.2", "--yes"], ["feed"], ["verify"]):
        done = run(*words, "--home", tmp_path / "typo")
        assert done.returncode == FAILED, (words, done.stderr)
        assert not (tmp_path / "typo").exists(), words
        assert f"no archive in {tmp_path / 'typo'}" in done.stderr


def test_home_comes_from_the_environment(home, tmp_path):
    save(tmp_path / "in", dicom.capture())
    env = {"DICOMLAKE_HOME": str(home)}
    assert facts("import", tmp_path / "in", env=env)["stored"] == 1
    assert len(facts("search", env=env)) == 1
    assert len(facts("verify", env=env)["problems"]) == 0


# -- the round --


def test_import_search_get_delete_feed(where, tmp_path):
    trio = dicom.trio(8, 8)
    save(tmp_path / "in", *trio)
    report = facts("import", *where, tmp_path / "in")
    assert report["stored"] == 3
    assert report["complete"] is True
    assert report["bytes"] == sum(len(i.bytes) for i in trio)
    assert report["reasons"] == []
    assert report["seconds"] > 0

    studies = facts("search", *where, f"StudyInstanceUID={trio.study}")
    assert [s["0020000D"]["Value"] for s in studies] == [[trio.study]]
    assert len(facts("search", "series", *where)) == 2
    assert len(facts("search", "instances", *where, "--limit", "2")) == 2
    assert facts("search", *where, "PatientID=nobody") == []

    got = facts("get", trio.study, *where, "--to", tmp_path / "out")
    assert (got["files"], got["complete"]) == (3, True)
    assert got["bytes"] == report["bytes"]
    files = {p.relative_to(tmp_path / "out"): p for p in (tmp_path / "out").rglob("*.dcm")}
    wanted = {pathlib.Path(i.study, i.series, i.sop + ".dcm"): i.bytes for i in trio}
    assert {name: path.read_bytes() for name, path in files.items()} == wanted
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files.values())

    one = facts("get", trio.b.study, trio.b.series, trio.b.sop, *where, "--to", tmp_path / "one")
    assert one["files"] == 1

    assert facts("delete", trio.b.study, trio.b.series, *where, "--yes") == {
        "deleted": "series",
        "studyInstanceUid": trio.b.study,
        "seriesInstanceUid": trio.b.series,
    }
    again = run("delete", trio.b.study, trio.b.series, *where, "--yes")
    assert (again.returncode, again.stdout) == (FAILED, "")
    gone = run("get", trio.b.study, trio.b.series, *where, "--to", tmp_path / "none")
    assert (gone.returncode, gone.stdout) == (FAILED, "")

    done = run("feed", *where)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [r[0] for r in rows] == ["1", "2", "3", "4"]
    states = {(r[2], r[3]): r[7] for r in rows}
    assert sorted((r[2], r[3]) for r in rows) == [
        ("Create", "Current"),
        ("Create", "Current"),
        ("Create", "Deleted"),
        ("Delete", "Deleted"),
    ]
    assert states["Create", "Deleted"] == states["Delete", "Deleted"] == trio.b.sop
    assert all(len(r) == 8 and r[4] == "Microsoft.Default" and r[5] == trio.study for r in rows)


def test_real_files(home, tmp_path):
    """Whatever pydicom ships: each file is stored as it is, or refused with a reason."""
    source = pathlib.Path(pydicom.data.__file__).parent / "test_files"
    report = facts("import", "--home", home, source, code=PARTLY)
    files = [p for p in source.rglob("*") if p.is_file()]
    outcomes = ("stored", "storedWithWarnings", "alreadyThere", "refused", "skipped")
    assert sum(report[o] for o in outcomes) == len(files)
    assert report["stored"] > 60
    again = facts("import", "--home", home, source, code=PARTLY)
    assert again["stored"] == again["storedWithWarnings"] == 0
    assert again["refused"] == report["refused"]
    assert again["alreadyThere"] == sum(report[o] for o in outcomes[:3])
    instances = facts("search", "instances", "--home", home, "--all")
    assert len(instances) == report["stored"] + report["storedWithWarnings"]
    known = {i.read_bytes() for i in files}
    studies = {i["0020000D"]["Value"][0] for i in instances}
    count = 0
    for study in studies:
        count += facts("get", study, "--home", home, "--to", tmp_path / "out")["files"]
    assert count == len(instances)
    for path in (tmp_path / "out").rglob("*.dcm"):
        content = path.read_bytes()
        if content not in known:  # a dangerous preamble is zeroed (contract 5.2)
            assert bytes(128) + content[128:] == content
            assert any(content[128:] == k[128:] for k in known)


def test_two_commands_at_once_wait_for_each_other(home, tmp_path):
    save(tmp_path / "in", *many(20))
    assert facts("import", "--home", home, tmp_path / "in")["stored"] == 20
    running = [start("search", "instances", "--home", home, "--json") for _ in range(4)]
    for process in running:
        out, err = process.communicate(timeout=60)
        assert process.returncode == DONE, err
        assert len(json.loads(out)) == 20


# -- import --


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
    report = facts("import", "--home", home, tmp_path / "way", timeout=20)
    assert (report["stored"], report["skipped"]) == (3, 5)
    assert {r["reason"]: r["count"] for r in report["reasons"]} == {
        "symbolic link, not followed": 4,
        "not a regular file": 1,
    }
    # what a person names is followed, and refused when it is nothing to import
    report = facts("import", "--home", home, tmp_path / "tree" / "file")
    assert report["stored"] == 1
    report = facts("import", "--home", home, tmp_path / "tree" / "pipe", timeout=20, code=FAILED)
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
        done = run("import", "--url", url, tmp_path / "in", "--json", timeout=30)
        assert done.returncode == FAILED
        assert json.loads(done.stdout)["complete"] is False
        assert re.fullmatch(r"dicomlake: .*\n", done.stderr)
        for words in (["search"], ["get", "1.2"], ["delete", "1.2", "--yes"], ["feed"]):
            done = run(*words, "--url", url, cwd=tmp_path, timeout=30)
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


def stored_answer(handler, delay=0.0, counts=None):
    """Say that every part was stored, after a while; `counts` gets the number of parts."""
    uids = re.findall(rb"\x08\0\x18\0UI..([0-9.]+)", handler.body())
    if counts is not None:
        counts.append(len(uids))
    time.sleep(delay)
    items = [{"00081155": {"vr": "UI", "Value": [u.decode()]}} for u in uids]
    body = json.dumps({"00081199": {"vr": "SQ", "Value": items}}).encode()
    with contextlib.suppress(OSError):
        handler.say(200, "application/dicom+json", body)


def test_first_interrupt_finishes_the_second_cuts_off(peer, tmp_path):
    save(tmp_path / "in", *many(400))
    counts = []  # at most 32 a request, fewer where the folder is read slower than files are sent
    slow = peer(lambda handler: stored_answer(handler, 3, counts))
    process = start("import", "--url", slow.url, tmp_path / "in", "--json", "-j", "2")
    wait_for(lambda: len(counts) == 2, what="two requests")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    report = json.loads(out)
    assert process.returncode == FAILED
    assert (report["complete"], report["stored"]) == (False, sum(counts))
    assert len(slow.asked) == len(counts) == 2

    stuck = peer(lambda handler: (handler.body(), time.sleep(30)))
    process = start("import", "--url", stuck.url, tmp_path / "in", "--json", "-j", "2")
    wait_for(lambda: len(stuck.asked) == 2, what="two requests")
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=1)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert time.monotonic() - begun < 3
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


# -- search --


def test_search_table(home, tmp_path):
    one = dicom.capture(
        PatientName=("PN", b"Evil\x1b[2J^\x9bName"),
        StudyDescription="A description that is far too long to show",
    )
    wide = dicom.capture(
        SpecificCharacterSet="ISO_IR 192", PatientName=("PN", "山田^太郎".encode()), PatientID="ID2"
    )
    save(tmp_path / "in", one, wide, wide.fresh("instance"))
    facts("import", "--home", home, tmp_path / "in")
    text = run("search", "--home", home).stdout
    head, first, second = text.splitlines()
    assert (
        head.split()
        == "DATE PATIENT ID PATIENT MODALITIES DESCRIPTION INSTANCES STUDY".replace(
            "PATIENT ID", "PATIENT ID"
        ).split()
    )
    assert {first.split()[-1], second.split()[-1]} == {one.study, wide.study}
    assert "\x1b" not in text and "\x9b" not in text
    assert "A description that is far too long to show" in text  # whole in a pipe
    row = first if wide.study in first else second
    assert row.index("山田^太郎") == head.index("PATIENT", head.index("PATIENT ID") + 7)
    assert re.search(r" 2  " + re.escape(wide.study), row)
    code, _, shown = on_terminal("search", "--home", home, stdout_too=True)
    assert code == DONE
    assert "A description that is far too long to s…" in shown
    included = run("search", "--home", home, "--include", "StudyTime", "--include", "00100040")
    assert included.stdout.splitlines()[0].endswith("  StudyTime  00100040")
    assert included.stdout.splitlines()[1].endswith("  101112     O")
    assert run("search", "--home", home, "PatientID=none").stdout == ""


def test_search_pages(home, tmp_path):
    files = many(450)
    save(tmp_path / "in", *files)
    facts("import", "--home", home, tmp_path / "in")
    where = ["--home", home]
    found = facts("search", "instances", *where, "--all")
    assert {f["00080018"]["Value"][0] for f in found} == {i.sop for i in files}
    assert len(found) == 450
    assert len(facts("search", "instances", *where)) == 100
    some = facts("search", "instances", *where, "--limit", "30", "--offset", "440")
    assert [f["00080018"]["Value"] for f in some] == [f["00080018"]["Value"] for f in found[440:]]
    table = run("search", "instances", *where, "--all")
    assert len(table.stdout.splitlines()) == 451
    assert table.stderr == ""
    assert run("search", "instances", *where, "--limit", "5").stderr.startswith("there may be more")
    assert run("search", *where, "NoSuchKeyword=1").returncode == USAGE
    assert run("search", *where, "--include", "NoSuchKeyword").returncode == USAGE


def test_search_of_a_peer_that_does_not_page(peer):
    page = json.dumps([{"0020000D": {"vr": "UI", "Value": ["1.2"]}}]).encode()
    deaf = peer(lambda h: h.say(200, "application/dicom+json", page))
    done = run("search", "--url", deaf.url, "--all", timeout=20)
    assert done.returncode == FAILED
    assert "same page" in done.stderr
    assert len(facts("search", "--url", deaf.url)) == 1
    html = peer(lambda h: h.say(200, "text/html", b"<html>"))
    done = run("search", "--url", html.url)
    assert (done.returncode, done.stdout) == (FAILED, "")
    assert "base of a DICOMweb service" in done.stderr


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


# -- feed --


def feed(*words, **options):
    done = run("feed", *words, "--json", **options)
    assert done.returncode == DONE, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_feed_pages_and_bounds(home, tmp_path):
    save(tmp_path / "in", *many(420))
    facts("import", "--home", home, tmp_path / "in")
    rows = feed("--home", home)
    assert [r["sequence"] for r in rows] == list(range(1, 421))
    assert "metadata" not in rows[0]
    assert [r["sequence"] for r in feed("--home", home, "--after", "415")] == [
        416,
        417,
        418,
        419,
        420,
    ]
    assert [r["sequence"] for r in feed("--home", home, "--after", "5", "--limit", "2")] == [6, 7]
    assert feed("--home", home, "--after", "420") == []
    assert len(feed("--home", home, "--limit", "419")) == 419
    (row,) = feed("--home", home, "--limit", "1", "--metadata")
    assert row["metadata"]["00080018"]["Value"] == [row["sopInstanceUid"]]
    assert run("feed", "--home", home, "--metadata").returncode == USAGE


def test_feed_follows(serve):
    service = serve()
    assert service.http.store(dicom.capture()).status == 200
    process = start("feed", "--url", service.base, "--follow", "--json")
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(iter(process.stdout.readline, "")))
    reader.start()
    wait_for(lambda: len(lines) == 1, what="the first row")
    assert service.http.store(dicom.capture()).status == 200
    wait_for(lambda: len(lines) == 2, what="the second row", seconds=5)
    assert [json.loads(line)["sequence"] for line in lines] == [1, 2]
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == DONE
    reader.join()
    assert process.stderr.read() == ""
    process.stdout.close()
    process.stderr.close()


def test_feed_follows_a_home_that_nobody_serves(serve, home, tmp_path):
    """Changes come from other commands and servers on that home: it must leave them room."""
    save(tmp_path / "in", *many(2))
    assert facts("import", "--home", home, tmp_path / "in")["stored"] == 2
    process = start("feed", "--home", home, "--follow", "--json")
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(iter(process.stdout.readline, "")))
    reader.start()
    try:
        wait_for(lambda: len(lines) == 2, what="the first rows")
        save(tmp_path / "more", *many(3))
        assert facts("import", "--home", home, tmp_path / "more")["stored"] == 3
        wait_for(lambda: len(lines) == 5, what="rows of an import")
        service = serve(home=home)
        assert service.http.store(dicom.capture()).status == 200
        wait_for(lambda: len(lines) == 6, what="a row of a service")
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(10)
        reader.join()
        said = process.stderr.read()
        process.stdout.close()
        process.stderr.close()
    assert (code, said) == (DONE, "")
    assert [json.loads(line)["sequence"] for line in lines] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("knows", ["nothing of the cursor", "no such parameter"])
def test_feed_of_a_foreign_service(peer, knows):
    """Azure has no afterSequence: it ignores it (or refuses it), and pages by offset."""
    rows = [{"sequence": 2 * i + 1, "action": "Create", "state": "Current"} for i in range(450)]

    def answer(handler):
        query = dict(p.split("=") for p in handler.path.partition("?")[2].split("&"))
        if "afterSequence" in query and knows == "no such parameter":
            handler.say(400, "text/plain", b"no")
            return
        limit, offset = int(query["limit"]), int(query.get("offset", 0))
        assert limit <= 200
        handler.say(200, "application/json", json.dumps(rows[offset : offset + limit]).encode())

    azure = peer(answer)
    assert feed("--url", azure.url) == rows
    assert feed("--url", azure.url, "--after", "801", "--limit", "10") == rows[401:411]
    assert len(feed("--url", azure.url, "--limit", "3")) == 3


# -- sync and table --


TABLES = ("instance", "series", "study")


@pytest.fixture
def lake(home, tmp_path):
    """A home with three instances of one study, synced once."""
    save(tmp_path / "in", *many(3))
    facts("import", "--home", home, tmp_path / "in")
    facts("sync", "--home", home)
    return home


def test_sync_says_what_it_did(home, tmp_path):
    files = many(3)
    save(tmp_path / "in", *files)
    facts("import", "--home", home, tmp_path / "in")
    done = run("sync", "--home", home)
    assert (done.returncode, done.stderr) == (DONE, "")  # quiet in a pipe
    head, titles, *rows = done.stdout.splitlines()
    assert re.fullmatch(
        r"3 changes in \d+\.\d s \(\d+ a second\): 3 inserted, 0 updated, 0 deleted, "
        r"0 passed over; watermark 3",
        head,
    )
    assert titles.split() == "TABLE VERSION ROWS IN OUT COMMITS FILES WRITTEN".split()
    assert [r.split()[:6] for r in rows] == [
        ["instance", "1", "3", "3", "0", "1"],
        ["series", "1", "1", "1", "0", "1"],
        ["study", "1", "1", "1", "0", "1"],
    ]
    again = facts("sync", "--home", home)
    assert (again["changes"], again["watermark"]) == (0, 3)
    assert [again["tables"][t]["commits"] for t in TABLES] == [0, 0, 0]
    facts("delete", files[0].study, files[0].series, files[0].sop, "--home", home, "--yes")
    third = facts("sync", "--home", home)
    assert {k: v for k, v in third.items() if k in ("changes", "inserted", "updated", "deleted")} == {
        "changes": 1,
        "inserted": 0,
        "updated": 0,
        "deleted": 1,
    }
    assert [third["tables"][t]["rows"] for t in TABLES] == [2, 1, 1]


def test_shape_of_the_summary(lake):
    summary = facts("sync", "--home", lake)
    numbers = """changes pages inserted updated deleted skipped stale rowsIn rowsOut bytes feedBytes commits
        batches replans requests retries compactions vacuumedFiles watermark newest milliseconds""".split()
    assert {k for k, v in summary.items() if isinstance(v, int)} == set(numbers)
    assert set(summary) - set(numbers) == {"watermarkTime", "stageMilliseconds", "tables"}
    assert set(summary["stageMilliseconds"]) == {
        "wait", "fold", "write", "commit", "state", "maintain",
    }  # fmt: skip
    assert list(summary["tables"]) == list(TABLES)
    for table in summary["tables"].values():
        assert set(table) == {
            "version", "rows", "rowsIn", "rowsOut", "commits", "filesAdded", "filesRemoved",
            "bytes", "dataBytes", "deletionVectorBytes", "logBytes",
        }  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6,7}Z", summary["watermarkTime"])


@pytest.mark.parametrize(
    "words, code, said",
    [
        (["sync"], USAGE, "give --home DIR or --lake DIR, or set DICOMLAKE_HOME"),
        (["sync", "now", "--home", "h"], USAGE, "too many words"),
        (["sync", "--home", "typo"], FAILED, "no archive in typo"),
        (["sync", "--home", "HOME", "--BatchSize", "0"], USAGE, "BatchSize: '0' is not a number from 1"),
        (["sync", "--home", "HOME", "--ApiVersion", "1"], USAGE, "ApiVersion"),
        (["sync", "--home", "HOME", "--StartTime", "2026-01-05"], USAGE, "StartTime: '2026-01-05' is no time"),
        (["sync", "--home", "HOME", "--EndTime", "0001-01-01T00:00:00Z"], USAGE, "EndTime is not later"),
        (["sync", "--home", "HOME", "--ContainerName", "a/b"], USAGE, "a container is one step"),
        (["sync", "--home", "HOME", "--InstanceTablePath", "../x"], USAGE, "InstanceTablePath"),
        (["sync", "--home", "HOME", "--StudyTablePath", "series"], USAGE, "give each table a folder of its own"),
        (["sync", "--home", "HOME", "--RetentionHours", "167"], USAGE, "--allow-short-retention"),
        (["sync", "--home", "HOME", "--profile", "r3"], USAGE, "no profile r3: template-r4 or template-r2"),
        (["sync", "--home", "HOME", "--mode", "fast"], USAGE, "no mode fast: dv or compat"),
        (["sync", "--home", "HOME", "--column", "x=NoSuchWord:string"], USAGE, "NoSuchWord"),
        (["sync", "--home", "HOME", "--profile", "template-r2"], USAGE, "column 'studydate'"),
        (["sync", "--home", "HOME", "--source", "ftp://h"], USAGE, "no http or https URL"),
        (["sync", "--lake", "s3://bucket", "--source", "http://h"], FAILED, "only folders are lakes"),
        (["table"], USAGE, "something is missing"),
        (["table", "dance", "--home", "HOME"], USAGE, "no action dance; list, show, history"),
        (["table", "show", "--home", "HOME"], USAGE, "table show takes one table"),
        (["table", "list", "study", "--home", "HOME"], USAGE, "table list takes no table"),
        (["table", "list"], USAGE, "give --home DIR or --lake DIR"),
        (["table", "list", "--lake", "typo"], FAILED, "typo"),
        (["table", "show", "visits", "--home", "HOME"], FAILED, "there is no Delta table in 'visits'"),
        (["table", "show", "./typo"], FAILED, "typo"),
        (["table", "show", "study", "--home", "HOME", "--version", "9"], FAILED, "newest version is 1"),
        (["table", "show", "study", "--home", "HOME", "--version", "-1"], USAGE, "-1 is not a version"),
        (["table", "show", "study", "--home", "HOME", "--timestamp", "now"], USAGE, "now is not a time"),
        (["table", "check", "study", "--home", "HOME", "--reader", "excel"], USAGE, "known are fabric-sql"),
        (["table", "restore", "study", "--home", "HOME"], USAGE, "needs --version or --timestamp"),
        (["table", "vacuum", "study", "--home", "HOME", "--RetentionHours", "1"], USAGE, "below 168"),
        (["table", "optimize", "study", "--home", "HOME", "--mode", "x"], USAGE, "no mode x"),
        (["verify", "--home", "HOME", "--ContainerName", "a/b"], USAGE, "a container is one step"),
    ],
)  # fmt: skip
def test_wrong_usage_of_sync_and_table(lake, tmp_path, words, code, said):
    before = {t: (lake / "tables/dicom" / t / "_delta_log").stat().st_mtime_ns for t in TABLES}
    words = [str(lake) if w == "HOME" else w for w in words]
    done = run(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert re.fullmatch(r"dicomlake: .*\n", done.stderr), done.stderr
    assert said in done.stderr
    assert not (tmp_path / "typo").exists()
    after = {t: (lake / "tables/dicom" / t / "_delta_log").stat().st_mtime_ns for t in TABLES}
    assert before == after


def test_home_of_sync_and_table_comes_from_the_environment(home, tmp_path):
    save(tmp_path / "in", dicom.capture())
    env = {"DICOMLAKE_HOME": str(home)}
    facts("import", tmp_path / "in", env=env)
    assert facts("sync", env=env)["inserted"] == 1
    assert [t["table"] for t in facts("table", "list", env=env)] == list(TABLES)
    assert facts("verify", env=env)["tables"] == {"rows": 3, "problems": 0}
    elsewhere = ["--home", home, "--lake", tmp_path / "lake"]
    assert facts("sync", *elsewhere, env=env)["inserted"] == 1
    assert (tmp_path / "lake" / "dicom" / "study" / "_delta_log").is_dir()
    assert len(list((tmp_path / "lake" / ".dicomlake").iterdir())) == 1
    url = ["--lake", f"file://{tmp_path}/lake"]
    assert facts("table", "list", *url) == facts("table", "list", "--lake", tmp_path / "lake")


def test_parameters_by_the_names_of_the_template(home, tmp_path):
    save(tmp_path / "in", *many(5))
    facts("import", "--home", home, tmp_path / "in")
    places = ["--ContainerName", "lake", "--InstanceTablePath", "a/instances", "--SeriesTablePath",
              "a/series", "--StudyTablePath", "studies", "--RetentionHours", "200"]  # fmt: skip
    window = ["--StartTime", "0001-01-01T00:00:00Z", "--EndTime", "9999-12-31T23:59:59Z"]
    summary = facts("sync", "--home", home, *places, *window, "--BatchSize", "2", "--ApiVersion", "2")
    assert summary["inserted"] == 5
    for path in ("a/instances", "a/series", "studies"):
        assert (home / "tables/lake" / path / "_delta_log").is_dir()
    shown = facts("table", "show", "instance", "--home", home, *places)
    assert shown["properties"]["delta.deletedFileRetentionDuration"] == "interval 200 hours"
    assert facts("table", "list", "--home", home) == []  # the default places are empty
    assert facts("verify", "--home", home)["tables"] is None
    assert facts("verify", "--home", home, *places[:-2])["tables"] == {"rows": 7, "problems": 0}


def test_tables_of_an_empty_lake(home, tmp_path):
    save(tmp_path / "in", dicom.capture())
    facts("import", "--home", home, tmp_path / "in")
    (home / "tables").mkdir()
    assert facts("table", "list", "--home", home) == []
    done = run("table", "show", "study", "--home", home)
    assert (done.returncode, done.stdout) == (FAILED, "")
    assert "there is no Delta table in 'dicom/study'" in done.stderr


def test_show_history_check(lake):
    where = ["--home", lake]
    shown = facts("table", "show", "study", *where)
    assert (shown["table"], shown["version"], shown["rows"], shown["files"]) == ("study", 1, 1, 1)
    assert (shown["minReaderVersion"], shown["minWriterVersion"]) == (3, 7)
    assert shown["partitionColumns"] == ["partitionName"]
    assert [c["name"] for c in shown["columns"]][-2:] == ["seriesCount", "instanceCount"]
    marks = {a.split(":", 2)[2]: v for a, v in shown["applications"].items()}
    assert marks["study"] == 3
    assert facts("table", "show", "study", *where, "--version", "0")["rows"] == 0
    assert facts("table", "show", "study", *where, "--timestamp", "9999-01-01T00:00:00Z") == shown

    newest, oldest = facts("table", "history", "study", *where)
    assert (newest["version"], newest["operation"]) == (1, "MERGE")
    assert json.loads(newest["userMetadata"])["seq"] == 3
    assert (oldest["version"], oldest["operation"]) == (0, "CREATE TABLE")
    assert facts("table", "history", "study", *where, "--limit", "1") == [newest]

    assert facts("table", "check", "study", *where) == []
    done = run("table", "check", "study", *where)
    assert (done.returncode, done.stdout) == (DONE, "study: version 1 is whole\n")
    hidden = facts("table", "check", "instance", *where, "--reader", "powerbi", code=FAILED)
    assert [v["verdict"] for v in hidden] == ["hides"]
    for path in (lake / "tables/dicom/study").rglob("*.parquet"):
        path.write_bytes(path.read_bytes()[:-5])
        assert len(facts("table", "check", "study", *where, code=FAILED)) > 0
    facts("sync", *where, "--rebuild")


def test_optimize_vacuum_restore(lake, tmp_path):
    where = ["--home", lake]
    assert facts("table", "optimize", "instance", *where) == []
    assert run("table", "optimize", "instance", *where).stdout == "instance: nothing to do\n"
    save(tmp_path / "more", *many(2))
    facts("import", *where, tmp_path / "more")
    assert facts("sync", *where)["inserted"] == 2
    (done,) = facts("table", "optimize", "instance", *where, "--full")
    assert (done["operation"], done["filesAdded"], done["filesRemoved"]) == ("OPTIMIZE", 1, 2)
    assert facts("table", "vacuum", "instance", *where) == {"files": 0, "bytes": 0, "folders": 0}
    force = ["--RetentionHours", "0", "--allow-short-retention"]
    dry = facts("table", "vacuum", "instance", *where, *force, "--dry-run")
    assert dry["files"] == 2
    assert facts("table", "show", "instance", *where)["files"] == 1
    back = facts("table", "restore", "instance", *where, "--version", "1")
    assert (back["operation"], back["version"]) == ("RESTORE", done["version"] + 3)  # VACUUM: two
    assert facts("table", "show", "instance", *where)["rows"] == 3
    assert facts("sync", *where)["inserted"] == 2  # what came after version 1 comes again
    assert facts("verify", *where)["problemCount"] == 0
    assert facts("table", "rebuild-state", *where) is None
    assert facts("sync", *where)["changes"] == 0


def test_any_table_by_its_folder(lake, tmp_path):
    folder = tmp_path / "visits"
    deltalake.write_deltalake(str(folder), pyarrow.table({"id": [1, 2], "place": ["x", "y"]}))
    shown = facts("table", "show", folder)
    assert (shown["version"], shown["rows"]) == (0, 2)
    assert [c["name"] for c in shown["columns"]] == ["id", "place"]
    assert run("table", "history", "./visits", cwd=tmp_path).returncode == DONE
    assert facts("table", "check", folder) == []
    below = facts("table", "show", "dicom/study", "--home", lake)
    assert below["id"] == facts("table", "show", "study", "--home", lake)["id"]


def test_sync_from_a_service_and_from_one_that_is_away(serve, tmp_path):
    service = serve()
    assert service.http.store(dicom.capture()).status == 200
    lake = tmp_path / "lake"
    assert facts("sync", "--source", service.base, "--lake", lake)["inserted"] == 1
    denied = Peer(lambda h: h.say(401, "text/plain", b"who are you"))
    done = run("sync", "--source", denied.url, "--lake", lake)
    denied.server.shutdown()
    assert (done.returncode, done.stdout) == (FAILED, "")
    assert "the service wants a token" in done.stderr
    assert facts("table", "list", "--lake", lake)[0]["rows"] == 1


def test_sync_follows_and_a_second_one_waits_its_turn(serve, tmp_path):
    service = serve()
    where = ["--home", service.home]
    follower = start("sync", *where, "--follow")
    for _ in range(2):
        assert service.http.store(dicom.capture()).status == 200
    study = service.home / "tables/dicom/study"
    rows = lambda: facts("table", "show", "study", *where)["rows"]  # noqa: E731
    wait_for(lambda: (study / "_delta_log").is_dir() and rows() == 2, what="two rows")
    second = run("sync", *where)
    assert (second.returncode, second.stdout) == (FAILED, "")
    assert "another sync works on this lake; wait for it, or give --wait SECONDS" in second.stderr
    patient = start("sync", *where, "--wait", "60")
    follower.send_signal(signal.SIGINT)
    out, err = follower.communicate(timeout=30)
    assert (follower.returncode, err) == (DONE, "")
    assert out.startswith("2 changes in ")
    out, err = patient.communicate(timeout=60)
    assert (patient.returncode, err) == (DONE, "")


def test_the_bar_of_a_sync_shows_on_a_terminal_only(home, tmp_path):
    save(tmp_path / "in", *many(1500))
    facts("import", "--home", home, tmp_path / "in")
    sizes = ["--batch-changes", "50"]
    code, out, shown = on_terminal("sync", "--home", home, *sizes, width=70)
    assert code == DONE, shown
    assert out.startswith("1500 changes in ")
    assert "syncing  " in shown and " changes" in shown
    assert shown.endswith("\r\x1b[K")


def test_an_older_index_was_restored(home, tmp_path):
    """The feed goes on with numbers that the tables have seen: said, not passed over."""
    where = ["--home", home]
    save(tmp_path / "old", *many(2))
    facts("import", *where, tmp_path / "old")
    shutil.copy(home / "state" / "index.db", tmp_path / "index.db")
    save(tmp_path / "lost", *many(3))
    facts("import", *where, tmp_path / "lost")
    assert facts("sync", *where)["watermark"] == 5
    shutil.copy(tmp_path / "index.db", home / "state" / "index.db")
    save(tmp_path / "new", dicom.capture())
    facts("import", *where, tmp_path / "new")
    for words in ([], ["--follow"]):
        done = run("sync", *where, *words, timeout=30)
        assert (done.returncode, done.stdout) == (FAILED, "")
        assert "ends at sequence 3, the tables are at 5: it was set back; " in done.stderr
    assert facts("verify", *where, code=FAILED)["tables"]["problems"] > 0
    assert facts("sync", *where, "--rebuild")["inserted"] == 3
    shutil.rmtree(home / "files" / ".unreferenced")
    left = facts("verify", *where, code=FAILED)
    assert (left["tables"]["problems"], left["problemCount"]) == (0, 2)  # files newer than the index
    for path in (home / "files").rglob("*_[45].dcm"):
        path.unlink()


# -- what README says --


def snippet(language, holding):
    """The one block of README in that language with that word in it."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    (found,) = [b for b in blocks if holding in b]
    return found


@pytest.fixture
def lake_of_readme(tmp_path):
    """~/lake as README has it."""
    save(tmp_path / "in", *many(4, PatientID="README-1"))
    facts("import", "--home", tmp_path / "lake", tmp_path / "in")
    facts("sync", "--home", tmp_path / "lake")
    return tmp_path


def test_readme_reads_tables_with_deltalake(lake_of_readme):
    code = snippet("python", "deltalake")
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, timeout=120, env={**os.environ, "HOME": str(lake_of_readme)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "README-1" in done.stdout


def test_readme_reads_tables_with_duckdb(lake_of_readme, monkeypatch):
    """The extension lies where INSTALL would put it, so nothing is fetched."""
    monkeypatch.chdir(lake_of_readme)
    code = snippet("sql", "delta_scan")
    package = pathlib.Path(duckdb_extension_delta.__file__).parent
    with duckdb.connect(config={"home_directory": str(lake_of_readme)}) as con:
        (platform,) = con.execute("PRAGMA platform").fetchone()
        place = lake_of_readme / ".duckdb/extensions" / f"v{duckdb.__version__}" / platform
        place.mkdir(parents=True)
        (place / "delta.duckdb_extension").symlink_to(next(package.rglob("delta.duckdb_extension")))
        rows = con.execute(code).fetchall()
    assert len(rows) == 4
    for _, path in rows:
        assert (lake_of_readme / "lake" / "files" / path).is_file()


# -- verify --


def test_verify(serve, tmp_path):
    service = serve(check=False)
    files = many(5)
    save(tmp_path / "in", *files)
    facts("import", "--url", service.base, tmp_path / "in")
    clean = facts("verify", "--home", service.home)  # beside the running service
    assert clean["problems"] == []
    assert (clean["instances"], clean["files"], clean["changes"]) == (5, 5, 5)
    assert clean["bytes"] == sum(len(i.bytes) for i in files)
    stored = service.stored_files()
    altered = bytearray(stored[0].read_bytes())
    altered[-1] ^= 1
    stored[0].write_bytes(altered)
    found = facts("verify", "--home", service.home, "--hash", code=FAILED)
    assert found["problemCount"] == len(found["problems"]) == 1
    stored[1].unlink()
    done = run("verify", "--home", service.home, "--hash")
    assert done.returncode == FAILED
    assert len(re.findall(r"^problem: ", done.stdout, re.M)) == 2
    assert re.search(r": 2 problems$", done.stdout, re.M)


# -- verify, the tables --


def table_of(home, name):
    return deltalake.DeltaTable(str(home / "tables" / "dicom" / name))


@pytest.mark.parametrize("mode", ["dv", "compat"])
def test_verify_names_rows_that_differ(home, tmp_path, mode):
    """Damage on purpose, by another engine: a row deleted, one changed, one added, one doubled."""
    files = [dicom.capture() for _ in range(4)]
    save(tmp_path / "in", *files)
    where = ["--home", home]
    facts("import", *where, tmp_path / "in")
    assert facts("verify", *where)["tables"] is None  # nothing was synced yet
    facts("sync", *where, "--mode", mode)
    clean = facts("verify", *where)
    assert (clean["tables"], clean["problemCount"]) == ({"rows": 12, "problems": 0}, 0)

    def findings(action, name):
        """What is said after the damage; the table is then as it was."""
        table = table_of(home, name)
        version = table.version()
        action(table)
        found = facts("verify", *where, code=FAILED)
        assert found["problemCount"] == found["tables"]["problems"] == len(found["problems"])
        done = run("verify", *where)
        assert done.returncode == FAILED
        assert [f"problem: {p}" for p in found["problems"]] == done.stdout.splitlines()[:-1]
        assert facts("verify", *where, "--no-tables")["tables"] is None
        facts("table", "restore", name, *where, "--version", version)
        assert facts("verify", *where)["problemCount"] == 0
        return found["problems"]

    one = files[0]
    key = f"Microsoft.Default {one.study} {one.series}"
    by_sop = f"sopinstanceuid = '{one.sop}'"
    assert findings(lambda t: t.delete(by_sop), "instance") == [
        f"table instance, {key} {one.sop}: the row is missing"
    ]
    assert findings(lambda t: t.update({"patientid": "'x'"}, predicate=by_sop), "instance") == [
        f"table instance, {key} {one.sop}: the row differs from the feed"
    ]
    by_series = f"\"seriesInstanceUid\" = '{one.series}'"
    assert findings(lambda t: t.update({"instanceCount": "7"}, predicate=by_series), "series") == [
        f"table series, {key}: the row differs from the feed"
    ]
    by_study = f"\"studyInstanceUid\" = '{one.study}'"
    rows = pyarrow.table(
        deltalake.QueryBuilder()
        .register("t", table_of(home, "study"))
        .execute(f"select * from t where {by_study}")
    )
    append = lambda t: deltalake.write_deltalake(t, rows, mode="append")  # noqa: E731
    assert findings(append, "study") == [f"table study, Microsoft.Default {one.study}: two rows"]


def test_verify_of_tables_that_are_not_all_there(home, tmp_path):
    save(tmp_path / "in", dicom.capture())
    where = ["--home", home]
    facts("import", *where, tmp_path / "in")
    facts("sync", *where)
    aside = tmp_path / "series"
    (home / "tables" / "dicom" / "series").rename(aside)
    found = facts("verify", *where, code=FAILED)
    assert found["problems"] == ["table series is missing beside the others"]
    assert found["tables"] == {"rows": 0, "problems": 1}
    aside.rename(home / "tables" / "dicom" / "series")


def test_verify_of_tables_of_another_feed(home, tmp_path):
    """Nothing would be compared: that is no proof."""
    for name in ("one", "other"):
        save(tmp_path / name, dicom.capture())
        facts("import", "--home", tmp_path / f"{name}.home", tmp_path / name)
    facts("sync", "--home", tmp_path / "one.home", "--lake", tmp_path / "lake")
    good = facts("verify", "--home", tmp_path / "one.home", "--lake", tmp_path / "lake")
    assert good["tables"] == {"rows": 3, "problems": 0}
    done = run("verify", "--home", tmp_path / "other.home", "--lake", tmp_path / "lake")
    assert done.returncode == FAILED
    assert "the tables have rows, but none of this feed" in done.stderr


@pytest.mark.parametrize("mode", ["dv", "compat"])
def test_verify_beside_stores_and_a_sync(serve, tmp_path, mode):
    """While a service stores, replaces and deletes, and a sync follows it: no false alarm."""
    service = serve({"service.partitions": "on"})
    where = ["--home", service.home]
    partitions = ["clinic-A", "clinic-B"]
    first = [dicom.capture() for _ in range(10)]
    save(tmp_path / "in", *first)
    for name in partitions:
        facts("import", *where, "--partition", name, tmp_path / "in")
    facts("sync", *where, "--mode", mode)
    follower = start("sync", *where, "--follow", "--json")
    stop = threading.Event()
    stored = []

    def store():
        while not stop.is_set():
            for name in partitions:
                web = service.http.at(f"/v2/partitions/{name}")
                one = dicom.capture()
                assert web.store(one).status == 200
                assert web.store(one.with_(PatientID="other"), method="PUT").status == 200
                stored.append(one)
                if len(stored) % 3 == 0:
                    assert web.delete(f"/studies/{one.study}").status == 204

    writer = threading.Thread(target=store)
    writer.start()
    try:
        for _ in range(4):
            before = len(stored)
            wait_for(lambda b=before: len(stored) > b + 4, what="further stores")
            found = facts("verify", *where)
            assert found["problems"] == []
            assert found["tables"]["rows"] > 0
    finally:
        stop.set()
        writer.join()
        follower.send_signal(signal.SIGINT)
        out, err = follower.communicate(timeout=60)
    assert follower.returncode == DONE, err
    assert json.loads(out)["changes"] > 0
    facts("sync", *where)
    found = facts("verify", *where)
    assert found["problemCount"] == 0
    tables = {t["table"]: t["rows"] for t in facts("table", "list", *where)}
    assert found["tables"]["rows"] == sum(tables.values())
    searched = [facts("search", "instances", *where, "--partition", n, "--all") for n in partitions]
    assert tables["instance"] == sum(map(len, searched))


# -- serve --


@contextlib.contextmanager
def serving(*words):
    process = start("serve", *words)
    try:
        yield process, process.stdout.readline()
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=30)


@pytest.mark.parametrize(
    "listen, pattern",
    [
        ("127.0.0.1:0", r"listening on http://127\.0\.0\.1:[1-9]\d*\n"),
        ("localhost:0", r"listening on http://localhost:[1-9]\d*\n"),
        ("[::1]:0", r"listening on http://\[::1\]:[1-9]\d*\n"),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_says_where_and_stops(home, listen, pattern, number):
    with serving("--home", home, "--listen", listen) as (process, line):
        if "::1" in listen and not line:
            with socket.socket(socket.AF_INET6) as s, contextlib.suppress(OSError):
                s.bind(("::1", 0))
                pytest.fail("::1 can be bound, yet serve did not")
            pytest.skip("this machine has no ::1")
        assert re.fullmatch(pattern, line)
        assert facts("search", "--url", line.split()[-1]) == []
        assert facts("search", "--home", home) == []
        process.send_signal(number)
        assert process.wait(15) == DONE


def test_serve_refuses(home, tmp_path):
    with serving("--home", home, "--listen", "127.0.0.1:0") as (_, line):
        address = line.split("//")[1].strip()
        second = run("serve", "--home", home, "--listen", "127.0.0.1:0", timeout=30)
        assert second.returncode == FAILED
        assert address in second.stderr  # who has the home
        taken = run("serve", "--home", tmp_path / "other", "--listen", address, timeout=30)
        assert taken.returncode == FAILED
        assert re.search(r"^dicomlake: ", taken.stderr, re.M)
    open_to_all = run("serve", "--home", tmp_path / "third", "--listen", "0.0.0.0:0", timeout=30)
    assert open_to_all.returncode == FAILED
    assert "loopback" in open_to_all.stderr


def test_settings_of_the_file_and_over_it(home, tmp_path):
    (home / "config").mkdir(parents=True)
    (home / "config" / "service.json").write_text('{"http.body_limit": 2000}')
    save(tmp_path / "in", dicom.capture(64, 64))
    with serving("--home", home, "--listen", "127.0.0.1:0"):
        assert facts("import", "--home", home, tmp_path / "in", code=FAILED)["refused"] == 1
    with serving("--home", home, "--listen", "127.0.0.1:0", "--set", "http.body_limit=1000000"):
        assert facts("import", "--home", home, tmp_path / "in")["stored"] == 1
    (home / "config" / "service.json").write_text('{"no.such": 1}')
    done = run("serve", "--home", home, "--listen", "127.0.0.1:0", timeout=30)
    assert done.returncode == USAGE
    assert "no.such" in done.stderr
    (home / "config" / "service.json").unlink()


def test_log_level(home):
    with serving("--home", home, "--listen", "127.0.0.1:0", "--log-level", "off") as (
        process,
        line,
    ):
        assert facts("search", "--url", line.split()[-1]) == []
        process.terminate()
        _, err = process.communicate(timeout=30)
        assert err == ""


# -- pipes --


def test_a_reader_that_leaves_is_no_news(home, tmp_path):
    save(tmp_path / "in", *many(300))
    facts("import", "--home", home, tmp_path / "in")
    read, write = os.pipe()
    process = subprocess.Popen(
        [program(), "feed", "--home", str(home), "--json", "--metadata"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)
    os.close(read)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (FAILED, "")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [program(), "search", "--home", str(home), "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
        )
    assert done.returncode == FAILED
    assert "cannot write" in done.stderr


# -- somebody else's service --


@pytest.mark.skipif(
    None in orthanc.find(), reason="Orthanc with its DICOMweb plugin is not installed"
)
def test_orthanc_as_the_service(tmp_path):
    files = [dicom.capture() for _ in range(40)]
    folder = save(tmp_path / "in", *files, dicom.capture(900, 900))
    (folder / "bad.dcm").write_bytes(bytes(128) + b"DICMgarbage")
    server = orthanc.Orthanc(tmp_path / "orthanc", "http://127.0.0.1:9/")
    try:
        where = ["--url", server.base + "/dicom-web"]
        report = facts("import", *where, folder, code=PARTLY)
        assert (report["stored"], report["refused"], report["complete"]) == (41, 1, True)
        found = facts("search", "instances", *where, "--all")
        assert len(found) == 41
        one = files[0]
        assert facts("search", *where, f"StudyInstanceUID={one.study}")[0]["00201208"] is not None
        assert facts("get", one.study, *where, "--to", tmp_path / "out")["files"] == 1
        path = tmp_path / "out" / one.study / one.series / f"{one.sop}.dcm"
        assert path.read_bytes()[132:] == one.bytes[132:]
        done = run("feed", *where)
        assert (done.returncode, done.stdout) == (FAILED, "")
    finally:
        server.stop()
