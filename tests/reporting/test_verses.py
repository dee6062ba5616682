from src.reporting.verses import is_verse, poems, samples_of, verses

STORKS = "白日依山盡，黃河入海流。欲窮千里目，更上一層樓。"
FILE = f"--- sample 1 ---\n{STORKS}\n\n--- sample 2 ---\n床前明月光，<b>疑是\n"


def test_samples_of_a_file() -> None:
    assert list(samples_of(FILE)) == [("sample 1", STORKS), ("sample 2", "床前明月光，<b>疑是")]
    assert list(samples_of(f"---- seed 7: source ----\n--- sample 1 ---\n\n---- seed 7 ----\n{STORKS}")) == [
        ("seed 7: source", ""),
        ("sample 1", ""),
        ("seed 7", STORKS),
    ]


def test_what_is_verse() -> None:
    assert is_verse(STORKS)
    assert is_verse("床前明月光\n疑是地上霜")
    assert not is_verse("白日依山盡")
    assert not is_verse("你好，我是一個沒有感情也沒有記憶的機器人，你呢？")
    assert not is_verse("The sun, the moon")


def test_lines_become_columns() -> None:
    html = verses(FILE.replace("，<b>", "，"))
    assert html.count('<div class="poem">') == 2
    assert "<span>白日依山盡，</span><span>黃河入海流。</span>" in html
    assert "<small>sample 2</small>" in html
    assert html == poems(samples_of(FILE.replace("，<b>", "，")))
    assert verses("--- sample 1 ---\nShall I compare thee\n") == verses("") == ""


def test_a_sample_that_is_no_verse_stands_beside_others_escaped() -> None:
    html = verses(FILE + f"\n--- sample 3 ---\n{STORKS}\n")
    assert "<span>床前明月光，&lt;b&gt;疑是</span>" in html
