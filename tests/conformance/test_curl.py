"""curl as a client: Expect/100-continue, chunked uploads, ranges, compressed answers asked for."""

import json
import shutil
import subprocess

import pytest
from support import dicom
from support.http import multipart

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")

JSON = ["-H", "Accept: application/dicom+json"]
STAR = ["-H", "Accept: application/dicom; transfer-syntax=*"]


def curl(*words, check=True, **more):
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "60", *map(str, words)], capture_output=True, **more
    )
    assert not check or done.returncode == 0, done.stderr
    return done


@pytest.fixture
def file(tmp_path):
    g = dicom.trio().g
    path = tmp_path / "g.dcm"
    path.write_bytes(g.bytes)
    return g, path


def test_expect_continue(web, file):
    """curl sends Expect: 100-continue by itself for a body of this size."""
    g, path = file
    done = curl(
        "-v", *JSON, "-H", "Content-Type: application/dicom", "-H", "Expect: 100-continue",
        "--data-binary", f"@{path}", f"{web.base}/v2/studies",
    )
    assert b"< HTTP/1.1 100 Continue" in done.stderr
    assert b"< HTTP/1.1 200 OK" in done.stderr
    assert g.sop.encode() in done.stdout
    assert web.retrieve(g) == g.bytes


def test_chunked_upload_of_a_multipart_body(web, file, tmp_path):
    g, _ = file
    boundary, body = multipart(g, g.fresh("instance"))
    done = curl(
        *JSON, "-T", "-", "-X", "POST",
        "-H", f'Content-Type: multipart/related; type="application/dicom"; boundary={boundary}',
        "-w", "%{http_code}", "-o", tmp_path / "answer", f"{web.base}/v2/studies", input=body,
    )
    assert done.stdout == b"200"
    assert len(json.loads((tmp_path / "answer").read_bytes())["00081199"]["Value"]) == 2


def test_refusal_without_sending_the_body(web, file):
    _, path = file
    done = curl(
        "-v", "-H", "Content-Type: text/plain", *JSON, "-H", "Expect: 100-continue",
        "--data-binary", f"@{path}", f"{web.base}/v2/studies",
    )
    assert b"< HTTP/1.1 415" in done.stderr
    assert b"< HTTP/1.1 100" not in done.stderr


def test_ranges_and_resumed_download(web, file, tmp_path):
    g, _ = file
    web.store(g)
    url = f"{web.base}/v2{g.path}"
    assert curl(*STAR, "-r", "128-131", url).stdout == b"DICM"
    half = tmp_path / "half.dcm"
    half.write_bytes(g.bytes[:1000000])
    curl(*STAR, "-C", "-", "-o", half, url)
    assert half.read_bytes() == g.bytes
    assert curl(*STAR, "-r", "-10", url).stdout == g.bytes[-10:]


def test_head(web, file):
    g, _ = file
    web.store(g)
    done = curl("-I", *STAR, f"{web.base}/v2{g.path}")
    assert done.stdout.startswith(b"HTTP/1.1 200 OK")
    assert f"Content-Length: {len(g.bytes)}".encode() in done.stdout


def test_compressed_answers_are_optional(web, file):
    g, _ = file
    web.store(g)
    done = curl("--compressed", *JSON, f"{web.base}/v2/studies/{g.study}/metadata")
    assert json.loads(done.stdout)[0]["00080018"]["Value"] == [g.sop]


def test_many_requests_on_one_connection(web, file):
    g, _ = file
    web.store(g)
    url = f"{web.base}/v2/studies"
    done = curl("-v", *JSON, *[url] * 20)
    assert done.stderr.count(b"< HTTP/1.1 200 OK") == 20
    assert done.stderr.count(b"Re-using existing connection") == 19
