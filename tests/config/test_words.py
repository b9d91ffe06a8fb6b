"""Words as they are typed: paths of any spelling are read as they are, and what cannot be read says how to quote it."""

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException
from hypothesis import given
from hypothesis import strategies as st

from ablate.config.words import STRUCTURED, explain_unreadable, for_hydra


def value(word: str) -> object:
    """What Hydra reads."""
    return OverridesParser.create().parse_overrides([word])[0].value()


@pytest.mark.fault(80)
@pytest.mark.parametrize("path", [
    "epoch=3-acc=0.9.safetensors", "a(b", "~/x", "a#b", "Straße", "猫", "it's", 'a"b', "a;b", "C:\\x\\", "a\\", "!x", "50%",
])  # fmt: skip
def test_a_path_is_read_as_it_is_typed(path: str) -> None:
    for key in ("data.path", "backbone.weights", "study.root", "data.cache", "+data.path"):
        assert value(*for_hydra([f"{key}={path}"])) == path


def test_without_the_quotes_hydra_refuses_it() -> None:
    with pytest.raises(OverrideParseException):
        value("data.path=epoch=3")
    assert for_hydra(["head.activation=a=b"]) == ["head.activation=a=b"]  # no path: it may be a slip


@given(st.text(st.characters(codec="utf-8", exclude_characters=","), min_size=1))
def test_any_path_is(path: str) -> None:
    if not STRUCTURED.match(path) and path == path.strip() and path.isprintable():
        read = value(*for_hydra([f"data.path={path}"]))
        assert str(read) == path or not isinstance(read, str)  # a number, true, null


QUESTION = "Does it help? (yes, I think: 'mostly')"
ADAM, SGD = "optimizer=adam: optimizer.lr=1e-3,3e-3", "optimizer=sgd: optimizer.lr=0.05,0.1"


@pytest.mark.parametrize(("words", "read"), [
    ([f"study.question={QUESTION}"], QUESTION),
    ([f'study.question="{QUESTION}"'], QUESTION),
    (["study.question=it's \\ and {x}, 5$\\"], "it's \\ and {x}, 5$\\"),
    (['study.question="a" or "b"'], '"a" or "b"'),
    (["study.baseline=reg=on ema=on"], "reg=on ema=on"),
    (["study.baseline='reg=on ema=on'"], "reg=on ema=on"),
    (["study.exclude=[backbone=effnet_b7 batch_size=b512]"], ["backbone=effnet_b7 batch_size=b512"]),
    (["study.exclude=head.hidden=[8,8] optimizer=adam, head=linear"], ["head.hidden=[8,8] optimizer=adam", "head=linear"]),
    (["study.exclude='a=1 b=2','c!=3'"], ["a=1 b=2", "c!=3"]),
    (["study.exclude=[]"], []),
    ([f"study.when=['{ADAM}', '{SGD}']"], [ADAM, SGD]),
    ([f"study.when=[{ADAM}, {SGD}]"], [ADAM, SGD]),
    ([f"study.when={ADAM}"], [ADAM]),
    ([f"study.when=[{ADAM},", f"{SGD}]", "head=linear"], [ADAM, SGD]),  # bash cuts at the space between the entries
    (["study.when=backbone.freeze=stages:2: head.hidden=[8,8],[16], optimizer=sgd: head=linear"],
     ["backbone.freeze=stages:2: head.hidden=[8,8],[16]", "optimizer=sgd: head=linear"]),
    (["study.zip=[optimizer.lr weight_decay.value]"], ["optimizer.lr weight_decay.value"]),
    (["study.zip=[optimizer.lr,weight_decay.value]"], ["optimizer.lr weight_decay.value"]),
    (["study.zip=optimizer.lr batch_size, backbone head"], ["optimizer.lr batch_size", "backbone head"]),
])  # fmt: skip
def test_a_studys_texts_are_read_as_they_are_typed(words: list[str], read: object) -> None:
    first, *rest = for_hydra(words)
    found = value(first)
    assert ([str(entry) for entry in found] if isinstance(found, list) else found) == read
    assert for_hydra([first]) == [first]  # as a recorded command has it
    assert rest == (["head=linear"] if len(words) > 1 else [])


def test_without_the_quotes_hydra_refuses_a_text() -> None:
    with pytest.raises(OverrideParseException):
        value(f"study.question={QUESTION}")
    with pytest.raises(ValueError, match=r"quote the whole text for the shell: study\.question='Does it help'"):
        for_hydra(["study.question=Does", "it", "help"])
    with pytest.raises(ValueError, match="would be read as another setting's value"):
        for_hydra(["study.question=What does ${data.name} say?"])


def test_commas_part_paths_and_structure_is_left_alone() -> None:
    assert for_hydra(["data.path=a=1,b"]) == ['data.path="a=1","b"']
    for word in ("data.path='a=b'", 'data.path="x,y"', "data.path=${oc.env:IMG}/a=b", "data.path=glob(*)", "-m"):
        assert for_hydra([word]) == [word]


@pytest.mark.fault(80)
@pytest.mark.parametrize(("word", "said"), [
    ("optimizer=adam,", "ends in a comma; write the values of optimizer without spaces between them"),
    ("optimizer.lr==3", "cannot be read at '='"),
    ("head=a(b", "cannot be read at '('"),
    ("head=~a", "cannot be read at '~'"),
    ("head=a#b", "cannot be read at '#'"),
    ("head=größe", "cannot be read at 'ö'"),
    ("study.exclude=[optimizer=adam]", "quote what the list holds"),
])  # fmt: skip
def test_what_hydra_cannot_read_is_one_sentence_with_the_way_out(word: str, said: str) -> None:
    with pytest.raises(OverrideParseException):
        value(word)
    sentence = explain_unreadable(word)
    assert said in sentence
    if "if this is one text" in sentence:
        (typed,) = shlex.split(sentence.rpartition("for the shell: ")[2])
        assert value(typed) == word.partition("=")[2]


@pytest.mark.fault(80)
@pytest.mark.parametrize(("word", "said"), [
    ("=3", "has no key"), ("data.path=H\udcfcndin", r"H\\xfcndin is not UTF-8"),
])  # fmt: skip
def test_what_is_no_word_is_refused(word: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        for_hydra([word])
