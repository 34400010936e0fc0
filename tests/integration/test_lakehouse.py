"""lakehouse and shortcut from the outside: what they print, leave behind and exit with; several at once."""

import datetime
import json
import os
import pathlib
import re
import shutil
import signal
import time

import pydicom
import pytest
from support import cli
from support.cli import DONE, FAILED, PARTLY, USAGE, start

IMAGES = ["CT_small.dcm", "MR_small.dcm", "waveform_ecg.dcm"]


class Home(cli.Home):
    def document(self, name):
        return json.loads((self.path / "config" / "lakehouse" / f"{name}.json").read_text())

    def shortcut(self, lakehouse, kind, name, path, connection="home:"):
        return self.facts(
            *("shortcut", "add", lakehouse, "--to", kind, "--name", name),
            *("--connection", connection, "--path", path),
        )


@pytest.fixture(scope="module")
def synced(tmp_path_factory):
    """A home with three images and its tables; tests copy it."""
    folder = tmp_path_factory.mktemp("lakehouse")
    source = pathlib.Path(pydicom.__file__).parent / "data" / "test_files"
    (folder / "in").mkdir()
    for name in IMAGES:
        shutil.copy(source / name, folder / "in")
    home = Home(folder / "home")
    home("import", folder / "in")
    home("sync")
    return home


@pytest.fixture
def home(synced, tmp_path):
    shutil.copytree(synced.path, tmp_path / "home")
    return Home(tmp_path / "home")


@pytest.fixture
def research(home):
    """A lakehouse with the home's tables and files."""
    home("lakehouse", "create", "research", "--description", "for analysts")
    for table in ("instance", "series", "study"):
        home.shortcut("research", "tables", table, f"/dicom/{table}")
    home.shortcut("research", "files", "contoso-dicom-files", "/dicom/AHDS")
    return home


def failure(done):
    """The one line of a failure."""
    (line,) = done.stderr.splitlines()
    assert line.startswith("dicomlake: ")
    return line


# -- lakehouses --


def test_a_home_has_one_by_itself(home):
    (own,) = home.facts("lakehouse", "list")
    assert (own["name"], own["implied"], own["tables"], own["files"], own["broken"]) == ("home", True, 3, 1, 0)
    shown = home.facts("lakehouse", "show")
    assert [t["name"] for t in shown["tables"]] == ["instance", "series", "study"]
    assert [f["name"] for f in shown["files"]] == ["AHDS"]
    assert not (home.path / "config" / "lakehouse").exists()
    assert "cannot be changed" in failure(home("lakehouse", "remove", "home", code=USAGE))
    assert "every home has" in failure(home("lakehouse", "create", "home", code=USAGE))
    assert home.facts("sql", "SELECT count(*) AS n FROM instance") == [{"n": len(IMAGES)}]


def test_an_empty_home_has_an_empty_one(tmp_path):
    home = Home(tmp_path / "home")
    home("connection", "add", "lake", "--type", "lake", "--url", "home:")
    shown = home.facts("lakehouse", "show")
    assert (shown["tables"], shown["files"]) == ([], [])
    assert "it has no tables; dicomlake sync makes them" in home("lakehouse", "show").stdout
    said = home("sql", "SELECT * FROM instance", code=USAGE).stderr
    assert "no table instance" in said and "; dicomlake sync makes them" in said
    home("lakehouse", "create", "named")
    assert "it is empty; dicomlake shortcut add" in home("lakehouse", "show", "named").stdout
    said = home("sql", "SELECT * FROM instance", code=USAGE).stderr
    assert "no table instance" in said and "; dicomlake shortcut add joins some" in said
    (home.path.parent / "lake").mkdir()
    said = home("sql", "--lake", home.path.parent / "lake", "SELECT * FROM instance", code=USAGE).stderr
    assert "no table instance" in said and "; dicomlake sync --lake DIR makes them" in said
    assert "no home in" in failure(Home(tmp_path / "none")("lakehouse", "list", code=FAILED))


def test_create_list_remove(home):
    made = home.facts("lakehouse", "create", "research", "--description", "for analysts")
    assert made == {"name": "research", "description": "for analysts", "shortcuts": []}
    assert home.document("research") == made
    assert "'research' already" in failure(home("lakehouse", "create", "Research", code=FAILED))
    assert "character 2" in failure(home("lakehouse", "create", "a b", code=USAGE))
    home("lakehouse", "create", "audit")
    assert [e["name"] for e in home.facts("lakehouse", "list")] == ["audit", "research"]
    assert "audit, research" in failure(home("lakehouse", "show", code=USAGE))
    assert "did you mean audit?" in failure(home("lakehouse", "remove", "adit", code=FAILED))
    assert home.facts("lakehouse", "remove", "audit", "RESEARCH") == {"removed": ["audit", "RESEARCH"]}
    assert [e["name"] for e in home.facts("lakehouse", "list")] == ["home"]


def test_show_for_people(research):
    text = research("lakehouse", "show", "research").stdout
    assert re.search(r"^lakehouse +research$", text, re.M)
    assert re.search(r"^TABLE +ROWS +SIZE +FILES +VERSION +WATERMARK +CHANGED +LEADS TO$", text, re.M)
    assert re.search(r"^instance +3 +[\d.]+ kB +1 +1 +3 +.* ago +home: /dicom/instance$|just now", text, re.M)
    assert re.search(r"^contoso-dicom-files +ok +home: /dicom/AHDS +/.*/files/AHDS$", text, re.M)
    assert re.search(r"^sopinstanceuid +VARCHAR +SOPInstanceUID +00080018", text, re.M)
    one = research("lakehouse", "show", "research", "STUDY").stdout
    assert re.search(r"^patientName +VARCHAR +PatientName +00100010", one, re.M)
    assert "series" not in one.split("\n\n")[0]
    assert "did you mean study?" in failure(research("lakehouse", "show", "research", "studi", code=FAILED))
    assert "under Files" in failure(research("lakehouse", "show", "research", "contoso-dicom-files", code=FAILED))


def test_show_says_all_as_json(research):
    before = time.time()
    shown = research.facts("lakehouse", "show", "research")
    assert (shown["name"], shown["description"], shown["implied"]) == ("research", "for analysts", False)
    instance = shown["tables"][0]
    assert instance == research.facts("lakehouse", "show", "research", "instance")
    assert (instance["path"], instance["subpath"], instance["broken"]) == ("Tables", "/dicom/instance", None)
    assert (instance["rows"], instance["files"], instance["version"], instance["watermark"]) == (3, 1, 1, 3)
    folder = pathlib.Path(instance["folder"])
    assert folder == research.path / "tables" / "dicom" / "instance"
    assert instance["sizeBytes"] == sum(p.stat().st_size for p in folder.rglob("*.parquet"))
    changed = datetime.datetime.fromisoformat(instance["changed"].replace("Z", "+00:00")).timestamp()
    assert before - 24 * 3600 < changed <= time.time()
    assert instance["watermarkTime"] is not None
    partition = [c for c in instance["columns"] if c["partition"]]
    assert [c["name"] for c in partition] == ["partitionName"]


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (0, "just now"),
        (90, "1 minute ago"),
        (7300, "2 hours ago"),
        (86400 * 3 + 9, "3 days ago"),
        (86400 * 400, "1 year ago"),
        (-86400, "in the future"),
    ],
)
def test_age_as_a_person_says_it(home, age, said):
    moment = time.time() - age
    logs = sorted((home.path / "tables" / "dicom" / "study" / "_delta_log").glob("*.json"))
    for i, log in enumerate(logs):
        os.utime(log, (moment - len(logs) + i, moment - len(logs) + i))
    os.utime(logs[-1], (moment, moment))
    text = home("lakehouse", "show", "home", "study").stdout
    assert said in text or (age == 0 and "second" in text)


# -- shortcuts --


def test_shortcuts(research):
    listed = research.facts("shortcut", "list", "research")
    assert [(s["path"], s["name"]) for s in listed] == [
        *(("Tables", t) for t in ("instance", "series", "study")),
        ("Files", "contoso-dicom-files"),
    ]
    assert [s["broken"] for s in research.facts("shortcut", "test", "research")] == [None] * 4
    again = research(
        *("shortcut", "add", "research", "--to", "tables", "--name", "INSTANCE"),
        *("--connection", "home:", "--path", "/x"),
        code=FAILED,
    )
    assert "'instance' under Tables already" in failure(again)
    # One name under both; the default name is the last part of the path.
    research("shortcut", "add", "research", "--to", "files", "--connection", "home:", "--path", "/dicom/instance")
    both = failure(research("shortcut", "remove", "research", "instance", code=USAGE))
    assert "--to tables or --to files" in both
    research("shortcut", "remove", "research", "instance", "--to", "files")
    research("shortcut", "remove", "research", "instance", "STUDY")
    assert [s["name"] for s in research.facts("shortcut", "list", "research")] == ["series", "contoso-dicom-files"]
    assert (research.path / "tables" / "dicom" / "instance").is_dir()


def test_usage_of_shortcuts(research):
    for words, said in [
        (["--to", "tables", "--connection", "home:"], "--path are needed"),
        (["--to", "views", "--connection", "home:", "--path", "/a"], "not tables or files"),
        (["--to", "tables", "--connection", "home:", "--path", "a"], "does not begin with '/'"),
        (["--to", "files", "--connection", "home:", "--path", "/dicom/../../.."], "would leave the connection"),
        (["--to", "files", "--connection", "home:", "--path", "/"], "name: it has 0 bytes"),
    ]:
        assert said in failure(research("shortcut", "add", "research", *words, code=USAGE))
    assert "takes no --path" in failure(research("shortcut", "list", "--path", "/a", code=USAGE))
    assert len(research.facts("shortcut", "list", "research")) == 4


def test_broken_ones_are_shown_and_the_others_work(research, tmp_path):
    tables = research.path / "tables" / "dicom"
    research("connection", "add", "mine", "--type", "lake", "--url", tmp_path / "mine")
    research("connection", "add", "cloud", "--type", "lake", "--url", "abfss://c@account.dfs.core.windows.net/x")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "out").symlink_to(tables)
    cases = {  # name: where it leads, and what is said when it is used
        "gone": ("home:", "/dicom/instnce", "did you mean instance?"),
        "folder": ("home:", "/dicom", "it has no _delta_log"),
        "link": ("mine", "/out/instance", "leads out of the connection's folder"),
        "cloud": ("cloud", "/dicom/instance", "abfss://"),
    }
    for name, (connection, path, _) in cases.items():
        assert research.shortcut("research", "tables", name, path, connection)["broken"] is not None
    research("connection", "remove", "mine")
    cases["link"] = (*cases["link"][:2], "no connection 'mine'")
    shutil.copytree(tables / "series", tables / "odd")
    log = tables / "odd" / "_delta_log"
    first = sorted(log.glob("*.json"))[0]
    lines = [json.loads(line) for line in first.read_text().splitlines()]
    for line in lines:
        if "protocol" in line:
            line["protocol"] = {
                "minReaderVersion": 3, "minWriterVersion": 7,
                "readerFeatures": ["telepathy"], "writerFeatures": ["telepathy"],
            }  # fmt: skip
    first.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for checksum in log.glob("*.crc"):
        checksum.unlink()
    research.shortcut("research", "tables", "odd", "/dicom/odd")
    cases["odd"] = ("home:", "/dicom/odd", "telepathy")
    shown = research.facts("lakehouse", "show", "research", code=PARTLY)
    states = {t["name"]: t["broken"] for t in shown["tables"]}
    assert [states[t] for t in ("instance", "series", "study")] == [None] * 3
    people = research("lakehouse", "show", "research", code=PARTLY)
    for name, (_, _, said) in cases.items():
        assert said in states[name]["message"] + states[name]["hint"], (name, states[name])
        assert re.search(rf"^dicomlake: Tables/{name}: .*{re.escape(said)}", people.stderr, re.M), name
        assert said in failure(research("shortcut", "test", "research", name, code=FAILED))
        asked = research("sql", f'SELECT * FROM "{name}"', code=FAILED)
        assert said in asked.stderr, (name, asked.stderr)
    assert research.facts("sql", "SELECT count(*) AS n FROM study") == [{"n": len(IMAGES)}]
    (entry,) = research.facts("lakehouse", "list")
    assert (entry["tables"], entry["broken"]) == (8, 4)  # what is inside a table is not opened for a list


def test_a_table_that_comes_later(home):
    home("lakehouse", "create", "early")
    home.shortcut("early", "tables", "late", "/dicom/late")
    assert home.facts("shortcut", "list", "early")[0]["broken"] is not None
    shutil.copytree(home.path / "tables" / "dicom" / "study", home.path / "tables" / "dicom" / "late")
    assert home.facts("shortcut", "list", "early")[0]["broken"] is None
    assert home.facts("sql", "SELECT count(*) AS n FROM late") == [{"n": len(IMAGES)}]


def test_another_lake_and_a_relative_home(home, tmp_path):
    """A lake elsewhere with blanks in its path; the home is named from where one stands."""
    lake = tmp_path / "my lake"
    shutil.copytree(home.path / "tables", lake)
    home("connection", "add", "elsewhere", "--type", "lake", "--url", "./my lake", cwd=tmp_path)
    home("lakehouse", "create", "other")
    home.shortcut("other", "tables", "a table", "/dicom/study", "elsewhere")
    home.env["DICOMLAKE_HOME"] = "home"
    done = home("sql", "--json", 'SELECT count(*) AS n FROM "A Table"', cwd=tmp_path)
    assert json.loads(done.stdout) == [{"n": len(IMAGES)}]
    shown = json.loads(home("lakehouse", "show", "--json", cwd=tmp_path).stdout)
    assert shown["tables"][0]["folder"] == str(lake / "dicom" / "study")


def test_sql_chooses_a_lakehouse(research):
    """Without a name the only one; of several one must be named; home always can."""
    assert research.facts("sql", "SELECT count(*) AS n FROM research.study") == [{"n": len(IMAGES)}]
    research("lakehouse", "create", "empty")
    assert "empty, research" in research("sql", "SELECT 1", code=USAGE).stderr
    assert research.facts("sql", "--lakehouse", "RESEARCH", "SELECT count(*) AS n FROM Study") == [{"n": len(IMAGES)}]
    assert research.facts("sql", "--lakehouse", "home", "SELECT count(*) AS n FROM study") == [{"n": len(IMAGES)}]
    assert "study" in research("sql", "--lakehouse", "empty", "SELECT * FROM study", code=USAGE).stderr


# -- documents --


def test_documents_edited_by_hand(research):
    path = research.path / "config" / "lakehouse" / "research.json"
    document = research.document("research")
    document["owner"] = {"team": "radiology"}
    document["shortcuts"][0]["note"] = "the big one"
    document["shortcuts"][0]["target"]["region"] = "west"
    path.write_text(json.dumps(document))
    research.shortcut("research", "files", "more", "/dicom/AHDS")
    kept = research.document("research")
    assert kept["owner"] == {"team": "radiology"}
    assert kept["shortcuts"][0] == document["shortcuts"][0]
    canonical = path.read_text()
    research("shortcut", "remove", "research", "more")
    research.shortcut("research", "files", "more", "/dicom/AHDS")
    assert path.read_text() == canonical
    document["shortcuts"][1]["path"] = "Views"
    path.write_text(json.dumps(document))
    said = failure(research("lakehouse", "show", "research", code=USAGE))
    assert 'shortcuts[1].path: "Views"' in said and "config/lakehouse/research.json" in said
    (entry,) = research.facts("lakehouse", "list")
    assert "shortcuts[1].path" in entry["fault"]


def test_several_at_once_lose_nothing(home):
    home("lakehouse", "create", "shared")
    running = [
        start(
            *("shortcut", "add", "shared", "--to", "files", "--name", f"s{i}"),
            *("--connection", "home:", "--path", "/dicom/AHDS"),
            env=home.env,
        )
        for i in range(16)
    ]
    for process in running:
        _, said = process.communicate(timeout=120)
        assert process.returncode == DONE, said
    assert {s["name"] for s in home.document("shared")["shortcuts"]} == {f"s{i}" for i in range(16)}


def test_killed_on_the_way_leaves_the_old_or_the_new_one(home):
    home("lakehouse", "create", "shared")
    have = set()
    for i in range(20):
        process = start(
            *("shortcut", "add", "shared", "--to", "files", "--name", f"s{i}"),
            *("--connection", "home:", "--path", "/dicom/AHDS"),
            env=home.env,
        )
        time.sleep(0.002 * i)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        now = {s["name"] for s in home.document("shared")["shortcuts"]}
        assert have <= now <= have | {f"s{i}"}
        have = now
    home.shortcut("shared", "files", "after", "/dicom/AHDS")
    assert "after" in {s["name"] for s in home.document("shared")["shortcuts"]}
