"""The program that commands of the app ask for a passphrase: it asks the app, and prints that.

It runs by itself, as SSH_ASKPASS, and so knows nothing but Python's own library.
"""

import json
import os
import socket
import sys


def main() -> int:
    """Ask the app behind a socket: its path and the question are the arguments."""
    path, question = sys.argv[1:3]
    asked = {"question": question, "process": os.getppid()}
    try:
        with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rw") as file:
            connection.connect(path)
            file.write(json.dumps(asked) + "\n")
            file.flush()
            passphrase = json.loads(file.readline() or "null")
    except (OSError, ValueError):  # the app is gone
        return 1
    if not isinstance(passphrase, str):
        return 1
    sys.stdout.write(passphrase + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
