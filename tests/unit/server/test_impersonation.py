"""Who a request is taken for, and what has to be allowed before."""

import pytest

from kaa.api.errors import APIError
from kaa.server.impersonation import impersonate
from kaa.server.request import Request, User

ADMIN = User("admin", ("system:masters",))


def impersonated(**headers):
    """The user, and what the authorizer was asked: (resource, subresource, name)."""
    asked = []
    named = {f"impersonate-{name.replace('_', '-')}": value for name, value in headers.items()}
    user = impersonate(
        Request("GET", "/", headers=named, user=ADMIN),
        lambda attributes: asked.append((attributes.plural, attributes.subresource, attributes.name)),
    )
    return user, asked


def test_everything_claimed_is_asked_for():
    """A group or an extra value may give more than the name: each needs its own permission."""
    user, asked = impersonated(user="bob", group="a,b", uid="7", extra_scopes="view")
    assert user == User("bob", ("a", "b", "system:authenticated"), "7", {"scopes": ("view",)})
    assert asked == [
        ("users", "", "bob"),
        ("groups", "", "a"),
        ("groups", "", "b"),
        ("uids", "", "7"),
        ("userextras", "scopes", "view"),
    ]


@pytest.mark.parametrize(
    ("headers", "shown"),
    [
        ({"uid": "7"}, 'UID:"7", Groups:[]string(nil), Extra:map[string][]string(nil)'),
        ({"group": "a,b"}, 'UID:"", Groups:[]string{"a", "b"}, Extra:map[string][]string(nil)'),
        (
            {"extra_scopes": "view"},
            'UID:"", Groups:[]string(nil), Extra:map[string][]string{"scopes":[]string{"view"}}',
        ),
    ],
)
def test_nobody_is_nobody(headers, shown):
    """Groups, uid or extra without a name would otherwise be the caller with more rights, or be ignored in silence."""
    with pytest.raises(APIError) as refused:
        impersonated(**headers)
    expected = f'requested &user.DefaultInfo{{Name:"", {shown}}} without impersonating a user name'
    assert (refused.value.code, refused.value.message) == (400, expected)


def test_an_empty_header_claims_nothing():
    assert impersonated(user="") == (ADMIN, [])
