"""The real kubectl against a secured server: who am I, what may I, tokens, roles."""

from typing import Any

from kaa.cluster.certificates import Identity
from kaa.server.request import Request

JANE = Identity("jane", ("dev",))


async def test_whoami_and_can_i(secured: Any) -> None:
    """`kubectl auth` answers for the administrator and for a user without any role."""
    code, output = await secured.kubectl("auth", "whoami")
    assert code == 0
    assert "kubernetes-admin" in output
    assert await secured.kubectl("auth", "can-i", "create", "pods") == (0, "yes\n")
    assert await secured.kubectl("auth", "can-i", "create", "pods", identity=JANE) == (1, "no\n")
    code, output = await secured.kubectl("auth", "can-i", "--list", identity=JANE)
    assert code == 0
    assert "selfsubjectaccessreviews.authorization.k8s.io" in output
    assert "secrets" not in output


async def test_roles_take_effect_at_once(secured: Any) -> None:
    """What an administrator grants holds for the next request, and is taken away as fast."""
    forbidden = 'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default"'
    code, output = await secured.kubectl("get", "pods", identity=JANE)
    assert (code, forbidden in output) == (1, True)
    await secured.kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods")
    await secured.kubectl("create", "rolebinding", "readers", "--role=reader", "--group=dev")
    assert (await secured.kubectl("get", "pods", identity=JANE))[0] == 0
    await secured.kubectl("delete", "rolebinding", "readers")
    assert (await secured.kubectl("get", "pods", identity=JANE))[0] == 1


async def test_nobody_grants_more_than_they_have(secured: Any) -> None:
    """The escalation check, with kubectl's own bodies."""
    roles = "--resource=roles.rbac.authorization.k8s.io,rolebindings.rbac.authorization.k8s.io"
    await secured.kubectl("create", "role", "roles", "--verb=get,create", roles)
    await secured.kubectl("create", "rolebinding", "roles", "--role=roles", "--user=jane")
    code, output = await secured.kubectl("create", "role", "x", "--verb=get", "--resource=secrets", identity=JANE)
    assert code == 1
    assert "is attempting to grant RBAC permissions not currently held" in output
    code, output = await secured.kubectl(
        "create", "rolebinding", "x", "--clusterrole=cluster-admin", "--user=jane", identity=JANE
    )
    assert code == 1


async def test_a_created_token_works_and_ends(secured: Any) -> None:
    """`kubectl create token` gives a token that authenticates, until its account is deleted."""
    await secured.kubectl("create", "serviceaccount", "builder")
    code, token = await secured.kubectl("create", "token", "builder")
    assert code == 0
    headers = {"authorization": f"Bearer {token.strip()}"}
    request = Request("GET", "/api/v1/namespaces/default/pods", headers=headers)
    refused = await secured.server.handle(request)
    assert refused.status == 403
    assert b'User \\"system:serviceaccount:default:builder\\" cannot list' in refused.body
    await secured.kubectl("delete", "serviceaccount", "builder")
    gone = await secured.server.handle(Request("GET", "/api/v1/namespaces/default/pods", headers=headers))
    assert (gone.status, b"Unauthorized" in gone.body) == (401, True)


async def test_impersonation_needs_a_permission(secured: Any) -> None:
    """An administrator may act as anybody, jane as nobody."""
    assert (await secured.kubectl("get", "pods", "--as=jane"))[0] == 1
    code, output = await secured.kubectl("get", "pods", "--as=anna", identity=JANE)
    assert code == 1
    assert 'User "jane" cannot impersonate resource "users"' in output


async def test_services_get_addresses(secured: Any) -> None:
    """The API's own Service has the first address, and a second claim to it is refused."""
    code, output = await secured.kubectl("get", "service", "kubernetes", "-o", "jsonpath={.spec.clusterIP}")
    assert (code, output) == (0, "10.96.0.1")
    code, output = await secured.kubectl("create", "service", "clusterip", "x", "--tcp=80", "--clusterip=10.96.0.1")
    assert code == 1
    assert "failed to allocate IP 10.96.0.1: provided IP is already allocated" in output
    assert (await secured.kubectl("create", "service", "nodeport", "x", "--tcp=80", "--node-port=30080"))[0] == 0
    code, output = await secured.kubectl("create", "service", "nodeport", "y", "--tcp=80", "--node-port=30080")
    assert "provided port is already allocated" in output


async def test_the_issuer_describes_itself(secured: Any) -> None:
    """Service accounts may read the OIDC documents; nobody without credentials may."""
    headers = {"authorization": f"Bearer {await token_of(secured)}"}
    for path in ("/.well-known/openid-configuration", "/openid/v1/jwks"):
        assert (await secured.server.handle(Request("GET", path, headers=headers))).status == 200
        assert (await secured.server.handle(Request("GET", path))).status == 403


async def token_of(secured: Any) -> str:
    await secured.kubectl("create", "serviceaccount", "reader")
    return (await secured.kubectl("create", "token", "reader"))[1].strip()
