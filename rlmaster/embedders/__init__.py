"""Embedders: networks that turn observations into latents, each with the loss that trains it."""
