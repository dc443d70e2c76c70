"""Runs on other computers: handed over, mirrored, pulled, stopped and resumed."""
