#!/bin/bash
# Runs upstream's conformance suite against a new cluster of two nodes, and writes docs/CONFORMANCE.md.
#
#   tools/conformance.sh                                 every conformance spec (hours)
#   tools/conformance.sh apimachinery/watch.go apps      those of some files or folders of the suite
#   tools/conformance.sh --focus 'Deployment' --procs 2  with options of the suite's `run`
#
# KAA_CONFORMANCE_SUITE names the directory with the suite's `build`, `images`, `registry` and `run`. What they make stays
# in KAA_CONFORMANCE (~/.cache/kaa-conformance unless set), and is made only once. Nothing leaves this machine: images are
# loaded, and those that a spec pulls all the same come from the suite's own registry on loopback.
set -euo pipefail

if [[ -z ${KAA_CONFORMANCE_SUITE:-} || ! -x $KAA_CONFORMANCE_SUITE/run ]]; then
    echo "Set KAA_CONFORMANCE_SUITE to the directory of the conformance suite: the one with build, images, registry and run." >&2
    exit 2
fi
export KAA_CONFORMANCE=${KAA_CONFORMANCE:-$HOME/.cache/kaa-conformance}
here=$(cd "$(dirname "$0")/.." && pwd)
cluster=conformance
registry_port=15000
kaa=$here/.venv/bin/kaa
out=$KAA_CONFORMANCE/out

options=()
while (($#)); do
    case $1 in
        -*=* | --all | --dry | --no-nodes) options+=("$1") ;;
        -*) options+=("$1" "${2:?$1 needs a value}") && shift ;;
        *) options+=(--file "$1") ;;
    esac
    shift
done

[[ -x $KAA_CONFORMANCE/bin/e2e.test ]] || "$KAA_CONFORMANCE_SUITE/build"
[[ -f $KAA_CONFORMANCE/images.tar ]] || "$KAA_CONFORMANCE_SUITE/images"

"$KAA_CONFORMANCE_SUITE/registry" 127.0.0.1 "$registry_port" >/dev/null 2>&1 &
registry=$!
trap 'kill "$registry"; "$kaa" down --name "$cluster"' EXIT
"$kaa" down --name "$cluster" # whatever an interrupted run has left
"$kaa" up --name "$cluster" --nodes 2 --isolated --wait --registry-mirror "registry.k8s.io=http://127.0.0.1:$registry_port"
"$kaa" image load "$KAA_CONFORMANCE/images.tar" --name "$cluster"

status=0
KUBECONFIG=$("$kaa" kubeconfig --name "$cluster" --path) \
    "$KAA_CONFORMANCE_SUITE/run" --out "$out" --kubectl "$here/.venv/bin/kubectl" "${options[@]}" || status=$?
if [[ -f $out/report.json ]]; then
    "$here/.venv/bin/python" "$here/tools/conformance_report.py" "$out/report.json" "$here/docs/CONFORMANCE.md" \
        --revision "$(git -C "$here" describe --always --dirty)"
fi
exit "$status"
