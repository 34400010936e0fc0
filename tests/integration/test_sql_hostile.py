"""Statements that want more than the tables: each is refused, or bounded, with a clear error; nothing of the machine
is read or written, and what the statement takes is bounded."""

import os
import pathlib
import resource
import shutil
import subprocess

import pydicom
import pytest
from support.cli import DONE, FAILED, USAGE
from support.server import program

SECRET = "canary-of-the-machine"
MEMORY_BYTES = 900 << 20  # twice the 128 MB that a statement gets, and what the seal leaves besides


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A home with tables, and a file beside it that no statement may see."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "in").mkdir()
    source = pathlib.Path(pydicom.__file__).parent / "data" / "test_files"
    for name in ("CT_small.dcm", "MR_small.dcm"):
        shutil.copy(source / name, folder / "in")
    for words in (["import", folder / "in"], ["sync"]):
        subprocess.run([program(), words[0], "--home", folder / "home", *words[1:]], check=True, capture_output=True)
    (folder / "secret.csv").write_text(f"a\n{SECRET}\n")
    (folder / "secret.json").write_text(f'{{"a": "{SECRET}"}}\n')
    return folder


def ask(place, statement, *words, timeout="60s"):
    """The program's end and output. The statement comes by a file: it may be long."""
    script = place / "statement.sql"
    script.write_text(statement)
    command = [program(), "sql", "--home", place / "home", "--memory", "128MB", "--timeout", timeout]
    done = subprocess.run(
        [*map(str, command), "--threads", "2", "--format", "csv", *words, "-f", str(script)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "HOSTILE_SECRET": SECRET},
        cwd=place,
    )
    for sign in ("runtime error:", "Sanitizer", "assertion", "INTERNAL", "terminate called"):
        assert sign not in done.stderr, done.stderr
    assert SECRET not in done.stdout
    return done


def refused(done):
    assert done.returncode in (FAILED, USAGE), (done.returncode, done.stdout, done.stderr)
    assert done.stderr.startswith("dicomlake: "), done.stderr
    assert len(done.stderr.splitlines()[0]) > len("dicomlake: ")
    return done.stderr


def snapshot(place):
    return {
        str(p.relative_to(place)): p.stat().st_size
        for p in place.rglob("*")
        if p.is_file() and p.name != "statement.sql" and "state" not in p.parts
    }


REFUSED = {
    "copy_to": "COPY (SELECT 1) TO '{place}/out.csv'",
    "copy_table_to": "COPY instance TO '{place}/out.csv'",
    "copy_from": "COPY instance FROM '{place}/secret.csv'",
    "attach": "ATTACH '{place}/x.duckdb' AS x",
    "detach": "DETACH memory",
    "install": "INSTALL httpfs",
    "load": "LOAD httpfs",
    "load_path": "LOAD '{place}/x.duckdb_extension'",
    "set": "SET memory_limit = '100GB'",
    "set_access": "SET enable_external_access = true",
    "set_variable": "SET VARIABLE x = 1",
    "reset": "RESET memory_limit",
    "pragma": "PRAGMA database_list",
    "pragma_set": "PRAGMA temp_directory = '/tmp'",
    "create_table": "CREATE TABLE x AS SELECT 1",
    "create_view": "CREATE VIEW instance AS SELECT 1",
    "create_macro": "CREATE MACRO m(a) AS a",
    "create_secret": "CREATE SECRET s (TYPE s3)",
    "insert": "INSERT INTO instance SELECT * FROM instance",
    "update": "UPDATE instance SET modality = 'XX'",
    "delete": "DELETE FROM instance",
    "merge": "MERGE INTO instance USING series ON true WHEN MATCHED THEN DELETE",
    "truncate": "TRUNCATE instance",
    "drop": "DROP VIEW instance",
    "alter": "ALTER TABLE instance ADD COLUMN x INT",
    "export": "EXPORT DATABASE '{place}/out'",
    "import": "IMPORT DATABASE '{place}/out'",
    "call": "CALL pragma_version()",
    "checkpoint": "CHECKPOINT",
    "vacuum": "VACUUM",
    "begin": "BEGIN",
    "prepare": "PREPARE p AS SELECT 1",
    "execute": "EXECUTE p",
    "use": "USE memory",
    "explain_copy": "EXPLAIN COPY (SELECT 1) TO '{place}/out.csv'",
    "explain_analyze_copy": "EXPLAIN ANALYZE COPY (SELECT 1) TO '{place}/out.csv'",
    "read_text": "SELECT * FROM read_text('/etc/passwd')",
    "read_text_of_ours": "SELECT * FROM read_text('{place}/secret.csv')",
    "read_blob": "SELECT * FROM read_blob('{place}/secret.csv')",
    "read_csv": "SELECT * FROM read_csv('{place}/secret.csv')",
    "read_csv_auto": "SELECT * FROM read_csv_auto('{place}/secret.csv')",
    "read_json": "SELECT * FROM read_json('{place}/secret.json')",
    "read_parquet": "SELECT * FROM read_parquet('{place}/**/instance/**/*.parquet')",
    "parquet_scan": "SELECT * FROM parquet_scan('{place}/x.parquet')",
    "quoted_function": "SELECT * FROM \"read_text\"('{place}/secret.csv')",
    "qualified_function": "SELECT * FROM system.main.read_text('{place}/secret.csv')",
    "upper_case": "SELECT * FROM READ_TEXT('{place}/secret.csv')",
    "glob": "SELECT * FROM glob('/*')",
    "path_as_table": "SELECT * FROM '/etc/passwd'",
    "path_as_table_quoted": "SELECT * FROM \"{place}/secret.csv\"",
    "path_of_parquet": "SELECT * FROM 'x.parquet'",
    "from_first": "FROM '{place}/secret.csv'",
    "table_path": "TABLE '{place}/secret.csv'",
    "describe_path": "DESCRIBE SELECT * FROM '{place}/secret.csv'",
    "summarize_path": "SUMMARIZE SELECT * FROM '{place}/secret.csv'",
    "parquet_metadata": "SELECT * FROM parquet_metadata('{place}/x.parquet')",
    "sniff_csv": "SELECT * FROM sniff_csv('{place}/secret.csv')",
    "duckdb_settings": "SELECT * FROM duckdb_settings()",
    "duckdb_secrets": "SELECT * FROM duckdb_secrets()",
    "which_secret": "SELECT * FROM which_secret('s3://a', 's3')",
    "pragma_table_info": "SELECT * FROM pragma_table_info('instance')",
    "information_schema": "SELECT * FROM information_schema.tables",
    "pg_catalog": "SELECT * FROM pg_catalog.pg_class",
    "sqlite_master": "SELECT * FROM sqlite_master",
    "query": "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
    "query_table": "SELECT * FROM query_table('instance')",
    "getenv": "SELECT getenv('HOSTILE_SECRET')",
    "current_setting": "SELECT current_setting('temp_directory')",
    "json_execute": "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "second_statement": "SELECT 1; DROP VIEW instance",
    "second_after_comment": "SELECT 1 /* ; */; -- \nCOPY (SELECT 1) TO '{place}/out.csv'",
    "comment_hides": "/* SELECT */ COPY /**/ (SELECT 1) TO '{place}/out.csv'",
    "nested_comment": "/* /* */ */ COPY (SELECT 1) TO '{place}/out.csv'",
    "line_comment_hides": "-- SELECT 1\nCOPY (SELECT 1) TO '{place}/out.csv'",
    "dollar_quotes": "SELECT * FROM read_text($$/etc/passwd$$)",
    "nested_with": "WITH a AS (WITH b AS (SELECT * FROM read_text('/etc/passwd')) SELECT * FROM b) SELECT * FROM a",
    "name_of_with": "WITH instance AS (SELECT * FROM '{place}/secret.csv') SELECT * FROM instance",
    "subquery": "SELECT (SELECT content FROM read_text('{place}/secret.csv'))",
    "exists": "SELECT 1 WHERE EXISTS (SELECT * FROM glob('/*'))",
    "lateral": "SELECT * FROM instance i, LATERAL (SELECT * FROM read_text(i.filePath))",
    "in_a_join": "SELECT * FROM instance JOIN read_csv('{place}/secret.csv') ON true",
    "union": "SELECT 'a' UNION ALL SELECT content FROM read_text('{place}/secret.csv')",
    "order_by": "SELECT 1 ORDER BY (SELECT content FROM read_text('{place}/secret.csv'))",
    "limit": "SELECT 1 LIMIT (SELECT count(*) FROM glob('/*'))",
    "lambda": "SELECT list_transform([1], x -> (SELECT count(*) FROM glob('/*')))",
    "pivot": "PIVOT (SELECT * FROM read_text('{place}/secret.csv')) ON filename USING count(*)",
    "tags_out_of_reach": "SELECT * FROM dicom_tags('/etc/passwd')",
    "tags_up_and_out": "SELECT * FROM dicom_tags('../../../../../../../../etc/passwd')",
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(place, name):
    before = snapshot(place)
    statement = REFUSED[name].replace("{place}", str(place))
    if name.startswith("tags_"):  # no file there is no error: no row, or no tag
        done = ask(place, statement)
        assert "root:" not in done.stdout
    else:
        done = ask(place, statement)
        refused(done)
        assert "root:" not in done.stdout + done.stderr
    assert snapshot(place) == before


# What is too much for memory, time or depth; "ok" where the answer is small and comes.
BOUNDED = {
    "repeat": "SELECT length(repeat('x', 4000000000))",
    "lists_of_texts": "SELECT list(repeat('x', 10000000)) FROM range(1000)",
    "texts_in_lists": "SELECT list_transform(range(100000000), x -> repeat('y', 100)) IS NULL",
    "huge_list": "SELECT length(range(1000000000))",
    "endless_list": "SELECT range(0, 9223372036854775807)",
    "joined_text": "SELECT length(string_agg(repeat('x', 1000000), '')) FROM range(3000)",
    "padding": "SELECT printf('%2000000000d', 1)",
    "cross_join": "SELECT count(*) FROM range(10000000) a, range(10000000) b",
    "cross_join_of_tables": "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b, instance",
    "recursive": "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT max(n) FROM t",
    "recursive_growth": "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t, range(10)) SELECT count(*) FROM t",
    "sort": "SELECT max(m) FROM (SELECT md5(i::VARCHAR) AS m FROM range(50000000) t(i) ORDER BY m OFFSET 5)",
    "distinct": "SELECT count(DISTINCT md5(i::VARCHAR)) FROM range(50000000) t(i)",
    "unnest": "SELECT unnest(range(100000000)), unnest(range(100000000))",
    "parentheses": "SELECT " + "(" * 100000 + "1" + ")" * 100000,
    "nots": "SELECT " + "NOT " * 50000 + "true",
    "minuses": "SELECT " + "- " * 50000 + "1",
    "casts": "SELECT 1" + "::INT" * 50000,
    "sums": "SELECT " + "+".join(["1"] * 20000),
    "cases": "SELECT " + "CASE WHEN true THEN " * 5000 + "1" + " END" * 5000,
    "subqueries": "SELECT * FROM " + "(SELECT * FROM " * 3000 + "instance" + ")" * 3000,
    "structs": "SELECT " + "{'a':" * 3000 + "1" + "}" * 3000,
    "types": "SELECT CAST(NULL AS INT" + "[]" * 5000 + ")",
    "pattern": "SELECT regexp_matches('a', '((a{1,1000}){1,1000}){1,1000}')",
    "distance": "SELECT levenshtein(repeat('a', 300000), repeat('b', 300000))",
}


@pytest.mark.parametrize("name", BOUNDED)
def test_bounded(place, name):
    done = ask(place, BOUNDED[name], timeout="2s")
    refused(done)
    assert len(done.stderr) < 4000  # the statement is not said again
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10 < MEMORY_BYTES


# What only looks like a bomb is answered.
ANSWERED = {
    "ors": ("SELECT count(*) FROM instance WHERE " + " OR ".join(f"modality = '{i}'" for i in range(900)), "0"),
    "in": ("SELECT count(*) FROM instance WHERE modality IN (" + ",".join(f"'{i}'" for i in range(10000)) + ")", "0"),
    "parentheses": ("SELECT " + "(" * 500 + "1" + ")" * 500 + " AS n", "1"),
    "slow_pattern": ("SELECT regexp_matches(repeat('a', 1000000), '(a*)*b') AS n", "false"),
    "words_in_texts": ("SELECT 'COPY x TO ''/etc/passwd''; DROP TABLE x' AS n", "COPY x TO '/etc/passwd'; DROP TABLE x"),
    "words_as_names": ("SELECT 1 AS \"copy\", 2 AS \"read_text('/etc/passwd')\"", "1,2"),
    "words_in_comments": ("SELECT /* COPY x TO 'y' */ 1 AS n -- ; DROP", "1"),
}


@pytest.mark.parametrize("name", ANSWERED)
def test_answered(place, name):
    statement, want = ANSWERED[name]
    done = ask(place, statement)
    assert done.returncode == DONE, done.stderr
    assert done.stdout.splitlines()[1] == want


def test_ten_thousand_ors(place):
    """As many conditions as a program may write: an answer, or the time limit, and no crash."""
    done = ask(
        place,
        "SELECT count(*) AS n FROM instance WHERE " + " OR ".join(f"modality = '{i}'" for i in range(10000)),
    )
    assert done.returncode in (DONE, FAILED), done.stderr
    assert done.returncode == FAILED or done.stdout.splitlines()[1] == "0"


def test_values_stay_out_of_errors(place):
    """Names of patients are in the tables; what cannot be converted is not said."""
    name = ask(place, "SELECT min(patientName) AS n FROM instance").stdout.splitlines()[1]
    assert len(name) > 3
    for statement in (
        "SELECT CAST(patientName AS INT) FROM instance",
        "SELECT CAST(patientName AS DATE) FROM instance",
        "SELECT strptime(patientName, '%Y') FROM instance",
        "SELECT error(patientName) FROM instance",
        "SELECT patientName::JSON FROM instance",
        "SELECT (SELECT patientName FROM instance)::INT",
        "SELECT patientName::UUID FROM instance",
        "SELECT patientName::INTERVAL FROM instance",
        "SELECT patientName::ENUM('a') FROM instance",
        "SELECT MAP([patientName, patientName], [1, 2]) FROM instance",
        "SELECT regexp_matches('a', patientName || '(') FROM instance",
        "SELECT printf(patientName || '%d', 'x') FROM instance",
        "SELECT from_base64(patientName || '!') FROM instance",
        "SELECT unhex(patientName) FROM instance",
    ):
        words = refused(ask(place, statement))
        for part in name.replace("^", " ").split():
            assert part not in words, (statement, words)
