#!/usr/bin/env bash
# Installs the Debian packages that are missing and unpacks libtorch to third_party/libtorch.
# Does nothing, and needs no network, when all is there.  With --lint, also what scripts/format.sh and the preset tidy need.
# With --fuzz, also what the preset fuzz needs.
# With --packages NAME..., installs these Debian packages and nothing else.
#
# libtorch comes out of the PyPI wheel, through pip and its configuration.  Where pip would take a CUDA build, let
# PIP_INDEX_URL name PyTorch's index of CPU builds, or give CMake a libtorch of your own: -DMQUANT_TORCH_DIR=<folder>.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly torch_version=2.13.0
packages=(
  g++ cmake ninja-build ccache mold git ca-certificates unzip python3 python3-jinja2 python3-pip python3-venv rsync
  libcli11-dev nlohmann-json3-dev libspdlog-dev libfmt-dev libeigen3-dev libgtest-dev libgmock-dev
  libjpeg62-turbo-dev libpng-dev libwebp-dev libgif-dev libminizip-dev
  libonig-dev libpugixml-dev libutf8proc-dev libssl-dev libvalijson-dev libsentencepiece-dev
)
if [[ ${1:-} == --lint ]]; then packages+=(clang-format-19 clang-tidy-19 libomp-19-dev); fi
if [[ ${1:-} == --fuzz ]]; then packages+=(clang-19 libclang-rt-19-dev libomp-19-dev); fi
if [[ ${1:-} == --packages ]]; then packages=("${@:2}"); fi
readonly packages

as_root() {
  if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi
}

is_installed() {
  [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

install_packages() {
  local missing=() package
  for package in "${packages[@]}"; do is_installed "$package" || missing+=("$package"); done
  (( ${#missing[@]} )) || return 0
  echo "bootstrap: installing ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

# A wheel holds the same libtorch as the C++ archive; no Python is needed to run it.
unpack_torch() {
  local target=third_party/libtorch stamp wheel staging
  stamp=$target/mquant-version
  [[ -f $stamp && $(<"$stamp") == "$torch_version" ]] && return 0
  mkdir -p .cache third_party
  wheel=$(find .cache -name "torch-$torch_version*.whl" -print -quit)
  if [[ -z $wheel ]]; then
    python3 -m pip download --quiet --no-deps --dest .cache "torch==$torch_version"
    wheel=$(find .cache -name "torch-$torch_version*.whl" -print -quit)
  fi
  staging=$(mktemp -d third_party/unpack.XXXXXX)
  unzip -q "$wheel" 'torch/lib/libc10.so' 'torch/lib/libtorch.so' 'torch/lib/libtorch_cpu.so' 'torch/lib/libgomp*' \
    'torch/lib/libtorch_global_deps.so' 'torch/include/*' 'torch/share/*' -d "$staging"
  echo "$torch_version" > "$staging/torch/mquant-version"
  rm -rf "$target"
  mv "$staging/torch" "$target"
  rm -rf "$staging"
  echo "bootstrap: libtorch $torch_version in $target"
}

install_packages
[[ ${1:-} == --packages ]] || unpack_torch
