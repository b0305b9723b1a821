"""Parts by name: those of the registry, and a user's own as `module:name`."""

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from inkling.errors import UserError, unknown_name

Part = TypeVar("Part")


class Registry(dict[str, Part], Generic[Part]):
    """Entries by name. A name such as `mine:leap` is `leap` in the user's module `mine.py`.

    Args:
        entries: that it begins with; a program may add more.
        fits: makes an entry of a user's own thing and its name, or None of one that is none.
        needed: what that must be, for the message: "a sampler, a function (denoise, ...)".
        elsewhere: our names by those that other libraries have, to offer them.
    """

    def __init__(
        self,
        entries: Mapping[str, Part],
        fits: Callable[[Any, str], Part | None],
        needed: str,
        elsewhere: Mapping[str, str] | None = None,
    ):
        super().__init__(entries)
        self._fits, self._needed, self._elsewhere = fits, needed, elsewhere or {}
        self._own: dict[str, Part] = {}  # a class of settings must stay the same class

    def __contains__(self, name: object) -> bool:
        """Whether there is an entry of this name.

        Raises:
            UserError: `module:name` that cannot be imported, or is something else.
        """
        if super().__contains__(name) or name in self._own:
            return True
        if not (isinstance(name, str) and is_own(name)):
            return False
        self._enter(imported(name), name)
        return True

    def __missing__(self, name: str) -> Part:
        if name not in self:
            raise KeyError(name)
        return self._own[name]

    def unknown(self, name: str, what: str, beside: Iterable[str] = ()) -> UserError:
        """What is said of a name that is not there: the one meant, and the choices.

        Args:
            name: as typed.
            what: it should be, such as "sampler".
            beside: further names that would do.
        """
        bare = "".join(filter(str.isalnum, name.casefold()))
        ours = self._elsewhere.get(bare)
        if ours is None:
            return UserError(unknown_name(name, [*beside, *self], what))
        return UserError(
            f"there is no {what} {name!r}; its name here is {ours!r}, among {', '.join(self)}"
        )

    def name_of(self, thing: Any) -> str:
        """The name by which the registry knows a thing of the user's from now on.

        Raises:
            UserError: it is no such part.
        """
        own_name = getattr(thing, "__qualname__", f"{type(thing).__name__}-{id(thing):x}")
        name = f"{thing.__module__}:{own_name}"
        self._enter(thing, name)
        return name

    def _enter(self, thing: Any, name: str) -> None:
        part = self._fits(thing, name)
        if part is None:
            raise UserError(f"{name} is not {self._needed}")
        self._own[name] = part


def subclass_of(base: type[Any]) -> Callable[[Any, str], type[Any] | None]:
    """What fits a registry of classes: a class that extends `base`."""

    def fitting(thing: Any, _name: str) -> type[Any] | None:
        return thing if isinstance(thing, type) and issubclass(thing, base) else None

    return fitting


def is_own(name: str) -> bool:
    """Whether a name means a user's own part, `module:name`."""
    module, sign, thing = name.partition(":")
    return bool(module and sign and thing)


def imported(name: str) -> Any:
    """What `module:name` names; modules of the working directory count.

    Raises:
        UserError: no such module, one that does not run, or nothing of that name in it.
    """
    module, _, thing = name.partition(":")
    sys.path.insert(0, "")
    try:
        return getattr(importlib.import_module(module), thing)
    except Exception as error:  # a user's module may fail in any way
        raise UserError(
            f"{name} names nothing that can be imported ({type(error).__name__}: {error}); write "
            "MODULE:NAME, such as mine:leap for leap in mine.py of the working directory"
        ) from None
    finally:
        sys.path.remove("")
