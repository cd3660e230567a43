// The page that `fblc report` fills: cli/report/page.html, which CMake makes an array of bytes. Private to cli/cmd_report.c. Read-only.
#ifndef FBL_CLI_REPORT_PAGE_H
#define FBL_CLI_REPORT_PAGE_H

// Where the JSON array of runs goes. It stands in the page once.
#define FBL_REPORT_PLACE "__RUNS__"

extern const char *const fbl_report_page; // NUL at its end

#endif
