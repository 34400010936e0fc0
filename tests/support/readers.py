"""Tables as other programs read them, row by row against the model (fold.py)."""

import datetime
import functools
import json
import pathlib
import urllib.parse

import deltalake
import duckdb
import pyarrow
import pyarrow.parquet as pq
import pytest

from .fold import KEYS, date, fold

UTC = datetime.timezone.utc

# ---- readers: each gives a pyarrow table ----


def by_delta_rs(path, version=None):
    table = deltalake.DeltaTable(str(path), version=version)
    return pyarrow.table(deltalake.QueryBuilder().register("t", table).execute("select * from t"))


def by_pyarrow(path, version=None):
    """delta-rs' list of files, read by pyarrow: no deletion vectors."""
    return deltalake.DeltaTable(str(path), version=version).to_pyarrow_table()


@functools.cache
def duckdb_extension():
    """DuckDB's delta extension as its package has it; None: not installed. Nothing is fetched."""
    try:
        import duckdb_extension_delta
    except ImportError:
        return None
    return next(pathlib.Path(duckdb_extension_delta.__file__).parent.rglob("delta.duckdb_extension"))


@functools.cache
def duckdb_connection():
    """Loading the extension takes longer than any of our tables: once."""
    if duckdb_extension() is None:
        pytest.skip("the package duckdb-extension-delta is not installed")
    con = duckdb.connect(config={"threads": 1, "autoinstall_known_extensions": "false"})
    con.execute(f"load '{duckdb_extension()}'")
    con.execute("set timezone = 'UTC'")
    return con


def by_duckdb(path, version=None):
    at = "" if version is None else f", version {version}"
    con = duckdb_connection()
    con.execute(f"attach '{path}' as t (type delta{at})")
    try:
        return con.execute("select * from t").to_arrow_table()
    finally:
        con.execute("detach t")


READERS = {"delta-rs": by_delta_rs, "duckdb": by_duckdb}


def plain(value):
    """A value as the model has it: times in UTC, maps as dicts."""
    if isinstance(value, datetime.datetime) and value.tzinfo:
        return value.astimezone(UTC)
    return value


def rows_of(table):
    rows = table.to_pylist()
    for row in rows:
        for column, value in row.items():
            if column == "metadata" and value is not None:
                row[column] = {tag: (a["vr"], a["Value"]) for tag, a in (value.items() if isinstance(value, dict) else value)}
            else:
                row[column] = plain(value)
    return rows


# ---- the model, with profiles and configured columns ----

R2 = {  # column -> column of template-r4
    "partitionName": "partitionName", "studyInstanceUid": "studyinstanceuid",
    "seriesInstanceUid": "seriesinstanceuid", "sopInstanceUid": "sopinstanceuid",
    "lastModifiedTimestamp": "lastModifiedTimestamp", "studyDate": "studydate_formatted",
    "studyDescription": "studydescription", "issuerOfPatientId": "issuerofpatientid", "patientId": "patientid",
    "patientName": "patientname", "modality": "modality", "sopClassUid": "sopclassuid", "filePath": "filepath",
}  # fmt: skip

COLUMNS = {  # configured columns of the tests: attribute and type, value by the metadata
    "number": ("InstanceNumber:long", lambda m: values(m, "00200013")[0]),
    "step": ("RequestAttributesSequence.00400007:string",
             lambda m: values(values(m, "00400275")[0] or {}, "00400007")[0]),
    "kinds": ("00080061:array<string>", lambda m: m.get("00080061", {}).get("Value")),
    "born": ("PatientBirthDate:date", lambda m: date(values(m, "00100030")[0])),
    "spacing": ("PixelSpacing[2]:double", lambda m: values(m, "00280030", 2)[1]),
    "done": ("StudyDate:timestamp", lambda m: midnight(date(values(m, "00080020")[0]))),
}  # fmt: skip


def values(metadata, tag, count=1):
    """The first `count` values, None for what there is not."""
    got = metadata.get(tag, {}).get("Value") or []
    return [*got, *[None] * count][:count]


def midnight(day):
    return None if day is None else datetime.datetime(day.year, day.month, day.day, tzinfo=UTC)


def column_options(names=tuple(COLUMNS)):
    return [word for name in names for word in ("--column", f"{name}={COLUMNS[name][0]}")]


def model(feed, profile="template-r4", columns_after=None):
    """{table: {key: row}}. `columns_after`: the sequence after which changes fill COLUMNS."""
    instance, series, study = fold(feed)
    if profile == "template-r2":
        instance = {key: {ours: row[theirs] for ours, theirs in R2.items()} for key, row in instance.items()}
    if columns_after is not None:
        newest = {r["key"]: r for r in sorted(feed.rows, key=lambda r: r["sequence"])}
        for key, row in instance.items():
            filled = newest[key]["sequence"] > columns_after
            metadata = newest[key]["metadata"] or {}
            row.update({name: make(metadata) if filled else None for name, (_, make) in COLUMNS.items()})
    return {"instance": instance, "series": series, "study": study}


def key_columns(name, row):
    if name == "instance" and "sopInstanceUid" in row:
        return ("partitionName", "studyInstanceUid", "seriesInstanceUid", "sopInstanceUid")
    return KEYS[name]


def differences(name, rows, want, limit=5):
    """What of these rows is not as the model says, in words."""
    found, have = [], {}
    for row in rows:
        key = tuple(row[c] for c in key_columns(name, row))
        if key in have:
            found.append(f"{name} {key}: two rows")
        have[key] = row
    found += [f"{name} {k}: no row" for k in want.keys() - have.keys()]
    found += [f"{name} {k}: a row too many" for k in have.keys() - want.keys()]
    for key in want.keys() & have.keys():
        for column in want[key].keys() | have[key].keys():
            ours, theirs = want[key].get(column, "(no column)"), have[key].get(column, "(no column)")
            if ours != theirs or type(ours) is not type(theirs):
                found.append(f"{name} {key} {column}: {theirs!r}, not {ours!r}")
    return found[:limit]


# ---- whole lakes, by delta-rs ----


def read_table(path, version=None):
    return rows_of(by_delta_rs(path, version))


def lake_differences(lake, feed, container="dicom", limit=5, **options):
    """What of its three tables is not as the feed folds (fold.py, with `options`), in words; empty when all is."""
    found = []
    for name, want in zip(KEYS, fold(feed, **options), strict=True):
        found += differences(name, read_table(f"{lake}/{container}/{name}"), want, limit)
    return found[:limit]


# ---- the log, by itself ----


def newest_version(path):
    return max(int(p.stem) for p in (pathlib.Path(path) / "_delta_log").glob("*.json") if p.stem.isdigit())


def live_files(path, version=None):
    """(file, partition values, deletion vector) of each live file, by delta-rs."""
    table = deltalake.DeltaTable(str(path), version=version)
    root = pathlib.Path(path)
    live = {}
    for v in range(table.version() + 1):
        log = root / "_delta_log" / f"{v:020}.json"
        actions = [json.loads(line) for line in log.read_text().splitlines()]
        for a in (x["remove"] for x in actions if "remove" in x):
            live.pop(a["path"], None)
        live.update({a["path"]: a for a in (x["add"] for x in actions if "add" in x)})
    return [(root / urllib.parse.unquote(a["path"]), a["partitionValues"], a.get("deletionVector")) for a in live.values()]


def parquet_schema(file):
    return pq.ParquetFile(file).schema_arrow
