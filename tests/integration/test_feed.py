"""Contract section 9: the change feed (T193 to T216)."""

import datetime
import re
import threading
from urllib.parse import quote

import pytest
from support import dicom
from support.http import value

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}\+00:00")
FILE_PATH = re.compile(r"AHDS/[^/]+/dicom/[^/]+/Microsoft\.Default/\d{1,3}_\d+\.dcm")


@pytest.fixture(scope="module")
def three(shared_serve):
    """A client of a service with G, R and B (small) as `.trio`; only read."""
    web = shared_serve().http
    web.trio = dicom.trio(8, 8)
    for instance in web.trio:
        assert web.store(instance).status == 200
    return web


def test_T193_T194_empty(web):
    answer = web.get("/changefeed", {})
    assert answer.status == 200
    assert answer.body == b"[]"
    assert answer.type == "application/json; charset=utf-8"
    answer = web.get("/changefeed/latest", {})
    assert answer.status == 204
    assert answer.body == b""
    assert web.at("/v1").get("/changefeed", {}).body == b"[]"
    assert web.at("/v1").get("/changefeed/latest", {}).status == 204


def test_T195_three_rows(three):
    answer = three.get("/changefeed", {})
    assert answer.status == 200
    assert answer.type == "application/json; charset=utf-8"
    rows = answer.json()
    assert [r["sequence"] for r in rows] == [1, 2, 3]
    for row, instance in zip(rows, three.trio, strict=True):
        assert set(row) == {
            "sequence",
            "partitionName",
            "filePath",
            "studyInstanceUid",
            "seriesInstanceUid",
            "sopInstanceUid",
            "action",
            "timestamp",
            "state",
            "metadata",
        }
        assert (row["action"], row["state"]) == ("Create", "Current")
        assert row["partitionName"] == "Microsoft.Default"
        assert FILE_PATH.fullmatch(row["filePath"])
        assert row["studyInstanceUid"] == instance.study
        assert row["seriesInstanceUid"] == instance.series
        assert row["sopInstanceUid"] == instance.sop
        assert row["metadata"] == three.metadata(instance.path)[0]
        assert value(row["metadata"], "00080018") == instance.sop


def test_json_is_compact(three):
    assert b'"sequence":1,' in three.get("/changefeed", {}).body
    assert b"\n" not in three.get("/changefeed", {}).body


@pytest.mark.parametrize("query", ["includeMetadata=false", "INCLUDEMETADATA=False"])
def test_T196_without_metadata(three, query):
    rows = three.feed("?" + query)
    assert len(rows) == 3
    assert all("metadata" not in r for r in rows)


@pytest.mark.parametrize(
    "query",
    [
        "includeMetadata=0",  # T197
        "includeMetadata=",
        "limit=0",  # T198
        "limit=201",
        "limit=x",
        "offset=-1",
        "offset=x",
        "startTime=2020-01-01T00:00:00",  # T201
        "endTime=2020-01-01T00:00:00",
        "startTime=2020-01-01",
        "startTime=",
        "startTime=yesterday",
        "startTime=2020-13-01T00:00:00Z",
        "startTime=2020-02-30T00:00:00Z",
        "startTime=2020-01-01T25:00:00Z",
        "startTime=2020-01-01T00:00:00%2B15:00",
        "startTime=10000-01-01T00:00:00Z",
        "startTime=2020-01-01T00:00:00Zx",
        "startTime=2020-01-01T00:00:00Z&endTime=2020-01-01T00:00:00Z",  # T203
        "startTime=2021-01-01T00:00:00Z&endTime=2020-01-01T00:00:00Z",
        "startTime=2020-01-01T02:00:00%2B02:00&endTime=2020-01-01T00:00:00Z",
        "startTime=2020-01-01T00:00:00+02:00",  # T205
    ],
)
def test_refused_queries(three, query):
    answer = three.get("/changefeed?" + query, {})
    assert answer.status == 400, answer
    assert answer.type.startswith("text/plain")


def test_T199_T200_pages(three):
    assert [r["sequence"] for r in three.feed("?offset=1&limit=1")] == [2]
    assert [r["sequence"] for r in three.feed("?LIMIT=2&Offset=1")] == [2, 3]
    assert three.feed("?offset=3") == []
    assert three.feed("?offset=2147483647") == []
    assert len(three.feed("?limit=200")) == 3


@pytest.mark.parametrize(
    "window, count",
    [
        ("startTime=0001-01-01T00:00:00Z&endTime=9999-12-31T23:59:59Z", 3),  # T202
        ("startTime=0001-01-01T00:00:00.0000000Z", 3),
        ("endTime=9999-12-31T23:59:59.9999999Z", 3),
        ("startTime=2020-01-01T00:00:00%2B02:00", 3),  # T205
        ("startTime=2020-01-01T00:00:00-11:30", 3),
        ("startTime=2020-01-01T00:00:00.1234567Z", 3),
        ("startTime=2020-01-01T00:00Z", 3),
        ("endTime=2020-01-01T00:00:00Z", 0),
        ("startTime=9000-01-01T00:00:00Z", 0),
    ],
)
def test_T202_T205_windows(three, window, count):
    assert len(three.feed("?" + window)) == count


def test_T204_bounds(three):
    rows = three.feed("?includeMetadata=false")
    second = quote(rows[1]["timestamp"])
    assert rows[0]["timestamp"] < rows[1]["timestamp"] < rows[2]["timestamp"]
    assert [r["sequence"] for r in three.feed("?startTime=" + second)] == [2, 3]
    assert [r["sequence"] for r in three.feed("?endTime=" + second)] == [1]
    third = quote(rows[2]["timestamp"])
    assert [r["sequence"] for r in three.feed(f"?startTime={second}&endTime={third}")] == [2]
    shifted = rows[1]["timestamp"].replace("+00:00", "Z")
    assert [r["sequence"] for r in three.feed("?startTime=" + shifted)] == [2, 3]
    assert [r["sequence"] for r in three.feed(f"?startTime={second}&offset=1")] == [3]


def test_T206_timestamps(three):
    for row in three.feed():
        assert TIMESTAMP.fullmatch(row["timestamp"])
        moment = datetime.datetime.fromisoformat(row["timestamp"][:26] + "+00:00")
        age = datetime.datetime.now(datetime.timezone.utc) - moment
        assert datetime.timedelta(0) <= age < datetime.timedelta(hours=1)


def test_T207_T208_after_a_delete(web):
    trio = dicom.trio(8, 8)
    web.store(*trio)
    assert web.delete(trio.g.path).status == 204
    rows = web.feed()
    assert len(rows) == 4
    first, last = rows[0], rows[3]
    assert first["sopInstanceUid"] == trio.g.sop
    assert (first["action"], first["state"]) == ("Create", "Deleted")
    assert "metadata" not in first
    assert FILE_PATH.fullmatch(first["filePath"])
    assert (last["action"], last["state"]) == ("Delete", "Deleted")
    assert last["sopInstanceUid"] == trio.g.sop
    assert "metadata" not in last and "filePath" not in last
    assert [r["state"] for r in rows[1:3]] == ["Current", "Current"]
    latest = web.get("/changefeed/latest", {})
    assert latest.status == 200
    assert latest.json() == last


def test_latest(three):
    rows = three.feed()
    assert three.get("/changefeed/latest", {}).json() == rows[-1]
    bare = three.get("/changefeed/latest?includeMetadata=false&limit=x&foo=1", {}).json()
    assert bare == {k: v for k, v in rows[-1].items() if k != "metadata"}
    assert three.get("/changefeed/latest?includeMetadata=x", {}).status == 400
    assert three.at("/v1").get("/changefeed/latest", {}).json() == rows[-1]


def test_metadata_of_older_rows_is_the_current_one(web):
    g = dicom.capture()
    web.store(g)
    web.store(g.with_(PatientName="New^Name"), method="PUT")
    rows = web.feed()
    assert [(r["action"], r["state"]) for r in rows] == [
        ("Create", "Replaced"),
        ("Create", "Current"),
    ]
    for row in rows:
        assert value(row["metadata"], "00100010")["Alphabetic"] == "New^Name"
    assert rows[0]["filePath"] != rows[1]["filePath"]


# -- v1 --


def test_T210_v1_pages(web):
    one = dicom.report()
    assert web.store(*[one.fresh() for _ in range(15)]).status == 200
    v1 = web.at("/v1")
    assert [r["sequence"] for r in v1.feed()] == list(range(1, 11))
    assert [r["sequence"] for r in v1.feed("?offset=0")] == list(range(1, 11))
    assert [r["sequence"] for r in v1.feed("?limit=100")] == list(range(1, 16))
    assert v1.get("/changefeed?limit=101", {}).status == 400
    assert v1.get("/changefeed?limit=0", {}).status == 400
    assert v1.get("/changefeed?offset=-1", {}).status == 400


def test_T211_v1_windows(web):
    """Our sequences have no gaps, so a window is short only at the end."""
    one = dicom.report()
    assert web.store(*[one.fresh() for _ in range(8)]).status == 200
    v1 = web.at("/v1")
    assert [r["sequence"] for r in v1.feed("?offset=3&limit=2")] == [4, 5]
    assert [r["sequence"] for r in v1.feed("?offset=6&limit=5")] == [7, 8]
    assert v1.feed("?offset=8&limit=5") == []
    assert v1.feed("?offset=1000000") == []
    assert len(v1.feed("?startTime=nonsense")) == 8


def test_v1_rows_are_those_of_v2(three):
    assert three.at("/v1").feed() == three.feed()


# -- readers and writers together --


class Writers:
    """Threads that store fresh instances until told to stop."""

    def __init__(self, web, count, per_request=1):
        self.web = web
        self.stored = set()
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.failures = []
        self.per_request = per_request
        self.threads = [threading.Thread(target=self.run) for _ in range(count)]

    def run(self):
        base = dicom.report()
        while not self.stopping.is_set():
            batch = [base.fresh() for _ in range(self.per_request)]
            answer = self.web.store(*batch)
            with self.lock:
                if answer.status != 200:
                    self.failures.append(answer)
                self.stored.update(b.sop for b in batch)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


def test_T212_reading_by_time_beside_writers(web):
    """The reader takes the rows since the last timestamp it saw, with no lag: none is missed."""
    seen = []
    start = "0001-01-01T00:00:00Z"

    def read_new():
        nonlocal start
        while True:
            rows = web.feed(f"?includeMetadata=false&limit=200&startTime={quote(start)}")
            fresh = [r for r in rows if not seen or r["sequence"] > seen[-1]["sequence"]]
            seen.extend(fresh)
            if not fresh:
                return
            start = seen[-1]["timestamp"]

    with Writers(web, 8) as writers:
        while len(seen) < 400:
            read_new()
    read_new()
    assert not writers.failures
    assert [r["sequence"] for r in seen] == list(range(1, len(seen) + 1))
    uids = [r["sopInstanceUid"] for r in seen]
    assert len(set(uids)) == len(uids)
    assert set(uids) == writers.stored
    times = [r["timestamp"] for r in seen]
    assert times == sorted(times)


def test_reading_by_cursor_beside_writers(web):
    seen, cursor = [], 0
    with Writers(web, 4, per_request=3) as writers:
        while len(seen) < 300:
            rows = web.feed(f"?afterSequence={cursor}&includeMetadata=false")
            seen += [r["sequence"] for r in rows]
            cursor = seen[-1] if seen else 0
    rows = web.feed(f"?afterSequence={cursor}&includeMetadata=false&limit=10000")
    seen += [r["sequence"] for r in rows]
    assert not writers.failures
    assert seen == list(range(1, len(writers.stored) + 1))


def test_search_pages_beside_writers_never_fail(web):
    with Writers(web, 4):
        for _ in range(60):
            assert web.get("/studies?limit=200").status in (200, 204)


# -- partitions and other forms --


def test_T213_not_below_a_partition(serve):
    for setting in ("off", "on"):
        web = serve({"service.partitions": setting}).http
        assert web.get("/partitions/x/changefeed", {}).status == 404
        assert web.get("/partitions/Microsoft.Default/changefeed/latest", {}).status == 404
        for method in ("POST", "DELETE"):  # no method is known of what is not there
            assert web.request(method, "/partitions/x/changefeed").status == 404


def test_T214_two_partitions(serve):
    web = serve({"service.partitions": "on"}).http
    g = dicom.capture()
    for name in ("clinic-A", "clinic-B"):
        assert web.at(f"/v2/partitions/{name}").store(g).status == 200
    rows = web.feed()
    assert [r["partitionName"] for r in rows] == ["clinic-A", "clinic-B"]
    for row in rows:
        assert f"/{row['partitionName']}/" in row["filePath"]
        assert (row["action"], row["state"]) == ("Create", "Current")
    assert web.at("/v2/partitions/clinic-A").delete(g.path).status == 204
    assert [(r["partitionName"], r["state"]) for r in web.feed()] == [
        ("clinic-A", "Deleted"),
        ("clinic-B", "Current"),
        ("clinic-A", "Deleted"),
    ]


def test_T215_cursor(three):
    answer = three.get("/changefeed?afterSequence=1", {})
    assert answer.status == 200
    assert [r["sequence"] for r in answer.json()] == [2, 3]
    assert answer.headers["dl-next-sequence"] == "3"
    answer = three.get("/changefeed?AFTERSEQUENCE=0&limit=2&includeMetadata=false", {})
    assert [r["sequence"] for r in answer.json()] == [1, 2]
    assert all("metadata" not in r for r in answer.json())
    assert answer.headers["dl-next-sequence"] == "2"
    answer = three.get("/changefeed?afterSequence=3", {})
    assert answer.json() == []
    assert answer.headers["dl-next-sequence"] == "3"


@pytest.mark.parametrize(
    "query",
    [
        "afterSequence=0&offset=0",
        "afterSequence=0&startTime=2020-01-01T00:00:00Z",
        "afterSequence=0&endTime=2090-01-01T00:00:00Z",
        "afterSequence=-1",
        "afterSequence=x",
        "afterSequence=",
        "afterSequence=0&limit=10001",
        "afterSequence=0&limit=0",
    ],
)
def test_refused_cursors(three, query):
    assert three.get("/changefeed?" + query, {}).status == 400


def test_cursor_page_of_ten_thousand(three):
    assert len(three.feed("?afterSequence=0&limit=10000")) == 3


def test_large_cursor_page_is_streamed(serve):
    """5,000 rows with metadata in one answer."""
    server = serve()
    base = dicom.report(StudyDescription="x" * 60)
    for _ in range(10):
        assert server.http.store(*[base.fresh() for _ in range(500)]).status == 200
    rows = server.http.feed("?afterSequence=0&limit=10000")
    assert [r["sequence"] for r in rows] == list(range(1, 5001))
    assert all(value(r["metadata"], "00081030") == "x" * 60 for r in rows)


def test_T216_the_public_template_reads_it(three):
    """The request of the public Data Factory template: text columns out of every row."""
    start, end = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"
    rows = three.feed(f"?limit=200&offset=0&startTime={start}&endTime={end}&includeMetadata=true")
    assert len(rows) == 3
    for row in rows:
        assert isinstance(row["sequence"], int)
        for name in ("studyInstanceUid", "seriesInstanceUid", "sopInstanceUid", "partitionName"):
            assert isinstance(row[name], str) and row[name]
        assert row["action"] in ("Create", "Update", "Delete")
        assert row["state"] in ("Current", "Replaced", "Deleted")
        datetime.datetime.strptime(row["timestamp"][:23], "%Y-%m-%dT%H:%M:%S.%f")
        assert isinstance(row["metadata"], dict)
        assert row["filePath"].startswith("AHDS/")


def test_feed_survives_a_restart(serve):
    server = serve()
    trio = dicom.trio(8, 8)
    server.http.store(*trio)
    server.http.delete(trio.b.path)
    before = server.http.feed()
    server.restart()
    assert server.http.feed() == before
    assert server.http.store(trio.b).status == 200
    rows = server.http.feed()
    assert [r["sequence"] for r in rows] == [1, 2, 3, 4, 5]
    assert rows[-1]["timestamp"] >= before[-1]["timestamp"]
