# What the scripts of this folder share. They are called by make, or by hand from anywhere.
# shellcheck shell=bash

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"

readonly STATE_DIR="${STATE_DIR:-$root/var/kubernetes}"
readonly OVERLAY="${OVERLAY:-in-cluster}"
readonly NAMESPACE=control-plane
readonly WAIT="${WAIT_S:-300}s"

say() { printf '%s\n' "$*"; }

step() {
  current_step="$*"
  printf '\n== %s\n' "$*"
}

# Says why, and takes back what was begun: `undo` is the command for that, where there is something to take back.
fail() {
  trap - ERR
  printf '\nStopped at "%s": %s\n' "${current_step:-start}" "$*" >&2
  if [[ -z "${undo:-}" ]] || $undo >&2; then
    printf 'What ran before still runs.\n' >&2
  fi
  exit 1
}

# What customers would notice is said beforehand: asks whether it is meant, unless YES=1 says so.
consent() {
  say "$*"
  [[ -z "${YES:-}" ]] || return 0
  [[ -t 0 ]] || fail "nobody can be asked here; give YES=1 if that is meant. Nothing was changed."
  local answer
  read -r -p "Go on? [y/N] " answer
  [[ "$answer" == [yY]* ]] || fail "it is not meant. Nothing was changed."
}

trap '((BASH_SUBSHELL)) || fail "a command failed (line $LINENO); its own words are above."' ERR

kube() { kubectl ${KUBE_CONTEXT:+--context "$KUBE_CONTEXT"} --namespace "$NAMESPACE" "$@"; }

need_cluster() {
  command -v kubectl >/dev/null || fail "kubectl is not installed."
  kube version >/dev/null 2>&1 || fail "no cluster answers; is KUBECONFIG (or KUBE_CONTEXT) the right one?"
  kube auth can-i create deployments >/dev/null || fail "you may not create deployments in the namespace $NAMESPACE."
  say "cluster: ${KUBE_CONTEXT:-$(kubectl config current-context)}"
}

# Everything that belongs to this deployment, as it is applied.
render() { kubectl kustomize "$STATE_DIR/rendered"; }

server_is_ready() { kube rollout status deployment/control-plane --timeout="$WAIT"; }

with_tools() {
  trap 'kube delete pod control-plane-tools --ignore-not-found --wait=false >/dev/null' EXIT
  kube delete pod control-plane-tools --ignore-not-found >/dev/null
  kube apply --filename "$here/tools.yaml" >/dev/null
  kube wait pod/control-plane-tools --for=condition=Ready --timeout="$WAIT" >/dev/null
}

# Runs a line of shell in that pod, where $url is the database's address and $server the same server's `postgres`.
tools() {
  # shellcheck disable=SC2016 # expanded in the pod
  kube exec --stdin control-plane-tools -- sh -euc '
    url="$(cat /run/secrets/control-plane/database_url)"
    server="$(printf %s "$url" | sed -E "s#(//[^/]*)/[^?]*#\1/postgres#")"
    name="$(printf %s "$url" | sed -E "s#.*//[^/]*/([^?]*).*#\1#")"
    restored="$(printf %s "$url" | sed -E "s#(//[^/]*)/[^?]*#\1/${name}_restored#")"
    '"$1"
}
