"""scripts/install-packages.sh: asks for what is missing only, and leaves no policy behind."""

import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
STUBS = {
    "id": "echo 1000",
    "sudo": 'cat >/dev/null; echo "$*" >>"$CALLS"; case "$*" in *"$FAIL"*) exit 100 ;; esac',
    "apt-get": "exit 99",
    "dpkg-query": 'case " $MISSING " in *" ${@: -1} "*) exit 1 ;; esac; printf installed',
}


@pytest.fixture
def install(tmp_path):
    """Runs `install-packages.sh build` where sudo only takes notes: (exit code, notes)."""
    for folder in ("scripts", "bin"):
        (tmp_path / folder).mkdir()
    shutil.copy(ROOT / "scripts" / "install-packages.sh", tmp_path / "scripts")
    fetch = tmp_path / "scripts" / "fetch-duckdb.sh"
    fetch.write_text("#!/bin/bash\n")
    fetch.chmod(0o755)
    for name, body in STUBS.items():
        stub = tmp_path / "bin" / name
        stub.write_text(f"#!/bin/bash\n{body}\n")
        stub.chmod(0o755)
    calls, policy = tmp_path / "calls", tmp_path / "policy"

    def run(missing, fail="nothing fails"):
        calls.write_text("")
        env = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
        env.update(CALLS=str(calls), MISSING=missing, FAIL=fail, POLICY_RC_D=str(policy))
        done = subprocess.run(
            [tmp_path / "scripts" / "install-packages.sh", "build"],
            env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return done.returncode, calls.read_text().splitlines()

    run.policy = policy
    return run


def apt_words(calls):
    """What apt-get was asked for, without its options."""
    words = [call.split("Acquire::Retries=3 ")[1] for call in calls if "apt-get" in call]
    assert all("DPkg::Lock::Timeout=600" in call for call in calls if "apt-get" in call)
    return words


def test_nothing_missing_nothing_done(install):
    assert install("") == (0, [])


def test_only_what_is_missing_is_asked_for(install):
    code, calls = install("meson zlib1g-dev")
    assert code == 0
    assert apt_words(calls) == ["update", "install -y --no-install-recommends meson zlib1g-dev"]


@pytest.mark.parametrize("fail", ["nothing fails", "apt-get"])
def test_services_are_held_back_and_the_policy_goes_again(install, fail):
    code, calls = install("curl", fail)
    assert code == (0 if fail == "nothing fails" else 1)
    assert calls[:2] == [f"tee {install.policy}", f"chmod 755 {install.policy}"]
    assert calls[-1] == f"rm -f {install.policy}"


def test_a_policy_of_somebody_else_stays(install):
    install.policy.touch()
    _, calls = install("curl")
    assert apt_words(calls) and not [call for call in calls if str(install.policy) in call]


def test_the_list_has_no_package_twice():
    done = subprocess.run(
        [ROOT / "scripts" / "install-packages.sh", "list"], capture_output=True, text=True
    )
    names = done.stdout.split()
    assert len(names) == len(set(names)) and "meson" in names and "dcmtk" in names
