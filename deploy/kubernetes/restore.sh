#!/usr/bin/env bash
# restore.sh FILE: puts a backup in the place of the database, which stays there under another name.
set -Eeuo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

file="${1:?restore.sh FILE: which backup?}"
aside="before_$(date -u +%Y%m%dt%H%M%Sz)"

step "Read $file"
need_cluster
[[ -r "$file" ]] || fail "$file cannot be read."
with_tools
# shellcheck disable=SC2016 # expanded in the pod
{
  psql='psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --dbname="$server" --command'
  tools "$psql \"DROP DATABASE IF EXISTS \\\"\${name}_restored\\\"\""
  tools "$psql \"CREATE DATABASE \\\"\${name}_restored\\\"\""
  tools 'pg_restore --dbname="$restored" --exit-on-error --no-owner' <"$file" ||
    fail "the backup cannot be read whole. Nothing was changed."
}

step "Outage"
consent "From here on customers are refused until the replicas run again, seconds to minutes. Jobs made after the backup are gone."

step "Stop the replicas"
replicas="$(kube get deployment control-plane --output 'jsonpath={.spec.replicas}')"
start_replicas() { kube scale deployment control-plane --replicas="$replicas"; }
undo=start_replicas
kube scale deployment control-plane --replicas=0 # the autoscaler leaves zero alone
kube wait pod --for=delete --selector app.kubernetes.io/component=server --timeout=120s

step "Put it in place"
# shellcheck disable=SC2016 # expanded in the pod
{
  # Both in one transaction.
  tools "$psql \"ALTER DATABASE \\\"\$name\\\" RENAME TO \\\"\${name}_$aside\\\"; ALTER DATABASE \\\"\${name}_restored\\\" RENAME TO \\\"\$name\\\"\""
}

step "Start the replicas"
# A backup of an older version needs the migrations since: the same job as at every deployment.
kube get job control-plane-migrate --output json |
  python3 -c 'import json, sys; job = json.load(sys.stdin); spec = job["spec"]; spec.pop("selector"); spec["template"]["metadata"]["labels"] = job["metadata"]["labels"]; print(json.dumps({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "control-plane-migrate", "labels": job["metadata"]["labels"]}, "spec": spec}))' |
  kube replace --force --filename - >/dev/null
kube wait job/control-plane-migrate --for=condition=Complete --timeout="$WAIT"
start_replicas
server_is_ready || fail "the replicas did not become ready."
kube exec deployment/control-plane -- control-plane ledger verify || fail "the ledger of the backup does not add up: see above."
say "Restored. What was there before is the database …_$aside; drop it when you are sure."
