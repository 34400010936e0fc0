/* Counting and summing up. */
#include "tap.h"

#include "cli/report.h"
#include "json/json.h"

#include <stdlib.h>

static void add(dl_cli_report *report, dl_cli_outcome outcome, const char *reason, const char *name,
                uint64_t bytes)
{
    dl_cli_verdict verdict = dl_cli_verdict_of(outcome, reason);
    dl_cli_report_add(report, &verdict, dl_str_of(name), bytes);
}

static void print(const dl_cli_report *report, bool complete, char **out_text)
{
    size_t size = 0;
    dl_error err = {0};
    FILE *out = open_memstream(out_text, &size);
    TAP_OK(dl_cli_report_print(report, 2000000, complete, out, &err), err);
    (void)fclose(out);
}

TAP_CASE(reasons_are_grouped_and_named)
{
    dl_error err = {0};
    DL_AUTO(dl_cli_report) report = NULL;
    TAP_OK(dl_cli_report_create(&report, &err), err);
    add(report, DL_CLI_STORED, "", "a", 1000);
    add(report, DL_CLI_WARNED, "some attributes failed validation (1) (0010,0030)", "b", 500);
    for (int i = 0; i < 4; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "bad\n%d", i);
        add(report, DL_CLI_REFUSED, "the data set fails validation (43264)", name, 10);
    }
    add(report, DL_CLI_SKIPPED, "not DICOM", "c", 99999);
    char *text = NULL;
    print(report, true, &text);
    TAP_EQ_STR(dl_str_of(text),
               "           1  stored\n"
               "           1  stored with warnings\n"
               "                 1  some attributes failed validation (1) (0010,0030)\n"
               "                      b\n"
               "           4  refused\n"
               "                 4  the data set fails validation (43264)\n"
               "                      bad\xef\xbf\xbd"
               "0\n"
               "                      bad\xef\xbf\xbd"
               "1\n"
               "                      bad\xef\xbf\xbd"
               "2\n"
               "                      ...\n"
               "           1  skipped\n"
               "                 1  not DICOM\n"
               "                      c\n"
               "1.5 kB in 2.0 s: 3 files/s, 770 B/s\n");
    free(text);
    print(report, false, &text);
    TAP_TRUE(strstr(text, "; stopped before the end\n") != NULL);
    free(text);
    TAP_EQ_INT(dl_cli_report_exit(report), DL_CLI_PARTLY);
}

TAP_CASE(json_holds_all_of_it)
{
    dl_error err = {0};
    DL_AUTO(dl_cli_report) report = NULL;
    TAP_OK(dl_cli_report_create(&report, &err), err);
    add(report, DL_CLI_THERE, "", "a", 1000);
    dl_cli_verdict verdict = dl_cli_verdict_of(DL_CLI_REFUSED, "why");
    verdict.code = 43264;
    dl_cli_report_add(report, &verdict, DL_STR("b\"\xff"), 10);
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, 4096);
    TAP_OK(dl_cli_report_json(report, 500000, false, &text, &err), err);
    TAP_OK(dl_json_check(dl_buf_str(&text), &err), err);
    TAP_EQ_STR(dl_buf_str(&text),
               "{\"stored\":0,\"storedWithWarnings\":0,\"alreadyThere\":1,\"refused\":1,"
               "\"skipped\":0,\"bytes\":1010,\"seconds\":0.5,\"filesPerSecond\":4,"
               "\"complete\":false,\"reasons\":[{\"outcome\":\"refused\",\"code\":43264,"
               "\"reason\":\"why\",\"count\":1,\"files\":[\"b\\\"\xef\xbf\xbd\"]}]}");
}

TAP_CASE(exit_codes_follow_the_outcomes)
{
    static const struct {
        const char *name;
        dl_cli_outcome outcomes[3];
        size_t count;
        dl_cli_exit want;
    } cases[] = {
        {"nothing at all", {DL_CLI_STORED}, 0, DL_CLI_DONE},
        {"all stored", {DL_CLI_STORED, DL_CLI_WARNED, DL_CLI_THERE}, 3, DL_CLI_DONE},
        {"only skipped", {DL_CLI_SKIPPED}, 1, DL_CLI_DONE},
        {"all refused", {DL_CLI_REFUSED, DL_CLI_REFUSED}, 2, DL_CLI_FAILED},
        {"refused and skipped", {DL_CLI_REFUSED, DL_CLI_SKIPPED}, 2, DL_CLI_FAILED},
        {"refused and stored", {DL_CLI_REFUSED, DL_CLI_STORED}, 2, DL_CLI_PARTLY},
        {"refused and there", {DL_CLI_REFUSED, DL_CLI_THERE}, 2, DL_CLI_PARTLY},
        {"refused and warned", {DL_CLI_REFUSED, DL_CLI_WARNED}, 2, DL_CLI_PARTLY},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        TAP_ROW_BEGIN();
        dl_error err = {0};
        DL_AUTO(dl_cli_report) report = NULL;
        TAP_OK(dl_cli_report_create(&report, &err), err);
        for (size_t k = 0; k < cases[i].count; k++) {
            add(report, cases[i].outcomes[k], "", "x", 1);
        }
        TAP_EQ_INT(dl_cli_report_exit(report), cases[i].want);
        TAP_ROW_END(cases[i].name);
    }
}

/** So many reasons as there may be, then one more: counted under "other reasons". */
TAP_CASE(reasons_end_at_their_limit)
{
    dl_error err = {0};
    DL_AUTO(dl_cli_report) report = NULL;
    TAP_OK(dl_cli_report_create(&report, &err), err);
    for (int i = 0; i < DL_CLI_REASON_LIMIT; i++) {
        char reason[16];
        (void)snprintf(reason, sizeof reason, "reason %d", i);
        add(report, DL_CLI_REFUSED, reason, "x", 1);
    }
    char *text = NULL;
    print(report, true, &text);
    TAP_TRUE(strstr(text, "  1  reason 199\n") != NULL);
    TAP_TRUE(strstr(text, "other reasons") == NULL);
    free(text);
    add(report, DL_CLI_REFUSED, "one more", "x", 1);
    add(report, DL_CLI_REFUSED, "and one more", "y", 1);
    add(report, DL_CLI_REFUSED, "reason 0", "z", 1);
    add(report, DL_CLI_SKIPPED, "another outcome", "x", 1);
    print(report, true, &text);
    TAP_TRUE(
        strstr(text, "  2  other reasons\n                      x\n                      y\n") !=
        NULL);
    TAP_TRUE(strstr(text, "  1  other reasons\n                      x\n") != NULL);
    TAP_TRUE(strstr(text, "  2  reason 0\n                      x\n                      z\n") !=
             NULL);
    TAP_TRUE(strstr(text, "one more") == NULL);
    free(text);
    TAP_EQ_INT(dl_cli_report_count(report, DL_CLI_REFUSED), DL_CLI_REASON_LIMIT + 3);
}

TAP_CASE(long_reasons_are_cut)
{
    char lengthy[2 * DL_CLI_REASON_SIZE];
    memset(lengthy, 'x', sizeof lengthy - 1);
    lengthy[sizeof lengthy - 1] = '\0';
    dl_cli_verdict verdict = dl_cli_verdict_of(DL_CLI_REFUSED, lengthy);
    TAP_EQ_INT(strlen(verdict.reason), DL_CLI_REASON_SIZE - 1);
    lengthy[DL_CLI_REASON_SIZE - 1] = '\0';
    verdict = dl_cli_verdict_of(DL_CLI_REFUSED, lengthy);
    TAP_EQ_STR(dl_str_of(verdict.reason), lengthy);
}

int main(void)
{
    TAP_RUN(reasons_are_grouped_and_named);
    TAP_RUN(json_holds_all_of_it);
    exit_codes_follow_the_outcomes();
    TAP_RUN(reasons_end_at_their_limit);
    TAP_RUN(long_reasons_are_cut);
    return tap_done();
}
