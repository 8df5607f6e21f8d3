"""What `kubectl explain` says of a type and its fields: upstream's own sentences, which are not part of Kaa.

They are read from the docstrings of the package `lightkube-models` when it is installed, a file when first asked for;
without it there are no descriptions. The file is read, not imported: on its own, without the client it is made for, the
package cannot be, and its classes would only take memory.
"""

import re
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

_CLASS = re.compile(r'^class (\w+)\(.*?\):\n\s*r?"""(.*?)"""', re.MULTILINE | re.DOTALL)
_PARAMETERS = "**parameters**"
_FIELD = re.compile(r"^\s*\* \*\*(\w+)\*\* ``.*?``(?: - )?", re.MULTILINE)
_MODULES = {"resource": "resource", "intstr": "util_intstr", "runtime": "runtime", "version": "version"}


@lru_cache(maxsize=1024)
def describe(name: str) -> tuple[str, dict[str, str]]:
    """The description of a type (`core.v1.Pod`), and of each of its fields by name; empty where unknown."""
    package, _, type_name = name.rpartition(".")
    module_name = _MODULES.get(package, package.replace(".", "_"))
    documentation = _docstrings(module_name).get(type_name, "")
    description, _, parameters = documentation.partition(_PARAMETERS)
    pieces = _FIELD.split(parameters)[1:]
    fields = {_json_name(field): _flowed(text) for field, text in zip(pieces[::2], pieces[1::2], strict=True)}
    return _flowed(description), fields


@lru_cache(maxsize=4)
def _docstrings(module_name: str) -> dict[str, str]:
    """By class."""
    try:
        path = Path(str(distribution("lightkube-models").locate_file(f"lightkube/models/{module_name}.py")))
    except PackageNotFoundError:
        return {}
    return dict(_CLASS.findall(path.read_text())) if path.exists() else {}


def _json_name(python_name: str) -> str:
    """Python names that had to differ: `continue_`, `x_kubernetes_validations`."""
    if python_name.startswith("x_kubernetes_"):
        return python_name.replace("_", "-")
    return {"_ref": "$ref", "_schema": "$schema"}.get(python_name, python_name.rstrip("_"))


def _flowed(text: str) -> str:
    """Paragraphs as they were before they were wrapped and indented; lists keep their lines."""
    paragraphs = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(re.sub(r"\s*\n\s*(?![-*\d ])", " ", paragraph.strip()) for paragraph in paragraphs)
