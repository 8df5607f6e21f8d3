"""An operator as kopf's examples have it: handlers for creation, a field, and deletion of a custom kind."""

import kopf


@kopf.on.create("example.com", "v1", "ephemeralvolumeclaims")
def create(spec: kopf.Spec, body: kopf.Body, name: str, **_: object) -> dict[str, str]:
    size = spec.get("size")
    if not size:
        kopf.warn(body, reason="NoSize", message="a claim needs a size")
        raise kopf.PermanentError("a claim needs a size")
    return {"claim-name": f"{name}-{size}"}


@kopf.on.field("example.com", "v1", "ephemeralvolumeclaims", field="spec.size")
def resize(new: str | None, patch: kopf.Patch, **_: object) -> None:
    patch.status["size"] = new


@kopf.on.delete("example.com", "v1", "ephemeralvolumeclaims")
def delete(name: str, logger: kopf.Logger, **_: object) -> None:
    logger.info("deleted %s", name)
