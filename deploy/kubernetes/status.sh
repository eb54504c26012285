#!/usr/bin/env bash
# What runs, and whether all of it is well: exits with 1 if not.
set -Eeuo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

step "Status"
need_cluster
kube get deployments,statefulsets,pods,horizontalpodautoscalers,jobs --selector app.kubernetes.io/part-of=control-plane --output wide
server_is_ready >/dev/null || fail "the replicas are not ready."
