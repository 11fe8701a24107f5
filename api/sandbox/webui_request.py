"""A request to draw, read as the WebUI reads it: lenient with types, silent about the unknown."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from api.sandbox.webui_errors import InvalidError, out_of_memory, refused
from api.sandbox.webui_models import SAMPLERS

MOST_STEPS = 1000
MOST_IMAGES = 16
LARGEST_SIDE = 8192
MOST_PIXELS = 2048 * 2048
SMALLEST_SIDE = 64
DEFAULTS: dict[str, Any] = {
    "prompt": "",
    "negative_prompt": "",
    "steps": 50,
    "cfg_scale": 7.0,
    "width": 512,
    "height": 512,
    "seed": -1,
    "sampler_name": None,
    "sampler_index": "Euler",
    "scheduler": None,
    "batch_size": 1,
    "n_iter": 1,
    "override_settings": {},
    "override_settings_restore_afterwards": True,
    "send_images": True,
    "save_images": False,
    "force_task_id": None,
}
RANGES = {
    "steps": (1, MOST_STEPS),
    "batch_size": (1, MOST_IMAGES),
    "n_iter": (1, MOST_IMAGES),
    "width": (1, LARGEST_SIDE),
    "height": (1, LARGEST_SIDE),
}
TRUE, FALSE = ("true", "on", "yes", "1"), ("false", "off", "no", "0")


@dataclass(frozen=True)
class Order:
    """What is to be drawn. `parameters` is what the answer repeats."""

    parameters: dict[str, Any]
    seed: int

    def __getitem__(self, name: str) -> Any:
        return self.parameters[name]

    @property
    def size(self) -> tuple[int, int]:
        """A multiple of eight, which is all that a model can draw."""
        return self["width"] // 8 * 8, self["height"] // 8 * 8

    @property
    def checkpoint(self) -> str | None:
        """The model that is asked for by name."""
        name = self["override_settings"].get("sd_model_checkpoint")
        return name if isinstance(name, str) else None

    @property
    def sampler(self) -> str:
        return str(self["sampler_name"] or self["sampler_index"])


def parse(given: Any) -> Order:
    """An order from a JSON body."""
    if not isinstance(given, dict):
        raise InvalidError(("", "value is not a valid dict", "type_error.dict"))
    parameters: dict[str, Any] = {}
    problems: list[tuple[str, str, str]] = []
    for name, default in DEFAULTS.items():
        value = given.get(name)
        if value is None:
            parameters[name] = default
            continue
        kind = str if default is None else type(default)
        word, convert = CONVERSIONS[kind]
        try:
            parameters[name] = convert(value)
        except (TypeError, ValueError, OverflowError):
            kind_name = f"type_error.{word}"
            problems.append((name, f"value is not a valid {WORDS[word]}", kind_name))
            continue
        low, high = RANGES.get(name, (-math.inf, math.inf))
        if name in RANGES and not low <= parameters[name] <= high:
            message = f"ensure this value is between {low} and {high}"
            problems.append((name, message, "value_error.number"))
    if problems:
        raise InvalidError(*problems)
    return _checked(parameters)


def _checked(parameters: dict[str, Any]) -> Order:
    seed = parameters["seed"]
    order = Order(parameters, random.randrange(2**32) if seed == -1 else seed)
    known = {each.lower() for each in SAMPLERS} | {
        each for row in SAMPLERS.values() for each in row
    }
    if order.sampler.lower() not in known:
        raise refused(400, "Sampler not found")
    width, height = order.size
    if min(width, height) < SMALLEST_SIDE:
        raise InvalidError(("width", f"a side has at least {SMALLEST_SIDE}", "value_error.number"))
    count = parameters["batch_size"] * parameters["n_iter"]
    if width * height > MOST_PIXELS or count > MOST_IMAGES:
        raise out_of_memory()
    return order


def _whole(value: object) -> int:
    if isinstance(value, int | str):
        return int(value)
    if isinstance(value, float):
        return int(value)
    raise TypeError


def _number(value: object) -> float:
    if not isinstance(value, int | float | str):
        raise TypeError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError
    return str(value)


def _truth(value: object) -> bool:
    word = str(value).lower()
    if isinstance(value, list | dict) or word not in TRUE + FALSE:
        raise TypeError
    return word in TRUE


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return value


CONVERSIONS: dict[type, tuple[str, Callable[[object], Any]]] = {
    int: ("integer", _whole),
    float: ("float", _number),
    str: ("str", _text),
    bool: ("bool", _truth),
    dict: ("dict", _mapping),
}
WORDS = {
    "integer": "integer", "float": "float", "str": "string", "bool": "boolean", "dict": "dict",
}  # fmt: skip
