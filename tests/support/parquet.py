"""A Parquet file by hand: schemas that no writer at hand makes any more.

One row group, one page a column, PLAIN int32 values, levels as runs of one. Thrift's compact protocol.
"""

import struct

I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12
REQUIRED, OPTIONAL, REPEATED = 0, 1, 2


def varint(n):
    out = b""
    while n >= 0x80:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def value(kind, v):
    if kind in (I32, I64):
        return varint(v << 1 if v >= 0 else -v * 2 - 1)
    if kind == BINARY:
        return varint(len(v)) + v
    if kind == LIST:
        inner, items = v
        return bytes([len(items) << 4 | inner]) + b"".join(value(inner, i) for i in items)
    return thrift(v)


def thrift(fields):
    """A struct: {number: (type, value)}"""
    out, last = b"", 0
    for number, (kind, v) in sorted(fields.items()):
        out += bytes([(number - last) << 4 | kind]) + value(kind, v)
        last = number
    return out + b"\0"


def runs(levels):
    data = b"".join(b"\2" + bytes([level]) for level in levels)
    return struct.pack("<I", len(data)) + data


def write(path, nodes, columns, row_count):
    """`nodes`, depth first without the root: (name, repetition, number of children, converted type).
    `columns`: (path, repetition levels or None, definition levels or None, values)."""
    content, chunks = b"PAR1", []
    for names, reps, defs, values in columns:
        body = b"".join(runs(levels) for levels in (reps, defs) if levels is not None)
        body += struct.pack(f"<{len(values)}i", *values)
        count = len(defs if defs is not None else values)
        header = thrift({1: (I32, 0), 2: (I32, len(body)), 3: (I32, len(body)), 5: (STRUCT, {
            1: (I32, count), 2: (I32, 0), 3: (I32, 3), 4: (I32, 3)})})  # fmt: skip
        chunks.append({2: (I64, len(content)), 3: (STRUCT, {
            1: (I32, 1), 2: (LIST, (I32, [0, 3])), 3: (LIST, (BINARY, [n.encode() for n in names])),
            4: (I32, 0), 5: (I64, count), 6: (I64, len(header + body)), 7: (I64, len(header + body)),
            9: (I64, len(content))})})  # fmt: skip
        content += header + body
    top = sum(1 for n in _tops(nodes))
    schema = [{4: (BINARY, b"root"), 5: (I32, top)}]
    for name, repetition, children, converted in nodes:
        node = {3: (I32, repetition), 4: (BINARY, name.encode())}
        node[1 if children == 0 else 5] = (I32, children or 1)
        if converted is not None:
            node[6] = (I32, converted)
        schema.append(node)
    footer = thrift({1: (I32, 1), 2: (LIST, (STRUCT, schema)), 3: (I64, row_count),
                     4: (LIST, (STRUCT, [{1: (LIST, (STRUCT, chunks)), 2: (I64, len(content)),
                                          3: (I64, row_count)}]))})  # fmt: skip
    path.write_bytes(content + footer + struct.pack("<I", len(footer)) + b"PAR1")
    return path


def _tops(nodes):
    """The nodes that hang from the root."""
    open_children = []
    for node in nodes:
        while open_children and open_children[-1] == 0:
            open_children.pop()
        if not open_children:
            yield node
        else:
            open_children[-1] -= 1
        open_children.append(node[2])
