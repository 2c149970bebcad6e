"""A configuration as a text that explains itself: each setting with a comment, and what was not said as its default. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from edge.config import Config
from edge.setup import texts


def written(raw: Mapping[str, Any]) -> str:
    """The text of the file. `edge.config.load` reads from it exactly what `raw` says."""
    return texts.HEADER + "".join(_section(name, field, raw.get(name)) for name, field in Config.model_fields.items())


def _section(name: str, field: FieldInfo, told: Mapping[str, Any] | None) -> str:
    model = _model(field)
    head = f"\n# {texts.SECTIONS[name]}\n" if name in texts.SECTIONS else "\n"
    if told is None and (model is None or (not field.is_required() and field.default is None)):
        return f"{head}# [{name}]\n"
    lines = [f"{head}[{name}]\n"]
    if model is not None:
        for key, setting in model.model_fields.items():
            lines.extend(_setting(f"{name}.{key}", key, setting, told or {}))
    return "".join(lines)


def _setting(path: str, key: str, setting: FieldInfo, told: Mapping[str, Any]) -> Iterator[str]:
    if path in texts.SETTINGS:
        yield f"# {texts.SETTINGS[path]}\n"
    if key in told:
        yield f"{key} = {toml(told[key])}\n"
    elif not setting.is_required() and setting.default is not None:
        yield f"# {key} = {toml(setting.default)}\n"
    else:
        yield f"# {key} = …\n"


def _model(field: FieldInfo) -> type[BaseModel] | None:
    options = [field.annotation, *getattr(field.annotation, "__args__", ())]
    return next((kind for kind in options if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def toml(value: Any) -> str:
    """A value as TOML. JSON's strings are TOML's too, but for DEL."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {toml(one)}' for key, one in value.items())} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml(one) for one in value)}]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
