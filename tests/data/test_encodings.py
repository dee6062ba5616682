import codecs
from pathlib import Path

import pytest

from src.config.errors import UserError
from src.data.encodings import decode, likely

TRADITIONAL = "白日依山盡，黃河入海流。\n欲窮千里目，更上一層樓。\n" * 3
SIMPLIFIED = "常记溪亭日暮。沉醉不知归路。\n兴尽晚回舟，误入藕花深处。\n" * 3
FRENCH = "Où est le café ? « Là-bas », répond-il, près de la forêt où les élèves ont déjà mangé.\n"
ENGLISH = "a plain text\n"


def test_utf_8_with_and_without_its_mark() -> None:
    path = Path("book.txt")
    assert decode(SIMPLIFIED.encode(), path) == decode(codecs.BOM_UTF8 + SIMPLIFIED.encode(), path) == SIMPLIFIED


@pytest.mark.parametrize(
    ("text", "codec", "name"),
    [
        (SIMPLIFIED, "gb18030", "GB18030"),
        (TRADITIONAL, "gb18030", "GB18030"),
        (TRADITIONAL, "big5", "BIG5"),
        (TRADITIONAL, "utf-16", "UTF-16"),
        (SIMPLIFIED, "utf-16-be", "UTF-16BE"),
        (FRENCH, "utf-16-le", "UTF-16LE"),
        (FRENCH, "latin-1", "LATIN1"),
    ],
)
def test_what_a_file_seems_to_be(text: str, codec: str, name: str) -> None:
    assert likely(text.encode(codec)) == name


def test_the_error_has_the_command_that_converts_the_file(tmp_path: Path) -> None:
    path = tmp_path / "my book.txt"
    with pytest.raises(UserError) as error:
        decode(SIMPLIFIED.encode("gb18030"), path)
    assert str(error.value) == (
        f"{path} is not UTF-8: byte 0xb3 at offset 0 (invalid start byte): it is probably GB18030: "
        f"iconv -f GB18030 -t UTF-8 '{path}' > '{tmp_path / 'my book-utf8.txt'}'"
    )
