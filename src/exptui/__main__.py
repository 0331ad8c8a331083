"""`python -m exptui`."""

import sys

from exptui.cli import main

sys.exit(main())
