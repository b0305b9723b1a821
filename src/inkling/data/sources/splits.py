"""Which files of one's own folder are for training and which for testing, by their names."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from inkling.data.sources.labels import printable, same_class
from inkling.errors import UserError

TRAIN = ("train", "training")
TEST = ("test", "testing", "validation", "valid", "val", "eval")
"""Names of the splits; of several that are there, the first is taken."""
_PLAIN = frozenset(
    {"image", "images", "img", "imgs", "picture", "pictures", "photo", "photos", "pics", "data"}
    | {"set", "dataset", "split", "folder", "files", "samples", "examples", "jpg", "jpeg", "png"}
)
"""Words that say nothing of what pictures show: train_images is a split, train station a class."""
_OUTWEIGHS = 4


class Named(NamedTuple):
    """An image and its place in the split."""

    path: str
    """Below the folder that is read."""
    parts: tuple[str, ...]
    """The folders inside the split that lead to it, and its name."""


class Splits(NamedTuple):
    """The images of each split."""

    train: list[Named]
    test: list[Named]
    divided: bool
    """Whether there are splits at all."""
    aside: list[str]
    """What belongs to no split, in words."""


def outweighs(many: int, few: int) -> bool:
    """Whether one count is so much larger that the other is taken for something left over."""
    return many >= _OUTWEIGHS * few


def splits_of(root: str, pictures: Sequence[str], structured: Iterable[str] = ()) -> Splits:
    """Divide images by the folders that they are in.

    Args:
        root: the folder, for messages.
        pictures: paths below it.
        structured: folders that are known to be a split because they hold metadata.

    Raises:
        UserError: a folder may be a split or a class.
    """
    named = [Named(path, tuple(path.split(os.sep))) for path in pictures]
    while (first := _only_folder(named)) is not None and _role(first) is None:
        named = _below(named)
    top = Counter(each.parts[0] for each in named if len(each.parts) > 1)
    loose = len(named) - sum(top.values())
    train, test = _first(top, TRAIN), _first(top, TEST)
    _check_several(root, train, top)
    if train is None and test is None:
        train, test = _by_words(root, named, top)
    if train is None and test is None:
        return _inside_classes(named)
    used = {train, test}
    others = {name: n for name, n in top.items() if name not in used and _role(name) is None}
    doubtful = train is not None and test is None and (others or loose)
    if train and doubtful and not _is_training(root, train, named, others, loose, set(structured)):
        return Splits(named, [], False, [])
    if train is None and test is not None and others and test not in structured:
        _check_test(root, test, named, others)
    if train and test and train not in structured:
        _check_both(root, train, test, named, others)
    training = [each for each in named if train is not None and each.parts[0] == train]
    if train is None:  # what is not for testing is for training
        training = [e for e in named if e.parts[0] != test and _role(e.parts[0]) is None]
        others, loose = {}, 0
    aside = [f"{name}{os.sep} ({count:,} pictures)" for name, count in sorted(others.items())]
    spare = [name for name in top if _role(name) is not None and name not in (train, test)]
    aside += [f"{name}{os.sep} ({top[name]:,} pictures)" for name in sorted(spare)]
    aside += [f"{loose:,} pictures outside {train}{os.sep}"] if loose else []
    testing = [each for each in named if test is not None and each.parts[0] == test]
    return Splits(training if train is None else _below(training), _below(testing), True, aside)


def split_files(files: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """(training, test, neither) of files that hold many images, by the words in their paths.

    The name of the file counts before those of the folders around it. Files without such a word
    are for training where no other is.
    """
    by_word: dict[str, list[str]] = {}
    for file in files:
        by_word.setdefault(_split_word(file), []).append(file)
    train = [file for word in TRAIN for file in by_word.get(word, ())]
    test = next((by_word[word] for word in TEST if word in by_word), [])
    rest = [file for file in files if file not in {*train, *test}]
    unnamed = by_word.get("", [])
    if train:
        return sorted(train), test, rest
    return unnamed, test, [file for file in rest if file not in set(unnamed)]


def is_shard(file: str) -> bool:
    """Whether a file is named as a part of a data set: by a split or a number."""
    stem = os.path.basename(file).split(".")[0]
    return bool(_split_word(file)) or bool(re.search(r"(^|[^a-z0-9])\d+$", stem.lower()))


def _split_word(file: str) -> str:
    """The first split that a path names, from its end; empty: none, or several at once."""
    for part in reversed(file.split(os.sep)):
        words = _words(part)
        found = [word for word in (*TRAIN, *TEST) if word in words]
        if len({word in TRAIN for word in found}) == 1:
            return found[0]
    return ""


def _words(name: str) -> list[str]:
    """The words of a name in lower case, without numbers: trainSet_2017 has train and set."""
    return [word.lower() for word in re.findall("[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def _rest(name: str) -> str:
    """The letters and digits that are left of a name without its split."""
    word = re.escape(_split_word(name))
    return re.sub(r"[\W_]", "", re.sub(word, "", name.lower(), count=1))


def _plain_split(name: str) -> str:
    """The split that a folder's name spells beside nothing but plain words; empty: none."""
    rest = [word for word in _words(name) if word not in (*TRAIN, *TEST)]
    plain = name.isascii() and all(word in _PLAIN or len(word) == 1 for word in rest)
    return _split_word(name) if plain else ""


def _role(name: str) -> str | None:
    """The split that a folder of this name holds."""
    return _role_of(_plain_split(name))


def _role_of(word: str) -> str | None:
    return "train" if word in TRAIN else "test" if word in TEST else None


def _first(folders: Iterable[str], wanted: Sequence[str]) -> str | None:
    """The folder of the first of the wanted splits; one of exactly that name comes first."""
    known = {_plain_split(name): name for name in sorted(folders, key=len, reverse=True)}
    known |= {name.lower(): name for name in folders}
    return next((known[word] for word in wanted if word in known), None)


def _only_folder(named: Sequence[Named]) -> str | None:
    """The folder that all images are in, if it is one."""
    first = {each.parts[0] if len(each.parts) > 1 else None for each in named}
    return first.pop() if len(first) == 1 else None


def _below(named: Iterable[Named]) -> list[Named]:
    return [Named(each.path, each.parts[1:]) for each in named]


def _by_words(
    root: str, named: Sequence[Named], top: Iterable[str]
) -> tuple[str | None, str | None]:
    """Folders such as seg_train and seg_test: they hold folders, or differ in the split alone.

    Raises:
        UserError: each class has a folder for each split.
    """
    by_role: dict[str | None, list[str]] = {}
    for name in sorted(top):
        by_role.setdefault(_role_of(_split_word(name)), []).append(name)
    train, test = by_role.get("train", []), by_role.get("test", [])
    paired = {_rest(name) for name in train} & {_rest(name) for name in test}
    of_classes = {_rest(name) for name in by_role.get(None, [])}
    mixed = [name for name in test if len(paired) > 1 or _rest(name) in of_classes]
    if mixed:
        raise UserError(
            f"{root} has folders such as {printable(mixed[0])!r} that name a class and a split at "
            "once; put the folders of the classes into train and test"
        )
    if paired:
        train = [name for name in train if _rest(name) in paired]
        test = [name for name in test if _rest(name) in paired]
        test = sorted(test, key=lambda name: TEST.index(_split_word(name)))[:1]
    deep = {each.parts[0] for each in named if len(each.parts) > 2}
    if len(train) == len(test) == 1 and (paired or {*train, *test} <= deep):
        return train[0], test[0]
    if not train and len(test) == 1 and _has_same_classes(test[0], named, by_role.get(None, [])):
        return None, test[0]
    return None, None


def _check_several(root: str, train: str | None, top: Iterable[str]) -> None:
    """Refuse trainA beside trainB: neither is the training split alone.

    Raises:
        UserError: there are several.
    """
    if train is None or train.lower() in TRAIN:
        return
    several = sorted(name for name in top if _role(name) == "train")
    if len(several) > 1:
        raise UserError(
            f"{root} has several folders of training pictures, "
            f"{' and '.join(map(printable, several))}; name the one that you mean, or put them "
            "into one"
        )


def _has_same_classes(test: str, named: Sequence[Named], others: Iterable[str]) -> bool:
    """Whether a folder holds folders, all of them named as others beside it."""
    inside = {same_class(e.parts[1]) for e in named if e.parts[0] == test and len(e.parts) > 2}
    return bool(inside) and inside <= set(map(same_class, others))


def _check_both(
    root: str, train: str, test: str, named: Sequence[Named], others: dict[str, int]
) -> None:
    """Refuse folders named train and test beside others of the same kind, as many as they.

    Raises:
        UserError: they may be classes.
    """
    inside = [each for each in named if each.parts[0] in (train, test)]
    deep = any(len(each.parts) > 2 for each in inside)
    if not deep and not outweighs(len(inside), sum(others.values())):
        raise UserError(
            f"{root} has folders {printable(train)!r} and {printable(test)!r} beside others with "
            "as many pictures; they may be splits or classes: move the others away, or rename these"
        )


def _inside_classes(named: list[Named]) -> Splits:
    """Splits inside the folders of the classes, where all images are in such."""
    second = {each.parts[1].lower() if len(each.parts) > 2 else "" for each in named}
    train, test = _first(second, TRAIN), _first(second, TEST)
    if train is None or test is None or any(_role(name) is None for name in second):
        return Splits(named, [], False, [])

    def part(name: str) -> list[Named]:
        chosen = [each for each in named if each.parts[1].lower() == name]
        return [Named(each.path, (each.parts[0], *each.parts[2:])) for each in chosen]

    spare = len(named) - len(part(train)) - len(part(test))
    aside = [f"{spare:,} pictures of another split"] if spare else []
    return Splits(part(train), part(test), True, aside)


def _is_training(
    root: str,
    train: str,
    named: Sequence[Named],
    others: dict[str, int],
    loose: int,
    structured: set[str],
) -> bool:
    """Whether a folder named train beside others is a split; else it is a class.

    Raises:
        UserError: both are possible.
    """
    deep = {each.parts[0] for each in named if len(each.parts) > 2}
    inside = sum(each.parts[0] == train for each in named)
    has_classes = train in deep or train in structured
    if others and not has_classes and not deep and train.lower() in TRAIN:
        return False
    if has_classes and not (deep - {train}) and outweighs(inside, loose):
        return True
    if not others and outweighs(inside, loose):
        return True
    raise UserError(
        f"{root} has a folder {printable(train)!r} beside other pictures, which may be the "
        f"training split or a class; read {os.path.join(root, train)} alone, or rename it"
    )


def _check_test(root: str, test: str, named: Sequence[Named], others: dict[str, int]) -> None:
    """Refuse a folder named test, or valid, beside others unless it has the same classes.

    Raises:
        UserError: it may be a class.
    """
    if not _has_same_classes(test, named, others):
        raise UserError(
            f"{root} has a folder {printable(test)!r} beside others and no training split; it may "
            "be a test split or a class: put the others into train, or rename it"
        )
