"""Connections, pipelines, triggers and runs over HTTP: every route, its errors, and who is kept out."""

import json

import pytest
from support import dicom
from support.factory_rest import Factory, feed, hourly, lake, pipeline, set_up
from support.peer import Peer
from support.rest import JSON, problem
from support.server import wait_for

MIB = 1 << 20


@pytest.fixture
def factory(service):
    """The factory of a fresh home."""
    return Factory(service.base)


@pytest.fixture(scope="module")
def ro(shared_serve):
    """A factory that tests only read, with three windows of five done."""
    made = set_up(Factory(shared_serve().base))
    assert made.post("/triggers/hourly/start").status == 200
    wait_for(
        lambda: len(made.all("/runs?status=Succeeded")) == 5, 60, "five runs that succeeded"
    )
    return made


# -- documents --


def test_a_document_is_saved_read_listed_and_removed(factory):
    made = factory.put("/linkedServices/feed", feed())
    assert made.status == 201
    assert made.json()["name"] == "feed" and made.json()["kind"] == "linkedService"
    assert factory.put("/linkedServices/feed", feed()).status == 200
    assert factory.value("/linkedServices/feed") == factory.value("/linkedServices")["value"][0]
    assert factory.delete("/linkedServices/feed").status == 204
    problem(factory.get("/linkedServices/feed", {}), 404)
    problem(factory.delete("/linkedServices/feed"), 404)
    assert factory.value("/linkedServices") == {"value": [], "continuationToken": None}


def test_draft_published_changed_and_removed(factory):
    set_up(factory)
    assert factory.value("/pipelines/copy")["state"] == "Published"
    size = {"BatchSize": {"type": "int", "defaultValue": 100}}
    assert factory.put("/pipelines/copy", pipeline(**size)).json()["state"] == "Changed"
    assert factory.post("/publish", {"pipeline": "copy"}).json() == {"published": 1}
    assert factory.value("/pipelines/copy")["state"] == "Published"
    assert factory.delete("/triggers/hourly").status == 204
    assert factory.value("/triggers/hourly")["state"] == "Removed"
    assert factory.post("/publish").status == 200
    problem(factory.get("/triggers/hourly", {}), 404)


def test_a_draft_that_somebody_broke_is_listed_with_its_fault(factory, service):
    set_up(factory)
    folder = service.home / "config/factory/pipeline"
    (folder / "broken.json").write_text('{"name": "broken", ')
    listed = {e["name"]: e for e in factory.value("/pipelines")["value"]}
    assert set(listed) == {"broken", "copy"}
    assert listed["broken"]["fault"] and listed["broken"]["document"] is None
    assert listed["copy"]["fault"] is None and listed["copy"]["document"]
    assert factory.get("/metrics", {}, absolute=True).status == 200


def test_only_new_when_asked_so(factory):
    only_new = {"If-None-Match": "*"}
    assert factory.put("/linkedServices/feed", feed(), only_new).status == 201
    before = factory.value("/linkedServices/feed")
    problem(factory.put("/linkedServices/feed", feed("http://127.0.0.1:1"), only_new), 412)
    assert factory.value("/linkedServices/feed") == before


def test_the_name_of_the_path_counts(factory):
    assert factory.put("/linkedServices/feed", {"name": "feed", **feed()}).status == 201
    problem(factory.put("/linkedServices/feed", {"name": "other", **feed()}), 400, "name")
    problem(factory.put("/linkedServices/feed", {"name": 1, **feed()}), 400, "name")
    problem(factory.put("/linkedServices/feed", {}), 400)


@pytest.mark.parametrize("length, status", [(1, 201), (140, 201), (141, 400)])
def test_length_of_a_name(factory, length, status):
    assert factory.put("/linkedServices/" + "n" * length, feed()).status == status


@pytest.mark.parametrize("name", ["a%20b", "a.b", "%C3%A4", "a%2Fb", "%2e%2e", "a%22b"])
def test_a_bad_name_is_refused(ro, name):
    problem(ro.put("/linkedServices/" + name, feed()), 400, "name")
    problem(ro.get("/pipelines/" + name, {}), 400, "name")


def test_what_is_wrong_in_a_document_is_said(factory):
    bad = hourly()
    bad["properties"]["typeProperties"]["frequency"] = "Fortnight"
    problem(factory.put("/triggers/t", bad), 400, "properties.typeProperties.frequency")
    wrong = hourly()
    wrong["properties"]["pipeline"]["parameters"]["StartTime"] = "@addHours(1"
    problem(factory.put("/triggers/t", wrong), 400, "StartTime")
    assert factory.value("/triggers")["value"] == []


def test_a_secret_in_a_document_is_refused_and_not_repeated(factory):
    document = feed("https://dicom.example")
    document["properties"]["typeProperties"]["password"] = "hunter2"
    answer = factory.put("/linkedServices/feed", document)
    problem(answer, 400, "secret")
    assert "hunter2" not in answer.text


def test_what_others_refer_to_is_kept(factory):
    set_up(factory)
    problem(factory.delete("/linkedServices/feed"), 409, "copy")
    assert factory.value("/linkedServices/feed")["name"] == "feed"


@pytest.mark.parametrize("kind", ["linkedServices", "pipelines", "triggers"])
def test_rename(factory, kind):
    set_up(factory)
    old = {"linkedServices": "feed", "pipelines": "copy", "triggers": "hourly"}[kind]
    answer = factory.post(f"/{kind}/{old}/rename", {"newName": "fresh"})
    assert answer.status == 200 and answer.json()["name"] == "fresh"
    problem(factory.get(f"/{kind}/{old}", {}), 404)
    problem(factory.post(f"/{kind}/{old}/rename", {"newName": "more"}), 404)
    problem(factory.post(f"/{kind}/fresh/rename", {"newName": "a b"}), 400, "newName")
    problem(factory.post(f"/{kind}/fresh/rename", {}), 400, "newName")
    if kind == "pipelines":
        assert "fresh" in json.dumps(factory.value("/triggers/hourly")["document"])


def test_rename_to_a_name_that_is_taken(factory):
    set_up(factory)
    problem(factory.post("/linkedServices/feed/rename", {"newName": "lake"}), 409)


def test_publishing_says_what_is_missing(factory):
    assert factory.put("/pipelines/copy", pipeline()).status == 201
    problem(factory.post("/publish"), 400, "copy")
    assert factory.value("/pipelines/copy")["state"] == "Draft"
    problem(factory.post("/publish", {"pipeline": "none"}), 404)


# -- connections and the gallery --


def test_connections_are_tested(factory):
    set_up(factory)
    for name in ("feed", "lake"):
        answer = factory.post(f"/linkedServices/{name}/test")
        assert answer.status == 200, answer
        found = answer.json()
        assert found["passed"] and all(step["passed"] for step in found["steps"]), found
    factory.put("/linkedServices/gone", feed("http://127.0.0.1:1"))
    found = factory.post("/linkedServices/gone/test").json()
    assert not found["passed"]
    assert not found["steps"][-1]["passed"] and found["steps"][-1]["hint"], found
    problem(factory.post("/linkedServices/none/test"), 404)


def test_a_pipeline_from_a_template(factory):
    found = factory.value("/templates")["value"]
    assert [t["id"] for t in found] == ["copy-dicom-metadata-changes"]
    factory.put("/linkedServices/feed", feed())
    factory.put("/linkedServices/lake", lake())
    body = {
        "name": "copy",
        "template": "copy-dicom-metadata-changes",
        "dicom": "feed",
        "lake": "lake",
        "parameters": {"BatchSize": 100},
    }
    answer = factory.post("/pipelines", body)
    assert answer.status == 201, answer
    parameters = answer.json()["document"]["properties"]["parameters"]
    assert parameters["BatchSize"]["defaultValue"] == 100, parameters
    problem(factory.post("/pipelines", body), 409, "copy")
    problem(factory.post("/pipelines", {**body, "name": "b", "template": "x"}), 400, "template")
    problem(factory.post("/pipelines", {**body, "name": "b", "parameters": {"No": 1}}), 400, "No")
    problem(factory.post("/pipelines", {**body, "name": "b", "more": 1}), 400, "more")
    assert factory.post("/publish").json() == {"published": 1}


def test_export_and_import(factory):
    set_up(factory)
    exported = factory.get("/pipelines/copy/export", {})
    assert exported.status == 200 and "copy.json" in exported.headers["Content-Disposition"]
    problem(factory.get("/pipelines/none/export", {}), 404)
    problem(factory.post("/pipelines/import", exported.body), 409, "replace")
    answer = factory.post("/pipelines/import?replace=true", exported.body)
    assert answer.status == 201, answer
    assert answer.json()["pipelines"] == ["copy"] and answer.json()["triggers"] == ["hourly"]
    assert answer.json()["notUnderstoodCount"] == 0, answer
    assert factory.get("/pipelines/copy/export", {}).body == exported.body


def test_a_bad_import_leaves_nothing(factory, service):
    for body, headers in [
        (b"{}", JSON),
        (b"not json", JSON),
        (b"PK\x03\x04 no zip", {"Content-Type": "application/zip"}),
        (b"\x00" * 1000, {"Content-Type": "application/octet-stream"}),
    ]:
        problem(factory.send("POST", "/pipelines/import", body, headers), 400)
    problem(factory.send("POST", "/pipelines/import", b"", JSON), 400, "empty")
    problem(factory.send("POST", "/pipelines/import", b"{}", {"Content-Type": "text/plain"}), 415)
    problem(factory.post("/pipelines/import?replace=maybe", b"{}"), 400, "replace")
    assert factory.value("/pipelines")["value"] == []
    assert not list((service.home / "state").glob("import-*"))


# -- runs --


def test_a_run_by_hand(factory, service):
    set_up(factory)
    one = dicom.capture()
    assert service.http.store(one).status == 200
    queued = factory.post("/pipelines/copy/run", {"parameters": {"BatchSize": 50}})
    assert queued.status == 202, queued
    run = queued.json()["runId"]
    assert queued.headers["Location"] == f"/factory/runs/{run}"
    ended = factory.ended(run)
    assert ended["status"] == "Succeeded", ended
    assert ended["counts"]["changes"] == 1 and ended["parameters"]["BatchSize"] in (50, "50")
    assert ended["invokedBy"] == {"name": "Manual", "invokedByType": "Manual"}
    assert factory.value("/runs/" + run[:8]) == ended
    logs = factory.value(f"/runs/{run}/logs")
    assert logs["value"] and logs["continuationToken"]
    later = factory.value(f"/runs/{run}/logs?continuationToken={logs['continuationToken']}")
    assert later["value"] == []
    problem(factory.post(f"/runs/{run}/cancel"), 409)
    again = factory.post(f"/runs/{run}/rerun").json()["runId"]
    assert again != run and factory.ended(again)["status"] == "Succeeded"
    both = {r["runId"] for r in factory.all(f"/runs?runGroupId={ended['runGroupId']}")}
    assert both == {run, again}
    problem(factory.post("/pipelines/copy/run", {"parameters": {"Nothing": 1}}), 400, "Nothing")
    problem(factory.post("/pipelines/copy/run", {"parameters": {"BatchSize": 0}}), 400, "BatchSize")
    problem(factory.post("/pipelines/copy/run", {"parameters": []}), 400, "parameters")
    problem(factory.post("/pipelines/none/run"), 404)


def test_a_run_that_fails_says_why(factory):
    set_up(factory)
    factory.put("/linkedServices/feed", feed("http://127.0.0.1:1"))
    run = factory.post("/pipelines/copy/run").json()["runId"]
    wait_for(lambda: factory.value(f"/runs/{run}")["status"] == "InProgress", 60, "the run")
    answer = factory.post(f"/runs/{run}/cancel")
    assert answer.status == 202 and answer.json()["cancelRequested"], answer
    assert factory.ended(run)["status"] in ("Cancelled", "Failed")
    factory.put("/linkedServices/feed", feed("http://127.0.0.1:1/%zz"))
    run = factory.post("/pipelines/copy/run").json()["runId"]
    wait_for(lambda: factory.value(f"/runs/{run}")["status"] != "Queued", 60, "the run")
    factory.post(f"/runs/{run}/cancel")
    ended = factory.ended(run)
    assert ended["status"] == "Cancelled" or ended["cause"], ended


@pytest.mark.parametrize("count", [6, 36])
def test_an_id_of_any_length_is_looked_up(ro, count):
    problem(ro.get("/runs/" + "0" * count, {}), 404)
    problem(ro.post("/runs/" + "0" * count + "/rerun"), 404)
    problem(ro.post("/runs/" + "0" * count + "/cancel"), 404)
    problem(ro.get("/runs/" + "0" * count + "/logs", {}), 404)


@pytest.mark.parametrize("bad", ["00000", "0" * 37, "ABCDEF", "zzzzzz", "00000%27"])
def test_a_bad_id(ro, bad):
    problem(ro.get("/runs/" + bad, {}), 400, "id")


def test_runs_are_paged_newest_first(ro):
    everything = ro.value("/runs")
    assert everything["continuationToken"] is None and len(everything["value"]) == 5
    for limit in (1, 2, 4, 5, 6):
        assert ro.all(f"/runs?limit={limit}") == everything["value"], limit
    page = ro.value("/runs?limit=5")
    assert page["continuationToken"] is None
    starts = [r["windowStart"] for r in everything["value"]]
    assert starts == sorted(starts, reverse=True)


@pytest.mark.parametrize(
    "query, count",
    [
        ("status=Succeeded", 5),
        ("status=Failed", 0),
        ("pipeline=copy", 5),
        ("pipeline=none", 0),
        ("trigger=hourly&status=Succeeded", 5),
        ("trigger=none", 0),
        ("from=2000-01-01T00:00:00Z", 5),
        ("to=2000-01-01T00:00:00Z", 0),
        ("from=2000-01-01T00:00:00%2B01:00&to=9000-01-01T00:00:00Z&pipeline=copy", 5),
    ],
)
def test_runs_are_filtered(ro, query, count):
    assert len(ro.all("/runs?" + query)) == count


@pytest.mark.parametrize("value, status", [("1", 200), ("1000", 200), ("0", 400), ("1001", 400)])
@pytest.mark.parametrize("path", ["/runs", "/linkedServices", "/triggers/hourly/windows"])
def test_limit_of_a_page(ro, path, value, status):
    assert ro.get(f"{path}?limit={value}", {}).status == status


@pytest.mark.parametrize(
    "query, word",
    [
        ("limit=x", "limit"),
        ("limit=-1", "limit"),
        ("limit=1&limit=2", "twice"),
        ("from=yesterday", "from"),
        ("from=2026-01-05T08:00:00", "zone"),
        ("status=succeeded!", "Succeeded"),
        ("colour=red", "colour"),
        ("pipeline=a%20b", "pipeline"),
        ("continuationToken=", "continuationToken"),
        ("runGroupId=" + "x" * 1025, "1024"),
        ("runGroupId=%C3%A4", "ASCII"),
        ("limit=%zz", "URL"),
    ],
)
def test_a_bad_query_is_refused(ro, query, word):
    problem(ro.get("/runs?" + query, {}), 400, word)


def test_a_long_value_at_its_bound(ro):
    assert ro.get("/runs?runGroupId=" + "x" * 1024, {}).status == 200


def test_windows_are_listed_and_paged(ro):
    windows = ro.all("/triggers/hourly/windows")
    assert [w["windowStart"][11:13] for w in windows] == ["00", "01", "02", "03", "04"]
    assert {w["status"] for w in windows} == {"Succeeded"}
    for limit in (1, 2, 5):
        assert ro.all(f"/triggers/hourly/windows?limit={limit}") == windows
    some = ro.all(
        "/triggers/hourly/windows?from=2026-01-05T01:00:00Z&to=2026-01-05T03:00:00Z&limit=1"
    )
    assert [w["windowStart"][11:13] for w in some] == ["01", "02"]
    problem(ro.get("/triggers/none/windows", {}), 404)
    problem(ro.get("/triggers/hourly/windows?continuationToken=x", {}), 400, "continuationToken")


def test_lists_of_documents_are_paged(factory):
    names = sorted([f"n{i}" for i in range(5)] + ["A-1", "b_2"], key=str.lower)
    for name in names:
        assert factory.put(f"/linkedServices/{name}", feed()).status == 201
    for limit in (1, 3, 7, 8):
        got = [e["name"] for e in factory.all(f"/linkedServices?limit={limit}")]
        assert got == names, limit


# -- triggers --


def test_start_stop_run_now_rerun_and_backfill(factory):
    set_up(factory)
    assert factory.post("/triggers/hourly/start").json()["runtimeState"] == "Started"
    wait_for(lambda: len(factory.all("/runs?status=Succeeded")) == 5, 60, "five runs")
    assert factory.post("/triggers/hourly/stop").json()["runtimeState"] == "Stopped"
    window = {"windowStart": "2026-01-05T02:00:00Z"}
    answer = factory.post("/triggers/hourly/rerun", window)
    assert answer.status == 202, answer
    ended = factory.ended(answer.json()["runId"])
    assert ended["windowStart"].startswith("2026-01-05T02:00:00") and ended["attempt"] == 2
    now = factory.post("/triggers/hourly/runNow")
    assert now.status == 202 and factory.ended(now.json()["runId"])["status"] == "Succeeded"
    past = {"from": "2026-01-04T22:00:00Z", "to": "2026-01-05T01:00:00Z"}
    answer = factory.post("/triggers/hourly/backfill", past)
    assert answer.status == 202 and answer.json() == {"queued": 2}, answer
    wait_for(lambda: len(factory.all("/triggers/hourly/windows")) == 7, 60, "seven windows")
    wait_for(
        lambda: {w["status"] for w in factory.all("/triggers/hourly/windows")} == {"Succeeded"},
        60,
        "all of them done",
    )
    assert factory.post("/triggers/hourly/backfill", past).json() == {"queued": 0}


@pytest.mark.parametrize(
    "what, body, status, word",
    [
        ("backfill", {"from": "2026-01-05T00:00:00Z"}, 400, "to"),
        ("backfill", {"from": "x", "to": "y"}, 400, "from"),
        ("backfill", {"from": 1, "to": 2}, 400, "from"),
        ("backfill", {"from": "2026-01-05T01:00:00Z", "to": "2026-01-05T00:00:00Z"}, 400, ""),
        ("rerun", {}, 400, "windowStart"),
        ("rerun", {"windowStart": "2026-01-05T00:30:00Z"}, 404, ""),
    ],
)
def test_bad_windows(ro, what, body, status, word):
    problem(ro.post(f"/triggers/hourly/{what}", body), status, word)


@pytest.mark.parametrize(
    "what, body",
    [
        ("start", None),
        ("stop", None),
        ("runNow", None),
        ("rerun", {"windowStart": "2026-01-05T00:00:00Z"}),
        ("backfill", {"from": "2026-01-05T00:00:00Z", "to": "2026-01-05T01:00:00Z"}),
    ],
)
def test_a_trigger_that_is_not_there(ro, what, body):
    problem(ro.post(f"/triggers/none/{what}", body), 404)


# -- HTTP --


@pytest.mark.parametrize("path", ["/runs", "/linkedServices/feed", "/openapi.json"])
def test_head(ro, path):
    got, head = ro.get(path, {}), ro.request("HEAD", path)
    assert head.status == 200 and head.body == b""
    assert head.headers["Content-Length"] == got.headers["Content-Length"]
    assert head.type == got.type


@pytest.mark.parametrize(
    "method, path, allow",
    [
        ("POST", "/runs", "HEAD, GET"),
        ("DELETE", "/linkedServices", "HEAD, GET"),
        ("PATCH", "/pipelines", "HEAD, GET, POST"),
        ("POST", "/triggers/hourly", "HEAD, GET, PUT, DELETE"),
        ("GET", "/publish", "POST"),
        ("PUT", "/openapi.json", "HEAD, GET"),
        ("OPTIONS", "/runs", "HEAD, GET"),
    ],
)
def test_wrong_method(ro, method, path, allow):
    answer = ro.send(method, path)
    problem(answer, 405, allow)
    assert answer.headers["Allow"] == allow


@pytest.mark.parametrize("path", ["/nothing", "/runs/000000/more", "/a/b/c/d/e/f/g/h/i", "//runs"])
def test_unknown_paths(ro, path):
    problem(ro.get(path, {}), 404)


def test_a_slash_at_the_end(ro):
    assert ro.value("/runs/") == ro.value("/runs")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "x", ""])
def test_wrong_media_type(ro, kind):
    problem(ro.put("/linkedServices/new", feed(), {"Content-Type": kind}), 415, "application/json")


def test_no_media_type(ro):
    answer = ro.request("PUT", "/linkedServices/new", {}, b"{}")
    problem(answer, 415, "application/json")


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "APPLICATION/JSON"])
def test_media_type_with_parameters(factory, kind):
    assert factory.put("/linkedServices/new", feed(), {"Content-Type": kind}).status == 201


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b"{", b'{"a":1}x', b'{"a":"\xff"}', b"[" * 300])
def test_bodies_that_are_no_object(ro, body):
    problem(ro.put("/pipelines/new", body), 400)
    if body:
        problem(ro.post("/publish", body), 400)


@pytest.mark.parametrize("chunked", [False, True])
def test_limit_of_a_body(factory, chunked):
    text = json.dumps({"name": "new", **feed()}).encode()
    fits = text + b" " * (MIB - len(text))
    for body, status in [(fits, 201), (fits + b" ", 413)]:
        answer = factory.send("PUT", "/linkedServices/new", body, chunked=chunked)
        assert answer.status == status, answer
    problem(answer, 413, "1048576")
    assert factory.value("/linkedServices/new")["name"] == "new"


@pytest.mark.parametrize("more, status", [(0, 400), (1, 413)])
def test_limit_of_an_import(factory, more, status):
    body = b"{}" + b" " * (16 * MIB - 2 + more)
    assert factory.post("/pipelines/import", body).status == status


def test_the_document_of_the_routes(ro):
    found = ro.value("/openapi.json")
    assert found["openapi"].startswith("3.1")
    assert "/factory/runs/{id}" in found["paths"] and "/metrics" in found["paths"]


# -- other sites --


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "127.0.0.1", "127.1.2.3:80", "[::1]", "[::1]:80"]
)
def test_loopback_names_are_served(ro, host):
    assert ro.get("/runs", {"Host": host}).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.evil.example", "127.0.0.1.evil.example",
             "localhost.evil.example", "[::2]", "10.0.0.1"]
)
@pytest.mark.parametrize("path", ["/factory/runs", "/metrics"])
def test_a_name_of_somebody_else_is_not_served(ro, host, path):
    assert ro.get(path, {"Host": host}, absolute=True).status == 421


def test_a_proxys_name_is_served_when_it_is_listed(serve):
    factory = Factory(serve({"http.hosts": "a.example, lake.example"}).base)
    assert factory.get("/runs", {"Host": "lake.example"}).status == 200
    assert factory.get("/runs", {"Host": "LAKE.example:443"}).status == 200
    assert factory.get("/runs", {"Host": "other.example"}).status == 421
    origin = {"Host": "lake.example", "Origin": "https://lake.example"}
    assert factory.post("/publish", headers=origin).status == 200


@pytest.mark.parametrize(
    "headers, status",
    [
        ({}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "http://localhost:1", "Host": "localhost:2"}, 403),
        ({"Origin": "http://localhost:1", "Host": "localhost:1"}, 200),
    ],
)
def test_pages_of_other_sites_change_nothing(factory, headers, status):
    answer = factory.post("/publish", headers=headers)
    assert answer.status == status, answer
    assert factory.put("/linkedServices/x", feed(), headers).status == (201 if status == 200 else 403)
    assert len(factory.value("/linkedServices")["value"]) == (1 if status == 200 else 0)


def test_cors(serve):
    factory = Factory(serve({"cors.origins": "https://ui.example"}).base)
    origin = {"Origin": "https://ui.example"}
    asked = {**origin, "Access-Control-Request-Method": "PUT"}
    answer = factory.send("OPTIONS", "/runs", headers=asked)
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "https://ui.example"
    answer = factory.post("/publish", headers=origin)
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "https://ui.example"
    other = {**asked, "Origin": "https://evil.example"}
    assert factory.send("OPTIONS", "/runs", headers=other).headers[
        "Access-Control-Allow-Origin"
    ] is None


def test_the_service_beside_it_is_as_it_was(ro):
    assert ro.get("/v2/changefeed", {}, absolute=True).status == 200
    for path in ("/factory", "/Factory/runs", "/%66actory/runs", "/metrics/", "/metricsx"):
        assert ro.get(path, {}, absolute=True).status == 404, path


# -- the webhook --


class Hook(Peer):
    """Remembers what it was told; refuses the first `fails` times."""

    def __init__(self, fails=0):
        self.told, self.fails = [], fails
        super().__init__(self.take)
        self.url = f"{self.base}/hook?key=geheim"

    def take(self, handler):
        body = handler.body()
        good = len(self.asked) > self.fails
        if good:
            self.told.append(json.loads(body))
        handler.say(204 if good else 500)

    def events(self, kind):
        return [t for t in self.told if t["event"] == kind]


@pytest.fixture
def hook():
    made = Hook(fails=1)
    yield made
    made.close()


def test_failures_and_lateness_are_told(serve, hook, tmp_path):
    home = tmp_path / "home"
    (home / "config/factory").mkdir(parents=True)
    secret = tmp_path / "hook"
    secret.write_text(hook.url + "\n")
    settings = {"webhook": {"type": "File", "path": str(secret)}, "lateAfter": "00:00:01"}
    (home / "config/factory/settings.json").write_text(json.dumps(settings))
    service = serve(home=home)
    factory = set_up(Factory(service.base), "http://127.0.0.1:1/%zz")
    assert factory.post("/triggers/hourly/start").status == 200
    late = wait_for(lambda: hook.events("late"), 120, "a late window told")
    assert late[0]["pipelineName"] == "copy" and late[0]["lateInSeconds"] > 0
    assert late[0]["windowEnd"].startswith("2026-01-05T01:00:00"), late
    failed = wait_for(lambda: hook.events("failed"), 120, "a failure told")
    assert failed[0]["run"]["status"] == "Failed" and failed[0]["run"]["cause"], failed
    assert len(hook.events("late")) == 1  # once, though all five are late
    assert service.stop() == 0
    assert "geheim" not in service.log() and "geheim" not in json.dumps(hook.told)


def test_a_bad_setting_of_the_webhook_is_said_at_the_start(serve, tmp_path):
    home = tmp_path / "home"
    (home / "config/factory").mkdir(parents=True)
    (home / "config/factory/settings.json").write_text('{"webhook": "http://u:geheim@h/"}')
    code, said = serve(home=home, start=False, check=False).refused()
    assert code != 0 and "settings.json" in said and "webhook" in said
    assert "geheim" not in said
