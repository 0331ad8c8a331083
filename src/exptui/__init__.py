"""exptui: run, watch, compare, archive and prove machine-learning experiments from the terminal."""

__version__ = "0.1.0"
