/* Counts of a sync: added up, and as the JSON that `sync --json`, `run show` and REST share. */
#include "pipeline/pipeline.h"
#include "json/json.h"

static const char *const table_names[DL_PIPELINE_TABLES] = {"instance", "series", "study"};

const char *dl_pipeline_table_name(size_t i)
{
    return i < DL_PIPELINE_TABLES ? table_names[i] : NULL;
}

/* ---- sums ---- */

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

void dl_pipeline_counts_add(dl_pipeline_counts *c, const dl_pipeline_counts *more)
{
    c->changes += more->changes;
    c->pages += more->pages;
    c->creates += more->creates;
    c->updates += more->updates;
    c->deletes += more->deletes;
    c->skipped += more->skipped;
    c->stale += more->stale;
    c->without_path += more->without_path;
    c->batches += more->batches;
    c->replans += more->replans;
    c->retries += more->retries;
    c->requests += more->requests;
    c->feed_bytes += more->feed_bytes;
    c->wait_us += more->wait_us;
    c->fold_us += more->fold_us;
    c->write_us += more->write_us;
    c->commit_us += more->commit_us;
    c->state_us += more->state_us;
    c->maintain_us += more->maintain_us;
    c->compactions += more->compactions;
    c->vacuumed_files += more->vacuumed_files;
    for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
        add_table(&c->tables[i], &more->tables[i]);
    }
    c->watermark = more->watermark;
    c->watermark_time_us = more->watermark_time_us;
    c->newest = more->newest > 0 ? more->newest : c->newest;
}

int64_t dl_pipeline_table_bytes(const dl_pipeline_table_counts *t)
{
    return t->data_bytes + t->dv_bytes + t->log_bytes;
}

/* ---- JSON ---- */

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
                                  {"bytes", dl_pipeline_table_bytes(t)},
                                  {"dataBytes", t->data_bytes},
                                  {"deletionVectorBytes", t->dv_bytes},
                                  {"logBytes", t->log_bytes}};
        dl_json_key(w, dl_str_of(table_names[i]));
        dl_json_object_begin(w);
        put_numbers(w, numbers, DL_COUNT_OF(numbers));
        dl_json_object_end(w);
    }
    dl_json_object_end(w);
}

void dl_pipeline_counts_put(dl_json_writer *w, const dl_pipeline_counts *c)
{
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
                              {"bytes", dl_pipeline_table_bytes(&all)},
                              {"feedBytes", c->feed_bytes},
                              {"commits", all.commits},
                              {"batches", c->batches},
                              {"replans", c->replans},
                              {"requests", c->requests},
                              {"retries", c->retries},
                              {"compactions", c->compactions},
                              {"vacuumedFiles", c->vacuumed_files},
                              {"watermark", c->watermark},
                              {"newest", c->newest}};
    put_numbers(w, numbers, DL_COUNT_OF(numbers));
    put_time(w, "watermarkTime", c->watermark_time_us);
    put_tables(w, c);
}
