"""A disk that is soon full: a tmpfs of a few megabytes."""

import os
import subprocess

import pytest


class SmallDisk:
    """Mounted at a folder that is made; needs root, and skips without."""

    def __init__(self, folder, size):
        if os.geteuid() != 0:
            pytest.skip("mounting a small tmpfs needs root")
        folder.mkdir()
        self.folder, self.ballast = folder, folder / "ballast"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
        if done.returncode != 0:
            pytest.skip("this machine lets nobody mount: " + done.stderr.decode().strip())

    def grow(self, size):
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.folder)], check=True)

    def fill(self, leave=0):
        """A file, the ballast, that leaves so many bytes."""
        spare = os.statvfs(self.folder).f_bavail * 4096 - leave
        with open(self.ballast, "wb", buffering=0) as f:
            if leave:
                f.write(bytes(max(0, spare)))
                return
            try:
                while True:
                    f.write(bytes(4096))
            except OSError:
                pass

    def unmount(self):
        subprocess.run(["umount", "-l", str(self.folder)], check=True)
