"""The program as a person has it: what a command prints, what it exits with, what it shows on a terminal."""

import fcntl
import json
import os
import pathlib
import pty
import select
import signal
import struct
import subprocess
import termios
import time

from . import dicom
from .server import defects, program, wait_for

DONE, FAILED, USAGE, PARTLY = 0, 1, 2, 3
RUN_SECONDS = 300


def environment(env=None):
    """Ours with `env` over it; no home but one that is named there."""
    return {**{k: v for k, v in os.environ.items() if k != "DICOMLAKE_HOME"}, **(env or {})}


def run(*words, env=None, input=None, timeout=RUN_SECONDS, cwd=None):
    """Run the program; its CompletedProcess. Standard input is empty, or this text."""
    done = subprocess.run(
        [program(), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=cwd,
        env=environment(env),
        **({"stdin": subprocess.DEVNULL} if input is None else {"input": input}),
    )
    assert not defects(done.stderr), done.stderr
    return done


def facts(*words, code=DONE, **options):
    """The JSON that a command prints; its exit code is checked."""
    done = run(*words, "--json", **options)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout)


def start(*words, env=None, **options):
    """The program, not waited for."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    words = [program(), *map(str, words)]
    return subprocess.Popen(words, text=True, env=environment(env), **{**pipes, **options})


def listens(process, sign=signal.SIGINT):
    """Wait until the program itself answers the signal: before that it ends whatever just begins."""
    bit = 1 << (sign - 1)

    def caught():
        lines = pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines()
        return any(int(line.split()[1], 16) & bit for line in lines if line.startswith("SigCgt:"))

    wait_for(caught, 60, f"a handler of {sign.name}")


def send(process, sign=signal.SIGINT):
    """Send a signal, and wait until the program has taken it: two in a row are two, and not one."""
    bit = 1 << (sign - 1)

    def taken():
        lines = pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines()
        return not any(int(line.split()[1], 16) & bit for line in lines if line.startswith("ShdPnd:"))

    process.send_signal(sign)
    wait_for(taken, 60, f"the end of a pending {sign.name}")


def on_terminal(*words, typed=b"", width=80, stdout_too=False, env=None):
    """Run with standard error (and input) on a terminal: (exit code, stdout, what it showed)."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    process = subprocess.Popen(
        [program(), *map(str, words)],
        stdin=slave,
        stdout=slave if stdout_too else subprocess.PIPE,
        stderr=slave,
        env=environment(env),
    )
    os.close(slave)
    if typed:
        os.write(master, typed)
    shown = b""
    out = b""
    end = time.monotonic() + RUN_SECONDS
    streams = [master] + ([] if stdout_too else [process.stdout.fileno()])
    while streams and time.monotonic() < end:
        for stream in select.select(streams, [], [], 1)[0]:
            try:
                piece = os.read(stream, 65536)
            except OSError:  # the terminal's other end is closed
                piece = b""
            if not piece:
                streams.remove(stream)
            elif stream == master:
                shown += piece
            else:
                out += piece
    code = process.wait(60)
    if process.stdout:
        process.stdout.close()
    os.close(master)
    return code, out.decode(), shown.decode()


class Home:
    """A home, and the program run on it by DICOMLAKE_HOME."""

    def __init__(self, path, **env):
        self.path = path
        self.env = {"DICOMLAKE_HOME": str(path), **env}

    def __call__(self, *words, code=DONE, cwd=None):
        """What it did; the exit code is checked."""
        done = run(*words, env=self.env, cwd=cwd)
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        return done

    def facts(self, *words, code=DONE):
        return json.loads(self(*words, "--json", code=code).stdout)


# -- files to import --


def save(folder, *instances):
    """One file an instance, below a folder that is made when it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, instance in enumerate(instances):
        (folder / f"{i:04}.dcm").write_bytes(instance.bytes)
    return folder


def many(count, **changes):
    """Instances of one series."""
    first = dicom.capture(**changes)
    return [first.fresh("instance", InstanceNumber=str(i + 1)) for i in range(count)]
