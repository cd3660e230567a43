#!/bin/sh
# check_docs.sh FBLC OUT_DIR PAGE: every block marked ```fbl in PAGE must pass `fblc check`. Blocks that are not whole files are marked ```fbl-fragment.
set -eu
fblc=$1 out=$2 page=$3
mkdir -p "$out"
name=$(basename "$page" .md)
rm -f "$out/$name".*.fbl
awk -v stem="$out/$name" '/^```fbl$/ { inside = 1; file = stem "." (++n) ".fbl"; print "# line " NR + 1 " of the page" > file; next }
                          /^```/ { inside = 0 } inside { print > file }' "$page"
failed=0
for file in "$out/$name".*.fbl; do
    [ -e "$file" ] || { echo "$page has no block marked fbl"; exit 1; }
    if ! "$fblc" check "$file" > /dev/null; then
        echo "FAILED: $file ($(head -1 "$file" | tr -d '#'))"
        failed=1
    fi
done
exit $failed
