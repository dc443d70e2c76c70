"""Doing something with runs: each part of what the actions menu offers."""
