"""While Latchkey is down, a proxy lets no one through and returns an error."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.forward_auth_proxies.recipes import RECIPES, WIKI, Places, running
from tests.forward_auth_proxies.visitor import PROGRAM, Visitor
from tests.serving import free_port

pytestmark = pytest.mark.one_database

AWAY = (500, 502, 503, 504)


@pytest.mark.parametrize("kind", RECIPES)
def test_proxy_blocks_all_requests_while_latchkey_is_down(kind, toy, tmp_path, reached):
    places = Places(free_port(), free_port(), toy.port, tmp_path)
    with running(kind, places), ThreadPoolExecutor() as at_once:
        visitor = Visitor(places.port, WIKI)
        asked = [at_once.submit(visitor.ask, target) for target in ("/private", "/public/x", "/.latchkey/start")]
        asked += [at_once.submit(visitor.ask, "/hook", PROGRAM, method="POST", body="x")]
        socket = at_once.submit(visitor.socket, "/public/socket", {})
        assert all(each.result().status in AWAY for each in asked)
        assert socket.result()[0].status in AWAY
    assert reached == []


def test_nginx_own_500_is_not_replaced_by_the_check_response(latchkey, toy, tmp_path, app_cookie, reached):
    """nginx can't keep a large body without its folder: 500, which is also what it makes of a check that failed."""
    places = Places(free_port(), latchkey.port, toy.port, tmp_path)
    with running("nginx", places):
        shutil.rmtree(tmp_path / "client_body")
        assert Visitor(places.port, WIKI, app_cookie).ask("/notes", method="POST", body="x" * 100_000).status == 500
    assert reached == []
