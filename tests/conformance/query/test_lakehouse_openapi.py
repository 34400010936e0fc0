"""The OpenAPI document of the lakehouse: schemathesis asks whether the routes keep to it."""

import re

import pytest
from support import dicom, openapi
from support.lake import run
from support.rest import Rest

EXAMPLES = 8  # of each operation, of what fits and of what does not


@pytest.fixture(scope="module")
def web(shared_serve):
    """A lakehouse with tables, files and a notebook."""
    server = shared_serve({"lakehouse.seconds": 5})
    assert server.http.store(dicom.capture()).status == 200
    run("sync", "--home", server.home, "--source", server.base)
    client = Rest(server.base, "/lakehouse")
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}
    assert client.put("/lakehouses/home/notebooks/first", notebook).status == 201
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
    openapi.judge_operations(document, "lakehouse/")


def test_the_document_and_the_routes_are_the_same(web, document):
    """What is in it is answered, and what is not in it is not: 405 tells the methods of a path."""
    for path, operations in document["paths"].items():
        target = path.replace("{kind}", "Tables").replace("{id}", "0" * 32)
        target = re.sub(r"\{[a-z]+\}", "home", target)
        assert openapi.allowed_methods(web, target) == set(operations) & openapi.METHODS, path


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", openapi.MODES)
def test_answers_keep_to_the_document(schema, mode):
    openapi.judge_answers(schema, mode, EXAMPLES)


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
        answer = case.call(timeout=openapi.TIMEOUT)
        assert answer.status_code == 200, (path, answer.text)
        case.validate_response(answer)
