#!/usr/bin/env bash
# Times calibrations by mquant and by llm-compressor: the same checkpoint, samples and threads, by turns.
#
#   scripts/bench_calibrate.sh [digits|0.5b|2b|7b]... [--repeat N] [--samples N] [--threads N] [--same-linears]
#                              [--output DIRECTORY]              default: digits 0.5b, build/bench_calibrate
#
# digits is the small test model; the others have random weights in the shapes of Qwen2-VL and 32 pictures.  2b, the
# whole model, and 7b, with 4 layers in each tower, are for mquant alone and take long.  Of each: wall and CPU time and
# peak memory of the whole process, medians of three repetitions, and the phases of mquant's calibration, as
# DIRECTORY/SUBJECT.{json,md}.  llm-compressor quantizes the decoder alone, the recipe w4a8 all linears; with
# --same-linears mquant runs a second time, with the linears that llm-compressor takes.
#
# pip fetches llm-compressor and PyTorch into .cache.  Where it would take a CUDA build, let PIP_EXTRA_INDEX_URL name
# PyTorch's index of CPU builds.  MQUANT names another program than build/release/bin/mquant; nothing is built then, and
# mquant-random-model lies beside it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly mquant=${MQUANT:-build/release/bin/mquant} venv=.cache/bench-calibrate-venv
readonly requirements=scripts/bench_calibrate/requirements.txt

uptime >&2  # before a build has its part in it

if [[ -z ${MQUANT:-} ]]; then
  scripts/bootstrap.sh
  cmake --preset release > /dev/null
  cmake --build --preset release --target mquant mquant-random-model
fi
scripts/bootstrap.sh --packages python3 python3-venv

if ! cmp -s "$requirements" "$venv/requirements.txt"; then
  echo "bench_calibrate: installing llm-compressor and PyTorch into $venv" >&2
  rm -rf "$venv"
  python3 -m venv "$venv"
  # The wheel that bootstrap.sh took libtorch from will do.
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --find-links .cache \
    --requirement "$requirements"
  cp "$requirements" "$venv/requirements.txt"  # last: it says that the rest is there
fi

exec python3 scripts/bench_calibrate/run.py --mquant "$mquant" --python "$venv/bin/python" "$@"
