"""What `kubectl explain` says of a type and its fields: upstream's own sentences, which are not part of Kaa.

They are read from the docstrings of the package `lightkube-models` when it is installed, a module when first asked for;
without it there are no descriptions.
"""

import importlib
import re
from functools import lru_cache

_PARAMETERS = "**parameters**"
_FIELD = re.compile(r"^\s*\* \*\*(\w+)\*\* ``.*?``(?: - )?", re.MULTILINE)
_MODULES = {"resource": "resource", "intstr": "util_intstr", "runtime": "runtime", "version": "version"}


@lru_cache(maxsize=1024)
def describe(name: str) -> tuple[str, dict[str, str]]:
    """The description of a type (`core.v1.Pod`), and of each of its fields by name; empty where unknown."""
    package, _, type_name = name.rpartition(".")
    module_name = _MODULES.get(package, package.replace(".", "_"))
    try:
        module = importlib.import_module(f"lightkube.models.{module_name}")
    except ImportError:
        return "", {}
    documentation = getattr(getattr(module, type_name, None), "__doc__", None) or ""
    description, _, parameters = documentation.partition(_PARAMETERS)
    pieces = _FIELD.split(parameters)[1:]
    fields = {_json_name(field): _flowed(text) for field, text in zip(pieces[::2], pieces[1::2], strict=True)}
    return _flowed(description), fields


def _json_name(python_name: str) -> str:
    """Python names that had to differ: `continue_`, `x_kubernetes_validations`."""
    if python_name.startswith("x_kubernetes_"):
        return python_name.replace("_", "-")
    return {"_ref": "$ref", "_schema": "$schema"}.get(python_name, python_name.rstrip("_"))


def _flowed(text: str) -> str:
    """Paragraphs as they were before they were wrapped and indented; lists keep their lines."""
    paragraphs = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(re.sub(r"\s*\n\s*(?![-*\d ])", " ", paragraph.strip()) for paragraph in paragraphs)
