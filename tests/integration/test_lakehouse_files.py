"""`dicomlake lakehouse files`, and the functions of SQL that lead from a row to its file."""

import datetime
import json
import re
import subprocess

import pydicom
import pytest
from pydicom.datadict import dictionary_VR
from support.cli import DONE, FAILED, USAGE
from support.lake import home_of_files, run
from support.server import program

BULK = {"OB", "OD", "OF", "OL", "OV", "OW", "UN"}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """An archive of the files that pydicom ships, with its tables."""
    return home_of_files(tmp_path_factory.mktemp("files") / "home")


def rows(home, statement):
    return json.loads(run("sql", "--home", home, "--json", statement).stdout)


def files(home, *words, check=True):
    return run("lakehouse", "files", *words, "--home", home, check=check)


def stored(home):
    """filePath: pydicom's data set."""
    root = home / "files"
    return {str(p.relative_to(root)): pydicom.dcmread(p, force=True) for p in sorted(root.glob("AHDS/**/*.dcm"))}


# ---- ls, cat, get ----


def test_list_follows_the_folders(home):
    names = [f["name"] for f in json.loads(files(home, "ls", "--json").stdout)]
    assert names == ["AHDS"]
    path = next(iter(stored(home))).rsplit("/", 1)[0]
    listed = json.loads(files(home, "ls", path, "--json").stdout)
    on_disk = sorted((home / "files" / path).iterdir())
    assert [f["name"] for f in listed] == [p.name for p in on_disk]
    assert [f["size"] for f in listed] == [p.stat().st_size for p in on_disk]
    assert all(not f["folder"] for f in listed)
    text = files(home, "ls", path).stdout
    assert [line.split()[-1] for line in text.splitlines()] == [p.name for p in on_disk]


def test_list_in_parts(home):
    path = next(iter(stored(home))).rsplit("/", 1)[0]
    everything = [f["name"] for f in json.loads(files(home, "ls", path, "--json").stdout)]
    found, after = [], []
    while True:
        page = json.loads(files(home, "ls", path, "--json", "--limit", 7, *after).stdout)
        found += [f["name"] for f in page]
        if len(page) < 7:
            break
        after = ["--after", found[-1]]
    assert found == everything


def test_every_path_of_a_row_opens(home):
    paths = [r["filepath"] for r in rows(home, "SELECT filepath FROM instance")]
    assert len(paths) == len(stored(home)) > 10
    for path in paths[:10]:
        done = subprocess.run([program(), "lakehouse", "files", "cat", path, "--home", home], capture_output=True)
        assert done.returncode == DONE
        assert done.stdout == (home / "files" / path).read_bytes()


def test_get_writes_whole_files(home, tmp_path):
    path = next(iter(stored(home)))
    for target, made in ((tmp_path / "x.dcm", tmp_path / "x.dcm"), (tmp_path, tmp_path / path.rsplit("/", 1)[1])):
        done = json.loads(files(home, "get", path, "--to", target, "--json").stdout)
        assert made.read_bytes() == (home / "files" / path).read_bytes()
        assert done["size"] == made.stat().st_size
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["x.dcm", path.rsplit("/", 1)[1]])


@pytest.mark.parametrize(
    "path", ["AHDS/../../state/index.db", "../x", "/etc/passwd", "AHDS/none.dcm", "nothing/x.dcm", "AHDS"]
)
def test_nothing_else_is_read(home, path):
    done = files(home, "cat", path, check=False)
    assert done.returncode in (FAILED, USAGE)
    assert done.stdout == ""
    assert done.stderr.startswith("dicomlake: ")


def test_wrong_words(home):
    for words in (["cat"], ["put", "x"], ["ls", "a", "b"], ["get"], []):
        done = files(home, *words, check=False)
        assert done.returncode in (FAILED, USAGE)
        assert done.stderr.startswith("dicomlake: ")


# ---- functions, judged by pydicom ----


def values_of(element):
    """As dicom_values gives them: texts, names in their Alphabetic form; None without values."""
    if element.VM == 0 or element.is_empty:
        return None
    values = element.value if element.VM > 1 else [element.value]
    if element.VR == "PN":
        return [str(v).split("=")[0].rstrip(" ") or None for v in values]
    return [str(v).rstrip(" ") or None for v in values]


@pytest.mark.parametrize(
    "keyword",
    ["PatientName", "Modality", "ImageType", "SOPClassUID", "StudyInstanceUID", "PatientID", "BodyPartExamined"],
)
def test_values_are_pydicoms(home, keyword):
    judge = {}
    for path, data in stored(home).items():
        element = data.get(keyword)
        judge[path] = None if element is None else values_of(data[keyword])
    for form in ("metadata", "metadata_string"):
        for row in rows(
            home,
            f"SELECT filepath, dicom_value({form}, '{keyword}') AS first, dicom_values({form}, '{keyword}') AS every "
            "FROM instance",
        ):
            want = judge[row["filepath"]]
            every = row["every"] if not isinstance(row["every"], str) else json.loads(row["every"])
            assert row["first"] == (want[0] if want else None), row
            assert (every or None) == want, row


def test_columns_of_the_table_are_what_the_functions_give(home):
    """The profile's own columns are first values, too."""
    for column, keyword in (("patientname", "PatientName"), ("modality", "Modality"), ("studydate", "StudyDate")):
        told = f"{column} IS DISTINCT FROM dicom_value(metadata, '{keyword}')"
        wrong = rows(home, f"SELECT count(*) AS n FROM instance WHERE {told}")
        assert wrong == [{"n": 0}]


def test_dates_and_times_are_pydicoms(home):
    judged, judge = 0, stored(home)
    for row in rows(
        home,
        "SELECT filepath, dicom_date(dicom_value(metadata, 'StudyDate')) AS d, "
        "dicom_time(dicom_value(metadata, 'StudyTime')) AS t, "
        "dicom_age_years(dicom_value(metadata, 'PatientAge')) AS a FROM instance",
    ):
        data = judge[row["filepath"]]
        date = str(data.get("StudyDate", ""))
        if re.fullmatch(r"\d{8}", date):
            assert row["d"] == datetime.datetime.strptime(date, "%Y%m%d").date().isoformat()
            judged += 1
        time = str(data.get("StudyTime", ""))
        if re.fullmatch(r"\d{6}", time):
            assert row["t"] == f"{time[:2]}:{time[2:4]}:{time[4:]}"
            judged += 1
        if re.fullmatch(r"\d{3}Y", str(data.get("PatientAge", ""))):
            assert row["a"] == int(data.PatientAge[:3])
            judged += 1
    assert judged > 10


def tags_of(data, before=""):
    """Paths and VRs of all attributes that dicom_tags shows."""
    found = {}
    for element in data:
        if element.VR in BULK or element.tag.element == 0:
            continue
        path = f"{before}{int(element.tag):08X}"
        found[path] = element.VR
        if element.VR == "SQ":
            for i, item in enumerate(element.value):
                found.update(tags_of(item, f"{path}[{i}]/"))
    return found


def test_tags_are_pydicoms(home):
    seen = {}
    for row in rows(home, "SELECT i.filepath, t.* FROM instance i, dicom_tags(i.filepath) t"):
        assert row["error"] is None, row
        seen.setdefault(row["filepath"], {})[row["path"]] = row
        assert row["path"].endswith(row["tag"])
    judge = stored(home)
    assert set(seen) == set(judge)
    judged = 0
    for path, data in judge.items():
        got = {p: r["vr"] for p, r in seen[path].items() if p != "00020010"}
        want = tags_of(data)
        # pydicom knows private attributes of implicit files by dictionaries of its own.
        odd = {p for p in set(got) | set(want) if any(int(t[:4], 16) % 2 for t in re.findall(r"[0-9A-F]{8}", p))}
        for p in set(got) - odd:
            assert p in want, (path, p)
        for p in set(want) - odd:
            assert got.get(p) == want[p] or "US" in dictionary_VR(int(p[-8:], 16)), (path, p)
        judged += len(want)
    assert judged > 1000


def test_tags_only_of_rows_that_are_needed(home, tmp_path):
    """A file that is not asked for may be anything."""
    paths = sorted(stored(home))
    broken = home / "files" / paths[0]
    whole = broken.read_bytes()
    try:
        broken.write_bytes(b"nothing of DICOM")
        found = rows(
            home,
            "SELECT count(*) AS n, count(t.error) AS errors FROM instance i, dicom_tags(i.filepath) t "
            f"WHERE i.filepath <> '{paths[0]}'",
        )
        assert found[0]["errors"] == 0
        assert found[0]["n"] > 1000
        told = rows(home, f"SELECT tag, error FROM dicom_tags('{paths[0]}')")
        assert len(told) == 1
        assert told[0]["tag"] is None
        assert told[0]["error"]
        broken.unlink()
        assert rows(home, f"SELECT * FROM dicom_tags('{paths[0]}')") == []
    finally:
        broken.write_bytes(whole)


def test_urls_lead_to_files(home):
    for row in rows(home, "SELECT filepath, file_url(filepath) AS url FROM instance"):
        assert row["url"] == (home / "files" / row["filepath"]).as_uri()
    assert rows(home, "SELECT file_url('../state/index.db') AS u, file_url(NULL) AS n") == [{"u": None, "n": None}]


def test_a_wrong_keyword_is_told_at_once(home):
    done = run("sql", "--home", home, "SELECT dicom_value(metadata, 'PatientNam') FROM instance", check=False)
    assert done.returncode == USAGE
    assert "did you mean PatientName?" in done.stderr
