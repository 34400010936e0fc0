"""Notebooks: nbformat judges what we write, and how; nbclient, Jupyter's own way to run one, runs those in Python."""

import json
import os
import pathlib
import random

import nbclient
import nbformat
import pytest

from support.lake import home_of_files, run
from support.spark import JARS

ROOT = pathlib.Path(__file__).resolve().parents[3]
PARTLY = 3
READY = ["first-look", "metadata-quality", "cohort"]
IN_PYTHON = ["spark-delta", "python-deltalake"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return home_of_files(tmp_path_factory.mktemp("notebooks") / "home")


def judged(path):
    """The notebook as nbformat reads it; valid, and its text is nbformat's own."""
    text = pathlib.Path(path).read_text()
    notebook = nbformat.reads(text, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert nbformat.writes(notebook) in (text, text.removesuffix("\n"))
    return notebook


@pytest.mark.parametrize("name", [*READY, *IN_PYTHON])
def test_ready_notebooks_are_valid(tmp_path, name):
    run("notebook", "new", tmp_path / "x.ipynb", "--from", name)
    notebook = judged(tmp_path / "x.ipynb")
    assert not any(cell.get("outputs") for cell in notebook.cells)


@pytest.mark.parametrize("name", READY)
def test_results_are_valid(home, tmp_path, name):
    path = tmp_path / "x.ipynb"
    run("notebook", "new", path, "--from", name)
    run("notebook", "run", path, "--home", home)
    notebook = judged(path)
    kinds = {o.output_type for c in notebook.cells for o in c.get("outputs", [])}
    assert {"execute_result", "display_data"} <= kinds
    nbclient.NotebookClient(notebook)  # what Jupyter's tools take


def test_errors_are_valid(home, tmp_path):
    script = tmp_path / "x.sql"
    script.write_text("SELECT nothing FROM instance;\nSELECT 'é\n😀' AS t;\nCOPY instance TO 'x';\n")
    path = tmp_path / "x.ipynb"
    done = run("notebook", "run", script, "-o", path, "--go-on", "--home", home, check=False)
    assert done.returncode == PARTLY
    errors = [o for c in judged(path).cells for o in c.outputs if o.output_type == "error"]
    assert [o.ename for o in errors] == ["invalid", "denied"]
    assert all(o.evalue and o.traceback for o in errors)


def test_new_and_converted_are_valid(home, tmp_path):
    run("notebook", "new", tmp_path / "new.ipynb", "--home", home)
    judged(tmp_path / "new.ipynb")
    (tmp_path / "x.sql").write_text("-- %% [markdown]\n-- # T\n\n-- %% [raw]\n-- r\n\n-- %%\nSELECT 1;\n")
    run("notebook", "convert", tmp_path / "x.sql", "-o", tmp_path / "x.ipynb")
    assert [c.cell_type for c in judged(tmp_path / "x.ipynb").cells] == ["markdown", "raw", "code"]


# ---- the layout: what nbformat writes is what we write, whatever the notebook holds ----

PIECES = ["a", "\n", "\r\n", "\r", "\t", '"', "\\", "é", "😀", "\u2028", "\x85", "\x1c", "\x0b", "\x00", "\x7f", "/", "<"]


def some_text(chance):
    return "".join(chance.choice(PIECES) for _ in range(chance.randrange(12)))


def some_json(chance, depth=3):
    kind = chance.randrange(7 if depth else 5)
    if kind == 5:
        return [some_json(chance, depth - 1) for _ in range(chance.randrange(3))]
    if kind == 6:
        return {some_text(chance): some_json(chance, depth - 1) for _ in range(chance.randrange(4))}
    return [None, True, chance.randrange(-(10**18), 10**18), chance.random() * 10 ** chance.randrange(-20, 20),
            some_text(chance)][kind]  # fmt: skip


def some_bundle(chance):
    types = ["text/plain", "text/html", "image/svg+xml", "image/png", "application/javascript", "text/x-odd"]
    bundle = {t: some_text(chance) for t in chance.sample(types, chance.randrange(len(types)))}
    if chance.random() < 0.3:
        bundle["application/json"] = some_json(chance)
    return bundle


def some_output(chance):
    kind = chance.randrange(4)
    metadata = {some_text(chance): some_json(chance)}
    if kind == 0:
        return {"output_type": "stream", "name": chance.choice(["stdout", "stderr"]), "text": some_text(chance)}
    if kind == 1:
        return {"output_type": "display_data", "data": some_bundle(chance), "metadata": metadata}
    if kind == 2:
        count = chance.choice([None, 1, 77])
        return {"output_type": "execute_result", "data": some_bundle(chance), "metadata": metadata,
                "execution_count": count}  # fmt: skip
    return {"output_type": "error", "ename": some_text(chance), "evalue": some_text(chance),
            "traceback": [some_text(chance) for _ in range(chance.randrange(3))]}  # fmt: skip


def some_cell(chance, index):
    kind = chance.choice(["code", "markdown", "raw"])
    cell = {"cell_type": kind, "id": f"id-{index}", "metadata": {some_text(chance): some_json(chance)},
            "source": some_text(chance)}  # fmt: skip
    if kind == "code":
        cell |= {"execution_count": chance.choice([None, 3]), "outputs": []}
        cell["outputs"] = [some_output(chance) for _ in range(chance.randrange(3))]
    elif chance.random() < 0.5:
        cell["attachments"] = {"a.png": {"image/png": some_text(chance), "text/plain": some_text(chance)}}
    return cell


def test_the_layout_is_nbformats(tmp_path):
    for seed in range(150):
        chance = random.Random(seed)
        cells = [some_cell(chance, i) for i in range(chance.randrange(5))]
        given = {"cells": cells, "metadata": {some_text(chance): some_json(chance)}, "nbformat": 4, "nbformat_minor": 5}
        source, target = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
        source.write_text(json.dumps(given, ensure_ascii=chance.random() < 0.5), newline="")
        want = nbformat.writes(nbformat.from_dict(given))
        run("notebook", "convert", source, "-o", target)
        got = target.read_bytes().decode()
        assert got.removesuffix("\n") == want.removesuffix("\n"), seed
        run("notebook", "convert", target, "-o", source)
        assert source.read_bytes() == target.read_bytes()


# ---- those in Python ----


def execute(path, home, **more):
    """Runs a notebook as Jupyter does; it with its outputs."""
    before = dict(os.environ)
    settings = {"DICOMLAKE_TABLES": str(home / "tables" / "dicom"), "DICOMLAKE_FILES": str(home / "files" / "AHDS")}
    os.environ.update(settings | more)  # the kernel gets what we have
    try:
        client = nbclient.NotebookClient(nbformat.read(path, as_version=4), timeout=600, kernel_name="python3",
                                         resources={"metadata": {"path": str(path.parent)}})  # fmt: skip
        return client.execute()
    finally:
        os.environ.clear()
        os.environ.update(before)


def printed(notebook, cell_id):
    cell = next(c for c in notebook.cells if c.id == cell_id)
    return "".join(o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stdout")


def modalities(home):
    text = "SELECT coalesce(modality, '(none)') AS modality, count(*) AS n FROM instance GROUP BY 1"
    return {r["modality"]: r["n"] for r in json.loads(run("sql", "--home", home, text, "--json").stdout)}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_from_python(home, tmp_path):
    path = tmp_path / "x.ipynb"
    run("notebook", "new", path, "--from", "python-deltalake")
    ran = execute(path, home)
    lines = [line.rsplit(" ", 1) for line in printed(ran, "modalities").splitlines()]
    assert {("(none)" if name == "None" else name): int(n) for name, n in lines} == modalities(home)
    assert len(printed(ran, "image").splitlines()) == 5


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_spark(home, tmp_path):
    pytest.importorskip("pyspark", reason="pyspark is not installed: ./dev test --all does it")
    if not any(JARS.glob("*.jar")):
        pytest.skip(f"no jars of Delta Lake in {JARS}: ./dev test --all brings them")
    path = tmp_path / "x.ipynb"
    run("notebook", "new", path, "--from", "spark-delta")
    ran = execute(path, home, DELTA_JARS=str(JARS), SPARK_LOCAL_IP="127.0.0.1")
    rows = [line.split("|")[1:3] for line in printed(ran, "modalities").splitlines() if line.startswith("|")]
    assert {name.strip(): int(n) for name, n in rows[1:]} == modalities(home)
    total = sum(modalities(home).values())
    assert f"rows now: {total}\n" in printed(ran, "past")
