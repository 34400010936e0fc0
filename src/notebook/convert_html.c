#include "notebook/internal.h"

#include <cmark.h>

#include <string.h>

/*
 * One page that needs nothing else. What a notebook holds was written by others: Markdown goes
 * through cmark without raw HTML, HTML of outputs is taken over only when it is nothing but a
 * table's tags, pictures stand in <img>, where no script of theirs runs, and the page forbids
 * scripts and everything from elsewhere besides.
 */

static const char page_head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
    "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>";

static const char page_style[] =
    "</title>\n<style>\n"
    "body{margin:0 auto;max-width:60rem;padding:1.5rem 1rem 4rem;"
    "font:16px/1.55 system-ui,sans-serif;color:#1c2024;background:#fff}\n"
    "h1,h2,h3,h4{line-height:1.2;margin:1.6em 0 .5em}h1{font-size:1.9rem}\n"
    "a{color:#0b5cad}img{max-width:100%;height:auto}\n"
    "pre,code{font:13px/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}\n"
    "code{background:#f2f4f7;padding:.1em .3em;border-radius:3px}\n"
    "pre{margin:.6rem 0;padding:.6rem .8rem;overflow-x:auto;border-radius:4px}\n"
    "pre code{background:none;padding:0}\n"
    ".code{margin:1.1rem 0 .4rem;position:relative}\n"
    ".code>pre{background:#f2f4f7;border-left:3px solid #0b5cad}\n"
    ".other>pre{border-left-color:#8a9099}\n"
    ".count{color:#6b7280;font-size:.75rem}\n"
    ".output{overflow-x:auto;margin:.4rem 0 1.2rem}\n"
    ".output pre{background:#fafbfc;border:1px solid #e3e6ea}\n"
    ".error pre{background:#fdf1f0;border-color:#e6b3ae;color:#8c1d13}\n"
    "table{border-collapse:collapse;font-size:.85rem}\n"
    "th,td{padding:.25rem .6rem;border-bottom:1px solid #e3e6ea;text-align:left;"
    "vertical-align:top}\n"
    "th{border-bottom:2px solid #b8bec6}td.number,th.number{text-align:right}\n"
    "blockquote{margin:1em 0;padding-left:1em;border-left:3px solid #d5d9de;color:#4b5560}\n"
    "@media(prefers-color-scheme:dark){body{background:#14171a;color:#e4e7ea}"
    "code,.code>pre{background:#20252a}.output pre{background:#1a1e22;border-color:#333a41}"
    ".error pre{background:#331a18;color:#f2b8b1}th,td{border-color:#333a41}a{color:#6cb2f7}"
    ".output img{background:#fff}}\n"
    "@media print{body{max-width:none}pre{white-space:pre-wrap}}\n"
    "</style>\n</head>\n<body>\n";

/* ---- Markdown ---- */

static void drop_node(cmark_node **node)
{
    if (*node != NULL) {
        cmark_node_free(*node);
    }
}

typedef struct rendered {
    char *text;
} rendered;

static void drop_rendered(rendered *r)
{
    if (r->text != NULL) {
        cmark_get_default_mem_allocator()->free(r->text);
    }
}

/* Without CMARK_OPT_UNSAFE raw HTML and links of scripts are left out. */
static dl_status put_markdown(dl_buf *out, dl_str text, dl_error *err)
{
    DL_CLEANUP(drop_node)
    cmark_node *node =
        cmark_parse_document(text.ptr == NULL ? "" : text.ptr, text.len, CMARK_OPT_VALIDATE_UTF8);
    if (node == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "notebook: out of memory");
    }
    DL_CLEANUP(drop_rendered) rendered html = {cmark_render_html(node, CMARK_OPT_DEFAULT)};
    if (html.text == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "notebook: out of memory");
    }
    return dl_buf_append_str(out, dl_str_of(html.text), err);
}

/* ---- HTML of outputs ---- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_allowed(dl_str word, const char *const *allowed)
{
    for (size_t i = 0; allowed[i] != NULL; i++) {
        if (dl_str_eq_nocase(word, dl_str_of(allowed[i]))) {
            return true;
        }
    }
    return false;
}

static dl_str take_word(dl_str text, size_t *at)
{
    size_t start = *at;
    while (*at < text.len && (is_letter(text.ptr[*at]) ||
                              (*at > start && text.ptr[*at] >= '0' && text.ptr[*at] <= '9'))) {
        (*at)++;
    }
    return dl_str_slice(text, start, *at - start);
}

static void skip_space(dl_str text, size_t *at)
{
    while (*at < text.len && (text.ptr[*at] == ' ' || text.ptr[*at] == '\n')) {
        (*at)++;
    }
}

/* A style that only aligns, as our own tables have it. */
static bool take_alignment(dl_str html, size_t *at)
{
    static const dl_str styles[] = {{"style=\"text-align:right\"", 24},
                                    {"style=\"text-align:left\"", 23},
                                    {"style=\"text-align: right;\"", 26}};
    for (size_t i = 0; i < DL_COUNT_OF(styles); i++) {
        if (dl_str_starts(dl_str_slice(html, *at, html.len), styles[i])) {
            *at += styles[i].len;
            return true;
        }
    }
    return false;
}

/* ' name="value"'; false for anything else. */
static bool take_attribute(dl_str html, size_t *at)
{
    static const char *const allowed[] = {"class",  "colspan", "rowspan", "scope",
                                          "border", "title",   NULL};
    dl_str name = take_word(html, at);
    if (!is_allowed(name, allowed) || html.len - *at < 2 || html.ptr[*at] != '=' ||
        html.ptr[*at + 1] != '"') {
        return false;
    }
    for (*at += 2; *at < html.len && html.ptr[*at] != '"'; (*at)++) {
        if (html.ptr[*at] == '<' || html.ptr[*at] == '>') {
            return false;
        }
    }
    (*at)++;
    return *at <= html.len;
}

/* One tag at '<'. */
static bool take_tag(dl_str html, size_t *at)
{
    static const char *const allowed[] = {"table",  "thead", "tbody", "tfoot",   "tr", "th", "td",
                                          "p",      "div",   "span",  "caption", "b",  "i",  "em",
                                          "strong", "small", "br",    "code",    NULL};
    (*at)++;
    *at += *at < html.len && html.ptr[*at] == '/' ? 1 : 0;
    if (!is_allowed(take_word(html, at), allowed)) {
        return false;
    }
    skip_space(html, at);
    while (*at < html.len && is_letter(html.ptr[*at])) {
        if (!take_alignment(html, at) && !take_attribute(html, at)) {
            return false;
        }
        skip_space(html, at);
    }
    *at += *at < html.len && html.ptr[*at] == '/' ? 1 : 0;
    bool closed = *at < html.len && html.ptr[*at] == '>';
    (*at)++;
    return closed;
}

/* Whether it is nothing but text and the tags of a table, without style, script, link or event. */
static bool is_plain_table(dl_str html)
{
    size_t i = 0;
    while (i < html.len) {
        if (html.ptr[i] != '<') {
            i++;
        } else if (!take_tag(html, &i)) {
            return false;
        }
    }
    return html.len > 0;
}

/* ---- cells ---- */

static dl_status put_pre(dl_buf *out, dl_str text, dl_error *err)
{
    DL_TRY(dl_buf_append_str(out, DL_STR("<pre>"), err));
    DL_TRY(dl_notebook_put_escaped(out, text, err));
    return dl_buf_append_str(out, DL_STR("</pre>\n"), err);
}

static dl_status put_image(dl_buf *out, const char *type, dl_str base64, dl_str alt, dl_error *err)
{
    DL_TRY(dl_buf_append_str(out, DL_STR("<img alt=\""), err));
    DL_TRY(dl_notebook_put_escaped(out, alt, err));
    DL_TRY(dl_buf_printf(out, err, "\" src=\"data:%s;base64,", type));
    for (size_t i = 0; i < base64.len; i++) {
        if (base64.ptr[i] != '\n') {
            DL_TRY(dl_buf_append_char(out, base64.ptr[i], err));
        }
    }
    return dl_buf_append_str(out, DL_STR("\">\n"), err);
}

static dl_status put_svg(dl_buf *out, const dl_notebook_output *o, dl_error *err)
{
    DL_AUTO_BUF base64 = {0};
    dl_buf_init(&base64, (size_t)2 * DL_NOTEBOOK_LIMIT_BYTES);
    DL_TRY(dl_notebook_put_base64(o->svg, &base64, err));
    return put_image(out, "image/svg+xml", dl_buf_str(&base64), o->plain, err);
}

static dl_status put_data(dl_buf *out, const dl_notebook_output *o, dl_error *err)
{
    if (o->svg.len > 0) {
        return put_svg(out, o, err);
    }
    if (dl_notebook_is_base64(o->png)) {
        return put_image(out, "image/png", o->png, o->plain, err);
    }
    if (dl_notebook_is_base64(o->jpeg)) {
        return put_image(out, "image/jpeg", o->jpeg, o->plain, err);
    }
    if (is_plain_table(o->html)) {
        return dl_buf_append_str(out, o->html, err);
    }
    if (o->markdown.len > 0) {
        return put_markdown(out, o->markdown, err);
    }
    return put_pre(out, o->plain, err);
}

static dl_status put_output(dl_buf *out, const dl_notebook_output *o, dl_error *err)
{
    bool error = o->kind == DL_NOTEBOOK_OUTPUT_ERROR || o->is_stderr;
    if (o->kind == DL_NOTEBOOK_OUTPUT_OTHER) {
        return DL_OK;
    }
    DL_TRY(dl_buf_append_str(
        out, error ? DL_STR("<div class=\"output error\">\n") : DL_STR("<div class=\"output\">\n"),
        err));
    DL_TRY(o->kind == DL_NOTEBOOK_OUTPUT_DATA ? put_data(out, o, err)
                                              : put_pre(out, o->plain, err));
    return dl_buf_append_str(out, DL_STR("</div>\n"), err);
}

static dl_status put_code(dl_buf *out, const dl_notebook_cell *cell, dl_arena *arena, dl_error *err)
{
    dl_str json;
    bool other = cell->language == DL_NOTEBOOK_OTHER;
    DL_TRY(dl_buf_printf(out, err, "<div class=\"code%s\">", other ? " other" : ""));
    if (cell->execution_count > 0) {
        DL_TRY(dl_buf_printf(out, err, "<span class=\"count\">[%lld]</span>",
                             (long long)cell->execution_count));
    }
    DL_TRY(put_pre(out, cell->source, err));
    DL_TRY(dl_buf_append_str(out, DL_STR("</div>\n"), err));
    dl_json_iter iter = dl_json_iter_of(cell->outputs_json);
    while (dl_json_next_element(&iter, &json)) {
        dl_notebook_output output;
        DL_TRY(dl_notebook_output_read(json, arena, &output, err));
        DL_TRY(put_output(out, &output, err));
    }
    return DL_OK;
}

/* ---- the page ---- */

/* The first heading of the text cells, or "Notebook". */
static dl_str title_of(const dl_notebook *notebook)
{
    for (size_t i = 0; i < notebook->cell_count; i++) {
        dl_str text = notebook->cells[i].source, line;
        while (notebook->cells[i].kind == DL_NOTEBOOK_MARKDOWN &&
               dl_notebook_cut_line(&text, &line)) {
            if (dl_str_starts(line, DL_STR("# "))) {
                return dl_str_trim(dl_str_slice(line, 2, line.len));
            }
        }
    }
    return DL_STR("Notebook");
}

dl_status dl_notebook_put_html(const dl_notebook *notebook, dl_arena *arena, dl_buf *out,
                               dl_error *err)
{
    dl_str title;
    DL_TRY(dl_notebook_clean(title_of(notebook), arena, &title, err));
    DL_TRY(dl_buf_append(out, page_head, sizeof page_head - 1, err));
    DL_TRY(dl_notebook_put_escaped(out, title, err));
    DL_TRY(dl_buf_append(out, page_style, sizeof page_style - 1, err));
    for (size_t i = 0; i < notebook->cell_count; i++) {
        const dl_notebook_cell *cell = &notebook->cells[i];
        if (cell->kind == DL_NOTEBOOK_CODE) {
            DL_TRY(put_code(out, cell, arena, err));
        } else if (cell->kind == DL_NOTEBOOK_MARKDOWN) {
            DL_TRY(put_markdown(out, cell->source, err));
        } else if (cell->kind == DL_NOTEBOOK_RAW) {
            DL_TRY(put_pre(out, cell->source, err));
        }
    }
    return dl_buf_append_str(out, DL_STR("</body>\n</html>\n"), err);
}
