// fblc report: one self-contained page about one or several runs.
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/io.h"
#include "cli/options.h"
#include "cli/report_page.h"

#define LOG_LIMIT ((size_t)64 << 20)

// The rows of a CSV file with a header as an array of objects of numbers; empty fields are null.
static cJSON *read_csv(char *text) {
    cJSON *rows = cJSON_CreateArray();
    char *names[32], *save_line = NULL;
    int count = 0;
    for (char *line = strtok_r(text, "\n", &save_line); line; line = strtok_r(NULL, "\n", &save_line)) {
        cJSON *row = count ? cJSON_CreateObject() : NULL;
        int column = 0;
        for (char *field = line; field; column++) {
            char *comma = strchr(field, ',');
            if (comma) {
                *comma = 0;
            }
            if (!row && count < 32) {
                names[count++] = field;
            } else if (row && column < count) {
                char *end;
                double value = strtod(field, &end);
                cJSON_AddItemToObject(row, names[column], end == field ? cJSON_CreateNull() : cJSON_CreateNumber(value));
            }
            field = comma ? comma + 1 : NULL;
        }
        if (row) {
            cJSON_AddItemToArray(rows, row);
        }
    }
    return rows;
}

static FblStatus add_run(FblCli *cli, const char *run_dir, cJSON *runs) {
    cJSON *run = cJSON_CreateObject();
    cJSON_AddItemToArray(runs, run);
    cJSON_AddStringToObject(run, "name", run_dir);
    static const char *const files[2][2] = {{"train", "log_train.csv"}, {"test", "log_test.csv"}};
    for (int i = 0; i < 2; i++) {
        char *text;
        size_t size;
        const char *path = fbl_path_join(cli->ctx, run_dir, files[i][1]);
        if (!fbl_path_exists(path)) {
            FblDiag *diag = fbl_diag(cli->ctx, FBL_ERROR, "E0707", FBL_NO_LOC, "%s is not the folder of a run: it has no %s", run_dir, files[i][1]);
            fbl_diag_hint(cli->ctx, diag, "name folders that `fblc run` was given with --out");
            return FBL_USER;
        }
        FBL_TRY(fbl_read_file(cli->ctx, path, LOG_LIMIT, &text, &size));
        cJSON_AddItemToObject(run, files[i][0], read_csv(text));
        free(text);
    }
    const char *path = fbl_path_join(cli->ctx, run_dir, "test_classes.json");
    if (fbl_path_exists(path)) {
        char *text;
        size_t size;
        FBL_TRY(fbl_read_file(cli->ctx, path, LOG_LIMIT, &text, &size));
        cJSON *classes = cJSON_ParseWithLength(text, size);
        if (classes) {
            cJSON_AddItemToObject(run, "classes", classes);
        }
        free(text);
    }
    return FBL_OK;
}

// A "</script>" within a string would end the script: '<' is written as an escape.
static char *script_safe(const char *json) {
    char *out = malloc(6 * strlen(json) + 1);
    if (!out) {
        fbl_out_of_memory();
    }
    char *to = out;
    for (; *json; json++) {
        if (*json == '<') {
            memcpy(to, "\\u003c", 6);
            to += 6;
        } else {
            *to++ = *json;
        }
    }
    *to = 0;
    return out;
}

FblStatus fbl_cmd_report(FblCli *cli) {
    cJSON *runs = cJSON_CreateArray();
    FblStatus status = FBL_OK;
    for (int i = 0; i < cli->arg_count && status == FBL_OK; i++) {
        status = add_run(cli, cli->args[i], runs);
    }
    if (status == FBL_OK) {
        char *json = cJSON_PrintUnformatted(runs);
        char *data = script_safe(json ? json : "[]");
        const char *place = strstr(fbl_report_page, FBL_REPORT_PLACE), *rest = place + strlen(FBL_REPORT_PLACE);
        FblSpan spans[] = {{fbl_report_page, (size_t)(place - fbl_report_page)}, {data, strlen(data)}, {rest, strlen(rest)}};
        status = fbl_write_file_atomic(cli->ctx, cli->output ? cli->output : "report.html", spans, 3);
        free(data);
        free(json);
    }
    cJSON_Delete(runs);
    return status;
}
