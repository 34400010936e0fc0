/* Expressions: read and evaluated in one go, from the left to the right, with the open brackets and
 * the values so far on two stacks. Checking is the same with a run whose values are unknown. */
#include "factory/expression_internal.h"
#include "factory/nearest.h"

#include <stdio.h>
#include <string.h>

enum {
    CHECK_LIMIT_BYTES = 16 * 1024 * 1024,
    MESSAGE_LIMIT = 150, /* of dl_error's message; the rest is for text and caret */
    EXCERPT_BEFORE = 56,
    EXCERPT_LIMIT = 80, /* bytes of the text that are shown */
};

typedef struct frame {
    const dl_expression_function *function; /* NULL: '[' or trigger() and pipeline() */
    size_t at, first; /* of its name or bracket; its first value on the stack */
    char close;
} frame;

typedef struct machine {
    dl_str text;
    size_t pos;
    const dl_expression_scope *scope;
    bool check;
    dl_arena *arena;
    dl_error *err;
    size_t depth, count;
    frame frames[DL_EXPRESSION_DEPTH_LIMIT];
    dl_expression_value values[DL_EXPRESSION_STACK_LIMIT];
} machine;

/* ---- errors with their place ---- */

static bool is_inside(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/** The text round `at` in one line, and a caret under the place. */
static void append_excerpt(char *message, size_t size, dl_str text, size_t at)
{
    size_t used = strlen(message), from = at > EXCERPT_BEFORE ? at - EXCERPT_BEFORE : 0;
    while (from > 0 && from < text.len && is_inside(text.ptr[from])) {
        from--;
    }
    size_t end = from + EXCERPT_LIMIT < text.len ? from + EXCERPT_LIMIT : text.len;
    while (end < text.len && end > from && is_inside(text.ptr[end])) {
        end--;
    }
    char line[EXCERPT_LIMIT + 8], spaces[EXCERPT_LIMIT + 8];
    size_t length = 0, column = from > 0 ? 3 : 0;
    for (size_t i = from; i < end; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        line[length++] = c < ' ' || c == 127 ? ' ' : (char)c;
        column += i < at && !is_inside(text.ptr[i]);
    }
    memset(spaces, ' ', column);
    (void)snprintf(message + used, size - used, "\n%s%.*s%s\n%.*s^", from > 0 ? "..." : "",
                   (int)length, line, end < text.len ? "..." : "", (int)column, spaces);
}

static dl_status fail(machine *m, dl_status status, size_t at, const char *format, ...)
    DL_PRINTF(4, 5);

static dl_status fail(machine *m, dl_status status, size_t at, const char *format, ...)
{
    char message[sizeof m->err->message];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, MESSAGE_LIMIT, format, arguments);
    va_end(arguments);
    append_excerpt(message, sizeof message, m->text, at);
    return dl_error_set(m->err, status, "expression: %s", message);
}

static dl_status fail_hint(machine *m, size_t at, const char *message, const char *hint)
{
    (void)fail(m, DL_E_INVALID, at, "%s", message);
    dl_error_hint(m->err, "%s", hint);
    return DL_E_INVALID;
}

/** As much of a name as a message has room for. */
static dl_str clip(dl_str name)
{
    size_t length = name.len < 60 ? name.len : 60;
    while (length > 0 && length < name.len && is_inside(name.ptr[length])) {
        length--;
    }
    return dl_str_slice(name, 0, length);
}

/** Of an expression whose value is needed after all. */
static dl_status fail_fault(machine *m, const dl_expression_value *value)
{
    return fail_hint(m, value->fault->at, value->fault->message, value->fault->hint);
}

/** Limits and memory are told as they are, with the place. */
static dl_status with_place(machine *m, dl_status status, size_t at)
{
    if (status == DL_E_LIMIT && !dl_str_starts(dl_str_of(m->err->message), DL_STR("expression:"))) {
        return fail(m, DL_E_LIMIT, at, "the value is too long");
    }
    return status;
}

/* ---- characters ---- */

static char peek(const machine *m)
{
    return m->pos < m->text.len ? m->text.ptr[m->pos] : '\0';
}

static void skip_spaces(machine *m)
{
    while (m->pos < m->text.len && strchr(" \t\r\n", peek(m)) != NULL && peek(m) != '\0') {
        m->pos++;
    }
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c);
}

static dl_str take_name(machine *m)
{
    size_t from = m->pos;
    while (m->pos < m->text.len && is_name(peek(m))) {
        m->pos++;
    }
    return dl_str_slice(m->text, from, m->pos - from);
}

/* ---- values on the stack ---- */

static dl_status push(machine *m, const dl_expression_value *value)
{
    if (m->count == DL_EXPRESSION_STACK_LIMIT) {
        return fail(m, DL_E_LIMIT, value->at, "more than %d arguments wait for their calls",
                    DL_EXPRESSION_STACK_LIMIT);
    }
    m->values[m->count++] = *value;
    return DL_OK;
}

static dl_status push_text(machine *m, size_t at, dl_str text)
{
    dl_expression_value value = {.kind = DL_EXPRESSION_TEXT, .at = at, .text = text};
    if (text.ptr == NULL) {
        value.kind = DL_EXPRESSION_NULL;
    }
    return push(m, &value);
}

static dl_status open_frame(machine *m, const dl_expression_function *function, size_t at,
                            char close)
{
    if (m->depth == DL_EXPRESSION_DEPTH_LIMIT) {
        return fail(m, DL_E_LIMIT, at, "brackets are nested deeper than %d",
                    DL_EXPRESSION_DEPTH_LIMIT);
    }
    m->frames[m->depth++] = (frame){function, at, m->count, close};
    return DL_OK;
}

/* ---- what has members ---- */

enum place {
    PLACE_TRIGGER,
    PLACE_OUTPUTS,
    PLACE_PIPELINE,
    PLACE_PARAMETERS,
};

static const char *const place_names[] = {
    "trigger()",
    "trigger().outputs",
    "pipeline()",
    "pipeline().parameters",
};

enum member {
    IS_PLACE, /* of the next enum place */
    IS_TEXT,
    IS_TIME,
    IS_WINDOW_TIME,
};

/** Where the members stand in the scope. */
static const struct {
    const char *name;
    size_t offset; /* or the place */
    enum place of;
    enum member kind;
} members[] = {
    {"outputs", PLACE_OUTPUTS, PLACE_TRIGGER, IS_PLACE},
    {"name", offsetof(dl_expression_scope, trigger_name), PLACE_TRIGGER, IS_TEXT},
    {"scheduledTime", offsetof(dl_expression_scope, scheduled_us), PLACE_TRIGGER, IS_TIME},
    {"startTime", offsetof(dl_expression_scope, started_us), PLACE_TRIGGER, IS_TIME},
    {"windowStartTime", offsetof(dl_expression_scope, window_start_us), PLACE_OUTPUTS,
     IS_WINDOW_TIME},
    {"windowEndTime", offsetof(dl_expression_scope, window_end_us), PLACE_OUTPUTS, IS_WINDOW_TIME},
    {"parameters", PLACE_PARAMETERS, PLACE_PIPELINE, IS_PLACE},
    {"Pipeline", offsetof(dl_expression_scope, pipeline_name), PLACE_PIPELINE, IS_TEXT},
    {"RunId", offsetof(dl_expression_scope, run_id), PLACE_PIPELINE, IS_TEXT},
    {"TriggerName", offsetof(dl_expression_scope, trigger_name), PLACE_PIPELINE, IS_TEXT},
    {"TriggerType", offsetof(dl_expression_scope, trigger_type), PLACE_PIPELINE, IS_TEXT},
    {"TriggerTime", offsetof(dl_expression_scope, started_us), PLACE_PIPELINE, IS_TIME},
};

static dl_status set_time(machine *m, int64_t time_us, dl_expression_value *out)
{
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, 64);
    DL_TRY(
        dl_expression_time_format((dl_expression_time){time_us, true}, DL_STR("o"), &text, m->err));
    out->kind = DL_EXPRESSION_TEXT;
    return dl_arena_copy(m->arena, dl_buf_str(&text), &out->text, m->err);
}

static dl_status no_member(machine *m, int place, dl_str name, size_t at)
{
    dl_nearest near;
    dl_nearest_init(&near, name);
    for (size_t i = 0; i < DL_COUNT_OF(members); i++) {
        if ((int)members[i].of == place) {
            dl_nearest_consider(&near, dl_str_of(members[i].name));
        }
    }
    for (size_t i = 0; place == PLACE_PARAMETERS && i < m->scope->parameter_count; i++) {
        dl_nearest_consider(&near, m->scope->parameters[i].name);
    }
    (void)fail(m, DL_E_INVALID, at, "%s has no '%.*s'", place_names[place], DL_STR_ARG(clip(name)));
    dl_nearest_hint(&near,
                    place == PLACE_TRIGGER    ? "name, scheduledTime, startTime, outputs"
                    : place == PLACE_OUTPUTS  ? "windowStartTime, windowEndTime"
                    : place == PLACE_PIPELINE ? "parameters, Pipeline, RunId, TriggerName,"
                                                " TriggerType, TriggerTime"
                                              : "the pipeline has no such parameter",
                    m->err);
    return DL_E_INVALID;
}

static dl_status find_parameter(machine *m, dl_str name, size_t at, dl_expression_value *value)
{
    for (size_t i = 0; i < m->scope->parameter_count; i++) {
        if (dl_str_eq_nocase(name, m->scope->parameters[i].name)) {
            value->kind = m->check                                    ? DL_EXPRESSION_UNKNOWN
                          : m->scope->parameters[i].value.ptr == NULL ? DL_EXPRESSION_NULL
                                                                      : DL_EXPRESSION_TEXT;
            value->text = m->scope->parameters[i].value;
            return DL_OK;
        }
    }
    return no_member(m, PLACE_PARAMETERS, name, at);
}

static dl_status set_member(machine *m, size_t i, size_t at, dl_expression_value *value)
{
    const char *where = (const char *)m->scope + members[i].offset;
    if (members[i].kind == IS_PLACE) {
        value->place = (int)members[i].offset;
        return DL_OK;
    }
    if (members[i].kind == IS_WINDOW_TIME && !m->scope->has_window) {
        char message[96];
        (void)snprintf(message, sizeof message, "%s exists for tumbling windows only",
                       members[i].name);
        return fail_hint(m, at, message,
                         "this trigger has no windows: trigger().scheduledTime is"
                         " when it was due");
    }
    if (m->check) {
        value->kind = DL_EXPRESSION_UNKNOWN;
        return DL_OK;
    }
    if (members[i].kind == IS_TEXT) {
        memcpy(&value->text, where, sizeof value->text);
        value->kind = value->text.ptr == NULL ? DL_EXPRESSION_NULL : DL_EXPRESSION_TEXT;
        return DL_OK;
    }
    int64_t time_us = 0;
    memcpy(&time_us, where, sizeof time_us);
    return set_time(m, time_us, value);
}

/** The value on the top becomes its member. */
static dl_status take_member(machine *m, dl_str name, size_t at)
{
    dl_expression_value *value = &m->values[m->count - 1];
    if (value->kind != DL_EXPRESSION_PLACE) {
        return fail_hint(m, at, "this value has no members",
                         "only trigger() and pipeline() have; items of a list are [0], [1], ...");
    }
    if (value->place == PLACE_PARAMETERS) {
        return find_parameter(m, name, at, value);
    }
    for (size_t i = 0; i < DL_COUNT_OF(members); i++) {
        if ((int)members[i].of == value->place &&
            dl_str_eq_nocase(name, dl_str_of(members[i].name))) {
            return set_member(m, i, at, value);
        }
    }
    return no_member(m, value->place, name, at);
}

/** "of[index]", both on the stack. */
static dl_status take_index(machine *m, size_t at)
{
    dl_expression_value index = m->values[--m->count], *of = &m->values[m->count - 1];
    int64_t i = 0;
    if (index.kind == DL_EXPRESSION_FAULT || index.kind == DL_EXPRESSION_UNKNOWN) {
        *of = of->kind == DL_EXPRESSION_FAULT ? *of : index;
        return DL_OK;
    }
    if (of->kind == DL_EXPRESSION_PLACE && index.kind == DL_EXPRESSION_TEXT) {
        return take_member(m, index.text, index.at);
    }
    if (of->kind == DL_EXPRESSION_FAULT || of->kind == DL_EXPRESSION_UNKNOWN) {
        return DL_OK;
    }
    if (of->kind != DL_EXPRESSION_LIST || !dl_expression_to_int(&index, &i)) {
        return dl_expression_fault_at(m->arena, at, of, m->err, "split() makes a list",
                                      "only a list has items with numbers");
    }
    if (i < 0 || (uint64_t)i >= of->list.count) {
        return dl_expression_fault_at(m->arena, index.at, of, m->err, NULL,
                                      "the list has %zu items, the first is [0]", of->list.count);
    }
    *of = of->list.items[i];
    return DL_OK;
}

/* ---- reading a value ---- */

static dl_status read_text(machine *m)
{
    size_t at = m->pos++;
    DL_AUTO_BUF text = {0};
    dl_str copy = DL_STR_NONE;
    dl_buf_init(&text, DL_EXPRESSION_LIMIT_BYTES);
    for (;; m->pos++) {
        if (m->pos >= m->text.len) {
            return fail_hint(m, at, "this text has no end",
                             "texts end with '; '' is a quote in one");
        }
        if (peek(m) == '\'') {
            m->pos++;
            if (peek(m) != '\'') {
                break;
            }
        }
        DL_TRY(dl_buf_append_char(&text, peek(m), m->err));
    }
    DL_TRY(dl_arena_copy(m->arena, dl_buf_str(&text), &copy, m->err));
    return push_text(m, at, copy);
}

static dl_status read_number(machine *m)
{
    size_t at = m->pos;
    dl_expression_value value = {.kind = DL_EXPRESSION_TEXT, .at = at};
    m->pos += peek(m) == '-' || peek(m) == '+';
    while (is_name(peek(m)) || peek(m) == '.' ||
           (strchr("+-", peek(m)) != NULL && peek(m) != '\0' &&
            strchr("eE", m->text.ptr[m->pos - 1]) != NULL)) {
        m->pos++;
    }
    value.text = dl_str_slice(m->text, at, m->pos - at);
    double real = 0;
    int64_t number = 0;
    if (dl_expression_to_int(&value, &number)) {
        value.kind = DL_EXPRESSION_INT;
        value.number = number;
    } else if (dl_str_find(value.text, '.') > 0 && dl_expression_to_float(&value, &real)) {
        value.kind = DL_EXPRESSION_FLOAT;
        value.real = real;
    } else {
        return fail(m, DL_E_INVALID, at, "this is no number, or too large a one");
    }
    return push(m, &value);
}

static dl_status no_function(machine *m, dl_str name, size_t at)
{
    static const char *const elsewhere[] = {"activity", "variables",     "item",
                                            "dataset",  "linkedService", "body"};
    dl_nearest near;
    dl_nearest_init(&near, name);
    for (size_t i = 0; i < dl_expression_function_count; i++) {
        dl_nearest_consider(&near, dl_str_of(dl_expression_functions[i].name));
    }
    dl_nearest_consider(&near, DL_STR("trigger"));
    dl_nearest_consider(&near, DL_STR("pipeline"));
    (void)fail(m, DL_E_INVALID, at, "there is no function '%.*s'", DL_STR_ARG(clip(name)));
    for (size_t i = 0; i < DL_COUNT_OF(elsewhere); i++) {
        if (dl_str_eq_nocase(name, dl_str_of(elsewhere[i]))) {
            dl_error_hint(m->err, "%s() has a meaning inside activities only, not here",
                          elsewhere[i]);
            return DL_E_INVALID;
        }
    }
    dl_nearest_hint(&near, "docs/expressions.md lists them", m->err);
    return DL_E_INVALID;
}

static dl_status open_place(machine *m, enum place place, size_t at)
{
    m->pos++;
    skip_spaces(m);
    if (peek(m) != ')') {
        return fail(m, DL_E_INVALID, m->pos, "%s takes no arguments", place_names[place]);
    }
    m->pos++;
    dl_expression_value value = {.kind = DL_EXPRESSION_PLACE, .at = at, .place = (int)place};
    return push(m, &value);
}

static dl_status read_word(machine *m, dl_str name, size_t at)
{
    dl_expression_value value = {.kind = DL_EXPRESSION_NULL, .at = at};
    if (dl_str_eq_nocase(name, DL_STR("true")) || dl_str_eq_nocase(name, DL_STR("false"))) {
        value.kind = DL_EXPRESSION_BOOL;
        value.truth = name.len == 4;
    } else if (!dl_str_eq_nocase(name, DL_STR("null"))) {
        bool function = dl_expression_function_find(name) != NULL;
        (void)fail(m, DL_E_INVALID, at, "'%.*s' is no value", (int)(name.len < 64 ? name.len : 64),
                   name.ptr);
        dl_error_hint(m->err, "%s",
                      function ? "a function is called with brackets: name(...)"
                               : "texts stand in single quotes: 'text'");
        return DL_E_INVALID;
    }
    return push(m, &value);
}

/** A call opens a bracket (and *out_open becomes true); anything else is a value. */
static dl_status read_name(machine *m, bool *out_open)
{
    size_t at = m->pos;
    dl_str name = take_name(m);
    skip_spaces(m);
    if (peek(m) != '(') {
        return read_word(m, name, at);
    }
    if (dl_str_eq_nocase(name, DL_STR("trigger"))) {
        return open_place(m, PLACE_TRIGGER, at);
    }
    if (dl_str_eq_nocase(name, DL_STR("pipeline"))) {
        return open_place(m, PLACE_PIPELINE, at);
    }
    const dl_expression_function *function = dl_expression_function_find(name);
    if (function == NULL) {
        return no_function(m, name, at);
    }
    DL_TRY(open_frame(m, function, at, ')'));
    m->pos++;
    *out_open = true;
    return DL_OK;
}

/** What is there where a value should be. */
static dl_status no_value(machine *m)
{
    if (m->pos >= m->text.len) {
        return fail(m, DL_E_INVALID, m->text.len, "the expression ends where a value should be");
    }
    if (peek(m) == '"') {
        return fail_hint(m, m->pos, "a value should be here",
                         "texts stand in single quotes: 'text'");
    }
    return fail(m, DL_E_INVALID, m->pos, "a value should be here");
}

/* ---- calls ---- */

static dl_status wrong_count(machine *m, const frame *f, size_t count)
{
    const dl_expression_function *function = f->function;
    if (function->least == function->most) {
        return fail(m, DL_E_INVALID, f->at, "%s takes %zu argument%s, not %zu", function->name,
                    function->least, function->least == 1 ? "" : "s", count);
    }
    if (function->most >= DL_EXPRESSION_STACK_LIMIT) {
        return fail(m, DL_E_INVALID, f->at, "%s takes at least %zu argument%s, not %zu",
                    function->name, function->least, function->least == 1 ? "" : "s", count);
    }
    return fail(m, DL_E_INVALID, f->at, "%s takes %zu to %zu arguments, not %zu", function->name,
                function->least, function->most, count);
}

/** At the closing bracket of the innermost call. */
static dl_status close_call(machine *m)
{
    frame f = m->frames[--m->depth];
    size_t count = m->count - f.first;
    if (count < f.function->least || count > f.function->most) {
        return wrong_count(m, &f, count);
    }
    dl_expression_call call = {.function = f.function,
                               .at = f.at,
                               .scope = m->check ? NULL : m->scope,
                               .arena = m->arena,
                               .args = &m->values[f.first],
                               .count = count};
    dl_expression_value value;
    DL_TRY(with_place(m, dl_expression_function_call(&call, &value, m->err), f.at));
    if (value.kind != DL_EXPRESSION_FAULT) {
        value.at = f.at;
    }
    m->count = f.first;
    return push(m, &value);
}

/** A bracket that does not close what is open, or something else behind a value. */
static dl_status unexpected(machine *m)
{
    const frame *f = m->depth > 0 ? &m->frames[m->depth - 1] : NULL;
    if (m->pos >= m->text.len && f != NULL) {
        return fail(m, DL_E_INVALID, f->at, "the bracket of this is not closed: '%c' is missing",
                    f->close);
    }
    if (m->pos >= m->text.len) {
        return fail(m, DL_E_INVALID, m->text.len, "'}' is missing");
    }
    if (f != NULL) {
        return fail(m, DL_E_INVALID, m->pos, "',' or '%c' should be here", f->close);
    }
    return fail_hint(m, m->pos, "the expression should end here",
                     "concat() puts texts together; '@{...}' puts values into a text");
}

static dl_status read_member(machine *m)
{
    m->pos += peek(m) == '?';
    m->pos++;
    size_t at = m->pos;
    dl_str name = take_name(m);
    if (name.len == 0) {
        return fail(m, DL_E_INVALID, at, "a name should be behind the point");
    }
    return take_member(m, name, at);
}

/** What stands behind a value. *out_again: another value follows. */
static dl_status read_behind(machine *m, bool *out_again)
{
    char c = peek(m), next = m->pos + 1 < m->text.len ? m->text.ptr[m->pos + 1] : '\0';
    const frame *f = m->depth > 0 ? &m->frames[m->depth - 1] : NULL;
    if (c == '.' || (c == '?' && next == '.')) {
        return read_member(m);
    }
    if (c == '[' || (c == '?' && next == '[')) {
        m->pos += c == '?';
        DL_TRY(open_frame(m, NULL, m->pos++, ']'));
        *out_again = true;
        return DL_OK;
    }
    if (f == NULL || (c != f->close && !(c == ',' && f->function != NULL))) {
        return unexpected(m);
    }
    m->pos++;
    if (c == ',') {
        *out_again = true;
        return DL_OK;
    }
    if (f->function != NULL) {
        return close_call(m);
    }
    m->depth--;
    return take_index(m, f->at);
}

/** One value from pos; *out_again: a bracket was opened instead. */
static dl_status read_value(machine *m, bool *out_again)
{
    char c = peek(m);
    if (c == '\'') {
        return read_text(m);
    }
    if (is_digit(c) || c == '-' || c == '+') {
        return read_number(m);
    }
    if (is_name(c)) {
        DL_TRY(read_name(m, out_again));
        skip_spaces(m);
        if (*out_again && peek(m) == ')') { /* a call without arguments */
            *out_again = false;
            m->pos++;
            return close_call(m);
        }
        return DL_OK;
    }
    return no_value(m);
}

/** From pos to `end` ('}', or NUL for the end of the text), which stays. The value is the only one
 * on the stack. */
static dl_status run(machine *m, char end)
{
    m->depth = m->count = 0;
    for (bool again = true;;) {
        skip_spaces(m);
        if (again) {
            again = false;
            DL_TRY(with_place(m, read_value(m, &again), m->pos));
            continue;
        }
        bool over = end == '\0' ? m->pos >= m->text.len : peek(m) == end;
        if (over && m->depth == 0) {
            return DL_OK;
        }
        DL_TRY(with_place(m, read_behind(m, &again), m->pos));
    }
}

static dl_status append_value(machine *m, dl_buf *out)
{
    const dl_expression_value *value = &m->values[0];
    if (value->kind == DL_EXPRESSION_FAULT) {
        return fail_fault(m, value);
    }
    if (value->kind == DL_EXPRESSION_LIST) {
        return fail_hint(m, value->at, "the value is a list", "join() makes a text of it");
    }
    if (value->kind == DL_EXPRESSION_PLACE) {
        return fail_hint(m, value->at, "this is no value by itself",
                         "say which member: trigger().name, pipeline().RunId, ...");
    }
    if (value->kind == DL_EXPRESSION_UNKNOWN) {
        return DL_OK;
    }
    return with_place(m, dl_expression_value_append(value, out, m->err), value->at);
}

/* ---- the whole text ---- */

/** Text with "@{...}" in it. */
static dl_status fill_in(machine *m, dl_buf *out)
{
    if (dl_str_starts(m->text, DL_STR("@@")) && !dl_str_starts(m->text, DL_STR("@@{"))) {
        DL_TRY(dl_buf_append_char(out, '@', m->err));
        m->pos = 2;
    }
    while (m->pos < m->text.len) {
        dl_str rest = dl_str_slice(m->text, m->pos, m->text.len);
        if (dl_str_starts(rest, DL_STR("@@{"))) {
            DL_TRY(dl_buf_append_str(out, DL_STR("@{"), m->err));
            m->pos += 3;
        } else if (dl_str_starts(rest, DL_STR("@{"))) {
            m->pos += 2;
            DL_TRY(run(m, '}'));
            m->pos++;
            DL_TRY(append_value(m, out));
        } else {
            DL_TRY(dl_buf_append_char(out, rest.ptr[0], m->err));
            m->pos++;
        }
    }
    return DL_OK;
}

static dl_status evaluate(machine *m, dl_buf *out)
{
    if (m->text.len > DL_EXPRESSION_LIMIT_BYTES) {
        return dl_error_set(m->err, DL_E_LIMIT, "expression: %zu bytes are more than %d",
                            m->text.len, DL_EXPRESSION_LIMIT_BYTES);
    }
    if (!dl_str_is_utf8(m->text)) {
        return dl_error_set(m->err, DL_E_INVALID, "expression: it is not UTF-8");
    }
    char second = m->text.len > 1 ? m->text.ptr[1] : '\0';
    if (peek(m) != '@' || second == '@' || second == '{') {
        return with_place(m, fill_in(m, out), m->pos);
    }
    m->pos = 1;
    if (m->text.len == 1) {
        return fail_hint(m, 1, "nothing follows '@'", "'@@' at the beginning is an '@' itself");
    }
    DL_TRY(run(m, '\0'));
    return append_value(m, out);
}

bool dl_expression_is(dl_str text)
{
    return dl_str_starts(text, DL_STR("@")) || dl_str_find_str(text, DL_STR("@{")) >= 0;
}

static dl_status start(dl_str text, const dl_expression_scope *scope, dl_arena *arena, bool check,
                       dl_str *out_text, dl_error *err)
{
    machine *m = dl_arena_alloc(arena, 1, sizeof *m);
    dl_error ignored = {0};
    DL_AUTO_BUF out = {0};
    dl_str copy = DL_STR_NONE;
    err = err == NULL ? &ignored : err;
    if (m == NULL) {
        return dl_arena_full(arena, err);
    }
    m->text = text;
    m->scope = scope;
    m->check = check;
    m->arena = arena;
    m->err = err;
    dl_buf_init(&out, DL_EXPRESSION_VALUE_LIMIT_BYTES);
    DL_TRY(evaluate(m, &out));
    DL_TRY(dl_arena_copy(arena, dl_buf_str(&out), &copy, err));
    *out_text = copy;
    return DL_OK;
}

dl_status dl_expression_check(dl_str text, const dl_expression_scope *scope, dl_error *err)
{
    if (!dl_expression_is(text)) {
        return DL_OK;
    }
    DL_AUTO(dl_arena) arena = dl_arena_create(CHECK_LIMIT_BYTES);
    dl_str value;
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "expression: out of memory");
    }
    return start(text, scope, arena, true, &value, err);
}

dl_status dl_expression_eval(dl_str text, const dl_expression_scope *scope, dl_arena *arena,
                             dl_str *out_text, dl_error *err)
{
    if (!dl_expression_is(text)) {
        return dl_arena_copy(arena, text, out_text, err);
    }
    return start(text, scope, arena, false, out_text, err);
}
