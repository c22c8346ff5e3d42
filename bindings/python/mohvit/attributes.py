"""Attributes with docstrings, which help() and editors show."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class Attribute(Generic[T]):
    """A value of each object. Where it has none yet, the object's _attribute(name) makes it."""

    def __init__(self, doc: str) -> None:
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Attribute[T]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        values = vars(instance)
        if self._name not in values:
            values[self._name] = instance._attribute(self._name)
        return values[self._name]

    def __set__(self, instance: object, value: T) -> None:
        vars(instance)[self._name] = value
