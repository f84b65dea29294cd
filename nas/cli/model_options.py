"""Options made from the fields of models: their names, types, help and defaults are stated there, once.

The parameters of a command's function that are named in :func:`takes` become the options of a model::

    @takes(asked=ModelOptions("nas.calibration.calibration_plan:CalibrationPlan"))
    def calibrate(asked: Given, runs: Runs = Path("runs")) -> None: ...
"""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

import typer

from nas.cli.options import NamedSpaces, between_commas
from nas.core.fields import MISSING, fields_of, words_of

if TYPE_CHECKING:
    from nas.core.fields import DescribedField

Given = dict[str, Any]
"""The values of a model's options: field -> value."""

Function = TypeVar("Function", bound=Callable[..., None])


class Source(Protocol):
    """Where options come from."""

    def parameters(self) -> dict[str, Parameter]:
        """Key of a value -> parameter of a command's function."""

    def values(self, options: Given) -> Given:
        """What the function gets, from the options by their keys."""


class RecipeOptions:
    """Options that win over a recipe: the function gets the given ones by dotted key (``budget.params``).

    Args:
        keys: Keys of the recipe.
        defaults: Words for defaults that are not the recipe's.
    """

    def __init__(self, *keys: str, **defaults: str) -> None:
        self.keys, self.defaults = keys, {key.replace("__", "."): text for key, text in defaults.items()}

    def parameters(self) -> dict[str, Parameter]:
        """A parameter for each key; None where it is not given."""
        from nas.recipes.recipe import EMBEDDED, recipe_fields

        fields, demo = recipe_fields(), EMBEDDED.model_dump()
        found = {}
        for key in self.keys:
            field = fields[key]
            words = self.defaults.get(key) or field.default_words
            section, _, name = key.rpartition(".")
            without = ((demo[section] or {}) if section else demo).get(name)
            if key not in self.defaults and without not in (None, field.default):
                words += f"; {words_of(without)} without a recipe"
            kind = str if field.several or field.help.count else field.kind
            found[key] = _parameter(key, field, kind | None, None, show_default=words)
        return found

    def values(self, options: Given) -> Given:
        """The given options; lists where the recipe has lists."""
        from nas.recipes.recipe import recipe_fields

        fields = recipe_fields()
        return {
            key: list(_several(fields[key], value)) if fields[key].several else value
            for key, value in options.items()
            if value is not None
        }


class ModelOptions:
    """Options of a dataclass (``module:Class``): the function gets those that have a value, by field.

    Several values are written with commas between them, counts among them with suffixes.
    """

    def __init__(self, place: str) -> None:
        self.place = place

    def _fields(self) -> dict[str, DescribedField]:
        module, _, name = self.place.partition(":")
        return fields_of(getattr(importlib.import_module(module), name))

    def parameters(self) -> dict[str, Parameter]:
        """A parameter for each field that has help."""
        found = {}
        for key, field in self._fields().items():
            kind, default = (str if field.several else field.kind), field.default
            least = None if kind is not int or field.help.low is None else int(field.help.low)
            most = None if kind is not int or field.help.high is None else int(field.help.high)
            if default in (None, MISSING, ()):
                more = {"show_default": field.help.unset} if field.help.unset else {}
                found[key] = _parameter(key, field, kind | None, None, min=least, max=most, **more)
            else:
                default = default if isinstance(default, kind) else words_of(default)
                found[key] = _parameter(key, field, kind, default, min=least, max=most)
        return found

    def values(self, options: Given) -> Given:
        """The options that have a value."""
        fields = self._fields()
        return {
            key: _several(fields[key], value) if fields[key].several else value
            for key, value in options.items()
            if value is not None
        }


def _several(field: DescribedField, text: str) -> tuple[Any, ...]:
    """The values between commas. Raises RecipeError for a count that is none."""
    from nas.core.units import parse_count
    from nas.errors import RecipeError

    if field.kind is not int:
        return tuple(between_commas(text))
    given = f"{option_names(field)[0]} {text!r:.80}"
    try:
        counts = tuple(parse_count(word.strip()) for word in text.split(","))
        for count in counts:
            _check_number(given, count)
        return counts
    except RecipeError as error:
        raise RecipeError(f"{given}: {error}; whole numbers from 1 are needed, with commas") from None


def _parameter(key: str, field: DescribedField, kind: Any, default: Any, **more: Any) -> Parameter:
    """The parameter of a command's function that is the option of a field."""
    text = field.help.sentence.replace("`", "")
    option = typer.Option(*option_names(field), help=text, metavar=field.help.metavar, **more)
    return Parameter(
        key.replace(".", "_"), Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
    )


def with_settings(given: Given, words: list[str] | None, plan: str = "proxy") -> Given:
    """Changes of a recipe: the given options, and the words of ``--set``. Raises RecipeError for both."""
    from nas.errors import RecipeError
    from nas.recipes.changes import parse_settings
    from nas.recipes.recipe import recipe_fields

    settings = parse_settings(words or [], plan)
    for key in settings.keys() & given.keys():
        option = option_names(recipe_fields()[key])[0]
        raise RecipeError(f"{option} and --set {key.removeprefix(f'{plan}.')}: one of them")
    return {**given, **settings}


def option_names(field: DescribedField) -> list[str]:
    """The names of a field's option."""
    names = field.help.option.split() or [f"--{field.name.replace('_', '-')}"]
    if field.kind is bool and not field.help.option:
        names = [f"{names[0]}/--no-{names[0][2:]}"]
    return names


def takes(**sources: Source) -> Callable[[Function], Function]:
    """Let the parameters of these names get the values of options; see :func:`with_options`."""

    def marked(function: Function) -> Function:
        vars(function)["sources"] = sources
        return function

    return marked


def meets_spaces(function: Function) -> Function:
    """Give a command the option ``--space``: spaces that files and the database may name to it."""
    vars(function)["meets_spaces"] = True
    return function


def _check_number(option: str, value: Any) -> None:
    """Raise RecipeError for a number beyond what any option can mean; models check their own ranges."""
    from nas.core.fields import MOST_COUNT, MOST_WHOLE
    from nas.errors import RecipeError

    if isinstance(value, float) and not math.isfinite(value):
        raise RecipeError(f"{option} {value}: a finite number is needed")
    most = MOST_WHOLE if option == "--seed" else MOST_COUNT
    if isinstance(value, int) and abs(value) > most:
        raise RecipeError(f"{option} {value!s:.60}: whole numbers to {most:,} are allowed")


def with_options(function: Callable[..., None]) -> Callable[..., None]:
    """The function with the options of its sources among its parameters, as typer reads them."""
    sources: Mapping[str, Source] = vars(function).get("sources", {})
    made = {name: source.parameters() for name, source in sources.items()}

    def command(**values: Any) -> None:
        for name, value in values.items():
            _check_number(f"--{name.replace('_', '-')}", value)
        _trust(values.pop(_SPACES, None) or [])
        for name, options in made.items():
            given = {key: values.pop(parameter.name) for key, parameter in options.items()}
            values[name] = sources[name].values(given)
        function(**values)

    parameters: list[Parameter] = []
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        mine = made.get(name, {name: parameter.replace(kind=Parameter.KEYWORD_ONLY)})
        parameters += mine.values()
    if vars(function).get("meets_spaces"):
        parameters.append(Parameter(_SPACES, Parameter.KEYWORD_ONLY, default=None, annotation=NamedSpaces))
    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__annotations__ = {}
    vars(command)["__signature__"] = inspect.Signature(parameters)
    return command


_SPACES = "named_spaces"
"""The parameter that ``--space`` becomes."""


def _trust(names: list[str]) -> None:
    """Let files and the database name these spaces, in this process and its workers."""
    if names:
        from search_spaces import trust_space

        trust_space(*names)
