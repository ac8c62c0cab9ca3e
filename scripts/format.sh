#!/usr/bin/env bash
# Checks the layout of all C++ files, or of those given; with --fix, corrects it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mode=(--dry-run --Werror)
if [[ ${1:-} == --fix ]]; then
  mode=(-i)
  shift
fi
files=("$@")
if (( ! ${#files[@]} )); then
  mapfile -t files < <(git ls-files '*.h' '*.cpp')
fi
clang-format-19 "${mode[@]}" "${files[@]}"
