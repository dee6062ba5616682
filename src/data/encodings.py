"""Text files as strings: UTF-8, and for other files what they seem to be."""

import codecs
import shlex
from pathlib import Path

from src.config.errors import UserError

SAMPLE = 100_000  # bytes that are looked at
# The lead bytes of the more frequent of an encoding's two sets of Chinese characters (level 1).
FREQUENT = {"gb18030": range(0xB0, 0xD8), "big5": range(0xA4, 0xC7)}


def decode(data: bytes, path: Path) -> str:
    """The text of a UTF-8 file without its byte order mark.

    Raises UserError with the offset of the first invalid byte, the encoding that the file seems to have and what converts it.
    """
    start = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0
    try:
        return data[start:].decode("utf-8")
    except UnicodeDecodeError as error:
        offset, found = start + error.start, likely(data)
        target = path.with_name(f"{path.stem}-utf8{path.suffix}")
        raise UserError(
            f"{path} is not UTF-8: byte 0x{data[offset]:02x} at offset {offset:,} ({error.reason}): it is probably {found}: "
            f"iconv -f {found} -t UTF-8 {shlex.quote(str(path))} > {shlex.quote(str(target))}"
        ) from error


def likely(data: bytes) -> str:
    """The likely encoding of bytes that are not UTF-8: UTF-16, UTF-16LE, UTF-16BE, GB18030, BIG5 or LATIN1, as iconv says.

    Chinese text in one double-byte encoding is often valid in the other too, with rare characters.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and _decodes(data, "utf-16"):
        return "UTF-16"
    if b"\0" in data[:SAMPLE]:  # the high bytes of a script with few characters, or of line ends
        for name, low in (("utf-16-le", 1), ("utf-16-be", 0)):
            if data[low:SAMPLE:2].count(0) > data[1 - low : SAMPLE : 2].count(0) and _decodes(data, name):
                return name.replace("utf-16-", "UTF-16").upper()
    shares = {name: _frequent(data, name, lead) for name, lead in FREQUENT.items() if _decodes(data, name)}
    best = max(shares, key=lambda name: shares[name], default="")
    return best.upper() if best and shares[best] > 0.5 else "LATIN1"


def _decodes(data: bytes, name: str) -> bool:
    try:
        data.decode(name)
    except UnicodeDecodeError:
        return False
    return True


def _frequent(data: bytes, name: str, lead: range) -> float:
    """The share of frequent characters in the text's letters outside ASCII."""
    letters = [
        character for character in data[:SAMPLE].decode(name, "ignore") if not character.isascii() and character.isalpha()
    ]
    return sum(character.encode(name)[0] in lead for character in letters) / max(1, len(letters))
