from src.data.rhymes import rhymes


def test_the_table() -> None:
    assert len({name for names in rhymes().values() for name in names}) == 106
    assert rhymes()["流"] & rhymes()["樓"] == {"下平聲十一尤"}
    assert rhymes()["峯"] == rhymes()["峰"] == {"上平聲二冬"}  # forms of one character
