"""`dicomlake notebook`: notebooks made, run, listed and converted, over the tables of a home."""

import json
import os
import pathlib
import signal
import stat
import subprocess
import time

import pytest
from support.cli import FAILED, PARTLY, USAGE
from support.lake import REAL_FILES, home_of_files, run
from support.server import program

READY = ["first-look", "metadata-quality", "cohort"]  # those that need nothing but this program


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """An archive of the files that pydicom ships, with its tables."""
    return home_of_files(tmp_path_factory.mktemp("notebooks") / "home")


@pytest.fixture(scope="module")
def emptied(tmp_path_factory):
    """An archive whose tables are there and have no rows."""
    folder = home_of_files(tmp_path_factory.mktemp("emptied") / "home", REAL_FILES / "CT_small.dcm")
    study = json.loads(run("search", "--home", folder, "--json").stdout)[0]["0020000D"]["Value"][0]
    run("delete", "--home", folder, "--yes", study)
    run("sync", "--home", folder)
    return folder


def notebook(home, *words, check=True):
    return run("notebook", *words, "--home", home, check=check)


def read(path):
    return json.loads(pathlib.Path(path).read_text())


def write_cells(path, *sources, **metadata):
    """A notebook of code cells."""
    cells = [
        {"cell_type": "code", "id": f"c{i}", "metadata": {}, "execution_count": None, "outputs": [], "source": s}
        for i, s in enumerate(sources)
    ]
    path.write_text(json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}))
    return path


def outputs(path, cell):
    return read(path)["cells"][cell]["outputs"]


def plain(output):
    return "".join(output["data"]["text/plain"])


# ---- the ready ones ----


@pytest.mark.parametrize("name", READY)
def test_ready_notebooks_run(home, tmp_path, name):
    path = tmp_path / "ready.ipynb"
    notebook(home, "new", path, "--from", name)
    facts = json.loads(notebook(home, "run", path, "--json").stdout)
    assert facts["failed"] == facts["skipped"] == 0 and facts["error"] is None
    code = [c for c in read(path)["cells"] if c["cell_type"] == "code"]
    assert facts["cells"] == len(code) > 0
    assert [c["execution_count"] for c in code] == list(range(1, len(code) + 1))
    assert all(c["outputs"] for c in code)
    types = {key for c in code for o in c["outputs"] for key in o.get("data", {})}
    assert {"text/plain", "text/html", "image/svg+xml"} <= types


@pytest.mark.parametrize("name", READY)
def test_ready_notebooks_run_without_rows(emptied, tmp_path, name):
    path = tmp_path / "ready.ipynb"
    notebook(emptied, "new", path, "--from", name)
    facts = json.loads(notebook(emptied, "run", path, "--json").stdout)
    assert facts["failed"] == 0, facts


def test_first_look_counts_what_is_there(home, tmp_path):
    path = tmp_path / "look.ipynb"
    notebook(home, "new", path, "--from", "first-look")
    notebook(home, "run", path)
    shown = [plain(o) for c in read(path)["cells"] for o in c.get("outputs", []) if "text/plain" in o.get("data", {})]
    counts = json.loads(run("table", "list", "--home", home, "--json").stdout)
    rows = {t["table"]: t["rows"] for t in counts}
    numbers = shown[0].splitlines()[2].split()
    assert numbers[:3] == [str(rows[t]) for t in ("study", "series", "instance")]


def test_cohort_takes_parameters(home, tmp_path):
    path = tmp_path / "cohort.ipynb"
    notebook(home, "new", path, "--from", "cohort")
    counts = {}
    for modality in ("CT", "MR", "none' OR '1'='1"):
        notebook(home, "run", path, "-p", f"modality={modality}")
        cell = next(c for c in read(path)["cells"] if c["id"] == "how-many")
        counts[modality] = plain(cell["outputs"][0]).splitlines()[2].split()[0]
    assert counts["none' OR '1'='1"] == "0"
    assert int(counts["CT"]) > int(counts["MR"]) > 0
    cell = next(c for c in read(path)["cells"] if c["id"] == "parameters")
    assert cell["outputs"][0]["text"][0] == "modality = 'none'' OR ''1''=''1'\n"


def test_cohort_leads_to_files(home, tmp_path):
    path = tmp_path / "cohort.ipynb"
    notebook(home, "new", path, "--from", "cohort")
    notebook(home, "run", path)
    cell = next(c for c in read(path)["cells"] if c["id"] == "files")
    lines = plain(cell["outputs"][0]).splitlines()[2:-1]
    assert lines
    html = "".join(cell["outputs"][0]["data"]["text/html"])
    for url in [part.split("<")[0] for part in html.split("<td>") if part.startswith("file://")]:
        assert pathlib.Path(url.removeprefix("file://")).is_file(), url
    assert html.count("file://") == len(lines)


# ---- new, list, templates ----


def test_new_notebooks_have_names_and_titles(home):
    made = json.loads(notebook(home, "new", "my-first", "--json").stdout)["path"]
    assert made == f"{home}/lakehouse/home/notebooks/my-first.ipynb"
    cells = read(made)["cells"]
    assert "".join(cells[0]["source"]).startswith("# my-first\n") and "- instance" in "".join(cells[0]["source"])
    assert "".join(cells[1]["source"]) == "SELECT * FROM instance LIMIT 10"
    assert json.loads(notebook(home, "run", "my-first", "--json").stdout)["failed"] == 0
    names = [n["name"] for n in json.loads(notebook(home, "list", "--json").stdout)]
    assert "my-first" in names and names == sorted(names)


def test_new_never_writes_over(home, tmp_path):
    path = tmp_path / "there.ipynb"
    path.write_text("mine")
    done = notebook(home, "new", path, check=False)
    assert done.returncode == FAILED and "is there already" in done.stderr
    assert path.read_text() == "mine"


def test_names_stay_in_their_folder(home):
    for name in ("a b", "ä", "x" * 141):
        done = notebook(home, "new", name, check=False)
        assert done.returncode == USAGE, done.stderr


def test_templates_need_no_home():
    names = [t["name"] for t in json.loads(run("notebook", "templates", "--json").stdout)]
    assert names == [*READY, "spark-delta", "python-deltalake"]
    done = run("notebook", "new", "/nowhere/x.ipynb", "--from", "no-such", check=False)
    assert done.returncode == FAILED and "notebook templates lists them" in done.stderr


def test_templates_are_the_files_of_the_sources(tmp_path):
    sources = pathlib.Path(__file__).resolve().parents[2] / "notebooks"
    assert {p.stem for p in sources.iterdir()} == {*READY, "spark-delta", "python-deltalake"}
    for source in sources.iterdir():
        made = tmp_path / source.name
        run("notebook", "new", made, "--from", source.stem)
        assert made.read_bytes() == source.read_bytes()


# ---- run: exit codes, errors ----


def test_a_failed_cell_ends_the_run(home, tmp_path):
    path = write_cells(tmp_path / "x.ipynb", "SELECT 1", "SELECT modalty\n  FROM instance", "SELECT 3")
    done = notebook(home, "run", path, check=False)
    assert done.returncode == FAILED
    assert done.stderr.startswith("dicomlake: cell 2 (c1): line 1, column 8: ")
    assert "modality" in done.stderr  # what it could have been
    error = outputs(path, 1)[0]
    assert error["output_type"] == "error" and error["ename"] == "invalid"
    assert "SELECT modalty" in error["traceback"] and any(line.strip() == "^" for line in error["traceback"])
    assert outputs(path, 2) == [] and read(path)["cells"][2]["execution_count"] is None


def test_go_on(home, tmp_path):
    path = write_cells(tmp_path / "x.ipynb", "SELECT nothing", "SELECT 3 AS three", "COPY instance TO '/tmp/x'")
    done = notebook(home, "run", path, "--go-on", "--json", check=False)
    assert done.returncode == PARTLY
    facts = json.loads(done.stdout)
    assert (facts["cells"], facts["failed"], facts["skipped"]) == (3, 2, 0)
    assert facts["error"]["cell"] == 1 and facts["error"]["id"] == "c0"
    assert "three" in plain(outputs(path, 1)[0])
    assert outputs(path, 2)[0]["ename"] == "denied"


@pytest.mark.parametrize(
    "words, code, said",
    [
        (["-p", "nothing=1"], USAGE, "has no parameter nothing"),
        (["-p", "word"], USAGE, "not of the form name=value"),
        (["-o", "x.html"], USAGE, "ends with .ipynb"),
        (["--timeout", "0s"], USAGE, "--timeout"),
        (["--to", "html"], USAGE, "takes no --to"),
        (["--lakehouse", "nowhere"], FAILED, "nowhere"),
    ],
)
def test_wrong_words_change_nothing(home, tmp_path, words, code, said):
    path = write_cells(tmp_path / "x.ipynb", "SELECT 1")
    before = path.read_bytes()
    done = run("notebook", "run", path, "--home", home, *words, check=False)
    assert done.returncode == code and said in done.stderr, done.stderr
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"nbformat": 3, "worksheets": []}', "\xff\xfe", "{}" * 9])
def test_what_is_no_notebook_is_left_alone(home, tmp_path, text):
    path = tmp_path / "x.ipynb"
    path.write_bytes(text.encode("latin-1"))
    done = notebook(home, "run", path, check=False)
    assert done.returncode in (FAILED, USAGE) and str(path) in done.stderr
    assert path.read_bytes() == text.encode("latin-1")


def test_other_languages_are_kept_and_told(home, tmp_path):
    path = write_cells(tmp_path / "x.ipynb", "%%pyspark\nspark.sql('x')", "%%sql\nSELECT 1", "print(1)",
                       language_info={"name": "python"})  # fmt: skip
    done = notebook(home, "run", path)
    assert "2 cells of other languages kept as they are, not run" in done.stdout
    assert outputs(path, 0) == outputs(path, 2) == [] and outputs(path, 1)


def test_output_elsewhere(home, tmp_path):
    path = write_cells(tmp_path / "x.ipynb", "SELECT 1")
    before = path.read_bytes()
    notebook(home, "run", path, "-o", tmp_path / "ran.ipynb")
    assert path.read_bytes() == before and outputs(tmp_path / "ran.ipynb", 0)
    assert {p.name for p in tmp_path.iterdir()} == {"x.ipynb", "ran.ipynb"}


def test_the_second_run_is_as_the_first(home, tmp_path):
    path = tmp_path / "look.ipynb"
    notebook(home, "new", path, "--from", "first-look")
    notebook(home, "run", path)
    first = path.read_bytes()
    notebook(home, "run", path)
    assert path.read_bytes() == first


# ---- stopping ----


def test_ctrl_c_leaves_the_notebook_whole(home, tmp_path):
    long = "SELECT count(*) FROM range(100000000) a, range(100000000) b WHERE hash(a.range, b.range) = 7"
    path = write_cells(tmp_path / "x.ipynb", "SELECT 1", long)
    before = path.read_bytes()
    process = subprocess.Popen([program(), "notebook", "run", str(path), "--home", str(home)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    try:
        children = pathlib.Path(f"/proc/{process.pid}/task")
        while len(list(children.iterdir())) == 1:  # the engine's threads: the first statement runs
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
    assert process.returncode == FAILED, said
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.ipynb"]


def test_a_statement_that_takes_too_long_fails(home, tmp_path):
    long = "SELECT count(*) FROM range(100000000) a, range(100000000) b WHERE hash(a.range, b.range) = 7"
    path = write_cells(tmp_path / "x.ipynb", long, "SELECT 2")
    done = notebook(home, "run", path, "--timeout", "1s", check=False)
    assert done.returncode == FAILED and outputs(path, 0)[0]["ename"] == "limit"


def test_a_folder_that_cannot_be_written(home, tmp_path):
    path = write_cells(tmp_path / "x.ipynb", "SELECT 1")
    done = notebook(home, "run", path, "-o", tmp_path / "nowhere" / "y.ipynb", check=False)
    assert done.returncode == FAILED and "nowhere" in done.stderr


def test_notebooks_of_others_keep_their_mode_of_being_read(home, tmp_path):
    path = write_cells(tmp_path / "x.ipynb", "SELECT 1")
    notebook(home, "run", path)
    assert stat.S_IMODE(os.stat(path).st_mode) & stat.S_IRUSR


# ---- convert ----


def test_convert_to_sql_and_back(home, tmp_path):
    for name in READY:
        path, script, back = (tmp_path / f"{name}.{ending}" for ending in ("ipynb", "sql", "back.ipynb"))
        notebook(home, "new", path, "--from", name)
        run("notebook", "convert", path, "-o", script)
        run("notebook", "convert", script, "-o", back)
        cells, again = read(path)["cells"], read(back)["cells"]
        assert [c["cell_type"] for c in cells] == [c["cell_type"] for c in again]
        for one, other in zip(cells, again):
            assert "".join(one["source"]).rstrip(";") == "".join(other["source"]).rstrip(";")
        assert [c["metadata"] for c in cells] == [c["metadata"] for c in again]


def test_a_script_runs_as_sql_and_as_a_notebook(home, tmp_path):
    script = tmp_path / "x.sql"
    script.write_text("-- %% [markdown]\n-- # Title\n\n-- %%\nSELECT count(*) AS n FROM instance;\n")
    ran = tmp_path / "x.ipynb"
    notebook(home, "run", script, "-o", ran)
    rows = json.loads(run("sql", "--home", home, "-f", script, "--json").stdout)
    assert str(rows[0]["n"]) in plain(outputs(ran, 1)[0])


def test_convert_to_a_page_and_to_markdown(home, tmp_path):
    path = tmp_path / "look.ipynb"
    notebook(home, "new", path, "--from", "first-look")
    notebook(home, "run", path)
    page = run("notebook", "convert", path, "--to", "html").stdout
    assert page.startswith("<!DOCTYPE html>") and page.endswith("</html>\n")
    assert "<title>First look at an archive</title>" in page and "<h1>First look at an archive</h1>" in page
    assert "<script" not in page and "http://" not in page and 'src="data:image/svg+xml;base64,' in page
    assert page.count("<table") == sum("text/html" in str(c.get("outputs")) for c in read(path)["cells"])
    text = run("notebook", "convert", path, "--to", "markdown").stdout
    assert text.startswith("# First look at an archive\n") and "```sql\nSELECT" in text and "```text\n" in text


def test_convert_needs_a_form(home, tmp_path):
    path = write_cells(tmp_path / "x.ipynb", "SELECT 1")
    for words in ([], ["--to", "pdf"], ["-o", tmp_path / "x.pdf"]):
        done = run("notebook", "convert", path, *words, check=False)
        assert done.returncode == USAGE and "sql, markdown, html or ipynb" in done.stderr


@pytest.mark.parametrize("name", READY)
def test_ready_notebooks_of_a_home_without_tables(tmp_path, name):
    """What failed says what to do, on standard error and in the notebook."""
    (tmp_path / "home").mkdir()
    path = tmp_path / "x.ipynb"
    notebook(tmp_path / "home", "new", path, "--from", name)
    done = notebook(tmp_path / "home", "run", path, check=False)
    assert done.returncode == FAILED
    advice = "there are no tables here; dicomlake sync makes them of what is stored"
    assert advice in done.stderr
    assert advice in json.dumps(read(path)["cells"])
