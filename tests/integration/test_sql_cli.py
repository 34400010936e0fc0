"""The command `sql`, from the outside: statements, outputs, errors, the prompt."""

import contextlib
import csv
import io
import json
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import termios
import time

import pyarrow.parquet
import pydicom.data
import pytest
from support.cli import DONE, FAILED, USAGE, listens, run
from support.server import program, wait_for

FILES = [pydicom.data.get_testdata_file(n) for n in ("CT_small.dcm", "MR_small.dcm", "examples_palette.dcm")]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Three instances of three studies in three tables."""
    folder = tmp_path_factory.mktemp("sql") / "home"
    for words in (["import", *FILES], ["sync"]):
        done = run(*words, "--home", folder)
        assert done.returncode == DONE, done.stderr
    return folder


@pytest.fixture
def sql(home):
    def call(*words, code=DONE, **options):
        done = run("sql", "--home", home, *words, **options)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done

    return call


def rows(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


# -- statements --


def test_a_statement_as_a_word(sql):
    done = sql("SELECT modality, count(*) AS n FROM instance GROUP BY modality ORDER BY modality")
    assert done.stdout == "modality  n\n────────  ─\nCT        1\nMR        1\nUS        1\n(3 rows)\n"
    assert done.stderr == ""


def test_statements_of_the_article(sql):
    assert len(rows(sql("SELECT * FROM instance", "--format", "jsonl"))) == 3
    found = rows(sql("SELECT sopInstanceUid, filePath FROM instance", "--format", "jsonl"))
    assert len(found) == 3 and all(list(r.values())[1].endswith(".dcm") for r in found)


def test_the_home_comes_from_the_environment(home):
    done = run("sql", "SELECT count(*) AS n FROM study", "--json", env={"DICOMLAKE_HOME": str(home)})
    assert json.loads(done.stdout) == [{"n": 3}]


def test_a_lake_by_its_folders(home):
    done = run("sql", "--lake", home / "tables", "SELECT count(*) AS n FROM dicom.instance", "--json")
    assert json.loads(done.stdout) == [{"n": 3}]


def test_tables_of_one_name_in_two_containers(home, tmp_path):
    for container in "a", "b":
        (tmp_path / container).mkdir()
        (tmp_path / container / "study").symlink_to(home / "tables/dicom/study")
    n = run("sql", "--lake", tmp_path, "--json", "SELECT (SELECT count(*) FROM study) + (SELECT count(*) FROM b_study) AS n")
    assert json.loads(n.stdout) == [{"n": 6}], n.stderr


def test_a_script_of_a_file_and_of_standard_input(sql, tmp_path):
    script = "-- first; not here\nSELECT 1 AS a;\n/* ; */ SELECT ';' AS b;\n"
    (tmp_path / "s.sql").write_text(script)
    want = '{"a":1}\n{"b":";"}\n'
    assert sql("-f", tmp_path / "s.sql", "--format", "jsonl").stdout == want
    assert sql("-f", "-", "--format", "jsonl", input=script).stdout == want
    assert sql("--format", "jsonl", input=script).stdout == want


def test_a_script_ends_at_its_first_failure(sql):
    done = sql("--format", "jsonl", input="SELECT 1 AS a;\nSELECT nothing;\nSELECT 3 AS c;", code=USAGE)
    assert done.stdout == '{"a":1}\n'
    assert "line 2, column 8" in done.stderr


@pytest.mark.parametrize("text", ["", " ;; -- nothing", "\n"])
def test_nothing_to_run(sql, text):
    assert "there is no statement" in sql(input=text, code=USAGE).stderr


# -- errors --


def test_the_place_of_an_error(sql):
    done = sql("SELECT 'é', modality\nFROM instance\nWHERE modalty = 'CT'", code=USAGE)
    lines = done.stderr.splitlines()
    assert lines[0].startswith("dicomlake: line 3, column 7: ") and "did you mean modality" in lines[0]
    assert lines[1] == "    WHERE modalty = 'CT'"
    assert lines[2] == "          ^"
    assert done.stdout == ""


@pytest.mark.parametrize(
    "statement, code",
    [("SELECT", USAGE), ("SELECT * FROM nothing", USAGE), ("COPY instance TO 'x.csv'", FAILED),
     ("SELECT * FROM read_csv('/etc/passwd')", FAILED), ("SELECT * FROM '/etc/passwd'", None),
     ("ATTACH 'x.db'", FAILED), ("INSTALL httpfs", FAILED), ("SET memory_limit='1TB'", FAILED)],
)
def test_what_is_refused(sql, statement, code, tmp_path, home):
    done = run("sql", "--home", home, statement, cwd=tmp_path)
    assert done.returncode in ((code,) if code else (FAILED, USAGE)), done.stderr
    assert done.stderr.startswith("dicomlake: ") and done.stdout == "" and "root:" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words, says",
    [(["--format", "xlsx", "SELECT 1"], "no format xlsx"), (["-o", "rows.xlsx", "SELECT 1"], "no format has this ending"),
     (["--json", "--format", "csv", "SELECT 1"], "give one of"), (["--memory", "1XB", "SELECT 1"], "not a size"),
     (["--memory", "0", "SELECT 1"], "not a size"), (["--timeout", "soon", "SELECT 1"], "not a duration"),
     (["-f", "x.sql", "SELECT 1"], "not both"), (["--lake", ".", "--lakehouse", "x", "SELECT 1"], "lakehouse"),
     (["--chart", "area", "SELECT 1"], "no kind 'area'"), (["--chart", "bar y=q", "SELECT 1 AS a"], "no column 'q'"),
     (["SELECT 1", "SELECT 2"], ""), (["--rows", "0", "SELECT 1"], "--rows")],
)
def test_wrong_words(sql, words, says):
    done = sql(*words, code=USAGE)
    assert done.stderr.startswith("dicomlake: ") and says in done.stderr


def test_no_home():
    done = run("sql", "SELECT 1")
    assert done.returncode == USAGE and "--home" in done.stderr
    done = run("sql", "--home", "/nonexistent", "SELECT 1")
    assert done.returncode == FAILED and "/nonexistent" in done.stderr


# -- outputs --


def test_rows_that_are_shown(sql):
    statement = "SELECT range AS n FROM range(50)"
    assert sql(statement).stdout.endswith("39\n(50 rows, 40 shown)\n")
    assert sql(statement, "--rows", 50).stdout.endswith("49\n(50 rows)\n")


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl", "ndjson", "md", "html", "arrow", "parquet", "txt"])
def test_a_file_by_its_ending(sql, tmp_path, ending):
    path = tmp_path / f"rows.{ending}"
    done = sql("-o", path, "SELECT 7 AS a")
    assert done.stdout == "" and done.stderr == ""
    content = path.read_bytes()
    assert {"csv": content == b"a\n7\n", "json": content == b'[\n{"a":7}\n]\n', "jsonl": content == b'{"a":7}\n',
            "ndjson": content == b'{"a":7}\n', "md": b"| 7 |" in content, "html": b">7</td>" in content,
            "arrow": content[:4] == b"\xff" * 4, "parquet": content[-4:] == b"PAR1", "txt": b"(1 row)" in content}[ending]
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_file_is_replaced_whole_or_not_at_all(sql, tmp_path):
    path = tmp_path / "rows.csv"
    sql("-o", path, "SELECT 1 AS a")
    bad = "SELECT CASE WHEN range = 90000 THEN 'x' ELSE '1' END::INT AS a FROM range(100000)"
    for form in "csv", "parquet", "arrow", "json":
        assert sql("-o", path, "--format", form, bad, code=USAGE).stderr.startswith("dicomlake: ")
        assert path.read_text() == "a\n1\n"
    assert [p.name for p in tmp_path.iterdir()] == ["rows.csv"]
    sql("-o", path, "SELECT 2 AS a")
    assert path.read_text() == "a\n2\n"
    assert "No such file" in sql("-o", tmp_path / "no/rows.csv", "SELECT 1 AS a", code=FAILED).stderr


def written(pid, folder):
    """Bytes so far of the file in the folder that the process has open, with a name or without one."""
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if os.readlink(fd).startswith(f"{folder}/"):
                return os.stat(fd).st_size
    return 0


@pytest.mark.parametrize("there", [False, True])
def test_a_kill_leaves_nothing_of_a_file(home, tmp_path, there):
    try:
        os.close(os.open(tmp_path, os.O_WRONLY | os.O_TMPFILE, 0o600))
    except OSError as problem:
        pytest.skip(f"this file system knows no files without a name: {problem}")
    path = tmp_path / "out.csv"
    if there:
        path.write_text("kept")
    endless = "SELECT range AS n FROM range(1000000000000)"
    started = subprocess.Popen([program(), "sql", "--home", home, "-o", path, endless])
    wait_for(lambda: written(started.pid, tmp_path) > 1 << 16, 60, "rows in the file")
    started.kill()
    started.wait()
    assert [p.name for p in tmp_path.iterdir()] == (["out.csv"] if there else [])
    assert not there or path.read_text() == "kept"
    assert run("sql", "--home", home, "-o", path, "SELECT 1 AS a").returncode == DONE
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"] and path.read_text() == "a\n1\n"


def test_a_file_takes_one_statement(sql, tmp_path):
    for words in ["-o", tmp_path / "rows.csv"], ["--format", "arrow"], ["--chart", "bar"]:
        assert "takes one" in sql(*words, input="SELECT 1 AS a; SELECT 2 AS a", code=USAGE).stderr
    assert list(tmp_path.iterdir()) == []


def test_large_results_stream(sql, tmp_path):
    statement = "SELECT range AS i, 'name ' || range AS s FROM range(300000)"
    sql("-o", tmp_path / "t.parquet", statement)
    assert pyarrow.parquet.ParquetFile(tmp_path / "t.parquet").metadata.num_rows == 300000
    done = sql("--format", "csv", statement)
    assert sum(1 for _ in csv.reader(io.StringIO(done.stdout))) == 300001


def test_a_chart(sql, tmp_path):
    statement = "SELECT modality, count(*) AS n FROM instance GROUP BY modality ORDER BY modality"
    sql("--chart", "bar title='Instances'", "-o", tmp_path / "n.svg", statement)
    svg = (tmp_path / "n.svg").read_text()
    assert svg.startswith("<svg ") and "<title>US, n: 1</title>" in svg
    assert sql("--chart", "bar title='Instances'", statement).stdout == svg


def test_what_was_read(sql):
    done = sql("--stats", "SELECT count(*) AS n FROM instance, study", "--json")
    assert json.loads(done.stdout) == [{"n": 9}]
    assert re.search(r"^instance: version \d+, watermark 3, 1 of 1 files, 3 rows$", done.stderr, re.M)
    assert re.search(r"^study: version \d+, watermark 3, ", done.stderr, re.M)
    assert re.search(r"^1 row in [\d.]+ ms$", done.stderr, re.M)


# -- limits and stopping --


def test_a_limit_of_rows_at_its_bound(sql):
    assert sql("--limit", 3, "--format", "csv", "SELECT range AS a FROM range(3)").stdout == "a\n0\n1\n2\n"
    done = sql("--limit", 3, "--format", "csv", "SELECT range AS a FROM range(4)", code=FAILED)
    assert "more than the 3 rows" in done.stderr
    assert sql("--limit", 0, "--format", "csv", "SELECT 1 AS a").stdout == "a\n1\n"


def test_a_limit_of_time(sql):
    done = sql("--timeout", "1s", "SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b", code=FAILED)
    assert "time" in done.stderr or "longer" in done.stderr


def test_a_limit_of_memory(sql):
    statement = "SELECT count(*) FROM (SELECT DISTINCT repeat('x', 1000) || range FROM range(10000000))"
    assert "memory" in sql("--memory", "64MB", statement, code=FAILED).stderr


@pytest.mark.parametrize("form", ["csv", "jsonl", "arrow", "parquet"])
def test_a_reader_that_leaves(home, form):
    started = subprocess.Popen(
        [program(), "sql", "--home", home, "--format", form, "SELECT range, repeat('x', 100) FROM range(100000000)"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    started.stdout.read(10)
    started.stdout.close()
    assert started.wait(120) == FAILED
    assert started.stderr.read() == b""


@pytest.mark.parametrize("form", ["csv", "table", "parquet"])
def test_ctrl_c(home, form, tmp_path):
    started = subprocess.Popen(
        [program(), "sql", "--home", home, "--format", form, "-o", tmp_path / "out",
         "SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    listens(started)
    time.sleep(0.5)  # it may have come anywhere: all ways end the same
    started.send_signal(signal.SIGINT)
    _, err = started.communicate(timeout=120)
    assert started.returncode == FAILED and b"cancel" in err
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_it_waits_for_a_statement(home):
    started = subprocess.Popen([program(), "sql", "--home", home], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    listens(started)
    time.sleep(0.2)
    started.send_signal(signal.SIGINT)
    assert started.wait(120) == FAILED
    assert b"cancel" in started.stderr.read()
    started.stdin.close()


# -- for other programs --


def test_a_worker(home):
    def work(statement, *words, code=DONE):
        done = run("sql", "--home", home, "--worker", "--format", "jsonl", *words, input=statement)
        assert done.returncode == code, done.stderr
        return done.stdout, json.loads(done.stderr.splitlines()[-1])

    assert work("SELECT range AS a FROM range(2)") == ('{"a":0}\n{"a":1}\n', {"rows": 2})
    out, end = work("SELECT 1;\n  SELEC 2", code=USAGE)
    assert end["status"] == "invalid"
    out, end = work("SELECT\n nothing", code=USAGE)
    assert (end["status"], end["line"], end["column"], end["at"]) == ("invalid", 2, 2, 8)
    assert work("SELECT * FROM range(11)", "--limit", 10, code=FAILED)[1]["status"] == "limit"
    assert "worker" not in run("sql", "--help").stdout


def test_a_worker_whose_reader_is_gone_does_not_begin(home):
    """Else what ends just when it starts a worker would leave it behind, busy for ever."""
    read, write = os.pipe()
    os.close(read)
    endless = "SELECT count(*) FROM range(100000000) a, range(100000000) b WHERE a.range + b.range < 0"
    done = subprocess.run([program(), "sql", "--home", home, "--worker", "--format", "jsonl"], input=endless, text=True,
                          stdout=write, stderr=subprocess.PIPE, timeout=120)
    os.close(write)
    assert done.returncode == FAILED


# -- the prompt --


class Prompt:
    """The command on a terminal of its own."""

    def __init__(self, home):
        self.seen = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "dumb"
            os.execv(program(), [program(), "sql", "--home", str(home)])

    def read(self):
        with contextlib.suppress(OSError):  # the other end is closed
            if select.select([self.fd], [], [], 0.1)[0]:
                self.seen += os.read(self.fd, 65536)
        return self.seen

    def reads(self):
        """Whether it has the terminal for itself, key by key."""
        return not termios.tcgetattr(self.fd)[3] & termios.ICANON

    def processor_seconds(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def until(self, *texts):
        """Read up to all of the texts, in turn; what came."""
        came = b""
        for text in texts:
            wait_for(lambda t=text: t in self.read(), 180, f"{text!r} after {came + self.seen!r}")
            at = self.seen.index(text) + len(text)
            came, self.seen = came + self.seen[:at], self.seen[at:]
        return came.decode()

    def say(self, text, *answers):
        os.write(self.fd, text)
        return self.until(*answers)

    def end(self):
        ended = wait_for(lambda: [e for e in [os.waitpid(self.pid, os.WNOHANG)] if e[0]], 60, "the end of the command")
        self.pid = 0
        os.close(self.fd)
        return os.waitstatus_to_exitcode(ended[0][1])


@pytest.fixture
def prompt(home):
    (home / "state/sql_history").unlink(missing_ok=True)
    p = Prompt(home)
    p.until(b"sql> ")
    yield p
    if p.pid:
        os.kill(p.pid, signal.SIGKILL)
        os.waitpid(p.pid, 0)


def test_prompt_statements_of_several_lines(prompt):
    prompt.say(b"SELECT count(*) AS\n", b"...> ")
    assert "   3" in prompt.say(b"answer FROM instance;\n", b"answer", b"(1 row)", b"sql> ")
    assert prompt.say(b"SELECT 1 AS a; SELECT 2 AS b;\n", b"(1 row)", b"(1 row)", b"sql> ")
    prompt.say(b"SELECT 'open;\n", b"...> ")
    prompt.say(b"closed' AS c;\n", b"(1 row)", b"sql> ")
    os.write(prompt.fd, b"\\q\n")
    assert prompt.end() == DONE


def test_prompt_errors_and_ctrl_c(prompt):
    prompt.say(b"SELECT nothing;\n", b"line 1, column 8", b"^", b"sql> ")
    prompt.say(b"SELECT 1 +\n", b"...> ")
    prompt.say(b"\x03", b"sql> ")
    prompt.say(b"SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b;\n", b"b;")
    began = prompt.processor_seconds()
    wait_for(lambda: not prompt.reads() and prompt.processor_seconds() > began + 0.2, 60, "the statement under way")
    prompt.say(b"\x03", b"cancelled", b"sql> ")
    prompt.say(b"SELECT 5 AS after;\n", b"5", b"(1 row)", b"sql> ")
    os.write(prompt.fd, b"\x04")
    assert prompt.end() == DONE


def test_prompt_has_the_terminal_before_it_is_seen(prompt):
    for _ in range(20):
        assert prompt.reads()  # else the terminal would keep a Ctrl-D from it
        prompt.say(b"SELECT 1 AS a;\n", b"(1 row)", b"sql> ")


def test_prompt_ctrl_d_while_a_statement_runs(prompt):
    prompt.say(b"SELECT count(*) FROM range(10000) a, range(10000) b WHERE a.range * b.range % 7 = 1;\n", b"1;")
    wait_for(lambda: not prompt.reads() or b"(1 row)" in prompt.read(), 60, "the statement under way")
    os.write(prompt.fd, b"\x04")
    prompt.until(b"(1 row)")
    assert prompt.end() == DONE


def test_prompt_commands(prompt):
    prompt.say(b"\\d\n", b"instance", b"series", b"study", b"sql> ")
    prompt.say(b"\\d study\n", b"studyDescription", b"VARCHAR", b"StudyDescription", b"00081030", b"sql> ")
    prompt.say(b"\\d nothing\n", b"dicomlake: ", b"sql> ")
    prompt.say(b"\\timing\n", b"timing is on", b"sql> ")
    prompt.say(b"SELECT 1 AS a;\n", b"1 row in ", b"sql> ")
    prompt.say(b"\\format jsonl\n", b"sql> ")
    prompt.say(b"SELECT 41 + 1 AS a;\n", b'{"a":42}', b"sql> ")
    prompt.say(b"\\format arrow\n", b"not written to a screen", b"sql> ")
    prompt.say(b"\\format\n", b"no format", b"sql> ")
    prompt.say(b"\\nothing\n", b"no command", b"sql> ")
    prompt.say(b"\\?\n", b"\\timing", b"sql> ")
    os.write(prompt.fd, b"exit\n")
    assert prompt.end() == DONE


def test_prompt_completes_names(prompt):
    prompt.say(b"SELECT count(*) AS n FROM insta\t", b"nce")
    prompt.say(b";\n", b"(1 row)", b"sql> ")


def test_prompt_remembers(prompt, home):
    path = home / "state/sql_history"
    prompt.say(b"SELECT 'a\\b'\n", b"...> ")
    prompt.say(b"AS kept;\n", b"(1 row)", b"sql> ")
    os.write(prompt.fd, b"\\q\n")
    assert prompt.end() == DONE
    assert path.read_text() == "SELECT 'a\\\\b'\\nAS kept;\n"
    assert path.stat().st_mode & 0o777 == 0o600
    again = Prompt(home)
    again.until(b"sql> ")
    again.say(b"\x1b[A", b"AS kept")
    again.say(b"\n", b"(1 row)", b"sql> ")
    os.write(again.fd, b"\\q\n")
    assert again.end() == DONE


def test_prompt_ends_with_sigterm(prompt):
    os.kill(prompt.pid, signal.SIGTERM)
    assert prompt.end() == DONE
