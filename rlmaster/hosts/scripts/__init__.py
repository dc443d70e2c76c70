"""Programs that are sent to other computers: Python 3.8, its standard library, and nothing else."""
