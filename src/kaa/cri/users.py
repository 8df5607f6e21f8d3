"""Which user a container runs as, pure: from the security context, the image, and the image's passwd and group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class User:
    uid: int
    gid: int
    groups: tuple[int, ...]  # supplementary, `gid` not repeated


@dataclass(frozen=True, slots=True)
class Account:
    """One line of /etc/passwd."""

    name: str
    uid: int
    gid: int


def parse_passwd(text: str) -> list[Account]:
    accounts = []
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) >= 4 and fields[2].isdigit() and fields[3].isdigit():
            accounts.append(Account(fields[0], int(fields[2]), int(fields[3])))
    return accounts


def parse_group(text: str) -> list[tuple[str, int, frozenset[str]]]:
    """(name, gid, members) of each line of /etc/group."""
    groups = []
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) >= 3 and fields[2].isdigit():
            members = fields[3].split(",") if len(fields) > 3 else []
            groups.append((fields[0], int(fields[2]), frozenset(filter(None, members))))
    return groups


def resolve_user(security_context: Mapping[str, Any], image_user: str, passwd: str, group: str) -> User:
    """Raises ValueError for a name that the image does not know.

    The security context's user wins over the image's (`user[:group]`, names or numbers); a user's own group comes from
    passwd unless one is given. With the policy Merge, the groups that the image lists the user in are added.
    """
    accounts, groups = parse_passwd(passwd), parse_group(group)
    user_text, _, group_text = image_user.partition(":")
    run_as_user = security_context.get("run_as_user")
    if run_as_user is not None:
        user_text, group_text = str(run_as_user.get("value", 0)), ""
    elif security_context.get("run_as_username"):
        user_text, group_text = str(security_context["run_as_username"]), ""
    account = _find_account(user_text or "0", accounts)
    gid = account.gid
    if group_text:
        gid = _find_group(group_text, groups)
    run_as_group = security_context.get("run_as_group")
    if run_as_group is not None:
        gid = int(run_as_group.get("value", 0))
    wanted: Sequence[int] = security_context.get("supplemental_groups") or ()
    listed = [number for _, number, members in groups if account.name in members]
    if security_context.get("supplemental_groups_policy") == "Strict":
        listed = []
    return User(account.uid, gid, tuple(dict.fromkeys(int(g) for g in (*listed, *wanted) if int(g) != gid)))


def _find_account(text: str, accounts: Sequence[Account]) -> Account:
    if text.isdigit():
        number = int(text)
        return next((a for a in accounts if a.uid == number), Account("", number, 0))
    found = next((a for a in accounts if a.name == text), None)
    if found is None:
        raise ValueError(f"unable to find user {text}: no matching entries in passwd file")
    return found


def _find_group(text: str, groups: Sequence[tuple[str, int, frozenset[str]]]) -> int:
    if text.isdigit():
        return int(text)
    found = next((gid for name, gid, _ in groups if name == text), None)
    if found is None:
        raise ValueError(f"unable to find group {text}: no matching entries in group file")
    return found
