/* What a run did so far, as JSON: REST, `run show` and the totals read it. */
#include "factory/work_internal.h"

#include "json/json.h"

static const char *const table_names[DL_PIPELINE_TABLES] = {"instance", "series", "study"};

typedef struct number {
    const char *key;
    int64_t value;
} number;

static void put_numbers(dl_json_writer *w, const number *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        dl_json_key(w, dl_str_of(numbers[i].key));
        dl_json_int(w, numbers[i].value);
    }
}

static void add_table(dl_pipeline_table_counts *t, const dl_pipeline_table_counts *more)
{
    t->rows_in += more->rows_in;
    t->rows_out += more->rows_out;
    t->row_count = more->row_count;
    t->version = more->version;
    t->commits += more->commits;
    t->files_added += more->files_added;
    t->files_removed += more->files_removed;
    t->data_bytes += more->data_bytes;
    t->dv_bytes += more->dv_bytes;
    t->log_bytes += more->log_bytes;
}

void dl_work_counts_add(dl_pipeline_counts *c, const dl_pipeline_counts *more)
{
    int64_t *const sums[] = {&c->changes,       &c->pages,    &c->creates,     &c->updates,
                             &c->deletes,       &c->skipped,  &c->stale,       &c->without_path,
                             &c->batches,       &c->replans,  &c->retries,     &c->requests,
                             &c->feed_bytes,    &c->wait_us,  &c->fold_us,     &c->write_us,
                             &c->commit_us,     &c->state_us, &c->maintain_us, &c->compactions,
                             &c->vacuumed_files};
    const int64_t values[] = {more->changes,     more->pages,        more->creates,
                              more->updates,     more->deletes,      more->skipped,
                              more->stale,       more->without_path, more->batches,
                              more->replans,     more->retries,      more->requests,
                              more->feed_bytes,  more->wait_us,      more->fold_us,
                              more->write_us,    more->commit_us,    more->state_us,
                              more->maintain_us, more->compactions,  more->vacuumed_files};
    for (size_t i = 0; i < DL_COUNT_OF(sums); i++) {
        *sums[i] += values[i];
    }
    for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
        add_table(&c->tables[i], &more->tables[i]);
    }
    c->watermark = more->watermark;
    c->watermark_time_us = more->watermark_time_us;
    c->newest = more->newest > 0 ? more->newest : c->newest;
}

static int64_t bytes_of(const dl_pipeline_table_counts *t)
{
    return t->data_bytes + t->dv_bytes + t->log_bytes;
}

static void put_tables(dl_json_writer *w, const dl_pipeline_counts *c)
{
    dl_json_key(w, DL_STR("tables"));
    dl_json_object_begin(w);
    for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
        const dl_pipeline_table_counts *t = &c->tables[i];
        const number numbers[] = {{"version", t->version},
                                  {"rows", t->row_count},
                                  {"rowsIn", t->rows_in},
                                  {"rowsOut", t->rows_out},
                                  {"commits", t->commits},
                                  {"filesAdded", t->files_added},
                                  {"filesRemoved", t->files_removed},
                                  {"bytes", bytes_of(t)}};
        dl_json_key(w, dl_str_of(table_names[i]));
        dl_json_object_begin(w);
        put_numbers(w, numbers, DL_COUNT_OF(numbers));
        dl_json_object_end(w);
    }
    dl_json_object_end(w);
}

/* The stages in the order in which a change goes through them. */
static void put_stages(dl_json_writer *w, const dl_work_running *r, const dl_pipeline_counts *c)
{
    const number stages[] = {{"open", r->opened_us},      {"read", c->wait_us},
                             {"fold", c->fold_us},        {"write", c->write_us},
                             {"commit", c->commit_us},    {"state", c->state_us},
                             {"maintain", c->maintain_us}};
    dl_json_key(w, DL_STR("stages"));
    dl_json_array_begin(w);
    for (size_t i = 0; i < DL_COUNT_OF(stages); i++) {
        dl_json_object_begin(w);
        dl_json_key(w, DL_STR("name"));
        dl_json_string(w, dl_str_of(stages[i].key));
        dl_json_key(w, DL_STR("milliseconds"));
        dl_json_int(w, stages[i].value / 1000);
        dl_json_object_end(w);
    }
    dl_json_array_end(w);
}

static void put_time(dl_json_writer *w, const char *key, int64_t time_us)
{
    char text[DL_CLOCK_TEXT_SIZE];
    dl_json_key(w, dl_str_of(key));
    if (time_us == 0) {
        dl_json_null(w);
        return;
    }
    dl_clock_format_utc(time_us, text);
    dl_json_string(w, dl_str_of(text));
}

dl_status dl_work_counts_put(const dl_work_running *r, const dl_pipeline_counts *counts,
                             dl_arena *arena, dl_str *out_json, dl_error *err)
{
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, DL_WORK_COUNTS_LIMIT_BYTES);
    dl_json_writer w;
    dl_json_writer_init(&w, &text, err);
    const dl_pipeline_counts *c = counts;
    dl_pipeline_table_counts all = {0};
    for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
        add_table(&all, &c->tables[i]);
    }
    const number numbers[] = {{"changes", c->changes},
                              {"pages", c->pages},
                              {"inserted", c->creates},
                              {"updated", c->updates},
                              {"deleted", c->deletes},
                              {"skipped", c->skipped},
                              {"stale", c->stale},
                              {"rowsIn", all.rows_in},
                              {"rowsOut", all.rows_out},
                              {"bytes", bytes_of(&all)},
                              {"feedBytes", c->feed_bytes},
                              {"commits", all.commits},
                              {"requests", c->requests},
                              {"retries", c->retries},
                              {"attempts", r->attempts},
                              {"compactions", c->compactions},
                              {"vacuumedFiles", c->vacuumed_files},
                              {"watermark", c->watermark},
                              {"newest", c->newest},
                              {"milliseconds", (dl_clock_monotonic_us() - r->began_us) / 1000}};
    dl_json_object_begin(&w);
    put_numbers(&w, numbers, DL_COUNT_OF(numbers));
    put_time(&w, "watermarkTime", c->watermark_time_us);
    put_tables(&w, c);
    put_stages(&w, r, c);
    dl_json_object_end(&w);
    DL_TRY(dl_json_writer_status(&w));
    return dl_arena_copy(arena, dl_buf_str(&text), out_json, err);
}
