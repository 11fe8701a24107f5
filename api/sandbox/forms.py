"""Form parameters as Stripe takes them: nested by brackets, typed, and none that is unknown.

    metadata[order]=7&line_items[0][quantity]=1&expand[]=latest_charge

`parse` makes nested dictionaries and lists of text, `check` turns the text into values by a
schema: a dictionary of names and fields, each field a function of the raw value and its name.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from api.sandbox.errors import invalid, missing

Field = Callable[[Any, str], Any]
Schema = Mapping[str, Field]

NAME = re.compile(r"^([^\[\]]+)((?:\[[^\[\]]*\])*)$")
MOST_PARAMETERS = 1000
MOST_METADATA = 50
LONGEST_METADATA_NAME = 40
LONGEST_METADATA_VALUE = 500
LARGEST_INTEGER = 99_999_999_999


def parse_text(text: bytes) -> dict[str, Any]:
    """Read a form body or a query string."""
    try:
        pairs = parse_qsl(
            text.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_PARAMETERS
        )
    except ValueError:
        raise invalid("The parameters cannot be read: send a form in UTF-8.") from None
    return parse(pairs)


def parse(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Nest parameters by the brackets in their names."""
    tree: dict[str, Any] = {}
    for name, value in pairs:
        match = NAME.match(name)
        if match is None:
            raise invalid(f"Invalid parameter name: {name}", name)
        keys = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])]
        _put(tree, keys, value, name)
    nested = _lists(tree)
    assert isinstance(nested, dict)
    return nested


def _put(tree: dict[str, Any], keys: list[str], value: str, name: str) -> None:
    for key in keys[:-1]:
        branch = tree.setdefault(key or str(len(tree)), {})
        if not isinstance(branch, dict):
            raise invalid(f"Invalid parameter: {name} is both a value and a hash.", name)
        tree = branch
    last = keys[-1] or str(len(tree))
    if isinstance(tree.get(last), dict):
        raise invalid(f"Invalid parameter: {name} is both a value and a hash.", name)
    tree[last] = value


def _lists(tree: dict[str, Any], depth: int = 0) -> dict[str, Any] | list[Any]:
    """Make lists of the hashes that are numbered from zero, below the first level."""
    nested = {
        key: _lists(value, depth + 1) if isinstance(value, dict) else value
        for key, value in tree.items()
    }
    if depth and set(nested) == {str(number) for number in range(len(nested))}:
        return [nested[str(number)] for number in range(len(nested))]
    return nested


def check(raw: Mapping[str, Any], schema: Schema, required: Iterable[str] = ()) -> dict[str, Any]:
    """Type the parameters; refuse what is unknown, and what is missing."""
    return _check(raw, schema, required, "")


def _check(
    raw: Mapping[str, Any], schema: Schema, required: Iterable[str], prefix: str
) -> dict[str, Any]:
    for name in raw:
        if name not in schema:
            full = _full(prefix, name)
            raise invalid(f"Received unknown parameter: {full}", full, "parameter_unknown")
    for name in required:
        if name not in raw:
            raise missing(_full(prefix, name))
        if raw[name] == "":
            full = _full(prefix, name)
            raise invalid(f"{full} may not be empty.", full, "parameter_invalid_empty")
    return {name: schema[name](value, _full(prefix, name)) for name, value in raw.items()}


def _full(prefix: str, name: str) -> str:
    return f"{prefix}[{name}]" if prefix else name


def text(value: Any, name: str) -> str | None:
    """Any text; empty means none."""
    if not isinstance(value, str):
        raise invalid(f"Invalid string: {name}", name)
    if len(value) > 5000:
        raise invalid(f"{name} is longer than 5000 characters.", name)
    return value or None


def url(value: Any, name: str) -> str | None:
    """An address that a browser can be sent to."""
    address = text(value, name)
    if address is not None and not re.match(r"^https?://[^\s/]+", address):
        raise invalid(f"Not a valid URL: {name}", name, "url_invalid")
    return address


def integer(value: Any, name: str) -> int:
    """A whole number."""
    if not isinstance(value, str) or not re.fullmatch(r"-?[0-9]{1,20}", value):
        raise invalid(f"Invalid integer: {value}", name, "parameter_invalid_integer")
    number = int(value)
    if abs(number) > LARGEST_INTEGER:
        raise invalid(f"Invalid integer: {value}", name, "parameter_invalid_integer")
    return number


def boolean(value: Any, name: str) -> bool:
    """Either `true` or `false`."""
    if value not in ("true", "false"):
        raise invalid(f"Invalid boolean: {value}", name)
    return bool(value == "true")


def choice(*allowed: str) -> Field:
    """One of some words."""

    def field(value: Any, name: str) -> str | None:
        if value != "" and value not in allowed:
            raise invalid(f"Invalid {name}: must be one of {', '.join(allowed)}", name)
        return value or None

    return field


def hash_of(schema: Schema, required: Iterable[str] = ()) -> Field:
    """A hash of named fields."""

    def field(value: Any, name: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise invalid(f"Invalid hash: {name}", name)
        return _check(value, schema, required, name)

    return field


def list_of(item: Field) -> Field:
    """A list whose items are all of one kind."""

    def field(value: Any, name: str) -> list[Any]:
        if value == "":
            return []
        if not isinstance(value, list):
            raise invalid(f"Invalid array: {name}", name)
        return [item(each, f"{name}[{number}]") for number, each in enumerate(value)]

    return field


def metadata(value: Any, name: str) -> dict[str, str]:
    """Names and texts; an empty text takes its name away, nothing at all takes every name."""
    if value == "":
        return {}
    if isinstance(value, list):  # names that are numbers from zero look like a list
        value = {str(number): each for number, each in enumerate(value)}
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise invalid(f"Invalid hash: {name} holds names and texts.", name)
    if len(value) > MOST_METADATA:
        raise invalid(f"{name} has more than {MOST_METADATA} names.", name)
    for key, each in value.items():
        if len(key) > LONGEST_METADATA_NAME or len(each) > LONGEST_METADATA_VALUE:
            raise invalid(f"{name}[{key[:LONGEST_METADATA_NAME]}] is too long.", name)
    return value


def created(value: Any, name: str) -> dict[str, int]:
    """A time, or bounds for it, as the lists take it."""
    if isinstance(value, str):
        return {"eq": integer(value, name)}
    bounds: dict[str, int] = hash_of(dict.fromkeys(("gt", "gte", "lt", "lte"), integer))(
        value, name
    )
    return bounds


CURRENCIES = ("usd", "eur", "gbp", "chf", "cad", "aud", "jpy")


def currency(value: Any, name: str) -> str:
    """A currency, which Stripe writes in lower case."""
    if not isinstance(value, str) or value.lower() not in CURRENCIES:
        raise invalid(f"Invalid currency: {value}. Known: {', '.join(CURRENCIES)}", name)
    return value.lower()


SMALLEST_CHARGE = 50
LARGEST_CHARGE = 99_999_999


def charge_amount(value: Any, name: str) -> int:
    """An amount that can be charged, in the smallest unit of its currency."""
    amount = integer(value, name)
    if amount < 1:
        raise invalid(f"Invalid positive integer: {name}", name, "parameter_invalid_integer")
    if amount < SMALLEST_CHARGE:
        raise invalid(f"{name} is below {SMALLEST_CHARGE}.", name, "amount_too_small")
    if amount > LARGEST_CHARGE:
        raise invalid(f"{name} is above {LARGEST_CHARGE}.", name, "amount_too_large")
    return amount


def merged(before: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Metadata after an update."""
    if not given:
        return {}
    return {name: value for name, value in {**before, **given}.items() if value != ""}
