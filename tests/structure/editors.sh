#!/bin/sh
# Every word of the language is known to the editors' files. Run from the source root.
failed=0
for word in $(sed -n 's/^"\([a-z]*\)" .*FBL_TOKEN_[A-Z]*); }$/\1/p' frontend/lex.l); do
    for file in editors/vim/syntax/fbl.vim editors/vscode/syntaxes/fbl.tmLanguage.json; do
        grep -qw "$word" "$file" || { echo "$file does not know \`$word\`"; failed=1; }
    done
    words=1
done
[ "${words:-0}" = 1 ] || { echo "found no words in frontend/lex.l"; failed=1; }
exit $failed
