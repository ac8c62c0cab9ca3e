#!/usr/bin/env bash
# What each step of MQuant is worth, on the small test model: quantizes it by one recipe after the other, evaluates
# each artifact, prints a table in Markdown.
# Usage: scripts/ablation.sh [OUTPUT_DIRECTORY] [SAMPLES]      default: build/ablation, all 500 samples
# MQUANT names another program than build/release/bin/mquant.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly data=tests/data/digits-vl
readonly output=${1:-build/ablation} samples=${2:-0}
readonly mquant=${MQUANT:-build/release/bin/mquant}
readonly per_class=(--set calibrate-scales.granularity=per_class)
# The default recipe, its decoder alone and to nearest: what the step before has, and outlier columns apart.
readonly decoder=(--recipe w4a8 --set schemes.patch_embed=float --set schemes.vision=float --set schemes.projector=float
                  --set schemes.embed=float --set schemes.head=float
                  --set drop=bake-means --set rotate.vision=false --set rotate-online.vision=false)
readonly nearest=(--set round.method=rtn --set round.clip=false --set calibration.samples=64
                  --set calibration.propagate=float)
mkdir -p "$output"

names=()
# step NAME TITLE OPTION...: quantize with the options, evaluate against the full-precision model.
step() {
  local name=$1 title=$2
  shift 2
  names+=("$name=$title")
  echo "+ $title" >&2
  "$mquant" quantize "$data/model" --data "$data/calib.jsonl" --output "$output/$name" --overwrite \
    --json="$output/$name.quantize.json" "$@" > /dev/null
  "$mquant" eval "$output/$name" --data "$data/eval.jsonl" --reference "$data/model" --limit "$samples" \
    --json="$output/$name.eval.json" > /dev/null
}

"$mquant" eval "$data/model" --data "$data/eval.jsonl" --limit "$samples" --json="$output/float.eval.json" > /dev/null
step rtn "to nearest, static per tensor" --recipe rtn-w4a8-static
step smoothquant "SmoothQuant" --recipe smoothquant-w4a8-static
step rotation "rotations" --recipe rotate-w4a8-static
step msq "rotations + MSQ" --recipe rotate-w4a8-static "${per_class[@]}"
step rms "rotations + MSQ + RMS" "${decoder[@]}" "${nearest[@]}"
step gptq "rotations + MSQ + RMS + GPTQ" "${decoder[@]}"
step w4a8 "all of it, the vision tower in W8A8 and the head in 8 bits too" --recipe w4a8

python3 - "$output" "${names[@]}" <<'PYTHON'
import json
import sys
from pathlib import Path

output, steps = Path(sys.argv[1]), [("float", "full precision")] + [s.split("=", 1) for s in sys.argv[2:]]
print("| step | exact match, % | perplexity | KL text | KL visual | bits a weight |")
print("| --- | ---: | ---: | ---: | ---: | ---: |")
for name, title in steps:
    result = json.loads((output / f"{name}.eval.json").read_text())
    quantized = output / f"{name}.quantize.json"
    bits = json.loads(quantized.read_text())["export"].get("bits_per_weight") if quantized.exists() else None
    share = 100 * result["all"]["exact"] / result["all"]["samples"]
    kl = [result["agreement"].get(c, {}).get("kl") for c in ("text", "visual")]
    cells = [title, f"{share:.1f}", f"{result['perplexity']:.3f}",
             *("-" if k is None else f"{k:.4f}" for k in kl), "-" if bits is None else f"{bits:.2f}"]
    print("| " + " | ".join(cells) + " |")
PYTHON
