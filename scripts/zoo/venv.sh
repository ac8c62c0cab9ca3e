#!/usr/bin/env bash
# Installs Snakemake, as requirements.txt beside this file has it, into a virtual environment.  Does nothing if it is there.
#
#   scripts/zoo/venv.sh [DIRECTORY [REQUIREMENTS...]]       default: .cache/zoo-venv, nothing more than Snakemake
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly venv=${1:-.cache/zoo-venv}
readonly requirements=(scripts/zoo/requirements.txt "${@:2}")

mkdir -p "$(dirname "$venv")"
exec 9> "$venv.lock"
flock 9  # two builds may run their tests at once
cmp -s <(cat "${requirements[@]}") "$venv/requirements.txt" && exit 0
echo "zoo: installing Snakemake into $venv" >&2
rm -rf "$venv"
python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${requirements[@]/#/--requirement=}"
cat "${requirements[@]}" > "$venv/requirements.txt"  # last: it says that the rest is there
