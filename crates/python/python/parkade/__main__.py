"""``python -m parkade`` is the ``parkade`` command."""

import sys

from ._command import main

sys.exit(main())
