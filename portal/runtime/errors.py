"""The one exception of this package. Its text is shown as it is, without a traceback."""


class RuntimeProblem(Exception):
    """Something on this machine is in the way; the message says what, and what helps."""
