#include "notebook/internal.h"

#include "query/chart.h"

#include <string.h>

enum { OUTPUT_LIMIT_BYTES = 32 * 1024 * 1024, PLACE_LIMIT_BYTES = 64 * 1024 };

/* A run under way. */
typedef struct runner {
    const dl_notebook_run_options *options;
    dl_arena *arena;
    dl_notebook_constants *constants;
    int64_t count; /* execution_count of the last cell */
} runner;

/* A cell under way: its outputs, and the trouble of a statement. */
typedef struct step {
    runner *r;
    const dl_notebook_cell *cell;
    int64_t count;
    dl_buf outputs;
    dl_json_writer w;
    size_t at; /* byte of the cell's source where it is wrong; SIZE_MAX */
} step;

/* ---- outputs ---- */

/* Lines as Jupyter stores them; without an end of the last one. */
static void put_text(dl_json_writer *w, const char *type, dl_str text)
{
    dl_json_key(w, dl_str_of(type));
    dl_notebook_put_lines(w, text);
}

static dl_status put_rows(step *s, dl_query_result *result, bool last, dl_error *err)
{
    dl_notebook_grid grid;
    DL_AUTO(dl_arena) arena = dl_arena_create((size_t)4 * OUTPUT_LIMIT_BYTES);
    DL_AUTO_BUF plain = {0}, html = {0};
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "notebook: out of memory");
    }
    dl_buf_init(&plain, OUTPUT_LIMIT_BYTES);
    dl_buf_init(&html, OUTPUT_LIMIT_BYTES);
    DL_TRY(dl_notebook_grid_read(result, arena, &grid, err));
    DL_TRY(dl_notebook_grid_put_plain(&grid, &plain, err));
    DL_TRY(dl_notebook_grid_put_html(&grid, &html, err));
    dl_json_object_begin(&s->w);
    dl_json_key(&s->w, DL_STR("data"));
    dl_json_object_begin(&s->w);
    put_text(&s->w, "text/html", dl_buf_str(&html));
    put_text(&s->w, "text/plain", dl_buf_str(&plain));
    dl_json_object_end(&s->w);
    if (last) {
        dl_json_key(&s->w, DL_STR("execution_count"));
        dl_json_int(&s->w, s->count);
    }
    dl_json_key(&s->w, DL_STR("metadata"));
    dl_json_raw(&s->w, DL_STR("{}"));
    dl_json_key(&s->w, DL_STR("output_type"));
    dl_json_string(&s->w, last ? DL_STR("execute_result") : DL_STR("display_data"));
    dl_json_object_end(&s->w);
    return dl_json_writer_status(&s->w);
}

static dl_status put_chart(step *s, dl_query_result *result, const dl_query_chart *chart,
                           dl_error *err)
{
    static const char *const kinds[] = {"bar chart", "line chart", "scatter plot", "histogram",
                                        "pie chart"};
    DL_AUTO_BUF svg = {0}, plain = {0};
    dl_buf_init(&svg, OUTPUT_LIMIT_BYTES);
    dl_buf_init(&plain, OUTPUT_LIMIT_BYTES);
    DL_TRY(dl_query_chart_draw(result, chart, &svg, err));
    DL_TRY(dl_buf_append_str(&plain, dl_str_of(kinds[chart->kind]), err));
    if (chart->title.len > 0) {
        DL_TRY(dl_buf_printf(&plain, err, ": %.*s", DL_STR_ARG(chart->title)));
    }
    dl_json_object_begin(&s->w);
    dl_json_key(&s->w, DL_STR("data"));
    dl_json_object_begin(&s->w);
    put_text(&s->w, "image/svg+xml", dl_buf_str(&svg));
    put_text(&s->w, "text/plain", dl_buf_str(&plain));
    dl_json_object_end(&s->w);
    dl_json_key(&s->w, DL_STR("metadata"));
    dl_json_raw(&s->w, DL_STR("{}"));
    dl_json_key(&s->w, DL_STR("output_type"));
    dl_json_string(&s->w, DL_STR("display_data"));
    dl_json_object_end(&s->w);
    return dl_json_writer_status(&s->w);
}

/* The values that were used. */
static dl_status put_constants(step *s, dl_error *err)
{
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, OUTPUT_LIMIT_BYTES);
    for (size_t i = 0; i < s->r->constants->count; i++) {
        const dl_notebook_constant *c = &s->r->constants->items[i];
        DL_TRY(dl_buf_printf(&text, err, "%.*s = %.*s\n", DL_STR_ARG(c->name), DL_STR_ARG(c->sql)));
    }
    if (text.len == 0) {
        return DL_OK;
    }
    dl_json_object_begin(&s->w);
    dl_json_key(&s->w, DL_STR("name"));
    dl_json_string(&s->w, DL_STR("stdout"));
    dl_json_key(&s->w, DL_STR("output_type"));
    dl_json_string(&s->w, DL_STR("stream"));
    put_text(&s->w, "text", dl_buf_str(&text));
    dl_json_object_end(&s->w);
    return dl_json_writer_status(&s->w);
}

/* Line and column of a byte, from 1, in code points. */
static void locate(dl_str source, size_t at, dl_query_place *out)
{
    *out = (dl_query_place){.at = at, .line = 1, .column = 1};
    for (size_t i = 0; i < at && i < source.len; i++) {
        if (source.ptr[i] == '\n') {
            out->line++;
            out->column = 1;
        } else if (((unsigned char)source.ptr[i] & 0xc0) != 0x80) {
            out->column++;
        }
    }
}

/* What a person reads: where, what, the line with a caret, the hint. */
static dl_status put_traceback(step *s, const dl_error *why, dl_error *err)
{
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, PLACE_LIMIT_BYTES);
    dl_query_place place;
    dl_json_array_begin(&s->w);
    if (s->at <= s->cell->source.len) {
        locate(s->cell->source, s->at, &place);
        DL_TRY(dl_buf_printf(&text, err, "line %u, column %u: %s", place.line, place.column,
                             why->message));
        dl_json_string(&s->w, dl_buf_str(&text));
        dl_buf_reset(&text);
        DL_TRY(dl_query_show_place(s->cell->source, &place, &text, err));
        dl_str rest = dl_buf_str(&text), line;
        while (dl_notebook_cut_line(&rest, &line)) {
            dl_json_string(&s->w, line);
        }
    } else {
        dl_json_string(&s->w, dl_str_of(why->message));
    }
    if (why->hint[0] != '\0') {
        dl_json_string(&s->w, dl_str_of(why->hint));
    }
    dl_json_array_end(&s->w);
    return dl_json_writer_status(&s->w);
}

static dl_status put_error(step *s, const dl_error *why, dl_error *err)
{
    dl_json_object_begin(&s->w);
    dl_json_key(&s->w, DL_STR("ename"));
    dl_json_string(&s->w, dl_str_of(dl_status_name(why->status)));
    dl_json_key(&s->w, DL_STR("evalue"));
    dl_json_string(&s->w, dl_str_of(why->message));
    dl_json_key(&s->w, DL_STR("output_type"));
    dl_json_string(&s->w, DL_STR("error"));
    dl_json_key(&s->w, DL_STR("traceback"));
    DL_TRY(put_traceback(s, why, err));
    dl_json_object_end(&s->w);
    return dl_json_writer_status(&s->w);
}

/* ---- statements ---- */

/* One statement, which stands in the cell's source. */
static dl_status run_statement(step *s, dl_str statement, const dl_query_chart *chart, bool last,
                               dl_error *err)
{
    size_t from = (size_t)(statement.ptr - s->cell->source.ptr);
    dl_notebook_filled filled;
    dl_query_place place = {.at = SIZE_MAX};
    DL_AUTO(dl_query_result) result = NULL;
    size_t at = SIZE_MAX;
    dl_status status = dl_notebook_fill(statement, s->r->constants, s->r->arena, &filled, &at, err);
    if (status != DL_OK) {
        s->at = at == SIZE_MAX ? SIZE_MAX : from + at;
        return status;
    }
    status = dl_query_run(s->r->options->query, filled.sql, &result, &place, err);
    if (status != DL_OK) {
        s->at =
            place.at == SIZE_MAX ? SIZE_MAX : from + dl_notebook_filled_source(&filled, place.at);
        return status;
    }
    return chart != NULL ? put_chart(s, result, chart, err) : put_rows(s, result, last, err);
}

static dl_status run_sql(step *s, dl_str sql, const dl_query_chart *chart, dl_error *err)
{
    dl_str rest = sql, statement, next;
    bool more = dl_query_next_statement(&rest, &statement);
    if (!more && chart != NULL) {
        return dl_error_set(err, DL_E_INVALID, "a chart needs a statement below its line");
    }
    while (more) {
        more = dl_query_next_statement(&rest, &next);
        if (more && chart != NULL) {
            s->at = (size_t)(next.ptr - s->cell->source.ptr);
            return dl_error_set(err, DL_E_INVALID, "a chart takes one statement");
        }
        DL_TRY(run_statement(s, statement, chart, !more, err));
        statement = next;
    }
    return DL_OK;
}

static dl_status run_chart(step *s, dl_error *err)
{
    dl_str word, words, body;
    dl_query_chart chart = {0};
    (void)dl_notebook_magic(s->cell->source, &word, &words, &body);
    if (dl_query_chart_parse(words, s->r->arena, &chart, err) != DL_OK) {
        s->at = (size_t)(word.ptr - s->cell->source.ptr) - 2;
        return err->status;
    }
    return run_sql(s, body, &chart, err);
}

static dl_status run_language(step *s, dl_error *err)
{
    if (s->cell->language == DL_NOTEBOOK_PARAMETERS) {
        return put_constants(s, err);
    }
    return s->cell->language == DL_NOTEBOOK_CHART
               ? run_chart(s, err)
               : run_sql(s, dl_notebook_sql_of(s->cell->source), NULL, err);
}

/* ---- cells ---- */

/* Not the cell's fault: the run ends. */
static bool ends_run(dl_status status)
{
    return status == DL_E_CANCELED || status == DL_E_NOMEM;
}

/* The failure as an output, and with its place for whoever ran it. */
static dl_status put_failure(step *s, dl_error *why, dl_error *err)
{
    if (dl_json_writer_status(&s->w) != DL_OK) { /* in the middle of an output */
        s->outputs.len = 0;
        dl_json_writer_init(&s->w, &s->outputs, err);
        dl_json_array_begin(&s->w);
    }
    s->w.err = err;
    DL_TRY(put_error(s, why, err));
    if (s->at <= s->cell->source.len) {
        dl_error plain = *why;
        dl_query_place place;
        locate(s->cell->source, s->at, &place);
        (void)dl_error_set(why, plain.status, "line %u, column %u: %s", place.line, place.column,
                           plain.message);
        dl_error_hint(why, "%s", plain.hint);
    }
    return DL_OK;
}

static dl_status fill_outputs(step *s, dl_error *why, dl_error *err)
{
    dl_json_writer_init(&s->w, &s->outputs, why);
    dl_json_array_begin(&s->w);
    dl_status status = run_language(s, why);
    if (ends_run(status)) {
        return dl_error_set(err, status, "%s", why->message);
    }
    if (status != DL_OK) {
        DL_TRY(put_failure(s, why, err));
    }
    s->w.err = err;
    dl_json_array_end(&s->w);
    return dl_json_writer_status(&s->w);
}

/* The outputs of one cell; `why` says how it failed. DL_OK also then. */
static dl_status run_cell(runner *r, dl_notebook_cell *cell, dl_error *why, dl_error *err)
{
    step s = {.r = r, .cell = cell, .count = r->count + 1, .at = SIZE_MAX};
    dl_str outputs = DL_STR_NONE;
    dl_buf_init(&s.outputs, OUTPUT_LIMIT_BYTES);
    dl_status status = fill_outputs(&s, why, err);
    if (status == DL_OK) {
        status = dl_notebook_keep(&s.outputs, r->arena, &outputs, err);
    }
    dl_buf_clear(&s.outputs);
    DL_TRY(status);
    r->count++;
    cell->outputs_json = outputs;
    cell->execution_count = r->count;
    return DL_OK;
}

static void tell(const runner *r, size_t index, bool done)
{
    if (r->options->on_cell != NULL) {
        r->options->on_cell(r->options->context, index, done);
    }
}

/* A cell of code, when it is to be run. */
static dl_status visit(runner *r, dl_notebook *notebook, size_t i, dl_notebook_ran *ran,
                       dl_error *err)
{
    dl_notebook_cell *cell = &notebook->cells[i];
    dl_error why = {0};
    if (cell->kind != DL_NOTEBOOK_CODE) {
        return DL_OK;
    }
    if (cell->language == DL_NOTEBOOK_OTHER) {
        ran->skipped++;
        return DL_OK;
    }
    if (ran->failed > 0 && !r->options->go_on) { /* what it showed was another run's */
        ran->skipped++;
        cell->outputs_json = DL_STR("[]");
        cell->execution_count = 0;
        return DL_OK;
    }
    if (dl_cancel_asked(r->options->cancel)) {
        return dl_error_set(err, DL_E_CANCELED, "stopped before cell %zu", i + 1);
    }
    tell(r, i, false);
    DL_TRY(run_cell(r, cell, &why, err));
    ran->cells++;
    if (why.status != DL_OK) {
        if (ran->failed++ == 0) {
            ran->first_failed = i;
            ran->why = why;
        }
    }
    tell(r, i, true);
    return DL_OK;
}

/* All parameters before anything runs: a wrong one costs nothing then. */
static dl_status read_parameters(runner *r, const dl_notebook *notebook, dl_error *err)
{
    const dl_notebook_run_options *o = r->options;
    for (size_t i = 0; i < notebook->cell_count; i++) {
        const dl_notebook_cell *cell = &notebook->cells[i];
        if (cell->kind != DL_NOTEBOOK_CODE || cell->language != DL_NOTEBOOK_PARAMETERS) {
            continue;
        }
        dl_status status = dl_notebook_constants_read(cell->source, r->arena, r->constants, err);
        if (status != DL_OK) {
            return dl_error_within(err, status, "reading cell %zu", i + 1);
        }
    }
    for (size_t i = 0; i < o->parameter_count; i++) {
        DL_TRY(dl_notebook_constants_set(r->constants, &o->parameters[i], r->arena, err));
    }
    return DL_OK;
}

dl_status dl_notebook_run(dl_notebook *notebook, const dl_notebook_run_options *options,
                          dl_arena *arena, dl_notebook_ran *out, dl_error *err)
{
    runner r = {.options = options, .arena = arena};
    dl_notebook_ran ran = {.first_failed = SIZE_MAX};
    r.constants = dl_arena_alloc(arena, 1, sizeof *r.constants);
    if (r.constants == NULL) {
        return dl_arena_full(arena, err);
    }
    DL_TRY(read_parameters(&r, notebook, err));
    for (size_t i = 0; i < notebook->cell_count; i++) {
        DL_TRY(visit(&r, notebook, i, &ran, err));
    }
    *out = ran;
    return DL_OK;
}
