#!/usr/bin/env bash
# From a clone to a running service, and from one version to the next; doing it again changes only what has changed.
#
# OVERLAY   in-cluster (a Postgres and a Redis of its own) or managed (then the first time DATABASE_URL_FILE and REDIS_URL_FILE)
# IMAGE     an image the cluster can pull; or REGISTRY, where one built from this clone is pushed to
# HOST      a name for ingress-nginx to serve          OBSERVABILITY=1  for the Prometheus operator
# FLEET=1   completions through LiteLLM proxies        KUBE_CONTEXT     which cluster, if not the current one
# YES=1     though teams lose access to model groups
# CONFIG    the YAML, litellm_config.yaml of this clone if not given     STATE_DIR  where secrets and patches are kept
set -Eeuo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

CONFIG="${CONFIG:-$root/${FLEET:+deploy/fleet/}litellm_config.yaml}"
SECRETS="$STATE_DIR/secrets"

step "Preflight"
need_cluster
[[ -f "$CONFIG" ]] || fail "$CONFIG is not there."
[[ -d "$here/overlays/$OVERLAY" ]] || fail "OVERLAY is in-cluster or managed, not $OVERLAY."
[[ -n "${IMAGE:-}${REGISTRY:-}" ]] || fail "a cluster cannot pull from here: give IMAGE, or REGISTRY to build for and push to."

if [[ -z "${IMAGE:-}" ]]; then
  step "Build"
  docker build --file "$root/deploy/Dockerfile" --tag control-plane:local "$root"
  IMAGE="$REGISTRY/control-plane:$(docker image inspect --format '{{.Id}}' control-plane:local | cut -d : -f 2 | cut -c 1-12)"
  docker tag control-plane:local "$IMAGE"
  docker push "$IMAGE"
fi
say "image: $IMAGE"

step "Secrets"
random() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
secret() { kube create secret generic "$@" --dry-run=client --output yaml | kube apply --filename - >/dev/null; }
install -d -m 0700 "$STATE_DIR" "$SECRETS" "$SECRETS/providers" "$STATE_DIR/patches" "$STATE_DIR/rendered"
kube get namespace "$NAMESPACE" >/dev/null 2>&1 || kube apply --filename "$here/base/namespace.yaml"
if ! kube get secret control-plane >/dev/null 2>&1; then
  if [[ "$OVERLAY" == in-cluster ]]; then
    password="$(random)"
    database_url="postgresql://control_plane:$password@postgres/control_plane"
    redis_url=redis://redis:6379/0
  else
    [[ -r "${DATABASE_URL_FILE:-}" && -r "${REDIS_URL_FILE:-}" ]] ||
      fail "the first time, DATABASE_URL_FILE and REDIS_URL_FILE name files with the addresses of the managed services."
    database_url="$(cat "$DATABASE_URL_FILE")"
    redis_url="$(cat "$REDIS_URL_FILE")"
  fi
  kube create secret generic control-plane --from-env-file=<(
    say "master_key=sk-master-$(random)"
    say "database_url=$database_url"
    say "redis_url=$redis_url"
    [[ -z "${password:-}" ]] || say "postgres_password=$password"
  )
fi
# Prometheus asks with a key of its own; without one /metrics is open to whoever reaches a pod.
if [[ -n "${OBSERVABILITY:-}" && -z "$(kube get secret control-plane --output 'jsonpath={.data.metrics_key}')" ]]; then
  printf '{"stringData": {"metrics_key": "%s"}}' "$(random)" | kube patch secret control-plane --type=merge --patch-file=/dev/stdin >/dev/null
fi
# Each file in secrets/providers is a key: the YAML's os.environ/OPENAI_API_KEY is in the file OPENAI_API_KEY.
if compgen -G "$SECRETS/providers/*" >/dev/null; then
  secret control-plane-providers --from-env-file=<(for file in "$SECRETS"/providers/*; do printf '%s=%s\n' "$(basename "$file")" "$(cat "$file")"; done)
fi
[[ ! -f "$STATE_DIR/settings.env" ]] ||
  kube create configmap control-plane-settings --from-env-file="$STATE_DIR/settings.env" --dry-run=client --output yaml | kube apply --filename - >/dev/null
if [[ -n "${FLEET:-}" ]] && ! kube get secret control-plane-fleet >/dev/null 2>&1; then
  password="$(random)"
  kube create secret generic control-plane-fleet --from-env-file=<(
    say "master_key=sk-$(random)"
    say "salt_key=sk-$(random)"
    say "postgres_password=$password"
    say "database_url=postgresql://litellm:$password@fleet-postgres/litellm"
  )
fi
stamp="$(for name in control-plane control-plane-providers control-plane-fleet; do
  kube get secret "$name" --ignore-not-found --output 'jsonpath={.data}'
done | sha256sum | cut -c 1-12)"

step "Manifests in $STATE_DIR/rendered"
rendered="$STATE_DIR/rendered"
cp "$CONFIG" "$rendered/litellm_config.yaml"
ours="$(realpath --relative-to "$rendered" "$here")"
{
  say "apiVersion: kustomize.config.k8s.io/v1beta1"
  say "kind: Kustomization"
  say "namespace: $NAMESPACE"
  say "resources: [$ours/overlays/$OVERLAY${OBSERVABILITY:+, prometheus-rule.yaml}]"
  say "components: [${OBSERVABILITY:+$ours/components/observability, }${HOST:+$ours/components/ingress, }${FLEET:+$ours/components/fleet, }]"
  case "$IMAGE" in
    *@*) say "images: [{name: control-plane, newName: \"${IMAGE%@*}\", digest: \"${IMAGE#*@}\"}]" ;;
    *) say "images: [{name: control-plane, newName: \"${IMAGE%:*}\", newTag: \"${IMAGE##*:}\"}]" ;;
  esac
  say "generatorOptions: {disableNameSuffixHash: true}"
  say "configMapGenerator:"
  say "  - {name: control-plane-next, files: [litellm_config.yaml], options: {labels: {app.kubernetes.io/component: migrate}}}"
  say "  - {name: control-plane-config, files: [litellm_config.yaml], options: {labels: {app.kubernetes.io/component: server}}}"
  if [[ -n "${FLEET:-}" ]]; then
    [[ -f "$STATE_DIR/fleet.yaml" ]] || cp "$root/deploy/fleet/proxy.yaml" "$STATE_DIR/fleet.yaml"
    cp "$STATE_DIR/fleet.yaml" "$rendered/fleet.yaml"
    say "  - {name: control-plane-fleet, files: [config.yaml=fleet.yaml], options: {labels: {app.kubernetes.io/component: fleet}}}"
  fi
  say "patches:"
  say "  - target: {kind: Deployment, name: control-plane}"
  say "    patch: |-"
  say "      - {op: add, path: /spec/template/metadata/annotations, value: {control-plane/secrets: \"$stamp\"}}"
  if [[ -n "${FLEET:-}" ]]; then
    say "  - target: {kind: Deployment, name: fleet}"
    say "    patch: |-"
    say "      - {op: add, path: /spec/template/metadata/annotations, value: {control-plane/config: \"$(sha256sum <"$rendered/fleet.yaml" | cut -c 1-12)\"}}"
  fi
  if [[ -n "${HOST:-}" ]]; then
    say "  - target: {kind: Ingress, name: control-plane}"
    say "    patch: |-"
    say "      - {op: replace, path: /spec/rules/0/host, value: \"$HOST\"}"
    say "      - {op: replace, path: /spec/tls/0/hosts/0, value: \"$HOST\"}"
  fi
  for patch in "$STATE_DIR"/patches/*.yaml; do
    [[ -e "$patch" ]] || continue
    cp "$patch" "$rendered/"
    say "  - path: $(basename "$patch")"
  done
} >"$rendered/kustomization.yaml"
if [[ -n "${OBSERVABILITY:-}" ]]; then
  {
    say "apiVersion: monitoring.coreos.com/v1"
    say "kind: PrometheusRule"
    say "metadata: {name: control-plane, labels: {app.kubernetes.io/component: server}}"
    say "spec:"
    sed 's/^/  /' "$root/deploy/observability/rules.yaml"
  } >"$rendered/prometheus-rule.yaml"
fi
render >/dev/null

apply() { render | kube apply --selector "$1" --filename -; }

step "What is not the control plane itself"
apply 'app.kubernetes.io/component notin (migrate, server)'
if [[ "$OVERLAY" == in-cluster ]]; then
  kube rollout status statefulset/postgres --timeout="$WAIT" || fail "Postgres does not come up."
fi

step "Doctor, with $CONFIG; then migrate"
kube delete job control-plane-migrate --ignore-not-found
apply app.kubernetes.io/component=migrate
until="$((SECONDS + 900))"
while true; do
  ended="$(kube get job control-plane-migrate --output 'jsonpath={.status.conditions[?(@.status=="True")].type}')"
  case "$ended" in
    *Complete*) break ;;
    *Failed*)
      kube logs --selector batch.kubernetes.io/job-name=control-plane-migrate --all-containers --tail 30 --prefix >&2 || true
      fail "the doctor found something, or the database was not migrated: see above. Nothing else was changed."
      ;;
  esac
  ((SECONDS < until)) || fail "the job control-plane-migrate does not end: kubectl describe it."
  sleep 2
done

if [[ -n "${FLEET:-}" ]]; then
  step "LiteLLM proxies"
  kube rollout status deployment/fleet --timeout="$WAIT" || fail "the proxies do not come up."
fi

site="http://control-plane.$NAMESPACE.svc"
previous="$STATE_DIR/litellm_config.yaml.previous"
kube get configmap control-plane-config --ignore-not-found --output 'jsonpath={.data.litellm_config\.yaml}' >"$previous"
if [[ "$(kube get deployment control-plane --ignore-not-found --output 'jsonpath={.status.readyReplicas}')" =~ ^[1-9] ]]; then
  step "Who loses access"
  # 2: the program before does not have the command yet.
  lost=0
  kube exec --stdin deployment/control-plane -- control-plane config access /dev/stdin --url "$site" ${YES:+--yes} <"$CONFIG" || lost=$?
  ((lost == 0 || lost == 2)) || fail "teams would lose access, see above: YES=1 if that is meant. Nothing was changed."
fi

put_back_yaml() {
  [[ -s "$previous" ]] || return 0
  kube create configmap control-plane-config --from-file="litellm_config.yaml=$previous" --dry-run=client --output yaml | kube replace --filename -
  kube label --overwrite configmap control-plane-config app.kubernetes.io/component=server
  say "The YAML is the one before again; replicas take it up within two minutes."
}

step "Replica by replica"
undo=put_back_yaml
apply app.kubernetes.io/component=server
if ! server_is_ready; then
  kube get pods --selector app.kubernetes.io/component=server >&2 || true
  kube logs --selector app.kubernetes.io/component=server --tail 20 --prefix >&2 || true
  [[ "$(kube get deployment control-plane --output 'jsonpath={.metadata.generation}')" == 1 ]] || kube rollout undo deployment/control-plane
  fail "the new version did not become ready; the one before was never stopped, and is in force again."
fi

step "The YAML is in force"
kube exec --stdin deployment/control-plane -- control-plane config follow /dev/stdin --url "$site" --wait-s 240 <"$CONFIG" ||
  fail "not every replica takes the new YAML."
undo=""

step "Smoke job"
kube exec deployment/control-plane -- control-plane smoke --url "$site" ||
  fail "the service runs, but the job above did not work."

step "Ready"
say "API   ${HOST:+https://$HOST, and }http://control-plane.$NAMESPACE.svc in the cluster"
say "Key   kubectl --namespace $NAMESPACE get secret control-plane --output 'jsonpath={.data.master_key}' | base64 --decode"
