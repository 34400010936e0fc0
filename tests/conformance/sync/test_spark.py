"""What `dicomlake sync` writes, as Spark reads it: rows of every moment, history, the matrix."""

import pytest
from support import readers
from support.past import judge_history
from support.readers import KEYS, differences, rows_of
from support.shapes import SHAPES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize("name", KEYS)
def test_each_moment(past, spark, name):
    path = past.lake.path(name)
    assert differences(name, rows_of(spark.read(path)), past.model()[name]) == []
    thorough = (past.mode, past.profile) == ("dv", "template-r4")
    for version, want in list(past.moments[name].items())[:: 1 if thorough else 4]:
        assert differences(name, rows_of(spark.read(path, version)), want) == [], version


@pytest.mark.parametrize("name", KEYS)
def test_history(past, spark, name):
    judge_history(past, name, spark.history(past.lake.path(name)))


def test_vacuum_and_restore(past, spark, tmp_path):
    lake = past.copy(tmp_path / "lake")
    for name, versions in past.moments.items():
        version = sorted(versions)[2]
        lake.table("restore", name, "--version", version)
        assert differences(name, rows_of(spark.read(lake.path(name))), versions[version]) == []
    lake.sync()
    now = readers.model(past.feed, past.profile)
    for name in KEYS:
        lake.table("vacuum", name, "--RetentionHours", 0, "--allow-short-retention")
        assert differences(name, rows_of(spark.read(lake.path(name))), now[name]) == []
        operations = [entry["operation"] for entry in spark.history(lake.path(name))]
        assert "RESTORE" in operations and operations[-2:] == ["VACUUM START", "VACUUM END"]


def test_conditions_prune_nothing_that_is_wanted(past, spark):
    """Conditions that Spark answers by our statistics, and counts that it takes from the log alone."""
    path, rows = past.lake.path("instance"), past.model()["instance"].values()
    frame = spark.session.read.format("delta").load(str(path))
    patient = "patientId" if past.profile == "template-r2" else "patientid"
    assert frame.count() == len(rows)
    for row in list(rows)[::9]:
        at = row["lastModifiedTimestamp"].strftime("timestamp'%Y-%m-%d %H:%M:%S.%fZ'")
        for where, holds in (
            (f"lastModifiedTimestamp = {at}", lambda r: r["lastModifiedTimestamp"] == row["lastModifiedTimestamp"]),
            (f"lastModifiedTimestamp > {at}", lambda r: r["lastModifiedTimestamp"] > row["lastModifiedTimestamp"]),
            (f"{patient} = '{row[patient]}'", lambda r: row[patient] and r[patient] == row[patient]),
            (f"{patient} is null", lambda r: r[patient] is None),
            (f"partitionName = '{row['partitionName']}'", lambda r: r["partitionName"] == row["partitionName"]),
        ):
            assert frame.where(where).count() == sum(map(bool, map(holds, rows))), where


@pytest.mark.parametrize("shape", SHAPES)
def test_the_matrix(spark, tmp_path, shape):
    """`table check --reader spark` says what Spark does."""
    from test_matrix import outcome, verdict

    want = SHAPES[shape](tmp_path / "t")
    said, reasons = verdict(tmp_path / "t", "spark")
    is_so, shown = outcome(spark.read, tmp_path / "t", want)
    if said is None:  # a table that we refuse ourselves
        assert shape in ("not_known", "shredded"), reasons
        assert is_so == ("refuses" if shape == "not_known" else "reads"), shown
        return
    assert said == is_so, f"{reasons}: {shown}"
