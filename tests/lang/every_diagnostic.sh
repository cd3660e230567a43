#!/bin/sh
# Every diagnostic id of the analysis occurs in an expected text.
missing=0
for id in $(grep -oh '"E01[0-9]*"' frontend/build*.c frontend/builtin*.c frontend/recipe*.c frontend/sema*.c | tr -d '"' | sort -u); do
    if ! grep -q "\[$id\]" tests/lang/bad/*.expect; then
        echo "no test shows $id"
        missing=1
    fi
done
exit $missing
