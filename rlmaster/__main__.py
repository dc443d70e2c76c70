"""Where `rlmaster` and `python -m rlmaster` begin; from the first moment a Ctrl-C ends them."""

import os
import sys

INTERRUPTED = 130
"""Exit code after a Ctrl-C, as shells have it."""
COMPLETION = "_RLMASTER_COMPLETE"
"""Environment variable with which a shell asks for completions."""


def main() -> None:
    """Run the command line; what it imports takes a moment, in which somebody may interrupt it."""
    try:
        from rlmaster.cli import main as run_command

        run_command()
    except KeyboardInterrupt:
        if COMPLETION not in os.environ:  # a shell has no place for a sentence
            sys.stderr.write("\ninterrupted\n")
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
