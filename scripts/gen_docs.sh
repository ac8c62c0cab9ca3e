#!/usr/bin/env bash
# Writes the documentation that comes from the program's tables, and the schema of recipes.
# Usage: scripts/gen_docs.sh [--check] [MQUANT]     --check: change nothing, exit with 1 if a file is not current
set -euo pipefail

check=false
if [[ ${1:-} == --check ]]; then
  check=true
  shift
fi
program=$(realpath "${1:-$(dirname "${BASH_SOURCE[0]}")/../build/release/bin/mquant}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset MQUANT_CONFIG_DIR

status=0
# generate FILE ARGUMENT...: what `mquant list ARGUMENT...` prints is the file.
generate() {
  local file=$1 text
  shift
  text=$("$program" list "$@")
  if ! $check; then
    printf '%s\n' "$text" > "$file"
  elif ! diff -u --label "$file" --label "mquant list $*" "$file" <(printf '%s\n' "$text"); then
    echo "gen_docs: $file is not current; run scripts/gen_docs.sh" >&2
    status=1
  fi
}

generate docs/families.md families --markdown
generate docs/passes.md passes --markdown
generate docs/recipes.md recipes --markdown
generate configs/recipe.schema.json schema
generate configs/zoo.schema.json zoo-schema
exit $status
