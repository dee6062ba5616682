"""What the user can mend."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake the user can mend: the message is one line that says what is wrong and what to do. Exit code 2."""


class Diverged(UserError):
    """A loss or a weight is no longer finite: this training can never end well."""


class Interrupted(BaseException):
    """A signal ended the work at a step boundary, after it was saved; or at once, in this process alone (not `agreed`)."""

    def __init__(self, signal_number: int, agreed: bool = True) -> None:
        super().__init__(f"stopped by signal {signal_number}")
        self.exit_code = 128 + signal_number
        self.agreed = agreed


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """The known names most like `name`, as words for an error message; all of them where none is alike."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=count, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names)}"
