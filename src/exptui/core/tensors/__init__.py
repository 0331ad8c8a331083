"""The tensors in files that machine-learning libraries write, read without those libraries and without running anything."""
