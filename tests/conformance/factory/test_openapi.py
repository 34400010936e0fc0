"""The OpenAPI document of pipelines and runs: schemathesis asks whether the routes keep to it."""

import json
import re

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import CHECKS, load_all_checks
from support.http import Client
from support.server import wait_for

JSON = {"Content-Type": "application/json"}
EXAMPLES = 12  # of each operation, of what fits and of what does not
METHODS = {"get", "put", "post", "delete", "patch", "head", "options", "trace"}

# Documents are described as objects only: what Data Factory allows in them is not said in JSON
# Schema, so a document that fits may still be refused, with 400.
LEFT_OUT = {"positive_data_acceptance"}

load_all_checks()
checks = [c for c in CHECKS.get_all() if c.__name__ not in LEFT_OUT]


def reference(name, kind="LinkedServiceReference"):
    return {"referenceName": name, "type": kind}


def documents():
    ends = {"source": reference("feed"), "lake": reference("lake")}
    return {
        "/linkedServices/feed": {"type": "RestService", "typeProperties": {"url": "home:"}},
        "/linkedServices/lake": {"type": "FileServer", "typeProperties": {"host": "home:"}},
        "/pipelines/copy": {
            "activities": [{"name": "Sync", "type": "SyncDicomTables", "typeProperties": ends}]
        },
        "/triggers/hourly": {
            "type": "TumblingWindowTrigger",
            "pipeline": {"pipelineReference": reference("copy", "PipelineReference")},
            "typeProperties": {
                "frequency": "Hour",
                "interval": 1,
                "startTime": "2026-01-05T00:00:00Z",
                "endTime": "2026-01-05T03:00:00Z",
            },
        },
    }


@pytest.fixture(scope="module")
def web(shared_serve):
    """A factory with one of each document, and runs that ended."""
    client = Client(shared_serve().base, "/factory")
    for path, properties in documents().items():
        body = json.dumps({"properties": properties}).encode()
        assert client.request("PUT", path, JSON, body).status == 201
    assert client.request("POST", "/publish").status == 200
    assert client.request("POST", "/triggers/hourly/start").status == 200
    wait_for(
        lambda: len(client.get("/runs?status=Succeeded", {}).json()["value"]) == 3, 60, "runs"
    )
    return client


@pytest.fixture(scope="module")
def document(web):
    answer = web.get("/openapi.json", {})
    assert answer.status == 200 and answer.type == "application/json"
    return answer.json()


@pytest.fixture(scope="module")
def schema(web, document):
    """As schemathesis sees it; it refuses a document that is none."""
    made = schemathesis.openapi.from_dict(document)
    made.config.update(base_url=web.base)
    made.validate()
    return made


def test_every_reference_leads_somewhere(document):
    text = json.dumps(document)
    used = set(re.findall(r'"#/components/schemas/([A-Za-z]+)"', text))
    assert used == set(document["components"]["schemas"])


def test_operations_are_named_once_and_say_what_they_do(document):
    operations = [o for path in document["paths"].values() for o in path.values()]
    names = [o["operationId"] for o in operations]
    assert len(set(names)) == len(names)
    for o in operations:
        assert o["summary"] and o["x-data-action"].startswith("factory/"), o["operationId"]


def test_the_document_and_the_routes_are_the_same(web, document):
    """What is in it is answered, and what is not in it is not: 405 tells the methods of a path."""
    for path, operations in document["paths"].items():
        target = path.replace("{name}", "feed").replace("{id}", "0123abcd")
        answer = web.request("PATCH", target, {}, absolute=True)
        assert answer.status == 405, (path, answer)
        allowed = {m.strip().lower() for m in answer.headers["Allow"].split(",")}
        also = {"get", "put", "delete"} if path == "/factory/pipelines/import" else set()
        assert allowed - {"head"} - also == set(operations) & METHODS, path


@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_answers_keep_to_the_document(schema, mode):
    generation = schemathesis.GenerationMode(mode)
    asked = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.label == "POST /factory/linkedServices/{name}/test" and mode == "negative":
            continue  # opens connections; the other mode asks it

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=generation))
        def ask(case):
            nonlocal asked
            asked += 1
            case.call_and_validate(checks=checks, timeout=20)

        try:
            ask()
        except Unsatisfiable:  # an operation without input: nothing can be wrong with it
            assert mode == "negative", operation.label
    assert asked > 100, asked
