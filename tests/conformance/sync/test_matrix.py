"""`dicomlake table check --reader X` against X itself: what it says is refused, hidden or read is so.

Spark's column is in test_spark.py.
"""

import json

import pytest
from support import readers
from support.lake import run
from support.shapes import SHAPES


def verdict(folder, reader):
    """What the program says of a reader: "refuses", "hides" or "reads", and its reasons."""
    done = run("table", "check", folder, "--reader", reader, "--json", check=False)
    assert done.returncode in (0, 1), done.stderr
    try:
        said = json.loads(done.stdout)
    except json.JSONDecodeError:  # a table that we cannot read ourselves
        return None, done.stderr
    assert (done.returncode == 1) == bool(said)
    texts = [json.dumps(one) for one in said]
    word = next((w for w in ("refuses", "hides") if any(w in text for text in texts)), "reads")
    return word, texts


def outcome(read, folder, want):
    """What a reader does: the same three words."""
    try:
        got = read(folder).to_pylist()
    except Exception as problem:  # each reader has its own
        return "refuses", str(problem)
    return ("reads" if sorted(got, key=by_id) == want else "hides"), got


def by_id(row):
    return row["id"]


def worst(outcomes):
    return max(outcomes, key=lambda o: ("reads", "hides", "refuses").index(o[0]))


APIS = {"delta-rs": (readers.by_delta_rs, readers.by_pyarrow), "duckdb": (readers.by_duckdb,)}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reader", APIS)
def test_the_matrix(tmp_path, reader, shape):
    want = SHAPES[shape](tmp_path / "t")
    said, reasons = verdict(tmp_path / "t", reader)
    is_so, shown = worst([outcome(read, tmp_path / "t", want) for read in APIS[reader]])
    if shape in ("not_known", "shredded") and said is None:  # nothing of what we refuse ourselves
        assert "notKnownToAnyone" in reasons or "variantShredding-preview" in reasons
        assert is_so == "refuses"
        return
    assert said == is_so, f"{reasons}: {shown}"
