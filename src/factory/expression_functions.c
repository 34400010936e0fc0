/* Functions of expressions on texts, numbers, truths and lists; their arguments. */
#include "base/number.h"
#include "factory/expression_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* ---- values ---- */

dl_status dl_expression_fault_at(dl_arena *arena, size_t at, dl_expression_value *out,
                                 dl_error *err, const char *hint, const char *format, ...)
{
    dl_expression_fault *fault = dl_arena_alloc(arena, 1, sizeof *fault);
    if (fault == NULL) {
        return dl_arena_full(arena, err);
    }
    fault->at = at;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(fault->message, sizeof fault->message, format, arguments);
    va_end(arguments);
    (void)snprintf(fault->hint, sizeof fault->hint, "%s", hint == NULL ? "" : hint);
    *out = (dl_expression_value){.kind = DL_EXPRESSION_FAULT, .at = at, .fault = fault};
    return DL_OK;
}

dl_status dl_expression_value_append(const dl_expression_value *value, dl_buf *out, dl_error *err)
{
    char digits[DL_NUMBER_TEXT_SIZE];
    switch (value->kind) {
    case DL_EXPRESSION_NULL:
        return DL_OK;
    case DL_EXPRESSION_BOOL:
        return dl_buf_append_str(out, value->truth ? DL_STR("true") : DL_STR("false"), err);
    case DL_EXPRESSION_INT:
        return dl_buf_printf(out, err, "%lld", (long long)value->number);
    case DL_EXPRESSION_FLOAT:
        return dl_buf_append(out, digits, dl_number_format(value->real, digits), err);
    case DL_EXPRESSION_TEXT:
        return dl_buf_append_str(out, value->text, err);
    case DL_EXPRESSION_LIST:
    case DL_EXPRESSION_PLACE:
    case DL_EXPRESSION_UNKNOWN:
    case DL_EXPRESSION_FAULT:
    case DL_EXPRESSION_TIME:
    case DL_EXPRESSION_ZONE:
        break;
    }
    return dl_error_set(err, DL_E_INVALID, "it has no text");
}

bool dl_expression_to_int(const dl_expression_value *value, int64_t *out)
{
    if (value->kind == DL_EXPRESSION_INT) {
        *out = value->number;
        return true;
    }
    return value->kind == DL_EXPRESSION_TEXT && dl_str_to_i64(dl_str_trim(value->text), out);
}

/** A decimal number and nothing else: neither "inf" nor "0x10". */
static bool read_float(dl_str text, double *out)
{
    char copy[64];
    char *end = NULL;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\0' || strchr("0123456789+-.eE", text.ptr[i]) == NULL) {
            return false;
        }
    }
    if (text.len == 0 || !dl_str_copy(text, copy, sizeof copy)) {
        return false;
    }
    double value = strtod(copy, &end);
    if (*end != '\0' || end == copy || value > 1.7e308 || value < -1.7e308) {
        return false;
    }
    *out = value;
    return true;
}

bool dl_expression_to_float(const dl_expression_value *value, double *out)
{
    if (value->kind == DL_EXPRESSION_INT) {
        *out = (double)value->number;
        return true;
    }
    if (value->kind == DL_EXPRESSION_FLOAT) {
        *out = value->real;
        return true;
    }
    return value->kind == DL_EXPRESSION_TEXT && read_float(dl_str_trim(value->text), out);
}

static dl_status fault(const dl_expression_call *c, size_t argument, dl_expression_value *out,
                       dl_error *err, const char *message)
{
    size_t at = argument < c->count ? c->args[argument].at : c->at;
    return dl_expression_fault_at(c->arena, at, out, err, NULL, "%s: %s", c->function->name,
                                  message);
}

static void set_truth(dl_expression_value *out, bool truth)
{
    *out = (dl_expression_value){.kind = DL_EXPRESSION_BOOL, .at = out->at, .truth = truth};
}

static void set_int(dl_expression_value *out, int64_t number)
{
    *out = (dl_expression_value){.kind = DL_EXPRESSION_INT, .at = out->at, .number = number};
}

static void set_text(dl_expression_value *out, dl_str text)
{
    *out = (dl_expression_value){.kind = DL_EXPRESSION_TEXT, .at = out->at, .text = text};
}

static dl_status keep_text(const dl_expression_call *c, const dl_buf *text,
                           dl_expression_value *out, dl_error *err)
{
    dl_str copy = DL_STR_NONE;
    DL_TRY(dl_arena_copy(c->arena, dl_buf_str(text), &copy, err));
    set_text(out, copy);
    return DL_OK;
}

/* ---- texts ---- */

static bool is_inside(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80; /* of a character that began before */
}

static int64_t characters(dl_str text)
{
    int64_t count = 0;
    for (size_t i = 0; i < text.len; i++) {
        count += !is_inside(text.ptr[i]);
    }
    return count;
}

/** Where the n-th character begins; past the last: the end. */
static size_t byte_of(dl_str text, int64_t n)
{
    size_t i = 0;
    for (; i < text.len; i++) {
        if (!is_inside(text.ptr[i]) && n-- == 0) {
            return i;
        }
    }
    return text.len;
}

static dl_status call_concat(const dl_expression_call *c, dl_expression_value *out, dl_error *err)
{
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, DL_EXPRESSION_VALUE_LIMIT_BYTES);
    for (size_t i = 0; i < c->count; i++) {
        DL_TRY(dl_buf_append_str(&text, c->args[i].text, err));
    }
    return keep_text(c, &text, out, err);
}

static dl_status call_string(const dl_expression_call *c, dl_expression_value *out, dl_error *err)
{
    (void)err;
    set_text(out, c->args[0].text);
    return DL_OK;
}

static dl_status call_replace(const dl_expression_call *c, dl_expression_value *out, dl_error *err)
{
    dl_str rest = c->args[0].text, old = c->args[1].text;
    DL_AUTO_BUF text = {0};
    if (old.len == 0) {
        return fault(c, 1, out, err, "nothing to replace was given");
    }
    dl_buf_init(&text, DL_EXPRESSION_VALUE_LIMIT_BYTES);
    for (ptrdiff_t at = 0; (at = dl_str_find_str(rest, old)) >= 0;) {
        DL_TRY(dl_buf_append_str(&text, dl_str_slice(rest, 0, (size_t)at), err));
        DL_TRY(dl_buf_append_str(&text, c->args[2].text, err));
        rest = dl_str_slice(rest, (size_t)at + old.len, rest.len);
    }
    DL_TRY(dl_buf_append_str(&text, rest, err));
    return keep_text(c, &text, out, err);
}

static dl_status call_substring(const dl_expression_call *c, dl_expression_value *out,
                                dl_error *err)
{
    dl_str text = c->args[0].text;
    int64_t length = characters(text), start = c->args[1].number;
    if (start < 0 || start > length) {
        return fault(c, 1, out, err, "it does not start inside the text");
    }
    int64_t count = c->count > 2 ? c->args[2].number : length - start;
    if (count < 0 || count > length - start) {
        return fault(c, 2, out, err, "the text ends before");
    }
    size_t from = byte_of(text, start);
    set_text(out, dl_str_slice(text, from, byte_of(text, start + count) - from));
    return DL_OK;
}

static dl_status change_case(const dl_expression_call *c, dl_expression_value *out, dl_error *err,
                             utf8proc_int32_t (*change)(utf8proc_int32_t))
{
    dl_str text = c->args[0].text;
    DL_AUTO_BUF changed = {0};
    dl_buf_init(&changed, DL_EXPRESSION_VALUE_LIMIT_BYTES);
    for (size_t i = 0; i < text.len;) {
        utf8proc_int32_t character = 0;
        utf8proc_uint8_t bytes[4];
        utf8proc_ssize_t taken = utf8proc_iterate((const utf8proc_uint8_t *)text.ptr + i,
                                                  (utf8proc_ssize_t)(text.len - i), &character);
        if (taken <= 0) { /* not UTF-8: as it is */
            DL_TRY(dl_buf_append_char(&changed, text.ptr[i++], err));
            continue;
        }
        utf8proc_ssize_t written = utf8proc_encode_char(change(character), bytes);
        DL_TRY(dl_buf_append(&changed, bytes, (size_t)written, err));
        i += (size_t)taken;
    }
    return keep_text(c, &changed, out, err);
}

static dl_status call_lower(const dl_expression_call *c, dl_expression_value *out, dl_error *err)
{
    return change_case(c, out, err, utf8proc_tolower);
}

static dl_status call_upper(const dl_expression_call *c, dl_expression_value *out, dl_error *err)
{
    return change_case(c, out, err, utf8proc_toupper);
}

static dl_status call_trim(const dl_expression_call *c, dl_expression_value *out, dl_error *err)
{
    (void)err;
    dl_str text = c->args[0].text;
    while (text.len > 0 && strchr(" \t\r\n\v\f", text.ptr[0]) != NULL && text.ptr[0] != '\0') {
        text = dl_str_slice(text, 1, text.len);
    }
    while (text.len > 0 && text.ptr[text.len - 1] != '\0' &&
           strchr(" \t\r\n\v\f", text.ptr[text.len - 1]) != NULL) {
        text.len--;
    }
    set_text(out, text);
    return DL_OK;
}

/** Position of a part without regard to ASCII case, -1: none; from the end: the last one. */
static ptrdiff_t find_nocase(dl_str text, dl_str part, bool last)
{
    ptrdiff_t found = -1;
    for (size_t i = 0; i + part.len <= text.len && (last || found < 0); i++) {
        if (dl_str_eq_nocase(dl_str_slice(text, i, part.len), part)) {
            found = (ptrdiff_t)i;
        }
    }
    return found;
}

static void set_index(const dl_expression_call *c, dl_expression_value *out, ptrdiff_t at)
{
    set_int(out, at < 0 ? -1 : characters(dl_str_slice(c->args[0].text, 0, (size_t)at)));
}

static dl_status call_index_of(const dl_expression_call *c, dl_expression_value *out, dl_error *err)
{
    (void)err;
    set_index(c, out, find_nocase(c->args[0].text, c->args[1].text, false));
    return DL_OK;
}

static dl_status call_last_index_of(const dl_expression_call *c, dl_expression_value *out,
                                    dl_error *err)
{
    (void)err;
    set_index(c, out, find_nocase(c->args[0].text, c->args[1].text, true));
    return DL_OK;
}

static dl_status call_starts_with(const dl_expression_call *c, dl_expression_value *out,
                                  dl_error *err)
{
    (void)err;
    set_truth(out, dl_str_starts_nocase(c->args[0].text, c->args[1].text));
    return DL_OK;
}

static dl_status call_ends_with(const dl_expression_call *c, dl_expression_value *out,
                                dl_error *err)
{
    (void)err;
    dl_str text = c->args[0].text, end = c->args[1].text;
    set_truth(out, text.len >= end.len &&
                       dl_str_eq_nocase(dl_str_slice(text, text.len - end.len, end.len), end));
    return DL_OK;
}

static dl_status call_guid(const dl_expression_call *c, dl_expression_value *out, dl_error *err)
{
    (void)err;
    set_text(out, dl_str_of(c->scope->guid == NULL ? "00000000-0000-0000-0000-000000000000"
                                                   : c->scope->guid));
    return DL_OK;
}

/* ---- lists ---- */

static dl_status call_split(const dl_expression_call *c, dl_expression_value *out, dl_error *err)
{
    dl_str rest = c->args[0].text, by = c->args[1].text;
    if (by.len == 0) {
        return fault(c, 1, out, err, "nothing to split at was given");
    }
    size_t count = 1;
    for (ptrdiff_t at = 0; (at = dl_str_find_str(rest, by)) >= 0; count++) {
        rest = dl_str_slice(rest, (size_t)at + by.len, rest.len);
    }
    dl_expression_value *items = dl_arena_alloc(c->arena, count, sizeof *items);
    if (items == NULL) {
        return dl_arena_full(c->arena, err);
    }
    rest = c->args[0].text;
    for (size_t i = 0; i < count; i++) {
        ptrdiff_t at = dl_str_find_str(rest, by);
        set_text(&items[i], at < 0 ? rest : dl_str_slice(rest, 0, (size_t)at));
        items[i].at = c->args[0].at;
        rest = at < 0 ? DL_STR_NONE : dl_str_slice(rest, (size_t)at + by.len, rest.len);
    }
    out->kind = DL_EXPRESSION_LIST;
    out->list.items = items;
    out->list.count = count;
    return DL_OK;
}

static dl_status call_create_array(const dl_expression_call *c, dl_expression_value *out,
                                   dl_error *err)
{
    dl_expression_value *items = dl_arena_alloc(c->arena, c->count, sizeof *items);
    if (items == NULL) {
        return dl_arena_full(c->arena, err);
    }
    memcpy(items, c->args, c->count * sizeof *items);
    out->kind = DL_EXPRESSION_LIST;
    out->list.items = items;
    out->list.count = c->count;
    return DL_OK;
}

static dl_status call_join(const dl_expression_call *c, dl_expression_value *out, dl_error *err)
{
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, DL_EXPRESSION_VALUE_LIMIT_BYTES);
    for (size_t i = 0; i < c->args[0].list.count; i++) {
        const dl_expression_value *item = &c->args[0].list.items[i];
        if (item->kind == DL_EXPRESSION_LIST || item->kind == DL_EXPRESSION_PLACE) {
            return fault(c, 0, out, err, "the list holds what has no text");
        }
        if (i > 0) {
            DL_TRY(dl_buf_append_str(&text, c->args[1].text, err));
        }
        DL_TRY(dl_expression_value_append(item, &text, err));
    }
    return keep_text(c, &text, out, err);
}

/** Parameters are texts, also those that are numbers or truths; a truth is 1 or 0. */
static bool to_comparable(const dl_expression_value *value, double *out)
{
    if (value->kind == DL_EXPRESSION_BOOL) {
        *out = value->truth;
        return true;
    }
    if (value->kind == DL_EXPRESSION_TEXT && dl_str_eq_nocase(value->text, DL_STR("true"))) {
        *out = 1;
        return true;
    }
    if (value->kind == DL_EXPRESSION_TEXT && dl_str_eq_nocase(value->text, DL_STR("false"))) {
        *out = 0;
        return true;
    }
    return dl_expression_to_float(value, out);
}

static bool same(const dl_expression_value *a, const dl_expression_value *b)
{
    double x = 0, y = 0;
    if (a->kind == DL_EXPRESSION_INT && b->kind == DL_EXPRESSION_INT) {
        return a->number == b->number;
    }
    if (a->kind == DL_EXPRESSION_TEXT && b->kind == DL_EXPRESSION_TEXT) {
        return dl_str_eq(a->text, b->text);
    }
    if (a->kind == DL_EXPRESSION_NULL || b->kind == DL_EXPRESSION_NULL) {
        return a->kind == b->kind;
    }
    return to_comparable(a, &x) && to_comparable(b, &y) && x <= y && x >= y;
}

static dl_status call_contains(const dl_expression_call *c, dl_expression_value *out, dl_error *err)
{
    const dl_expression_value *in = &c->args[0], *wanted = &c->args[1];
    if (in->kind == DL_EXPRESSION_LIST) {
        bool found = false;
        for (size_t i = 0; i < in->list.count && !found; i++) {
            found = same(&in->list.items[i], wanted);
        }
        set_truth(out, found);
        return DL_OK;
    }
    if (wanted->kind != DL_EXPRESSION_TEXT) {
        return fault(c, 1, out, err, "a text is looked for in a text");
    }
    set_truth(out, dl_str_find_str(in->text, wanted->text) >= 0);
    return DL_OK;
}

static dl_status call_length(const dl_expression_call *c, dl_expression_value *out, dl_error *err)
{
    (void)err;
    const dl_expression_value *of = &c->args[0];
    set_int(out, of->kind == DL_EXPRESSION_LIST ? (int64_t)of->list.count : characters(of->text));
    return DL_OK;
}

static dl_status call_empty(const dl_expression_call *c, dl_expression_value *out, dl_error *err)
{
    (void)err;
    const dl_expression_value *of = &c->args[0];
    set_truth(out, of->kind == DL_EXPRESSION_NULL ||
                       (of->kind == DL_EXPRESSION_LIST && of->list.count == 0) ||
                       (of->kind == DL_EXPRESSION_TEXT && of->text.len == 0));
    return DL_OK;
}

static dl_status item_at(const dl_expression_call *c, bool last, dl_expression_value *out,
                         dl_error *err)
{
    const dl_expression_value *of = &c->args[0];
    if (of->kind == DL_EXPRESSION_LIST) {
        if (of->list.count == 0) {
            return fault(c, 0, out, err, "the list is empty");
        }
        *out = of->list.items[last ? of->list.count - 1 : 0];
        return DL_OK;
    }
    int64_t count = characters(of->text);
    size_t from = last && count > 0 ? byte_of(of->text, count - 1) : 0;
    set_text(out, dl_str_slice(of->text, from, last ? of->text.len : byte_of(of->text, 1)));
    return DL_OK;
}

static dl_status call_first(const dl_expression_call *c, dl_expression_value *out, dl_error *err)
{
    return item_at(c, false, out, err);
}

static dl_status call_last(const dl_expression_call *c, dl_expression_value *out, dl_error *err)
{
    return item_at(c, true, out, err);
}

/* ---- truths ---- */

static dl_status call_if(const dl_expression_call *c, dl_expression_value *out, dl_error *err)
{
    (void)err;
    *out = c->args[c->args[0].truth ? 1 : 2];
    return DL_OK;
}

static dl_status call_coalesce(const dl_expression_call *c, dl_expression_value *out, dl_error *err)
{
    (void)err;
    *out = (dl_expression_value){.kind = DL_EXPRESSION_NULL, .at = c->at};
    for (size_t i = 0; i < c->count && out->kind == DL_EXPRESSION_NULL; i++) {
        *out = c->args[i];
    }
    return DL_OK;
}

static dl_status call_and(const dl_expression_call *c, dl_expression_value *out, dl_error *err)
{
    (void)err;
    bool all = true;
    for (size_t i = 0; i < c->count; i++) {
        all = all && c->args[i].truth;
    }
    set_truth(out, all);
    return DL_OK;
}

static dl_status call_or(const dl_expression_call *c, dl_expression_value *out, dl_error *err)
{
    (void)err;
    bool any = false;
    for (size_t i = 0; i < c->count; i++) {
        any = any || c->args[i].truth;
    }
    set_truth(out, any);
    return DL_OK;
}

static dl_status call_not(const dl_expression_call *c, dl_expression_value *out, dl_error *err)
{
    (void)err;
    set_truth(out, !c->args[0].truth);
    return DL_OK;
}

static dl_status call_bool(const dl_expression_call *c, dl_expression_value *out, dl_error *err)
{
    (void)err;
    set_truth(out, c->args[0].truth);
    return DL_OK;
}

static dl_status call_equals(const dl_expression_call *c, dl_expression_value *out, dl_error *err)
{
    (void)err;
    set_truth(out, same(&c->args[0], &c->args[1]));
    return DL_OK;
}

/** <0, 0, >0: two texts by their bytes, else numbers; false: they cannot be compared. */
static bool compare(const dl_expression_call *c, int *out)
{
    const dl_expression_value *a = &c->args[0], *b = &c->args[1];
    double x = 0, y = 0;
    if (a->kind == DL_EXPRESSION_TEXT && b->kind == DL_EXPRESSION_TEXT) {
        *out = dl_str_compare(a->text, b->text);
        return true;
    }
    if (a->kind == DL_EXPRESSION_INT && b->kind == DL_EXPRESSION_INT) {
        *out = a->number < b->number ? -1 : a->number > b->number;
        return true;
    }
    if (!dl_expression_to_float(a, &x) || !dl_expression_to_float(b, &y)) {
        return false;
    }
    *out = x < y ? -1 : x > y;
    return true;
}

static dl_status call_compare(const dl_expression_call *c, dl_expression_value *out, dl_error *err)
{
    int order = 0;
    if (!compare(c, &order)) {
        return fault(c, 1, out, err, "two numbers or two texts can be compared, nothing else");
    }
    const char *name = c->function->name;
    bool or_equal = strstr(name, "Or") != NULL;
    set_truth(out, (name[0] == 'g' ? order > 0 : order < 0) || (or_equal && order == 0));
    return DL_OK;
}

/* ---- numbers ---- */

static dl_status call_int(const dl_expression_call *c, dl_expression_value *out, dl_error *err)
{
    double real = 0;
    int64_t number = 0;
    if (c->args[0].kind == DL_EXPRESSION_FLOAT) {
        real = c->args[0].real;
        if (real >= 9.2e18 || real <= -9.2e18) {
            return fault(c, 0, out, err, "the number is too large");
        }
        number = (int64_t)real;
    } else if (!dl_expression_to_int(&c->args[0], &number)) {
        return fault(c, 0, out, err, "it is no whole number");
    }
    set_int(out, number);
    return DL_OK;
}

static dl_status call_float(const dl_expression_call *c, dl_expression_value *out, dl_error *err)
{
    double real = 0;
    if (!dl_expression_to_float(&c->args[0], &real)) {
        return fault(c, 0, out, err, "it is no number");
    }
    out->kind = DL_EXPRESSION_FLOAT;
    out->real = real;
    return DL_OK;
}

static bool whole_arithmetic(char what, int64_t a, int64_t b, int64_t *out)
{
    switch (what) {
    case 'a':
        return !__builtin_add_overflow(a, b, out);
    case 's':
        return !__builtin_sub_overflow(a, b, out);
    case 'm':
        return !__builtin_mul_overflow(a, b, out);
    default: /* division: the one that overflows is the least number by -1 */
        *out = b == -1 ? 0 : a / b;
        return b != -1 || !__builtin_sub_overflow(0, a, out);
    }
}

static double arithmetic(char what, double a, double b)
{
    return what == 'a' ? a + b : what == 's' ? a - b : what == 'm' ? a * b : a / b;
}

static dl_status call_arithmetic(const dl_expression_call *c, dl_expression_value *out,
                                 dl_error *err)
{
    const dl_expression_value *a = &c->args[0], *b = &c->args[1];
    char what = c->function->name[0];
    double x = 0, y = 0;
    (void)dl_expression_to_float(a, &x);
    (void)dl_expression_to_float(b, &y);
    if (what == 'd' && y >= 0 && y <= 0) {
        return fault(c, 1, out, err, "division by zero");
    }
    if (a->kind == DL_EXPRESSION_INT && b->kind == DL_EXPRESSION_INT) {
        int64_t number = 0;
        if (!whole_arithmetic(what, a->number, b->number, &number)) {
            return fault(c, c->count, out, err, "the result is too large");
        }
        set_int(out, number);
        return DL_OK;
    }
    double real = arithmetic(what, x, y);
    if (!(real > -1.7e308 && real < 1.7e308)) {
        return fault(c, c->count, out, err, "the result is too large");
    }
    out->kind = DL_EXPRESSION_FLOAT;
    out->real = real;
    return DL_OK;
}

static dl_status call_mod(const dl_expression_call *c, dl_expression_value *out, dl_error *err)
{
    if (c->args[1].number == 0) {
        return fault(c, 1, out, err, "division by zero");
    }
    set_int(out, c->args[1].number == -1 ? 0 : c->args[0].number % c->args[1].number);
    return DL_OK;
}

/** The arguments, or the items of a list that is the only one. */
static dl_status call_extreme(const dl_expression_call *c, dl_expression_value *out, dl_error *err)
{
    bool list = c->args[0].kind == DL_EXPRESSION_LIST;
    const dl_expression_value *items = list ? c->args[0].list.items : c->args;
    size_t count = list ? c->args[0].list.count : c->count, best = 0;
    double best_value = 0, value = 0;
    if (count == 0 || (list && c->count > 1)) {
        return fault(c, 0, out, err, "numbers, or one list of them, are wanted");
    }
    for (size_t i = 0; i < count; i++) {
        if (!dl_expression_to_float(&items[i], &value)) {
            return fault(c, list ? 0 : i, out, err, "it is no number");
        }
        if (i == 0 || (c->function->name[1] == 'a' ? value > best_value : value < best_value)) {
            best = i;
            best_value = value;
        }
    }
    int64_t number = 0;
    *out = items[best];
    if (dl_expression_to_int(&items[best], &number)) {
        set_int(out, number);
    } else {
        out->kind = DL_EXPRESSION_FLOAT;
        out->real = best_value;
    }
    return DL_OK;
}

/* ---- the table ---- */

enum { MANY = DL_EXPRESSION_STACK_LIMIT };

const dl_expression_function dl_expression_functions[] = {
    /* clang-format off */
    {"add",              "n",    2, 2,    false, call_arithmetic},
    {"addDays",          "tif",  2, 3,    false, dl_expression_call_time},
    {"addHours",         "tif",  2, 3,    false, dl_expression_call_time},
    {"addMinutes",       "tif",  2, 3,    false, dl_expression_call_time},
    {"addSeconds",       "tif",  2, 3,    false, dl_expression_call_time},
    {"addToTime",        "tiuf", 3, 4,    false, dl_expression_call_time},
    {"and",              "b",    2, MANY, false, call_and},
    {"bool",             "b",    1, 1,    false, call_bool},
    {"coalesce",         "a",    1, MANY, false, call_coalesce},
    {"concat",           "s",    1, MANY, false, call_concat},
    {"contains",         "ca",   2, 2,    false, call_contains},
    {"convertFromUtc",   "tzf",  2, 3,    false, dl_expression_call_time},
    {"convertTimeZone",  "tzzf", 3, 4,    false, dl_expression_call_time},
    {"convertToUtc",     "tzf",  2, 3,    false, dl_expression_call_time},
    {"createArray",      "a",    1, MANY, false, call_create_array},
    {"dayOfMonth",       "t",    1, 1,    false, dl_expression_call_time},
    {"dayOfWeek",        "t",    1, 1,    false, dl_expression_call_time},
    {"dayOfYear",        "t",    1, 1,    false, dl_expression_call_time},
    {"div",              "n",    2, 2,    false, call_arithmetic},
    {"empty",            "a",    1, 1,    false, call_empty},
    {"endsWith",         "s",    2, 2,    false, call_ends_with},
    {"equals",           "a",    2, 2,    false, call_equals},
    {"first",            "c",    1, 1,    false, call_first},
    {"float",            "n",    1, 1,    false, call_float},
    {"formatDateTime",   "tf",   1, 2,    false, dl_expression_call_time},
    {"getFutureTime",    "iuf",  2, 3,    true,  dl_expression_call_time},
    {"getPastTime",      "iuf",  2, 3,    true,  dl_expression_call_time},
    {"greater",          "a",    2, 2,    false, call_compare},
    {"greaterOrEquals",  "a",    2, 2,    false, call_compare},
    {"guid",             "",     0, 0,    true,  call_guid},
    {"if",               "bx",   3, 3,    false, call_if},
    {"indexOf",          "s",    2, 2,    false, call_index_of},
    {"int",              "a",    1, 1,    false, call_int},
    {"join",             "ls",   2, 2,    false, call_join},
    {"last",             "c",    1, 1,    false, call_last},
    {"lastIndexOf",      "s",    2, 2,    false, call_last_index_of},
    {"length",           "c",    1, 1,    false, call_length},
    {"less",             "a",    2, 2,    false, call_compare},
    {"lessOrEquals",     "a",    2, 2,    false, call_compare},
    {"max",              "a",    1, MANY, false, call_extreme},
    {"min",              "a",    1, MANY, false, call_extreme},
    {"mod",              "i",    2, 2,    false, call_mod},
    {"mul",              "n",    2, 2,    false, call_arithmetic},
    {"not",              "b",    1, 1,    false, call_not},
    {"or",               "b",    2, MANY, false, call_or},
    {"replace",          "s",    3, 3,    false, call_replace},
    {"split",            "s",    2, 2,    false, call_split},
    {"startOfDay",       "tf",   1, 2,    false, dl_expression_call_time},
    {"startOfHour",      "tf",   1, 2,    false, dl_expression_call_time},
    {"startOfMonth",     "tf",   1, 2,    false, dl_expression_call_time},
    {"startsWith",       "s",    2, 2,    false, call_starts_with},
    {"string",           "s",    1, 1,    false, call_string},
    {"sub",              "n",    2, 2,    false, call_arithmetic},
    {"substring",        "sii",  2, 3,    false, call_substring},
    {"subtractFromTime", "tiuf", 3, 4,    false, dl_expression_call_time},
    {"ticks",            "t",    1, 1,    false, dl_expression_call_time},
    {"toLower",          "s",    1, 1,    false, call_lower},
    {"toUpper",          "s",    1, 1,    false, call_upper},
    {"trim",             "s",    1, 1,    false, call_trim},
    {"utcNow",           "f",    0, 1,    true,  dl_expression_call_time},
    /* clang-format on */
};
const size_t dl_expression_function_count = DL_COUNT_OF(dl_expression_functions);

const dl_expression_function *dl_expression_function_find(dl_str name)
{
    for (size_t i = 0; i < dl_expression_function_count; i++) {
        if (dl_str_eq_nocase(name, dl_str_of(dl_expression_functions[i].name))) {
            return &dl_expression_functions[i];
        }
    }
    return NULL;
}
