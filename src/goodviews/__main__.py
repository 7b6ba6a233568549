"""``python -m goodviews`` is the command ``goodviews``."""

import sys

from goodviews.cli import main

sys.exit(main())
