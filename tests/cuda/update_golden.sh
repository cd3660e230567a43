#!/bin/sh
# update_golden.sh BUILD_DIR [check]: writes tests/cuda/golden/*.cu, the CUDA C of a handful of CIFAR kernels, anew; with `check`
# compares instead and fails on a difference. The diff of these files shows what a change of the generator does to kernels.
set -eu
build=$1
here=$(dirname "$0")
case ${2:-} in
check)
    tmp=$(mktemp -d)
    trap 'rm -rf "$tmp"' EXIT
    "$build/tests/cuda/golden_sources" "$here/golden.fbl" "$tmp"
    diff -ru "$here/golden" "$tmp" || { echo "generated CUDA C has changed; if that is wanted: tests/cuda/update_golden.sh $build"; exit 1; }
    ;;
*)
    mkdir -p "$here/golden"
    rm -f "$here"/golden/*.cu
    exec "$build/tests/cuda/golden_sources" "$here/golden.fbl" "$here/golden"
    ;;
esac
