"""The OpenAPI document, and a fuzzer that believes it."""

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from generator.serving.http.endpoints import ENDPOINTS
from generator.serving.http.openapi import document

CASES = int(os.environ.get("DRN_CASES", "12"))  # per operation; raise it for a long hunt
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
schema = schemathesis.openapi.from_dict(document(secured=False))


@schema.parametrize()
@settings(
    max_examples=CASES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    database=None,
)
def test_no_request_makes_it_fail(case, drn):
    case.call_and_validate(base_url=f"http://127.0.0.1:{drn.port}", checks=CHECKS, timeout=20)


def test_the_document_is_what_is_served_and_names_every_route(drn):
    _, found, _ = drn("GET", "/openapi.json")
    assert found == document(secured=False)
    assert {(route.method.lower(), route.path) for route in ENDPOINTS} == {
        (method, path) for path, methods in found["paths"].items() for method in methods
    }


@pytest.mark.parametrize("secured", [False, True])
def test_operations_have_names_of_their_own(secured):
    names = [one["operationId"] for methods in document(secured)["paths"].values() for one in methods.values()]
    assert len(set(names)) == len(names)
