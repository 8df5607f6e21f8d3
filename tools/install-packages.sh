#!/bin/sh
# Installs the Debian packages that a cluster needs and this machine lacks, and says which.
# With `tests`, also what only the tests use.
set -eu

missing=""
need() { # program package
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need runc runc
need conmon conmon
need catatonit catatonit
need nft nftables
need ip iproute2
need nsenter util-linux
# The sample's image is made from it, so it must run without libraries.
if ! command -v busybox >/dev/null 2>&1 || ldd "$(command -v busybox)" >/dev/null 2>&1; then
    missing="$missing busybox-static"
fi
[ "${1:-}" != tests ] || need etcd etcd-server

[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
    echo "Missing system packages:$missing. Install them with: sudo apt-get install -y$missing" >&2
    exit 1
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "Missing programs; their Debian packages are:$missing. Install them with this system's package manager." >&2
    exit 1
fi
echo "Installing system packages:$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # a list of words
apt-get install -qq -y --no-install-recommends $missing >/dev/null 2>&1 || {
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends $missing >/dev/null
}
