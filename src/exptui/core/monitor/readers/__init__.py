"""Where a run's numbers are: small readers behind one protocol, each imported when a file of its own is there."""
