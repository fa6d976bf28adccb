import pytest
from tests.sinks import code_in, link_in
from app.methods import Challenge

def test_sign_in(wire, people, mail_to, statements, rows, program, clock):
    ada = people.open(email="ada@example.com", methods=["email","authenticator"])
    wire.fetch_csrf()
    with statements() as seen:
        a = wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    print(len(seen), *seen, sep="\n")
    assert a.ok, a
    code = code_in(mail_to(ada.email))
    bad = wire.post("/us-signin", identity=ada.email, passcode="00000000")
    assert bad.status == 400 and bad.codes == ["generic_authn_failed"], (bad, bad.codes)
    with statements() as seen:
        good = wire.post("/us-signin", identity=ada.email, passcode=code)
    print(len(seen), *seen, sep="\n")
    assert good.ok, good
    assert wire.signed_in_as() == ada.email
    assert wire.elsewhere().signed_in_as() is None
    out = wire.post("/logout")
    assert out.ok
    assert wire.signed_in_as() is None

def test_link(wire, people, mail_to):
    ada = people.open(email="ada@example.com")
    wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    link = link_in(mail_to(ada.email), "/us-verify-link")
    a = wire.get(link.removeprefix("http://localhost"))
    assert a.status == 302
    assert wire.signed_in_as() == ada.email

def test_program(program, people, mail_to):
    ada = people.open(email="ada@example.com")
    a = program.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    c = code_in(mail_to(ada.email))
    b = program.post("/us-signin?include_auth_token", identity=ada.email, passcode=c, challenge=a.json["challenge"])
    program.token = b.json["user"]["authentication_token"]
    assert program.get("/us-signin").json["user"]["email"] == ada.email

@pytest.mark.environment(LATCHKEY_LIMITS="off")
def test_live(live_server, page, smtp):
    page.goto("/us-signin")
    from tests.browsing import serious_faults
    assert serious_faults(page) == []
    page.fill("[name=identity]", "new@example.com")
    print(live_server.processes())
    print(live_server.stop(), live_server.processes())
