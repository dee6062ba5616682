"""The Pingshui rhymes (平水韻), by which Chinese verse has rhymed since the Tang dynasty."""

from functools import cache
from pathlib import Path

TABLE = Path(__file__).parent / "pingshui" / "rhymes.txt"


@cache
def rhymes() -> dict[str, frozenset[str]]:
    """The names of the rhymes of each traditional character, one for each of its readings."""
    rows = [line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    *groups, (_, variants) = rows
    found: dict[str, set[str]] = {}
    for name, characters in groups:
        for character in characters:
            found.setdefault(character, set()).add(name)
    same = {pair[0]: found[pair[1]] for pair in variants.split()}
    return {character: frozenset(names) for character, names in (same | found).items()}
