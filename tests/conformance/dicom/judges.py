"""The reader, and what other programs make of the same files: helpers of the tests in this folder.

Every normalisation here is a numbered row of docs/dicom-json.md, "Compared with others".
"""

import json
import math
import os
import pathlib
import struct
import subprocess
import warnings

import pydicom
from pydicom import config
from pydicom.datadict import dictionary_VR
from support.server import unit_program

ROOT = pathlib.Path(__file__).resolve().parents[3]
DATA = pathlib.Path(pydicom.__file__).resolve().parent / "data"
BULK = {"OB", "OD", "OF", "OL", "OV", "OW", "UN"}


def dump_program():
    """$DICOM_DUMP, else what the build of the program left."""
    return os.environ.get("DICOM_DUMP") or unit_program("dicom/dicom_dump")


def dump(mode, *paths):
    """One line for each file."""
    ran = subprocess.run([dump_program(), mode, *map(str, paths)], capture_output=True, check=True)
    lines = ran.stdout.decode("utf-8").split("\n")
    assert lines.pop() == "" and len(lines) == len(paths)
    return lines


def shipped_files():
    """Every file in pydicom's data folders that is not Python, by its name below them."""
    found = (p for p in DATA.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc"))
    return {p.relative_to(DATA).as_posix(): p for p in sorted(found)}


def dicom_files():
    """Those that our reader and pydicom both read."""
    names = shipped_files()
    lines = dump("json", *names.values())
    return {n: p for (n, p), line in zip(names.items(), lines) if line.startswith("{")}


def read_with_pydicom(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config.replace_un_with_known_vr = False  # N2
        config.infer_sq_for_un_vr = False  # N2
        return pydicom.dcmread(path, force=True)


def pydicom_json(ds, implicit=None):
    """to_json_dict, element by element, so that one that pydicom refuses is None and not gone."""
    implicit = ds.original_encoding[0] if implicit is None else implicit
    out = {}
    for tag in sorted(ds.keys()):
        key = "%08X" % tag
        if tag.element == 0 or tag.group <= 2:
            continue  # N1
        if implicit and tag.is_private and not tag.is_private_creator:
            continue  # N2
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                element = ds[tag]
                if element.VR in BULK:
                    continue  # N1
                if element.VR == "SQ":
                    items = [pydicom_json(item, implicit) for item in element.value]
                    out[key] = {"vr": "SQ", "Value": items}
                else:
                    out[key] = element.to_json_dict(None, 1 << 40)
        except Exception:
            out[key] = None  # N3
    return out


def dcmtk_json(path):
    """What dcm2json says, or None and its complaint."""
    ran = subprocess.run(["dcm2json", "-fc", "-ee", str(path)], capture_output=True)
    if ran.returncode != 0:
        return None, ran.stderr.decode("utf-8", "replace")
    return without_bulk(json.loads(ran.stdout.decode("utf-8", "replace"), parse_constant=str)), ""


def without_bulk(data_set):
    out = {}
    for key, element in data_set.items():
        if element["vr"] in BULK or key.endswith("0000") or key < "0003":
            continue  # N1
        if element["vr"] == "SQ":
            element = {"vr": "SQ", "Value": [without_bulk(item) for item in element.get("Value", [])]}
        out[key] = element
    return out


def _single(value):
    """The double that a float of 32 bits stands for."""
    return struct.unpack("<f", struct.pack("<f", value))[0] if isinstance(value, (int, float)) else value


def same_value(vr, ours, theirs, loose):
    if vr == "PN" and isinstance(theirs, dict):
        theirs = {k: v.rstrip(" ") for k, v in theirs.items() if v.strip(" ")} or None  # N5
        if loose and isinstance(ours, dict):  # N8
            ours = {k: v.rstrip("^") for k, v in ours.items() if v.rstrip("^")} or None
            theirs = theirs and {k: v.rstrip("^") for k, v in theirs.items()}
        return ours == theirs
    if isinstance(theirs, str):
        theirs = theirs.rstrip(" ") or None  # N4, N5
    if isinstance(theirs, float) and isinstance(ours, (int, float)):
        if vr == "FL":
            return _single(ours) == _single(theirs)  # N6
        return math.isclose(ours, theirs, rel_tol=1e-14 if loose else 0)  # N9
    return ours == theirs


def differences(ours, theirs, loose, path=""):
    """Where two data sets differ, as `path what`."""
    found = []
    for key in sorted(set(ours) | set(theirs)):
        at = path + key
        if key not in theirs:
            found.append(f"{at} only ours")
            continue
        if theirs[key] is None:
            continue  # N3
        if key not in ours:
            found.append(f"{at} only theirs")
            continue
        one, other = ours[key], theirs[key]
        if one["vr"] != str(other["vr"]):
            found.append(f"{at} vr {one['vr']} {other['vr']}")
            continue
        a, b = one.get("Value", []), other.get("Value", [])
        if loose and key == "00080005":
            continue  # N7
        if one["vr"] == "SQ":
            if len(a) != len(b):
                found.append(f"{at} {len(a)} items, theirs {len(b)}")
            for index, (x, y) in enumerate(zip(a, b)):
                found += differences(x, y, loose, f"{at}[{index}].")
            continue
        if loose and len(b) == 0 and all(isinstance(v, dict) and not "".join(v.values()).strip("^") for v in a):
            continue  # N8
        if len(a) != len(b) or not all(same_value(one["vr"], x, y, loose) for x, y in zip(a, b)):
            found.append(f"{at} {a!r} theirs {b!r}"[:300])
    return found


def known_vr(tag):
    try:
        return dictionary_VR(tag)
    except KeyError:
        return None
