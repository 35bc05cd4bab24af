# shellcheck shell=bash
# Shared by the scripts in bin/: where the clone is, what the user has set, how to speak.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"

say() { printf '%s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

setting() { # setting NAME: its value in the environment, else in .env, else nothing
  local value=${!1:-}
  if [ -z "$value" ] && [ -r "$ROOT/.env" ]; then
    value=$(sed -n "s/^ *\(export \)\{0,1\}$1 *= *//p" "$ROOT/.env" | tail -n1 | sed "s/^\([\"']\)\(.*\)\1 *$/\2/")
  fi
  printf '%s' "$value"
}

RUNTIME_DIR=$(setting RUNTIME_DIR)
RUNTIME_DIR=${RUNTIME_DIR:-$ROOT/.runtime}
case $RUNTIME_DIR in /*) ;; *) RUNTIME_DIR=$ROOT/$RUNTIME_DIR ;; esac
export RUNTIME_DIR

own_servers() { # does the user name servers of his own?  Naming only one of the two is a mistake.
  local database redis; database=$(setting DATABASE_URL) redis=$(setting REDIS_URL)
  if [ -n "$database" ] && [ -n "$redis" ]; then return 0; fi
  [ -z "$database$redis" ] || die "DATABASE_URL and REDIS_URL go together: set both to use servers of yours, or neither for the embedded ones"
  return 1
}
