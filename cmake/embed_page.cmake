# cmake -D FILE=page.html -D OUT=report_page.c -P embed_page.cmake: the page of `fblc report` as an array of bytes, see cli/report_page.h.
file(READ ${FILE} bytes HEX)
string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1, " bytes "${bytes}")
file(WRITE ${OUT} "#include \"cli/report_page.h\"\n\nstatic const unsigned char page[] = {\n${bytes}0};\n\nconst char *const fbl_report_page = (const char *)page;\n")
