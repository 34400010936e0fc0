"""What a run found: rows with floors, one table, one JSON document, one plot."""

import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import time

PASS, FAIL, INFO, NOT_MEASURED = "pass", "FAIL", "", "not measured"


class Report:
    """Rows in the order they were measured, and everything the tools printed, for the record."""

    def __init__(self, quick):
        self.quick = quick
        self.rows = []
        self.raw = []
        self.started = datetime.datetime.now(datetime.timezone.utc)
        self.load_at_start = os.getloadavg()[0]

    def add(self, part, figure, ours=None, peer=None, unit="", ratio=None, floor="", state=INFO, note=""):
        row = {
            "part": part,
            "figure": figure,
            "ours": ours,
            "peer": peer,
            "unit": unit,
            "ratio": ratio,
            "floor": floor,
            "state": state,
            "note": note,
        }
        self.rows.append(row)
        print(line_of(row), flush=True)

    def at_least(self, part, figure, ours, peer, unit, floor, note=""):
        """Ours must be `floor` times the peer's or more."""
        ratio = ours / peer if peer else None
        state = INFO if ratio is None else PASS if ratio >= floor else FAIL
        self.add(part, figure, ours, peer, unit, ratio, f">= {floor:g} x", state, note)

    def faster(self, part, figure, ours, peer, unit, floor, note=""):
        """Ours, a time, must be the peer's divided by `floor`, or less."""
        ratio = peer / ours if ours else None
        state = INFO if ratio is None else PASS if ratio >= floor else FAIL
        text = f">= {floor:g} x faster" if floor != 1 else "below the peer's"
        self.add(part, figure, ours, peer, unit, ratio, text, state, note)

    def below(self, part, figure, ours, unit, bound, peer=None, note=""):
        state = PASS if ours < bound else FAIL
        self.add(part, figure, ours, peer, unit, peer / ours if peer and ours else None, f"< {bound:g} {unit}", state, note)

    def above(self, part, figure, ours, unit, bound, note=""):
        state = PASS if ours >= bound else FAIL
        self.add(part, figure, ours, None, unit, None, f">= {bound:,g} {unit}".strip(), state, note)

    def at_most(self, part, figure, ours, unit, bound, note=""):
        state = PASS if ours <= bound else FAIL
        self.add(part, figure, ours, None, unit, None, f"<= {bound:g} {unit}".strip(), state, note)

    def growth(self, part, figure, ours, before, unit, bound, note=""):
        """Ours may be `bound` times what the smaller archive lets expect."""
        ratio = ours / before if before else None
        state = INFO if ratio is None else PASS if ratio <= bound else FAIL
        self.add(part, figure, ours, None, unit, ratio, f"<= {bound:g} x the small one", state, note)

    def wrong(self, part, figure, note):
        self.add(part, figure, state=FAIL, note=note)

    def not_measured(self, part, figure, note):
        self.add(part, figure, state=NOT_MEASURED, note=note)

    def markdown(self):
        """The table of docs/performance.md."""
        lines = ["| part | figure | ours | peer | unit | ratio | floor | |", "|---|---|--:|--:|---|--:|---|---|"]
        for row in self.rows:
            ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
            cells = [row["part"], row["figure"], number(row["ours"]), number(row["peer"]), row["unit"], ratio, row["floor"]]
            lines.append("| " + " | ".join([*cells, row["state"]]) + " |")
        return "\n".join(lines) + "\n"

    def exit_code(self):
        states = {row["state"] for row in self.rows}
        if FAIL in states:
            return 1
        return 3 if NOT_MEASURED in states else 0

    def document(self, parts, folder):
        return {
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round((datetime.datetime.now(datetime.timezone.utc) - self.started).total_seconds(), 1),
            "parts": parts,
            "quick": self.quick,
            "machine": machine(folder) | {"load_average_at_start": self.load_at_start},
            "rows": self.rows,
            "raw": self.raw,
        }

    def write(self, path, parts, folder):
        pathlib.Path(path).write_text(json.dumps(self.document(parts, folder), indent=1, ensure_ascii=False) + "\n")


def number(value):
    if value is None:
        return "-"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


HEAD = f"{'part':9} {'figure':46} {'ours':>9} {'peer':>9} {'unit':8} {'ratio':>7}  {'floor':26} {'':4}"


def line_of(row):
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
    text = (
        f"{row['part']:9} {row['figure']:46} {number(row['ours']):>9} {number(row['peer']):>9} {row['unit']:8}"
        f" {ratio:>7}  {row['floor']:26} {row['state']:4}"
    )
    return (text + (f"  {row['note']}" if row["note"] else "")).rstrip()


def machine(folder):
    """The machine in words that name nobody: no host name, no path."""
    cpu = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())
    return {
        "cpu": cpu.group(1) if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(int(memory.group(1)) / 1048576, 1) if memory else None,
        "kernel": platform.release(),
        "file_system": file_system(folder),
        "syncs_per_s": round(sync_rate(folder)),
    }


def file_system(folder):
    best, kind = "", "unknown"
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        _, mount, this, *_ = line.split()
        if str(folder).startswith(mount) and len(mount) >= len(best):
            best, kind = mount, this
    return kind


def sync_rate(folder, count=100):
    """4 KiB appended and synced, one after the other: what one durable write costs here."""
    path = pathlib.Path(folder) / "sync-probe"
    block = b"\0" * 4096
    with open(path, "wb", buffering=0) as probe:
        start = time.monotonic()
        for _ in range(count):
            probe.write(block)
            os.fdatasync(probe.fileno())
        seconds = time.monotonic() - start
    path.unlink()
    return count / seconds


def median(values):
    return statistics.median(values)
