#!/usr/bin/env python3
"""Checks that modules include downwards only, as the layer table in ARCHITECTURE.md allows.

The table is the fenced block whose first line is `layers`. Each line gives a layer's number, its
modules, a colon, and the modules that those may include; a module on the same line begins after two
spaces, and a line without a number belongs to the layer above it:

    2 http     : base crypto              dicom : base json dict
      extra    : base

`everything` stands for all lower layers. Usage: check_layers.py [ROOT]
"""

import pathlib
import re
import sys

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)
PRIVATE = re.compile(r"/|(^|_)internal\.h$")  # what lies in a folder of the module, too
# Who alone may know a library: its headers begin with these words.
LIBRARIES = {
    "sqlite3": {"db"},
    "curl/": {"http"},
    "microhttpd": {"http"},
    "openssl/": {"http", "crypto", "delta", "lakehouse"},  # delta: MD5 of _last_checkpoint; lakehouse: SHA-256
    "sys/socket": {"http"},
    "netinet/": {"http"},
    "duckdb": {"columnar", "query"},
}


class BadTable(Exception):
    """The layer table cannot be read or contradicts itself."""


def table_text(document):
    """The lines of the fenced block that begins with `layers`."""
    found = re.search(r"^```(?:[a-z]*\n)?layers\n(.*?)^```", document, re.M | re.S)
    if not found:
        raise BadTable("ARCHITECTURE.md has no fenced block that begins with the line `layers`")
    return found.group(1)


def parse_table(text):
    """{module: (layer number, set of modules it may include)}"""
    layers, number, everything = {}, None, set()
    for line in text.splitlines():
        line = re.sub(r"\s*:\s*", " : ", line.strip())
        if not line or line.startswith("#"):
            continue
        for chunk in re.split(r"\s{2,}", line):
            names, _, allowed = chunk.partition(" : ")
            names, allowed = names.split(), set(allowed.split())
            if names and names[0].isdigit():
                number = int(names.pop(0))
            if number is None:
                raise BadTable(f"a line without a layer's number before any other: {line!r}")
            if not names:
                raise BadTable(f"a line without a module: {line!r}")
            for name in names:
                if name in layers:
                    raise BadTable(f"{name} stands twice")
                if "everything" in allowed:
                    everything.add(name)
                layers[name] = (number, allowed - {"everything"})
    if not layers:
        raise BadTable("the table is empty")
    for name in everything:
        number, allowed = layers[name]
        layers[name] = (number, allowed | {m for m, (n, _) in layers.items() if n < number})
    for name, (number, allowed) in layers.items():
        for other in allowed:
            if other not in layers:
                raise BadTable(f"{name} may include {other}, which stands nowhere")
            if layers[other][0] >= number:
                raise BadTable(f"{name} (layer {number}) may not include {other}: it is no lower")
    return layers


def check_include(layers, module, folder_path, name, quote):
    """What is wrong with this include in this module, or None."""
    for library, owners in LIBRARIES.items():
        if quote == "<" and name.startswith(library) and module not in owners:
            return f"only {' and '.join(sorted(owners))} may know <{name}>"
    if quote == "<":
        return None
    folder, slash, file = name.partition("/")
    if not slash:
        here = (folder_path / name).exists()  # else it is generated, by the module's own build
        return f'"{name}" does not name its module' if here and not name.endswith(".inc") else None
    if folder == module:
        return None
    if folder not in layers:
        return f'"{name}" belongs to no module of the table'
    if folder not in layers[module][1]:
        return f'{module} may not include {folder} ("{name}")'
    if PRIVATE.search(file):
        return f'"{name}" is private to {folder}'
    return None


def check_tree(root):
    """Findings as `path:line: what`."""
    root = pathlib.Path(root)
    layers = parse_table(table_text((root / "ARCHITECTURE.md").read_text()))
    findings = []
    for path in sorted((root / "src").rglob("*")):
        if path.suffix not in (".c", ".cc", ".h", ".inc"):
            continue
        module = path.relative_to(root / "src").parts[0]
        shown = path.relative_to(root)
        if module not in layers:
            findings.append(f"{shown}:1: {module} is missing in the table of ARCHITECTURE.md")
            continue
        text = path.read_text(errors="replace")
        for match in INCLUDE.finditer(text):
            what = check_include(layers, module, path.parent, match.group(2), match.group(1))
            if what:
                findings.append(f"{shown}:{text.count(chr(10), 0, match.start()) + 1}: {what}")
    return findings


def main(arguments):
    root = arguments[0] if arguments else pathlib.Path(__file__).resolve().parents[1]
    try:
        findings = check_tree(root)
    except (BadTable, FileNotFoundError) as problem:
        print(f"layers: {problem}")
        return 1
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
