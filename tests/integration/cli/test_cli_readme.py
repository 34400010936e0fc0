"""What README says of the tables is so."""

import os
import pathlib
import re
import subprocess
import sys

import duckdb
import duckdb_extension_delta
import pytest
from support.cli import facts, many, save
from support.server import ROOT


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
