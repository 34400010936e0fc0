"""The part about runs: a year of hourly windows, one run of an empty window, lists of many runs."""

import json
import subprocess

YEAR_WINDOWS, QUICK_WINDOWS = 8760, 500
LISTED = 100000
YEAR_S, RUN_MS, LIST_MS = 60, 50, 50


def runs(bench):
    """bench-factory-runs on an empty feed; what it prints is the record."""
    report = bench.report
    if bench.tools.factory_runs is None:
        return
    windows = QUICK_WINDOWS if bench.quick else YEAR_WINDOWS
    feed = bench.feed(1).start()
    home = bench.home("factory")
    home.mkdir(parents=True)
    command = [bench.tools.factory_runs, home, feed.url + "/v2", str(windows), str(LISTED)]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    feed.stop()
    if done.returncode != 0:
        raise RuntimeError(f"bench-factory-runs: {done.stderr.strip()}")
    found = json.loads(done.stdout)
    report.raw.append({"runs": found})
    year = f"{windows:,} hourly windows"
    report.below("runs", f"{year} scheduled and recorded, no work", found["nothing_s"], "s", YEAR_S)
    report.below("runs", f"{year} run on an empty feed", found["real_s"], "s", YEAR_S)
    report.below("runs", "a run of an empty window", found["run_ms"], "ms", RUN_MS)
    report.below("runs", "requests of a run of an empty window, most", found["requests"], "", 2)
    report.below("runs", f"slowest list of 100 among {LISTED:,} runs", found["list_ms"], "ms", LIST_MS)
