"""Curves of any length: files decoded in blocks into columns, kept beside each other, drawn from a pyramid."""
