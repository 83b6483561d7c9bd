"""The ``parkade`` command: the whole command line, from the module that the engine is in."""

import signal
import sys

from . import _native


def main() -> int:
    """Runs the command with the process's arguments, and gives its exit code."""
    # As a process without Python has them. SIGINT may be ignored, by whoever started the command.
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _native.main(["parkade", *sys.argv[1:]])
