#include "cli/report.h"

#include "base/mem.h"
#include "cli/text.h"
#include "json/json.h"

#include <pthread.h>
#include <string.h>

enum { NAMES_LIMIT_BYTES = 8 << 20, NAME_LIMIT_BYTES = 4096 };

typedef struct reason {
    dl_cli_verdict verdict;
    uint64_t count;
    dl_str names[DL_CLI_REASON_NAMES];
    size_t name_count;
} reason;

struct dl_cli_report {
    pthread_mutex_t lock; /* guards what follows */
    uint64_t counts[DL_CLI_OUTCOME_COUNT];
    uint64_t bytes[DL_CLI_OUTCOME_COUNT];
    dl_arena *names;
    size_t reason_count;
    reason reasons[DL_CLI_REASON_LIMIT + DL_CLI_OUTCOME_COUNT]; /* and "other" for each outcome */
};

static const struct {
    const char *key, *text;
} outcomes[DL_CLI_OUTCOME_COUNT] = {
    [DL_CLI_STORED] = {"stored", "stored"},
    [DL_CLI_WARNED] = {"storedWithWarnings", "stored with warnings"},
    [DL_CLI_THERE] = {"alreadyThere", "already there"},
    [DL_CLI_REFUSED] = {"refused", "refused"},
    [DL_CLI_SKIPPED] = {"skipped", "skipped"},
};

dl_cli_verdict dl_cli_verdict_of(dl_cli_outcome outcome, const char *text)
{
    dl_cli_verdict verdict = {.outcome = outcome};
    (void)dl_str_copy(dl_str_slice(dl_str_of(text), 0, sizeof verdict.reason - 1), verdict.reason,
                      sizeof verdict.reason);
    return verdict;
}

dl_status dl_cli_report_create(dl_cli_report **out_report, dl_error *err)
{
    dl_cli_report *report = dl_mem_zalloc(1, sizeof *report);
    if (report == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "report: out of memory");
    }
    report->names = dl_arena_create(NAMES_LIMIT_BYTES);
    if (report->names == NULL) {
        dl_mem_free(report);
        return dl_error_set(err, DL_E_NOMEM, "report: out of memory");
    }
    (void)pthread_mutex_init(&report->lock, NULL);
    *out_report = report;
    return DL_OK;
}

void dl_cli_report_destroy(dl_cli_report *report)
{
    if (report != NULL) {
        dl_arena_destroy(report->names);
        (void)pthread_mutex_destroy(&report->lock);
        dl_mem_free(report);
    }
}

static reason *find_reason(dl_cli_report *report, const dl_cli_verdict *verdict)
{
    for (size_t i = 0; i < report->reason_count; i++) {
        reason *r = &report->reasons[i];
        if (r->verdict.outcome == verdict->outcome && r->verdict.code == verdict->code &&
            strcmp(r->verdict.reason, verdict->reason) == 0) {
            return r;
        }
    }
    return NULL;
}

static reason *make_reason(dl_cli_report *report, const dl_cli_verdict *verdict)
{
    DL_ASSERT(report->reason_count < DL_COUNT_OF(report->reasons));
    reason *made = &report->reasons[report->reason_count++];
    made->verdict = *verdict;
    return made;
}

static void add_reason(dl_cli_report *report, const dl_cli_verdict *verdict, dl_str name)
{
    const dl_cli_verdict other = {.outcome = verdict->outcome, .reason = "other reasons"};
    reason *r = find_reason(report, verdict);
    if (r == NULL && report->reason_count >= DL_CLI_REASON_LIMIT) {
        verdict = &other;
        r = find_reason(report, verdict);
    }
    if (r == NULL) {
        r = make_reason(report, verdict);
    }
    r->count++;
    if (r->name_count < DL_CLI_REASON_NAMES &&
        dl_arena_copy(report->names, dl_str_slice(name, 0, NAME_LIMIT_BYTES),
                      &r->names[r->name_count], NULL) == DL_OK) {
        r->name_count++;
    }
}

void dl_cli_report_add(dl_cli_report *report, const dl_cli_verdict *verdict, dl_str name,
                       uint64_t bytes)
{
    (void)pthread_mutex_lock(&report->lock);
    report->counts[verdict->outcome]++;
    report->bytes[verdict->outcome] += bytes;
    if (verdict->reason[0] != '\0') {
        add_reason(report, verdict, name);
    }
    (void)pthread_mutex_unlock(&report->lock);
}

uint64_t dl_cli_report_count(const dl_cli_report *report, dl_cli_outcome outcome)
{
    return report->counts[outcome];
}

dl_cli_exit dl_cli_report_exit(const dl_cli_report *report)
{
    if (report->counts[DL_CLI_REFUSED] == 0) {
        return DL_CLI_DONE;
    }
    bool some = report->counts[DL_CLI_STORED] + report->counts[DL_CLI_WARNED] +
                    report->counts[DL_CLI_THERE] >
                0;
    return some ? DL_CLI_PARTLY : DL_CLI_FAILED;
}

/** Files and bytes that a service looked at. */
static uint64_t sent(const uint64_t *of)
{
    return of[DL_CLI_STORED] + of[DL_CLI_WARNED] + of[DL_CLI_THERE] + of[DL_CLI_REFUSED];
}

static dl_status print_names(const reason *r, FILE *out, dl_error *err)
{
    for (size_t i = 0; i < r->name_count; i++) {
        DL_AUTO_BUF name = {0};
        dl_buf_init(&name, (size_t)3 * NAME_LIMIT_BYTES);
        DL_TRY(dl_cli_text_clean(r->names[i], &name, err));
        (void)fprintf(out, "%22s%.*s\n", "", DL_STR_ARG(dl_buf_str(&name)));
    }
    if (r->count > r->name_count) {
        (void)fprintf(out, "%22s...\n", "");
    }
    return DL_OK;
}

static dl_status print_reasons(const dl_cli_report *report, dl_cli_outcome outcome, FILE *out,
                               dl_error *err)
{
    for (size_t i = 0; i < report->reason_count; i++) {
        const reason *r = &report->reasons[i];
        if (r->verdict.outcome == outcome) {
            (void)fprintf(out, "%18llu  %s\n", (unsigned long long)r->count, r->verdict.reason);
            DL_TRY(print_names(r, out, err));
        }
    }
    return DL_OK;
}

dl_status dl_cli_report_print(const dl_cli_report *report, int64_t took_us, bool complete,
                              FILE *out, dl_error *err)
{
    for (int i = 0; i < DL_CLI_OUTCOME_COUNT; i++) {
        if (report->counts[i] > 0 || i == DL_CLI_STORED) {
            (void)fprintf(out, "  %10llu  %s\n", (unsigned long long)report->counts[i],
                          outcomes[i].text);
            DL_TRY(print_reasons(report, (dl_cli_outcome)i, out, err));
        }
    }
    double seconds = (double)took_us / 1e6;
    char bytes[DL_CLI_AMOUNT_SIZE];
    char rate[DL_CLI_AMOUNT_SIZE];
    dl_cli_text_bytes(sent(report->bytes), bytes);
    double per_s = seconds > 0 ? (double)sent(report->counts) / seconds : 0;
    dl_cli_text_bytes(seconds > 0 ? (uint64_t)((double)sent(report->bytes) / seconds) : 0, rate);
    (void)fprintf(out, "%s in %.1f s: %.0f files/s, %s/s%s\n", bytes, seconds, per_s, rate,
                  complete ? "" : "; stopped before the end");
    if (ferror(out)) {
        return dl_error_set(err, DL_E_IO, "cannot write the summary");
    }
    return DL_OK;
}

static void json_reason(dl_json_writer *w, const reason *r)
{
    dl_json_object_begin(w);
    dl_json_key(w, DL_STR("outcome"));
    dl_json_string(w, dl_str_of(outcomes[r->verdict.outcome].key));
    if (r->verdict.code != 0) {
        dl_json_key(w, DL_STR("code"));
        dl_json_int(w, r->verdict.code);
    }
    dl_json_key(w, DL_STR("reason"));
    dl_json_string(w, dl_str_of(r->verdict.reason));
    dl_json_key(w, DL_STR("count"));
    dl_json_int(w, (int64_t)r->count);
    dl_json_key(w, DL_STR("files"));
    dl_json_array_begin(w);
    for (size_t n = 0; n < r->name_count; n++) {
        dl_json_string(w, r->names[n]);
    }
    dl_json_array_end(w);
    dl_json_object_end(w);
}

dl_status dl_cli_report_json(const dl_cli_report *report, int64_t took_us, bool complete,
                             dl_buf *out, dl_error *err)
{
    double seconds = (double)took_us / 1e6;
    dl_json_writer w;
    dl_json_writer_init(&w, out, err);
    dl_json_object_begin(&w);
    for (int i = 0; i < DL_CLI_OUTCOME_COUNT; i++) {
        dl_json_key(&w, dl_str_of(outcomes[i].key));
        dl_json_int(&w, (int64_t)report->counts[i]);
    }
    dl_json_key(&w, DL_STR("bytes"));
    dl_json_int(&w, (int64_t)sent(report->bytes));
    dl_json_key(&w, DL_STR("seconds"));
    dl_json_double(&w, seconds);
    dl_json_key(&w, DL_STR("filesPerSecond"));
    dl_json_double(&w, seconds > 0 ? (double)sent(report->counts) / seconds : 0);
    dl_json_key(&w, DL_STR("complete"));
    dl_json_bool(&w, complete);
    dl_json_key(&w, DL_STR("reasons"));
    dl_json_array_begin(&w);
    for (size_t i = 0; i < report->reason_count; i++) {
        json_reason(&w, &report->reasons[i]);
    }
    dl_json_array_end(&w);
    dl_json_object_end(&w);
    return dl_json_writer_status(&w);
}
