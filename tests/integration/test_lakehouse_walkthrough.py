"""The article's sections on shortcuts and notebooks as docs/lakehouse.md has them: its table is read and run, from an
empty home to pixels. Once the commands are run, without a service; once the REST calls, against one."""

import json
import pathlib
import shutil

import pydicom
import pytest
from support import http, walkthrough
from support.server import Server, wait_for
from support.walkthrough import environment, steps

STEPS = ["0", *(f"H{i}" for i in range(1, 6)), "N1", "N2", "N3"]
# The article's own two statements, to the letter.
STATEMENTS = {"N2": "SELECT * FROM instance", "N3": "SELECT sopInstanceUid, filePath FROM instance"}
IMAGES = ["CT_small.dcm", "MR_small.dcm", "waveform_ecg.dcm", "rtdose.dcm", "examples_palette.dcm"]
PREFIX = "/lakehouse/lakehouses/research"


def table():
    return steps("lakehouse.md", r"0|[HN]\d")


@pytest.fixture
def place(tmp_path):
    """An empty home, and what the table's variables stand for."""
    source = pathlib.Path(pydicom.__file__).parent / "data" / "test_files"
    for folder in ("files", "out"):
        (tmp_path / folder).mkdir()
    found = [name for name in IMAGES if (source / name).exists()]
    assert len(found) >= 3
    for name in found:
        shutil.copy(source / name, tmp_path / "files")
    return environment(tmp_path, FILES=tmp_path / "files", OUT=tmp_path / "out")


def images(place):
    """What was stored: file by SOP instance UID."""
    read = [pydicom.dcmread(path) for path in pathlib.Path(place["FILES"]).iterdir()]
    return {ds.SOPInstanceUID: ds for ds in read}


def test_the_table_has_every_step():
    assert [step for step, _, _ in table()] == STEPS
    for step, commands, calls in table():
        assert commands and calls, step
    said = {step: " ".join([*commands, *calls]) for step, commands, calls in table()}
    for step, statement in STATEMENTS.items():
        assert f'"{statement}"' in said[step], step


def shell(command, place, code=0):
    done = walkthrough.shell(command, place)
    assert done.returncode == code, (command, done.stdout, done.stderr)
    return done.stdout


def facts(command, place):
    return json.loads(shell(command, place))


def judge_shown(shown, stored):
    """Three tables and the files: rows, columns, types, attributes, one watermark."""
    assert [t["name"] for t in shown["tables"]] == ["instance", "series", "study"]
    assert all(t["broken"] is None and t["changed"] for t in shown["tables"])
    rows = {t["name"]: t["rows"] for t in shown["tables"]}
    assert rows["instance"] == len(stored)
    assert rows["series"] == len({ds.SeriesInstanceUID for ds in stored.values()})
    assert rows["study"] == len({ds.StudyInstanceUID for ds in stored.values()})
    assert len({t["watermark"] for t in shown["tables"]}) == 1
    columns = {c["name"].lower(): c for c in shown["tables"][0]["columns"]}
    assert columns["sopinstanceuid"]["type"] == "VARCHAR"
    assert columns["sopinstanceuid"]["attribute"] == "SOPInstanceUID"
    assert columns["modality"]["tag"] == "00080060"
    assert columns["partitionname"]["partition"]


def judge_rows(rows, stored):
    """Both statements' rows have every instance once, with its path."""
    by_uid = {}
    for row in rows:
        named = {name.lower(): value for name, value in row.items()}
        assert named["sopinstanceuid"] not in by_uid
        by_uid[named["sopinstanceuid"]] = named["filepath"]
    assert set(by_uid) == set(stored)
    return by_uid


def judge_notebook(notebook, stored):
    """A cell was run, and its rows stand below it."""
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    cells = [c for c in notebook["cells"] if c["cell_type"] == "code"]
    assert cells
    for cell in cells:
        (output,) = cell["outputs"]
        assert output["output_type"] == "execute_result", output
        assert cell["execution_count"] >= 1
    shown = json.dumps(cells[-1]["outputs"])
    assert any(uid in shown for uid in stored), shown[:2000]


def same(got, stored):
    want = stored[got.SOPInstanceUID]
    assert got == want


def test_the_commands(place):
    for _, commands, _ in table():
        for command in commands:
            assert shell(command, place).strip(), command
    stored = images(place)
    judge_shown(facts("dicomlake lakehouse show research --json", place), stored)
    listed = facts("dicomlake shortcut list research --json", place)
    assert [s["path"] for s in listed] == ["Tables"] * 3 + ["Files"]
    assert [s["broken"] for s in listed] == [None] * 4
    root = next(s["folder"] for s in listed if s["name"] == "contoso-dicom-files")
    judge_rows(facts(f'dicomlake sql --json "{STATEMENTS["N2"]}"', place), stored)
    kept = pathlib.Path(place["DICOMLAKE_HOME"]) / "lakehouse" / "research" / "notebooks" / "look.ipynb"
    judge_notebook(json.loads(kept.read_text()), stored)
    paths = judge_rows(facts(f'dicomlake sql --json "{STATEMENTS["N3"]}"', place), stored)
    for i, path in enumerate(paths.values()):
        assert path.startswith("AHDS/")
        same(pydicom.dcmread(pathlib.Path(root).parent / path), stored)
        shell(f'dicomlake lakehouse files get "{path}" --to "$OUT/{i}.dcm"', place)
        same(pydicom.dcmread(pathlib.Path(place["OUT"]) / f"{i}.dcm"), stored)
    urls = facts('dicomlake sql --json "SELECT sopInstanceUid uid, file_url(filePath) url FROM instance"', place)
    assert {row["uid"] for row in urls} == set(stored)
    for row in urls:
        assert row["url"].startswith("file:///")
        same(pydicom.dcmread(row["url"].removeprefix("file://")), stored)


def test_a_statement_reads_three_tables_at_one_watermark(place):
    for step, commands, _ in table():
        for command in commands if step[0] in "0H" else []:
            shell(command, place)
    rows = facts(
        'dicomlake sql --json "SELECT s.studyInstanceUid u, s.instanceCount n, s.seriesCount k, count(*) i,'
        " count(DISTINCT e.seriesInstanceUid) j FROM study s JOIN series e ON e.studyInstanceUid = s.studyInstanceUid"
        ' JOIN instance x ON x.seriesInstanceUid = e.seriesInstanceUid GROUP BY ALL"',
        place,
    )
    assert len(rows) == len({ds.StudyInstanceUID for ds in images(place).values()})
    for row in rows:
        assert (row["n"], row["k"]) == (row["i"], row["j"])


# -- the calls --


def call(client, text, place):
    """A call of the table: `METHOD /path {json}`."""
    method, path, *rest = text.split(" ", 2)
    body, headers = None, {}
    if rest:
        json.loads(rest[0])
        body, headers = rest[0].encode(), {"Content-Type": "application/json"}
    elif method != "GET":
        body = b""
    answer = client.request(method, path, headers, body, absolute=True)
    assert 200 <= answer.status < 300, (text, answer)
    return answer


def runs_ended(client):
    runs = client.get("/factory/runs", {}, absolute=True).json()["value"]
    return runs and all(run["status"] not in ("Queued", "InProgress") for run in runs) and runs


def test_the_calls(place, tmp_path):
    shell('dicomlake import "$FILES"', place)
    stored = images(place)
    server = Server(tmp_path / "home", env=place)
    server.start()
    answers = {}
    try:
        client = http.Client(server.base)
        for step, _, calls in table():
            for text in calls:
                answers.setdefault(step, []).append(call(client, text, place))
            if step == "0":
                runs = wait_for(lambda: runs_ended(client), 120, "the end of the run", every=0.1)
                assert [run["status"] for run in runs] == ["Succeeded"], runs
        shown = [client.get(f"{PREFIX}/tables/{t}", {}, absolute=True).json() for t in ("instance", "series", "study")]
        judge_shown({"tables": shown}, stored)
        judge_notebook(answers["N2"][0].json(), stored)
        judge_rows(answers["N2"][1].json(), stored)
        for path in judge_rows(answers["N3"][0].json(), stored).values():
            file = client.get(f"{PREFIX}/files/contoso-dicom-files/{path.removeprefix('AHDS/')}", {}, absolute=True)
            assert file.status == 200, file
            target = tmp_path / "out" / "one.dcm"
            target.write_bytes(file.body)
            same(pydicom.dcmread(target), stored)
    finally:
        code = server.stop()
    assert code == 0, server.log()
    for ds in stored.values():
        name = str(ds.get("PatientName") or "")
        assert len(name) < 4 or name not in server.log()
