"""What an operator decides: one typed ``Settings``, read from ``LATCHKEY_*`` and checked before anything starts.

Promises: no value of a secret is ever printed, and an unsafe production setting stops the start.
"""
