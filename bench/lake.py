"""The parts about tables: first load, windows onto larger and larger tables, following, many small commits."""

import csv
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

from report import median
from servers import folder_bytes

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLES = ("instance", "series", "study")
WINDOW = 2000
LOAD_RATE = 20000  # changes a second that a first load must reach
PEAK_MB = 500
FILES_LEFT = 20
FOLLOW_RATE = 100  # stores a second


class Lake:
    """A folder of tables, and runs of `dicomlake sync` on it."""

    def __init__(self, bench, url):
        self.bench, self.url = bench, url
        self.folder = bench.home("lake")

    def table(self, name):
        return self.folder / "dicom" / name

    def sync(self, *words):
        """One run: its summary with wall time, CPU time, peak memory and what it left on the disk beside the state."""
        command = [self.bench.tools.binary, "sync", "--lake", self.folder, "--source", self.url, "--json", *words]
        begin_ns, start = time.time_ns(), time.monotonic()
        with tempfile.TemporaryFile() as out, subprocess.Popen([str(w) for w in command], stdout=out) as process:
            _, status, used = os.wait4(process.pid, 0)
            seconds = time.monotonic() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            text = out.read()
        if process.returncode != 0:
            raise RuntimeError(f"sync ended with {process.returncode}")
        result = json.loads(text) | {"seconds": seconds, "peak_mb": used.ru_maxrss / 1024}
        result["cpu_s"] = used.ru_utime + used.ru_stime
        result |= self.written(begin_ns)
        self.bench.report.raw.append({"sync": self.folder.name, "words": list(words)} | result)
        return result

    def written(self, since_ns):
        """Bytes of files below the tables that are newer, and of the changed rows' own Parquet files among them: those
        that commits of rows added, not those of compactions."""
        found = {"written_bytes": 0, "parquet_bytes": 0}
        for base, _, names in os.walk(self.folder / "dicom"):
            for name in names:
                path = os.path.join(base, name)
                stat = os.lstat(path)
                if stat.st_mtime_ns >= since_ns:
                    found["written_bytes"] += stat.st_size
                    if base.endswith("_delta_log") and name.endswith(".json"):
                        found["parquet_bytes"] += rows_added(path)
        return found

    def tool(self, *words):
        command = [self.bench.tools.binary, "table", *words, "--lake", self.folder, "--json"]
        return json.loads(subprocess.run([str(w) for w in command], capture_output=True, check=True).stdout)


def rows_added(path):
    """Bytes of the data files that a commit of rows added; a file with a deletion vector was there before."""
    actions = [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]
    if not any(a.get("commitInfo", {}).get("operation") == "MERGE" for a in actions):
        return 0
    adds = [a["add"] for a in actions if "add" in a]
    return sum(add["size"] for add in adds if not add.get("deletionVector"))


def show(url, rows):
    with urllib.request.urlopen(f"{url}/show/{rows}", timeout=10):
        pass


def peer(name, *words):
    """What a script of bench/peers prints; None where the Python that runs us has no delta-rs."""
    for python in (sys.executable, ROOT / ".cache" / "venv" / "bin" / "python"):
        if subprocess.run([str(python), "-c", "import deltalake, pyarrow"], capture_output=True).returncode == 0:
            command = [python, ROOT / "bench" / "peers" / name, *words]
            return json.loads(subprocess.run([str(w) for w in command], capture_output=True, check=True).stdout)
    return None


# ---- first load and windows ----


def first_load(bench, url, size, rounds):
    """The lake of the last of `rounds` loads, and its peak memory; the figure is the median of their seconds."""
    report, results, lake = bench.report, [], None
    for _ in range(rounds):
        if lake is not None:
            shutil.rmtree(lake.folder)
        lake = Lake(bench, url)
        results.append(lake.sync())
    seconds, cpu = (median([r[k] for r in results]) for k in ("seconds", "cpu_s"))
    peak = max(r["peak_mb"] for r in results)
    report.above("sync", f"first load of {size:,}", size / seconds, "/s", LOAD_RATE, f"CPU {cpu:.1f} s")
    report.below("sync", f"first load of {size:,}: peak memory", peak, "MB", PEAK_MB)
    return lake, peak


def windows(bench, lakes, rounds):
    """`rounds` windows onto each of the lakes in turn, so that what else the machine does falls on all: what `window` says
    of each."""
    results = {size: [] for size in lakes}
    for i in range(rounds):
        for size, lake in lakes.items():
            show(lake.url, size + (i + 1) * WINDOW)
            results[size].append(lake.sync())
    return {size: window(bench, size, results[size]) for size in lakes}


def window(bench, size, results):
    """Medians of seconds, CPU seconds, bytes written, and the greatest share."""
    seconds, cpu, written = (median([r[k] for r in results]) for k in ("seconds", "cpu_s", "written_bytes"))
    share = max(r["written_bytes"] / r["parquet_bytes"] for r in results)
    note = f"CPU {cpu:.2f} s; " + ", ".join(f"{r['seconds']:.2f}" for r in results)
    bench.report.add("sync", f"window of {WINDOW:,} onto {size:,}", seconds, None, "s", note=note)
    bench.report.add("sync", f"window of {WINDOW:,} onto {size:,}: written", written / 1024, None, "KB")
    return {"seconds": seconds, "cpu_s": cpu, "written": written, "share": share, "peak": max(r["peak_mb"] for r in results)}


def merge_beside(bench, lake, size, window):
    """delta-rs merges the last window, ours again for comparison: the window's own time stands."""
    report, figure = bench.report, f"window of {WINDOW:,} onto {size:,}: beside delta-rs' merge"
    version = lake.tool("show", "instance")["version"]
    before = next(e["version"] for e in lake.tool("history", "instance") if e["version"] < version and e["operation"] != "OPTIMIZE")
    folder = bench.home("delta-rs")
    found = peer("delta_merge.py", lake.table("instance"), before, version, folder)
    shutil.rmtree(folder, ignore_errors=True)
    if found is None:
        report.not_measured("sync", figure, "no deltalake in this Python")
        return
    report.raw.append({"delta_merge": size} | found)
    if not found["same"]:
        report.wrong("sync", figure, "delta-rs' rows are not ours")
    note = f"{found['source_rows'] + found['deleted']} rows of one table; CPU {found['cpu_s']:.1f} s, ours {window['cpu_s']:.2f}"
    report.faster("sync", figure, window["seconds"], found["seconds"], "s", 30, note)


def sync(bench):
    sizes = (20000, 100000) if bench.quick else (20000, 200000, 1000000)
    report, rounds = bench.report, 1 if bench.quick else 3
    lakes, peaks = {}, {}
    feeds = {size: bench.feed(size).start() for size in sizes}
    for size, feed in feeds.items():
        # the smallest takes a second: one of a kind says little
        lakes[size], peaks[size] = first_load(bench, feed.url, size, rounds if size == sizes[0] else 1)
    found = windows(bench, lakes, 1 if bench.quick else 5)
    merge_beside(bench, lakes[sizes[1]], sizes[1], found[sizes[1]])
    bench.clean(*feeds.values())
    for lake in lakes.values():
        shutil.rmtree(lake.folder)
    small, large = sizes[0], sizes[-1]
    report.growth(
        "sync", f"peak memory, {sizes[1]:,} to {large:,}", peaks[large], peaks[sizes[1]], "MB", 1.25
    )
    for name, unit, scale in (("seconds", "s", 1), ("written", "KB", 1024)):
        low, high = (pick(w[name] for w in found.values()) / scale for pick in (min, max))
        report.growth("sync", f"window: {name}, {small:,} to {large:,}", high, low, unit, 1.5, "largest beside smallest")
    share = max(w["share"] for w in found.values())
    report.at_most("sync", "window: written, beside its own Parquet", share, "x", 3)


# ---- following ----


def sequences(server, count):
    """SOP instance UID to the sequence of its change."""
    found, after = {}, 0
    while len(found) < count:
        url = f"{server.url}/v2/changefeed?afterSequence={after}&limit=200&includeMetadata=false"
        with urllib.request.urlopen(url, timeout=30) as answer:
            rows = json.load(answer)
        if not rows:
            break
        found |= {row["sopInstanceUid"]: row["sequence"] for row in rows}
        after = rows[-1]["sequence"]
    return found


def commits(table):
    """(time in us, greatest sequence) of each commit of rows, in order. The time is that of the file's last change of
    state: when it got its name."""
    found = []
    for path in sorted((table / "_delta_log").glob("*.json")):
        for line in path.read_text().splitlines():
            info = json.loads(line).get("commitInfo")
            if info and info.get("operation") == "MERGE":
                found.append((path.stat().st_ctime_ns // 1000, json.loads(info["userMetadata"])["seq"]))
    return found


def latencies_ms(stored, table):
    """From each answer to the commit that holds its row: `stored` is (time in us, sequence) in order of sequences."""
    found, made, at = [], commits(table), 0
    for done_us, sequence in stored:
        while at < len(made) and made[at][1] < sequence:
            at += 1
        if at == len(made):
            raise RuntimeError(f"sequence {sequence} is in no commit")
        found.append(max(0, made[at][0] - done_us) / 1000)
    return sorted(found)


def wait_for_rows(lake_folder, sequence):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        made = commits(lake_folder / "dicom" / "study")
        if made and made[-1][1] >= sequence:
            return
        time.sleep(0.5)
    raise RuntimeError("the tables did not catch up within a minute")


def store_steadily(bench, server, count):
    """`count` stores at the rate: (time of the answer in us, sequence), in order of sequences."""
    data = bench.archive("small", count)
    times = bench.folder / "times.tsv"
    bench.load(server, "store", data, "follow", c=4, n=count, s=600, rate=FOLLOW_RATE, times=times)
    done_us = [int(line.split("\t")[1]) for line in times.read_text().splitlines()]
    with open(data / "manifest.tsv", newline="") as lines:
        uids = [row[4] for row in csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)]
    known = sequences(server, count)
    return sorted(((us, known[uid]) for us, uid in zip(done_us, uids)), key=lambda pair: pair[1])


def follow(bench):
    report, seconds = bench.report, 10 if bench.quick else 60
    server = bench.ours().start()
    home = server.folder / "home"
    command = [bench.tools.binary, "sync", "--home", home, "--follow", "--json"]
    with open(server.folder / "follow.txt", "wb") as log:
        process = subprocess.Popen([str(w) for w in command], stdout=log, stderr=log)
        try:
            time.sleep(1)
            stored = store_steadily(bench, server, FOLLOW_RATE * seconds)
            wait_for_rows(home / "tables", stored[-1][1])
            time.sleep(1)
        finally:
            process.send_signal(signal.SIGINT)
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
    ms = latencies_ms(stored, home / "tables" / "dicom" / "instance")
    p50, p99, worst = (ms[min(len(ms) - 1, int(q * len(ms)))] for q in (0.5, 0.99, 1))
    cpu = (used.ru_utime + used.ru_stime) / seconds
    note = f"p50 {p50:.0f} ms, worst {worst:.0f} ms; CPU {cpu * 100:.0f} % of a core"
    figure = f"follow at {FOLLOW_RATE} stores a second"
    report.below("follow", f"{figure}: p99 to a row", p99 / 1000, "s", 1, note=note)
    report.raw.append({"follow_ms": ms})
    if process.returncode != 0:
        report.wrong("follow", f"{figure}: exit code", str(process.returncode))
    words = [str(w) for w in (bench.tools.binary, "table", "list", "--home", home, "--json")]
    listed = subprocess.run(words, capture_output=True, check=True, text=True).stdout
    tables = {t["table"]: t for t in json.loads(listed)}
    files = max(t["files"] for t in tables.values())
    versions = ", ".join(f"{name} {t['version']}" for name, t in tables.items())
    report.at_most("follow", f"{figure}: files of a table", files, "", FILES_LEFT, f"versions: {versions}")
    if tables["instance"]["rows"] != len(stored):
        report.wrong("follow", f"{figure}: rows", f"{tables['instance']['rows']} of {len(stored)}")
    bench.clean(server)


# ---- many small commits ----


def commits_part(bench):
    """1,000 commits of ten changes and the maintenance that comes with a sync, against the table compacted whole."""
    report, size, count = bench.report, 20000, 100 if bench.quick else 1000
    with bench.feed(size) as feed:
        lake = Lake(bench, feed.url)
        lake.sync()
        show(feed.url, size + count * 10)
        result = lake.sync("--BatchSize", "11", "--batch-changes", "10")
    made = result["tables"]["instance"]["commits"]
    report.add("commits", f"{made:,} commits of 10 changes", made / result["seconds"], None, "/s")
    before = peer("delta_read.py", lake.table("instance"), 9)
    if before is None:
        report.not_measured("commits", "count(*) and look-up by delta-rs", "no deltalake in this Python")
        return
    for name in TABLES:
        lake.tool("optimize", name, "--full")
    after = peer("delta_read.py", lake.table("instance"), 9)
    report.raw.append({"before": before, "after": after})
    for key, figure in (("count_s", "count(*)"), ("look_s", "look-up by UID")):
        note = f"delta-rs; {before['files']} files, then {after['files']}"
        report.growth("commits", f"{figure} beside the compacted table", before[key] * 1e3, after[key] * 1e3, "ms", 2, note)
    shutil.rmtree(lake.folder)
