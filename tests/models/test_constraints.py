"""What verse may be, asked symbol by symbol, and what a model of random weights then writes."""

import re
from functools import partial

import pytest
import torch
from torch import Tensor

from src.config.errors import UserError
from src.data.spec import Field, Spec
from src.data.vocabulary import Vocabulary
from src.models.autoregressive import Autoregressive
from src.models.constraints import Constraint, Endings, check_prompt, combined, constraints_of
from src.networks.decoder import Decoder
from src.training import rng

WORDS = Vocabulary.of("春夏秋冬風花雪月，。\n—")


def spec_of(length: int = 40, names: tuple[str, ...] = WORDS.names) -> Spec:
    return Spec({"x": Field("tokens", (length,), "int64", names), "length": Field("length", (), "int64")})


SPEC = spec_of()


def model_of(spec: Spec) -> Autoregressive:
    rng.seed_layers(0, -1)
    model = Autoregressive(spec, 0, partial(Decoder, width=16, depth=1, heads=2), partial(torch.optim.AdamW, lr=1e-2))
    with torch.no_grad():
        model.learner.norm.weight.mul_(2)
    return model


def tokens(text: str) -> Tensor:
    return torch.from_numpy(WORDS.encode(text))[None]


def next_of(constraints: list[Constraint], prefix: str) -> set[str]:
    """The names that may come next."""
    allowed = combined(constraints, Endings(SPEC), tokens(prefix))
    return {WORDS.names[number] for number in allowed[0].nonzero()[:, 0]}


def test_texts_end_and_are_padded() -> None:
    """A model of random weights: without this it would draw each of the special symbols in most texts."""
    x = model_of(SPEC).sample(range(80))
    texts = [[WORDS.names[number] for number in row] for row in x.tolist()]
    assert any("<end>" in text for text in texts)
    for text in texts:
        end = text.index("<end>") if "<end>" in text else len(text)
        assert not {"<pad>", "<unknown>"} & set(text[:end])
        assert set(text[end + 1 :]) <= {"<pad>"}


def test_drawing_stops_when_all_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(SPEC)
    model.learner.embedding.weight.data[WORDS.names.index("<end>")] *= 3
    x, steps, step = model.sample(range(5)), [], Decoder.step
    monkeypatch.setattr(Decoder, "step", lambda *given: (steps.append(1), step(*given))[1])
    assert torch.equal(model.sample(range(5)), x)
    assert len(steps) == (x != 0).sum(dim=1).max()


def test_data_without_special_symbols_are_not_masked() -> None:
    endings = Endings(spec_of(names=("a", "b")))
    assert endings.allowed(torch.zeros(2, 3, dtype=torch.int64)).all()


LETTERS = set("春夏秋冬風花雪月")
STOPS = set("，。\n")


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("", {"春"}),
        ("春", LETTERS | STOPS | {"—"}),
        ("春風花雪", LETTERS | STOPS | {"—"}),
        ("春風，", {"夏", "\n"}),
        ("春風。\n", {"夏"}),
        ("春，夏。", {"<end>"}),
        ("春，夏", LETTERS | STOPS | {"—", "<end>"}),
    ],
)
def test_an_acrostic_by_hand(prefix: str, expected: set[str]) -> None:
    assert next_of(constraints_of(SPEC, heads="春夏"), prefix) == expected


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("", LETTERS),
        ("春", LETTERS),
        ("春風", STOPS),
        ("春風，", LETTERS | {"\n"}),
        ("春風，\n", LETTERS),
        ("春風\n花雪月", set("，。") | {"<end>"}),
        ("春風，花雪月。", {"<end>"}),
    ],
)
def test_lengths_of_lines_by_hand(prefix: str, expected: set[str]) -> None:
    assert next_of(constraints_of(SPEC, form="2,3"), prefix) == expected


def test_verse_of_a_model() -> None:
    model = model_of(SPEC)
    x = model.sample(range(30), constraints=constraints_of(SPEC, heads="春夏秋冬", form="5,5,7,7"))
    texts = [WORDS.decode(row) for row in x.tolist()]
    line = r"[，。\n]\n?"
    form = re.compile(rf"春\w{{4}}{line}夏\w{{4}}{line}秋\w{{6}}{line}冬\w{{6}}[，。]?")
    assert all(map(form.fullmatch, texts)), texts
    assert len(set(texts)) == 30
    prompted = model.continue_from(tokens("春月")[0], range(3), constraints=constraints_of(SPEC, heads="春夏", form="3,3"))
    assert all(re.fullmatch(rf"春月\w{line}夏\w\w[，。]?", WORDS.decode(row)) for row in prompted.tolist())


def test_all_lines_of_an_acrostic_begin_within_a_sample() -> None:
    spec = spec_of(length=8)
    x = model_of(spec).sample(range(60), constraints=constraints_of(spec, heads="春夏秋冬"))
    texts = [WORDS.decode(row) for row in x.tolist()]
    assert all(re.match(r"春.*[，。\n]夏.*[，。\n]\n?秋.*[，。\n]\n?冬", text, re.DOTALL) for text in texts), texts


@pytest.mark.parametrize(
    ("heads", "form", "message"),
    [
        ("春夏秋冬風", "5,5,5,5", r"heads=春夏秋冬風 is for 5 lines and form=5,5,5,5 has 4"),
        ("春x", None, r"heads=春x: 'x' begins no line"),
        ("春，", None, r"begins no line"),
        ("春夏秋冬" * 6, None, r"no room for 24 lines"),
        (None, "5,five", r"form=5,five: must be the lengths"),
        (None, "5,0", r"must be the lengths"),
        (None, "20,20", r"form=20,20: takes 42 symbols and samples have 40"),
    ],
)
def test_what_cannot_be_kept(heads: str | None, form: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        constraints_of(SPEC, heads, form)
    assert "\n" not in str(error.value)


def test_data_without_ends_have_no_form() -> None:
    with pytest.raises(UserError, match="no <end>"):
        constraints_of(spec_of(names=("a", "b", "\n")), form="2,2")


@pytest.mark.parametrize(("prompt", "message"), [("夏", "symbol 1, '夏', is not what heads=春夏"), ("春花，夏秋", "symbol 3")])
def test_a_prompt_against_a_constraint(prompt: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_prompt(tokens(prompt)[0], SPEC, constraints_of(SPEC, heads="春夏", form="3,3"))


def test_constraints_that_contradict_each_other() -> None:
    both = [*constraints_of(SPEC, heads="春"), *constraints_of(SPEC, heads="夏")]
    with pytest.raises(UserError, match="heads=春 and heads=夏: no symbol can be symbol 1"):
        model_of(SPEC).sample([0], constraints=both)


# Rhyme

VERSE = Vocabulary.of("東同中風空公山間還關閒刪日月，。")  # two rhymes of six characters; 日 and 月 are alone in theirs
EAST, PASS = set("東同中風空公"), set("山間還關閒刪")


def rhyming(length: int = 25, names: tuple[str, ...] = VERSE.names, form: str | None = None) -> list[Constraint]:
    return constraints_of(spec_of(length, names), form=form, rhyme=True)


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("日日日日", EAST | PASS | {"日", "月"}),  # the first line ends as it likes
        ("日日日日日，日日日日", EAST | PASS),
        ("日日日日日，日日日日中。月月月月", EAST | PASS | {"日", "月"}),
        ("日日日日日，日日日日中。月月月月月，日日日日", EAST - {"中"}),
        ("日日日日日，日日日日山。月月月月月，日日日日", PASS - {"山"}),
    ],
)
def test_a_rhyme_by_hand(prefix: str, expected: set[str]) -> None:
    spec = spec_of(25, VERSE.names)
    allowed = combined(rhyming(), Endings(spec), torch.from_numpy(VERSE.encode(prefix))[None])[0]
    assert {VERSE.names[number] for number in allowed.nonzero()[:, 0]} == expected


@pytest.mark.parametrize(("others", "expected"), [("送鳳", "東同公宮童"), ("送鳳眾甕凍", "東同公宮童送鳳眾甕凍")])
def test_a_character_with_two_readings_rhymes_with_both(others: str, expected: str) -> None:
    """中 is level (東) and oblique (送); a line ends in neither 送 nor 鳳 where too few characters rhyme with them."""
    words = Vocabulary.of(f"中東同公宮童{others}。")
    rhyme = rhyming(9, words.names, form="1,1,1,1")[-1]
    allowed = rhyme.allowed(torch.from_numpy(words.encode("同。中。公。"))[None])[0]
    assert {words.names[number] for number in allowed.nonzero()[:, 0]} == set(expected)


def test_quatrains_of_a_model_rhyme() -> None:
    from src.evaluation.metrics.quatrains import lines_of, rhymed

    spec = spec_of(25, VERSE.names)
    texts = [VERSE.decode(row) for row in model_of(spec).sample(range(20), constraints=rhyming()).tolist()]
    assert all(rhymed(lines_of(text)) and re.fullmatch(r"(\w{5}[，。]){3}\w{5}[，。]?", text) for text in texts), texts
    assert len(set(texts)) == 20
    simplified = Vocabulary.of("东同中风空公，。")
    spec = spec_of(24, simplified.names)
    x = model_of(spec).sample(range(3), constraints=rhyming(24, simplified.names, "2,2,2,2,2,2"))
    assert all(len({text[-1] for text in re.split("[，。]", simplified.decode(row))[1:6:2]}) == 3 for row in x.tolist())


@pytest.mark.parametrize(
    ("length", "names", "form", "message"),
    [
        (24, VERSE.names, None, "rhyme=true: which lines\\? say form=, such as form=5,5,5,5"),
        (25, VERSE.names, "5,5", "rhymes with the fourth, and there are 2"),
        (25, WORDS.names, None, "no rhyme has 5 characters in the vocabulary"),
        (25, (*VERSE.names, "山中"), None, "rhyme= counts characters, and this vocabulary has pieces of several"),
    ],
)
def test_rhymes_that_cannot_be_had(length: int, names: tuple[str, ...], form: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        rhyming(length, names, form)
    assert "\n" not in str(error.value)
