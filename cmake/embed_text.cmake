# cmake -D "FILES=a.cuh;b.cuh" -D NAME=symbol -D OUT=a.c -P embed_text.cmake: text files one after another as `const unsigned char symbol[]`, zero-ended.
set(bytes "")
foreach(file ${FILES})
    file(READ ${file} text HEX)
    string(APPEND bytes "${text}")
endforeach()
string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1, " bytes "${bytes}")
file(WRITE ${OUT} "extern const unsigned char ${NAME}[];\nconst unsigned char ${NAME}[] = {\n${bytes}0};\n")
