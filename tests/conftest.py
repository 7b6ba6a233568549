"""What every test runs under."""

import signal

# A shell that starts the tests in the background ignores Ctrl-C for them; the tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)
