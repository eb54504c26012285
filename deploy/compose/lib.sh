# What the scripts of this folder share. They are called by make, or by hand from anywhere.
# shellcheck shell=bash

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"

export STATE_DIR="${STATE_DIR:-$root/var/compose}"
readonly REPLICAS=(control-plane-1 control-plane-2)
readonly WAIT_S="${WAIT_S:-180}"
readonly SECRETS="$STATE_DIR/secrets"

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

compose() {
  local files=(-f "$here/compose.yaml")
  [[ -z "${FLEET:-}" ]] || files+=(-f "$here/compose.fleet.yaml")
  [[ -n "${COMPOSE_EXTRA:-}" ]] && files+=(-f "$COMPOSE_EXTRA")
  docker compose "${files[@]}" "$@"
}

container_of() { compose ps --all --quiet "$1" 2>/dev/null | head -n 1; }

# Healthy, starting, unhealthy; running or exited for those that have no health check; nothing where there is no container.
health_of() {
  local container
  container="$(container_of "$1")"
  [[ -z "$container" ]] ||
    docker inspect --format '{{if and .State.Running .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}' "$container"
}

wait_healthy() {
  local service="$1" until=$((SECONDS + WAIT_S)) health=""
  while ((SECONDS < until)); do
    health="$(health_of "$service")"
    case "$health" in
      healthy) return 0 ;;
      exited | restarting | dead | unhealthy | "") break ;;
    esac
    sleep 1
  done
  say "$service is ${health:-not there}. Its last words:" >&2
  compose logs --no-color --tail 20 "$service" >&2 || true
  return 1
}

# The image a replica runs on now.
image_of() {
  local container
  container="$(container_of "$1")"
  [[ -z "$container" ]] || docker inspect --format '{{.Config.Image}}' "$container"
}

secrets_stamp() { find "$SECRETS" -type f -exec cat {} + | sha256sum | cut -c 1-12; }

need_docker() {
  command -v docker >/dev/null || fail "docker is not installed."
  docker info >/dev/null 2>&1 || fail "the Docker engine does not answer; is it running, and may this user use it?"
  docker compose version >/dev/null 2>&1 || fail "Docker Compose v2 is needed (docker compose version)."
}

need_state() {
  [[ -f "$SECRETS/database_url" ]] || fail "$SECRETS is not there: nothing was deployed from here, or STATE_DIR is another."
  SECRETS_STAMP="$(secrets_stamp)"
  IMAGE="${IMAGE:-$(image_of "${REPLICAS[0]}")}"
  export SECRETS_STAMP IMAGE
}

# Puts this replica on the image in IMAGE; one that does not get healthy is put back on the image it had.
replace() {
  local replica="$1" before
  before="$(image_of "$replica")"
  compose up --detach --no-deps --no-build "$replica"
  wait_healthy "$replica" && return 0
  if [[ -n "$before" && "$before" != "$IMAGE" ]]; then
    ${undo:-true} # before it starts: the program before need not know what the new YAML says
    IMAGE="$before" compose up --detach --no-deps --no-build "$replica"
    wait_healthy "$replica" || true
    fail "$replica did not become ready on $IMAGE; it is back on $before."
  fi
  fail "$replica did not become ready."
}

site_url() {
  case "${SITE_ADDRESS:-:80}" in
    :* | http://*) say "http://${BIND:-127.0.0.1}:${HTTP_PORT:-8003}" ;;
    *) say "https://$SITE_ADDRESS" ;;
  esac
}
