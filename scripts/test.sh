#!/bin/sh
# Builds build/release and runs every test. Arguments go to ctest: scripts/test.sh -R e2e
set -eu
cd "$(dirname "$0")/.."
scripts/packages.sh
cmake --preset release > build.log 2>&1 || { cat build.log; rm -f build.log; exit 1; }
rm -f build.log
cmake --build --preset release
ctest --preset release --output-on-failure -j "$(nproc)" "$@"
