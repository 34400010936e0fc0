"""The servers under test: started on a free loopback port in a folder of their own, stopped by PID."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

START_SECONDS = 60
STOP_SECONDS = 60
START_TRIES = 3


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def folder_bytes(folder, allocated=False):
    """Sum of file sizes below the folder, or of the blocks they take."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            stat = os.lstat(os.path.join(base, name))
            total += stat.st_blocks * 512 if allocated else stat.st_size
    return total


class Server:
    """A child process with a log file; subclasses say how it starts and when it is ready."""

    name = root = dialect = None

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.process = None
        self.url = None

    def spawn(self, command, **more):
        log = open(self.folder / "log.txt", "ab")
        with log:
            self.process = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL, **more)

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        for left in reversed(range(START_TRIES)):
            try:
                self.launch()
                return self
            except RuntimeError:
                self.stop()
                if left == 0:
                    raise
        return self

    def stop(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def answers(self, path):
        request = urllib.request.Request(
            self.url + path, headers={"Accept": "application/dicom+json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status in (200, 204)
        except OSError:
            return False

    def wait_until_ready(self, path):
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}: {self.log_end()}")
            if self.answers(path):
                return
            time.sleep(0.1)
        raise RuntimeError(f"{self.name} is not ready after {START_SECONDS} s: {self.log_end()}")

    def log_end(self):
        text = (self.folder / "log.txt").read_text(errors="replace")
        return " | ".join(text.splitlines()[-5:])

    # ---- what the kernel says about the process ----

    def status_kb(self, field):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{field}:\s+(\d+) kB", text, re.M).group(1))

    def rss_mb(self):
        return self.status_kb("VmRSS") / 1024

    def peak_rss_mb(self):
        return self.status_kb("VmHWM") / 1024

    def forget_peak(self):
        pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Dicomlake(Server):
    name, root, dialect = "dicomlake", "/v2", "azure"

    def __init__(self, folder, binary):
        super().__init__(folder)
        self.binary = binary

    def launch(self):
        self.spawn(
            [str(self.binary), "serve", "--home", str(self.folder / "home"), "--listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()
        found = re.match(r"listening on (http://127\.0\.0\.1:\d+)\s*$", line)
        if not found:
            raise RuntimeError(f"{self.name} did not say where it listens: {line!r} {self.log_end()}")
        self.url = found.group(1)
        self.wait_until_ready("/v2/studies?limit=1")

    def files_bytes(self, allocated=False):
        return folder_bytes(self.folder / "home" / "files", allocated)

    def state_bytes(self):
        return folder_bytes(self.folder / "home" / "state")


class Feed(Server):
    """bench-feed: a change feed of so many rows."""

    name = "feed"

    def __init__(self, folder, binary, rows):
        super().__init__(folder)
        self.binary, self.rows = binary, rows

    def launch(self):
        self.spawn([str(self.binary), "--base", str(self.rows)], stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        found = re.match(r"listening on (http://127\.0\.0\.1:\d+)\s*$", line)
        if not found:
            raise RuntimeError(f"{self.name} did not say where it listens: {line!r} {self.log_end()}")
        self.url = found.group(1)


class Orthanc(Server):
    """Orthanc and its DICOMweb plugin with SQLite, each stored file synced, everything else as it comes."""

    name, root, dialect = "Orthanc", "/dicom-web", "orthanc"
    binary = shutil.which("Orthanc") or "/usr/sbin/Orthanc"
    plugin = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"

    @classmethod
    def is_there(cls):
        return os.access(cls.binary, os.X_OK) and os.path.exists(cls.plugin)

    def launch(self):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        settings = {
            "Name": "bench",
            "StorageDirectory": str(self.folder / "files"),
            "IndexDirectory": str(self.folder / "index"),
            "Plugins": [self.plugin],
            "SyncStorageArea": True,
            "HttpPort": port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomServerEnabled": False,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "StudiesMetadata": "Full", "SeriesMetadata": "Full"},
        }
        path = self.folder / "orthanc.json"
        path.write_text(json.dumps(settings, indent=1))
        self.spawn([self.binary, str(path)], stdout=subprocess.DEVNULL)
        self.wait_until_ready("/dicom-web/studies?limit=1")

    def files_bytes(self, allocated=False):
        return folder_bytes(self.folder / "files", allocated)

    def state_bytes(self):
        return folder_bytes(self.folder / "index")
