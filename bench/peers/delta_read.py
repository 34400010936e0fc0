#!/usr/bin/env python3
"""How long delta-rs reads an instance table: peers/delta_read.py TABLE ROUNDS

Each round opens the table anew, counts its rows, and looks one instance up by its UID. Prints the best of the rounds
(others' work on the machine only ever adds) as one JSON object.
"""

import json
import sys
import time

import pyarrow
from deltalake import DeltaTable, QueryBuilder


def rows(path, sql):
    start = time.monotonic()
    found = pyarrow.table(QueryBuilder().register("t", DeltaTable(path)).execute(sql).read_all())
    return time.monotonic() - start, found


def main():
    path, rounds = sys.argv[1], int(sys.argv[2])
    _, uids = rows(path, 'select "sopinstanceuid" as uid from t order by 1')
    uid = uids["uid"][len(uids) // 2].as_py()
    look = f"""select "patientid", "modality" from t where "sopinstanceuid" = '{uid}'"""
    times = {"count_s": [], "look_s": []}
    for _ in range(rounds):
        seconds, found = rows(path, "select count(*) as n from t")
        times["count_s"].append(seconds)
        assert found["n"][0].as_py() == len(uids)
        seconds, found = rows(path, look)
        times["look_s"].append(seconds)
        assert len(found) == 1
    files = len(DeltaTable(path).file_uris())
    print(json.dumps({"rows": len(uids), "files": files} | {name: min(all_) for name, all_ in times.items()}))


if __name__ == "__main__":
    main()
