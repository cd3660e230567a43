// The fixed parts of the page that `fblc report` writes. Private to cli/cmd_report.c.
#ifndef FBL_CLI_REPORT_PAGE_H
#define FBL_CLI_REPORT_PAGE_H

// The page up to the data, which is a JSON array of runs, and what follows it.
extern const char fbl_report_head[];
extern const char fbl_report_script[];
extern const char fbl_report_tail[];

#endif
