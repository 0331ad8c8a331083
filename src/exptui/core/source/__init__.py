"""The code of a run as a part of it: captured when the run is queued, unpacked where it works."""
