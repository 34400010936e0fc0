/* Statements from anywhere in Spark's spelling; trees as the parser would give them; patterns of
 * times. */
#include "query/functions/pattern.h"
#include "query/internal.h"

#include <string.h>

enum { MEMORY_LIMIT_BYTES = 256 << 20, TEXT_LIMIT_BYTES = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* An error has words, and a place inside the text or none. */
static void look_at(const dl_error *err, dl_status status, size_t at, dl_str text)
{
    DL_ASSERT(err->status == status && err->message[0] != '\0');
    DL_ASSERT(at == SIZE_MAX || at <= text.len);
}

static void dialect(dl_str text)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(MEMORY_LIMIT_BYTES);
    dl_dialect d = {.kind = DL_DIALECT_EMPTY};
    dl_error err = {0};
    size_t at = SIZE_MAX, before = 0;
    dl_status status = dl_dialect_read(text, arena, &d, &at, &err);
    if (status != DL_OK) {
        look_at(&err, status, at, text);
        return;
    }
    DL_ASSERT(dl_str_is_utf8(d.sql));
    for (size_t i = 1; i < d.piece_count; i++) {
        DL_ASSERT(d.pieces[i - 1].to <= d.pieces[i].to && d.pieces[i - 1].from <= d.pieces[i].from);
    }
    for (size_t to = 0; to <= d.sql.len && d.kind != DL_DIALECT_SHOW; to++) {
        size_t from = dl_dialect_source(&d, to);
        DL_ASSERT(from >= before && from <= text.len);
        before = from;
    }
    for (size_t i = 0; i < d.travel_count; i++) {
        const dl_dialect_travel *t = &d.travels[i];
        DL_ASSERT(t->at < text.len && (t->version >= 0) == (t->timestamp_us == INT64_MIN));
        DL_ASSERT(dl_str_find_str(d.sql, t->internal) >= 0);
    }
    if (d.kind == DL_DIALECT_SELECT) { /* what is DuckDB's stays as it is, but for travels' names */
        dl_dialect again = {.kind = DL_DIALECT_EMPTY};
        dl_str sql = d.sql;
        if (dl_dialect_read(sql, arena, &again, &at, NULL) == DL_OK && again.travel_count == 0) {
            DL_ASSERT(again.kind == DL_DIALECT_SELECT && dl_str_eq(again.sql, d.sql));
        }
    }
}

static void script(dl_str text)
{
    dl_str rest = text, statement = DL_STR_NONE;
    size_t total = 0;
    while (dl_dialect_next_statement(&rest, &statement)) {
        DL_ASSERT(statement.len > 0 && statement.ptr >= text.ptr);
        total += statement.len;
    }
    DL_ASSERT(total <= text.len);
    (void)dl_dialect_is_open(text);
}

static void plan(dl_str text)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(MEMORY_LIMIT_BYTES);
    dl_plan p = {.table_count = 0};
    dl_error err = {0};
    size_t at = SIZE_MAX;
    dl_status status = dl_plan_read(text, arena, &p, &at, &err);
    if (status != DL_OK) {
        DL_ASSERT(err.status == status && err.message[0] != '\0');
        return;
    }
    for (size_t i = 0; i < p.table_count; i++) {
        for (size_t k = 0; k < p.tables[i].condition_count; k++) {
            const dl_plan_condition *c = &p.tables[i].conditions[k];
            DL_ASSERT(c->value_count > 0 && (c->op == DL_PLAN_IN || c->value_count == 1));
        }
    }
}

/* What was written by a pattern is read by it as a time that is written alike. */
static void pattern(dl_str text)
{
    dl_pattern p, *ptr = &p;
    dl_error err = {0};
    int64_t us = 0;
    DL_AUTO_BUF first = {0};
    DL_AUTO_BUF second = {0};
    dl_buf_init(&first, TEXT_LIMIT_BYTES);
    dl_buf_init(&second, TEXT_LIMIT_BYTES);
    ptrdiff_t cut = dl_str_find(text, '\n');
    dl_str letters = cut < 0 ? text : dl_str_slice(text, 0, (size_t)cut);
    if (dl_pattern_read(letters, ptr, &err) != DL_OK) {
        DL_ASSERT(err.message[0] != '\0');
        return;
    }
    DL_ASSERT(dl_pattern_format(ptr, 1767604501123456, &first, &err) == DL_OK);
    if (dl_pattern_parse(ptr, dl_buf_str(&first), &us)) {
        DL_ASSERT(dl_pattern_format(ptr, us, &second, &err) == DL_OK);
    }
    if (cut >= 0 && dl_pattern_parse(ptr, dl_str_slice(text, (size_t)cut + 1, SIZE_MAX), &us)) {
        DL_ASSERT(dl_pattern_format(ptr, us, &second, &err) == DL_OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    dl_str text = {size == 0 ? "" : (const char *)bytes, size};
    dialect(text);
    script(text);
    plan(text);
    pattern(text);
    return 0;
}
