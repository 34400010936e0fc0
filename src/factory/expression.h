/**
 * Expression: Data Factory's language for parameter values, as far as runs need it.
 *
 * A value is literal text; or "@..." one expression; or text with "@{...}" parts put in; "@@" at
 * the beginning is a literal '@', "@@{" anywhere a literal "@{". An expression is a call, a path
 * (".a.b", "['a']", "[0]"), a 'text' ('' is a quote), a whole or decimal number, true, false or
 * null. Names are case-insensitive. docs/expressions.md has all functions with examples.
 *
 *     trigger().outputs.windowStartTime | windowEndTime     tumbling windows only
 *     trigger().scheduledTime | startTime | name            pipeline().parameters.X, .Pipeline,
 *     .RunId, .TriggerName, .TriggerType, .TriggerTime      utcNow([format])
 *     formatDateTime(t[, format]) addDays addHours addMinutes addSeconds(t, n[, format])
 *     addToTime subtractFromTime(t, n, unit[, format]) getFutureTime getPastTime(n, unit[, format])
 *     startOfDay startOfHour startOfMonth(t[, format]) ticks dayOfWeek dayOfMonth dayOfYear(t)
 *     convertTimeZone(t, from, to[, format]) convertFromUtc convertToUtc(t, zone[, format])
 *     concat replace substring toLower toUpper trim split join length indexOf lastIndexOf
 *     startsWith endsWith contains guid string int float bool coalesce empty first last createArray
 *     equals greater greaterOrEquals less lessOrEquals and or not if add sub mul div mod min max
 *
 * Date formats are .NET's: standard o (the default) s u d D f F g G m r t T U y, and custom with
 * yyyy yy MMMM MMM MM M dd d dddd ddd HH H hh h mm m ss s f..fffffff F..FFFFFFF tt t zzz zz z K,
 * quotes and backslash. The culture is en-US, as Data Factory's ("D" is "Monday, January 1, 2018").
 * Times have 100 ns in .NET and microseconds here.
 *
 * A wrong expression is found when it is checked, before it is saved: an unknown function or name,
 * a wrong number of arguments, a missing bracket, a window variable where the trigger has no
 * windows. The error says where, and its message ends with the text and a caret line under the
 * place.
 *
 * Pure, but for utcNow() and guid(), which take what the scope gives.
 */
#ifndef DL_FACTORY_EXPRESSION_H
#define DL_FACTORY_EXPRESSION_H

#include "base/arena.h"
#include "base/str.h"

enum {
    DL_EXPRESSION_LIMIT_BYTES = 8192, /* Data Factory's own bound */
    DL_EXPRESSION_DEPTH_LIMIT = 64,
};

typedef struct dl_expression_pair {
    dl_str name, value;
} dl_expression_pair;

/** What names mean. Texts ptr NULL: not there. */
typedef struct dl_expression_scope {
    bool has_window; /* windowStartTime and windowEndTime exist */
    int64_t window_start_us, window_end_us;
    int64_t scheduled_us, started_us, now_us;
    dl_str trigger_name, trigger_type, pipeline_name, run_id;
    const dl_expression_pair *parameters; /* of the pipeline */
    size_t parameter_count;
    const char *guid; /* of guid(); 36 characters */
} dl_expression_scope;

/** Whether `text` is anything but literal. */
bool dl_expression_is(dl_str text);
/** All that can be known before there is a run: only the scope's has_window and parameter names
 * count. Errors: DL_E_INVALID as above; DL_E_LIMIT. */
DL_NODISCARD dl_status dl_expression_check(dl_str text, const dl_expression_scope *scope,
                                           dl_error *err);
/** The value as text (a boolean as True/False is .NET's; ours true/false as Data Factory shows).
 * Errors: DL_E_INVALID (also: a value that is no time where one is needed), DL_E_LIMIT. */
DL_NODISCARD dl_status dl_expression_eval(dl_str text, const dl_expression_scope *scope,
                                          dl_arena *arena, dl_str *out_text, dl_error *err);

#endif
