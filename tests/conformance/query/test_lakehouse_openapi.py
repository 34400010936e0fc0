"""The OpenAPI document of the lakehouse: schemathesis asks whether the routes keep to it."""

import json
import re

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import CHECKS, load_all_checks
from support import dicom
from support.http import Client
from support.lake import run

JSON = {"Content-Type": "application/json"}
EXAMPLES = 8  # of each operation, of what fits and of what does not
METHODS = {"get", "put", "post", "delete", "patch", "head", "options", "trace"}

# What SQL is, which names there are and what a document must fit is not said in JSON Schema, so
# what fits it may still be refused.
LEFT_OUT = {"positive_data_acceptance"}

load_all_checks()
checks = [c for c in CHECKS.get_all() if c.__name__ not in LEFT_OUT]


@pytest.fixture(scope="module")
def web(shared_serve):
    """A lakehouse with tables, files and a notebook."""
    server = shared_serve({"lakehouse.seconds": 5})
    assert server.http.store(dicom.capture()).status == 200
    run("sync", "--home", server.home, "--source", server.base)
    client = Client(server.base, "/lakehouse")
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}
    body = json.dumps(notebook).encode()
    assert client.request("PUT", "/lakehouses/home/notebooks/first", JSON, body).status == 201
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
        assert o["summary"] and o["x-data-action"].startswith("lakehouse/"), o["operationId"]


def test_the_document_and_the_routes_are_the_same(web, document):
    """What is in it is answered, and what is not in it is not: 405 tells the methods of a path."""
    for path, operations in document["paths"].items():
        target = path.replace("{kind}", "Tables").replace("{id}", "0" * 32)
        target = re.sub(r"\{[a-z]+\}", "home", target)
        answer = web.request("PATCH", target, {}, absolute=True)
        assert answer.status == 405, (path, answer)
        allowed = {m.strip().lower() for m in answer.headers["Allow"].split(",")}
        assert allowed - {"head"} == set(operations) & METHODS, path


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_answers_keep_to_the_document(schema, mode):
    generation = schemathesis.GenerationMode(mode)
    asked = 0
    for result in schema.get_all_operations():
        operation = result.ok()

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


def test_real_answers_fit_their_schemas(schema):
    """Of what is there, which made-up names rarely hit."""
    home = {"name": "home"}
    paths = {
        "": home,
        "/tables": home,
        "/tables/{table}": {**home, "table": "instance"},
        "/shortcuts": home,
        "/shortcuts/{kind}/{shortcut}": {**home, "kind": "Tables", "shortcut": "study"},
        "/files": home,
        "/files/{path}": {**home, "path": "AHDS"},
        "/cohorts": home,
        "/notebooks": home,
        "/notebooks/{notebook}": {**home, "notebook": "first"},
    }
    for path, parameters in paths.items():
        operation = schema["/lakehouse/lakehouses/{name}" + path]["GET"]
        case = operation.Case(path_parameters=parameters)
        answer = case.call(timeout=20)
        assert answer.status_code == 200, (path, answer.text)
        case.validate_response(answer)
