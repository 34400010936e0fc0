#!/usr/bin/env python3
"""What delta-rs needs to merge a window: peers/delta_merge.py TABLE BEFORE AFTER FOLDER

Reads an instance table at the versions BEFORE and AFTER, writes the first to FOLDER as a table of delta-rs, and merges
the rows that differ: those that are new in AFTER or younger than anything in BEFORE are updated or inserted, those that
are gone are deleted. Only the merge is timed; its source is in memory. Prints one JSON object.
"""

import json
import resource
import sys
import time

import pyarrow
from deltalake import DeltaTable, QueryBuilder, write_deltalake

KEYS = ["partitionName", "studyinstanceuid", "seriesinstanceuid", "sopinstanceuid"]


def query(sql, **tables):
    builder = QueryBuilder()
    for name, table in tables.items():
        builder = builder.register(name, table)
    return pyarrow.table(builder.execute(sql).read_all())


def same(a, b):
    return " and ".join(f'{a}."{key}" = {b}."{key}"' for key in KEYS)


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main():
    path, before_version, after_version, folder = sys.argv[1:]
    before, after = (DeltaTable(path, version=int(v)) for v in (before_version, after_version))
    latest = 'select max("lastModifiedTimestamp") from before'
    upserts = query(f'select *, false as gone from after where "lastModifiedTimestamp" > ({latest})', before=before, after=after)
    gone = query(
        f"select before.*, true as gone from before left anti join after on {same('before', 'after')}", before=before, after=after
    )
    source = pyarrow.concat_tables([upserts, gone.cast(upserts.schema)])
    write_deltalake(folder, query("select * from before", before=before), partition_by=["partitionName"])
    table = DeltaTable(folder)
    columns = {f'"{name}"': f's."{name}"' for name in source.column_names if name != "gone"}
    start, cpu = time.monotonic(), cpu_seconds()
    merge = table.merge(source, predicate=same("t", "s"), source_alias="s", target_alias="t")
    merge = merge.when_matched_delete("s.gone").when_matched_update(columns)
    merge.when_not_matched_insert(columns, predicate="not s.gone").execute()
    seconds, cpu = time.monotonic() - start, cpu_seconds() - cpu
    digest = 'select count(*) as n, max("lastModifiedTimestamp") as latest, min("sopinstanceuid") as first from t'
    ours, theirs = (query(digest, t=t).to_pylist() for t in (after, DeltaTable(folder)))
    result = {"seconds": seconds, "cpu_s": cpu, "source_rows": source.num_rows, "deleted": gone.num_rows}
    print(json.dumps(result | {"same": ours == theirs, "rows": theirs[0]["n"]}))


if __name__ == "__main__":
    main()
