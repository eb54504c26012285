#!/usr/bin/env bash
# Stops everything that runs. Data stays: volumes, secrets and the namespace. up.sh goes on with them.
set -Eeuo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

step "Stop"
need_cluster
ours=(--selector app.kubernetes.io/part-of=control-plane --ignore-not-found)
# First what is served from outside, and what would start pods again.
kube delete ingresses,horizontalpodautoscalers "${ours[@]}"
kube delete deployments,jobs "${ours[@]}"
kube delete statefulsets "${ours[@]}"
say "Stopped. Volumes (kubectl get persistentvolumeclaims) and secrets are where they were."
