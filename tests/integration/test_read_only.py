"""Commands that read leave a home as it is, and work on one that nobody can write."""

import os
import pathlib
import shutil
import subprocess

import pydicom
import pytest
from support.factory_rest import Factory, set_up
from support.server import Server, program

IMAGES = ["CT_small.dcm", "MR_small.dcm"]
READING = [
    ("sql", "SELECT count(*) AS n FROM instance"),
    ("sql", "SHOW TABLES"),
    ("lakehouse", "list"),
    ("lakehouse", "show"),
    ("lakehouse", "show", "home"),
    ("lakehouse", "files", "ls"),
    ("cohort", "list"),
    ("cohort", "show", "all"),
    ("cohort", "get", "all", "--to", "OUT/files"),
    ("notebook", "list"),
    ("notebook", "run", "OUT/look.ipynb", "-o", "OUT/other.ipynb"),
    ("notebook", "run", "look", "-o", "OUT/ran.ipynb"),
    ("notebook", "convert", "look", "--to", "html", "-o", "OUT/look.html"),
    ("shortcut", "list", "home"),
    ("connection", "list"),
    ("pipeline", "list"),
    ("trigger", "list"),
    ("run", "list"),
]
PUBLISHED = [
    ("connection", "show", "feed"),
    ("pipeline", "show", "copy"),
    ("trigger", "show", "hourly"),
    ("trigger", "windows", "hourly"),
]


def run(*words, home, user=None):
    return subprocess.run(
        [program(), *map(str, words), "--home", home],
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )


def done(*words, home, user=None):
    found = run(*words, home=home, user=user)
    assert found.returncode == 0, (words, found.returncode, found.stdout, found.stderr)
    return found.stdout


def content(folder):
    return {
        path.relative_to(folder): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A home with tables, a cohort and a notebook; nobody has used pipelines."""
    folder = tmp_path_factory.mktemp("archive")
    source = pathlib.Path(pydicom.__file__).parent / "data" / "test_files"
    (folder / "in").mkdir()
    for name in IMAGES:
        shutil.copy(source / name, folder / "in")
    home = folder / "home"
    done("import", folder / "in", home=home)
    done("sync", home=home)
    done("cohort", "save", "all", "SELECT sopInstanceUid, filePath FROM instance", home=home)
    done("notebook", "new", "look", "--from", "first-look", home=home)
    assert not list((home / "state").glob("factory*"))
    return home


@pytest.fixture(scope="module")
def published(archive):
    """The same with pipelines in it, as a service that was stopped leaves it."""
    home = archive.parent / "published"
    shutil.copytree(archive, home)
    server = Server(home).start()
    set_up(Factory(server.base))
    assert server.stop() == 0
    return home


@pytest.fixture
def out(tmp_path, archive):
    folder = tmp_path / "out"
    folder.mkdir()
    shutil.copy(archive / "lakehouse" / "home" / "notebooks" / "look.ipynb", folder)
    return folder


def words_of(command, out):
    return [word.replace("OUT", str(out)) for word in command]


@pytest.mark.parametrize("command", READING, ids=lambda c: " ".join(c[:2]))
def test_reading_leaves_the_home_as_it_is(archive, out, command):
    before = content(archive)
    done(*words_of(command, out), home=archive)
    assert content(archive) == before


@pytest.mark.parametrize("command", PUBLISHED, ids=lambda c: " ".join(c[:2]))
def test_reading_of_pipelines_leaves_nothing_new(published, out, command):
    before = content(published)
    done(*words_of(command, out), home=published)
    assert content(published) == before


@pytest.fixture
def read_only(tmp_path):
    """Mounts a folder where nobody can write it, root neither."""
    mounted = []

    def mount(folder):
        place = tmp_path / f"mount{len(mounted)}"
        place.mkdir()
        if os.geteuid() != 0:
            pytest.skip("a read-only mount needs root")
        tried = subprocess.run(["mount", "--bind", str(folder), str(place)], capture_output=True, text=True)
        if tried.returncode != 0:
            pytest.skip("this machine lets nobody mount: " + tried.stderr.strip())
        mounted.append(place)
        subprocess.run(["mount", "-o", "remount,ro,bind", str(place)], check=True)
        with pytest.raises(OSError):
            (place / "x").write_text("x")
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_home_on_a_disk_that_is_read_only(archive, read_only, out):
    home = read_only(archive)
    for command in READING:
        done(*words_of(command, out), home=home)
    assert done("sql", "SELECT count(*) AS n FROM instance", "--format", "csv", home=home) == "n\n2\n"
    assert done("pipeline", "list", "--json", home=home).strip() == "[]"


def test_pipelines_on_a_disk_that_is_read_only(published, read_only, out):
    home = read_only(published)
    for command in (*READING, *PUBLISHED):
        done(*words_of(command, out), home=home)
    assert "copy" in done("pipeline", "list", home=home)


def test_writing_on_a_disk_that_is_read_only(archive, read_only):
    """It says that it cannot, and where."""
    home = read_only(archive)
    for command in (
        ("connection", "add", "x", "--type", "lake", "--url", "/tmp"),
        ("trigger", "start", "x"),
        ("cohort", "save", "x", "SELECT sopInstanceUid, filePath FROM instance"),
        ("notebook", "new", "x"),
    ):
        found = run(*command, home=home)
        assert found.returncode == 1, (command, found)
        assert "read-only" in found.stderr.lower() or "readonly" in found.stderr.lower(), (command, found.stderr)


def test_a_home_of_somebody_else(published, out):
    """A user who may read the home and not write it."""
    if os.geteuid() != 0:
        pytest.skip("becoming somebody else needs root")
    nobody = 65534
    home = pathlib.Path("/tmp") / f"dicomlake-home-{os.getpid()}"
    shutil.copytree(published, home)
    shutil.copytree(out, home.with_suffix(".out"))
    try:
        subprocess.run(["chmod", "-R", "a+rX,go-w", home], check=True)
        subprocess.run(["chown", "-R", str(nobody), home.with_suffix(".out")], check=True)
        if subprocess.run([program(), "version"], user=nobody, capture_output=True).returncode != 0:
            pytest.skip("somebody else cannot run the program")
        before = content(home)
        for command in (*READING, *PUBLISHED):
            done(*words_of(command, home.with_suffix(".out")), home=home, user=nobody)
        assert content(home) == before
    finally:
        shutil.rmtree(home)
        shutil.rmtree(home.with_suffix(".out"))


def test_a_snapshot_of_a_home_in_use(archive, read_only, tmp_path, out):
    """What is in the write-ahead log counts, and nobody can make its index anew."""
    server = Server(tmp_path / "home").start()
    try:
        set_up(Factory(server.base))
        shutil.copytree(server.home, tmp_path / "snapshot")
        assert (tmp_path / "snapshot/state/factory.db-wal").stat().st_size > 0
        home = read_only(tmp_path / "snapshot")
        for command in (("pipeline", "list"), ("run", "list"), *PUBLISHED):
            done(*words_of(command, out), home=home)
        assert "copy" in done("pipeline", "list", home=home)
        assert "copy" in done("pipeline", "list", home=read_only(server.home))  # and beside the service
    finally:
        server.kill()
