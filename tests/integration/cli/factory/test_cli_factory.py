"""connection, pipeline, trigger from the outside: help, wrong usage, documents, drafts, import and export."""

import json
import re

import pytest
from support import template
from support.cli import DONE, FAILED, PARTLY
from support.factory import TOKEN, Home, tumbling
from support.feed import FeedServer


# -- help and usage --

ACTIONS = {
    "connection": ["add", "list", "show", "remove", "rename", "test"],
    "pipeline": [
        *("templates", "create", "list", "show", "set", "import"),
        *("export", "publish", "run", "remove", "rename"),
    ],
    "trigger": [
        *("create", "list", "show", "windows", "start", "stop", "run-now"),
        *("backfill", "rerun", "remove", "rename", "daemon"),
    ],
    "run": ["list", "show", "logs", "cancel", "rerun"],
}


def test_the_gallery_needs_no_home(home):
    home.env.pop("DICOMLAKE_HOME", None)
    assert [t["id"] for t in home.facts("pipeline", "templates")] == ["copy-dicom-metadata-changes"]
    assert "no home named" in home.refused("pipeline", "list")
    assert not home.path.exists()


@pytest.mark.parametrize("command", ACTIONS)
def test_help_names_every_action(home, command):
    text = home(command, "--help").stdout
    for action in ACTIONS[command]:
        assert re.search(rf"\b{action}\b", text), action
        assert home(command, action, "--help").stdout == text
    assert not home.path.exists(), "help makes nothing"


WRONG_WORDS = [
    (["connection", "fly"], "connection has no action fly"),
    (["connection"], "something is missing"),
    (["connection", "add"], "something is missing"),
    (["connection", "add", "a", "b"], "too many words"),
    (["connection", "add", "a"], "--type and --url are needed"),
    (["connection", "add", "a", "--type", "ftp", "--url", "x"], "not dicom or lake"),
    (["connection", "add", "a b", "--type", "lake", "--url", "/x"], "not allowed"),
    (["connection", "add", "a" * 141, "--type", "lake", "--url", "/x"], "141 characters"),
    (["connection", "add", "a", "--type", "dicom", "--url", "http://h", "--auth", "kerberos"], "--auth kerberos"),
    (["connection", "add", "a", "--type", "dicom", "--url", "http://h", "--auth", "token"], "needs a token"),
    (["connection", "add", "a", "--type", "dicom", "--url", "http://h", "--auth", "anonymous", "--token-env", "T"],
     "takes no a token"),
    (["connection", "add", "a", "--type", "dicom", "--url", "http://h", "--token-env", "T", "--token-file", "f"],
     "exclude each other"),
    (["connection", "list", "--url", "http://h"], "connection list takes no --url"),
    (["connection", "add", "a", "--every", "1h"], "no option --every"),
    (["pipeline", "create", "p"], "--dicom and --lake are needed"),
    (["pipeline", "list", "--wait"], "pipeline list takes no --wait"),
    (["trigger", "create", "t"], "--pipeline is needed"),
    (["trigger", "list", "--every", "1h"], "trigger list takes no --every"),
    (["trigger", "create", "t", "--wait"], "trigger create takes no --wait"),
    (["trigger", "rerun", "t"], "something is missing"),
    (["run", "list", "--status", "happy"], "--status happy"),
    (["run", "list", "--from", "yesterday"], "not a time"),
    (["run", "list", "--last", "0"], "not a number from 1 to 10000"),
    (["run", "list", "--last", "10001"], "not a number from 1 to 10000"),
    (["run", "logs"], "something is missing"),
]  # fmt: skip


@pytest.mark.parametrize("words, said", WRONG_WORDS, ids=[" ".join(w)[:60] for w, _ in WRONG_WORDS])
def test_wrong_usage(home, words, said):
    home.path.mkdir()
    assert said in home.refused(*words)
    assert not list(home.path.glob("config/factory/*/*")), "nothing is saved"


@pytest.mark.parametrize("words", [["connection", "list"], ["run", "list"], ["trigger", "show", "x"]])
def test_a_home_that_is_not_there_is_not_made(home, words):
    assert "no home in" in home.refused(*words, code=FAILED)
    assert not home.path.exists()


def test_no_home_named(home):
    del home.env["DICOMLAKE_HOME"]
    assert "no home named" in home.refused("connection", "list")


WRONG_TRIGGERS = [
    (["--every", "0h"], "--every 0h"),
    (["--every", "5s"], "--every 5s"),
    (["--every", "h"], "--every h"),
    (["--every", "1w"], "frequency"),
    (["--every", "99999999999h"], "--every"),
    (["--delay", "-1h"], "--delay -1h"),
    (["--delay", "1month"], "--delay 1month"),
    (["--start", "2026-02-30"], "--start 2026-02-30"),
    (["--start", "2026-01-02", "--end", "2026-01-01"], "endTime"),
    (["--max-concurrency", "0"], "from 1 to 50"),
    (["--max-concurrency", "51"], "from 1 to 50"),
    (["--retry", "1001"], "from 0 to 1000"),
    (["--retry-interval", "0s"], "--retry-interval 0s"),
    (["--retry-interval", "86401s"], "--retry-interval 86401s"),
    (["--depends-on", "a:b"], "offset b"),
    (["--depends-on", "a:1h:1h:1h"], "not TRIGGER"),
    (["--depends-on", "t:1h"], "negative"),
    (["--type", "weekly"], "--type weekly"),
    (["--at", "02:30"], "of schedules"),
    (["--type", "schedule", "--delay", "15m"], "of tumbling windows"),
    (["--type", "manual", "--every", "1h"], "of tumbling windows and schedules"),
    (["--quiet", "10s"], "on change"),
    (["--type", "schedule", "--at", "24:00"], "--at 24:00"),
    (["--type", "schedule", "--at", "02:30,14:45"], "each hour needs the same minutes"),
    (["--type", "schedule", "--weekdays", "mon,funday"], "--weekdays"),
    (["--type", "schedule", "--weekdays", "1mon"], "--weekdays"),
    (["--type", "schedule", "--every", "1month", "--weekdays", "6mon"], "--weekdays"),
    (["--type", "schedule", "--month-days", "0"], "--month-days 0"),
    (["--type", "schedule", "--month-days", "32"], "--month-days 32"),
    (["--set", "=x"], "not of the form Name=Value"),
    (["--set", "StartTime"], "not of the form Name=Value"),
]


@pytest.mark.parametrize("words, said", WRONG_TRIGGERS, ids=[" ".join(w) for w, _ in WRONG_TRIGGERS])
def test_wrong_triggers(home, words, said):
    home.setup("http://127.0.0.1:9", publish=False)
    assert said in home.refused("trigger", "create", "t", "--pipeline", "copy", *words)
    assert home.facts("trigger", "list") == []


def test_wrong_time_zone_names_others(home):
    home.setup("http://127.0.0.1:9", publish=False)
    said = home.refused(
        *("trigger", "create", "t", "--pipeline", "copy", "--type", "schedule", "--time-zone", "Europe/Berln"),
        code=FAILED,
    )
    assert "Europe/Berlin" in said


EXPRESSIONS = [
    ("@formatDateTme(trigger().outputs.windowStartTime)", "formatDateTme", "formatDateTime"),
    ("@concat('a', 'b'", "@concat", "")    ,
    ("from @{trigger().outputs.nope} on", "nope", ""),
    ("@pipeline().parameters.Nope", "", ""),
]  # fmt: skip


@pytest.mark.parametrize("text, place, hint", EXPRESSIONS, ids=[e[0] for e in EXPRESSIONS])
def test_a_wrong_expression_is_refused_with_its_place(home, text, place, hint):
    home.setup("http://127.0.0.1:9", publish=False)
    words = ["trigger", "create", "t", "--pipeline", "copy", "--set", f"StartTime={text}"]
    if text == "@pipeline().parameters.Nope":
        home(*words[:-2], code=DONE)  # a draft may be; publishing knows the pipeline's names
        return
    first, shown, caret = home.refused(*words).rstrip("\n").split("\n")
    assert "StartTime" in first and hint in first
    assert shown.strip() == text
    assert re.fullmatch(r" +\^", caret)
    assert len(shown) - len(shown.lstrip()) <= len(caret) - 1 <= len(shown), "the caret is under the text"
    assert home.facts("trigger", "list") == []


def test_window_variables_only_where_there_are_windows(home):
    home.setup("http://127.0.0.1:9", publish=False)
    said = home.refused(
        *("trigger", "create", "t", "--pipeline", "copy", "--type", "schedule"),
        *("--set", "StartTime=@formatDateTime(trigger().outputs.windowStartTime)"),
    )
    assert "window" in said and "^" in said


# -- documents --


def test_a_document_has_data_factorys_shape(home):
    home.setup("http://127.0.0.1:9", publish=False)
    made = home.facts(
        *("trigger", "create", "hourly", "--pipeline", "copy", "--every", "2h", "--start", "2026-01-05T08:00:00Z"),
        *("--end", "2026-02-01", "--delay", "15m", "--max-concurrency", "2", "--retry", "3", "--retry-interval", "90s"),
        *("--depends-on", "hourly:-2h", "--depends-on", "other:0h:4h", "--description", "two by two"),
        *("--set", "ContainerName=c1"),
    )
    assert made["state"] == "Draft"
    document = made["document"]
    assert json.loads((home.path / "config/factory/trigger/hourly.json").read_text()) == document
    p = document["properties"]
    assert (p["type"], p["description"], p["runtimeState"]) == ("TumblingWindowTrigger", "two by two", "Started")
    assert p["pipeline"]["pipelineReference"]["referenceName"] == "copy"
    assert p["pipeline"]["parameters"] == {
        "ContainerName": "c1",
        "StartTime": "@formatDateTime(trigger().outputs.windowStartTime)",
        "EndTime": "@formatDateTime(trigger().outputs.windowEndTime)",
    }
    t = p["typeProperties"]
    assert (t["frequency"], t["interval"], t["delay"], t["maxConcurrency"]) == ("Hour", 2, "00:15:00", 2)
    assert (t["startTime"], t["endTime"]) == ("2026-01-05T08:00:00Z", "2026-02-01T00:00:00Z")
    assert t["retryPolicy"] == {"count": 3, "intervalInSeconds": 90}
    own, other = t["dependsOn"]
    assert own["type"] == "SelfDependencyTumblingWindowTriggerReference" and own["offset"] == "-02:00:00"
    assert other["referenceTrigger"]["referenceName"] == "other" and other["size"] == "04:00:00"


SCHEDULES = [
    ([], {"frequency": "Day", "interval": 1}, {}),
    (["--every", "15m"], {"frequency": "Minute", "interval": 15}, {}),
    (["--at", "02:30"], {"frequency": "Day"}, {"hours": [2], "minutes": [30]}),
    (["--at", "02:30,14:30"], {"frequency": "Day"}, {"hours": [2, 14], "minutes": [30]}),
    (["--weekdays", "mon,Friday"], {"frequency": "Week"}, {"weekDays": ["Monday", "Friday"]}),
    (["--month-days", "1,-1"], {"frequency": "Month"}, {"monthDays": [1, -1]}),
    (["--every", "1month", "--weekdays", "1mon,-1fri"], {"frequency": "Month"},
     {"monthlyOccurrences": [{"day": "Monday", "occurrence": 1}, {"day": "Friday", "occurrence": -1}]}),
    (["--time-zone", "Europe/Berlin", "--at", "02:30"], {"timeZone": "Europe/Berlin"}, {"hours": [2]}),
]  # fmt: skip


@pytest.mark.parametrize("words, recurrence, schedule", SCHEDULES, ids=[" ".join(s[0]) for s in SCHEDULES])
def test_schedules(home, words, recurrence, schedule):
    home.setup("http://127.0.0.1:9", publish=False)
    made = home.facts("trigger", "create", "t", "--pipeline", "copy", "--type", "schedule", *words)
    got = made["document"]["properties"]["typeProperties"]["recurrence"]
    assert recurrence.items() <= got.items(), got
    assert schedule.items() <= got.get("schedule", {}).items(), got
    assert "schedule" in home("trigger", "show", "t").stdout


def test_wrong_names_say_which_there_are(home):
    home.setup("http://127.0.0.1:9", publish=False)
    for words in (
        ["connection", "show", "sorce"],
        ["connection", "test", "sorce"],
        ["connection", "remove", "sorce"],
        ["pipeline", "create", "p", "--dicom", "sorce", "--lake", "lake"],
    ):
        assert "source" in home.refused(*words, code=FAILED), words
    assert "copy" in home.refused("pipeline", "show", "coppy", code=FAILED)
    assert "copy" in home.refused("trigger", "create", "t", "--pipeline", "coppy", code=FAILED)
    home.refused("trigger", "start", "nobody", code=FAILED)
    home.refused("run", "show", "0123456789", code=FAILED)
    assert "type lake, not dicom" in home.refused("pipeline", "create", "p", "--dicom", "lake", "--lake", "lake")


def test_parameters_are_checked_when_they_are_set(home):
    home.setup("http://127.0.0.1:9", publish=False)
    assert "BatchSize" in home.refused("pipeline", "set", "copy", "Batchsiz=5", code=FAILED)
    home.refused("pipeline", "set", "copy", "BatchSize=0")
    home.refused("pipeline", "set", "copy", "StartTime=today")
    home("pipeline", "set", "copy", "batchsize=50", "ContainerName=other")
    shown = home("pipeline", "show", "copy").stdout
    assert re.search(r"BatchSize +50\b", shown) and re.search(r"ContainerName +other\b", shown)


def test_names_are_free_or_replaced(home):
    home.setup("http://127.0.0.1:9", publish=False)
    home.refused("connection", "add", "SOURCE", "--type", "lake", "--url", "/x", code=FAILED)
    home("connection", "add", "source", "--replace", "--type", "dicom", "--url", "http://127.0.0.1:10")
    assert ":10" in home("connection", "show", "source").stdout


def test_a_secret_is_named_and_never_shown(home, source):
    asked = []

    def need_token(handler, path, query):
        asked.append(handler.headers.get("Authorization"))
        if asked[-1] == f"Bearer {TOKEN}":
            return False
        FeedServer.send(handler, 401)
        return True

    source.faults.append(need_token)
    home.setup(source.url)
    said = home("connection", "test", "source", code=FAILED)
    assert "401" in said.stdout + said.stderr
    home("connection", "add", "source", "--replace", "--type", "dicom", "--url", source.url, "--token-env", "DICOM_TOKEN")
    assert home.facts("connection", "test", "source")["passed"]
    home("pipeline", "run", "copy")
    assert asked[-1] == f"Bearer {TOKEN}"
    for words in (["connection", "show", "source"], ["connection", "list"], ["run", "list"]):
        home(*words)
        home(*words, "--json")
    for path in home.path.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


def test_a_lake_is_the_same_from_any_folder(home):
    home.folder.joinpath("here").mkdir()
    home("connection", "add", "lake", "--type", "lake", "--url", "./tables", cwd=home.folder / "here")
    assert str(home.folder / "here" / "tables") in home("connection", "show", "lake").stdout


def test_rename_and_remove(home, source):
    home.setup(source.url)
    tumbling(home)
    home("pipeline", "rename", "copy", "kopie")
    assert home.facts("trigger", "show", "hourly")["document"]["properties"]["pipeline"]["pipelineReference"][
        "referenceName"
    ] == "kopie"
    home("pipeline", "run", "kopie")
    assert "kopie" in home.refused("connection", "remove", "lake", code=FAILED)
    home("trigger", "remove", "hourly")
    home("pipeline", "remove", "kopie")
    home("pipeline", "publish")
    home("connection", "remove", "lake", "source")
    assert home.facts("connection", "list") == home.facts("pipeline", "list") == home.facts("trigger", "list") == []
    assert [r["status"] for r in home.runs()] == ["Succeeded"], "what ran stays in the monitor"


# -- drafts and what is published --


def test_drafts_do_nothing_until_published(home, source):
    home.setup(source.url, publish=False)
    assert "publish" in home.refused("pipeline", "run", "copy", code=FAILED)
    assert home.facts("pipeline", "publish") == {"published": 1}
    assert home.facts("pipeline", "publish") == {"published": 0}
    home("pipeline", "run", "copy")
    home("pipeline", "set", "copy", "ContainerName=other")
    assert home.facts("pipeline", "show", "copy")["state"] == "Changed"
    home("pipeline", "run", "copy")
    assert not (home.lake / "other").exists(), "the draft has run"
    home("pipeline", "publish", "copy")
    run = home.facts("pipeline", "run", "copy")
    assert run["parameters"]["ContainerName"] == "other"
    assert (home.lake / "other" / "instance" / "_delta_log").exists()


def test_publishing_is_all_or_nothing(home, source):
    home.setup(source.url)
    home("pipeline", "set", "copy", "ContainerName=other")
    home("trigger", "create", "a", "--pipeline", "copy", "--depends-on", "b")
    home("trigger", "create", "b", "--pipeline", "copy", "--depends-on", "a")
    home.refused("pipeline", "publish")
    assert home.facts("pipeline", "show", "copy")["state"] == "Changed"
    assert {t["state"] for t in home.facts("trigger", "list")} == {"Draft"}


# -- import, export --


def test_export_and_import(home, source, tmp_path):
    home.setup(source.url)
    tumbling(home)
    home("pipeline", "set", "copy", "ContainerName=c9")
    home("pipeline", "export", "copy", "--to", tmp_path / "copy.json")
    assert home("pipeline", "export", "copy").stdout.strip() == (tmp_path / "copy.json").read_text().strip()
    other = Home(tmp_path / "other")
    other.folder.mkdir()
    other("pipeline", "import", tmp_path / "copy.json")
    for kind, name in (("pipeline", "copy"), ("trigger", "hourly")):
        mine, theirs = home.facts(kind, "show", name), other.facts(kind, "show", name)
        assert mine["document"]["properties"] == theirs["document"]["properties"]
        assert theirs["state"] == "Draft"
    other("pipeline", "publish")
    home.refused("pipeline", "import", tmp_path / "copy.json", code=FAILED)  # the names are taken
    home("pipeline", "import", tmp_path / "copy.json", "--replace")


def test_import_lists_what_it_does_not_understand(home, tmp_path):
    home.setup("http://127.0.0.1:9")
    arm = template.arm()
    activities = arm["resources"][0]["properties"]["activities"]
    activities.append({"name": "Tell somebody", "type": "WebActivity", "typeProperties": {"url": "https://x.invalid"}})
    (tmp_path / "t.json").write_text(json.dumps(arm))
    words = ["pipeline", "import", tmp_path / "t.json", "--name", "mine", "--dicom", "source", "--lake", "lake"]
    found = home.facts(*words, code=PARTLY)
    assert found["pipeline"] == "mine"
    assert any("activities" in path for path in found["notUnderstood"]), found
    assert "notUnderstood" in home(*words, "--replace", code=PARTLY).stdout


def test_imports_that_are_nothing(home, tmp_path):
    home.setup("http://127.0.0.1:9")
    for i, content in enumerate((b"", b"{}", b"[1]", b"no json", b"PK\x03\x04 cut", b"\x00" * 100)):
        path = tmp_path / f"{i}.json"
        path.write_bytes(content)
        home.refused("pipeline", "import", path, "--dicom", "source", "--lake", "lake")
    done = home("pipeline", "import", tmp_path / "missing.zip", code=FAILED)
    assert "missing.zip" in done.stderr
