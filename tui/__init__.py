"""The full-screen app: reads run folders on this disk, acts by running `rlmaster ... --json`."""
