"""The lakehouse over HTTP: documents, statements and their rows, files, cohorts, notebooks, limits."""

import csv
import http.client
import io
import json
import os
import pathlib
import socket
import threading
import urllib.parse

import pytest
from support import dicom
from support.lake import run
from support.rest import JSON, Rest, problem
from support.server import sanitized, wait_for

MIB = 1 << 20
STUDIES = 3
FILES = 6
# A statement without an end that gives no row, and one that gives rows for ever.
ENDLESS = "SELECT count(*) FROM range(100000000000) a, range(1000) b WHERE a.range + b.range < 0"
MANY_ROWS = "SELECT range AS n, md5(range::VARCHAR) AS text FROM range(%d)"


class Lakehouse(Rest):
    """A client of the routes below /lakehouse."""

    def __init__(self, base):
        super().__init__(base, "/lakehouse")

    def sql(self, statement, lake="home", headers=None, **more):
        body = {"statement": statement, **more}
        return self.post(f"/lakehouses/{lake}/sql", body, headers)

    def rows(self, statement, **more):
        answer = self.sql(statement, **more)
        assert answer.status == 200, answer
        return answer.json()

    def begin(self, statement, lake="home", **more):
        """A request whose answer is read by the caller, from its socket: (connection, answer)."""
        made = http.client.HTTPConnection(urllib.parse.urlsplit(self.base).netloc, timeout=300)
        body = json.dumps({"statement": statement, **more})
        made.request("POST", f"/lakehouse/lakehouses/{lake}/sql", body, JSON)
        return made, made.getresponse()

    def running(self):
        return self.value("/statements")["value"]


def fill(server):
    """Files, and tables of them."""
    made = []
    for study in range(STUDIES):
        first = dicom.capture()
        for n in range(FILES // STUDIES):
            made.append(dicom.capture(StudyInstanceUID=first.study) if n else first)
    for instance in made:
        assert server.http.store(instance).status == 200
    run("sync", "--home", server.home, "--source", server.base)
    return made


def children(server):
    """Processes that the service has started, also those that have ended and were not waited for."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == server.process.pid:
                    found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def gone(pid):
    try:
        return ") Z " in pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def nothing_runs(server, lake):
    """What a test left behind ends in a moment."""
    wait_for(lambda: not children(server) and not lake.running(), 60, "the end of all statements")


@pytest.fixture(scope="module")
def server(shared_serve):
    made = shared_serve()
    made.instances = fill(made)
    return made


@pytest.fixture(scope="module")
def ro(server):
    """A lakehouse that tests only read."""
    return Lakehouse(server.base)


# ---- documents ----


def test_the_home_has_a_lakehouse_of_its_own(ro):
    (home,) = ro.all("/lakehouses")
    assert home["name"] == "home" and home["implied"] is True and home["fault"] is None
    tables = ro.all("/lakehouses/home/tables")
    assert sorted(t["name"] for t in tables) == ["instance", "series", "study"]
    assert all(t["broken"] is None for t in tables)


def test_a_table_tells_its_columns(ro):
    table = ro.value("/lakehouses/home/tables/instance")
    columns = {c["name"]: c for c in table["columns"]}
    assert columns["modality"]["attribute"] == "Modality"
    assert columns["modality"]["tag"] == "00080060"
    assert table["rows"] == FILES and table["version"] >= 0 and table["watermark"] >= FILES
    problem(ro.get("/lakehouses/home/tables/instances", {}), 404, "instance")
    problem(ro.get("/lakehouses/nosuch/tables", {}), 404)


def lake_document(**more):
    return {
        "description": "for tests",
        "shortcuts": [
            {
                "path": "Tables",
                "name": "Bilder",
                "target": {"connection": "home:", "subpath": "/dicom/instance"},
            }
        ],
        **more,
    }


@pytest.fixture
def own(serve):
    """A lakehouse of a fresh home, to be changed."""
    return Lakehouse(serve().base)


def test_documents_are_saved_listed_and_removed(own):
    assert own.put("/lakehouses/research", lake_document()).status == 201
    assert own.put("/lakehouses/research", lake_document()).status == 200
    new = {"If-None-Match": "*"}
    problem(own.put("/lakehouses/research", lake_document(), new), 412)
    got = own.value("/lakehouses/research")
    assert got["document"]["name"] == "research" and got["implied"] is False
    assert got["document"]["shortcuts"][0]["name"] == "Bilder"
    problem(own.put("/lakehouses/other", lake_document(name="another")), 400, "name")
    problem(own.put("/lakehouses/home", lake_document()), 400, "home")
    problem(own.put("/lakehouses/bad%20name", lake_document()), 400)
    problem(own.put("/lakehouses/bad", {"shortcuts": [{"path": "Nowhere"}]}), 400, "shortcuts")
    assert own.delete("/lakehouses/research").status == 204
    problem(own.get("/lakehouses/research", {}), 404)
    problem(own.delete("/lakehouses/research"), 404)


def test_lists_come_in_pages(own):
    for name in ("beta", "Alpha", "gamma"):
        assert own.put(f"/lakehouses/{name}", lake_document()).status == 201
    page = own.value("/lakehouses?limit=2")
    assert [lake["name"] for lake in page["value"]] == ["Alpha", "beta"]
    rest = own.value(f"/lakehouses?limit=2&continuationToken={page['continuationToken']}")
    assert [lake["name"] for lake in rest["value"]] == ["gamma"]
    assert rest["continuationToken"] is None
    assert len(own.all("/lakehouses?limit=1")) == 3
    problem(own.get("/lakehouses?limit=0", {}), 400, "limit")
    problem(own.get("/lakehouses?limit=1001", {}), 400, "limit")
    assert own.get("/lakehouses?limit=1000", {}).status == 200


def test_shortcuts(own):
    assert own.put("/lakehouses/research", lake_document()).status == 201
    base = "/lakehouses/research/shortcuts"
    path = base + "/Tables/" + urllib.parse.quote("Größe und mehr")
    target = {"connection": "home:", "subpath": "/dicom/study"}
    assert own.put(path, target).status == 201
    assert own.put(path, target).status == 200
    problem(own.put(path, target, {"If-None-Match": "*"}), 412)
    other = own.put(path, {**target, "subpath": "/dicom/series"})
    assert other.status == 200 and other.json()["subpath"] == "/dicom/series"
    problem(own.put(path, {**target, "connection": "nosuch"}), 400, "nosuch")
    assert own.value(path)["subpath"] == "/dicom/series"  # as it was
    problem(own.put(path, {**target, "subpath": "/../x"}), 400)
    problem(own.put(path, {"connection": "home:"}), 400, "subpath")
    broken = own.post(path + "/test").json()["broken"]
    assert broken["status"] == "not_found" and broken["message"]
    assert [s["name"] for s in own.all(base + "?limit=1")] == ["Bilder", "Größe und mehr"]
    problem(own.get(base + "/Nowhere/x", {}), 400, "Tables")
    assert own.delete(path).status == 204
    problem(own.delete(path), 404)


def test_methods_and_resources_that_there_are_not(ro):
    answer = ro.send("PATCH", "/lakehouses/home")
    problem(answer, 405)
    assert answer.headers["Allow"] == "HEAD, GET, PUT, DELETE"
    problem(ro.get("/nosuch", {}), 404)
    problem(ro.get("/lakehouses?x=1", {}), 400, "limit, continuationToken")


def test_other_sites_are_kept_out(ro):
    answer = ro.send("POST", "/lakehouses/home/sql", {"statement": "SELECT 1"}, {"Origin": "http://evil.example"})
    assert answer.status == 403
    answer = ro.get("/lakehouses", {"Host": "evil.example"})
    assert answer.status == 421


# ---- statements ----


def test_rows_in_the_asked_format(ro):
    statement = "SELECT modality, count(*) AS n FROM instance GROUP BY modality"
    assert ro.rows(statement) == [{"modality": "OT", "n": FILES}]
    text = ro.sql(statement, format="csv")
    assert text.type.startswith("text/csv")
    assert list(csv.DictReader(io.StringIO(text.text))) == [{"modality": "OT", "n": str(FILES)}]
    lines = ro.sql(statement, headers={"Accept": "application/x-ndjson"})
    assert lines.type == "application/x-ndjson" and json.loads(lines.text)["n"] == FILES
    table = ro.sql(statement, headers={"Accept": "text/plain;q=0.9, application/pdf"})
    assert table.type.startswith("text/plain") and "modality" in table.text
    page = ro.sql(statement, format="html")
    assert page.type.startswith("text/html")
    assert "sandbox" in str(page.headers.get_all("Content-Security-Policy"))
    problem(ro.sql(statement, headers={"Accept": "application/pdf"}), 406)
    problem(ro.sql(statement, format="xml"), 400, "csv")
    problem(ro.sql(statement, format="parquet"), 422, "arrow")


def test_a_statement_has_an_id(ro):
    one, two = (ro.sql("SELECT 1").headers["Statement-Id"] for _ in range(2))
    assert len(one) == 32 and one != two
    assert ro.running() == []


def test_wrong_statements_get_the_place(ro):
    found = problem(ro.sql("SELECT *\nFROM nosuch"), 400)
    assert (found["line"], found["column"], found["at"]) == (2, 6, 14)
    found = problem(ro.sql("SELEC 1"), 400)
    assert found["line"] == 1
    problem(ro.sql("DROP TABLE instance"), 403)
    problem(ro.sql("SELECT * FROM read_csv('/etc/passwd')"), 403)
    problem(ro.sql("SELECT 1", lake="nosuch"), 404)
    problem(ro.sql("SELECT * FROM instance VERSION AS OF 999"), 404)
    problem(ro.sql(""), 400, "statement")
    problem(ro.post("/lakehouses/home/sql", {}), 400, "statement")
    problem(ro.post("/lakehouses/home/sql", b"{"), 400)
    problem(ro.sql("SELECT 1", nosuch=1), 400, "rowLimit")
    problem(ro.post("/lakehouses/home/sql", b"x", {"Content-Type": "text/plain"}), 415)


def test_the_size_of_a_statement(ro):
    size = 1 << 20
    fits = "SELECT 1 AS n " + " " * (size - 14)
    assert len(fits) == size and ro.rows(fits) == [{"n": 1}]
    problem(ro.sql(fits + " "), 413, "1048576")


def test_the_bound_of_rows(ro):
    statement = MANY_ROWS % 1000
    assert len(ro.rows(statement, rowLimit=1000)) == 1000
    problem(ro.sql(statement, rowLimit=999), 413)
    problem(ro.sql(statement, rowLimit=0), 400, "rowLimit")


def test_the_bound_of_time(server, ro):
    problem(ro.sql(ENDLESS, timeoutSeconds=1), 504, "1000 ms")
    nothing_runs(server, ro)
    problem(ro.sql("SELECT 1", timeoutSeconds=0), 400, "timeoutSeconds")
    problem(ro.sql("SELECT 1", timeoutSeconds=86401), 400, "timeoutSeconds")
    assert ro.rows("SELECT 1 AS n", timeoutSeconds=600) == [{"n": 1}]
    problem(ro.sql("SELECT 1 AS n", timeoutSeconds=601), 400, "timeoutSeconds", "600", "lakehouse.seconds")


def test_memory_bombs_are_refused(serve):
    server = serve({"lakehouse.memory": 128 * MIB})
    ro = Lakehouse(server.base)
    bombs = (
        "SELECT list(range) FROM range(100000000000)",
        "SELECT count(*) FROM (SELECT DISTINCT md5(range::VARCHAR) FROM range(2000000000))",
        "SELECT length(repeat('x', 8000000000))",
    )
    for bomb in bombs:
        answer = ro.sql(bomb, timeoutSeconds=160)
        assert answer.status in (400, 413), (bomb, answer)
    nothing_runs(server, ro)
    assert ro.rows("SELECT 1 AS n") == [{"n": 1}]


def test_a_statement_is_cancelled(server, ro):
    nothing_runs(server, ro)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(ro.sql(ENDLESS)))
    asking.start()
    (found,) = wait_for(ro.running, 60, "the statement")
    assert set(found) == {"id", "lakehouse", "kind", "started"} and found["lakehouse"] == "home"
    problem(ro.delete("/statements/" + "0" * 32), 404)
    problem(ro.delete("/statements/xyz"), 400)
    assert ro.delete("/statements/" + found["id"]).status == 204
    asking.join(60)
    problem(answers[0], 409, "cancelled")
    nothing_runs(server, ro)
    problem(ro.delete("/statements/" + found["id"]), 404)


def test_cancelling_by_the_id_of_the_answer(server, ro):
    made, answer = ro.begin(MANY_ROWS % 10_000_000_000, format="csv", timeoutSeconds=600)
    assert answer.status == 200 and len(answer.read(1 << 20)) == 1 << 20
    assert ro.delete("/statements/" + answer.headers["Statement-Id"]).status == 204
    with pytest.raises(http.client.IncompleteRead):
        answer.read()
    made.close()
    nothing_runs(server, ro)


def test_a_client_that_goes_away_takes_the_process_with_it(server, ro):
    nothing_runs(server, ro)
    for statement in (ENDLESS, MANY_ROWS % 10_000_000_000):
        made = http.client.HTTPConnection(urllib.parse.urlsplit(ro.base).netloc, timeout=300)
        body = json.dumps({"statement": statement, "timeoutSeconds": 600})
        made.request("POST", "/lakehouse/lakehouses/home/sql", body, JSON)
        wait_for(lambda: children(server), 60, "the process")
        if statement != ENDLESS:
            assert made.getresponse().read(1000)
        made.sock.shutdown(socket.SHUT_RDWR)
        made.close()
        nothing_runs(server, ro)


def test_an_error_after_rows_ends_the_connection(server, ro):
    """Division by a number that is no number, in a row that comes late."""
    late = (
        "SELECT range AS n, CASE WHEN range < 3000000 THEN md5(range::VARCHAR)"
        " ELSE error('no') END AS t FROM range(5000000)"
    )
    made, answer = ro.begin(late, format="csv", timeoutSeconds=60)
    if answer.status == 200:
        with pytest.raises(http.client.IncompleteRead):
            answer.read()
    else:  # the engine saw it coming
        assert answer.status in (400, 403), answer.read()
    made.close()
    nothing_runs(server, ro)


def test_rows_stream_with_flat_memory(server, ro):
    ro.rows("SELECT 1")
    before, most, size = server.memory_bytes(), 0, 0
    made, answer = ro.begin(MANY_ROWS % 5_000_000, format="csv", timeoutSeconds=600)
    assert answer.status == 200
    while block := answer.read(MIB):
        size += len(block)
        most = max(most, server.memory_bytes())
    made.close()
    assert size > 200 * 1000 * 1000
    if not sanitized():
        assert most - before < 16 * MIB, (before, most)


def test_so_many_at_once_and_the_service_answers(server, ro):
    """100 at once: memory bombs, endless ones, readers that do not read; then all is as before."""
    statements = [
        "SELECT list(range) FROM range(100000000000)",
        ENDLESS,
        MANY_ROWS % 10_000_000_000,
        "SELECT count(*) FROM instance",
    ]
    made = []
    for i in range(100):
        c = http.client.HTTPConnection(urllib.parse.urlsplit(ro.base).netloc, timeout=300)
        body = json.dumps({"statement": statements[i % 4], "timeoutSeconds": 4})
        c.request("POST", "/lakehouse/lakehouses/home/sql", body, JSON)
        made.append(c)
    most, statuses = 0, set()  # `most`: of its own list, for a process that was killed has given its room to others
    for c in made[:8]:
        assert ro.get("/lakehouses", {}).status == 200
        most = max(most, len(ro.running()))
    for c in made:
        answer = c.getresponse()
        statuses.add(answer.status)
        most = max(most, len(ro.running()))
        if answer.status == 503:
            assert answer.headers["Retry-After"]
            assert "as many as may" in json.loads(answer.read())["detail"]
    for c in made:
        c.close()
    assert 1 <= most <= 4 and 503 in statuses and statuses <= {200, 400, 413, 503, 504}, (most, statuses)
    nothing_runs(server, ro)
    assert ro.rows("SELECT count(*) AS n FROM instance") == [{"n": FILES}]


def test_readers_that_do_not_read_keep_no_room(server, ro):
    """More of them than statements may run; when their time is up others have their turn."""
    made = [ro.begin(MANY_ROWS % 10_000_000_000, format="csv", timeoutSeconds=2)[0] for _ in range(4)]
    assert ro.rows("SELECT 1 AS n") == [{"n": 1}]
    for c in made:
        c.close()
    nothing_runs(server, ro)


def test_statements_are_in_no_list_and_no_log(server, ro):
    secret = "geheim" + os.urandom(4).hex()
    ro.rows(f"SELECT '{secret}' AS x")
    problem(ro.sql(f"SELECT {secret} FROM instance"), 400)
    problem(ro.sql(f"SELECT '{secret}' FROM range(100000000000), range(1000)", rowLimit=1), 413)
    nothing_runs(server, ro)
    asking = threading.Thread(target=lambda: ro.sql(ENDLESS + f" AND '{secret}' = 'x'"))
    asking.start()
    (found,) = wait_for(ro.running, 60, "the statement")
    assert secret not in ro.get("/statements", {}).text
    (pid,) = wait_for(lambda: children(server), 60, "the process")
    assert secret.encode() not in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    assert ro.delete("/statements/" + found["id"]).status == 204
    asking.join(60)
    assert secret not in server.log()


def test_a_stopped_service_leaves_no_process(serve):
    server = serve()
    lake = Lakehouse(server.base)
    failed = []

    def ask():
        try:
            failed.append(lake.sql(ENDLESS, timeoutSeconds=600).status)
        except (OSError, http.client.HTTPException):
            failed.append(None)

    asking = threading.Thread(target=ask)
    asking.start()
    pids = wait_for(lambda: children(server), 60, "the process")
    server.stop()
    asking.join(60)
    assert failed in ([503], [None])
    wait_for(lambda: all(gone(p) for p in pids), 60, "the end of the processes")


def test_a_killed_service_leaves_no_process(serve):
    server = serve(check=False)
    lake = Lakehouse(server.base)

    def ask():
        try:
            lake.sql(ENDLESS, timeoutSeconds=600)
        except (OSError, http.client.HTTPException):
            pass

    asking = threading.Thread(target=ask)
    asking.start()
    pids = wait_for(lambda: children(server), 60, "the process")
    server.kill()
    asking.join(60)
    wait_for(lambda: all(gone(p) for p in pids), 60, "the end of the processes")


# ---- files ----


def test_files_are_listed_and_read(server, ro):
    assert [f["name"] for f in ro.all("/lakehouses/home/files")] == ["AHDS"]
    rows = ro.rows("SELECT sopInstanceUid AS uid, filePath AS path FROM instance")
    by_uid = {i.text("SOPInstanceUID"): i for i in server.instances}
    assert len(rows) == FILES
    for row in rows:
        answer = ro.get("/lakehouses/home/files/" + row["path"].lstrip("/"), {})
        assert answer.status == 200 and answer.type == "application/dicom", answer
        assert answer.body == by_uid[row["uid"]].bytes
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def a_file(lake):
    (row,) = lake.rows("SELECT filePath AS path FROM instance ORDER BY sopInstanceUid LIMIT 1")
    return "/lakehouses/home/files/" + row["path"].lstrip("/")


def test_ranges_and_tags_of_files(ro):
    path = a_file(ro)
    whole = ro.get(path, {})
    tag = whole.headers["ETag"]
    part = ro.get(path, {"Range": "bytes=10-19"})
    assert part.status == 206 and part.body == whole.body[10:20]
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(whole.body)}"
    assert ro.get(path, {"Range": "bytes=-5"}).body == whole.body[-5:]
    assert ro.get(path, {"Range": "bytes=0-1", "If-Range": '"other"'}).status == 200
    assert ro.get(path, {"Range": "bytes=0-1", "If-Range": tag}).status == 206
    assert ro.get(path, {"If-None-Match": tag}).status == 304
    outside = ro.get(path, {"Range": f"bytes={len(whole.body)}-"})
    assert outside.status == 416 and outside.headers["Content-Range"] == f"bytes */{len(whole.body)}"
    for more in ({}, {"Range": "bytes=0-1"}):  # a range is for GET alone
        head = ro.request("HEAD", path, more)
        assert head.status == 200 and int(head.headers["Content-Length"]) == len(whole.body)


def test_folders_come_in_pages(ro):
    path = "/lakehouses/home/files/AHDS"
    names = []
    for _ in range(8):
        page = ro.all(path + "?limit=1")
        names.append([f["name"] for f in page])
        if not page[0]["folder"]:
            break
        path += "/" + page[0]["name"]
    assert len(names) >= 4 and names[-1][0].endswith(".dcm"), names


def test_nothing_above_a_shortcut_is_reached(server, ro):
    (server.home / "files" / "outside.dcm").write_bytes(b"x")
    for path in ("AHDS/../outside.dcm", "AHDS/%2e%2e/outside.dcm", "AHDS/..%2foutside.dcm", "..", "AHDS/nosuch"):
        answer = ro.get("/lakehouses/home/files/" + path, {})
        assert answer.status in (400, 403, 404), (path, answer)
    (server.home / "files" / "outside.dcm").unlink()


# ---- settings and figures ----


def test_bounds_are_settings(serve):
    lake = Lakehouse(serve({"lakehouse.rows": 10}).base)
    assert len(lake.rows(MANY_ROWS % 10, rowLimit=1000)) == 10
    problem(lake.sql(MANY_ROWS % 11), 413)
    lake = Lakehouse(serve({"lakehouse.statements": 1, "lakehouse.seconds": 2}).base)
    problem(lake.sql(ENDLESS, timeoutSeconds=2), 504, "2000 ms", "lakehouse.seconds allows no more")
    problem(lake.sql(ENDLESS), 504, "2000 ms")  # what holds without a wish is no more either
    assert lake.put("/lakehouses/home/notebooks/first", notebook()).status == 201
    wish = {"statement": "SELECT 'x' AS sopInstanceUid", "timeoutSeconds": 3}
    for answer in (
        lake.post("/lakehouses/home/sql", wish),
        lake.put("/lakehouses/home/cohorts/c", wish),
        lake.post("/lakehouses/home/notebooks/first/run", {"timeoutSeconds": 3}),
        lake.post("/lakehouses/home/notebooks/first/run", {"timeoutSeconds": 3}),
    ):
        problem(answer, 400, "timeoutSeconds", "from 1 to 2", "lakehouse.seconds")


@pytest.mark.parametrize(
    "name, low, high",
    [
        ("lakehouse.statements", 1, 64),
        ("lakehouse.seconds", 1, 86400),
        ("lakehouse.memory", 64 * MIB, None),
        ("lakehouse.rows", 1, 2_000_000_000),
    ],
)
def test_bounds_of_settings(serve, name, low, high):
    for value in (low, high):
        if value is not None:
            server = serve({name: value})
            assert server.stop() == 0
    for value in (low - 1, high and high + 1):
        if value is not None:
            code, said = serve({name: value}, start=False, check=False).refused()
            assert code == 2 and name in said, (code, said)



def test_metrics_count_statements(server, ro):
    def count(outcome):
        text = ro.request("GET", "/metrics", {}, absolute=True).text
        name = f'dicomlake_statements_total{{outcome="{outcome}"}}'
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(name))

    nothing_runs(server, ro)
    before = count("done"), count("failed")
    ro.rows("SELECT 1")
    ro.sql("SELECT nosuch FROM instance")
    assert (count("done"), count("failed")) == (before[0] + 1, before[1] + 1)


# ---- cohorts ----


def test_cohorts_are_saved_in_versions(server, ro):
    path = "/lakehouses/home/cohorts/all"
    statement = "SELECT studyInstanceUid, sopInstanceUid, filePath FROM instance"
    first = ro.put(path, {"statement": statement})
    assert first.status == 201, first
    facts = first.json()
    assert (facts["name"], facts["version"], facts["instances"]) == ("all", 1, FILES)
    assert facts["reads"][0]["table"] == "instance" and facts["statement"] == statement
    second = ro.put(path, {"statement": statement + " LIMIT 2"})
    assert (second.json()["version"], second.json()["instances"]) == (2, 2)
    assert ro.value(path)["version"] == 2 and ro.value(path + "?version=1")["instances"] == FILES
    assert [(c["name"], c["version"]) for c in ro.all("/lakehouses/home/cohorts")] == [("all", 2)]
    answer = ro.get(path + "/instances?version=1", {})
    assert answer.type == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert {i["sopInstanceUid"] for i in lines} == {i.text("SOPInstanceUID") for i in server.instances}
    assert set(lines[0]) == {"studyInstanceUid", "seriesInstanceUid", "sopInstanceUid", "filePath"}
    found = problem(ro.put(path, {"statement": "SELECT *\nFROM nosuch"}), 400)
    assert found["line"] == 2
    problem(ro.put(path, {"statement": "SELECT modality FROM instance"}), 400, "sopInstanceUid")
    problem(ro.put(path, {"statement": "DROP TABLE instance"}), 403)
    assert ro.value(path)["version"] == 2
    problem(ro.get(path + "?version=9", {}), 404)
    assert ro.delete(path).status == 204
    problem(ro.delete(path), 404)


# ---- notebooks ----


def cell(source, kind="code", **more):
    made = {"cell_type": kind, "id": f"c{abs(hash(source)) % 10**9}", "metadata": {}, "source": source}
    if kind == "code":
        made |= {"outputs": [], "execution_count": None}
    return {**made, **more}


def notebook(*cells):
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": list(cells)}


def test_notebooks_are_kept_and_run(server, ro):
    path = "/lakehouses/home/notebooks/first"
    told = cell("wanted = 'OT'", metadata={"tags": ["parameters"]})
    made = notebook(
        cell("# Title", "markdown"),
        told,
        cell("SELECT count(*) AS n FROM instance WHERE modality = {{wanted}}"),
    )
    assert ro.put(path, made).status == 201
    assert ro.put(path, made).status == 200
    problem(ro.put(path, made, {"If-None-Match": "*"}), 412)
    assert [n["name"] for n in ro.all("/lakehouses/home/notebooks")] == ["first"]
    kept = ro.value(path)
    ran = ro.post(path + "/run")
    assert ran.status == 200 and ran.headers["Statement-Id"], ran
    outputs = ran.json()["cells"][2]["outputs"]
    assert str(FILES) in "".join(outputs[0]["data"]["text/plain"]), outputs
    none = ro.post(path + "/run", {"parameters": {"wanted": "nothing"}}).json()
    assert "0" in "".join(none["cells"][2]["outputs"][0]["data"]["text/plain"])
    assert ro.value(path) == kept  # it is answered, not kept
    problem(ro.post(path + "/run", {"parameters": {"nosuch": 1}}), 400, "nosuch")
    problem(ro.post(path + "/run", {"parameters": {"wanted": [1]}}), 400, "wanted")
    assert ro.delete(path).status == 204
    problem(ro.post(path + "/run"), 404)
    problem(ro.get(path, {}), 404)


def test_wrong_notebooks(ro):
    path = "/lakehouses/home/notebooks/wrong"
    problem(ro.put(path, {"nbformat": 3}), 422)
    problem(ro.put(path, {"nbformat": 4}), 400)
    problem(ro.put(path, b"[]"), 400)
    problem(ro.put("/lakehouses/home/notebooks/a.b", notebook()), 400, "notebook")
    assert ro.put(path, notebook(cell("SELECT nosuch FROM instance"))).status == 201
    ran = ro.post(path + "/run").json()
    assert ran["cells"][0]["outputs"][0]["output_type"] == "error"
    assert ro.delete(path).status == 204


def test_a_notebook_is_cancelled_when_its_client_goes_away(server, ro):
    path = "/lakehouses/home/notebooks/endless"
    assert ro.put(path, notebook(cell(ENDLESS))).status == 201
    nothing_runs(server, ro)
    made = http.client.HTTPConnection(urllib.parse.urlsplit(ro.base).netloc, timeout=300)
    made.request("POST", f"/lakehouse{path}/run", "{}", JSON)
    wait_for(lambda: children(server), 60, "the process")
    assert [s["kind"] for s in ro.running()] == ["notebook"]
    made.sock.shutdown(socket.SHUT_RDWR)
    made.close()
    nothing_runs(server, ro)
    assert ro.delete(path).status == 204


# ---- completion ----


def test_words_complete(ro):
    found = ro.post("/lakehouses/home/complete", {"statement": "SELECT * FROM inst"}).json()
    assert found["from"] == 14 and "instance" in found["words"]
    found = ro.post("/lakehouses/home/complete", {"statement": "SELECT moda FROM instance", "at": 11}).json()
    assert found["from"] == 7 and "modality" in found["words"]
    problem(ro.post("/lakehouses/home/complete", {"statement": "x", "at": -1}), 400, "at")
