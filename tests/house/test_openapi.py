"""openapi.yaml is what it says it is, and speaks of addresses that exist."""

import re

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.openapi import document


def test_the_document_is_openapi_3_1():
    faults = [fault.message for fault in OpenAPIV31SpecValidator(document()).iter_errors()]
    assert faults == []


@pytest.mark.one_database
def test_every_documented_address_exists(app):
    served = {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule) for rule in app.url_map.iter_rules()}
    assert set(document()["paths"]) <= served
