"""run and trigger from the outside: runs, backfills, who does the work, serve beside it, progress on a terminal."""

import json
import re
import signal
import time

import pytest
from support import dicom
from support.cli import DONE, FAILED, PARTLY, USAGE, on_terminal, save, start
from support.factory import held, hours, tumbling
from support.feed import FeedServer
from support.server import Server, wait_for


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
            wait_for(lambda: home.runs("--status", "in-progress"), 60, "the run")
            second = home.facts("pipeline", "run", "copy")["runId"]
            if home.facts("run", "show", second)["status"] == "Queued":
                cancelled = home.facts("run", "cancel", second)  # its turn may just have come
                assert cancelled["cancelRequested"] or cancelled["status"] == "Cancelled"
            cancelled = home.facts("run", "cancel", first)
            assert cancelled["cancelRequested"] or cancelled["status"] == "Cancelled"
            wait_for(lambda: home.facts("run", "show", first)["status"] == "Cancelled", 60, "its end")
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
        wait_for(lambda: home.runs("--status", "in-progress"), 60, "a run")
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()
        daemon.stdout.close()
        source.faults.clear()
    with home.daemon():
        wait_for(lambda: len(home.runs("--status", "succeeded")) == 12, 120, "all windows", every=0.3)
    windows = home.facts("trigger", "windows", "past")
    assert [w["status"] for w in windows] == ["Succeeded"] * 12
    assert windows[0]["attempts"] == 2 and {w["attempts"] for w in windows[1:]} == {1}
    succeeded = [r for r in reversed(home.runs()) if r["status"] == "Succeeded"]
    assert [r["windowStart"] for r in succeeded] == [w["windowStart"] for w in windows]


def test_stopping_a_command_leaves_the_run_in_the_queue(home, source):
    home.setup(source.url)
    with held(source):
        process = start("pipeline", "run", "copy", env=home.env)
        wait_for(lambda: home.runs("--status", "in-progress"), 60, "the run")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == FAILED and "stays in the queue" in said
    with home.daemon():
        wait_for(lambda: home.runs("--status", "succeeded"), 60, "the run")


# -- serve --


@pytest.fixture
def service_instances(tmp_path):
    return save(tmp_path / "images", *(dicom.capture() for _ in range(3)))


def test_serve_schedules_and_answers(home, source):
    home.setup(source.url)
    home("trigger", "create", "past", "--pipeline", "copy", "--start", "2026-01-05T08:00:00Z",
         "--end", "2026-01-05T11:00:00Z")  # fmt: skip
    server = Server(home.path).start()
    try:
        home("pipeline", "publish")
        wait_for(lambda: len(home.runs("--status", "succeeded")) == 3, 60, "the windows", every=0.2)
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
        wait_for(lambda: home.facts("pipeline", "run", "copy", "--wait")["status"] == "Succeeded", 60, "serve's turn")
        wait_for(lambda: "nobody" not in home("pipeline", "run", "copy", "--wait").stderr, 60, "serve's turn")
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
        wait_for(lambda: (home.path / "state" / "serve.json").exists(), 60, "the daemon's service")
        home("import", service_instances)
        wait_for(lambda: any(r["counts"]["changes"] == 3 for r in home.runs("--status", "succeeded")), 60, "the rows")
    assert not (home.path / "state" / "serve.json").exists()
    assert home.facts("table", "show", "instance")["rows"] == 3


# -- on a terminal --


def test_progress_on_a_terminal(home, source):
    """A bar while it runs, wiped at the end; in a pipe nothing of it."""
    home.setup(source.url)
    slow = lambda handler, path, query: "limit" in query and time.sleep(0.5) and False  # noqa: E731
    source.faults.append(slow)
    code, _, shown = on_terminal("pipeline", "run", "copy", "--set", "BatchSize=10", env=home.env)
    assert code == DONE
    assert re.search(r"running .*changes", shown), shown
    assert shown.rstrip().endswith("\x1b[K"), shown
    assert "running" not in home("pipeline", "run", "copy").stderr


def test_what_a_document_holds_does_not_move_the_cursor(home):
    home("connection", "add", "x", "--type", "lake", "--url", "/tmp/x", "--description", "a\x1b[31m\rb\x07c")
    for words in (["connection", "list"], ["connection", "show", "x"]):
        out = home(*words).stdout
        assert "\x1b" not in out and "\r" not in out and "\x07" not in out
