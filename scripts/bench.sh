#!/usr/bin/env bash
# Measures mquant on the shapes of Qwen2-VL with random weights: writes a checkpoint, quantizes it, benchmarks it.
#
#   scripts/bench.sh [2b|7b]          the results: build/bench/SHAPE.json, and the tables
#
# 2b is the whole model; 7b has 4 layers in each tower.
# Options for `mquant bench`, such as --repeat 5, go behind the shape.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

shape=${1:-2b}
shift || true
layers=()
case $shape in
  2b) ;;
  7b) layers=(--set num_hidden_layers=4 --set vision_config.depth=4) ;;
  *) echo "usage: scripts/bench.sh [2b|7b] [options of mquant bench]" >&2; exit 2 ;;
esac

scripts/bootstrap.sh
cmake --preset release >/dev/null
cmake --build --preset release --target mquant mquant-random-model
bin=build/release/bin out=build/bench
mkdir -p "$out"
base=tests/data/goldens/qwen2_vl
# The artifact is made once; remove it to make it again.
if [[ ! -e $out/$shape-w4a8 ]]; then
  rm -rf "$out/$shape" "$out/$shape-w4a8.calibration"
  "$bin/mquant-random-model" "$base/model" --shape "tools/random_model/shapes/qwen2-vl-$shape.json" \
    "${layers[@]}" --output "$out/$shape"
  # Pictures of any size: the small model that the tokenizer comes from allows only tiny ones.
  sed -i 's/"max_pixels": [0-9]*/"max_pixels": 12845056/' "$out/$shape/preprocessor_config.json"
  # Speed does not depend on the codes: to nearest, and two samples, which have tokens of both classes.
  "$bin/mquant" quantize "$out/$shape" --data "$base/cases.jsonl" --recipe w4a8 --set round.method=rtn \
    --set calibration.samples=2 --output "$out/$shape-w4a8"
  rm -rf "$out/$shape" "$out/$shape-w4a8.calibration"
fi
"$bin/mquant" bench "$out/$shape-w4a8" --json="$out/$shape.json" "$@"
