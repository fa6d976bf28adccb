"""Passcodes and magic links: issued, counted, verified and spent.

Promises that an answer is good once, only for its own purpose and method, and only in the browser that asked.
"""
