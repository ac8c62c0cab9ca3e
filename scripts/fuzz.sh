#!/usr/bin/env bash
# Builds the fuzz targets (the preset fuzz; clang and its runtime are installed) and runs each for MINUTES, as many at a
# time as there are cores.  An input that one of them crashes on becomes a test: it is kept in
# tests/fuzz/regressions/TARGET/, which every build replays.
#
#   scripts/fuzz.sh MINUTES [TARGET...]      such as: scripts/fuzz.sh 10 safetensors pickle
#   FUZZ_SEED=N scripts/fuzz.sh ...          tries the same inputs in the same order; without, others in every run
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if (( $# == 0 )); then
  sed -n '2,7s/^# \{0,1\}//p' "$0"
  exit 2
fi
seconds=$(awk -v minutes="$1" 'BEGIN { print int(minutes * 60) }')
if (( seconds <= 0 )); then  # libFuzzer takes 0 for no limit
  echo "fuzz: expected MINUTES above 0, found '$1'" >&2
  exit 2
fi
targets=$(IFS='|'; echo "${*:2}")
readonly seconds targets

scripts/bootstrap.sh --fuzz
cmake --preset fuzz -DMQUANT_FUZZ_SECONDS="$seconds" -DMQUANT_FUZZ_SEED="${FUZZ_SEED:-0}"
cmake --build --preset fuzz
status=0
ctest --preset fuzz --parallel "$(nproc)" --timeout $((seconds + 300)) -R "^fuzz\.(${targets:-.*})\$" || status=$?

for found in build/fuzz/tests/fuzz/found/*/*; do
  [[ -f $found ]] || continue
  target=$(basename "$(dirname "$found")")
  mkdir -p "tests/fuzz/regressions/$target"
  mv "$found" "tests/fuzz/regressions/$target/"
  echo "fuzz: tests/fuzz/regressions/$target/$(basename "$found")" >&2
done
exit "$status"
