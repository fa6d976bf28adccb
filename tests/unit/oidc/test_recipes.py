"""Recipes in docs/integrate: the clients file accepts each client, and the values agree with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.oidc.client_file import read_clients

FOLDER = Path(__file__).parents[3] / "docs" / "integrate"
pytestmark = pytest.mark.one_database

OTHERS = {"README", "nginx", "caddy", "traefik", "haproxy", "envoy"}
"""Of proxies that ask about each request: tests/forward_auth_proxies runs them."""

RECIPES = sorted(path for path in FOLDER.glob("*.md") if path.stem not in OTHERS)
TOML = re.compile(r"```toml\n(.*?)```", re.S)


def text_of(path: Path) -> str:
    """Return a recipe with a digest in place of the one that its reader creates."""
    return path.read_text().replace("<digest>", "0" * 64)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_client_is_valid(path, tmp_path):
    (block,) = TOML.findall(text_of(path))
    file = tmp_path / "clients.toml"
    file.write_text(block)
    clients, problems = read_clients(str(file))
    assert problems == []
    assert list(clients) == [path.stem]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_uses_the_same_client_id_and_existing_endpoints(path, app):
    recipe = text_of(path).partition("## In the app")[2]
    assert path.stem in recipe
    served = {rule.rule for rule in app.url_map.iter_rules()}
    named = set(re.findall(r"https://login\.example\.com(/[a-z./_-]+)", recipe))
    assert named <= served


def test_readme_lists_every_recipe():
    listed = set(re.findall(r"\]\((\w+)\.md\)", (FOLDER / "README.md").read_text()))
    assert listed == {path.stem for path in FOLDER.glob("*.md")} - {"README"}
