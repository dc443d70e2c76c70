"""`python -m rlmaster` is `rlmaster`."""

from rlmaster.cli import main

if __name__ == "__main__":
    main()
