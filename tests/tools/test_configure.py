"""scripts/configure.sh: a part that comes or goes is noticed in a build folder that exists."""

import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
MESON = """#!/bin/bash
echo "$*" >>"$CALLS"
[ -z "${FAIL:-}" ] || { echo broken; exit 1; }
mkdir -p "$2" && touch "$2/build.ninja"
"""


def test_parts_that_come_and_go(tmp_path):
    for folder in ("src/base", "tests/unit", "fuzz", "bench", "scripts", "bin"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "configure.sh", tmp_path / "scripts")
    meson = tmp_path / "bin" / "meson"
    meson.write_text(MESON)
    meson.chmod(0o755)
    calls = tmp_path / "calls"
    calls.touch()

    def configure(**more):
        calls.write_text("")
        env = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", **more}
        env["CALLS"] = str(calls)
        done = subprocess.run(
            [tmp_path / "scripts" / "configure.sh", "out", "-Da=b"],
            env=env, capture_output=True, text=True,
        )  # fmt: skip
        return done.returncode, calls.read_text().splitlines(), done.stderr

    assert configure() == (0, ["setup out -Da=b"], "")
    assert configure() == (0, [], "")
    (tmp_path / "src" / "base" / "meson.build").touch()
    assert configure(FAIL="yes") == (1, ["setup out --reconfigure"], "broken\n")
    assert configure() == (0, ["setup out --reconfigure"], "")
    assert configure() == (0, [], "")
    (tmp_path / "fuzz" / "fuzz_x.c").touch()
    assert configure() == (0, ["setup out --reconfigure"], "")
    (tmp_path / "fuzz" / "fuzz_x.c").unlink()
    assert configure() == (0, ["setup out --reconfigure"], "")
