"""Errors that the user can fix."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """An error that the user can fix: the message is one line that says what is wrong and what to do. Exit code 2."""


class Diverged(UserError):
    """A loss or a weight is no longer finite: the training cannot recover."""


class Interrupted(BaseException):
    """A signal ended the work. agreed: all ranks stopped at the same step and saved; False: this process stopped at once."""

    def __init__(self, signal_number: int, agreed: bool = True) -> None:
        super().__init__(f"stopped by signal {signal_number}")
        self.exit_code = 128 + signal_number
        self.agreed = agreed


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """The known names most similar to `name`, as text for an error message; all known names if none is similar."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=count, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names)}"


def suggestions(key: str, known: Iterable[str], similar: Iterable[str]) -> str:
    """What an unknown dotted key may mean, as text for an error message.

    The known keys that end with it, such as model.optimizer.lr for lr; else those of its section with its last name; else the
    nearest of `similar`.
    """
    section, name = key.partition(".")[0], key.rpartition(".")[2]
    deeper = [other for other in known if other.endswith(f".{key}")]
    deeper = deeper or [
        other for other in known if other.startswith(f"{section}.") and other.endswith(f".{name}") and other != key
    ]
    return f"did you mean {' or '.join(sorted(deeper))}?" if deeper else nearest(key, similar)
