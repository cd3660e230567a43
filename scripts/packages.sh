#!/bin/sh
# Installs the Debian packages that the build needs, those that are missing only. docs/dependencies.md says what each is for.
set -eu
packages="gcc g++ cmake ninja-build pkg-config flex bison llvm-19-dev libmd-dev libarchive-dev libcjson-dev libpng-dev libjpeg62-turbo-dev libprotobuf-c-dev protobuf-c-compiler libcmocka-dev xz-utils"
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
