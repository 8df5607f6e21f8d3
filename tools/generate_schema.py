"""Writes src/kaa/api/generated/schema.txt: every built-in type's fields. `update` writes it, `verify` compares.

Two published sources, which must agree on every type's fields: the OpenAPI definitions in the PyPI package
kubernetes-validate (required fields, list types, merge keys), and the Go modules k8s.io/api,
k8s.io/apimachinery, k8s.io/apiextensions-apiserver and k8s.io/kube-aggregator (pointers, omitempty, protobuf numbers,
which OpenAPI lacks). Names and numbers only: no description is copied. The format is told in src/kaa/api/schema.py.
"""

import json
import re
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from go_types import GoField, GoPackage, module_directory, read_package

OUTPUT = Path(__file__).parent.parent / "src/kaa/api/generated/schema.txt"
DEFINITIONS = "kubernetes-json-schema/v1.37.0-local/_definitions.json"

OPENAPI_PREFIXES = {
    "io.k8s.api.": ("k8s.io/api", ""),
    "io.k8s.apimachinery.pkg.apis.": ("k8s.io/apimachinery", "pkg/apis/"),
    "io.k8s.apimachinery.pkg.": ("k8s.io/apimachinery", "pkg/"),
    "io.k8s.apiextensions-apiserver.pkg.apis.": ("k8s.io/apiextensions-apiserver", "pkg/apis/"),
    "io.k8s.kube-aggregator.pkg.apis.": ("k8s.io/kube-aggregator", "pkg/apis/"),
}
"""An OpenAPI name's prefix, with the Go module and directory it stands for; a longer prefix comes before a shorter."""

NOT_IN_OPENAPI = {
    "k8s.io/apimachinery/pkg/apis/meta/v1": (
        "PartialObjectMetadata", "PartialObjectMetadataList", "Table", "TableColumnDefinition", "TableRow",
        "TableRowCondition", "GroupVersionKind", "GroupVersionResource",
    ),
    "k8s.io/api/admission/v1": ("AdmissionRequest", "AdmissionResponse", "AdmissionReview"),
}  # fmt: skip
"""Types that travel but are served by no path, so that OpenAPI lacks them."""
KINDS_NOT_IN_OPENAPI = {
    "meta.v1.PartialObjectMetadata": "meta.k8s.io/v1/PartialObjectMetadata",
    "meta.v1.PartialObjectMetadataList": "meta.k8s.io/v1/PartialObjectMetadataList",
    "meta.v1.Table": "meta.k8s.io/v1/Table",
    "admission.v1.AdmissionReview": "admission.k8s.io/v1/AdmissionReview",
}
SPECIAL = {
    "k8s.io/apimachinery/pkg/apis/meta/v1.Time": "time",
    "k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime": "microtime",
    "k8s.io/apimachinery/pkg/apis/meta/v1.Duration": "duration",
    "k8s.io/apimachinery/pkg/apis/meta/v1.FieldsV1": "fieldsv1",
    "k8s.io/apimachinery/pkg/api/resource.Quantity": "quantity",
    "k8s.io/apimachinery/pkg/util/intstr.IntOrString": "intorstring",
    "k8s.io/apimachinery/pkg/runtime.RawExtension": "raw",
    "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSON": "json",
    "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrBool": "schemaorbool",
    "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrArray": "schemaorarray",
    "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrStringArray": "schemaorstrings",
    "k8s.io/apimachinery/pkg/apis/meta/v1.Verbs": "strings",
    "k8s.io/api/authentication/v1.ExtraValue": "strings",
    "k8s.io/api/authentication/v1.AttestationValue": "strings",
    "k8s.io/api/authorization/v1.ExtraValue": "strings",
    "k8s.io/api/certificates/v1.ExtraValue": "strings",
    "interface{}": "json",
}
"""Types whose JSON is not that of their fields. `strings` is a list that protobuf wraps in a message."""


class Generator:
    def __init__(self) -> None:
        source = files("kubernetes_validate").joinpath(DEFINITIONS)
        self.definitions: dict[str, dict[str, Any]] = json.loads(source.read_text())["$defs"]
        self.packages: dict[str, GoPackage] = {}

    def text(self) -> str:
        blocks = [self.definition(name) for name in self.definitions if self.go_name(name) not in SPECIAL]
        for package, names in NOT_IN_OPENAPI.items():
            blocks += [self.block(f"{package}.{name}", {}) for name in names]
        return "\n\n".join(sorted(block for block in blocks if block)) + "\n"

    def definition(self, openapi_name: str) -> str:
        definition = self.definitions[openapi_name]
        go_name = self.go_name(openapi_name)
        block = self.block(go_name, definition)
        declared = {line.split(" ", 1)[0] for line in block.split("\n")[1:]}
        published = set(definition.get("properties") or {})
        if declared != published:
            raise SystemExit(f"{openapi_name}: OpenAPI and Go differ: {sorted(declared ^ published)}")
        return block

    def go_name(self, openapi_name: str) -> str:
        """`io.k8s.api.core.v1.Pod` as `k8s.io/api/core/v1.Pod`."""
        for prefix, (module, directory) in OPENAPI_PREFIXES.items():
            if openapi_name.startswith(prefix):
                path, _, name = openapi_name.removeprefix(prefix).rpartition(".")
                return f"{module}/{directory}{path.replace('.', '/')}.{name}"
        raise SystemExit(f"{openapi_name}: no Go package known")

    def package(self, path: str) -> GoPackage:
        if path not in self.packages:
            module = next(m for m, _ in OPENAPI_PREFIXES.values() if path.startswith(m + "/"))
            self.packages[path] = read_package(module_directory(module) / path.removeprefix(module + "/"), path)
        return self.packages[path]

    def block(self, go_name: str, definition: dict[str, Any]) -> str:
        name = short_name(go_name)
        kinds = sorted(
            "/".join(filter(None, (kind["group"], kind["version"], kind["kind"])))
            for kind in definition.get("x-kubernetes-group-version-kind") or ()
        ) or [KINDS_NOT_IN_OPENAPI.get(name, "")]
        fields = self.fields(go_name, "", definition)
        return "\n".join([" ".join(filter(None, [name, *kinds])), *fields])

    def fields(self, go_name: str, prefix: str, definition: dict[str, Any]) -> list[str]:
        """One line a field; those of an embedded struct are the outer's own, with its number in front."""
        path, _, struct = go_name.rpartition(".")
        lines = []
        if struct == "TypeMeta":
            return ["kind 0 string omit", "apiVersion 0 string omit"]
        package = self.package(path)
        if struct not in package.structs:  # another name for a type of another version
            return self.fields(package.named[struct], prefix, definition)
        for go_field in package.structs[struct]:
            number = f"{prefix}{go_field.number}"
            if go_field.json:
                lines.append(self.field(go_field, number, definition))
            else:
                nested = f"{number}." if go_field.number else prefix
                lines += self.fields(go_field.type.lstrip("*"), nested, definition)
        return lines

    def field(self, go_field: GoField, number: str, definition: dict[str, Any]) -> str:
        published = (definition.get("properties") or {}).get(go_field.json, {})
        merge_strategy = published.get("x-kubernetes-patch-strategy", "")
        words = [
            go_field.json,
            number,
            self.type(go_field.type),
            "required" if go_field.json in (definition.get("required") or ()) else "",
            "omit" if go_field.omits_empty or go_field.omits_zero else "",
            "omitzero" if go_field.omits_zero else "",
            word("list", published.get("x-kubernetes-list-type")),
            word("keys", ",".join(published.get("x-kubernetes-list-map-keys") or ())),
            word("map", published.get("x-kubernetes-map-type")),
            word("strategy", merge_strategy),
            word("merge", published.get("x-kubernetes-patch-merge-key")),
        ]
        return " ".join(filter(None, words))

    def type(self, go_type: str) -> str:
        """Go's notation with our short names: `[]core.v1.Container`, `*int32`, `string:core.v1.PullPolicy`."""
        if go_type in SPECIAL:
            return SPECIAL[go_type]
        if go_type == "[]byte":
            return "bytes"
        if match := re.match(r"\*|\[\]|map\[.*?\]", go_type):
            prefix = "map[string]" if match.group().startswith("map") else match.group()
            return prefix + self.type(go_type[match.end() :])
        path, _, name = go_type.rpartition(".")
        if not path:
            return go_type
        behind = self.package(path).named.get(name)
        if behind is None:
            return short_name(go_type)
        if "[" in behind:
            return self.type(behind)
        if "." not in behind:
            return f"{behind}:{short_name(go_type)}"
        other, _, other_name = behind.rpartition(".")
        return self.type(behind) if other_name in self.package(other).named else short_name(go_type)


def short_name(go_name: str) -> str:
    """`k8s.io/apimachinery/pkg/apis/meta/v1.Time` as `meta.v1.Time`."""
    path, _, name = go_name.rpartition(".")
    parts = path.split("/")
    return ".".join([*(parts[-2:] if re.match(r"v\d", parts[-1]) else parts[-1:]), name])


def word(name: str, value: str | None) -> str:
    return f"{name}={value}" if value else ""


def main() -> None:
    match sys.argv[1:]:
        case ["update"]:
            OUTPUT.write_text(Generator().text())
        case ["verify"]:
            if OUTPUT.read_text() != Generator().text():
                raise SystemExit(f"{OUTPUT} is not what its sources say: run `python tools/generate_schema.py update`")
        case _:
            raise SystemExit("usage: generate_schema.py update|verify")


if __name__ == "__main__":
    main()
