"""The small programs that are measured, and those that peers are measured with."""
