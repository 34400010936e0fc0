"""Orthanc with its DICOMweb plugin, as a client of the service under test."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request

from .server import wait_for

PLUGIN_FOLDERS = ("/usr/share/orthanc/plugins", "/usr/lib/orthanc")


def find():
    """(program, plugin), or None for what is not installed."""
    program = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
    for folder in PLUGIN_FOLDERS:
        plugin = pathlib.Path(folder) / "libOrthancDicomWeb.so"
        if plugin.exists():
            return program, str(plugin)
    return program, None


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Orthanc:
    """Runs until stop(); `peer` is the DICOMweb root of the service it talks to; `config` comes on top."""

    def __init__(self, folder, peer, config=None, **server):
        program, plugin = find()
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log_path = self.folder / "log"
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        settings = {
            "Name": "peer",
            "StorageDirectory": str(self.folder / "db"),
            "IndexDirectory": str(self.folder / "db"),
            "HttpPort": self.port,
            "DicomServerEnabled": False,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "OverwriteInstances": True,
            "Plugins": [plugin],
            "DicomWeb": {
                "Enable": True,
                "Root": "/dicom-web/",
                "Ssl": False,
                "Servers": {"service": {"Url": peer, "HasDelete": True, **server}},
            },
        }
        path = self.folder / "orthanc.json"
        path.write_text(json.dumps({**settings, **(config or {})}))
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [program, str(path)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            wait_for(self.ready, 60, "an answer of Orthanc")
        except BaseException:
            self.stop()
            raise

    def ready(self):
        assert self.process.poll() is None, self.log_path.read_text(errors="replace")[-2000:]
        try:
            return self.get("/system")
        except OSError:
            return None

    def stop(self):
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def call(self, method, path, body=None):
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data=body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                text = answer.read()
        except urllib.error.HTTPError as e:
            raise AssertionError(f"{method} {path}: {e.code} {e.read()[:500]!r}") from None
        try:
            return json.loads(text) if text else None
        except ValueError:
            return text

    def get(self, path):
        return self.call("GET", path)

    def post(self, path, body):
        return self.call("POST", path, body)
