"""The tests: unit/<room>, functional/<feature>, browser, house (the rules this house keeps)."""

import pytest

pytest.register_assert_rewrite("tests.browsing", "tests.databases", "tests.serving", "tests.sinks", "tests.wire")
