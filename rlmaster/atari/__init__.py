"""Atari 2600 games: protocols, vectorised environment, emulator access, frame collection."""
