"""Calls and names that do not exist, as errors with hints instead of a bare TypeError or AttributeError.

`explain_calls` covers arguments; `explain_names` covers attributes of objects, and `ExplainsNames` those of classes.
Signatures stay visible to editors and type checkers, which find the same mistakes by themselves.
"""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from functools import wraps
from inspect import Parameter, iscoroutinefunction, isfunction, signature
from typing import TYPE_CHECKING, Any, TypeVar, cast

from arrowstream.core.hints import did_you_mean
from arrowstream.core.mistakes.other_names import (
    ADVICE,
    ARGUMENTS,
    CLASSES,
    MADE_BY,
    STRAY,
    UNAWAITED,
    VALUES,
)
from arrowstream.core.mistakes.unawaited import Awaited
from arrowstream.errors import UnknownName, WrongCall

F = TypeVar("F", bound=Callable[..., Any])
Kind = TypeVar("Kind", bound=type)

_CLOSE = 0.8
"""Least similarity, from 0 to 1, of a mistyped name to one of another library."""

_GETATTR = "__getattr__"
_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def explain_calls(kind: Kind) -> Kind:
    """Decorate a class so that calls of its public methods with wrong arguments raise `WrongCall`.

    Examples
    --------
    >>> @explain_calls
    ... class Steps:
    ...     def batch(self, rows=None, *, nbytes=None): ...
    >>> Steps().batch(row=3)
    Traceback (most recent call last):
    arrowstream.errors.WrongCall: batch() has no argument 'row'
      expected: rows, nbytes
      hint: did you mean 'rows'?
    """
    for name, value in list(vars(kind).items()):
        if name.startswith("_"):
            continue
        if isinstance(value, staticmethod | classmethod):
            setattr(kind, name, type(value)(explain_call(value.__func__)))
        elif isfunction(value):
            setattr(kind, name, explain_call(value))
    return kind


def explain_call(fn: F) -> F:
    """Decorate a function so that a call with wrong arguments raises `WrongCall`."""
    if iscoroutinefunction(fn):

        @wraps(fn)
        async def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return await fn(*args, **kwargs)
            except TypeError as error:
                if not _at_the_call(error):
                    raise
                wrong = wrong_call(fn, args, kwargs, error)
            raise wrong
    else:

        @wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return fn(*args, **kwargs)
            except TypeError as error:
                if not _at_the_call(error):
                    raise
                wrong = wrong_call(fn, args, kwargs, error)
            raise wrong

    hint = UNAWAITED.get(fn.__qualname__)
    return cast(F, call if hint is None else Awaited(call, hint))


def _at_the_call(error: TypeError) -> bool:
    """Return True if a call failed before its function began."""
    return error.__traceback__ is not None and error.__traceback__.tb_next is None


def wrong_call(
    fn: Callable[..., Any], args: Collection[Any], kwargs: Mapping[str, Any], error: TypeError
) -> WrongCall:
    """Return the error for a call whose arguments do not fit the signature of `fn`.

    Parameters
    ----------
    fn
        The function that was called.
    args, kwargs
        The arguments; those of a method begin with its object.
    error
        Python's error, whose text is used where nothing more precise is known.
    """
    parameters = signature(fn).parameters
    known = [name for name, each in parameters.items() if each.kind in _NAMED and name not in ("self", "cls")]
    for name in kwargs:
        if name not in parameters:
            return unknown_argument(fn.__name__, name, known)
    positional = [name for name, each in parameters.items() if each.kind is Parameter.POSITIONAL_OR_KEYWORD]
    missing = [
        name
        for name, each in parameters.items()
        if each.kind in _NAMED
        and each.default is Parameter.empty
        and name not in kwargs
        and name not in positional[: len(args)]
    ]
    if missing:
        return WrongCall(f"{fn.__name__}() lacks {' and '.join(map(repr, missing))}", expected=_call(fn))
    named = [name for name in known if parameters[name].kind is Parameter.KEYWORD_ONLY]
    if len(args) > len(positional):
        hint = f"write {named[0]}=..." if named else None
        return WrongCall(f"{fn.__name__}() has too many arguments", expected=_call(fn), hint=hint)
    return WrongCall(str(error), expected=_call(fn))


def unknown_argument(call: str, name: str, known: Collection[str]) -> WrongCall:
    """Return the error for a keyword that `call` does not have.

    Parameters
    ----------
    call
        Name of the function or method.
    name
        The keyword.
    known
        The keywords that it has.
    """
    hint = nearest_name(name, known) or STRAY.get(call)
    return WrongCall(
        f"{call}() has no argument {name!r}", expected=", ".join(known) or "no arguments", hint=hint
    )


def nearest_name(name: str, known: Collection[str]) -> str | None:
    """Return advice, or a hint with the known name that others call `name`, or that is most similar; else None.

    Examples
    --------
    >>> nearest_name("separator", ["path", "delimiter"]), nearest_name("pth", ["path", "delimiter"])
    ("did you mean 'delimiter'?", "did you mean 'path'?")
    """
    argument, advice = ADVICE.get(name, (None, None))
    if argument in known:
        return advice
    words = {word: each for word, names in ARGUMENTS.items() for each in reversed(names) if each in known}
    if name not in words:
        if (hint := did_you_mean(name, known)) is not None:
            return hint
        name = next(iter(get_close_matches(name, words, 1, _CLOSE)), name)
    return f"did you mean {words[name]!r}?" if name in words else None


def nearest_value(name: str, known: Collection[str]) -> str | None:
    """Return a hint with the known value or step that others call `name`, or that is most similar; else None.

    Examples
    --------
    >>> nearest_value("jsonl", ["json", "ndjson"]), nearest_value("JSON", ["json", "ndjson"])
    ("did you mean 'ndjson'?", "did you mean 'json'?")
    """
    lower = name.lower()
    right = next((each for each in VALUES.get(lower, ()) if each in known), None)
    return did_you_mean(lower, known) if right is None else f"did you mean {right!r}?"


def _call(fn: Callable[..., Any]) -> str:
    """Return a call as its signature shows it, without types: ``buffer(capacity)``."""
    parts: list[str] = []
    for name, each in signature(fn).parameters.items():
        if name not in ("self", "cls"):
            plain = each.replace(annotation=Parameter.empty)
            if each.kind is Parameter.KEYWORD_ONLY and not any(part.startswith("*") for part in parts):
                parts.append("*")
            parts.append(str(plain))
    return f"{fn.__name__}({', '.join(parts)})"


def explain_names(called: str, words: Mapping[str, str]) -> Callable[[Kind], Kind]:
    """Decorate a class so that an attribute that its objects lack raises `UnknownName` with a hint.

    Parameters
    ----------
    called
        The object in words, such as ``a builder``.
    words
        Hints for names that users of other libraries expect.
    """

    def decorate(kind: Kind) -> Kind:
        def missing(self: object, name: str) -> Any:
            raise unknown_name(called, name, dir(type(self)), words)

        setattr(kind, _GETATTR, missing)
        return kind

    return decorate


def unknown_name(
    called: str,
    name: str,
    known: Iterable[str],
    words: Mapping[str, str],
    error: type[UnknownName] = UnknownName,
) -> AttributeError:
    """Return the error for an attribute `name` that an object or class does not have.

    Parameters
    ----------
    called
        The object in words.
    name
        The attribute that was used.
    known
        The attributes that there are.
    words
        Hints for names of other libraries; ``{name}`` stands for the name.
    error
        The class of the error.

    Examples
    --------
    >>> print(unknown_name("a builder", "fliter", ["filter", "map"], {}))
    a builder has no 'fliter'
      hint: did you mean 'filter'?
    """
    if name.startswith("_"):
        # Python itself, copy and notebooks look up such names; a person does not read the message.
        return AttributeError(name)
    hint = words.get(name, "").replace("{name}", name)
    public = [each for each in known if not each.startswith("_")]
    return error(f"{called} has no {name!r}", hint=hint or did_you_mean(name, public))


class ExplainsNames(ABCMeta):
    """Metaclass of classes with constructors, such as `Source`: an unknown one raises `UnknownName`.

    A call of the class itself that does not fit raises `WrongCall` with the constructor to use.
    """

    if not TYPE_CHECKING:  # a type checker finds the mistake itself

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            try:
                return super().__call__(*args, **kwargs)
            except TypeError as error:
                if cls.__name__ not in MADE_BY or not _at_the_call(error):
                    raise
            raise WrongCall(f"{cls.__name__} is not made by a call of the class", hint=MADE_BY[cls.__name__])

        def __getattr__(cls, name: str) -> Any:
            raise unknown_name(cls.__name__, name, dir(cls), CLASSES.get(cls.__name__, {}))
