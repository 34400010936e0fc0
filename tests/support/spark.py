"""Spark with Delta Lake, for the tests that are marked slow (`./dev test --all` installs it)."""

import os
import pathlib

import pyarrow
import pytest

JARS = pathlib.Path(__file__).resolve().parents[2] / ".cache" / "spark"


def start(folder):
    """A session in a Java of its own; everything that it writes by itself goes to `folder`."""
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        pytest.skip("pyspark is not installed: ./dev test --all does it")
    jars = sorted(map(str, JARS.glob("*.jar")))
    if not jars:
        pytest.skip(f"no jars of Delta Lake in {JARS}: ./dev test --all brings them")
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    settings = {
        "spark.jars": ",".join(jars),
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",  # many small queries
        "spark.driver.memory": "2g", "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": str(folder), "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.sql.session.timeZone": "UTC", "spark.sql.shuffle.partitions": "2",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",  # of vacuum: 10,000 tasks else
        "spark.databricks.delta.retentionDurationCheck.enabled": "false",
        "spark.databricks.delta.vacuum.parallelDelete.enabled": "false",
    }  # fmt: skip
    builder = SparkSession.builder.master("local[2]").appName("dicomlake tests")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def stop(session):
    """Ends its Java as well: another module starts its own."""
    from pyspark import SparkContext

    gateway = SparkContext._gateway
    session.stop()
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait(60)
    SparkContext._gateway = SparkContext._jvm = None


class Spark:
    """A session with what the tests ask of it."""

    def __init__(self, folder):
        self.session = start(folder)

    def stop(self):
        stop(self.session)

    def sql(self, text):
        return self.session.sql(text)

    def read(self, path, version=None):
        """As the readers of support/readers.py: a pyarrow table."""
        reader = self.session.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        frame = reader.load(str(path))
        for name, kind in frame.dtypes:
            if kind == "variant":  # its text, as it has no type in Arrow
                frame = frame.withColumn(name, frame[name].cast("string"))
        return pyarrow.table(frame.toArrow())

    def history(self, path):
        """Oldest first, as dicts."""
        rows = self.sql(f"describe history delta.`{path}`").drop("timestamp").collect()
        return [row.asDict(recursive=True) for row in reversed(rows)]

    def checkpoint(self, path):
        """A checkpoint of the newest version, in the form that the table asks for."""
        log = self.session._jvm.org.apache.spark.sql.delta.DeltaLog.forTable(self.session._jsparkSession, str(path))
        log.checkpoint()
