#include "notebook/internal.h"

/* Names that need no quotes in SQL. */
static bool is_plain_name(dl_str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9')) {
            return false;
        }
    }
    return name.len > 0;
}

static dl_status put_name(dl_buf *sql, dl_str name, dl_error *err)
{
    if (is_plain_name(name)) {
        return dl_buf_append_str(sql, name, err);
    }
    DL_TRY(dl_buf_append_char(sql, '"', err));
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '"') {
            DL_TRY(dl_buf_append_char(sql, '"', err));
        }
        DL_TRY(dl_buf_append_char(sql, name.ptr[i], err));
    }
    return dl_buf_append_char(sql, '"', err);
}

/* Text of a person as Markdown's text: what could mean something is behind a backslash. */
static dl_status put_markdown(dl_buf *text, dl_str words, dl_error *err)
{
    for (size_t i = 0; i < words.len; i++) {
        char c = words.ptr[i];
        bool special = (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
                       (c >= '{' && c <= '~');
        if (special && c != '-' && c != '.' && c != ',' && c != ':' && c != '/') {
            DL_TRY(dl_buf_append_char(text, '\\', err));
        }
        DL_TRY(dl_buf_append_char(text, c == '\n' || c == '\r' ? ' ' : c, err));
    }
    return DL_OK;
}

static dl_status put_title(dl_str title, const dl_query_table *tables, size_t count, dl_buf *text,
                           dl_error *err)
{
    DL_TRY(dl_buf_append_str(text, DL_STR("# "), err));
    DL_TRY(put_markdown(text, title, err));
    if (count == 0) {
        return dl_buf_append_str(text, DL_STR("\n\nThere are no tables yet: `dicomlake sync`."),
                                 err);
    }
    DL_TRY(dl_buf_append_str(text, DL_STR("\n\nTables:\n"), err));
    for (size_t i = 0; i < count; i++) {
        DL_TRY(dl_buf_append_str(text, DL_STR("\n- "), err));
        DL_TRY(put_markdown(text, tables[i].name, err));
        if (tables[i].broken.len > 0) {
            DL_TRY(dl_buf_append_str(text, DL_STR(" (cannot be read now)"), err));
        }
    }
    return DL_OK;
}

/* The first table that can be read, "instance" before others. */
static const dl_query_table *first_table(const dl_query_table *tables, size_t count)
{
    const dl_query_table *first = NULL;
    for (size_t i = 0; i < count; i++) {
        if (tables[i].broken.len > 0) {
            continue;
        }
        if (dl_str_eq_nocase(tables[i].name, DL_STR("instance"))) {
            return &tables[i];
        }
        first = first == NULL ? &tables[i] : first;
    }
    return first;
}

static dl_status put_query(const dl_query_table *tables, size_t count, dl_buf *sql, dl_error *err)
{
    const dl_query_table *table = first_table(tables, count);
    if (table == NULL) {
        return dl_buf_append_str(sql, DL_STR("SHOW TABLES"), err);
    }
    DL_TRY(dl_buf_append_str(sql, DL_STR("SELECT * FROM "), err));
    DL_TRY(put_name(sql, table->name, err));
    return dl_buf_append_str(sql, DL_STR(" LIMIT 10"), err);
}

dl_status dl_notebook_make(dl_str title, const dl_query_table *tables, size_t table_count,
                           dl_arena *arena, dl_notebook *out, dl_error *err)
{
    enum { TEXT_LIMIT_BYTES = 4 * 1024 * 1024 };
    dl_notebook_cell *cells = dl_arena_alloc(arena, 2, sizeof *cells);
    if (cells == NULL) {
        return dl_arena_full(arena, err);
    }
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, TEXT_LIMIT_BYTES);
    DL_TRY(put_title(title, tables, table_count, &text, err));
    cells[0] = (dl_notebook_cell){
        .kind = DL_NOTEBOOK_MARKDOWN, .id = DL_STR("title"), .metadata_json = DL_STR("{}")};
    DL_TRY(dl_notebook_keep(&text, arena, &cells[0].source, err));
    dl_buf_reset(&text);
    DL_TRY(put_query(tables, table_count, &text, err));
    cells[1] = (dl_notebook_cell){.kind = DL_NOTEBOOK_CODE,
                                  .language = DL_NOTEBOOK_SQL,
                                  .id = DL_STR("rows"),
                                  .metadata_json = DL_STR("{}"),
                                  .outputs_json = DL_STR("[]")};
    DL_TRY(dl_notebook_keep(&text, arena, &cells[1].source, err));
    *out = (dl_notebook){
        .metadata_json = DL_STR(DL_NOTEBOOK_METADATA), .minor = 5, .cells = cells, .cell_count = 2};
    return DL_OK;
}
