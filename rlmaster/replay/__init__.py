"""Frames as they were played: the store, its files, and a torch dataset over it."""
