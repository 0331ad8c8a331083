"""`exptui`, and `python -m exptui`. A Ctrl-C before the commands are there ends it as quietly as one later."""

import gc
import sys


def main() -> int:
    """Run one command and return its exit code."""
    try:
        from exptui.cli import main as command
    except KeyboardInterrupt:
        print("\nexptui: interrupted", file=sys.stderr)
        return 5  # as the commands say it
    code = command()
    gc.freeze()  # the process ends: nothing is looked through for garbage once more
    return code


if __name__ == "__main__":
    sys.exit(main())
