"""Agents: who plays by the latents, and how it learns to."""
