"""Small tables by hand, one for each thing that a reader may refuse or hide (src/delta/readers.c)."""

import datetime as dt
import json

import pyarrow as pa

from . import delta
from .delta import ids

LONG = pa.int64()
ID = delta.field("id", "long")
ROWS = [{"id": n} for n in (1, 2, 3)]


def plain(folder):
    table = delta.Table(folder, [ID])
    table.commit(table.write({"id": ids(1, 2, 3)}))
    return ROWS


def deletion_vectors(folder):
    table = delta.Table(folder, [ID], reader=["deletionVectors"])
    (vector,), _ = delta.vectors(folder, [0, 4])
    stats = json.dumps({"numRecords": 5, "tightBounds": False})
    table.commit(table.write({"id": ids(0, 1, 2, 3, 4)}, deletionVector=vector, stats=stats))
    return ROWS


def mapping(folder, mode, partitioned):
    fields = [delta.mapped("id", "long", 1, "col-1"), delta.mapped("part", "string", 2, "col-2")]
    table = delta.Table(
        folder, fields, partitions=["part"] if partitioned else [], reader=["columnMapping"],
        configuration={"delta.columnMapping.mode": mode, "delta.columnMapping.maxColumnId": "2"},
    )  # fmt: skip
    number = lambda n: {"PARQUET:field_id": str(n)}  # noqa: E731
    columns = [pa.field("col-1", LONG, metadata=number(1)), pa.field("col-2", pa.string(), metadata=number(2))]
    data = [ids(1, 2, 3), pa.array(["x"] * 3)]
    count = 1 if partitioned else 2
    values = {"col-2": "x"} if partitioned else {}
    table.commit(table.write(pa.table(data[:count], schema=pa.schema(columns[:count])), values=values))
    return [{**row, "part": "x"} for row in ROWS]


def by_name(folder):
    return mapping(folder, "name", False)


def by_id(folder):
    return mapping(folder, "id", False)


def mapped_partitions(folder):
    return mapping(folder, "name", True)


def v2_checkpoint(folder):
    table = delta.Table(
        folder, [ID], reader=["v2Checkpoint"], configuration={"delta.checkpointPolicy": "v2"}
    )
    adds = [table.write({"id": ids(n)}) for n in (1, 2, 3)]
    for action in adds:
        table.commit(action)
    quiet = [{"add": {**a["add"], "dataChange": False}} for a in adds]
    side = table.log / "_sidecars" / "5f3a7cd8-21a5-4c0c-8a0e-0d0a1c9d2f11.parquet"
    size = delta.write_actions(side, quiet)
    named = {"sidecar": {"path": side.name, "sizeInBytes": size, "modificationTime": 1}}
    head = {"checkpointMetadata": {"version": 2}}
    name = f"{2:020}.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json"
    (table.log / name).write_text(delta.lines(head, *table.heads(), named))
    for version in (0, 1):
        table.commit_path(version).unlink()
    return ROWS


def times_without_zone(folder):
    table = delta.Table(folder, [ID, delta.field("t", "timestamp_ntz")], reader=["timestampNtz"])
    at = dt.datetime(2026, 1, 5, 8, 0, 0, 123456)
    table.commit(table.write({"id": ids(1, 2, 3), "t": pa.array([at] * 3, pa.timestamp("us"))}))
    return [{**row, "t": at} for row in ROWS]


def nested(folder):
    kind = {"type": "array", "elementType": "string", "containsNull": True}
    table = delta.Table(folder, [ID, delta.field("l", kind)])
    table.commit(table.write({"id": ids(1, 2, 3), "l": pa.array([["a", None]] * 3)}))
    return [{**row, "l": ["a", None]} for row in ROWS]


def void(folder):
    table = delta.Table(folder, [ID, delta.field("nothing", "void")])
    table.commit(table.write({"id": ids(1, 2, 3)}))
    return [{**row, "nothing": None} for row in ROWS]


VARIANT = pa.struct([
    pa.field("value", pa.binary(), nullable=False), pa.field("metadata", pa.binary(), nullable=False),
])  # fmt: skip


def variant(folder, feature="variantType"):
    """The number 5 as a variant: an int8 without names."""
    features = {"variantType", feature}
    table = delta.Table(folder, [ID, delta.field("v", "variant")], reader=sorted(features))
    value = {"value": b"\x0c\x05", "metadata": b"\x01\x00\x00"}
    table.commit(table.write({"id": ids(1, 2, 3), "v": pa.array([value] * 3, VARIANT)}))
    return [{**row, "v": "5"} for row in ROWS]


def shredded(folder):
    return variant(folder, "variantShredding-preview")


def widened(folder):
    change = [{"fromType": "integer", "toType": "long"}]
    field = delta.field("n", "long", {"delta.typeChanges": change})
    table = delta.Table(
        folder, [ID, field], reader=["typeWidening"], configuration={"delta.enableTypeWidening": "true"}
    )
    table.commit(table.write({"id": ids(1, 2), "n": pa.array([7, 7], pa.int32())}))
    table.commit(table.write({"id": ids(3), "n": ids(7)}))
    return [{**row, "n": 7} for row in ROWS]


def vacuum_check(folder):
    table = delta.Table(folder, [ID], reader=["vacuumProtocolCheck"])
    table.commit(table.write({"id": ids(1, 2, 3)}))
    return ROWS


def clustered(folder):
    table = delta.Table(folder, [ID], writer=["clustering", "domainMetadata"])
    domain = {"domain": "delta.clustering", "removed": False,
              "configuration": json.dumps({"clusteringColumns": [["id"]], "domainName": "delta.clustering"})}  # fmt: skip
    table.commit(table.write({"id": ids(1, 2, 3)}), {"domainMetadata": domain})
    return ROWS


def not_known(folder):
    table = delta.Table(folder, [ID], reader=["notKnownToAnyone"])
    table.commit(table.write({"id": ids(1, 2, 3)}))
    return ROWS


SHAPES = {
    make.__name__: make
    for make in (plain, deletion_vectors, by_name, by_id, mapped_partitions, v2_checkpoint, times_without_zone,
                 nested, void, variant, shredded, widened, vacuum_check, clustered, not_known)
}  # fmt: skip
