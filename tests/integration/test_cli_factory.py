"""connection, pipeline, trigger, run from the outside: what they print, leave behind and exit with."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time

import pytest
from support import template
from support.feed import FeedServer, Generator
from support.server import Server, program, wait_for

DONE, FAILED, USAGE, PARTLY = 0, 1, 2, 3
HOUR_US = 3600 * 10**6
TOKEN = "a-secret-that-nobody-may-read"
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


class Home:
    """A home, and the program run on it."""

    def __init__(self, folder):
        self.folder = folder
        self.path = folder / "home"
        self.lake = folder / "lake"
        self.env = {**os.environ, "DICOMLAKE_HOME": str(self.path), "DICOM_TOKEN": TOKEN}

    def __call__(self, *words, code=DONE, cwd=None):
        """Its output; the exit code is checked, and that no secret is printed."""
        done = subprocess.run(
            [program(), *map(str, words)], capture_output=True, text=True, env=self.env, timeout=120, cwd=cwd
        )
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        assert TOKEN not in done.stdout + done.stderr
        for sign in ("runtime error:", "Sanitizer", "assertion"):
            assert sign not in done.stderr, done.stderr
        return done

    def facts(self, *words, code=DONE):
        return json.loads(self(*words, "--json", code=code).stdout)

    def refused(self, *words, code=USAGE):
        """What a command says that is refused."""
        done = self(*words, code=code)
        assert done.stderr.startswith("dicomlake: "), done.stderr
        assert done.stdout == "", done.stdout
        return done.stderr

    def runs(self, *words):
        return self.facts("run", "list", *words)

    @contextlib.contextmanager
    def daemon(self):
        process = self.start_daemon()
        try:
            yield process
        finally:
            process.terminate()
            assert process.wait(30) == 0
            process.stdout.close()

    def start_daemon(self):
        process = subprocess.Popen(
            [program(), "trigger", "daemon"],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout.readline() == f"scheduling on {self.path}\n"
        return process

    def setup(self, url, publish=True):
        """A source, a lake and a pipeline between them."""
        self("connection", "add", "source", "--type", "dicom", "--url", url)
        self("connection", "add", "lake", "--type", "lake", "--url", self.lake)
        self("pipeline", "create", "copy", "--dicom", "source", "--lake", "lake")
        if publish:
            self("pipeline", "publish")
        return self


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


@pytest.fixture
def feed():
    """Changes in each of the first 12 hours from the feed's epoch."""
    generator = Generator(99)
    for hour in range(12):
        generator.feed.us = hour * HOUR_US
        generator.step(4, ties=False)
    return generator.feed


@pytest.fixture
def source(feed):
    with FeedServer(feed) as server:
        yield server


def test_the_gallery_needs_no_home(home):
    home.env.pop("DICOMLAKE_HOME", None)
    assert [t["id"] for t in home.facts("pipeline", "templates")] == ["copy-dicom-metadata-changes"]
    assert "no home named" in home.refused("pipeline", "list")
    assert not home.path.exists()


def hours(first, last):
    """The words for the hours [first, last) of the feed's first day."""
    return "--from", f"2026-01-05T{8 + first:02d}:00:00Z", "--to", f"2026-01-05T{8 + last:02d}:00:00Z"


def tumbling(home, name="hourly", *words):
    """A published trigger whose windows are only made by a backfill: its own begin in the year 2100."""
    home("trigger", "create", name, "--pipeline", "copy", "--start", "2100-01-01", *words)
    home("pipeline", "publish")


# -- help and usage --


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


# -- runs --


def test_a_run_does_the_work_itself_and_says_so(home, source, feed):
    home.setup(source.url)
    done = home("pipeline", "run", "copy")
    assert "nobody schedules" in done.stderr and str(home.path) in done.stderr
    assert re.search(rf"run [0-9a-f-]{{36}}: Succeeded in .*, {len(feed.rows)} changes", done.stdout)
    (run,) = home.runs()
    assert run["counts"]["changes"] == len(feed.rows)
    assert run["invokedBy"]["name"] == "Manual"
    shown = home("run", "show", run["runId"][:8]).stdout
    for word in ("Succeeded", "stages", "commit", "instance", "watermark", "BatchSize"):
        assert word in shown, word
    assert home.facts("run", "show", run["runId"]) == run
    assert home("run", "logs", run["runId"]).stdout.strip()
    lines = [json.loads(line) for line in home("run", "logs", run["runId"], "--json", "-f").stdout.splitlines()]
    assert lines and {"time", "level", "text"} == set(lines[0])


def test_parameters_of_one_run(home, source):
    home.setup(source.url)
    run = home.facts("pipeline", "run", "copy", "--set", "ContainerName=once", "--set", "BatchSize=7")
    assert run["parameters"]["ContainerName"] == "once"
    assert (home.lake / "once" / "study").exists()
    assert {q["limit"] for _, q, _ in source.requests if "limit" in q} == {"7"}
    home.refused("pipeline", "run", "copy", "--set", "Nope=1", code=FAILED)


def test_a_failed_run_says_why_and_what_to_do(home, source):
    source.faults.append(lambda handler, path, query: FeedServer.send(handler, 403) or True)
    home.setup(source.url)
    done = home("pipeline", "run", "copy", code=FAILED)
    assert "403" in done.stderr
    (run,) = home.runs()
    assert run["status"] == "Failed" and "403" in run["cause"] and run["hint"]
    assert run["hint"] in done.stderr
    shown = home("run", "show", run["runId"]).stdout
    assert run["cause"] in shown and run["hint"] in shown
    source.faults.clear()
    assert home.facts("run", "rerun", run["runId"])["status"] == "Succeeded"
    again, first = home.runs()
    assert again["runGroupId"] == first["runGroupId"] and again["attempt"] == 2


def test_a_failed_window_is_tried_again_and_followed_to_its_end(home, source):
    left = [2]

    def fail_twice(handler, path, query):
        if "startTime" not in query or left[0] == 0:
            return False
        left[0] -= 1
        FeedServer.send(handler, 403)
        return True

    source.faults.append(fail_twice)
    home.setup(source.url)
    tumbling(home, "hourly", "--retry", "2", "--retry-interval", "1s")
    found = home.facts("trigger", "backfill", "hourly", *hours(0, 1))
    assert (found["queued"], found["succeeded"], found["failed"]) == (1, 1, 0)
    assert [r["status"] for r in home.runs()] == ["Succeeded", "Failed", "Failed"]
    (window,) = home.facts("trigger", "windows", "hourly")
    assert window["attempts"] == 3


def test_a_backfill_that_fails_in_part(home, source):
    """Exit 3 when some windows failed, 1 when all did; a second backfill takes the failed ones alone."""
    bad = "2026-01-05T10:00:00"

    def refuse(handler, path, query):
        if not query.get("startTime", "").startswith(bad):
            return False
        FeedServer.send(handler, 403)
        return True

    source.faults.append(refuse)
    home.setup(source.url)
    tumbling(home)
    found = home.facts("trigger", "backfill", "hourly", *hours(0, 4), code=PARTLY)
    assert (found["queued"], found["succeeded"], found["failed"]) == (4, 3, 1)
    assert "1 failed" in home("trigger", "backfill", "hourly", *hours(2, 3), code=FAILED).stdout
    source.faults.clear()
    found = home.facts("trigger", "backfill", "hourly", *hours(0, 4))
    assert (found["queued"], found["succeeded"]) == (1, 4)
    table = home("trigger", "windows", "hourly", *hours(0, 2)).stdout
    assert table.count("Succeeded") == 2
    assert len(home.facts("trigger", "windows", "hourly", "--limit", "3")) == 3
    again = home.facts("trigger", "rerun", "hourly", "2026-01-05T08:00:00Z")
    assert again["status"] == "Succeeded" and again["attempt"] == 2
    home.refused("trigger", "rerun", "hourly", "2026-01-05T08:30:00Z", code=FAILED)


def test_bad_backfills(home, source):
    home.setup(source.url)
    tumbling(home)
    home("trigger", "create", "hand", "--pipeline", "copy", "--type", "manual")
    home("pipeline", "publish")
    assert "--from and --to are needed" in home.refused("trigger", "backfill", "hourly")
    home.refused("trigger", "backfill", "hourly", *hours(4, 4))
    home.refused("trigger", "backfill", "hourly", *hours(4, 3))
    home.refused("trigger", "backfill", "hand", *hours(0, 1))
    home.refused("trigger", "backfill", "nobody", *hours(0, 1), code=FAILED)
    assert home.runs() == []


def test_filters_of_the_list(home, source):
    home.setup(source.url)
    tumbling(home)
    home("trigger", "backfill", "hourly", *hours(0, 3))
    home("pipeline", "run", "copy")
    assert len(home.runs()) == 4
    assert len(home.runs("--last", "2")) == 2
    assert len(home.runs("--trigger", "hourly")) == 3
    assert len(home.runs("--pipeline", "copy")) == 4
    assert home.runs("--pipeline", "other") == []
    assert len(home.runs("--status", "succeeded")) == 4
    assert home.runs("--status", "Failed") == home.runs("--status", "in-progress") == []
    assert home.runs("--to", "2020-01-01") == home.runs("--from", "2120-01-01") == []
    assert len(home.runs("--from", "2020-01-01", "--to", "2120-01-01")) == 4
    table = home("run", "list", "-n", "1").stdout.splitlines()
    assert len(table) == 2 and table[0].split() == [
        *("RUN", "PIPELINE", "TRIGGER", "WINDOW", "(UTC)", "BEGUN", "(UTC)"),
        *("TOOK", "CHANGES", "STATUS"),
    ]
    assert "Succeeded" in table[1] and "(by hand)" in table[1]


# -- who does the work --


@contextlib.contextmanager
def held(source):
    """The service does not answer windows until the context ends."""
    gate = threading.Event()

    def wait(handler, path, query):
        if "limit" in query:
            gate.wait(60)
        return False

    source.faults.append(wait)
    try:
        yield gate
    finally:
        gate.set()


def test_with_a_daemon_commands_queue(home, source):
    home.setup(source.url)
    tumbling(home)
    with home.daemon():
        with held(source):
            queued = home.facts("pipeline", "run", "copy")
            assert queued["status"] in ("Queued", "InProgress")
            assert "nobody" not in home("trigger", "run-now", "hourly").stderr
        done = home.facts("pipeline", "run", "copy", "--wait")
        assert done["status"] == "Succeeded"
        found = home.facts("trigger", "backfill", "hourly", *hours(0, 3), "--wait")
        assert (found["queued"], found["succeeded"]) == (3, 3)


def test_cancel(home, source):
    home.setup(source.url)
    with home.daemon():
        with held(source):
            first = home.facts("pipeline", "run", "copy")["runId"]
            wait_for(lambda: home.runs("--status", "in-progress"), 10, "the run")
            second = home.facts("pipeline", "run", "copy")["runId"]
            if home.facts("run", "show", second)["status"] == "Queued":
                assert home.facts("run", "cancel", second)["status"] == "Cancelled"
            cancelled = home.facts("run", "cancel", first)
            assert cancelled["cancelRequested"] or cancelled["status"] == "Cancelled"
            wait_for(lambda: home.facts("run", "show", first)["status"] == "Cancelled", 20, "its end")
    home.refused("run", "cancel", first, code=FAILED)


def test_stop_and_start(home, source):
    home.setup(source.url)
    home("trigger", "create", "t", "--pipeline", "copy", "--start", "2100-01-01", "--stopped")
    home("pipeline", "publish")
    assert home.facts("trigger", "show", "t")["runtimeState"] == "Stopped"
    assert home.facts("trigger", "start", "t")["runtimeState"] == "Started"
    assert "stopped" in home("trigger", "stop", "t").stdout
    (row,) = home("trigger", "list").stdout.splitlines()[1:]
    assert "published" in row and "stopped" in row


def test_two_daemons_on_one_home(home, source):
    home.setup(source.url)
    with home.daemon() as first:
        done = home("trigger", "daemon", code=FAILED)
        assert str(first.pid) in done.stderr
        assert first.poll() is None


def test_a_killed_daemon_goes_on(home, source):
    """SIGKILL in mid-run: the next one does that window again and then the others, in order."""
    home.setup(source.url)
    home("trigger", "create", "past", "--pipeline", "copy", "--start", "2026-01-05T08:00:00Z",
         "--end", "2026-01-05T20:00:00Z")  # fmt: skip
    home("pipeline", "publish")
    with held(source):
        daemon = home.start_daemon()
        wait_for(lambda: home.runs("--status", "in-progress"), 20, "a run")
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()
        daemon.stdout.close()
        source.faults.clear()
    with home.daemon():
        wait_for(lambda: len(home.runs("--status", "succeeded")) == 12, 60, "all windows", every=0.3)
    windows = home.facts("trigger", "windows", "past")
    assert [w["status"] for w in windows] == ["Succeeded"] * 12
    assert windows[0]["attempts"] == 2 and {w["attempts"] for w in windows[1:]} == {1}
    succeeded = [r for r in reversed(home.runs()) if r["status"] == "Succeeded"]
    assert [r["windowStart"] for r in succeeded] == [w["windowStart"] for w in windows]


def test_stopping_a_command_leaves_the_run_in_the_queue(home, source):
    home.setup(source.url)
    with held(source):
        process = subprocess.Popen(
            [program(), "pipeline", "run", "copy"], env=home.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        wait_for(lambda: home.runs("--status", "in-progress"), 20, "the run")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == FAILED and "stays in the queue" in said
    with home.daemon():
        wait_for(lambda: home.runs("--status", "succeeded"), 20, "the run")


# -- serve --


def test_serve_schedules_and_answers(home, source):
    home.setup(source.url)
    home("trigger", "create", "past", "--pipeline", "copy", "--start", "2026-01-05T08:00:00Z",
         "--end", "2026-01-05T11:00:00Z")  # fmt: skip
    server = Server(home.path).start()
    try:
        home("pipeline", "publish")
        wait_for(lambda: len(home.runs("--status", "succeeded")) == 3, 30, "the windows", every=0.2)
        answer = server.http.get("/factory/runs", {}, absolute=True)
        assert [r["runId"] for r in answer.json()["value"]] == [r["runId"] for r in home.runs()]
        assert "dicomlake" in server.http.get("/metrics", {}, absolute=True).text
        assert str(server.pid) in home("trigger", "daemon", code=FAILED).stderr
        assert server.http.get("/changefeed", {}).status == 200
    finally:
        assert server.stop() == 0


def test_serve_waits_for_a_daemon_to_end(home, source):
    home.setup(source.url)
    server = Server(home.path)
    daemon = home.start_daemon()
    try:
        server.start()
        assert home.facts("pipeline", "run", "copy", "--wait")["status"] == "Succeeded"
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()
        wait_for(lambda: home.facts("pipeline", "run", "copy", "--wait")["status"] == "Succeeded", 30, "serve's turn")
        wait_for(lambda: "nobody" not in home("pipeline", "run", "copy", "--wait").stderr, 30, "serve's turn")
    finally:
        daemon.stdout.close()
        assert server.stop() == 0


def test_scheduling_can_be_switched_off(home, source):
    home.setup(source.url)
    server = Server(home.path, {"factory.schedule": "off"}).start()
    try:
        with home.daemon():
            assert home.facts("pipeline", "run", "copy", "--wait")["status"] == "Succeeded"
    finally:
        assert server.stop() == 0


def test_settings_at_their_bounds(home):
    server = Server(home.path, {"factory.workers": "0"})
    code, said = server.refused()
    assert code == USAGE and "1 to 64" in said
    server = Server(home.path, {"factory.workers": "65"})
    assert server.refused()[0] == USAGE
    server = Server(home.path, {"factory.workers": "64"}).start()
    assert server.stop() == 0


def test_the_homes_own_feed(home, service_instances):
    """ "home:" by each way: a service in this process, one that runs, one that is started."""
    home("connection", "add", "own", "--type", "dicom", "--url", "home:")
    home("connection", "add", "tables", "--type", "lake", "--url", "home:")
    home("pipeline", "create", "copy", "--dicom", "own", "--lake", "tables")
    home("pipeline", "publish")
    home("import", service_instances)
    assert home.facts("connection", "test", "own")["passed"]
    assert home.facts("connection", "test", "tables")["passed"]
    assert home.facts("pipeline", "run", "copy")["counts"]["changes"] == 3  # started here
    server = Server(home.path, {"factory.schedule": "off"}).start()
    try:
        assert home.facts("pipeline", "run", "copy")["status"] == "Succeeded"  # over HTTP
        server.restart(factory__schedule="on")
        assert home.facts("pipeline", "run", "copy", "--wait")["status"] == "Succeeded"  # in serve
    finally:
        assert server.stop() == 0
    assert home.facts("table", "show", "instance")["rows"] == 3


def test_a_daemon_follows_the_homes_own_feed(home, service_instances):
    """On change, without serve: the service that the daemon needs is found by other commands."""
    home("connection", "add", "own", "--type", "dicom", "--url", "home:")
    home("connection", "add", "tables", "--type", "lake", "--url", "home:")
    home("pipeline", "create", "copy", "--dicom", "own", "--lake", "tables")
    home("trigger", "create", "live", "--type", "on-change", "--pipeline", "copy", "--quiet", "1s")
    home("pipeline", "publish")
    with home.daemon():
        wait_for(lambda: (home.path / "state" / "serve.json").exists(), 20, "the daemon's service")
        home("import", service_instances)
        wait_for(lambda: any(r["counts"]["changes"] == 3 for r in home.runs("--status", "succeeded")), 20, "the rows")
    assert not (home.path / "state" / "serve.json").exists()
    assert home.facts("table", "show", "instance")["rows"] == 3


@pytest.fixture
def service_instances(tmp_path):
    from support import dicom

    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.dcm").write_bytes(dicom.capture().bytes)
    return folder


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


# -- on a terminal --


def test_progress_on_a_terminal(home, source):
    """A bar while it runs, wiped at the end; in a pipe nothing of it."""
    home.setup(source.url)
    slow = lambda handler, path, query: "limit" in query and time.sleep(0.5) and False  # noqa: E731
    source.faults.append(slow)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [program(), "pipeline", "run", "copy", "--set", "BatchSize=10"],
        env=home.env,
        stdout=subprocess.PIPE,
        stderr=slave,
        stdin=subprocess.DEVNULL,
    )
    os.close(slave)
    shown = b""
    with contextlib.suppress(OSError):  # the terminal's end
        while select.select([master], [], [], 60)[0]:
            piece = os.read(master, 4096)
            if not piece:
                break
            shown += piece
    os.close(master)
    assert process.wait(60) == 0
    process.stdout.close()
    assert re.search(rb"running .*changes", shown), shown
    assert shown.rstrip().endswith(b"\x1b[K"), shown
    assert "running" not in home("pipeline", "run", "copy").stderr


def test_what_a_document_holds_does_not_move_the_cursor(home):
    home("connection", "add", "x", "--type", "lake", "--url", "/tmp/x", "--description", "a\x1b[31m\rb\x07c")
    for words in (["connection", "list"], ["connection", "show", "x"]):
        out = home(*words).stdout
        assert "\x1b" not in out and "\r" not in out and "\x07" not in out
