"""Rules for what a projected volume takes from certificates.k8s.io: trust bundles, and certificates for the pod."""

from typing import Any

from kaa.api.validation.containers import local_path
from kaa.api.validation.fields import invalid, required
from kaa.api.validation.trust_bundles import signer_problems
from kaa.api.validation.walker import REQUIRED, Errors, not_negative, one_of, valid

KEY_TYPES = ("RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519")

MIN_SECONDS = 3600
MAX_SECONDS = 91 * 24 * 3600
KUBERNETES_MAX_SECONDS = 24 * 3600
"""For signers of Kubernetes itself."""

CERTIFICATE_PATHS = ("credentialBundlePath", "keyPath", "certificateChainPath")


def bundle_source(value: Any, path: str, errors: Errors) -> None:
    name, signer = value.get("name"), value.get("signerName")
    if name is not None and signer is not None:
        errors.append(invalid(path, value, "only one of name and signerName may be used"))
    elif name is None and signer is None:
        errors.append(required(path, "either name or signerName must be specified"))
    elif name is not None and value.get("labelSelector") is not None:
        detail = "labelSelector must be unset if name is specified"
        errors.append(invalid(f"{path}.labelSelector", value["labelSelector"], detail))


TRUST_BUNDLE = {"": bundle_source, "signerName": valid(signer_problems), "path": (REQUIRED, local_path)}


def certificate_life(value: Any, path: str, errors: Errors) -> None:
    seconds = value.get("maxExpirationSeconds")
    if seconds is None:
        return
    is_kubernetes = value.get("signerName", "").startswith("kubernetes.io/")
    longest = KUBERNETES_MAX_SECONDS if is_kubernetes else MAX_SECONDS
    if not MIN_SECONDS <= seconds <= longest:
        bound = f">= {MIN_SECONDS}" if seconds < MIN_SECONDS else f"<= {longest}"
        detail = f"if provided, maxExpirationSeconds must be {bound}"
        errors.append(invalid(f"{path}.maxExpirationSeconds", seconds, detail))


def certificate_paths(value: Any, path: str, errors: Errors) -> None:
    if not any(value.get(field) for field in CERTIFICATE_PATHS):
        detail = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"
        errors.append(required(path, detail))


POD_CERTIFICATE = {
    "": (certificate_life, certificate_paths),
    "signerName": (REQUIRED, valid(signer_problems)),
    "keyType": (REQUIRED, one_of(*KEY_TYPES)),
    "user": not_negative,
    **dict.fromkeys(CERTIFICATE_PATHS, local_path),
}
