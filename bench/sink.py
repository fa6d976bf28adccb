"""A mail server that accepts and discards everything: ``python -m bench.sink PORT``.

``python -m bench.sink PORT codes`` also prints each email's recipient and code (read by ``mailbox.py``).
"""

import asyncio
import os
import re
import sys

ANSWERS = {
    b"EHLO": b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
    b"DATA": b"354 go on\r\n",
    b"QUIT": b"221 bye\r\n",
}


RECIPIENT = re.compile(rb"(?i)RCPT TO:<([^>]+)>")
CODE = re.compile(rb"(?m)^([0-9]{6}|[A-Z0-9]{4}-[A-Z0-9]{4})\r$")
"""Format of the peers' codes, each on a line of its own."""


async def serve_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one client until it disconnects."""
    recipient = b""
    writer.write(b"220 sink\r\n")
    try:
        while line := await reader.readline():
            verb = line[:4].upper()
            writer.write(ANSWERS.get(verb, b"250 ok\r\n"))
            if verb == b"DATA":
                mail = await reader.readuntil(b"\r\n.\r\n")
                print_code(recipient, mail)
                writer.write(b"250 kept\r\n")
            elif found := RECIPIENT.match(line):
                recipient = found[1]
            if verb == b"QUIT":
                break
        await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


def print_code(recipient: bytes, mail: bytes) -> None:
    """Print the code in an email, if codes were requested."""
    if "codes" in sys.argv and (code := CODE.search(mail)):
        os.write(1, b"%s %s\n" % (recipient, code[1]))


async def serve(port: int) -> None:
    """Serve until the process ends."""
    server = await asyncio.start_server(serve_client, "127.0.0.1", port, limit=1 << 20)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
