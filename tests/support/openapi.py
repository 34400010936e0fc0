"""The OpenAPI documents, as schemathesis sees them: whether one is sound, and whether the routes keep to it."""

import json
import re

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import CHECKS, load_all_checks

METHODS = {"get", "put", "post", "delete", "patch", "head", "options", "trace"}
MODES = ["positive", "negative"]
TIMEOUT = 120  # seconds for an answer

# What Data Factory allows in a document, what SQL is and which names there are is not said in JSON Schema, so what
# fits it may still be refused.
LEFT_OUT = {"positive_data_acceptance"}

load_all_checks()
checks = [c for c in CHECKS.get_all() if c.__name__ not in LEFT_OUT]


def fetch(web):
    """The document of the routes below a client's prefix."""
    answer = web.get("/openapi.json", {})
    assert answer.status == 200 and answer.type == "application/json"
    return answer.json()


def load(document, web):
    """As schemathesis sees it; it refuses a document that is none."""
    made = schemathesis.openapi.from_dict(document)
    made.config.update(base_url=web.base)
    rejection = made.config.checks.negative_data_rejection  # what is too long is refused as well
    rejection.expected_statuses = [*rejection.expected_statuses, "413", "414", "431"]
    made.validate()
    return made


def judge_references(document):
    """Every schema is used, and every reference leads to one."""
    used = set(re.findall(r'"#/components/schemas/([A-Za-z]+)"', json.dumps(document)))
    assert used == set(document["components"]["schemas"])


def judge_operations(document, action):
    """Each has a name of its own, a summary, and the action that it takes, which begins with this."""
    operations = [o for path in document["paths"].values() for o in path.values()]
    names = [o["operationId"] for o in operations]
    assert len(set(names)) == len(names)
    for o in operations:
        assert o["summary"] and o["x-data-action"].startswith(action), o["operationId"]


def allowed_methods(web, target):
    """What 405 says that a path takes, in small letters, without HEAD."""
    answer = web.request("PATCH", target, {}, absolute=True)
    assert answer.status == 405, (target, answer)
    return {m.strip().lower() for m in answer.headers["Allow"].split(",")} - {"head"}


def judge_answers(schema, mode, examples, skip=()):
    """So many made-up requests of each operation, that fit (positive) or not; answers are as the document says.

    `skip`: labels of operations that are not asked."""
    generation = schemathesis.GenerationMode(mode)
    asked = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.label in skip:
            continue

        @settings(
            max_examples=examples,
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
            case.call_and_validate(checks=checks, timeout=TIMEOUT)

        try:
            ask()
        except Unsatisfiable:  # an operation without input: nothing can be wrong with it
            assert mode == "negative", operation.label
    assert asked > 100, asked
