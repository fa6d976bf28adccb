"""Pure tools, each named by its subject: time, randomness, addresses, browsers, sealing, refusals.

Promise: nothing here knows a room, a table or a request, and nothing here waits for a disk or a network.
"""
