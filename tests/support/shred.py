"""Rows as Parquet's leaves see them: lists of (repetition, definition, value), computed from Python values.

Written after the Dremel paper, section 4, without a look at the C code, which the tests compare it with.
A schema is a list of fields, as dump_parquet takes them: {"name", "type", "children", "required", ...}.
"""


def leaf_count(field):
    children = field.get("children", [])
    return sum(map(leaf_count, children)) if children else 1


def shred(field, value, rep=0, level=0, definition=0, required=False):
    """Entries of each leaf below `field`: [[[rep, def, value], ...], ...]. `level` is the repetition
    level that a further element of the innermost list would have been given."""
    if value is None:
        return [[[rep, definition]] for _ in range(leaf_count(field))]
    if not (required or field.get("required")):
        definition += 1
    children = field.get("children", [])
    kind = field["type"]
    if kind == "struct":
        found = {k.lower(): v for k, v in value.items()}
        return [
            leaf
            for child in children
            for leaf in shred(child, found.get(child["name"].lower()), rep, level, definition)
        ]
    if kind in ("list", "map"):
        if len(value) == 0:
            return [[[rep, definition]] for _ in range(leaf_count(field))]
        leaves = [[] for _ in range(leaf_count(field))]
        for i, item in enumerate(value):
            at = rep if i == 0 else level + 1
            parts = [item] if kind == "list" else list(item)
            new = [
                leaf
                for n, (child, part) in enumerate(zip(children, parts))
                for leaf in shred(
                    child, part, at, level + 1, definition + 1, kind == "map" and n == 0
                )
            ]
            for leaf, more in zip(leaves, new):
                leaf.extend(more)
        return leaves
    return [[[rep, definition, value]]]


def shred_row(schema, row):
    """`row`: a value for each field of the schema."""
    return [leaf for field, value in zip(schema, row) for leaf in shred(field, value)]
