"""The parts of a run: what is stored, asked and compared, and which floor each figure has to pass.

Both servers run at the same time on the same disk and get the same requests in turn, so a busy machine
slows both; figures are medians of the rounds (searches: the best round).
"""

import json
import pathlib
import shutil
import subprocess
import time

import factory
import lake
import sql
from report import median
from servers import Dicomlake, Feed, Orthanc

SEARCHES = [
    "studies", "page", "patient", "date", "modality", "modality-date", "name", "prefix", "accession", "study",
    "series-of-study", "series-modality", "instances-of-series", "instances-of-study", "instances",
]  # fmt: skip
# Same items in both servers' answers: what the standard leaves open is not compared.
SAME_ITEMS = [kind for kind in SEARCHES if kind not in ("prefix", "name", "modality-date")]
SAME_UIDS = ["patient", "accession", "study", "series-of-study", "instances-of-series", "instances-of-study"]
DRAWS_FOR_ONE = 20  # requests drawn at most for one that is answered
STUDY_INSTANCES = 20  # of bench-gen's defaults: 2 series of 10


class Bench:
    """The tools, a temporary folder and the report; makes archives once."""

    def __init__(self, tools, folder, report, quick):
        self.tools = tools
        self.folder = pathlib.Path(folder)
        self.report = report
        self.quick = quick
        self.serial = 0

    def archive(self, profile, instances, **more):
        """The folder of an archive of that shape, made when it is not there yet."""
        options = sorted(more.items())
        name = "-".join([profile, str(instances)] + [f"{k}{v}" for k, v in options])
        folder = self.folder / "archives" / name
        if not (folder / "done").exists():
            command = [self.tools.gen, "--out", folder, "--profile", profile, "--instances", str(instances)]
            for key, value in options:
                command += ["--files"] if key == "files" else [f"--{key.replace('_', '-')}", str(value)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            (folder / "done").touch()
        return folder

    def home(self, name):
        self.serial += 1
        return self.folder / f"{self.serial:02}-{name}"

    def ours(self):
        return Dicomlake(self.home("dicomlake"), self.tools.binary)

    def feed(self, rows):
        return Feed(self.home("feed"), self.tools.feed, rows)

    def peer(self):
        return Orthanc(self.home("orthanc"))

    def load(self, server, kind, data, label="", **options):
        """One run of the load tool; wrong answers are a row, failed when they are ours, not an exception."""
        command = [self.tools.load, kind, "--url", server.url, "--root", server.root, "--dialect", server.dialect]
        command += ["--data", data, "--label", label]
        for key, value in options.items():
            flag = f"-{key}" if len(key) == 1 else f"--{key}"
            command += [flag] if value is True else [flag, str(value)]
        cpu = server.cpu_seconds()
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        if done.returncode == 2 or not done.stdout:
            raise RuntimeError(f"load {kind}: {done.stderr.strip()}")
        result = json.loads(done.stdout)
        result["server"] = server.name
        result["server_cpu_s"] = round(server.cpu_seconds() - cpu, 3)
        self.report.raw.append(result)
        if result["bad"]:
            figure = f"{kind} on {server.name}"
            note = f"{result['bad']} of {result['requests']}: {done.stderr.strip()}"
            if isinstance(server, Dicomlake):
                self.report.wrong(label or kind, figure, note)
            else:
                self.report.add(label or kind, figure, note=note)
        return result

    def clean(self, *servers):
        for server in servers:
            if server is not None:
                server.stop()
                shutil.rmtree(server.folder, ignore_errors=True)


def cost_ms(result):
    return result["server_cpu_s"] / max(1, result["items"]) * 1000


# ---- store ----


def store_rounds(bench, ours, peer, data, connections, rounds, counts, start):
    """Ours and the peer in turn on fresh instances of one archive: two lists of results, and the next instance."""
    found = ([], [])
    for _ in range(rounds):
        for results, server, count in zip(found, (ours, peer), counts):
            if server is not None:
                results.append(
                    bench.load(server, "store", data, "store", c=connections, n=count, s=120, **{"from": start, "count": count})
                )
        start += max(counts)
    return *found, start


def store(bench):
    shapes = {
        "small": {"floor": 4, "rounds": 1 if bench.quick else 3, "counts": (2000, 600) if bench.quick else (4000, 1200)},
        "ct": {"floor": 2.5, "rounds": 1 if bench.quick else 3, "counts": (160, 160) if bench.quick else (300, 300)},
    }
    report = bench.report
    for profile, shape in shapes.items():
        size = "5 KB" if profile == "small" else "528 KB"
        data = bench.archive(profile, 2 * shape["rounds"] * max(shape["counts"]))
        ours, peer = bench.ours().start(), bench.peer().start() if Orthanc.is_there() else None
        start = 0
        for connections in (8, 32):
            mine, theirs, start = store_rounds(
                bench, ours, peer, data, connections, shape["rounds"], shape["counts"], start
            )
            figure = f"{size}, {connections} connections"
            rate = median([r["items_per_s"] for r in mine])
            p99 = median([r["p99_ms"] for r in mine])
            if peer is None:
                report.add("store", figure, rate, None, "/s")
                report.not_measured("store", f"{figure}: beside Orthanc", "no Orthanc here")
                continue
            report.at_least("store", figure, rate, median([r["items_per_s"] for r in theirs]), "/s", shape["floor"])
            report.faster("store", f"{figure}: p99", p99, median([r["p99_ms"] for r in theirs]), "ms", 1)
            report.add(
                "store",
                f"{figure}: CPU per instance",
                median([cost_ms(r) for r in mine]),
                median([cost_ms(r) for r in theirs]),
                "ms",
            )
        bench.clean(ours, peer)


# ---- search ----


def fill(bench, server, data, have, want, k=20):
    requests = (want - have + k - 1) // k
    bench.load(server, "store", data, "fill", c=8, k=k, n=requests, s=3000, **{"from": have, "count": want - have})


def search_rounds(bench, servers, data, requests, rounds, seconds):
    """p95 in ms of every kind at every size, a list of the rounds', and the items an answer has. `servers` maps sizes to
    servers that hold as many.

    A round asks every kind, and at each kind one size after the other: what else the machine does, for a second or for
    ten, falls on all sizes and all kinds alike.
    """
    p95 = {size: {kind: [] for kind in SEARCHES} for size in servers}
    items = {size: {} for size in servers}
    for kind in SEARCHES:
        for size, server in servers.items():
            bench.load(server, kind, data, "warm", c=4, n=max(4, requests // 5), s=seconds, count=size, seed=99)
    for i in range(rounds):
        for kind in SEARCHES:
            for size in sorted(servers, reverse=i % 2 == 1):
                label = f"search {size}"
                found = bench.load(servers[size], kind, data, label, c=4, n=requests, s=seconds, count=size, seed=7 + i)
                p95[size][kind].append(found["p95_ms"])
                items[size][kind] = found["items"] / found["requests"]
    return p95, items


def answered(path):
    """How many requests of a file of --items had an answer that is not empty."""
    return sum(line.split("\t")[1] != "0" for line in path.read_text().splitlines())


def search_growth(bench, servers, data, requests, rounds, seconds):
    """Medians of p95 in ms of every kind at the small and at the big size, for the same requests with answers of the same
    length: the small archive is asked first, and each request of a round then asks for as many items as it had there.
    Those that had none are not sent, so a kind draws as many requests as leave `requests` of them.
    """
    small, big = min(servers), max(servers)
    pages = bench.folder / "items-of-requests"
    found = {}
    for kind in SEARCHES:
        p95, items = {small: [], big: []}, {}
        shape = {"c": 4, "n": requests, "s": seconds, "count": small}
        bench.load(servers[small], kind, data, "growth: draws", items=pages, seed=6, **shape)
        shape["n"] = requests * requests // max(answered(pages), requests // DRAWS_FOR_ONE)
        for i in range(rounds):
            shape["seed"] = 7 + i
            bench.load(servers[small], kind, data, "growth: items", items=pages, **shape)
            bench.load(servers[big], kind, data, "growth: warm", pages=pages, **shape)
            for size in sorted(servers, reverse=i % 2 == 1):
                result = bench.load(servers[size], kind, data, f"growth {size}", pages=pages, **shape)
                p95[size].append(result["p95_ms"])
                items[size] = result["items"] / result["requests"]
        found[kind] = (median(p95[small]), median(p95[big]), items[small], items[big])
    return found


def search_rows(report, kind, p95, items, growth, peer, peer_size):
    """Two rows: the bound at the biggest size, by the best round (others' work only ever adds), and the growth."""
    small, big = min(p95), max(p95)
    note = f"{items[big][kind]:.1f} items; {min(p95[small][kind]):.2f} ms and {items[small][kind]:.1f} at {small:,}"
    note += f"; Orthanc at {peer_size:,}" if peer else ""
    report.below("search", f"{kind}: p95 at {big:,}", min(p95[big][kind]), "ms", 3, peer, note)
    before, now, items_before, items_now = growth
    note = f"{before:.2f} ms at {small:,}; {items_before:.1f} items, {items_now:.1f} at {big:,}"
    report.growth("search", f"{kind}: p95, {small:,} to {big:,}", now, before, "ms", 1.5, note)


def compare_answers(bench, ours, peer, data, size):
    """The same requests to both: as many items, and where nothing is cut off the same UIDs."""
    differ = []
    for kind in SAME_ITEMS:
        mine, theirs = (bench.load(s, kind, data, "compare", c=4, n=30, s=120, count=size, seed=3) for s in (ours, peer))
        if mine["requests"] != theirs["requests"]:
            continue
        if mine["items"] != theirs["items"]:
            differ.append(f"{kind}: {mine['items']} items, {theirs['items']} at the peer")
        elif kind in SAME_UIDS and mine["digest"] != theirs["digest"]:
            differ.append(f"{kind}: other UIDs than the peer")
    if differ:
        bench.report.wrong("search", f"answers as the peer's at {size:,}", "; ".join(differ))
    else:
        bench.report.add("search", f"answers as the peer's at {size:,}", len(SAME_ITEMS), len(SAME_ITEMS), "kinds", state="pass")


def search(bench):
    small, big = (1000, 10000) if bench.quick else (1000, 100000)
    peer_size = 1000 if bench.quick else 5000
    data = bench.archive("small", big)
    ours = {size: bench.ours().start() for size in (small, big)}
    peer, peer_p95 = None, {}
    fill(bench, ours[big], data, 0, peer_size)
    if Orthanc.is_there():
        peer = bench.peer().start()
        fill(bench, peer, data, 0, peer_size)
        peer_p95 = search_rounds(bench, {peer_size: peer}, data, 40, 1, 8)[0][peer_size]
        compare_answers(bench, ours[big], peer, data, peer_size)
        peer.stop()
    fill(bench, ours[big], data, peer_size, big)
    fill(bench, ours[small], data, 0, small)
    requests, rounds = (200, 3) if bench.quick else (1000, 15)
    p95, items = search_rounds(bench, ours, data, requests, 3, 2)
    growth = search_growth(bench, ours, data, 4 * requests, rounds, 8)
    for kind in SEARCHES:
        search_rows(bench.report, kind, p95, items, growth[kind], min(peer_p95.get(kind, [None])), peer_size)
    if peer is None:
        bench.report.not_measured("search", "beside Orthanc", "no Orthanc here")
    bench.clean(*ours.values(), peer)


# ---- retrieve ----


def retrieve(bench):
    report, rounds = bench.report, 1 if bench.quick else 3
    size = 100 if bench.quick else 400
    data = bench.archive("ct", size)
    ours, peer = bench.ours().start(), bench.peer().start() if Orthanc.is_there() else None
    servers = [server for server in (ours, peer) if server is not None]
    for server in servers:
        fill(bench, server, data, 0, size, k=5)
        for kind in ("instance-file", "series-files", "frame"):
            bench.load(server, kind, data, "verify", c=4, n=20, verify=True)
    kinds = {
        "instance-file": ("one CT instance", (3000, 600)),
        "series-files": ("series of 10 CT", (300, 60)),
        "study-files": ("study of 20 CT", (150, 30)),
        "frame": ("one CT frame", (3000, 600)),
    }
    for kind, (figure, counts) in kinds.items():
        speed = {}
        for i in range(rounds):
            for server, count in zip(servers, counts):
                if bench.quick:
                    count //= 3
                result = bench.load(server, kind, data, "retrieve", c=8, n=count, s=60, seed=5 + i)
                speed.setdefault(server.name, []).append(result["received_mb_per_s"])
        mine = median(speed[ours.name])
        if peer is None:
            report.add("retrieve", f"{figure}, 8 connections", mine, None, "MB/s")
        else:
            report.at_least("retrieve", f"{figure}, 8 connections", mine, median(speed[peer.name]), "MB/s", 4)
    if peer is None:
        report.not_measured("retrieve", "beside Orthanc", "no Orthanc here")
    bench.clean(*servers)


# ---- metadata ----


def metadata(bench):
    report = bench.report
    data = bench.archive("small", 600, big_series=500)
    servers = [bench.ours().start()] + ([bench.peer().start()] if Orthanc.is_there() else [])
    one, series = {}, {}
    for server in servers:
        fill(bench, server, data, 0, 600)
    for i in range(1 if bench.quick else 3):
        for server, count in zip(servers, (400, 200)):
            one.setdefault(server.name, []).append(bench.load(server, "metadata", data, "metadata", c=4, n=count, seed=5 + i))
        for server, count in zip(servers, (60, 8)):
            found = bench.load(server, "big-series-metadata", data, "metadata", c=1, n=count, s=30, seed=5 + i)
            series.setdefault(server.name, []).append(found)
    rates = [median([r["items_per_s"] for r in one[s.name]]) for s in servers]
    times = [median([r["p50_ms"] for r in series[s.name]]) for s in servers]
    if len(servers) == 2:
        report.at_least("metadata", "of one instance, 4 connections", *rates, "/s", 1)
        report.faster("metadata", "of a series of 500: p50", *times, "ms", 40)
    else:
        report.add("metadata", "of a series of 500: p50", times[0], None, "ms")
        report.not_measured("metadata", "beside Orthanc", "no Orthanc here")
    bench.clean(*servers)
    count = 2000 if bench.quick else 10000
    data = bench.archive("small", count, big_series=count)
    ours = bench.ours().start()
    fill(bench, ours, data, 0, count)
    result = bench.load(ours, "big-series-metadata", data, "metadata", c=1, n=5, s=60)
    report.below("metadata", f"of a series of {count:,}: worst of 5", result["max_ms"] / 1000, "s", 1)
    bench.clean(ours)


# ---- reader ----


def reader_keys(command, listing):
    text = subprocess.run([*command, listing, "0"], capture_output=True, text=True, check=True).stdout
    return list(json.loads(text))


def reader(bench):
    report = bench.report
    data = bench.archive("ct", 100 if bench.quick else 400, files=1)
    listing = str(data / "files.txt")
    if bench.tools.reader is None:
        report.not_measured("reader", "header of a CT to DICOM JSON", "bench-reader was not built")
        return
    commands = {"ours": [str(bench.tools.reader)]}
    if bench.tools.dicom_rs is not None:
        commands["peer"] = [str(bench.tools.dicom_rs)]
    passes = 20 if bench.quick else 25
    rates = {name: [] for name in commands}
    for _ in range(1 if bench.quick else 5):
        for name, command in commands.items():
            done = subprocess.run([*command, listing, str(passes)], capture_output=True, text=True, check=True)
            result = json.loads(done.stdout)
            report.raw.append(result)
            rates[name].append(result["files_per_s"])
    mine = median(rates["ours"])
    if "peer" not in rates:
        report.add("reader", "header of a CT to DICOM JSON, one core", mine, None, "/s")
        report.not_measured("reader", "beside dicom-rs", bench.tools.dicom_rs_missing)
        return
    report.at_least("reader", "header of a CT to DICOM JSON, one core", mine, median(rates["peer"]), "/s", 3, "dicom-rs")
    keys = {name: reader_keys([*command, listing], "1") for name, command in commands.items()}
    if keys["ours"] != keys["peer"]:
        report.wrong("reader", "the same elements as dicom-rs", str(sorted({*keys["ours"]} ^ {*keys["peer"]})[:5]))


# ---- memory and disk ----


def memory(bench):
    report = bench.report
    ours, peer = bench.ours().start(), bench.peer().start() if Orthanc.is_there() else None
    time.sleep(1)
    report.below("memory", "idle RSS", ours.rss_mb(), "MB", 40, peer.rss_mb() if peer else None)
    count = 160 if bench.quick else 640
    data = bench.archive("ct", count)
    for server in filter(None, (ours, peer)):
        server.forget_peak()
        bench.load(server, "store", data, "memory", c=32, n=count, s=120)
    report.below(
        "memory", "peak RSS, 32 stores of 528 KB at once", ours.peak_rss_mb(), "MB", 200, peer.peak_rss_mb() if peer else None
    )
    bench.clean(ours, peer)
    count = 2000 if bench.quick else 20000
    data = bench.archive("small", count)
    ours = bench.ours().start()
    fill(bench, ours, data, 0, count)
    report.add("memory", f"RSS after {count:,} small stores", ours.rss_mb(), None, "MB")
    ours.stop()  # closing checkpoints the database
    report.below("memory", "disk beside the file, per instance", ours.state_bytes() / count / 1024, "KB", 1)
    report.add(
        "memory",
        "disk taken for 5 KB files, per file byte",
        (ours.files_bytes(allocated=True) + ours.state_bytes()) / ours.files_bytes() * 100,
        None,
        "%",
    )
    bench.clean(ours)


PARTS = {
    "store": store,
    "search": search,
    "retrieve": retrieve,
    "metadata": metadata,
    "reader": reader,
    "memory": memory,
    "sync": lake.sync,
    "follow": lake.follow,
    "commits": lake.commits_part,
    "runs": factory.runs,
    "sql": sql.sql,
}
