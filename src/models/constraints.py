"""What a sequence of symbols may be: masks on the logits of a model that draws symbol by symbol.

A rule of verse (acrostic, line lengths, rhyme) is an object with one method. A new one needs nothing else.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from src.config.errors import UserError
from src.data.rhymes import rhymes
from src.data.scripts import convert
from src.data.spec import Spec
from src.data.vocabulary import END, PAD, SPECIAL, UNKNOWN

STOPS = "，。！？；：\n"  # end a line; a line end may follow another of them
QUATRAINS = {25: "5,5,5,5", 33: "7,7,7,7"}  # symbols of a sample, its end included -> the form of the data of poems
FEWEST = 5  # characters of the vocabulary that a rhyme has, for a line to end in one


class Constraint(Protocol):
    """Which symbols may come next."""

    name: str  # what the user calls it

    def allowed(self, prefix: Tensor) -> Tensor:
        """Sequences so far [B, t] to bool [B, V]. It is not asked about a sequence that has ended."""
        ...


class Endings:
    """The end of sequences: no padding and no unknown symbol before `END`, padding alone after it.

    It needs no `END`: then sequences have the data's length.
    """

    name = "the data"

    def __init__(self, spec: Spec) -> None:
        names = spec.x.names
        self.pad, self.end = (names.index(name) if name in names else None for name in (PAD, END))
        self.inside = torch.tensor([name not in (PAD, UNKNOWN) for name in names])  # [V]

    def ended(self, prefix: Tensor) -> Tensor:
        """Which sequences [B, t] have ended, bool [B]."""
        return (prefix == (-1 if self.end is None else self.end)).any(dim=1)

    def allowed(self, prefix: Tensor) -> Tensor:
        after = torch.arange(len(self.inside)) == (-1 if self.pad is None else self.pad)  # [V]
        return torch.where(self.ended(prefix)[:, None], after, self.inside)


class Lines:
    """Lines within sequences: each is one or more other symbols, then one of `STOPS`, after which a line end may come."""

    def __init__(self, spec: Spec) -> None:
        names = spec.x.names
        self.stop = torch.tensor([name in STOPS for name in names])  # [V]
        self.line_end = torch.tensor([name == "\n" for name in names])
        self.end = torch.tensor([name == END for name in names])
        self.letter = torch.tensor([name.isalnum() for name in names])  # letters, digits, Chinese characters

    def state(self, prefix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of sequences [B, t]: complete lines [B], symbols of the line that has begun [B], and whether a line end may come."""
        stops = torch.cat([torch.ones(len(prefix), 1, dtype=torch.bool), self.stop[prefix]], dim=1)  # [B, 1 + t]
        complete = (stops[:, 1:] & ~stops[:, :-1]).sum(dim=1)
        places = torch.arange(stops.shape[1])
        begun = places[-1] - torch.where(stops, places, 0).amax(dim=1)
        after_mark = torch.zeros(len(prefix), dtype=torch.bool)
        if prefix.shape[1]:
            after_mark = self.stop[prefix[:, -1]] & ~self.line_end[prefix[:, -1]]
        return complete, begun, after_mark


class Heads:
    """An acrostic: line k begins with the k-th character of `heads`, and there are as many lines. For lines see `Lines`.

    A line ends at the latest when there is only room for the lines after it.
    """

    def __init__(self, heads: str, spec: Spec) -> None:
        self.name, self.lines, self.length, names = f"heads={heads}", Lines(spec), spec.shape[0], spec.x.names
        for character in heads:
            if character not in names or character in STOPS:
                raise UserError(f"{self.name}: {character!r} begins no line in the vocabulary of the data: choose another")
        if len(heads) > 1 and (2 * len(heads) > self.length + 1 or not self.lines.stop.any()):
            raise UserError(f"{self.name}: samples have {self.length} symbols and no room for {len(heads)} lines: take fewer")
        self.heads = torch.tensor([names.index(character) for character in heads])

    def allowed(self, prefix: Tensor) -> Tensor:
        lines, count, room = self.lines, len(self.heads), self.length - prefix.shape[1]
        complete, begun, after_mark = (part[:, None] for part in lines.state(prefix))  # [B, 1] each
        following = (count - 1 - complete).clamp(min=0)  # lines after this one, of two symbols or more
        head = torch.arange(len(lines.stop)) == self.heads[complete.clamp(max=count - 1)]  # [B, V]
        first = head | (lines.line_end & after_mark & (room > 1 + 2 * following))
        inside = torch.where(following == 0, True, torch.where(room > 2 * following, ~lines.end, lines.stop))
        done = lines.end if lines.end.any() else ~lines.end
        return torch.where(complete >= count, done, torch.where(begun == 0, first, inside))


class Form:
    """Lines of these lengths in characters. The marks at their ends are those that the model chooses, as in its data."""

    def __init__(self, lengths: Sequence[int], spec: Spec) -> None:
        self.name, self.lines = f"form={','.join(map(str, lengths))}", Lines(spec)
        needed, length = sum(lengths) + len(lengths), spec.shape[0]
        if not self.lines.end.any() or not self.lines.stop.any():
            raise UserError(f"{self.name}: the data have no {END}, or no line ends ({STOPS.strip()}): leave form= out")
        if needed > length:
            raise UserError(f"{self.name}: takes {needed} symbols and samples have {length}: make it shorter")
        self.lengths = torch.tensor(lengths)

    def allowed(self, prefix: Tensor) -> Tensor:
        lines, count = self.lines, len(self.lengths)
        complete, begun, after_mark = (part[:, None] for part in lines.state(prefix))  # [B, 1] each
        length, last = self.lengths[complete.clamp(max=count - 1)], complete == count - 1
        first = lines.letter | (lines.line_end & after_mark)
        # The last line has a mark at its end where the lines of the data have one, but no line end.
        stop = torch.where(last, (lines.stop & ~lines.line_end) | lines.end, lines.stop)
        inside = torch.where(begun < length, lines.letter, stop)
        return torch.where(complete >= count, lines.end, torch.where(begun == 0, first, inside))


class Rhyme:
    """The even lines end in different characters that share one Pingshui rhyme; of a rhyme with few characters none ends one.

    A character with several readings is in several rhymes. Simplified characters rhyme as their traditional forms do.
    lengths: of the lines, as `Form` holds them.
    """

    name = "rhyme=true"

    def __init__(self, lengths: Sequence[int], spec: Spec) -> None:
        if len(lengths) < 4:
            raise UserError(f"{self.name}: the second line rhymes with the fourth, and there are {len(lengths)}: ask for four")
        self.lines, names, table = Lines(spec), spec.x.names, rhymes()
        found = [table.get(name) or table.get(convert(name, "traditional"), frozenset()) for name in names]
        known = sorted(set[str]().union(*found))
        rhyme_of = torch.tensor([[rhyme in own for rhyme in known] for own in found]).view(len(names), len(known))  # [V, R]
        self.rhymes = rhyme_of[:, rhyme_of.sum(dim=0) >= FEWEST]
        if not self.rhymes.any():
            raise UserError(f"{self.name}: no rhyme has {FEWEST} characters in the vocabulary of the data: leave it out")
        self.lengths = torch.tensor(lengths)

    def allowed(self, prefix: Tensor) -> Tensor:
        complete, begun, _ = self.lines.state(prefix)
        count = len(self.lengths)
        last = begun == self.lengths[complete.clamp(max=count - 1)] - 1
        due = last & (complete % 2 == 1) & (complete < count)  # [B]: an even line has room for one more character
        allowed = torch.ones(len(prefix), len(self.rhymes), dtype=torch.bool)
        for row in due.nonzero()[:, 0].tolist():
            shared, used = torch.ones(self.rhymes.shape[1], dtype=torch.bool), self.endings(prefix[row])
            for symbol in used:
                shared &= self.rhymes[symbol]
            allowed[row] = self.rhymes[:, shared].any(dim=1)
            allowed[row, used] = False
        return allowed

    def endings(self, prefix: Tensor) -> list[int]:
        """The last characters of the complete even lines of a sequence [t]."""
        stop = self.lines.stop[prefix]
        last = (~stop[:-1] & stop[1:]).nonzero()[:, 0]  # places
        return prefix[last[1::2]].tolist()


def combined(constraints: Sequence[Constraint], endings: Endings, prefix: Tensor) -> Tensor:
    """What all of them allow after sequences [B, t], bool [B, V]; UserError where they contradict each other."""
    allowed = endings.allowed(prefix)
    running = ~endings.ended(prefix)[:, None]
    for constraint in constraints:
        allowed = allowed & (constraint.allowed(prefix) | ~running)
    if not allowed.any(dim=1).all():
        names = " and ".join(constraint.name for constraint in constraints)
        raise UserError(f"{names}: no symbol can be symbol {prefix.shape[1] + 1} of a sample: change one of them")
    return allowed


def check_prompt(prompt: Tensor, spec: Spec, constraints: Sequence[Constraint]) -> None:
    """Raise UserError for a prompt [P], or [P, V] of V voices, that is too long or has a symbol that is not allowed."""
    length, names = spec.shape[0], spec.x.names
    if len(prompt) >= length:
        unit = "symbols" if prompt.ndim == 1 else "steps"
        raise UserError(f"the prompt has {len(prompt)} {unit} and samples have {length}: shorten it to {length - 1} or fewer")
    if len(prompt) and not 0 <= int(prompt.min()) <= int(prompt.max()) < len(names):
        raise UserError(f"the prompt has symbols outside 0 .. {len(names) - 1}: encode it with the vocabulary of the data")
    prompt = prompt.flatten()
    for place, symbol in enumerate(prompt.tolist()):
        for constraint in (Endings(spec), *constraints):
            if not constraint.allowed(prompt[None, :place])[0, symbol]:
                raise UserError(f"the prompt's symbol {place + 1}, {names[symbol]!r}, is not what {constraint.name} asks for")


def constraints_of(spec: Spec, heads: str | None = None, form: str | None = None, rhyme: bool = False) -> list[Constraint]:
    """The constraints that a user names; UserError for what cannot be kept.

    heads: "春夏秋冬". form: "5,5,5,5". rhyme: see `Rhyme`; without form=, for data of quatrains, it asks for their form too.
    """
    found: list[Constraint] = []
    asked = [name for name, value in {"heads": heads, "form": form, "rhyme": rhyme}.items() if value]
    if asked and any(len(name) > 1 and name not in SPECIAL for name in spec.x.names):
        raise UserError(
            f"{asked[0]}= counts characters, and this vocabulary has pieces of several: take data.encoding=characters"
        )
    if rhyme and form is None and (form := QUATRAINS.get(spec.shape[0])) is None:
        raise UserError(f"{Rhyme.name}: which lines? say form=, such as form=5,5,5,5")
    if heads is not None:
        found.append(Heads(heads, spec))
    if form is not None:
        lengths = [int(word) if word.strip().isdecimal() else 0 for word in form.split(",")]
        if not all(lengths):
            raise UserError(f"form={form}: must be the lengths of the lines in characters, such as 5,5,5,5")
        if heads is not None and len(heads) != len(lengths):
            raise UserError(f"heads={heads} is for {len(heads)} lines and form={form} has {len(lengths)}: make them agree")
        found.append(Form(lengths, spec))
        if rhyme:
            found.append(Rhyme(lengths, spec))
    return found
