#!/bin/sh
# Installs the Debian packages that the build needs, those that are missing only. docs/dependencies.md says what each is for.
# packages.sh cuda: also what the preset cuda links into its program.
set -eu
packages="gcc cmake ninja-build pkg-config flex bison llvm-19-dev libmd-dev libarchive-dev libcjson-dev libpng-dev libjpeg62-turbo-dev libprotobuf-c-dev protobuf-c-compiler libcmocka-dev xz-utils g++"
if [ "${1:-}" = cuda ]; then
    packages="$packages libzstd-dev liblz4-dev libacl1-dev liblzma-dev libbz2-dev nettle-dev zlib1g-dev"
fi
missing=
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2> /dev/null | grep -q "install ok installed" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
echo "installing:$missing"
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # a list of names
$sudo apt-get install -y --no-install-recommends $missing > /dev/null 2>&1 || {
    $sudo apt-get update > /dev/null && $sudo apt-get install -y --no-install-recommends $missing
}
