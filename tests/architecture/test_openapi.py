"""openapi.yaml is valid, and every path in it exists."""

import re

import pytest
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.openapi import PLACES, document


def test_document_is_valid_openapi_3_1():
    faults = [fault.message for fault in OpenAPIV31SpecValidator(document()).iter_errors()]
    assert faults == []


@pytest.mark.one_database
def test_every_documented_path_exists(app):
    served = {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule) for rule in app.url_map.iter_rules()}
    assert set(document()["paths"]) <= served


class StrictLoader(yaml.SafeLoader):
    """A YAML loader that rejects duplicate keys, of which the last would silently win."""

    def construct_mapping(self, node, deep=False):
        """Return the mapping of ``node``. Raises AssertionError for a duplicate key."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        twice = {str(key) for key in keys if keys.count(key) > 1}
        assert not twice, f"{', '.join(sorted(twice))} occurs twice, line {node.start_mark.line + 1} and after"
        return super().construct_mapping(node, deep)


def test_document_has_no_duplicate_keys():
    yaml.load(next(place for place in PLACES if place.exists()).read_text(), StrictLoader)
