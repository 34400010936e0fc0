#include "notebook/internal.h"

#include <string.h>

/*
 * A notebook as a script of SQL, in the cells of Jupytext's percent format:
 *
 *     -- %% [markdown]
 *     -- # A title
 *
 *     -- %%
 *     SELECT count(*) FROM instance;
 *
 *     -- %% [parameters]
 *     -- modality = 'CT'
 *
 * Everything but SQL is comments. "-- %%chart bar" is the first line of a chart. A line of a cell
 * that looks like the beginning of one gets a backslash: "-- \%%".
 */

static const dl_str marker = {"-- %%", 5};

/* Whether a line begins with "--", spaces, backslashes and "%%": then a backslash more or less
 * makes it another line, which never begins a cell. `out_at` is where the backslashes begin. */
static bool is_guarded(dl_str line, size_t *out_at)
{
    size_t i = 2;
    if (!dl_str_starts(line, DL_STR("--"))) {
        return false;
    }
    while (i < line.len && line.ptr[i] == ' ') {
        i++;
    }
    size_t slashes = i;
    while (i < line.len && line.ptr[i] == '\\') {
        i++;
    }
    if (!dl_str_starts(dl_str_slice(line, i, line.len), DL_STR("%%"))) {
        return false;
    }
    *out_at = slashes;
    return true;
}

/* ---- writing ---- */

static dl_status put_line(dl_buf *out, dl_str line, bool comment, dl_error *err)
{
    size_t at = 0;
    if (comment) {
        DL_TRY(dl_buf_append_str(out, line.len == 0 ? DL_STR("--") : DL_STR("-- "), err));
        bool guard = dl_str_starts(line, DL_STR("\\")) || dl_str_eq(line, DL_STR("%%")) ||
                     dl_str_starts(line, DL_STR("%% "));
        DL_TRY(dl_buf_append_str(out, guard ? DL_STR("\\") : DL_STR(""), err));
    } else if (is_guarded(line, &at)) {
        DL_TRY(dl_buf_append(out, line.ptr, at, err));
        DL_TRY(dl_buf_append_char(out, '\\', err));
    }
    DL_TRY(dl_buf_append_str(out, dl_str_slice(line, at, line.len), err));
    return dl_buf_append_char(out, '\n', err);
}

/* Lines by '\n' alone: the last one too when it is empty. */
static dl_status put_lines(dl_buf *out, dl_str text, bool comment, dl_error *err)
{
    for (;;) {
        ptrdiff_t end = dl_str_find(text, '\n');
        DL_TRY(
            put_line(out, dl_str_slice(text, 0, end < 0 ? text.len : (size_t)end), comment, err));
        if (end < 0) {
            return DL_OK;
        }
        text = dl_str_slice(text, (size_t)end + 1, text.len);
    }
}

/* Whether nothing is left open behind the last semicolon. */
static bool is_ended(dl_str sql)
{
    size_t at = 0;
    dl_notebook_token token = DL_NOTEBOOK_SEMICOLON;
    dl_str text;
    bool ended = true;
    while (dl_notebook_lex(sql, &at, &token, &text)) {
        for (size_t i = 0; token == DL_NOTEBOOK_PLAIN && i < text.len && ended; i++) {
            ended = text.ptr[i] == ' ' || (text.ptr[i] >= '\t' && text.ptr[i] <= '\r');
        }
        ended = token == DL_NOTEBOOK_SEMICOLON || (ended && token != DL_NOTEBOOK_QUOTED);
    }
    return ended;
}

/* Ended with a semicolon, on a line of its own behind a comment; not where a quote is open. */
static dl_status put_sql(dl_buf *out, dl_str sql, dl_error *err)
{
    static const dl_str ends[] = {{";", 1}, {"\n;", 2}};
    DL_AUTO_BUF whole = {0};
    dl_buf_init(&whole, sql.len + 2);
    DL_TRY(dl_buf_append_str(&whole, sql, err));
    for (size_t i = 0; i < DL_COUNT_OF(ends) && !is_ended(dl_buf_str(&whole)); i++) {
        whole.len = sql.len;
        DL_TRY(dl_buf_append_str(&whole, ends[i], err));
    }
    whole.len = is_ended(dl_buf_str(&whole)) ? whole.len : sql.len;
    return put_lines(out, dl_buf_str(&whole), false, err);
}

static dl_status put_code(const dl_notebook *notebook, const dl_notebook_cell *cell,
                          dl_arena *arena, dl_buf *out, dl_error *err)
{
    dl_str word, rest, body;
    switch (cell->language) {
    case DL_NOTEBOOK_SQL:
        DL_TRY(dl_buf_append_str(out, DL_STR("-- %%\n"), err));
        return put_sql(out, dl_notebook_sql_of(cell->source), err);
    case DL_NOTEBOOK_CHART:
        (void)dl_notebook_magic(cell->source, &word, &rest, &body);
        DL_TRY(dl_buf_printf(out, err, "-- %%%%\n-- %%%%chart %.*s\n", DL_STR_ARG(rest)));
        return put_sql(out, body, err);
    case DL_NOTEBOOK_PARAMETERS:
        DL_TRY(dl_buf_append_str(out, DL_STR("-- %% [parameters]\n"), err));
        return put_lines(out, cell->source, true, err);
    case DL_NOTEBOOK_OTHER:
        break;
    }
    DL_TRY(dl_notebook_language_word(notebook, cell, arena, &word, err));
    DL_TRY(dl_buf_append_str(out, DL_STR("-- %% [language "), err));
    DL_TRY(dl_json_quote(out, word, err));
    DL_TRY(dl_buf_append_str(out, DL_STR("]\n"), err));
    return put_lines(out, cell->source, true, err);
}

dl_status dl_notebook_put_script(const dl_notebook *notebook, dl_arena *arena, dl_buf *out,
                                 dl_error *err)
{
    size_t start = out->len;
    for (size_t i = 0; i < notebook->cell_count; i++) {
        const dl_notebook_cell *cell = &notebook->cells[i];
        if (cell->kind == DL_NOTEBOOK_UNKNOWN) {
            continue;
        }
        if (out->len > start) {
            DL_TRY(dl_buf_append_char(out, '\n', err));
        }
        if (cell->kind == DL_NOTEBOOK_CODE) {
            DL_TRY(put_code(notebook, cell, arena, out, err));
            continue;
        }
        bool raw = cell->kind == DL_NOTEBOOK_RAW;
        DL_TRY(dl_buf_append_str(out, raw ? DL_STR("-- %% [raw]\n") : DL_STR("-- %% [markdown]\n"),
                                 err));
        DL_TRY(put_lines(out, cell->source, true, err));
    }
    return DL_OK;
}

/* ---- reading ---- */

typedef struct script {
    dl_arena *arena;
    dl_notebook_cell *cells;
    size_t count, limit;
    dl_error *err;
} script;

/* "-- %%" alone or with a space: a cell begins. Not "-- %%chart". */
static bool begins_cell(dl_str line, dl_str *out_rest)
{
    if (!dl_str_starts(line, marker) || (line.len > marker.len && line.ptr[marker.len] != ' ')) {
        return false;
    }
    *out_rest = dl_str_trim(dl_str_slice(line, marker.len, line.len));
    return true;
}

static dl_str without_return(dl_str line)
{
    return dl_str_ends(line, DL_STR("\r")) ? dl_str_slice(line, 0, line.len - 1) : line;
}

/* A line of the script as a line of the cell. */
static dl_status take_line(dl_buf *text, dl_str line, bool comment, dl_error *err)
{
    size_t at = 0;
    if (comment && dl_str_starts(line, DL_STR("--"))) {
        line = dl_str_slice(line, dl_str_starts(line, DL_STR("-- ")) ? 3 : 2, line.len);
        line = dl_str_starts(line, DL_STR("\\")) ? dl_str_slice(line, 1, line.len) : line;
    } else if (!comment && is_guarded(line, &at) && at < line.len && line.ptr[at] == '\\') {
        DL_TRY(dl_buf_append(text, line.ptr, at, err));
        line = dl_str_slice(line, at + 1, line.len);
    }
    return dl_buf_append_str(text, line, err);
}

/* Kind, language and metadata from what stands in brackets. */
static dl_status read_marker(script *s, dl_str label, dl_notebook_cell *cell, bool *out_comment)
{
    static const dl_str language = {"[language ", 10};
    *out_comment = true;
    if (dl_str_eq(label, DL_STR("[markdown]")) || dl_str_eq(label, DL_STR("[md]"))) {
        cell->kind = DL_NOTEBOOK_MARKDOWN;
        return DL_OK;
    }
    if (dl_str_eq(label, DL_STR("[raw]"))) {
        cell->kind = DL_NOTEBOOK_RAW;
        return DL_OK;
    }
    cell->kind = DL_NOTEBOOK_CODE;
    cell->outputs_json = DL_STR("[]");
    if (dl_str_eq(label, DL_STR("[parameters]"))) {
        cell->metadata_json = DL_STR("{\"tags\":[\"parameters\"]}");
        return DL_OK;
    }
    dl_str word = dl_str_slice(label, language.len, label.len - language.len - 1);
    if (label.len > language.len && dl_str_starts(label, language) &&
        dl_str_ends(label, DL_STR("]")) && dl_json_check(word, NULL) == DL_OK &&
        dl_json_kind_of(word) == DL_JSON_STRING) {
        return dl_arena_printf(s->arena, &cell->metadata_json, s->err,
                               "{\"dicomlake\":{\"language\":%.*s}}", DL_STR_ARG(word));
    }
    *out_comment = false;
    return DL_OK;
}

/* The first line of a chart stands as a comment in the script. */
static bool is_chart_line(dl_str line)
{
    return dl_str_starts(line, DL_STR("-- %%chart"));
}

/* Lines from `rest` up to the next cell; an empty one before it belongs to the layout. */
static dl_status read_body(script *s, dl_str *rest, bool comment, dl_str *out_source)
{
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, DL_NOTEBOOK_LIMIT_BYTES);
    dl_str line, label, next = *rest;
    bool first = true;
    while (dl_notebook_cut_line(&next, &line)) {
        line = without_return(line);
        if (begins_cell(line, &label)) {
            break;
        }
        if (!first) {
            DL_TRY(dl_buf_append_char(&text, '\n', s->err));
        }
        if (first && !comment && is_chart_line(line)) {
            DL_TRY(dl_buf_append_str(&text, dl_str_slice(line, 3, line.len), s->err));
        } else {
            DL_TRY(take_line(&text, line, comment, s->err));
        }
        first = false;
        *rest = next;
    }
    dl_str source = dl_buf_str(&text);
    if (rest->len > 0 && dl_str_ends(source, DL_STR("\n"))) {
        source.len--;
    }
    return dl_arena_copy(s->arena, source, out_source, s->err);
}

static dl_status add_cell(script *s, const dl_notebook_cell *cell)
{
    if (s->count == DL_NOTEBOOK_CELL_LIMIT) {
        return dl_error_set(s->err, DL_E_LIMIT, "script: more than %d cells",
                            DL_NOTEBOOK_CELL_LIMIT);
    }
    DL_ASSERT(s->count < s->limit);
    s->cells[s->count++] = *cell;
    return DL_OK;
}

static bool is_blank(dl_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != ' ' && (text.ptr[i] < '\t' || text.ptr[i] > '\r')) {
            return false;
        }
    }
    return true;
}

/* Without space and empty lines at both ends. */
static dl_str trim_lines(dl_str text)
{
    while (text.len > 0 && is_blank(dl_str_slice(text, 0, 1))) {
        text = dl_str_slice(text, 1, text.len);
    }
    while (text.len > 0 && is_blank(dl_str_slice(text, text.len - 1, 1))) {
        text.len--;
    }
    return text;
}

static dl_status read_cells(script *s, dl_str sql)
{
    while (sql.len > 0) {
        dl_notebook_cell cell = {
            .metadata_json = DL_STR("{}"), .kind = DL_NOTEBOOK_CODE, .outputs_json = DL_STR("[]")};
        dl_str line, label, after = sql;
        bool comment = false, marked = false;
        (void)dl_notebook_cut_line(&after, &line);
        if (begins_cell(without_return(line), &label)) {
            DL_TRY(read_marker(s, label, &cell, &comment));
            marked = true;
            sql = after;
        }
        DL_TRY(read_body(s, &sql, comment, &cell.source));
        if (marked || !is_blank(cell.source)) { /* before the first mark there may be nothing */
            DL_TRY(add_cell(s, &cell));
        }
    }
    return DL_OK;
}

static dl_status add_statement(script *s, dl_str text)
{
    dl_notebook_cell cell = {
        .metadata_json = DL_STR("{}"), .kind = DL_NOTEBOOK_CODE, .outputs_json = DL_STR("[]")};
    DL_TRY(dl_arena_copy(s->arena, trim_lines(text), &cell.source, s->err));
    return add_cell(s, &cell);
}

/* A script without marks: a cell a statement, comments with what follows them. */
static dl_status read_statements(script *s, dl_str sql)
{
    dl_str rest = sql, before = sql, statement;
    while (dl_query_next_statement(&rest, &statement)) {
        DL_TRY(add_statement(s, dl_str_slice(before, 0, before.len - rest.len)));
        before = rest;
    }
    return is_blank(before) ? DL_OK : add_statement(s, before);
}

static size_t count_marks(dl_str sql)
{
    size_t count = 0;
    for (dl_str line; dl_notebook_cut_line(&sql, &line);) {
        count += dl_str_starts(line, marker) ? 1 : 0;
    }
    return count;
}

static size_t count_statements(dl_str sql)
{
    size_t count = 0;
    for (dl_str statement; dl_query_next_statement(&sql, &statement);) {
        count++;
    }
    return count;
}

dl_status dl_notebook_from_script(dl_str sql, dl_arena *arena, dl_notebook *out, dl_error *err)
{
    if (sql.len > DL_NOTEBOOK_LIMIT_BYTES) {
        return dl_error_set(err, DL_E_LIMIT, "script: %zu bytes are more than %d MiB", sql.len,
                            DL_NOTEBOOK_LIMIT_BYTES / (1024 * 1024));
    }
    if (!dl_str_is_utf8(sql)) {
        return dl_error_set(err, DL_E_INVALID, "script: not UTF-8");
    }
    size_t marks = count_marks(sql);
    script s = {.arena = arena, .err = err};
    s.limit = 1 + (marks > 0 ? marks : count_statements(sql));
    s.cells = dl_arena_alloc(arena, s.limit, sizeof *s.cells);
    if (s.cells == NULL) {
        return dl_arena_full(arena, err);
    }
    DL_TRY(marks > 0 ? read_cells(&s, sql) : read_statements(&s, sql));
    dl_notebook notebook = {.metadata_json = DL_STR(DL_NOTEBOOK_METADATA),
                            .minor = 5,
                            .cells = s.cells,
                            .cell_count = s.count};
    DL_TRY(dl_notebook_name_cells(s.cells, s.count, arena, err));
    DL_TRY(dl_notebook_tell_languages(&notebook, arena, err));
    *out = notebook;
    return DL_OK;
}
