"""Run it again and compare: each verification has a directory in `archive/restoration/`."""

RESTORATION = "restoration"
