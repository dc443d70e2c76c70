"""A new run before it is launched: what is chosen, typed and kept."""
