"""A push service of the tests' own: it keeps what it is sent, and answers as it is told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """What was sent to it, oldest first, and how it answers."""

    def __init__(self, port: int, address: str) -> None:
        self.port = port
        self.address = address
        self.received: list[dict[str, Any]] = []
        self.status = 200
        self.answers = threading.Event()
        """Answers are held back until it is set."""
        self.answers.set()

    @property
    def ntfy(self) -> str:
        """Its address as an ntfy server."""
        return f"ntfy://somebody:s3cret@{self.address}:{self.port}/t0pic"

    @property
    def json(self) -> str:
        """Its address as a web hook."""
        return f"json://somebody:s3cret@{self.address}:{self.port}/t0ken"

    def titles(self) -> list[str]:
        """Return the titles of what was sent."""
        return [str(sent["title"]) for sent in self.received]


@contextmanager
def receiving(address: str = "127.0.0.1") -> Iterator[Receiver]:
    """Serve on a free port of this computer, at one of its addresses."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name is http.server's
            status = receiver.status
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.received.append(json.loads(sent))
            receiver.answers.wait(30)
            with suppress(OSError):  # who sent it may be gone
                self.send_response(status)
                self.end_headers()
                self.wfile.write(b"{}")

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer((address, 0), Handler) as server:
        receiver = Receiver(server.server_port, address)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield receiver
        finally:
            receiver.answers.set()
            server.shutdown()
            thread.join()
