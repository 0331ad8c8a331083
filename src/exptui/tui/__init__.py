"""The cockpit: a front end of `core` that shows snapshots and hands requests to the `Workspace`."""

import sys

if "asyncio" not in sys.modules:
    # asyncio does without TLS where Python has none, and nothing here speaks it: a start need not load OpenSSL.
    sys.modules["ssl"] = None  # type: ignore[assignment]
    import asyncio  # noqa: F401

    del sys.modules["ssl"]
