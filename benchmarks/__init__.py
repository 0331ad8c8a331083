"""exptui beside its peers, measured in turn in one run: `make bench`. Nothing here is imported by exptui."""
