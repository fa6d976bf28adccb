"""In development, browsers are redirected to the host name that links in emails have."""

import pytest

pytestmark = [pytest.mark.one_database, pytest.mark.settings(public_url="http://localhost:8000")]

OPENED = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html"}


def at(client, host, path="/us-signin?next=/sessions", **headers):
    return client.get(path, headers={"Host": host} | headers)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "[::1]:8000"])
def test_page_opened_by_ip_address_redirects_to_host_name(client, host):
    answer = at(client, host, **OPENED)
    assert (answer.status_code, answer.location) == (302, "http://localhost:8000/us-signin?next=/sessions")
    assert at(client, host, "/us-signin", **OPENED).location == "http://localhost:8000/us-signin"


@pytest.mark.parametrize(
    ("host", "headers"),
    [
        ("localhost:8000", OPENED),
        ("127.0.0.1:8000", {"Sec-Fetch-Mode": "cors", "Accept": "application/json"}),
        ("127.0.0.1:8000", {"Accept": "application/json"}),
        ("127.0.0.1:5173", OPENED),  # a front end's own server, which passes pages on
    ],
)
def test_host_name_and_api_requests_are_not_redirected(client, host, headers):
    assert at(client, host, **headers).status_code == 200


@pytest.mark.settings(public_url="http://127.0.0.1:8000")
def test_configured_ip_address_is_not_redirected(client):
    assert at(client, "127.0.0.1:8000", **OPENED).status_code == 200
