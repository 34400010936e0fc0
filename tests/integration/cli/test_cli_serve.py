"""The command serve: where it listens, how it ends, its settings and its log."""

import contextlib
import re
import signal
import socket

import pytest
from support import dicom
from support.cli import DONE, FAILED, USAGE, facts, run, save, start


@contextlib.contextmanager
def serving(*words):
    process = start("serve", *words)
    try:
        yield process, process.stdout.readline()
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


@pytest.mark.parametrize(
    "listen, pattern",
    [
        ("127.0.0.1:0", r"listening on http://127\.0\.0\.1:[1-9]\d*\n"),
        ("localhost:0", r"listening on http://localhost:[1-9]\d*\n"),
        ("[::1]:0", r"listening on http://\[::1\]:[1-9]\d*\n"),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_says_where_and_stops(home, listen, pattern, number):
    with serving("--home", home, "--listen", listen) as (process, line):
        if "::1" in listen and not line:
            with socket.socket(socket.AF_INET6) as s, contextlib.suppress(OSError):
                s.bind(("::1", 0))
                pytest.fail("::1 can be bound, yet serve did not")
            pytest.skip("this machine has no ::1")
        assert re.fullmatch(pattern, line)
        assert facts("search", "--url", line.split()[-1]) == []
        assert facts("search", "--home", home) == []
        process.send_signal(number)
        assert process.wait(60) == DONE


def test_serve_refuses(home, tmp_path):
    with serving("--home", home, "--listen", "127.0.0.1:0") as (_, line):
        address = line.split("//")[1].strip()
        second = run("serve", "--home", home, "--listen", "127.0.0.1:0")
        assert second.returncode == FAILED
        assert address in second.stderr  # who has the home
        taken = run("serve", "--home", tmp_path / "other", "--listen", address)
        assert taken.returncode == FAILED
        assert re.search(r"^dicomlake: ", taken.stderr, re.M)
    open_to_all = run("serve", "--home", tmp_path / "third", "--listen", "0.0.0.0:0")
    assert open_to_all.returncode == FAILED
    assert "loopback" in open_to_all.stderr


def test_settings_of_the_file_and_over_it(home, tmp_path):
    (home / "config").mkdir(parents=True)
    (home / "config" / "service.json").write_text('{"http.body_limit": 2000}')
    save(tmp_path / "in", dicom.capture(64, 64))
    with serving("--home", home, "--listen", "127.0.0.1:0"):
        assert facts("import", "--home", home, tmp_path / "in", code=FAILED)["refused"] == 1
    with serving("--home", home, "--listen", "127.0.0.1:0", "--set", "http.body_limit=1000000"):
        assert facts("import", "--home", home, tmp_path / "in")["stored"] == 1
    (home / "config" / "service.json").write_text('{"no.such": 1}')
    done = run("serve", "--home", home, "--listen", "127.0.0.1:0")
    assert done.returncode == USAGE
    assert "no.such" in done.stderr
    (home / "config" / "service.json").unlink()


def test_log_level(home):
    with serving("--home", home, "--listen", "127.0.0.1:0", "--log-level", "off") as (
        process,
        line,
    ):
        assert facts("search", "--url", line.split()[-1]) == []
        process.terminate()
        _, err = process.communicate(timeout=60)
        assert err == ""
