"""A user's own network by name: `net.kind=mine:Net`. No torch here, as in `configs`."""

import inspect
from typing import TYPE_CHECKING, Any, ClassVar, cast

import msgspec

from inkling.errors import UserError
from inkling.nets.configs import NetworkConfig
from inkling.settings import Settings

if TYPE_CHECKING:
    from inkling.nets.network import Network


class OwnConfig(Settings, NetworkConfig, frozen=True, tag_field="kind"):
    """Settings that were read off the constructor of a network."""

    network: ClassVar[type[Any]]

    def build(self, channels: int, cond_width: int) -> "Network":
        settings = {name: getattr(self, name) for name in self.__struct_fields__}
        made: Network = self.network(channels, cond_width, **settings)
        return made


def as_network(thing: Any, name: str) -> type[NetworkConfig] | None:
    """The settings of a user's network, tagged with its name so that checkpoints can hold them.

    Args:
        thing: a `Network`, whose constructor takes `channels`, `cond_width` and settings, each with
            a default; or a class of settings with `build`.
        name: `module:name`.

    Raises:
        UserError: a constructor whose settings cannot be read.
    """
    if not isinstance(thing, type):
        return None
    if issubclass(thing, NetworkConfig):
        return _tagged(thing, name, [], {})
    from inkling.nets.network import Network

    if not issubclass(thing, Network):
        return None
    if missing := getattr(thing, "__abstractmethods__", None):
        raise UserError(f"{name} has no {' and no '.join(sorted(missing))}; a network must have it")
    reads = {"network": thing, "reads_tokens": bool(getattr(thing, "reads_tokens", False))}
    return _tagged(OwnConfig, name, _fields(thing, name), reads)


def _tagged(
    base: type[Any], name: str, fields: list[tuple[str, Any, Any]], namespace: dict[str, Any]
) -> type[NetworkConfig]:
    made = msgspec.defstruct(
        name.rpartition(":")[2],
        fields,
        bases=(base,),
        namespace=namespace,
        frozen=True,
        kw_only=True,
        tag_field="kind",
        tag=name,
    )
    return cast(type[NetworkConfig], made)


def _fields(network: type, name: str) -> list[tuple[str, Any, Any]]:
    """(setting, type, default) of every parameter of a constructor after the first two."""
    parameters = [*inspect.signature(network, eval_str=True).parameters.values()]
    if len(parameters) < 2:
        raise UserError(f"{name} must take (channels, cond_width) and then settings with defaults")
    found = []
    for parameter in parameters[2:]:
        if parameter.default is parameter.empty:
            raise UserError(
                f"{name} takes {parameter.name!r} without a default; a setting has one, such as "
                f"{parameter.name}: int = 64"
            )
        typed = parameter.annotation is not parameter.empty
        if not isinstance(parameter.default, int | float | str | bool | tuple):
            raise UserError(
                f"{name} has the default {parameter.default!r} for {parameter.name!r}; a "
                "setting is a number, a text, true or false, or a tuple of these"
            )
        kind = parameter.annotation if typed else type(parameter.default)
        found.append((parameter.name, kind, parameter.default))
    return found
