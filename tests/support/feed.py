"""A change feed without a service: generated histories, served as Microsoft's service does.

`Feed` keeps rows and ages them as docs/contract.md 9.5 says. `FeedServer` serves one on a loopback
port, with the misbehaviours that tests ask for.
"""

import datetime
import json
import random
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

EPOCH = datetime.datetime(2026, 1, 5, 8, tzinfo=datetime.timezone.utc)


def stamp(us):
    """Microseconds after EPOCH as the feed writes them: seven digits of fraction."""
    t = EPOCH + datetime.timedelta(microseconds=us)
    return t.strftime("%Y-%m-%dT%H:%M:%S.") + f"{t.microsecond:06d}0+00:00"


def at(us):
    return EPOCH + datetime.timedelta(microseconds=us)


class Feed:
    def __init__(self, partition=True, paths=True):
        self.rows = []  # dicts with us, sequence, ...
        self.current = {}  # key -> metadata, path
        self.paths = paths
        self.sequence = 0
        self.us = 0

    def add(self, action, key, metadata=None, us=None, sequence=None):
        """One change: `key` is (partition, study, series, sop)."""
        self.us = self.us + 1 if us is None else us
        self.sequence = self.sequence + 1 if sequence is None else sequence
        path = f"AHDS/ws/dicom/svc/{key[0]}/{self.sequence:03d}_{self.sequence}.dcm"
        older = [r for r in self.rows if r["key"] == key]
        if action == "Delete":
            for r in older:
                r["state"], r["metadata"] = "Deleted", None
            row = {"state": "Deleted", "metadata": None, "path": None}
            self.current.pop(key, None)
        else:
            for r in older:
                r["state"], r["metadata"] = "Replaced", metadata
                if action == "Update" and r["path"]:
                    r["path"] = path
            row = {"state": "Current", "metadata": metadata, "path": path if self.paths else None}
            self.current[key] = row
        row.update(key=key, action=action, us=self.us, sequence=self.sequence)
        self.rows.append(row)
        return row

    def ordered(self):
        return sorted(self.rows, key=lambda r: (r["us"], r["sequence"]))

    @staticmethod
    def json(row):
        out = {"sequence": row["sequence"], "partitionName": row["key"][0]}
        if row["path"]:
            out["filePath"] = row["path"]
        out.update(
            studyInstanceUid=row["key"][1],
            seriesInstanceUid=row["key"][2],
            sopInstanceUid=row["key"][3],
            action=row["action"],
            timestamp=stamp(row["us"]),
            state=row["state"],
        )
        if row["metadata"] is not None:
            out["metadata"] = row["metadata"]
        return out


def attribute(vr, *values):
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


NAMES = ["Müller^Jörg", "Yamada^Tarou", "", 'O"Neil^Bob\\\\x', "Doe^Jane", "李^明"]


def metadata(rng, key, empty=False):
    """DICOM JSON with every column of the tables now and then, odd values among them."""
    if empty:
        return {}
    m = {
        "00080016": attribute("UI", "1.2.840.10008.5.1.4.1.1.2"),
        "00080018": attribute("UI", key[3]),
        "0020000D": attribute("UI", key[1]),
        "0020000E": attribute("UI", key[2]),
    }
    choices = {
        "00080020": lambda: attribute("DA", rng.choice(["20260105", "20240229", "20230229", "", "2026", "99999999"])),
        "00080030": lambda: attribute("TM", rng.choice(["101500.123", "08", ""])),
        "00080050": lambda: attribute("SH", f"A{rng.randrange(50)}"),
        "00080060": lambda: attribute("CS", rng.choice(["CT", "MR", "US"])),
        "00080061": lambda: attribute("CS", "CT", "SR"),
        "00080090": lambda: attribute("PN", {"Alphabetic": rng.choice(NAMES), "Ideographic": "x"}),
        "00081030": lambda: attribute("LO", rng.choice(["Chest", "Abdomen 'a' \"b\"", "naïve ☃ \U0001f600"])),
        "0008103E": lambda: attribute("LO", "axial\n"),
        "00081090": lambda: attribute("LO"),
        "00100010": lambda: attribute("PN", {"Alphabetic": rng.choice(NAMES)}),
        "00100020": lambda: attribute("LO", f"P{rng.randrange(20)}"),
        "00100021": lambda: attribute("LO", "issuer"),
        "00100030": lambda: attribute("DA", "19700101"),
        "00180015": lambda: attribute("CS", "HEAD"),
        "00200011": lambda: attribute("IS", rng.randrange(100)),
        "00200013": lambda: attribute("IS", rng.randrange(1000)),
        "00200060": lambda: attribute("CS", None),
        "00400275": lambda: attribute("SQ", {"00400007": attribute("LO", "step")}),
        "00201206": lambda: attribute("IS", 3),
        "00280030": lambda: attribute("DS", 0.5, 0.25),
        "00091001": lambda: {"vr": "OB", "BulkDataURI": "x"},
        "00420010": lambda: attribute("ST", "t" * rng.randrange(300)),
    }
    for tag, make in choices.items():
        if rng.random() < 0.7:
            m[tag] = make()
    return dict(sorted(m.items()))


class Generator:
    """Random histories over a small set of instances, so that every kind of change meets itself."""

    def __init__(self, seed, partitions=("Microsoft.Default", "ward 7"), studies=4):
        self.rng = random.Random(seed)
        self.feed = Feed()
        self.keys = []
        for s in range(studies):
            for e in range(self.rng.randrange(1, 4)):
                for i in range(self.rng.randrange(1, 6)):
                    self.keys.append(
                        (self.rng.choice(partitions) if self.rng.random() < 0.2 else partitions[s % len(partitions)],
                         f"1.2.{s}", f"1.2.{s}.{e}", f"1.2.{s}.{e}.{i}"))

    def step(self, count=1, ties=True):
        """`count` more changes; times never go back for a key, and tie now and then."""
        rng = self.rng
        for _ in range(count):
            key = rng.choice(self.keys)
            us = self.feed.us + (0 if ties and rng.random() < 0.3 else rng.randrange(1, 5_000_000))
            if key in self.feed.current:
                kind = rng.choices(["Update", "Create", "Delete"], [4, 2, 4])[0]
            else:
                kind = "Create"
            new = None if kind == "Delete" else metadata(rng, key, empty=rng.random() < 0.05)
            self.feed.add(kind, key, new, us=us)


class FeedServer:
    """Serves a Feed under /v2/changefeed with offset pages; `faults` is asked before each answer.

    A fault is a function(handler, query) that answers by itself and returns True, or returns False.
    """

    def __init__(self, feed, page_limit=200):
        self.feed, self.page_limit = feed, page_limit
        self.faults = []
        self.requests = []
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                url = urllib.parse.urlsplit(self.path)
                query = dict(urllib.parse.parse_qsl(url.query))
                with outer.lock:
                    outer.requests.append((url.path, query, dict(self.headers)))
                    faults = list(outer.faults)
                for fault in faults:
                    if fault(self, url.path, query):
                        return
                outer.answer(self, url.path, query)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @staticmethod
    def send(handler, status, body=b"", headers=()):
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json; charset=utf-8")
        handler.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    @staticmethod
    def moment(text, initial):
        if text is None:
            return initial
        text = text.replace("Z", "+00:00")
        head, _, tail = text.partition(".")
        if tail:
            digits = tail[: len(tail) - 6]
            text = f"{head}.{digits[:6].ljust(6, '0')}{tail[-6:]}"
        return datetime.datetime.fromisoformat(text)

    def answer(self, handler, path, query):
        with self.lock:
            rows = self.feed.ordered()
        if path.endswith("/changefeed/latest"):
            if not rows:
                return self.send(handler, 204)
            return self.send(handler, 200, json.dumps(Feed.json(rows[-1])).encode())
        if not path.endswith("/changefeed"):
            return self.send(handler, 404)
        start = self.moment(query.get("startTime"), datetime.datetime.min.replace(tzinfo=datetime.timezone.utc))
        end = self.moment(query.get("endTime"), datetime.datetime.max.replace(tzinfo=datetime.timezone.utc))
        offset, limit = int(query.get("offset", 0)), int(query.get("limit", 100))
        if not 1 <= limit <= self.page_limit or "afterSequence" in query:
            return self.send(handler, 400, b'"limit"')
        rows = [r for r in rows if start <= at(r["us"]) < end][offset : offset + limit]
        self.send(handler, 200, json.dumps([Feed.json(r) for r in rows], ensure_ascii=False).encode())
