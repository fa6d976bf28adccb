"""How views speak HTTP: one negotiator, one commit, one form class, one error page.

Promises that a view never asks what the client wants, and that bad input is never a 500.
"""
