#!/usr/bin/env python3
"""One statement in PySpark, as a script that somebody runs: peers/spark_sql.py TABLE SQL

The table is called `instance`. Prints the rows and the seconds from the first line of this script and of the
statement alone as one JSON object; the process's own start comes on top.
"""

import time

START = time.monotonic()

import json  # noqa: E402
import pathlib  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402

from pyspark.sql import SparkSession  # noqa: E402

JARS = pathlib.Path(__file__).resolve().parents[2] / ".cache" / "spark"


def main():
    table, sql = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "spark.jars": ",".join(str(jar) for jar in sorted(JARS.glob("*.jar"))),
            "spark.driver.memory": "4g",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.local.dir": folder,
            "spark.sql.warehouse.dir": folder + "/warehouse",
            "spark.sql.shuffle.partitions": "2",
            "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
            "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        }
        builder = SparkSession.builder.master("local[*]")
        for name, value in settings.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("ERROR")
        begun = time.monotonic()
        session.read.format("delta").load(table).createOrReplaceTempView("instance")
        rows = [[str(value) for value in row] for row in session.sql(sql).collect()]
        end = time.monotonic()
        session.stop()
    print(json.dumps({"rows": rows, "seconds": end - START, "statement_s": end - begun}))


if __name__ == "__main__":
    main()
