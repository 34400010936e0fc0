"""Clients of what speaks JSON: documents, lists in pages, problems (RFC 9457)."""

import json
import urllib.parse

from .http import Client

JSON = {"Content-Type": "application/json"}


class Rest(Client):
    """A client of the routes below /factory or /lakehouse."""

    def send(self, method, path, body=None, headers=None, **more):
        """`body`: bytes as they are, anything else as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        sent = {**({} if data is None else JSON), **(headers or {})}
        return self.request(method, path, sent, data, **more)

    def put(self, path, body, headers=None):
        return self.send("PUT", path, body, headers)

    def post(self, path, body=None, headers=None):
        return self.send("POST", path, body, headers)

    def value(self, path):
        answer = self.get(path, {})
        assert answer.status == 200, answer
        return answer.json()

    def all(self, path):
        """Every page of a list."""
        found, token, join = [], "", "&" if "?" in path else "?"
        while token is not None:
            more = f"{join}continuationToken={urllib.parse.quote(token)}" if token else ""
            page = self.value(path + more)
            found += page["value"]
            token = page["continuationToken"]
        return found


def problem(answer, status, *words):
    """The answer is a problem of that status that says these words."""
    assert answer.status == status, answer
    assert answer.type == "application/problem+json", answer
    found = answer.json()
    assert found["status"] == status and found["title"] and found["detail"], found
    text = found["detail"] + " " + found.get("hint", "")
    for word in words:
        assert word in text, (word, found)
    return found
