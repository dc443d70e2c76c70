"""SSH: where an address leads, whether the computer there is the right one, and talking to it."""
