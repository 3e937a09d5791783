"""Whether a class named in a yaml file has the members that its group asks for."""

from __future__ import annotations

import importlib
import inspect
from typing import Any, Generic, Protocol

from glass_cli.common.errors import GlassError
from glass_cli.config.settings import Study

# Read only for a class of the user's own: those of this package are checked by mypy.
CONTRACTS = {
    "model": "glass_cli.models.base.Model",
    "sampler": "glass_cli.method.flow.Sampler",
    "steering": "glass_cli.steering.base.Steering",
    "reward": "glass_cli.rewards.base.Reward",
    "benchmark": "glass_cli.benchmarks.base.Benchmark",
}
OURS = "glass_cli."
_README = "see README, Add your own"


def check_class(target: object, where: str) -> None:
    """Raises GlassError for a class that leaves out what its bases ask for; `where`: its key."""
    missing = sorted(getattr(target, "__abstractmethods__", ()))  # of classes with abstract methods
    if isinstance(target, type) and missing:
        # a dataclass leaves the base's abstract property in place of a field without a default
        fields = [name for name in missing if name in inspect.get_annotations(target)]
        if fields:
            raise GlassError(
                f"{where}: {_name(target)}.{fields[0]} needs a default where it is a field, as in"
                f" {fields[0]}: str = ...; {_README}"
            )
        shown = ", ".join(_shown(getattr(target, name), name) for name in missing)
        raise GlassError(f"{where}: {_name(target)} lacks {shown}; {_README}")


def check_instance(settings: object, group: str, where: str) -> None:
    """Raises GlassError for settings without a member of their group's contract.

    group: of :data:`CONTRACTS`; where: the key they stand under.
    """
    kind = type(settings)
    if kind.__module__.startswith(OURS):
        return
    module, _, name = CONTRACTS[group].rpartition(".")
    contract = getattr(importlib.import_module(module), name)
    _check_signatures(kind, contract, where)
    if contract in kind.__mro__ or issubclass(kind, Study):
        return  # it has the optional members from there; check_class has seen to the others
    members = members_of(contract)
    own = vars(settings)
    missing = [name for name in members if not hasattr(kind, name) and name not in own]
    if not missing:
        return
    needed = [name for name in missing if _required(contract, name)]
    shown = ", ".join(_shown(getattr(contract, name, None), name) for name in needed or missing)
    hint = _README if needed else f"inherit from {CONTRACTS[group]}, which has defaults ({_README})"
    raise GlassError(f"{where}: {_name(kind)} lacks {shown}; {hint}")


def _check_signatures(kind: type, contract: type, where: str) -> None:
    """Raises GlassError for a method that cannot be called as the contract's is: arguments without
    a default by position, others by name."""
    for name in members_of(contract):
        asked, own = getattr(contract, name, None), getattr(kind, name, None)
        if own is asked or not (inspect.isfunction(asked) and inspect.isfunction(own)):
            continue
        parameters = inspect.signature(asked).parameters.values()
        positional = [p.name for p in parameters if p.default is p.empty]
        named = {p.name: p.default for p in parameters if p.default is not p.empty}
        try:
            inspect.signature(own).bind(*positional, **named)
        except TypeError as error:
            shown = ", ".join([*positional[1:], *(f"{k}={v!r}" for k, v in named.items())])
            raise GlassError(
                f"{where}: {_name(kind)}.{name}() is called as {name}({shown}): {error}; {_README}"
            ) from None


def members_of(contract: type) -> list[str]:
    """The public members of a Protocol and of the Protocols that it inherits from."""
    bases = [b for b in contract.__mro__ if b not in (object, Protocol, Generic)]
    names = [n for b in bases for n in [*vars(b), *vars(b).get("__annotations__", {})]]
    return [name for name in dict.fromkeys(names) if not name.startswith("_")]


def _required(contract: type, name: str) -> bool:
    if not hasattr(contract, name):  # declared by its type alone
        return True
    return bool(getattr(getattr(contract, name), "__isabstractmethod__", False))


def _shown(member: Any, name: str) -> str:
    return f"{name}()" if callable(member) else name


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
