"""What the library raises. A bad packet raises nothing: that is a verdict."""

__all__ = [
    "CapacityError",
    "CaptureError",
    "ClosedError",
    "ConfigError",
    "ControlError",
    "ExistsError",
    "LvsError",
    "NotFoundError",
    "RuleError",
]


class LvsError(Exception):
    """What all of them are."""


class ConfigError(LvsError, ValueError):
    """A director cannot be built like this."""


class ClosedError(LvsError):
    """The director is closed."""


class CaptureError(LvsError, OSError):
    """A file of packets cannot be read or written; the message says which, and why."""


class ControlError(LvsError, ValueError):
    """A change to services, servers or settings is refused. Nothing has changed."""


class NotFoundError(ControlError, LookupError):
    """There is no such service, server, scheduler, tunable or daemon."""


class ExistsError(ControlError):
    """There is such a service, server or daemon already."""


class CapacityError(ControlError):
    """There is no room, or no memory, for another one."""


class RuleError(LvsError, ValueError):
    """A rule is refused. Nothing of its line was applied.

    line and column count from 1, columns in characters; word is what is wrong there, empty if something is missing;
    expected is what should be there, or why the word cannot be had.
    """

    message: str
    line: int
    column: int
    word: str
    expected: str

    def __init__(self, message: str, line: int, column: int, word: str, expected: str) -> None:
        super().__init__(message, line, column, word, expected)
        self.message = message
        self.line = line
        self.column = column
        self.word = word
        self.expected = expected

    def __str__(self) -> str:
        return self.message


for _name in __all__:
    globals()[_name].__module__ = "lvs"
