"""GET /metrics, read by Prometheus' own Python parser."""

import time

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support import dicom
from support.rest import Rest
from support.server import wait_for
from support.template import reference

KINDS = {
    "dicomlake_runs": "counter",
    "dicomlake_run_duration_seconds": "summary",
    "dicomlake_runs_in_progress": "gauge",
    "dicomlake_runs_queued": "gauge",
    "dicomlake_changes": "counter",
    "dicomlake_rows_added": "counter",
    "dicomlake_rows_removed": "counter",
    "dicomlake_written_bytes": "counter",
    "dicomlake_feed_up": "gauge",
    "dicomlake_feed_lag_changes": "gauge",
    "dicomlake_feed_lag_seconds": "gauge",
    "dicomlake_last_success_timestamp_seconds": "gauge",
    "dicomlake_windows_waiting": "gauge",
    "dicomlake_oldest_waiting_window_age_seconds": "gauge",
    "dicomlake_pipelines_database_up": "gauge",
    "dicomlake_scheduler_running": "gauge",
    "dicomlake_statements": "counter",
    "dicomlake_statement_seconds": "counter",
    "dicomlake_statements_running": "gauge",
}


def save(web, path, properties):
    answer = web.put(path, {"properties": properties})
    assert answer.status in (200, 201), answer


def set_up(web, name="copy", url="home:"):
    save(web, f"/linkedServices/{name}-feed",
         {"type": "RestService", "typeProperties": {"url": url}})
    save(web, "/linkedServices/lake", {"type": "FileServer", "typeProperties": {"host": "home:"}})
    ends = {"source": reference(f"{name}-feed"), "lake": reference("lake")}
    save(web, f"/pipelines/{name}",
         {"activities": [{"name": "Sync", "type": "SyncDicomTables", "typeProperties": ends}]})
    assert web.request("POST", "/publish").status == 200


def scrape(web):
    answer = web.get("/metrics", {}, absolute=True)
    assert answer.status == 200 and answer.type == "text/plain; version=0.0.4; charset=utf-8"
    return answer.text, {f.name: f for f in text_string_to_metric_families(answer.text)}


def value(families, name, **labels):
    found = [
        s.value
        for f in families.values()
        for s in f.samples
        if s.name == name and s.labels == labels
    ]
    assert len(found) < 2, (name, found)
    return found[0] if found else None


def run(web, name="copy"):
    answer = web.request("POST", f"/pipelines/{name}/run")
    assert answer.status == 202, answer
    path = "/runs/" + answer.json()["runId"]
    wait_for(lambda: web.get(path, {}).json()["runEnd"], 120, "the end of the run")
    return web.get(path, {}).json()


@pytest.fixture
def web(service):
    return Rest(service.base, "/factory")


def test_an_empty_home(web):
    text, families = scrape(web)
    assert {n: f.type for n, f in families.items()} == KINDS
    assert all(f.documentation for f in families.values())
    labelled = [s for f in families.values() for s in f.samples if s.labels]
    assert {s.name for s in labelled} == {"dicomlake_statements_total"} and not any(s.value for s in labelled)
    assert value(families, "dicomlake_scheduler_running") == 1
    assert text.endswith("\n")


def test_figures_follow_what_happens(web, service):
    set_up(web)
    _, families = scrape(web)
    assert value(families, "dicomlake_runs_total", pipeline="copy", status="Succeeded") == 0
    assert value(families, "dicomlake_feed_up", pipeline="copy") == 1
    assert value(families, "dicomlake_feed_lag_changes", pipeline="copy") == 0
    assert value(families, "dicomlake_last_success_timestamp_seconds", pipeline="copy") is None
    for _ in range(3):
        assert service.http.store(dicom.capture()).status == 200
    began = time.time()
    done = run(web)
    assert done["status"] == "Succeeded", done
    _, families = scrape(web)
    totals = {
        "dicomlake_changes_total": done["counts"]["changes"],
        "dicomlake_rows_added_total": done["counts"]["rowsIn"],
        "dicomlake_rows_removed_total": done["counts"]["rowsOut"],
        "dicomlake_written_bytes_total": done["counts"]["bytes"],
        "dicomlake_run_duration_seconds_count": 1,
        "dicomlake_runs_queued": 0,
        "dicomlake_runs_in_progress": 0,
        "dicomlake_windows_waiting": 0,
    }
    for name, want in totals.items():
        assert value(families, name, pipeline="copy") == want, name
    assert done["counts"]["changes"] == 3 and done["counts"]["bytes"] > 0
    for status, count in (("Succeeded", 1), ("Failed", 0), ("Cancelled", 0)):
        assert value(families, "dicomlake_runs_total", pipeline="copy", status=status) == count
    seconds = value(families, "dicomlake_run_duration_seconds_sum", pipeline="copy")
    assert abs(seconds - done["durationInMs"] / 1000) < 0.01
    success = value(families, "dicomlake_last_success_timestamp_seconds", pipeline="copy")
    assert began - 5 < success < time.time() + 5  # one clock, rounded


def test_lag_behind_the_feed(web, service):
    set_up(web)
    assert service.http.store(dicom.capture()).status == 200
    assert run(web)["status"] == "Succeeded"
    time.sleep(1.1)
    for _ in range(2):
        assert service.http.store(dicom.capture()).status == 200

    def lag(families):
        return value(families, "dicomlake_feed_lag_changes", pipeline="copy")

    families = wait_for(  # what the feed says is kept for some seconds
        lambda: (lambda f: f if lag(f) == 2 else None)(scrape(web)[1]), 120, "a lag of two", 0.5
    )
    seconds = value(families, "dicomlake_feed_lag_seconds", pipeline="copy")
    assert 1 < seconds < 600, seconds
    assert run(web)["status"] == "Succeeded"
    families = scrape(web)[1]
    assert lag(families) == 0
    assert value(families, "dicomlake_feed_lag_seconds", pipeline="copy") == 0


def test_a_feed_that_is_down_leaves_its_figures_out(web):
    set_up(web, "up")
    set_up(web, "down", "http://127.0.0.1:1")
    began = time.monotonic()
    _, families = scrape(web)
    assert time.monotonic() - began < 20  # it is asked once: the tries of a run take longer than that
    assert value(families, "dicomlake_feed_up", pipeline="up") == 1
    assert value(families, "dicomlake_feed_lag_changes", pipeline="up") == 0
    assert value(families, "dicomlake_feed_up", pipeline="down") == 0
    assert value(families, "dicomlake_feed_lag_changes", pipeline="down") is None
    assert value(families, "dicomlake_feed_lag_seconds", pipeline="down") is None


def test_windows_that_wait(web):
    set_up(web, "copy", "http://127.0.0.1:1")
    trigger = {
        "type": "TumblingWindowTrigger",
        "pipeline": {"pipelineReference": reference("copy", "PipelineReference")},
        "typeProperties": {
            "frequency": "Hour",
            "interval": 1,
            "startTime": "2026-01-05T00:00:00Z",
            "endTime": "2026-01-05T04:00:00Z",
            "maxConcurrency": 1,
        },
    }
    save(web, "/triggers/hourly", trigger)
    assert web.request("POST", "/publish").status == 200
    assert web.request("POST", "/triggers/hourly/start").status == 200

    def waiting():
        _, families = scrape(web)
        count = value(families, "dicomlake_windows_waiting", pipeline="copy")
        return families if count == 4 else None

    families = wait_for(waiting, 60, "four windows that wait", 0.2)
    age = value(families, "dicomlake_oldest_waiting_window_age_seconds", pipeline="copy")
    end = 1767574800  # 2026-01-05T01:00:00Z
    assert abs(age - (time.time() - end)) < 600


def test_nothing_of_a_patient_is_in_it(web, service):
    one = dicom.capture(PatientName="Geheim^Gisela", PatientID="PID-4711")
    assert service.http.store(one).status == 200
    set_up(web)
    assert run(web)["status"] == "Succeeded"
    text, _ = scrape(web)
    for word in ("Geheim", "PID-4711", one.study):
        assert word not in text
