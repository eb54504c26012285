# The YAML of a deployment on this machine: put in the place of the version before, and that one put back.
# Needs `yaml`, its place, and `yaml_mode`, its permissions. Sets `undo`, which is called when the deployment fails.

place_yaml() {
  local next
  next="$(dirname "$yaml")/.next.yaml"
  install -m "$yaml_mode" "$1" "$next"
  mv "$next" "$yaml"
}

# The version before, where this deployment has put another in its place.
put_back_yaml() {
  [[ -n "${has_previous:-}" ]] || return 0
  place_yaml "$yaml.previous"
  say "The YAML is the one before again."
}

put_yaml_in_place() {
  if cmp --silent "$CONFIG" "$yaml"; then
    say "unchanged"
    return
  fi
  if [[ -f "$yaml" ]]; then
    install -m "$yaml_mode" "$yaml" "$yaml.previous"
    has_previous=1
  fi
  undo=put_back_yaml
  place_yaml "$CONFIG"
  say "put in place${has_previous:+; the one before is $yaml.previous}"
}
