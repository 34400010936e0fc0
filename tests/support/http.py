"""HTTP with nothing added: the headers given are the headers sent (and Host)."""

import http.client
import json
import re
import select
import socket
import time
import uuid
from dataclasses import dataclass

DICOM_JSON = {"Accept": "application/dicom+json"}
SINGLE = {**DICOM_JSON, "Content-Type": "application/dicom"}
ANY_DICOM = {"Accept": "application/dicom; transfer-syntax=*"}
ANY_MULTIPART = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
TIMEOUT_SECONDS = 180


@dataclass
class Part:
    headers: dict  # names in lower case
    body: bytes


class Response:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # http.client.HTTPMessage: case-insensitive
        self.body = body

    def __repr__(self):
        return f"<{self.status} {self.type} {self.body[:300]!r}>"

    @property
    def text(self):
        return self.body.decode("utf-8")

    @property
    def type(self):
        return self.headers.get("Content-Type")

    def json(self):
        return json.loads(self.body.decode("utf-8"))

    def parts(self):
        """The parts of a multipart/related body, strictly read."""
        kind, parameters = media_type(self.type)
        assert kind == "multipart/related", self.type
        return split_multipart(self.body, parameters["boundary"])


def media_type(text):
    """A media type and its parameters, quotes removed."""
    kind, _, rest = text.partition(";")
    found = re.findall(r';\s*([^=;\s]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;\s]*)', ";" + rest)
    return kind.strip().lower(), {n.lower(): v.strip('"') for n, v in found}


def split_multipart(body, boundary):
    delimiter = b"--" + boundary.encode()
    assert body.startswith(delimiter), body[:80]
    closing = body.rfind(b"\r\n" + delimiter + b"--")
    assert closing >= 0, "no closing boundary"
    assert body[closing + 4 + len(delimiter) :] in (b"", b"\r\n"), body[closing:]
    parts = []
    at = len(delimiter)
    while True:
        assert body[at : at + 2] == b"\r\n", body[at : at + 20]
        head_end = body.index(b"\r\n\r\n", at)
        headers = {}
        for line in body[at + 2 : head_end].split(b"\r\n"):
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        start = head_end + 4
        end = body.index(b"\r\n" + delimiter, start)
        parts.append(Part(headers, body[start:end]))
        if end == closing:
            return parts
        at = end + 2 + len(delimiter)


def multipart(*parts, boundary=None, part_type="application/dicom", close=True):
    """A multipart/related body: parts are bytes, instances, or (headers, bytes)."""
    boundary = boundary or uuid.uuid4().hex
    out = []
    for part in parts:
        headers = {} if part_type is None else {"Content-Type": part_type}
        if isinstance(part, tuple):
            headers, part = part
        part = getattr(part, "bytes", part)
        out.append(f"--{boundary}\r\n".encode())
        out += [f"{n}: {v}\r\n".encode() for n, v in headers.items()]
        out += [b"\r\n", part, b"\r\n"]
    if close:
        out.append(f"--{boundary}--\r\n".encode())
    return boundary, b"".join(out)


def related(boundary, rest='; type="application/dicom"'):
    """The headers of a multipart store."""
    return {**DICOM_JSON, "Content-Type": f"multipart/related; boundary={boundary}{rest}"}


class Client:
    """Requests to one server; each on a connection of its own."""

    def __init__(self, base, prefix="/v2"):
        self.base = base
        self.prefix = prefix
        host = base.split("//")[1]
        self.host, self.port = host.split(":")[0], int(host.split(":")[1])

    def at(self, prefix):
        """The same server below another prefix, e.g. /v1 or /v2/partitions/x."""
        return Client(self.base, prefix)

    def connect(self):
        return http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT_SECONDS)

    def socket(self):
        s = socket.create_connection((self.host, self.port), timeout=TIMEOUT_SECONDS)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def request(self, method, path, headers=None, body=None, chunked=False, absolute=False):
        """`path` is below the prefix unless `absolute`. `headers`: dict or list of pairs."""
        connection = self.connect()
        try:
            target = path if absolute else self.prefix + path
            pairs = list(headers.items()) if isinstance(headers, dict) else headers or []
            names = {n.lower() for n, _ in pairs}
            connection.putrequest(
                method, target, skip_host="host" in names, skip_accept_encoding=True
            )
            for name, value in pairs:
                connection.putheader(name, value)
            if chunked:
                connection.putheader("Transfer-Encoding", "chunked")
            elif body is not None and "content-length" not in names:
                connection.putheader("Content-Length", str(len(body)))
            try:
                connection.endheaders()
                if chunked:
                    send_chunks(connection, body)
                elif body is not None:
                    connection.send(body)
            except (BrokenPipeError, ConnectionResetError):
                if connection.sock is None:
                    raise
                # refused before the body was read: the answer may be there all the same
            answer = connection.getresponse()
            return Response(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path, headers=DICOM_JSON, **more):
        return self.request("GET", path, headers, **more)

    def delete(self, path, headers=None):
        return self.request("DELETE", path, headers)

    def raw(self, data, shut=False):
        """Send bytes as they are, read until the server closes; the bytes that came."""
        with self.socket() as s:
            try:
                s.sendall(data)
                if shut:
                    s.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass
            return read_all(s)

    def raw_status(self, data, shut=False):
        """Status of the first answer; 0 when the connection ended without one."""
        answer = self.raw(data, shut)
        match = re.match(rb"HTTP/1\.1 (\d{3})", answer)
        return int(match.group(1)) if match else 0

    def flood(self, start, piece, seconds=120):
        """Send `piece` again and again until the server ends the connection; what it said."""
        said = b""
        end = time.monotonic() + seconds
        with self.socket() as s:
            try:
                s.sendall(start)
                while time.monotonic() < end:
                    s.sendall(piece)
                    if select.select([s], [], [], 0)[0]:
                        said += s.recv(4096)
            except (BrokenPipeError, ConnectionResetError):
                return said
        raise AssertionError(f"still open after {seconds} s; it said {said[:200]!r}")

    # -- storing --

    def store(self, *instances, study=None, method="POST", headers=None, **more):
        """A multipart store of instances or bytes."""
        boundary, body = multipart(*instances)
        sent = {
            **DICOM_JSON,
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            **(headers or {}),
        }
        path = "/studies" if study is None else f"/studies/{study}"
        return self.request(method, path, sent, body, **more)

    def store_one(self, instance, headers=None, **more):
        """A store of one file as the whole body."""
        sent = {**DICOM_JSON, "Content-Type": "application/dicom", **(headers or {})}
        return self.request("POST", "/studies", sent, getattr(instance, "bytes", instance), **more)

    # -- reading --

    def feed(self, query=""):
        answer = self.get("/changefeed" + query, {})
        assert answer.status == 200, answer
        return answer.json()

    def search(self, path):
        """Results of a search; [] for 204."""
        answer = self.get(path)
        if answer.status == 204:
            assert answer.body == b"", answer
            return []
        assert answer.status == 200, answer
        found = answer.json()
        assert isinstance(found, list) and found, answer
        return found

    def metadata(self, path):
        answer = self.get(path + "/metadata")
        assert answer.status == 200, answer
        return answer.json()

    def retrieve(self, instance):
        """The file as stored."""
        answer = self.get(instance.path, ANY_DICOM)
        assert answer.status == 200, answer
        return answer.body


def send_chunks(connection, body, size=65536):
    pieces = body if not isinstance(body, (bytes, bytearray)) else (
        body[at : at + size] for at in range(0, len(body), size)
    )
    for piece in pieces:
        connection.send(b"%x\r\n" % len(piece) + piece + b"\r\n")
    connection.send(b"0\r\n\r\n")


def read_all(s):
    out = []
    try:
        while True:
            piece = s.recv(65536)
            if not piece:
                break
            out.append(piece)
    except (ConnectionResetError, TimeoutError):
        pass
    return b"".join(out)


def nothing_stored(web):
    """No instance is found, and the feed tells of none."""
    assert web.search("/instances") == []
    assert web.feed() == []


# -- reading DICOM JSON --


def value(item, tag):
    """First value of an element in DICOM JSON; None when absent or empty."""
    values = item.get(tag, {}).get("Value")
    return values[0] if values else None


def stored_items(answer):
    return answer.json().get("00081199", {}).get("Value", [])


def failed_items(answer):
    return answer.json().get("00081198", {}).get("Value", [])


def reason(item):
    """Why an instance was refused."""
    return value(item, "00081197")


def warning(item):
    return value(item, "00081196")


def comments(item):
    """The texts of an item's 00741048."""
    return [value(c, "00000902") for c in item.get("00741048", {}).get("Value", [])]
