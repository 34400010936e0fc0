"""Delta tables by hand: log files as text, data files by pyarrow, deletion vectors byte by byte; and
what the program reads of a table (tests/unit/delta/delta_dump)."""

import json
import pathlib
import struct
import subprocess
import uuid
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
from support import server

Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


# ---- what the program says ----


class Dump:
    def __init__(self, folder, *options):
        done = subprocess.run(
            [server.unit_program("delta/delta_dump"), *map(str, options), str(folder)],
            capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stderr.decode()
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        pick = lambda key: [line[key] for line in lines if key in line]  # noqa: E731
        self.table = (pick("table") or [None])[0]
        self.rows, self.files = pick("row"), pick("file")
        self.history, self.findings = pick("info"), pick("finding")
        self.error = (pick("error") or [None])[0]
        assert (self.error is not None) == (done.returncode == 1)


def read(folder, *options):
    """Rows of a table that must be readable, sorted."""
    got = Dump(folder, "-r", *options)
    assert got.error is None, got.error
    return in_order(got.rows)


def in_order(rows):
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))


def refused(folder, *options):
    """The error of a table that must not be readable."""
    got = Dump(folder, "-r", *options)
    assert got.error is not None, got.rows
    return got.error


# ---- tables by hand ----


def ids(*numbers):
    return pa.array(numbers, pa.int64())


def field(name, kind, metadata=None, nullable=True):
    return {"name": name, "type": kind, "nullable": nullable, "metadata": metadata or {}}


def mapped(name, kind, number, physical):
    """A field of a table with column mapping."""
    return field(name, kind, {"delta.columnMapping.id": number, "delta.columnMapping.physicalName": physical})


def schema(*fields):
    return json.dumps({"type": "struct", "fields": list(fields)})


class Table:
    """A folder with a log that the test writes action by action."""

    def __init__(self, folder, fields, partitions=(), reader=(), writer=(), configuration=None):
        self.folder = pathlib.Path(folder)
        self.log = self.folder / "_delta_log"
        self.log.mkdir(parents=True)
        self.version = -1
        protocol = {"minReaderVersion": 1, "minWriterVersion": 2}
        if reader or writer:
            protocol = {
                "minReaderVersion": 3 if reader else 1, "minWriterVersion": 7,
                "writerFeatures": sorted({*reader, *writer}),
            }  # fmt: skip
            if reader:
                protocol["readerFeatures"] = sorted(reader)
        self.protocol = {"protocol": protocol}
        self.metadata = {
            "metaData": {
                "id": str(uuid.uuid4()), "format": {"provider": "parquet", "options": {}},
                "schemaString": schema(*fields), "partitionColumns": list(partitions),
                "configuration": configuration or {}, "createdTime": 1,
            }
        }  # fmt: skip

    def commit(self, *actions, info=None):
        self.version += 1
        head = [{"commitInfo": {"timestamp": 1000 + self.version, **(info or {})}}]
        if self.version == 0:
            head += [self.protocol, self.metadata]
        self.commit_path(self.version).write_text(lines(*head, *actions))
        return self.version

    def commit_path(self, version):
        return self.log / f"{version:020}.json"

    def write(self, columns, path=None, values=None, stats=True, **more):
        """A data file; its add action."""
        table = columns if isinstance(columns, pa.Table) else pa.table(columns)
        path = path or f"part-{uuid.uuid4()}.parquet"
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, self.folder / path, row_group_size=1000)
        return add(
            path, self.folder / path, values, table.num_rows if stats else None, **more
        )

    def checkpoint(self, actions, name=None, schema_of=None):
        """A checkpoint of these actions, as Parquet."""
        name = name or f"{self.version:020}.checkpoint.parquet"
        write_actions(self.log / name, actions, schema_of)
        return name

    def last_checkpoint(self, version=None, text=None):
        version = self.version if version is None else version
        (self.log / "_last_checkpoint").write_text(
            text if text is not None else json.dumps({"version": version, "size": 1})
        )

    def heads(self):
        return [self.protocol, self.metadata]


def lines(*actions):
    return "".join(json.dumps(action, separators=(",", ":")) + "\n" for action in actions)


def add(path, file, values=None, rows=None, **more):
    action = {
        "path": encode(path), "partitionValues": values or {}, "size": file.stat().st_size,
        "modificationTime": 1, "dataChange": True, **more,
    }  # fmt: skip
    if rows is not None and "stats" not in more:
        action["stats"] = json.dumps({"numRecords": rows})
    return {"add": action}


def remove(action, **more):
    """The remove that goes with an add."""
    body = action["add"]
    out = {
        "path": body["path"], "dataChange": True, "deletionTimestamp": 1,
        "extendedFileMetadata": True, "partitionValues": body["partitionValues"],
        "size": body["size"], **more,
    }  # fmt: skip
    if "deletionVector" in body:
        out["deletionVector"] = body["deletionVector"]
    return {"remove": out}


def encode(path):
    """A path as the log has it."""
    return "".join(f"%{ord(c):02X}" if c in ' %#?"<>' else c for c in path)


# ---- checkpoints ----

TEXT, LONG, INT = pa.string(), pa.int64(), pa.int32()
MAP = pa.map_(TEXT, TEXT)
VECTOR = pa.struct([
    ("storageType", TEXT), ("pathOrInlineDv", TEXT), ("offset", INT), ("sizeInBytes", INT),
    ("cardinality", LONG),
])  # fmt: skip
ADD = [
    ("path", TEXT), ("partitionValues", MAP), ("size", LONG), ("modificationTime", LONG),
    ("dataChange", pa.bool_()), ("tags", MAP), ("deletionVector", VECTOR), ("baseRowId", LONG),
    ("defaultRowCommitVersion", LONG), ("stats", TEXT),
]  # fmt: skip
COLUMNS = {
    "txn": pa.struct([("appId", TEXT), ("version", LONG), ("lastUpdated", LONG)]),
    "add": pa.struct(ADD),
    "remove": pa.struct([
        ("path", TEXT), ("deletionTimestamp", LONG), ("dataChange", pa.bool_()),
        ("extendedFileMetadata", pa.bool_()), ("partitionValues", MAP), ("size", LONG),
        ("deletionVector", VECTOR),
    ]),
    "metaData": pa.struct([
        ("id", TEXT), ("name", TEXT), ("description", TEXT),
        ("format", pa.struct([("provider", TEXT), ("options", MAP)])), ("schemaString", TEXT),
        ("partitionColumns", pa.list_(TEXT)), ("configuration", MAP), ("createdTime", LONG),
    ]),
    "protocol": pa.struct([
        ("minReaderVersion", INT), ("minWriterVersion", INT),
        ("readerFeatures", pa.list_(TEXT)), ("writerFeatures", pa.list_(TEXT)),
    ]),
    "domainMetadata": pa.struct(
        [("domain", TEXT), ("configuration", TEXT), ("removed", pa.bool_())]
    ),
    "checkpointMetadata": pa.struct([("version", LONG), ("tags", MAP)]),
    "sidecar": pa.struct([
        ("path", TEXT), ("sizeInBytes", LONG), ("modificationTime", LONG), ("tags", MAP),
    ]),
}  # fmt: skip


def cell(value, kind):
    """JSON as pyarrow wants it: maps as pairs."""
    if value is None:
        return None
    if pa.types.is_map(kind):
        return list(value.items())
    if pa.types.is_struct(kind):
        return {f.name: cell(value.get(f.name), f.type) for f in kind}
    return value


def write_actions(path, actions, schema_of=None):
    """One row an action. `schema_of`: other types of some columns."""
    kinds = {**COLUMNS, **(schema_of or {})}
    used = [name for name in kinds if any(name in action for action in actions)]
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({
        name: pa.array([cell(action.get(name), kinds[name]) for action in actions], kinds[name])
        for name in used
    })  # fmt: skip
    pq.write_table(table, path)
    return path.stat().st_size


# ---- deletion vectors ----


def roaring32(rows, runs=False):
    """The standard 32-bit form; `runs`: every container as runs."""
    keys = sorted({row >> 16 for row in rows})
    boxes, heads = [], b""
    for key in keys:
        low = sorted(row & 0xFFFF for row in rows if row >> 16 == key)
        heads += struct.pack("<HH", key, len(low) - 1)
        boxes.append(run_box(low) if runs else plain_box(low))
    if runs:
        head = struct.pack("<I", 12347 | (len(keys) - 1) << 16)
        head += bytes(
            sum(1 << bit for bit in range(8) if at + bit < len(keys))
            for at in range(0, len(keys), 8)
        )
    else:
        head = struct.pack("<II", 12346, len(keys))
    head += heads
    if not runs or len(keys) >= 4:
        at = len(head) + 4 * len(keys)
        for box in boxes:
            head += struct.pack("<I", at)
            at += len(box)
    return head + b"".join(boxes)


def plain_box(low):
    if len(low) <= 4096:
        return struct.pack(f"<{len(low)}H", *low)
    bits = bytearray(8192)
    for value in low:
        bits[value >> 3] |= 1 << (value & 7)
    return bytes(bits)


def run_box(low):
    runs = []
    for value in low:
        if runs and runs[-1][0] + runs[-1][1] == value:
            runs[-1][1] += 1
        else:
            runs.append([value, 1])
    out = struct.pack("<H", len(runs))
    return out + b"".join(struct.pack("<HH", start, count - 1) for start, count in runs)


def vector_bytes(rows, runs=False):
    high = sorted({row >> 32 for row in rows})
    out = struct.pack("<IQ", 1681511377, len(high))
    for word in high:
        out += struct.pack("<I", word)
        out += roaring32([row & 0xFFFFFFFF for row in rows if row >> 32 == word], runs)
    return out


def z85(data):
    data += b"\0" * (-len(data) % 4)
    out = ""
    for at in range(0, len(data), 4):
        number = int.from_bytes(data[at : at + 4], "big")
        word = ""
        for _ in range(5):
            number, digit = divmod(number, 85)
            word = Z85[digit] + word
        out += word
    return out


def vectors(folder, *sets, prefix="", runs=False):
    """One file that holds several vectors; their descriptors (storage 'u')."""
    name = uuid.uuid4()
    body, made = b"\x01", []
    for rows in sets:
        data = vector_bytes(rows, runs)
        made.append({
            "storageType": "u", "pathOrInlineDv": prefix + z85(name.bytes), "offset": len(body),
            "sizeInBytes": len(data), "cardinality": len(rows),
        })  # fmt: skip
        body += struct.pack(">I", len(data)) + data + struct.pack(">I", zlib.crc32(data))
    path = pathlib.Path(folder) / prefix / f"deletion_vector_{name}.bin"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(body)
    return made, path


def inline_vector(rows):
    data = vector_bytes(rows)
    return {
        "storageType": "i", "pathOrInlineDv": z85(data), "sizeInBytes": len(data),
        "cardinality": len(rows),
    }  # fmt: skip
