"""Runs as one HTML file for somebody without a terminal: no script, no network, the same bytes for the same runs."""
