"""ServiceAccount: every pod runs as one, and carries its token.

A pod without an account gets `default`. Unless pod or account say otherwise, each container gets a projected volume
`kube-api-access-<random>` with the token, the cluster's authority and the namespace, where client libraries look for
them. A pod without image pull secrets gets its account's.
"""

import itertools
from collections.abc import Iterator

from kaa.api.objects import Object, annotations_of
from kaa.lib.clock import Clock, random_suffix
from kaa.server.admission.plugin import POD, Context, Plugin, created, refused, spec_of
from kaa.server.request import AdmissionRequest

DEFAULT_ACCOUNT = "default"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"
TOKEN_SECONDS = 3607
"""An hour and a bit: the odd value tells this plugin's tokens from those that users ask for."""

MIRROR_ANNOTATION = "kubernetes.io/config.mirror"

DEFAULT_ACCOUNT_ATTEMPTS = 10
DEFAULT_ACCOUNT_RETRY_SECONDS = 0.1
"""A new namespace's default account is a controller's work: its first pods wait for it, a second at the most."""


async def give_account(request: AdmissionRequest, context: Context) -> None:
    pod = created(request)
    spec = spec_of(request)
    if MIRROR_ANNOTATION in annotations_of(pod):
        if spec.get("serviceAccountName"):
            raise refused(request, "a mirror pod may not reference service accounts")
        return
    name = spec.get("serviceAccountName") or DEFAULT_ACCOUNT
    account = await _find(context, name, request.attributes.namespace)
    if account is None:
        where = f"{request.attributes.namespace}/{name}"
        raise refused(request, f'error looking up service account {where}: serviceaccount "{name}" not found')
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    if _wants_token(spec, account):
        mount_token(spec, context.clock)
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [dict(secret) for secret in account["imagePullSecrets"]]


async def _find(context: Context, name: str, namespace: str) -> Object | None:
    for _ in range(DEFAULT_ACCOUNT_ATTEMPTS if name == DEFAULT_ACCOUNT else 1):
        account = context.reader.get("ServiceAccount", name, namespace)
        if account is not None:
            return account
        jitter = 1 + context.clock.random.random()
        await context.clock.sleep(DEFAULT_ACCOUNT_RETRY_SECONDS * jitter)
    return context.reader.get("ServiceAccount", name, namespace)


def _wants_token(spec: Object, account: Object) -> bool:
    for choice in (spec.get("automountServiceAccountToken"), account.get("automountServiceAccountToken")):
        if choice is not None:
            return bool(choice)
    return True


def mount_token(spec: Object, clock: Clock) -> None:
    """Adds the token's volume to a pod's spec, and its mount to each container that has nothing at that path."""
    volumes = spec.get("volumes") or []
    present = next((v["name"] for v in volumes if v["name"].startswith(VOLUME_PREFIX) and "projected" in v), None)
    name = present or VOLUME_PREFIX + random_suffix(clock.random)
    mounted = False
    for container in _containers(spec):
        mounts = container.setdefault("volumeMounts", [])
        if any(mount.get("mountPath") == MOUNT_PATH for mount in mounts):
            continue
        mounts.append({"name": name, "readOnly": True, "mountPath": MOUNT_PATH})
        mounted = True
    if mounted and present is None:
        spec["volumes"] = [*volumes, token_volume(name)]


def _containers(spec: Object) -> Iterator[Object]:
    return itertools.chain(spec.get("initContainers") or (), spec.get("containers") or ())


def token_volume(name: str) -> Object:
    return {
        "name": name,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {
                    "downwardAPI": {
                        "items": [
                            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
                        ]
                    }
                },
            ],
            "defaultMode": 420,
        },
    }


SERVICE_ACCOUNT = Plugin(name="ServiceAccount", kinds=POD, mutate=give_account)
