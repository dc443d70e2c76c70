"""The steps towards a new run, one module each."""
