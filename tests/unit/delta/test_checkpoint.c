/* Checkpoints: what is in them is what was replayed; their pointer; what others left there. */
#include "tables.h"
#include "tap.h"

#include "base/mem.h"
#include "delta/maintain.h"
#include "json/json.h"

#include <stdlib.h>

static bool is_there(const tables *t, const char *key)
{
    dl_store_stat stat;
    return dl_store_stat_key(t->store, dl_str_of(key), &stat, NULL) == DL_OK;
}

static void put(const tables *t, const char *key, const char *text)
{
    dl_error err = {0};
    dl_str s = dl_str_of(text);
    TAP_OK(dl_store_put(t->store, dl_str_of(key), (dl_bytes){(const uint8_t *)s.ptr, s.len}, &err),
           err);
}

static void get(const tables *t, const char *key, dl_buf *out)
{
    dl_error err = {0};
    dl_buf_init(out, 1 << 20);
    TAP_OK(dl_store_get(t->store, dl_str_of(key), out, &err), err);
}

/* Everything that the snapshot says, as sorted lines. */
static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void put_pairs(dl_buf *out, const char *name, const dl_delta_pairs *pairs)
{
    for (size_t i = 0; i < pairs->count; i++) {
        DL_ASSERT(dl_buf_printf(out, NULL, " %s.%.*s=%s%.*s", name, DL_STR_ARG(pairs->items[i].key),
                                pairs->items[i].value.ptr == NULL ? "NULL" : "",
                                DL_STR_ARG(pairs->items[i].value)) == DL_OK);
    }
}

static void put_file(dl_buf *out, const char *kind, const dl_delta_file *f, bool with_stats)
{
    DL_ASSERT(dl_buf_printf(out, NULL,
                            "%s %.*s size=%lld modified=%lld rows=%lld base=%lld/%lld "
                            "deleted=%lld dv=%d %.*s %lld %d %lld",
                            kind, DL_STR_ARG(f->path), (long long)f->size_bytes,
                            (long long)(with_stats ? f->modified_ms : 0),
                            (long long)(with_stats ? f->row_count : 0), (long long)f->base_row_id,
                            (long long)f->default_row_commit_version, (long long)f->deletion_ms,
                            f->dv.storage, DL_STR_ARG(f->dv.path_or_inline),
                            (long long)f->dv.offset, f->dv.size_bytes,
                            (long long)f->dv.cardinality) == DL_OK);
    put_pairs(out, "value", &f->partition_values);
    put_pairs(out, "tag", &f->tags);
    if (with_stats) {
        DL_ASSERT(dl_buf_printf(out, NULL, " stats=%.*s", DL_STR_ARG(f->stats)) == DL_OK);
    }
    DL_ASSERT(dl_buf_append_char(out, '\n', NULL) == DL_OK);
}

static void sort_lines(dl_buf *out)
{
    DL_ASSERT(dl_buf_terminate(out, NULL) == DL_OK);
    size_t count = 0;
    char **lines = dl_mem_zalloc(out->len + 1, sizeof *lines);
    char *copy = dl_mem_alloc(out->len + 1, 1);
    memcpy(copy, out->ptr, out->len + 1);
    for (char *at = copy; *at != '\0'; at += strlen(at) + 1) {
        char *line_end = strchr(at, '\n');
        *line_end = '\0';
        lines[count++] = at;
    }
    qsort(lines, count, sizeof *lines, by_text);
    dl_buf_reset(out);
    for (size_t i = 0; i < count; i++) {
        DL_ASSERT(dl_buf_printf(out, NULL, "%s\n", lines[i]) == DL_OK);
    }
    dl_mem_free(lines);
    dl_mem_free(copy);
}

static void describe(dl_delta_table *table, dl_buf *out)
{
    dl_buf_init(out, 64 << 20);
    const dl_delta_metadata *m = dl_delta_metadata_of(table);
    const dl_delta_protocol *p = dl_delta_protocol_of(table);
    DL_ASSERT(dl_buf_printf(out, NULL, "meta %.*s %.*s %.*s %.*s %lld %zu", DL_STR_ARG(m->id),
                            DL_STR_ARG(m->name), DL_STR_ARG(m->description),
                            DL_STR_ARG(m->schema_json), (long long)m->created_ms,
                            m->partition_columns.count) == DL_OK);
    put_pairs(out, "property", &m->configuration);
    DL_ASSERT(dl_buf_printf(out, NULL, "\nprotocol %d %d", p->min_reader, p->min_writer) == DL_OK);
    for (size_t i = 0; i < p->writer_features.count; i++) {
        DL_ASSERT(dl_buf_printf(out, NULL, " %.*s", DL_STR_ARG(p->writer_features.items[i])) ==
                  DL_OK);
    }
    DL_ASSERT(dl_buf_append_char(out, '\n', NULL) == DL_OK);
    const dl_delta_file *file = NULL;
    for (size_t c = 0; dl_delta_live_next_file(table->live, &c, &file);) {
        put_file(out, "add", file, true);
    }
    for (size_t c = 0; dl_delta_live_next_tombstone(table->live, &c, &file);) {
        put_file(out, "remove", file, false);
    }
    dl_delta_app app = {0};
    for (size_t c = 0; dl_delta_live_next_app(table->live, &c, &app);) {
        DL_ASSERT(dl_buf_printf(out, NULL, "app %.*s %lld\n", DL_STR_ARG(app.app_id),
                                (long long)app.version) == DL_OK);
    }
    dl_delta_domain domain = {0};
    for (size_t c = 0; dl_delta_live_next_domain(table->live, &c, &domain);) {
        if (!domain.removed) {
            DL_ASSERT(dl_buf_printf(out, NULL, "domain %.*s %.*s\n", DL_STR_ARG(domain.domain),
                                    DL_STR_ARG(domain.configuration)) == DL_OK);
        }
    }
    sort_lines(out);
}

static void kill_some(dl_delta_table *table, const char *app, int64_t app_version, int64_t count)
{
    dl_error err = {0};
    int64_t rows[100];
    for (int64_t i = 0; i < count; i++) {
        rows[i] = i;
    }
    DL_AUTO(dl_delta_bitmap) dead = tables_rows(rows, (size_t)count);
    size_t cursor = 0;
    const dl_delta_file *file = NULL;
    const dl_delta_file *victim = NULL;
    while (dl_delta_next_file(table, &cursor, &file)) {
        if (victim == NULL || dl_str_compare(file->path, victim->path) < 0) {
            victim = file;
        }
    }
    DL_ASSERT(victim != NULL);
    dl_delta_kill kill = {victim->path, dead};
    dl_delta_app a = {.app_id = dl_str_of(app), .version = app_version};
    dl_delta_change change = {.operation = "MERGE",
                              .data_change = true,
                              .kills = &kill,
                              .kill_count = 1,
                              .apps = &a,
                              .app_count = 1};
    dl_delta_result result = {0};
    TAP_OK(dl_delta_commit_change(table, &change, &result, &err), err);
}

/* Versions 1..n without a checkpoint of their own: 10 divides none before n is 10. */
static dl_delta_table *begin(tables *t)
{
    static const char *const partitions[] = {"Microsoft.Default", "ward 7/ä%", "a=b:c", NULL};
    dl_error err = {0};
    dl_delta_table *table = NULL;
    tables_init(t, NULL);
    TAP_OK(tables_create(t, "", false, &table, &err), err);
    for (int i = 0; i < 4; i++) {
        TAP_OK(tables_append(table, partitions[i], (int64_t)i * 20, 20, &err), err);
    }
    kill_some(table, "one", 5, 3);
    kill_some(table, "two \"quoted\"", 1, 5);
    kill_some(table, "one", 6, 20);
    return table;
}

/* What the log before the newest checkpoint held is gone: only the checkpoint can tell. */
static dl_status remove_commits(void *context, dl_str key, const dl_store_stat *stat, dl_error *err)
{
    (void)stat;
    const tables *t = context;
    return dl_str_ends(key, DL_STR(".json")) ? dl_store_remove(t->store, key, err) : DL_OK;
}

TAP_CASE(a_checkpoint_is_what_was_replayed)
{
    tables t;
    dl_error err = {0};
    dl_delta_table *table = begin(&t);
    DL_AUTO_BUF before;
    DL_AUTO_BUF after;
    describe(table, &before);
    TAP_OK(dl_delta_checkpoint(table, &err), err);
    TAP_EQ_INT(table->checkpoint_version, 7);
    dl_delta_table_close(table);
    TAP_OK(dl_store_list(t.store, DL_STR("_delta_log"), remove_commits, &t, &err), err);
    DL_AUTO_TABLE again = NULL;
    TAP_OK(tables_open(&t, "", &again, &err), err);
    if (again != NULL) {
        describe(again, &after);
        TAP_TRUE(before.len > 1000);
        if (!dl_str_eq(dl_buf_str(&before), dl_buf_str(&after))) {
            TAP_FAIL("before:\n%.*s\nafter:\n%.*s", DL_STR_ARG(dl_buf_str(&before)),
                     DL_STR_ARG(dl_buf_str(&after)));
        }
    }
    dl_delta_table_close(DL_STEAL(again));
    tables_clear(&t);
}

static int64_t number_in(const dl_buf *json, const char *key)
{
    dl_str value = DL_STR_NONE;
    int64_t number = -999;
    if (!dl_json_get(dl_buf_str(json), dl_str_of(key), &value) || !dl_json_int_of(value, &number)) {
        TAP_FAIL("%s is not there", key);
    }
    return number;
}

TAP_CASE(the_pointer_says_what_is_there)
{
    tables t;
    dl_error err = {0};
    dl_delta_table *table = begin(&t);
    put(&t, "_delta_log/._last_checkpoint.crc", "stale");
    put(&t, "_delta_log/.00000000000000000007.checkpoint.parquet.crc", "stale");
    TAP_OK(dl_delta_checkpoint(table, &err), err);
    TAP_TRUE(!is_there(&t, "_delta_log/._last_checkpoint.crc"));
    TAP_TRUE(!is_there(&t, "_delta_log/.00000000000000000007.checkpoint.parquet.crc"));
    DL_AUTO_BUF text;
    DL_AUTO_BUF canonical;
    get(&t, "_delta_log/_last_checkpoint", &text);
    dl_buf_init(&canonical, 4096);
    dl_store_stat stat = {0};
    TAP_OK(dl_store_stat_key(t.store, DL_STR("_delta_log/00000000000000000007.checkpoint.parquet"),
                             &stat, &err),
           err);
    TAP_EQ_INT(number_in(&text, "version"), 7);
    TAP_EQ_INT(number_in(&text, "sizeInBytes"), stat.size_bytes);
    TAP_EQ_INT(number_in(&text, "numOfAddFiles"), 3);
    /* protocol, metadata, two applications, three files, three tombstones */
    TAP_EQ_INT(number_in(&text, "size"), 10);
    char md5[DL_DELTA_MD5_SIZE];
    dl_str value = DL_STR_NONE;
    TAP_OK(dl_delta_checksum_text(dl_buf_str(&text), &canonical, &err), err);
    TAP_OK(dl_delta_md5(dl_buf_str(&canonical), md5, &err), err);
    TAP_TRUE(dl_json_get(dl_buf_str(&text), DL_STR("checksum"), &value));
    TAP_EQ_STR(dl_str_slice(value, 1, value.len - 2), md5);
    dl_delta_table_close(table);
    tables_clear(&t);
}

TAP_CASE(a_newer_pointer_stays)
{
    tables t;
    dl_error err = {0};
    dl_delta_table *table = begin(&t);
    put(&t, "_delta_log/_last_checkpoint", "{\"version\":8,\"size\":1}");
    TAP_OK(dl_delta_checkpoint(table, &err), err);
    DL_AUTO_BUF text;
    get(&t, "_delta_log/_last_checkpoint", &text);
    TAP_EQ_INT(number_in(&text, "version"), 8);
    put(&t, "_delta_log/_last_checkpoint", "{\"vers"); /* garbled: replaced */
    TAP_OK(dl_delta_checkpoint(table, &err), err);
    DL_AUTO_BUF again;
    get(&t, "_delta_log/_last_checkpoint", &again);
    TAP_EQ_INT(number_in(&again, "version"), 7);
    dl_delta_table_close(table);
    tables_clear(&t);
}

TAP_CASE(a_checkpoint_that_is_there_stays_unless_it_is_damaged)
{
    static const char key[] = "_delta_log/00000000000000000007.checkpoint.parquet";
    tables t;
    dl_error err = {0};
    dl_delta_table *table = begin(&t);
    TAP_OK(dl_delta_checkpoint(table, &err), err);
    dl_store_stat first = {0};
    dl_store_stat second = {0};
    TAP_OK(dl_store_stat_key(t.store, dl_str_of(key), &first, &err), err);
    TAP_OK(dl_delta_checkpoint(table, &err), err);
    TAP_OK(dl_store_stat_key(t.store, dl_str_of(key), &second, &err), err);
    TAP_TRUE(first.tag == second.tag && first.size_bytes == second.size_bytes);
    static const char *const damages[] = {"", "PAR1 and no more", "PAR1PAR1"};
    for (size_t i = 0; i < DL_COUNT_OF(damages); i++) {
        put(&t, key, damages[i]);
        TAP_OK(dl_delta_checkpoint(table, &err), err);
        TAP_OK(dl_store_stat_key(t.store, dl_str_of(key), &second, &err), err);
        TAP_EQ_INT(second.size_bytes, first.size_bytes);
    }
    dl_delta_table_close(table);
    tables_clear(&t);
}

static int64_t days_from_now(void *context)
{
    dl_clock system = dl_clock_system();
    return dl_clock_now_us(&system) + *(const int *)context * INT64_C(86400000000);
}

TAP_CASE(old_tombstones_are_left_out)
{
    tables t;
    dl_error err = {0};
    dl_delta_table *table = begin(&t);
    int days = 31;
    table->open.clock = (dl_clock){days_from_now, &days};
    TAP_OK(dl_delta_checkpoint(table, &err), err);
    DL_AUTO_BUF text;
    get(&t, "_delta_log/_last_checkpoint", &text);
    TAP_EQ_INT(number_in(&text, "size"), 7);
    dl_delta_table_close(table);
    tables_clear(&t);
}

TAP_CASE(a_version_that_somebody_overwrote_gets_no_checkpoint)
{
    tables t;
    dl_error err = {0};
    DL_AUTO_TABLE table = NULL;
    tables_init(&t, NULL);
    TAP_OK(tables_create(&t, "", false, &table, &err), err);
    TAP_OK(tables_append(table, "east", 0, 10, &err), err);
    put(&t, "_delta_log/00000000000000000001.json", "{\"commitInfo\":{\"txnId\":\"other\"}}\n");
    dl_delta_commit commit = {.info = {.version = 1, .txn_id = DL_STR("ours")}};
    table->version = 10; /* as if this were the commit of version 10 */
    commit.info.version = 10;
    put(&t, "_delta_log/00000000000000000010.json", "{\"commitInfo\":{\"txnId\":\"other\"}}\n");
    (void)dl_delta_after_commit(table, &commit);
    TAP_EQ_INT(table->maintenance_failures, 1);
    TAP_EQ_INT(table->maintenance_error.status, DL_E_CORRUPT);
    TAP_TRUE(!is_there(&t, "_delta_log/00000000000000000010.checkpoint.parquet"));
    dl_delta_table_close(DL_STEAL(table));
    tables_clear(&t);
}

TAP_CASE(out_of_memory)
{
    tables t;
    dl_error err = {0};
    dl_delta_table *table = begin(&t);
    DL_AUTO_BUF before;
    DL_AUTO_BUF after;
    describe(table, &before);
    int failures = 0;
    for (int64_t n = 0;; n++) {
        dl_error_clear(&err);
        dl_mem_fail_after(n);
        dl_status status = dl_delta_checkpoint(table, &err);
        dl_mem_fail_after(-1);
        if (status == DL_OK) {
            break;
        }
        failures++;
        TAP_TRUE(err.message[0] != '\0');
        if (tap_case_failed) {
            break;
        }
    }
    TAP_TRUE(failures > 20);
    dl_delta_table_close(table);
    TAP_OK(dl_store_list(t.store, DL_STR("_delta_log"), remove_commits, &t, &err), err);
    DL_AUTO_TABLE again = NULL;
    TAP_OK(tables_open(&t, "", &again, &err), err);
    if (again != NULL) {
        describe(again, &after);
        TAP_TRUE(dl_str_eq(dl_buf_str(&before), dl_buf_str(&after)));
    }
    dl_delta_table_close(DL_STEAL(again));
    tables_clear(&t);
}

int main(void)
{
    TAP_RUN(a_checkpoint_is_what_was_replayed);
    TAP_RUN(the_pointer_says_what_is_there);
    TAP_RUN(a_newer_pointer_stays);
    TAP_RUN(a_checkpoint_that_is_there_stays_unless_it_is_damaged);
    TAP_RUN(old_tombstones_are_left_out);
    TAP_RUN(a_version_that_somebody_overwrote_gets_no_checkpoint);
    TAP_RUN(out_of_memory);
    return tap_done();
}
