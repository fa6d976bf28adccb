"""The tests: unit/<package>, functional/<feature>, browser, architecture (rules for this codebase), and others."""

import pytest

pytest.register_assert_rewrite("tests.browsing", "tests.databases", "tests.serving", "tests.sinks", "tests.wire")
