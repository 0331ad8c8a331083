"""Everything exptui can do, without a screen: imports neither textual nor rich, and prints nothing."""
