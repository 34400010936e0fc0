"""The article's steps as docs/pipelines.md has them: its table is read and run, from `connection add` to rows.

Once the commands are run, without a service; once the REST calls, against one. Both end with three tables that are what
the model folds from the feed, made of 50 hourly windows.
"""

import datetime
import json
import subprocess
import zipfile

import pytest
from support import http, template, walkthrough
from support.feed import EPOCH, FeedServer, Generator
from support.readers import lake_differences
from support.server import Server, program, wait_for
from support.walkthrough import environment, steps

TOKEN = "walkthrough-token-of-the-test"
HOUR_US = 3600 * 10**6
STEPS = [f"L{i}" for i in range(1, 7)] + [f"P{i}" for i in range(1, 5)]
STEPS += [f"S{i}" for i in range(1, 10)] + ["M1", "M2"]


def table():
    return steps("pipelines.md", r"[LPSM]\d")


def spread_feed(hours=50):
    """A history over 50 hours from the feed's epoch: changes in most hours, and some hours without any."""
    generator = Generator(505)
    for hour in range(hours):
        if hour % 7 == 3:
            continue
        generator.feed.us = max(generator.feed.us, hour * HOUR_US)
        for _ in range(3):
            generator.step(2, ties=False)
            generator.feed.us = min(generator.feed.us, (hour + 1) * HOUR_US - 10**7)
    assert generator.feed.rows[-1]["us"] < hours * HOUR_US
    assert len({r["us"] // HOUR_US for r in generator.feed.rows}) > 40
    return generator.feed


@pytest.fixture(scope="module")
def feed():
    return spread_feed()


def needs_token(handler, path, query):
    """The service behind L3 asks for the token that the connection names."""
    if handler.headers.get("Authorization") == f"Bearer {TOKEN}":
        return False
    FeedServer.send(handler, 401)
    return True


def template_zip(path):
    """The public template as it is downloaded."""
    with zipfile.ZipFile(path, "w") as out:
        out.writestr(f"{template.TITLE}/manifest.json", json.dumps(template.manifest()))
        out.writestr(f"{template.TITLE}/{template.TITLE}.json", json.dumps(template.arm()))
    return path


@pytest.fixture
def place(tmp_path, feed):
    """What the table's variables stand for, with the service behind it."""
    with FeedServer(feed) as service:
        service.faults.append(needs_token)
        (tmp_path / "lake").mkdir()
        zipped = template_zip(tmp_path / "template.zip")
        yield environment(
            tmp_path, DICOM_URL=service.url, DICOM_TOKEN=TOKEN, LAKE=tmp_path / "lake", TEMPLATE=zipped, RUN=""
        )


def test_the_table_has_every_step():
    assert [step for step, _, _ in table()] == STEPS
    for step, commands, calls in table():
        assert commands and calls, step


def shell(command, env):
    done = walkthrough.shell(command, env)
    assert TOKEN not in done.stdout + done.stderr, "the token is printed"
    return done


def newest(env):
    runs = json.loads(shell("dicomlake run list --json", env).stdout)
    return runs


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def judge(runs, env, feed):
    """50 windows, each succeeded, and tables as the model has them."""
    newest_first = {}  # a run that a command's end cut off is cancelled, and its window runs again
    for run in runs:
        newest_first.setdefault((run["windowStart"], run["windowStart"] or run["runId"]), run)
    failed = [(r["status"], r["windowStart"], r["cause"]) for r in newest_first.values() if r["status"] != "Succeeded"]
    assert not failed, failed
    windows = {(moment(run["windowStart"]), moment(run["windowEnd"])) for run in runs if run["windowStart"]}
    hour = datetime.timedelta(hours=1)
    feed_hours = {(EPOCH + i * hour, EPOCH + (i + 1) * hour) for i in range(50)}
    assert feed_hours <= windows, sorted(feed_hours - windows)
    assert len(windows - feed_hours) <= 1  # "trigger now" is of the hour that ended last
    assert sum(run["counts"]["changes"] for run in runs) >= len(feed.rows)
    assert not lake_differences(env["LAKE"], feed)


def finish_the_rest(env):
    """The trigger's own windows that are still due when the commands have done theirs."""
    daemon = subprocess.Popen([program(), "trigger", "daemon"], env=env, stdout=subprocess.PIPE)
    try:
        assert daemon.stdout.readline().startswith(b"scheduling on ")
        wait_for(lambda: ended(newest(env), 50), 240, "the end of all windows", every=0.5)
    finally:
        daemon.terminate()
        assert daemon.wait(120) == 0
        daemon.stdout.close()


def test_the_commands(place, feed):
    for step, commands, _ in table():
        for command in commands:
            if step == "M1":
                finish_the_rest(place)
            if "$RUN" in command:
                place["RUN"] = newest(place)[0]["runId"]
            done = shell(command, place)
            assert done.returncode == 0, (step, command, done.stdout, done.stderr)
            assert done.stdout.strip(), (step, command)
    judge(newest(place), place, feed)


def call(client, text, env):
    """A call of the table: `METHOD /path {json}` or `METHOD /path @file`."""
    for name in ("DICOM_URL", "LAKE", "TEMPLATE", "RUN"):
        text = text.replace(f"${name}", env[name])
    method, path, *rest = text.split(" ", 2)
    body, headers = None, {}
    if rest and rest[0].startswith("@"):
        with open(rest[0][1:], "rb") as file:
            body, headers = file.read(), {"Content-Type": "application/zip"}
    elif rest:
        json.loads(rest[0])
        body, headers = rest[0].encode(), {"Content-Type": "application/json"}
    elif method != "GET":
        body = b""
    return client.request(method, path, headers, body, absolute=True)


def all_runs(client):
    found, token = [], None
    while True:
        more = f"&continuationToken={token}" if token else ""
        page = client.get(f"/factory/runs?limit=100{more}", {}, absolute=True).json()
        found += page["value"]
        token = page["continuationToken"]
        if not token:
            return found


def test_the_calls(place, feed, tmp_path):
    server = Server(tmp_path / "home", env=place)
    server.start()
    try:
        client = http.Client(server.base)
        for step, _, calls in table():
            for text in calls:
                if step == "M1":  # what S9 queued has to end first
                    wait_for(lambda: ended(all_runs(client), 50), 240, "the end of all windows", every=0.5)
                if "$RUN" in text:
                    place["RUN"] = all_runs(client)[0]["runId"]
                answer = call(client, text, place)
                assert 200 <= answer.status < 300, (step, text, answer)
                assert TOKEN not in answer.text
                if text.endswith("/test"):
                    assert answer.json()["passed"], (step, answer.json())
        judge(all_runs(client), place, feed)
    finally:
        code = server.stop()
    assert code == 0, server.log()
    assert TOKEN not in server.log()


def ended(runs, count):
    windows = {run["windowStart"] for run in runs if run["windowStart"]}
    return len(windows) >= count and all(run["status"] not in ("Queued", "InProgress") for run in runs)
