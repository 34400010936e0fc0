"""What README says of the tables and of clients is so."""

import os
import pathlib
import subprocess
import sys

import duckdb
import duckdb_extension_delta
import pytest
from support import dicom
from support.cli import facts, many, save
from support.pages import snippet


@pytest.fixture
def lake_of_readme(tmp_path):
    """~/lake as README has it."""
    save(tmp_path / "in", *many(4, PatientID="README-1"))
    facts("import", "--home", tmp_path / "lake", tmp_path / "in")
    facts("sync", "--home", tmp_path / "lake")
    return tmp_path


def test_readme_reads_tables_with_deltalake(lake_of_readme):
    code = snippet("README.md", "python", "deltalake")
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, timeout=120, env={**os.environ, "HOME": str(lake_of_readme)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "README-1" in done.stdout


def test_readme_reads_tables_with_duckdb(lake_of_readme, monkeypatch):
    """The extension lies where INSTALL would put it, so nothing is fetched."""
    monkeypatch.chdir(lake_of_readme)
    code = snippet("README.md", "sql", "delta_scan")
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


def test_readme_talks_to_the_service(serve, tmp_path):
    web = serve().http
    one = dicom.capture().with_(SOPClassUID=dicom.CT_IMAGE, Modality="CT")
    (tmp_path / "image.dcm").write_bytes(one.bytes)
    sh = snippet("README.md", "sh", "changefeed").replace("http://127.0.0.1:8080", web.base)
    done = subprocess.run(
        ["bash", "-c", "set -e\n" + sh.replace("curl ", "curl --fail --silent ")],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(one.sop) == 2 + 1  # what was stored (by UID and URL), its change
    code = snippet("README.md", "python", "retrieve_study").replace("http://127.0.0.1:8080", web.base)
    code += "print(len(files))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
