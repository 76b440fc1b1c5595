"""The base of every refusal that a person is told: what, where, and how to mend it."""


class Refused(Exception):
    """A write that was asked for and not done; nothing has changed. `field` names the input it is about, if one."""

    def __init__(self, message: str, *, field: str | None = None):
        super().__init__(message)
        self.message = message
        self.field = field
