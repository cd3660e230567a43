#!/bin/sh
# run.sh DUMP FILE.fbl [--update]: the dump of FILE, called with the arguments of its first line ("# ARGS: ..."), must
# equal FILE.expect. Run from the source root.
dump=$1
file=$2
expect=${file%.fbl}.expect
args=$(sed -n '1s/^# ARGS: *//p' "$file")
FBL_LIBRARY=models
export FBL_LIBRARY
actual=$("$dump" "$file" $args 2>&1)
case $? in
0 | 1) ;;
*) echo "$actual"; echo "lang_dump failed: $dump $file $args"; exit 1 ;;
esac
if [ "$3" = --update ]; then
    printf '%s\n' "$actual" > "$expect"
    exit 0
fi
printf '%s\n' "$actual" | diff -u "$expect" - && exit 0
echo "again with: FBL_LIBRARY=models $dump $file $args   (update: tests/lang/run.sh $dump $file --update)"
exit 1
