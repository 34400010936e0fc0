/* Names of a statement to tables of the session, and those to views. */
#include "query/session.h"

#include <string.h>

enum { LIKE_LIMIT = 3, LIST_SHOWN = 8, SQL_LIMIT_BYTES = 8 << 20 };

const dl_query_table *dl_session_table(const dl_query *query, dl_str schema, dl_str name)
{
    for (size_t i = 0; i < query->options.table_count; i++) {
        const dl_query_table *table = &query->options.tables[i];
        if (dl_str_eq_nocase(table->name, name) &&
            (schema.len == 0 || dl_str_eq_nocase(table->schema, schema))) {
            return table;
        }
    }
    return NULL;
}

/* ---- names that nothing has ---- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Letters to change, leave out or put in (Levenshtein); long names are cut. */
static size_t distance(dl_str a, dl_str b)
{
    enum { LONG = 64 };
    size_t row[LONG + 1];
    a = dl_str_slice(a, 0, LONG);
    b = dl_str_slice(b, 0, LONG);
    for (size_t j = 0; j <= b.len; j++) {
        row[j] = j;
    }
    for (size_t i = 0; i < a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < b.len; j++) {
            size_t best = diagonal + (lower(a.ptr[i]) != lower(b.ptr[j]));
            diagonal = row[j + 1];
            best = best < diagonal + 1 ? best : diagonal + 1;
            best = best < row[j] + 1 ? best : row[j] + 1;
            row[j + 1] = best;
        }
    }
    return row[b.len];
}

static const dl_query_table *like_name(const dl_query *query, dl_str name)
{
    const dl_query_table *like = NULL;
    size_t best = LIKE_LIMIT;
    for (size_t i = 0; i < query->options.table_count; i++) {
        size_t far = distance(query->options.tables[i].name, name);
        if (far < best && far < name.len) {
            best = far;
            like = &query->options.tables[i];
        }
    }
    return like;
}

static void hint_tables(const dl_query *query, dl_error *err)
{
    if (query->options.table_count == 0) {
        dl_str more = query->options.no_tables;
        dl_error_hint(err, "there are no tables here%s%.*s", more.len == 0 ? "" : "; ",
                      DL_STR_ARG(more));
        return;
    }
    DL_AUTO_BUF names;
    dl_buf_init(&names, sizeof(err->hint) - sizeof("there is  and more: SHOW TABLES"));
    size_t shown = 0;
    for (; shown < query->options.table_count && shown < LIST_SHOWN; shown++) {
        if (dl_buf_printf(&names, NULL, "%s%.*s", shown == 0 ? "" : ", ",
                          DL_STR_ARG(query->options.tables[shown].name)) != DL_OK) {
            break;
        }
    }
    dl_error_hint(err, "there is %.*s%s", DL_STR_ARG(dl_buf_str(&names)),
                  shown < query->options.table_count ? " and more: SHOW TABLES" : "");
}

dl_status dl_session_no_table(const dl_query *query, dl_str schema, dl_str name, dl_error *err)
{
    dl_error_set(err, DL_E_INVALID, "sql: there is no table %.*s%s%.*s", DL_STR_ARG(schema),
                 schema.len == 0 ? "" : ".", DL_STR_ARG(name));
    if (err == NULL) {
        return DL_E_INVALID;
    }
    const dl_query_table *like = like_name(query, name);
    if (like != NULL) {
        dl_error_hint(err, "did you mean %.*s%s%.*s?",
                      DL_STR_ARG(schema.len == 0 ? DL_STR_NONE : like->schema),
                      schema.len == 0 || like->schema.len == 0 ? "" : ".", DL_STR_ARG(like->name));
    } else {
        hint_tables(query, err);
    }
    return DL_E_INVALID;
}

/* ---- views ---- */

static dl_status broken(const dl_query_table *table, dl_error *err)
{
    dl_error_set(err, DL_E_NOT_FOUND, "sql: the table %.*s cannot be read: %.*s",
                 DL_STR_ARG(table->name), DL_STR_ARG(table->broken));
    return DL_E_NOT_FOUND;
}

static const dl_dialect_travel *travel_of(const dl_dialect *dialect, dl_str name)
{
    for (size_t i = 0; i < dialect->travel_count; i++) {
        if (dl_str_eq_nocase(dialect->travels[i].internal, name)) {
            return &dialect->travels[i];
        }
    }
    return NULL;
}

/* Whether the table is among the wants already, under the same name: then its conditions hold for
 * one naming of it and not for the other. */
static bool is_wanted(dl_snapshot_want *wants, size_t count, dl_str view)
{
    for (size_t i = 0; i < count; i++) {
        if (dl_str_eq_nocase(wants[i].view, view)) {
            wants[i].condition_count = 0;
            return true;
        }
    }
    return false;
}

typedef struct binding {
    dl_query *query;
    const dl_dialect *dialect;
    const dl_plan *plan;
    dl_snapshot_want *wants;
    size_t *at; /* of each want, in the given statement */
    size_t count;
} binding;

static dl_status want(binding *b, const dl_plan_table *named, size_t *out_at, dl_error *err)
{
    const dl_dialect_travel *travel = travel_of(b->dialect, named->name);
    dl_str schema = travel == NULL ? named->schema : travel->schema;
    dl_str name = travel == NULL ? named->name : travel->table;
    size_t at = travel == NULL ? dl_dialect_source(b->dialect, named->at) : travel->at;
    *out_at = at;
    const dl_query_table *table = dl_session_table(b->query, schema, name);
    if (table == NULL) {
        return dl_session_no_table(b->query, schema, name, err);
    }
    if (table->broken.len > 0) {
        return broken(table, err);
    }
    dl_str view = travel == NULL ? table->name : travel->internal;
    if (is_wanted(b->wants, b->count, view)) {
        return DL_OK;
    }
    b->at[b->count] = at;
    b->wants[b->count++] = (dl_snapshot_want){
        .table = table,
        .view = view,
        .version = travel == NULL ? -1 : travel->version,
        .timestamp_us = travel == NULL ? INT64_MIN : travel->timestamp_us,
        .travels = travel != NULL,
        .conditions = named->conditions,
        .condition_count = named->condition_count,
    };
    return DL_OK;
}

/* schema.table is a view of its own, in a schema of the engine's database. */
static dl_status make_qualified(dl_query *query, dl_str schema, dl_str name, dl_error *err)
{
    DL_AUTO_BUF sql;
    dl_buf_init(&sql, SQL_LIMIT_BYTES);
    const dl_query_table *table = dl_session_table(query, schema, name);
    DL_TRY(dl_buf_append_str(&sql, DL_STR("CREATE SCHEMA IF NOT EXISTS "), err));
    DL_TRY(dl_engine_put_name(&sql, table->schema, err));
    DL_TRY(dl_buf_append_str(&sql, DL_STR("; CREATE OR REPLACE VIEW "), err));
    DL_TRY(dl_engine_put_name(&sql, table->schema, err));
    DL_TRY(dl_buf_append_char(&sql, '.', err));
    DL_TRY(dl_engine_put_name(&sql, table->name, err));
    DL_TRY(dl_buf_append_str(&sql, DL_STR(" AS SELECT * FROM temp.main."), err));
    DL_TRY(dl_engine_put_name(&sql, table->name, err));
    return dl_engine_exec(&query->engine, dl_buf_str(&sql), err);
}

static dl_status bind_wants(binding *b, dl_arena *arena, dl_query_read **out_reads, size_t *out_at,
                            dl_error *err)
{
    dl_query_read *reads = dl_arena_alloc(arena, b->count + 1, sizeof(*reads));
    if (reads == NULL) {
        return dl_arena_full(arena, err);
    }
    size_t failed = SIZE_MAX;
    dl_status status = dl_snapshots_bind(b->query->snapshots, &b->query->engine, b->wants, b->count,
                                         arena, reads, &failed, err);
    *out_at = status != DL_OK && failed < b->count ? b->at[failed] : SIZE_MAX;
    *out_reads = reads;
    return status;
}

/* NOLINTNEXTLINE(readability-function-size): the interface's parameters */
dl_status dl_session_bind(dl_query *query, const dl_dialect *dialect, const dl_plan *plan,
                          dl_arena *arena, dl_query_read **out_reads, size_t *out_count,
                          size_t *out_at, dl_error *err)
{
    binding b = {.query = query, .dialect = dialect, .plan = plan};
    b.wants = dl_arena_alloc(arena, plan->table_count + 1, sizeof(*b.wants));
    b.at = dl_arena_alloc(arena, plan->table_count + 1, sizeof(*b.at));
    if (b.wants == NULL || b.at == NULL) {
        return dl_arena_full(arena, err);
    }
    for (size_t i = 0; i < plan->table_count; i++) {
        if (dialect->kind != DL_DIALECT_SHOW) {
            DL_TRY(want(&b, &plan->tables[i], out_at, err));
        }
    }
    dl_query_read *reads = NULL;
    DL_TRY(bind_wants(&b, arena, &reads, out_at, err));
    for (size_t i = 0; i < plan->table_count && dialect->kind != DL_DIALECT_SHOW; i++) {
        const dl_plan_table *named = &plan->tables[i];
        if (named->schema.len > 0 && travel_of(dialect, named->name) == NULL) {
            DL_TRY(make_qualified(query, named->schema, named->name, err));
        }
    }
    *out_reads = reads;
    *out_count = b.count;
    return DL_OK;
}

/* ---- DESCRIBE t, SHOW TABLES ---- */

static dl_status put_row(dl_buf *sql, const dl_str *cells, size_t count, dl_error *err)
{
    for (size_t i = 0; i < count; i++) {
        DL_TRY(dl_buf_append_str(sql, i == 0 ? DL_STR("(") : DL_STR(", "), err));
        if (cells[i].len == 0) {
            DL_TRY(dl_buf_append_str(sql, DL_STR("NULL::VARCHAR"), err));
        } else {
            DL_TRY(dl_engine_put_text(sql, cells[i], err));
        }
    }
    return dl_buf_append_char(sql, ')', err);
}

dl_status dl_session_describe(dl_query *query, dl_str subject, dl_buf *sql, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(SQL_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "sql: out of memory");
    }
    dl_query_field *fields = NULL;
    size_t count = 0;
    DL_TRY(dl_query_fields(query, subject, arena, &fields, &count, err));
    DL_TRY(dl_buf_append_str(sql,
                             DL_STR("SELECT * FROM (VALUES (NULL::VARCHAR, NULL, NULL, NULL, "
                                    "NULL, NULL)"),
                             err));
    for (size_t i = 0; i < count; i++) {
        const dl_query_field *field = &fields[i];
        const dl_str cells[] = {
            field->name,
            field->type,
            field->nullable ? DL_STR("YES") : DL_STR("NO"),
            field->partition ? DL_STR("YES") : DL_STR("NO"),
            field->attribute,
            field->tag,
        };
        DL_TRY(dl_buf_append_str(sql, DL_STR(", "), err));
        DL_TRY(put_row(sql, cells, DL_COUNT_OF(cells), err));
    }
    return dl_buf_append_str(sql,
                             DL_STR(") t(column_name, column_type, \"null\", \"partition\", "
                                    "attribute, tag) OFFSET 1"),
                             err);
}

dl_status dl_session_list_tables(dl_query *query, dl_error *err)
{
    DL_AUTO_BUF sql;
    dl_buf_init(&sql, SQL_LIMIT_BYTES);
    DL_TRY(
        dl_buf_append_str(&sql,
                          DL_STR("CREATE OR REPLACE TEMP VIEW dl_tables AS SELECT * FROM (VALUES "
                                 "(NULL::VARCHAR, NULL, NULL)"),
                          err));
    for (size_t i = 0; i < query->options.table_count; i++) {
        const dl_query_table *table = &query->options.tables[i];
        const dl_str cells[] = {table->name, table->schema, table->broken};
        DL_TRY(dl_buf_append_str(&sql, DL_STR(", "), err));
        DL_TRY(put_row(&sql, cells, DL_COUNT_OF(cells), err));
    }
    DL_TRY(dl_buf_append_str(&sql, DL_STR(") t(\"name\", \"schema\", problem) OFFSET 1"), err));
    return dl_engine_exec(&query->engine, dl_buf_str(&sql), err);
}
