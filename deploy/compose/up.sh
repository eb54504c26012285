#!/usr/bin/env bash
# From a clone to a running service, and from one version to the next; doing it again changes only what has changed.
#
# SITE_ADDRESS  ":80", or your domain, for which the proxy gets a certificate (then set BIND=0.0.0.0 HTTP_PORT=80 HTTPS_PORT=443)
# IMAGE  an image from your registry; without it, one is built from this clone
# COMPOSE_PROFILES=observability  Prometheus and Grafana, too        FLEET=1  completions through LiteLLM proxies
# YES=1  though teams lose access to model groups
# CONFIG  the YAML, litellm_config.yaml of this clone if not given   STATE_DIR  where secrets and settings are kept
set -Eeuo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$(dirname "${BASH_SOURCE[0]}")/../yaml.sh"

CONFIG="${CONFIG:-$root/${FLEET:+deploy/fleet/}litellm_config.yaml}"

step "Preflight"
need_docker
[[ -f "$CONFIG" ]] || fail "$CONFIG is not there."
if [[ -z "$(container_of proxy)" ]] && (exec 3<>"/dev/tcp/127.0.0.1/${HTTP_PORT:-8003}") 2>/dev/null; then
  fail "port ${HTTP_PORT:-8003} is taken; give another as HTTP_PORT."
fi

step "Secrets and settings in $STATE_DIR"
random() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
# Readable by the containers' users, in a folder that only its owner may enter.
keep() {
  [[ -s "$SECRETS/$1" ]] && return
  printf '%s' "$2" >"$SECRETS/$1"
  chmod 0444 "$SECRETS/$1"
  say "made $SECRETS/$1"
}
if [[ ! -s "$SECRETS/postgres_password" ]] && docker volume inspect control-plane_postgres >/dev/null 2>&1; then
  fail "there is a database (volume control-plane_postgres), but not its password ($SECRETS/postgres_password): put it back."
fi
install -d -m 0700 "$STATE_DIR" "$SECRETS"
install -d -m 0755 "$STATE_DIR/config" "$SECRETS/providers"
keep master_key "sk-master-$(random)"
keep postgres_password "$(random)"
keep database_url "postgresql://control_plane:$(cat "$SECRETS/postgres_password")@postgres/control_plane"
keep grafana_password "$(random)"
if [[ -n "${FLEET:-}" ]]; then
  keep fleet_master_key "sk-$(random)"
  keep fleet_salt_key "sk-$(random)"
  keep fleet_postgres_password "$(random)"
  keep fleet_database_url "postgresql://litellm:$(cat "$SECRETS/fleet_postgres_password")@fleet-postgres/litellm"
  [[ -f "$STATE_DIR/fleet.yaml" ]] || install -m 0644 "$root/deploy/fleet/proxy.yaml" "$STATE_DIR/fleet.yaml"
fi
[[ -f "$STATE_DIR/settings.env" ]] ||
  echo "# Further settings, one CONTROL_PLANE_NAME=value a line: control_plane/guide/settings.md lists them. Secrets do not belong here." >"$STATE_DIR/settings.env"
# Each file in secrets/providers is a key: the YAML's os.environ/OPENAI_API_KEY is in the file OPENAI_API_KEY.
find "$SECRETS/providers" -type f -exec chmod 0444 {} +
find "$SECRETS/providers" -type f -printf '%f_FILE=/run/secrets/providers/%f\n' | sort >"$STATE_DIR/providers.env"
SECRETS_STAMP="$(secrets_stamp)"
export SECRETS_STAMP

if [[ -n "${IMAGE:-}" ]]; then
  step "Image $IMAGE"
  docker image inspect "$IMAGE" >/dev/null 2>&1 || docker pull "$IMAGE"
else
  step "Build"
  build_args=(${PYTHON_IMAGE:+--build-arg "PYTHON=$PYTHON_IMAGE"} ${BUILD_NETWORK:+--network "$BUILD_NETWORK"})
  docker build "${build_args[@]}" --file "$root/deploy/Dockerfile" --tag control-plane:local "$root"
  # Named by its content, so that the same image is not deployed twice and the one before stays there to go back to.
  IMAGE="control-plane:$(docker image inspect --format '{{.Id}}' control-plane:local | cut -d : -f 2 | cut -c 1-12)"
  docker tag control-plane:local "$IMAGE"
fi
export IMAGE

step "Postgres and Redis"
compose up --detach postgres redis
wait_healthy postgres || fail "Postgres does not come up."
wait_healthy redis || fail "Redis does not come up."

step "Doctor, with $CONFIG"
compose run --rm --no-deps -T --volume "$CONFIG:/tmp/litellm_config.yaml:ro" -e CONTROL_PLANE_CONFIG=/tmp/litellm_config.yaml \
  migrate doctor || fail "what is wrong is said above; nothing was changed."

if [[ "$(health_of "${REPLICAS[0]}")" == healthy ]]; then
  step "Who loses access"
  tty=()
  [[ -t 0 ]] || tty=(-T)
  compose run --rm --no-deps "${tty[@]}" --volume "$CONFIG:/tmp/litellm_config.yaml:ro" \
    migrate config access /tmp/litellm_config.yaml --url "http://${REPLICAS[0]}:8003" ${YES:+--yes} ||
    fail "teams would lose access, see above: YES=1 if that is meant. Nothing was changed."
fi

step "Migrate"
compose run --rm --no-deps -T migrate

step "The YAML"
yaml="$STATE_DIR/config/litellm_config.yaml"
yaml_mode=0644
put_yaml_in_place

if [[ -n "${FLEET:-}" ]]; then
  step "LiteLLM proxies"
  FLEET_STAMP="$(sha256sum <"$STATE_DIR/fleet.yaml" | cut -c 1-12)"
  export FLEET_STAMP
  for service in fleet-postgres fleet-1 fleet-2; do
    compose up --detach --no-deps "$service"
    wait_healthy "$service" || fail "$service does not come up."
  done
fi

for replica in "${REPLICAS[@]}"; do
  step "Replica $replica"
  replace "$replica"
done

step "The YAML is in force"
compose exec -T "${REPLICAS[0]}" sh -c 'exec control-plane config follow "$CONTROL_PLANE_CONFIG" --url http://127.0.0.1:8003 --wait-s 120' ||
  fail "not every replica takes the new YAML."
undo=""

step "Proxy"
compose up --detach --no-deps proxy
compose exec -T proxy caddy reload --config /etc/caddy/Caddyfile --adapter caddyfile >/dev/null 2>&1 ||
  fail "Caddy does not take its configuration: docker compose logs proxy"

if [[ ",${COMPOSE_PROFILES:-}," == *,observability,* ]]; then
  step "Prometheus and Grafana"
  compose up --detach --no-deps prometheus grafana
fi

step "Smoke job"
case "${SITE_ADDRESS:-:80}" in
  :80) inside=http://proxy ;;
  *) inside="$(site_url)" ;;
esac
compose exec -T "${REPLICAS[0]}" control-plane smoke --url "$inside" || fail "the service runs, but the job above did not work."

step "Ready"
say "API       $(site_url)   (routes: $(site_url)/docs)"
say "Key       $SECRETS/master_key"
if [[ ",${COMPOSE_PROFILES:-}," == *,observability,* ]]; then
  say "Metrics   http://127.0.0.1:${PROMETHEUS_PORT:-9090}"
  say "Board     http://127.0.0.1:${GRAFANA_PORT:-3000}   (admin, password in $SECRETS/grafana_password)"
fi
