"""A lake with a past, made once for each mode and profile: what the judges of this folder read."""

import pytest
from support.past import Past

KINDS = [("dv", "template-r4"), ("compat", "template-r4"), ("dv", "template-r2"), ("compat", "template-r2")]


@pytest.fixture(scope="module", params=KINDS, ids=[f"{m}-{p}" for m, p in KINDS])
def past(request, tmp_path_factory):
    made = Past(tmp_path_factory.mktemp("past"), *request.param)
    yield made
    made.server.close()
