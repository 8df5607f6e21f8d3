"""Rules for devices and claims to them: in the words of a real v1.37 server."""

from typing import Any

import pytest

from kaa.api.kinds import builtin_catalog
from kaa.api.objects import Object, copy_object
from kaa.api.validation import validate

CATALOG = builtin_catalog()
ALLOCATED = {"request": "r", "driver": "d.x", "pool": "p", "device": "d"}
ONE_NODE_CHOICE = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"


def made(kind: str, obj: Object) -> Object:
    """The object as it is after defaults."""
    resource = CATALOG.named(kind)
    obj = copy_object({"metadata": {"name": "d"}, **obj})
    if resource.namespaced:
        obj["metadata"]["namespace"] = "a"
    assert resource.defaults is not None
    resource.defaults(obj)
    return obj


def problems(kind: str, new: Object, old: Object | None = None, subresource: str = "") -> list[str]:
    before = None if old is None else made(kind, old)
    return [str(error) for error in validate(CATALOG.named(kind), made(kind, new), before, subresource)]


def request(name: str = "r", **fields: Any) -> Object:
    return {"name": name, "exactly": {"deviceClassName": "gpu.example.com", **fields}}


def claim(*requests: Object, **fields: Any) -> Object:
    return {"spec": {"devices": {"requests": list(requests or [request()]), **fields}}}


def of_slice(**fields: Any) -> Object:
    pool = {"name": "p", "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": "d.example.com", "nodeName": "n", "pool": pool, **fields}
    return {"spec": {key: value for key, value in spec.items() if value is not None}}


def device(**fields: Any) -> Object:
    return of_slice(devices=[{"name": "d", **fields}])


def test_one_device_is_claimed_unless_the_claim_says_more() -> None:
    """Defaults: a request is for one device; one for all has no count. Alternatives have the same defaults."""
    alternative = {"name": "r", "firstAvailable": [{"name": "s", "deviceClassName": "a"}]}
    spec = made("ResourceClaim", claim(request(), request("all", allocationMode="All"), alternative))["spec"]
    one, everything, first = spec["devices"]["requests"]
    assert one["exactly"] == {"deviceClassName": "gpu.example.com", "allocationMode": "ExactCount", "count": 1}
    assert "count" not in everything["exactly"]
    assert first["firstAvailable"][0]["count"] == 1


def test_amounts_of_a_slice_are_canonical() -> None:
    """Two drivers that write the same amount in two ways store the same slice. None is 0."""
    spec = made("ResourceSlice", device(capacity={"memory": {"value": "1024Mi"}, "none": {}}))["spec"]
    assert spec["devices"][0]["capacity"] == {"memory": {"value": "1Gi"}, "none": {"value": "0"}}


@pytest.mark.parametrize(
    ("kind", "good"),
    [
        ("ResourceClaim", claim()),
        ("ResourceClaim", {"spec": {}}),
        ("ResourceClaim", claim(constraints=[{"requests": ["r"], "matchAttribute": "a.b/c"}])),
        ("ResourceClaimTemplate", {"spec": {"metadata": {"labels": {"a": "b"}}, "spec": claim()["spec"]}}),
        ("DeviceClass", {"spec": {"extendedResourceName": "example.com/gpu"}}),
        ("ResourceSlice", device(attributes={"model": {"string": ""}, "x.y/v": {"version": "1.2.3-rc.1+b"}})),
        ("ResourceSlice", of_slice(nodeName=None, allNodes=True)),
    ],
)
def test_what_is_right_is_let_through(kind: str, good: Object) -> None:
    """Every kind has an object without a single error."""
    assert problems(kind, good) == []


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (claim({"name": "r"}), "requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required"),
        (claim({"name": "r", "exactly": {}}), "requests[0].exactly.deviceClassName: Required value"),
        (claim(*(request(f"r{i}") for i in range(33))), "requests: Too many: 33: must have at most 32 items"),
        (
            claim(request(allocationMode="Some")),
            'requests[0].exactly.allocationMode: Unsupported value: "Some": supported values: "All", "ExactCount"',
        ),
        (
            claim(request(allocationMode="All", count=3)),
            "requests[0].exactly.count: Invalid value: 3: must not be specified when allocationMode is 'All'",
        ),
        (claim(request(count=-1)), "requests[0].exactly.count: Invalid value: -1: must be greater than zero"),
        (claim(request(selectors=[{}])), "requests[0].exactly.selectors[0].cel: Required value"),
        (
            claim(request(selectors=[{"cel": {"expression": "x" * 10241}}])),
            "requests[0].exactly.selectors[0].cel.expression: Too long: may not be more than 10240 bytes",
        ),
        (
            claim(request(tolerations=[{"operator": "Exists", "value": "x"}])),
            'requests[0].exactly.tolerations[0].value: Invalid value: "x": must be empty for operator `Exists`',
        ),
        (
            claim(constraints=[{"matchAttribute": "foo"}]),
            'constraints[0].matchAttribute: Invalid value: "foo": '
            "a fully qualified name must be a domain and a name separated by a slash",
        ),
        (
            claim(constraints=[{"requests": ["q"], "matchAttribute": "a.b/c"}]),
            'constraints[0].requests[0]: Invalid value: "q": must be the name of a request in the claim or '
            "the name of a request and a subrequest separated by '/'",
        ),
        (claim(config=[{}]), "config[0].opaque: Required value"),
        (
            claim(config=[{"opaque": {"driver": "a.b", "parameters": [1]}}]),
            'config[0].opaque.parameters: Invalid value: "<value omitted>": must be a valid JSON object',
        ),
        (
            claim(config=[{"opaque": {"driver": "a" * 64, "parameters": {}}}]),
            "config[0].opaque.driver: Too long: may not be more than 63 characters",
        ),
    ],
)
def test_a_bad_claim(bad: Object, error: str) -> None:
    """Each rule of a claim, by itself; a template has the same ones one level deeper."""
    assert problems("ResourceClaim", bad) == [f"spec.devices.{error}"]
    assert problems("ResourceClaimTemplate", {"spec": bad}) == [f"spec.spec.devices.{error}"]


def test_all_that_is_wrong_is_said_at_once() -> None:
    """An author should not have to try again for every error."""
    bad = {"name": "r", "exactly": {"count": -1, "selectors": [{}]}}
    assert len(problems("ResourceClaim", claim(bad, config=[{}], constraints=[{}]))) == 5


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (of_slice(nodeName=None), f"spec: Required value: {ONE_NODE_CHOICE}"),
        (
            of_slice(allNodes=True),
            f'spec: Invalid value: "{{`nodeName`, `allNodes`}}": {ONE_NODE_CHOICE}, but multiple fields are set',
        ),
        (
            of_slice(allNodes=False),
            "spec.allNodes: Invalid value: false: must be either unset or set to true",
        ),
        (
            of_slice(pool={"name": "p", "generation": 1, "resourceSliceCount": 0}),
            "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
        ),
        (
            of_slice(devices=[{"name": f"d{i}"} for i in range(129)]),
            "spec.devices: Too many: 129: must have at most 128 items",
        ),
        (
            of_slice(devices=[{"name": f"d{i}", "taints": [{"key": "a", "effect": "None"}]} for i in range(65)]),
            "spec.devices: Too many: 65: must have at most 64 items",
        ),
        (of_slice(devices=[{"name": "d"}, {"name": "d"}]), 'spec.devices[1]: Duplicate value: "d"'),
        (
            device(attributes={"b": {"int": 1, "bool": True}}),
            'spec.devices[0].attributes[b]: Invalid value: "{int, bool}": must specify exactly one of: '
            "`int`, `bool`, `string`, `version`, `ints`, `bools`, `strings`, `versions`",
        ),
        (
            device(attributes={"v": {"version": "1"}}),
            'spec.devices[0].attributes[v].version: Invalid value: "1": '
            "must be a string compatible with semver.org spec 2.0.0",
        ),
        (
            device(capacity={f"c{i}": {"value": "1"} for i in range(33)}),
            "spec.devices[0]: Invalid value: 33: the total number of attributes and capacities must not exceed 32",
        ),
        (device(taints=[{"key": "a"}]), "spec.devices[0].taints[0].effect: Required value"),
        (
            of_slice(nodeName=None, perDeviceNodeSelection=True, devices=[{"name": "d"}]),
            "spec.devices[0]: Required value: exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required "
            "when `perDeviceNodeSelection` is set to true in the ResourceSlice spec",
        ),
        (
            of_slice(sharedCounters=[{"name": "c", "counters": {"x": {"value": "1"}}}], devices=[{"name": "d"}]),
            'spec: Invalid value: "": only one of `sharedCounters` or `devices` is allowed',
        ),
        (
            device(capacity={"a": {"value": "1", "requestPolicy": {"default": "1"}}}),
            "spec.devices[0].capacity[a].requestPolicy: Forbidden: allowMultipleAllocations must be true",
        ),
    ],
)
def test_a_bad_slice(bad: Object, error: str) -> None:
    """Each rule of a slice, by itself."""
    assert problems("ResourceSlice", bad) == [error]


def test_what_does_not_change() -> None:
    """A claim's and a template's spec, and where a slice belongs."""
    other = claim(request("other"))
    immutable = "field is immutable"
    assert problems("ResourceClaim", other, claim()) == [f"spec: Invalid value: null: {immutable}"]
    assert problems("ResourceClaimTemplate", {"spec": other}, {"spec": claim()})[0].endswith(immutable)
    moved = problems("ResourceSlice", of_slice(nodeName="m", driver="e.x"), of_slice())
    assert moved == [
        f'spec.driver: Invalid value: "e.x": {immutable}',
        f'spec.nodeName: Invalid value: "m": {immutable}',
    ]


def status_problems(status: Object, before: Object | None = None) -> list[str]:
    return problems("ResourceClaim", {**claim(), "status": status}, {**claim(), "status": before or {}}, "status")


def test_a_claims_status() -> None:
    """A claim is reserved once it is allocated, for so many; what was allocated is not exchanged."""
    allocation = {"devices": {"results": [ALLOCATED]}}
    pods = [{"resource": "pods", "name": "p", "uid": f"u{i}"} for i in range(257)]
    assert status_problems({"allocation": allocation, "reservedFor": pods[:256]}) == []
    assert status_problems({"allocation": allocation, "reservedFor": pods}) == [
        "status.reservedFor: Too many: 257: must have at most 256 items"
    ]
    assert status_problems({"reservedFor": pods[:1]}) == [
        "status.reservedFor: Forbidden: may not be specified when `allocated` is not set"
    ]
    changed = {"devices": {"results": [{**ALLOCATED, "device": "e"}]}}
    assert status_problems({"allocation": changed}, {"allocation": allocation}) == [
        "status.allocation: Invalid value: null: field cannot be modified once set"
    ]
    assert status_problems({}, {"allocation": allocation}) == []
    assert status_problems({"allocation": {"devices": {"results": [ALLOCATED] * 33}}}) == [
        "status.allocation.devices.results: Too many: 33: must have at most 32 items"
    ]


def test_a_device_that_was_not_allocated_has_no_status() -> None:
    """A driver tells about the devices that the claim got."""
    status = {"allocation": {"devices": {"results": [ALLOCATED]}}, "devices": [{"driver": "x", "pool": "p"}]}
    assert status_problems(status)[0].endswith("must be an allocated device in the claim")
