#!/usr/bin/env bash
# From a clone to a running service on this machine, and from one version to the next; again changes only what has changed.
#
# PREFIX  where everything is kept, var/host if not given
# BIND, PORT  where customers connect, 127.0.0.1:8003; kept, as REPLICAS is, until another is given
# DATABASE_URL, REDIS_URL  kept after the first time; without a database: SQLite under PREFIX, one replica
# REPLICAS  2 if not given                                         CONFIG  the YAML, litellm_config.yaml of this clone
# ENVIRONMENT  a virtual environment that holds the product, instead of one built from the lock     PYTHON  python3
# YES=1  though teams lose access to model groups      KEEP  how many old releases stay, 3 if not given
# INIT  systemd or supervisor: what keeps the replicas running, if not what this machine has
set -Eeuo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$(dirname "${BASH_SOURCE[0]}")/../yaml.sh"

CONFIG="${CONFIG:-$root/litellm_config.yaml}"

step "Secrets and settings in $PREFIX"
[[ -f "$CONFIG" ]] || fail "$CONFIG is not there."
random() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
keep() {
  [[ -s "$SECRETS/$1" ]] && return
  (umask 077 && printf '%s' "$2" >"$SECRETS/$1")
  say "made $SECRETS/$1"
}
install -d -m 0700 "$PREFIX" "$SECRETS" "$SECRETS/providers" "$PREFIX/config" "$PREFIX/releases" "$PREFIX/deployments"
keep master_key "sk-master-$(random)"
if [[ -n "${DATABASE_URL:-}" && -s "$SECRETS/database_url" && "$(database_url)" != "$DATABASE_URL" ]]; then
  fail "DATABASE_URL is another than in $SECRETS/database_url; change that file if the database has moved."
fi
keep database_url "${DATABASE_URL:-sqlite:///$PREFIX/control_plane.db}"
[[ -z "${REDIS_URL:-}" ]] || (umask 077 && printf '%s' "$REDIS_URL" >"$SECRETS/redis_url")
[[ -f "$PREFIX/settings.env" ]] ||
  echo "# Further settings, one CONTROL_PLANE_NAME=value a line: control_plane/guide/settings.md lists them. Secrets do not belong here." >"$PREFIX/settings.env"

if [[ -n "${ENVIRONMENT:-}" ]]; then
  step "Environment $ENVIRONMENT"
  venv="$(readlink -f "$ENVIRONMENT")"
  [[ -x "$venv/bin/control-plane" ]] || fail "it does not hold the product."
else
  # Named by its content: the same version is not built twice, and the one before stays there to go back to.
  release="$(cd "$root" && find control_plane pyproject.toml deploy/requirements.lock -type f -not -name '*.pyc' -print0 |
    sort -z | xargs -0 sha256sum | sha256sum | cut -c 1-12)"
  step "Build release $release"
  venv="$PREFIX/releases/$release"
  if [[ ! -f "$venv/.complete" ]]; then
    rm -rf "$venv"
    "${PYTHON:-python3}" -m venv "$venv" || fail "Python 3.11 or newer with its venv module is needed (PYTHON=…)."
    pip() { "$venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"; }
    pip install --require-hashes -r "$root/deploy/requirements.lock"
    pip install --no-deps --no-build-isolation "$root"
    touch "$venv/.complete"
  fi
fi

# All that a replica is started with, so that one started later, or again, is the same.
settings() {
  cat <<SETTINGS
LITELLM_LOCAL_MODEL_COST_MAP=True
CONTROL_PLANE_ENV=production
CONTROL_PLANE_HOST=$BIND
CONTROL_PLANE_PORT=$PORT
CONTROL_PLANE_VAR=$PREFIX
CONTROL_PLANE_CONFIG=$PREFIX/config/litellm_config.yaml
CONTROL_PLANE_DRAIN_S=2
CONTROL_PLANE_SHUTDOWN_GRACE_S=60
CONTROL_PLANE_MASTER_KEY_FILE=$SECRETS/master_key
CONTROL_PLANE_DATABASE_URL_FILE=$SECRETS/database_url
SETTINGS
  [[ ! -s "$SECRETS/redis_url" ]] || say "CONTROL_PLANE_REDIS_URL_FILE=$SECRETS/redis_url"
  # Each file in secrets/providers is a key: the YAML's os.environ/OPENAI_API_KEY is in the file OPENAI_API_KEY.
  find "$SECRETS/providers" -type f -printf '%f_FILE=%p\n' | sort
  cat "$PREFIX/settings.env"
}
stamp="$( (say "$venv" && settings && find "$SECRETS" -type f -print0 | sort -z | xargs -0 cat) | sha256sum | cut -c 1-12)"
next="$PREFIX/deployments/$stamp"
install -d -m 0700 "$next"
ln -sfn "$venv" "$next/venv"
settings >"$next/settings"

step "Preflight"
with_settings "$next" CONTROL_PLANE_CONFIG="$CONFIG" doctor || fail "something is wrong above."
for replica in $(replicas); do
  [[ -L "$PREFIX/current" ]] && answers "$(url_of "$replica")" || continue
  with_settings "$next" config access "$CONFIG" --url "$(url_of "$replica")" ${YES:+--yes} ||
    fail "teams would lose access, see above: YES=1 if that is meant. Nothing was changed."
  break
done

step "Migrate"
with_settings "$next" migrate

step "The YAML"
yaml="$PREFIX/config/litellm_config.yaml"
yaml_mode=0600
put_yaml_in_place

before="$(readlink -f "$PREFIX/current" || true)"
printf '%s=%s\n' BIND "$BIND" PORT "$PORT" REPLICAS "$REPLICAS" >"$PREFIX/place"
ln -sfn "$next" "$PREFIX/current.next"
mv -T "$PREFIX/current.next" "$PREFIX/current"
step "Supervision"
install_units

# A replica that does not get ready goes back to what it was.
go_back() {
  put_back_yaml
  [[ -n "$before" && "$before" != "$next" ]] || return 1
  ln -sfn "$before" "$PREFIX/current"
  restart "$replica"
  wait_ready "$replica"
}
for replica in $(replicas); do
  step "Replica $replica"
  if is_up "$replica" && [[ "$(cat "$PREFIX/run-$replica" 2>/dev/null)" == "$next" ]] && answers "$(url_of "$replica")"; then
    say "unchanged"
    continue
  fi
  undo=go_back
  restart "$replica"
  wait_ready "$replica" || fail "it did not become ready."
  say "$next" >"$PREFIX/run-$replica"
done

step "The YAML is in force"
undo=put_back_yaml
with_settings "$next" config follow "$yaml" --url "$(url_of 1)" --wait-s "$WAIT_S" || fail "not every replica takes the new YAML."
undo=""

step "Smoke job"
with_settings "$next" smoke --url "http://$BIND:$PORT" || fail "the service runs, but the job above did not work."

step "Old releases"
# Those of the last deployments stay to go back to, and what a replica still runs.
deployments="$(readlink -f "$PREFIX/deployments")"
keep="$({
  readlink -f "$PREFIX/current"
  say "$before"
  cat "$PREFIX"/run-*
  find "$deployments" -mindepth 1 -maxdepth 1 -type d -printf '%T@ %p\n' | sort -rn | head -n "${KEEP:-3}" | cut -d ' ' -f 2-
} | while IFS= read -r each; do [[ -z "$each" ]] || readlink -f "$each"; done)"
for old in "$deployments"/*/; do
  grep -qxF "${old%/}" <<<"$keep" || rm -rf "${old%/}"
done
used="$(for each in "$deployments"/*/; do readlink -f "$each/venv" || true; done)"
for old in "$PREFIX"/releases/*/; do
  [[ -d "$old" ]] || continue
  old="$(readlink -f "$old")"
  grep -qxF "$old" <<<"$used" && continue
  rm -rf "$old"
  say "removed $old"
done

step "Ready"
say "API       http://$BIND:$PORT   (routes: http://$BIND:$PORT/docs)"
say "Key       $SECRETS/master_key"
for replica in $(replicas); do say "Metrics   $(url_of "$replica")/metrics"; done
