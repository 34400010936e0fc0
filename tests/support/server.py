"""Starting, stopping and killing the program under test."""

import functools
import json
import os
import pathlib
import re
import resource
import select
import shutil
import signal
import subprocess
import time

import pytest

from . import http

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_SECONDS = 120  # bounds for what hangs: a busy machine is no defect
STOP_SECONDS = 120


def program():
    """The binary: $DICOMLAKE, else what a build in build/ left."""
    named = os.environ.get("DICOMLAKE")
    if named:
        return str(pathlib.Path(named).resolve())
    for candidate in ("build/dicomlake", "build/src/cli/dicomlake"):
        if (ROOT / candidate).exists():
            return str(ROOT / candidate)
    raise FileNotFoundError("no dicomlake: set DICOMLAKE, or build into build/")


def unit_program(name):
    """A program that the build left in tests/unit: "delta/delta_dump"."""
    for folder in pathlib.Path(program()).resolve().parents:
        if (folder / "tests/unit" / name).exists():
            return str(folder / "tests/unit" / name)
    raise FileNotFoundError(f"no {name} beside the program: build the tests")


@functools.cache
def sanitized():
    """Whether the program is a sanitizer build: its memory figures then mean nothing."""
    try:
        content = pathlib.Path(program()).read_bytes()
        return b"__asan_init" in content or b"__tsan_init" in content
    except FileNotFoundError:
        return False


def defects(text):
    """The signs of a defect in what the program says or logs."""
    return [sign for sign in ("runtime error:", "Sanitizer", "assertion") if sign in text]


def preloadable(source, folder):
    """A library made of a C file for LD_PRELOAD, in this folder."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip(f"no C compiler to build {source.name} with")
    out = folder / source.with_suffix(".so").name
    words = ["-std=gnu17", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", str(out), str(source), "-ldl"]
    subprocess.run([compiler, *words], check=True)
    return str(out)


def wait_for(condition, seconds=60, what="condition", every=0.02):
    """Poll until `condition` is true; returns what it gave."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} not seen within {seconds} s")
        time.sleep(every)


class Server:
    """`dicomlake serve` on a home folder and a free port."""

    def __init__(self, home, settings=None, env=None, preexec=None, wrap=()):
        self.home = pathlib.Path(home)
        self.settings = dict(settings or {})
        self.env = {**os.environ, **(env or {})}
        self.preexec = preexec
        self.wrap = list(wrap)
        self.process = None
        self.base = None
        self.http = None
        self.log_path = pathlib.Path(str(home) + ".log")
        self.exit_codes = []

    # -- life --

    def command(self):
        words = [*self.wrap, program(), "serve", "--home", str(self.home), "--listen", "127.0.0.1:0"]
        for name, value in self.settings.items():
            words += ["--set", f"{name}={value}"]
        return words

    def launch(self):
        """Start the process without waiting for it to listen."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self.env,
                preexec_fn=self.preexec,
            )
        return self

    def start(self):
        self.launch()
        line = self.first_line()
        match = re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+)\n", line)
        if not match:
            self.process.kill()
            code = self.process.wait()
            raise AssertionError(f"first line {line!r}, exit {code}, log:\n{self.log()[-2000:]}")
        self.base = match.group(1)
        self.http = http.Client(self.base)
        return self

    def first_line(self):
        out = self.process.stdout
        end = time.monotonic() + START_SECONDS
        text = b""
        while not text.endswith(b"\n"):
            ready, _, _ = select.select([out], [], [], max(0, end - time.monotonic()))
            byte = os.read(out.fileno(), 1) if ready else b""
            if not byte:
                break
            text += byte
        return text.decode()

    def refused(self):
        """Start a server that must not start: (exit code, what it said)."""
        self.launch()
        line = self.first_line()
        assert line == "", f"started: {line!r}"
        code = self._ended(START_SECONDS)
        return code, self.log()

    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """SIGTERM; returns the exit code."""
        if self.running():
            self.process.send_signal(signal.SIGTERM)
        return self._ended(STOP_SECONDS)

    def kill(self):
        """SIGKILL: a crash."""
        if self.running():
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process = None

    def _ended(self, seconds):
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"still running {seconds} s after SIGTERM") from None
        finally:
            if self.process.stdout:
                self.process.stdout.close()
        self.process = None
        self.exit_codes.append(code)
        return code

    def restart(self, **settings):
        if self.running():
            assert self.stop() == 0
        self.settings.update({k.replace("__", "."): v for k, v in settings.items()})
        return self.start()

    # -- looking at it --

    @property
    def port(self):
        return int(self.base.rsplit(":", 1)[1])

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def memory_bytes(self, field="VmRSS"):
        """VmRSS now, VmHWM at its highest."""
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no {field}")

    def reset_peak(self):
        """Begin a new VmHWM from here."""
        pathlib.Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def bytes_read(self):
        """What it has read so far, from files and from connections."""
        text = pathlib.Path(f"/proc/{self.pid}/io").read_text()
        return int(re.search(r"^rchar: (\d+)$", text, re.M).group(1))

    def thread_count(self):
        return len(list(pathlib.Path(f"/proc/{self.pid}/task").iterdir()))

    def descriptor_count(self):
        return len(list(pathlib.Path(f"/proc/{self.pid}/fd").iterdir()))

    def file_size_limit(self, size_bytes):
        """Writes beyond this size fail in the process (EFBIG); None lifts the limit."""
        soft = resource.RLIM_INFINITY if size_bytes is None else size_bytes
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (soft, resource.RLIM_INFINITY))

    def stored_files(self):
        """What lies in the store: the .dcm files under files/AHDS."""
        return sorted(p for p in (self.home / "files" / "AHDS").rglob("*.dcm") if p.is_file())

    def verify(self, *words):
        """`dicomlake verify --json` on the home: (exit code, parsed output)."""
        done = subprocess.run(
            [program(), "verify", "--home", str(self.home), "--json", *words],
            capture_output=True,
            text=True,
            timeout=300,
            env=self.env if not self.env.get("LD_PRELOAD") else os.environ,
        )
        try:
            found = json.loads(done.stdout)
        except ValueError:
            raise AssertionError(
                f"verify: exit {done.returncode}, {done.stdout!r}, {done.stderr!r}"
            ) from None
        assert found["problemCount"] == len(found["problems"]), found
        return done.returncode, found
