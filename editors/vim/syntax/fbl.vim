" The .fbl language. The words are those of frontend/lex.l; a test compares.
if exists("b:current_syntax")
    finish
endif
syntax keyword fblStatement if then else for return as in and or not
syntax keyword fblBoolean true false
syntax keyword fblDeclaration import const fn layer model loss train stage param state axis
syntax keyword fblType f32 i32 bool int string class
syntax match fblNumber "\<\d\+\(\.\d\+\)\?\([eE][-+]\?\d\+\)\?\>"
syntax match fblOperator "|>\|<-\|->\|\.\."
syntax region fblString start=+"+ end=+"+ oneline contains=fblInterpolation
syntax region fblInterpolation start=+{+ end=+}+ contained contains=fblNumber,fblStatement
syntax match fblComment "#.*$" contains=@Spell
highlight default link fblStatement Statement
highlight default link fblBoolean Boolean
highlight default link fblDeclaration Keyword
highlight default link fblType Type
highlight default link fblNumber Number
highlight default link fblOperator Operator
highlight default link fblString String
highlight default link fblInterpolation Special
highlight default link fblComment Comment
setlocal commentstring=#\ %s
let b:current_syntax = "fbl"
