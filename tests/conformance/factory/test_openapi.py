"""The OpenAPI document of pipelines and runs: schemathesis asks whether the routes keep to it."""

import pytest
from support import openapi
from support.rest import Rest
from support.server import wait_for
from support.template import reference

EXAMPLES = 12  # of each operation, of what fits and of what does not


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
    client = Rest(shared_serve().base, "/factory")
    for path, properties in documents().items():
        assert client.put(path, {"properties": properties}).status == 201
    assert client.post("/publish").status == 200
    assert client.post("/triggers/hourly/start").status == 200
    wait_for(
        lambda: len(client.get("/runs?status=Succeeded", {}).json()["value"]) == 3, 60, "runs"
    )
    return client


@pytest.fixture(scope="module")
def document(web):
    return openapi.fetch(web)


@pytest.fixture(scope="module")
def schema(web, document):
    return openapi.load(document, web)


def test_every_reference_leads_somewhere(document):
    openapi.judge_references(document)


def test_operations_are_named_once_and_say_what_they_do(document):
    openapi.judge_operations(document, "factory/")


def test_the_document_and_the_routes_are_the_same(web, document):
    """What is in it is answered, and what is not in it is not: 405 tells the methods of a path."""
    for path, operations in document["paths"].items():
        target = path.replace("{name}", "feed").replace("{id}", "0123abcd")
        also = {"get", "put", "delete"} if path == "/factory/pipelines/import" else set()
        assert openapi.allowed_methods(web, target) - also == set(operations) & openapi.METHODS, path


@pytest.mark.parametrize("mode", openapi.MODES)
def test_answers_keep_to_the_document(schema, mode):
    # it opens connections; the other mode asks it
    skip = {"POST /factory/linkedServices/{name}/test"} if mode == "negative" else ()
    openapi.judge_answers(schema, mode, EXAMPLES, skip)
