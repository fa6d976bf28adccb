"""Accounts that come with password hashes of other services: their owners sign in as before, and the hash becomes ours.

The hashes of Django 5.2, Flask-Security-Too 5.9 and passlib were made by those, those of Werkzeug are made here.
"""

from __future__ import annotations

import base64
import hashlib
import json

import bcrypt
import pytest
import structlog
from argon2 import PasswordHasher
from werkzeug.security import generate_password_hash

from app.authenticators import imported_hashes
from app.enrollments.models import Enrollment

PASSWORD = "correct horse"
SALT = "a salt of a whole service"
EMAIL = "ada@example.com"
METHODS = ["email", "password"]
pytestmark = pytest.mark.settings(methods=METHODS, imported_password_salt=SALT)

HASHES = {
    "bcrypt 2b": bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode(),
    "bcrypt 2a": bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4, prefix=b"2a")).decode(),
    "bcrypt 2y": bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$"),
    "argon2 of other costs": PasswordHasher(time_cost=1, memory_cost=1024).hash(PASSWORD),
    "Werkzeug scrypt": generate_password_hash(PASSWORD, "scrypt:1024:8:1"),
    "Werkzeug PBKDF2": generate_password_hash(PASSWORD, "pbkdf2:sha256:1000"),
    "Werkzeug PBKDF2 SHA-512": generate_password_hash(PASSWORD, "pbkdf2:sha512:1000"),
    "Django PBKDF2": "pbkdf2_sha256$1000$seasaltseasalt$nFEtiBJrsFKs/zt16fe0xZYOaKEZwkghPKgXrtcV9Hc=",
    "Django PBKDF2 SHA-1": "pbkdf2_sha1$1000$seasaltseasalt$paSCM0joC8gG0D5M4AjwihU/LDo=",
    "Django scrypt": "scrypt$1024$seasaltseasalt$8$5$"
    "9230XsKjxYfteuz286Br9AQKMgBCW83g+/8xXm2qA3/Rs8WB6xpkgP/+Op4/68Ncf5URmXOkxfqoaZk7szM8xw==",
    "Django bcrypt": "bcrypt$$2b$04$3Rkm36hf0FquGcQmYifcjuErhbl9CNlwEI2o6i.YeOm3FxZw8vZZa",
    "Django argon2": "argon2$argon2id$v=19$m=1024,t=2,p=8$c2Vhc2FsdHNlYXNhbHQ$"
    "Dzu5n+8SEqamD0qMj7/SECrENXzu/UnPbu7r00RtbKo",
    "passlib PBKDF2": "$pbkdf2-sha256$1000$Vqr1Pifk3Lt3DsGYs3buHQ$W5T.H8fIyp8SEzY/rDJRSe3u0Rv9.T0JvL2B6KxclPU",
    "passlib PBKDF2 SHA-1": "$pbkdf2$1000$WUspBUDImfP.Pwfg3FurFQ$d95dFGKGDvbRdhYrT82JjKUcpqo",
    "passlib bcrypt_sha256": "$bcrypt-sha256$v=2,t=2b,r=4$uamZ/SLGBmDeVh5qN/m67.$yk7S1P2B8qEMxqYI7rSyxyC9Jc4jiBC",
    "passlib bcrypt_sha256 of old": "$bcrypt-sha256$2b,4$xyUZIqQuIel2WmqZEqJDQO$Nkob2HqXtsmpUvWG4sXnlJpAg6dAJ.e",
    "Kratos PBKDF2": "$pbkdf2-sha512$i=1000,l=32$8PHy8/T19vf4+fr7/P3+/w$xqu1f3FSdHbs02z9AocIk0UpBf6S9uqlRTfcS56zkPo",
    "Kratos scrypt": "$scrypt$ln=1024,r=8,p=1$8PHy8/T19vf4+fr7/P3+/w==$2rA3VVxBi7JUdeKlENqV7JZ3kUPnS38wnsDB+xWehuw=",
    "passlib scrypt": "$scrypt$ln=8,r=8,p=1$qZUy5vxfy/l/LwXAmHNuTQ$8nd1crJeh59X/y83rSvZUtt0wMeMLvfl7OB17GAS/U4",
}
OF_HMAC = {
    "Flask-Security argon2": "$argon2id$v=19$m=1024,t=3,p=4$sNaa0xrDuBdiTAmBcA7B+A$"
    "1XeNlaXZdjmp8Io3bUBSRwm4pUtlHsp2+0rB+vK6LYk",
    "Flask-Security bcrypt": "$2b$04$OCmSpY81CcPDD14BpdFsmODrL9VWGHPVyCKoDnifHn3WzsWuYNw4e",
    "Flask-Security PBKDF2": "$pbkdf2-sha512$1000$AWAMwfh/b01pzTkHoFSKMQ$"
    "aFxzQmCjNvdPKYPaHYZkZ.IZRgKFmAuXm/vopzHGQ32PE.dnZBihy4kf3xT7zKI3pQTkDNDwsdNjx302WnrWJw",
}
FIREBASE = {
    "Supabase": "$fbscrypt$v=1,n={n},r=8,p=1,ss={separator},sk={signer}${salt}${hash}",
    "Kratos": "$firescrypt$ln={n},r=8,p=1${salt}${hash}${separator}${signer}",
}
"""How the two write what Firebase makes."""

OF_FIREBASE = {
    "n": 14,
    "separator": "Bw==",
    "signer": "ou9tdYTGyYm8kuR6Dt0Bp0kDuAYoXrK16mbZO4yGwAn3oLspjnN0/c41v8xZnO1n14J3MjKj1b2g6AUCAlFwMw==",
    "salt": "C0sHCg9ek77hsg==",
    "hash": "zKVTMvnWVw5BBOZNUdnsalx4c4c7y/w7IS5p6Ut2+CfEFFlz37J9huyQfov4iizN8dbjvEJlM5tQaJP84+hfTw==",
}
"""The test vector of Supabase Auth, of the password "mytestpassword"."""
DJANGOS_SCRYPT = (
    "scrypt$16384$seasalt$8$1$Qj3+9PPyRjSJIebHnG81TMjsqtaIGxNQG/aEB/NYafTJ7tibgfYz71m0ldQESkXFRkdVCBhhY8mx7rQwite/Pw=="
)
ALL = HASHES | OF_HMAC


@pytest.fixture
def arrive(operate):
    """Imports Ada with a hash."""

    def bring(text: str, **more: object) -> None:
        line = json.dumps({"email": EMAIL, "password_hash": text} | more)
        assert operate("users", "import", "-", stdin=line).stdout.startswith("1 opened")

    return bring


@pytest.fixture
def kept(app, rows):
    """Returns the password's hash as it is kept, opened."""

    def look() -> str:
        from app.challenges.passcodes import enrolled_context
        from app.extensions import keyring

        (row,) = rows(Enrollment, method="password")
        with app.app_context():
            return keyring.open(row.secret, *enrolled_context(row)).decode()

    return look


def try_in(wire, password: str) -> int:
    """Try to sign in with a password in a new browser; return the status, 200 for one that worked."""
    browser = wire.elsewhere()
    answer = browser.post("/us-signin", identity=EMAIL, passcode=password)
    assert (browser.signed_in_as() is not None) == answer.ok
    return 200 if answer.ok else answer.status


@pytest.mark.one_database
@pytest.mark.slow_hashes
@pytest.mark.parametrize("name", ALL)
def test_imported_hash_is_upgraded_on_first_sign_in(wire, arrive, kept, name):
    arrive(ALL[name], password_hmac=name in OF_HMAC)
    assert ALL[name] in kept()
    assert try_in(wire, PASSWORD + "s") == 400
    assert ALL[name] in kept()
    assert try_in(wire, PASSWORD) == 200
    assert kept().startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert try_in(wire, PASSWORD) == 200
    assert try_in(wire, PASSWORD + "s") == 400


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("text", "typed", "of_hmac"),
    [
        ("bcrypt_sha256$$2b$04$YZQIaS2v/HkTEyAIq1KmK.1ddnaeO249ygkHkuSowu8QKcNa4cYbu", "é" * 50, False),
        (bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode(), "x" * 80, False),
        (generate_password_hash("½ cup of n° 5 café", "pbkdf2:sha256:1000"), "½ cup of n° 5 café", False),
        (generate_password_hash("1/2 cup, café", "pbkdf2:sha256:1000"), "１/2 cup, cafe\u0301", False),
        (
            "$argon2id$v=19$m=1024,t=3,p=4$J+S8t9Z6LwUgBKD0vlfqPQ$HNBBtZryJqtTS1p6PI/e7uLcdKI9N6F0qmk9m+JkMVc",
            "café ½ n° 5 here",
            True,
        ),
        (generate_password_hash("long " * 150, "pbkdf2:sha256:1000"), "long " * 150, False),
        ("pbkdf2_sha256$10000$seasalt$CWWFdHOWwPnki7HvkcqN9iA2T3KLW1cf2uZ5kvArtVY=", "lètmein", False),
        (DJANGOS_SCRYPT, "lètmein", False),
        (generate_password_hash("qwerty", "pbkdf2:sha256:1000"), "qwerty", False),
        (generate_password_hash("1234", "pbkdf2:sha256:1000"), "1234", False),
    ],
    ids=[
        "hashed first",
        "over 72 bytes",
        "as typed",
        "NFKC",
        "NFKD",
        "over 512 characters",
        "Django's own test of PBKDF2",
        "Django's own test of scrypt",
        "short",
        "four digits",
    ],
)
def test_imported_password_outside_our_own_rules_still_works(json_wire, arrive, text, typed, of_hmac):
    arrive(text, password_hmac=of_hmac)
    assert [try_in(json_wire, typed), try_in(json_wire, typed)] == [200, 200]


@pytest.mark.one_database
@pytest.mark.parametrize("form", FIREBASE.values(), ids=FIREBASE)
def test_firebase_hashes_work(json_wire, arrive, form):
    arrive(form.format(**OF_FIREBASE))
    assert try_in(json_wire, "mytestpassword1") == 400
    assert try_in(json_wire, "mytestpassword") == 200


@pytest.mark.one_database
def test_hash_assembled_from_a_keycloak_export_works(json_wire, arrive):
    derived = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), b"\xfb\xff" * 8, 1000, 64)
    salt, value = (base64.b64encode(part).decode() for part in (b"\xfb\xff" * 8, derived))
    arrive(f"$pbkdf2-sha256$1000${salt}${value}")
    assert try_in(json_wire, PASSWORD) == 200


@pytest.mark.parametrize("name", ["bcrypt 2b", "Django PBKDF2", "Werkzeug scrypt"])
def test_wrong_imported_password_is_indistinguishable_from_unknown_user(json_wire, arrive, name):
    arrive(HASHES[name])
    answers = [
        json_wire.elsewhere().post("/us-signin", identity=email, passcode="not the password")
        for email in (EMAIL, "nobody@example.com")
    ]
    assert [answer.status for answer in answers] == [400, 400]
    told = [{**answer.json, "support_id": "", "csrf_token": ""} for answer in answers]
    assert told[0] == told[1]
    assert [*answers[0].headers.keys()] == [*answers[1].headers.keys()]


@pytest.mark.one_database
@pytest.mark.settings(failures_per_hour=3)
def test_guesses_at_an_imported_password_are_rate_limited(json_wire, arrive, kept):
    arrive(HASHES["Django PBKDF2"])
    assert [try_in(json_wire, f"guess number {n}") for n in range(3)] == [400] * 3
    assert try_in(json_wire, PASSWORD) == 400
    assert imported_hashes.is_imported(kept())


@pytest.mark.both_databases
def test_rehash_does_not_overwrite_a_concurrently_changed_password(app, arrive, rows, kept):
    from app.authenticators import password
    from app.authenticators.enrollments import replace
    from app.extensions import db

    arrive(HASHES["Django PBKDF2"])
    (before,) = rows(Enrollment, method="password")
    with app.app_context():
        replace(before.user_id, "password", password.hash_password("seven quiet herons"))
        db.session.commit()
    ours = kept()
    with app.app_context():
        assert password.accept(before, PASSWORD)
        password.renew(before, PASSWORD)
        db.session.commit()
    assert kept() == ours


@pytest.mark.both_databases
def test_rehash_does_not_overwrite_a_concurrent_rehash(app, arrive, rows, kept):
    from app.authenticators import password
    from app.extensions import db

    arrive(HASHES["Django PBKDF2"])
    (before,) = rows(Enrollment, method="password")
    renewed = []
    for _ in range(2):
        with app.app_context():
            password.renew(before, PASSWORD)
            db.session.commit()
        renewed.append(kept())
    assert renewed[0] == renewed[1]


@pytest.mark.settings(imported_password_salt="")
def test_hmac_hash_is_rejected_without_the_configured_salt(operate):
    line = json.dumps({"email": EMAIL, "password_hash": OF_HMAC["Flask-Security bcrypt"], "password_hmac": True})
    result = operate("users", "import", "-", stdin=line)
    assert "password_hash: is of an HMAC, and LATCHKEY_IMPORTED_PASSWORD_SALT is not set" in result.stderr


@pytest.mark.one_database
def test_sign_in_with_hmac_hash_and_no_salt_logs_a_warning(make_app, arrive):
    from tests.wire import Wire

    arrive(OF_HMAC["Flask-Security bcrypt"], password_hmac=True)
    without = make_app(methods=METHODS, imported_password_salt="")
    with structlog.testing.capture_logs() as lines:
        assert try_in(Wire(without, "json"), PASSWORD) == 400
    assert [line["log_level"] for line in lines if line["event"] == "password.no_salt"] == ["warning"]


@pytest.mark.one_database
def test_hmac_hash_does_not_match_under_another_salt(app, make_app, arrive):
    from tests.wire import Wire

    arrive(OF_HMAC["Flask-Security argon2"], password_hmac=True)
    other = make_app(methods=METHODS, imported_password_salt="another one")
    assert try_in(Wire(other, "json"), PASSWORD) == 400
    assert try_in(Wire(app, "json"), PASSWORD) == 200


def test_imported_password_that_looks_like_a_code_is_never_compared(json_wire, arrive, kept):
    arrive(generate_password_hash("20041987", "pbkdf2:sha256:1000"))
    assert try_in(json_wire, "20041987") == 400
    assert imported_hashes.is_imported(kept())
