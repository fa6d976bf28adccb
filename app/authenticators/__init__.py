"""Ways to prove who you are: TOTP apps, passwords, passkeys, recovery codes, and codes that are sent.

Promises that a proof is good once, and that a secret is readable with the master key alone.
"""
