#!/usr/bin/env bash
# Installs what the tests of this folder need from PyPI, into .cache; does nothing if it is there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scripts/zoo/venv.sh .cache/zoo-venv tests/zoo/requirements.txt
.cache/zoo-venv/bin/python -c 'import sys; sys.path.insert(0, "tests/zoo"); import junit; junit.schema()'
