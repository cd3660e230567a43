# Shared by the scripts of this folder: . common.sh FBLC OUT. Leaves $fblc, $out (empty), $here, and helpers.
set -eu
fblc=$1
out=$2
here=$(cd "$(dirname "$0")" && pwd)
rm -rf "$out"
mkdir -p "$out"
FBL_CACHE=$out/cache
export FBL_CACHE

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# same A B: two files with the same bytes.
same() {
    cmp "$1" "$2" || fail "$1 and $2 differ"
}

# expect CODE COMMAND...: runs a command whose exit code must be CODE; its output is in $out/stdout and $out/stderr.
expect() {
    wanted=$1
    shift
    code=0
    "$@" > "$out/stdout" 2> "$out/stderr" || code=$?
    [ "$code" = "$wanted" ] || { cat "$out/stdout" "$out/stderr"; fail "exit code $code instead of $wanted: $*"; }
}

# says TEXT: the last command's messages contain TEXT.
says() {
    grep -q -- "$1" "$out/stderr" || { cat "$out/stderr"; fail "no '$1' in the messages"; }
}

# flip FILE OFFSET: one bit changed.
flip() {
    byte=$(od -An -tu1 -j "$2" -N1 "$1" | tr -d ' ')
    # shellcheck disable=SC2059 # the format is the byte
    printf "\\$(printf %o $((byte ^ 4)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2> /dev/null
}

# The logs without the column of seconds, which no two runs share.
logs() {
    cut -d, -f1-4 "$1/log_train.csv"
    cat "$1/log_test.csv"
}

# wait_for FILE PID: until the file is there or the process has ended.
wait_for() {
    while [ ! -e "$1" ] && kill -0 "$2" 2> /dev/null; do
        sleep 0.01
    done
}
