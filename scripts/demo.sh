#!/usr/bin/env bash
# Quantizes the small test model to W4A8 and compares its answers with those of the full-precision model.
# Usage: scripts/demo.sh [OUTPUT_DIRECTORY]      default: build/demo
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly data=tests/data/digits-vl
readonly output=${1:-build/demo}
readonly mquant=build/release/bin/mquant
readonly calibration=$output/digits-vl-calibration artifact=$output/digits-vl-w4a8

scripts/bootstrap.sh
cmake --preset release
cmake --build --preset release --target mquant

rm -rf "$calibration" "$artifact"
mkdir -p "$output"

declare -A seconds
# timed NAME COMMAND...
timed() {
  local name=$1 start=$EPOCHREALTIME
  shift
  echo "+ $*" >&2
  "$@"
  seconds[$name]=$(python3 -c "print(f'{$EPOCHREALTIME - $start:.1f}')")
}

timed calibrate "$mquant" calibrate "$data/model" --data "$data/calib.jsonl" --output "$calibration"
timed export "$mquant" export "$calibration" --output "$artifact"
timed float "$mquant" eval "$data/model" --data "$data/eval.jsonl" --json "$output/float.json"
timed w4a8 "$mquant" eval "$artifact" --data "$data/eval.jsonl" --json "$output/w4a8.json"

python3 - "$output" "${seconds[calibrate]}" "${seconds[export]}" "${seconds[float]}" "${seconds[w4a8]}" <<'PYTHON'
import json
import sys
from pathlib import Path

output, calibrate, export, float_time, w4a8_time = sys.argv[1:]
rows = [("full precision", "float", float_time), ("W4A8", "w4a8", w4a8_time)]
print(f"\ncalibrate {calibrate} s, export {export} s\n")
print(f"{'model':<16}{'exact match':>12}{'eval':>10}")
for title, name, seconds in rows:
    row = json.loads(Path(output, name + ".json").read_text())["all"]
    print(f"{title:<16}{100 * row['exact'] / row['samples']:>10.1f} %{seconds:>8} s")
print(f"\nThe artifact is in {output}/digits-vl-w4a8.")
PYTHON
