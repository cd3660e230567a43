#!/bin/sh
# Dependencies point one way: base <- ir <- {frontend, passes, codegen} <- runtime (ir and codegen/target.h only) <- cli. No file has over 800 lines.
# Run from the source root.
failed=0
# allow FOLDER PATTERN: quoted includes of FOLDER's sources must match PATTERN (or name a file of their own folder).
allow() {
    bad=$(grep -rn --include='*.[chly]' '^ *# *include "' "$1" | grep -Ev "include \"($1|$2)/[^\"]*\"" | grep -v 'include "[^/"]*"')
    [ -z "$bad" ] || { echo "$1 must not include these:"; echo "$bad"; failed=1; }
}
allow base none
allow ir base
allow frontend 'base|ir'
allow passes 'base|ir'
allow codegen 'base|ir'
allow runtime 'base|ir|codegen'
bad=$(grep -rn --include='*.[ch]' 'include "codegen/' runtime | grep -v 'codegen/target.h"' | grep -v '^runtime/cuda/.*codegen/cuda/')
[ -z "$bad" ] || { echo "runtime may include codegen/target.h (and runtime/cuda codegen/cuda) only:"; echo "$bad"; failed=1; }
# Headers compile alone, with what they include.
for header in $(find base ir frontend passes codegen runtime cli include -name '*.h'); do
    ${CC:-cc} -std=gnu17 -D_GNU_SOURCE -DFBL_VERSION='""' -I. -Iinclude -I"${1:-.}" $(echo "${2:-}" | tr ';' ' ') -fsyntax-only -x c "$header" || { echo "$header does not compile alone"; failed=1; }
done
long=$(find base ir frontend passes codegen runtime cli include scripts bench tests -name '*.[chly]' -o -name '*.sh' -o -name '*.py' | xargs wc -l | awk '$1 > 800 && $2 != "total"')
[ -z "$long" ] || { echo "over 800 lines:"; echo "$long"; failed=1; }
exit $failed
