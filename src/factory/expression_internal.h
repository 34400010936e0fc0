/* What the parts of expression share: values, times, functions. */
#ifndef DL_FACTORY_EXPRESSION_INTERNAL_H
#define DL_FACTORY_EXPRESSION_INTERNAL_H

#include "base/buf.h"
#include "factory/calendar.h"
#include "factory/expression.h"

enum {
    DL_EXPRESSION_VALUE_LIMIT_BYTES = 1024 * 1024, /* of any text on the way */
    DL_EXPRESSION_STACK_LIMIT = 256,               /* arguments waiting for their calls */
};

/* ---- times ---- */

/** .NET's DateTime: UTC, or of a zone that nobody says. */
typedef struct dl_expression_time {
    int64_t us;
    bool is_utc;
} dl_expression_time;

/** ISO 8601 (time and zone may be missing) or "01/31/2026 08:00:00"; an offset is applied. */
bool dl_expression_time_parse(dl_str text, dl_expression_time *out);
/** In .NET's format; an empty one is "o". Errors: DL_E_INVALID (what is wrong with the format),
 * DL_E_LIMIT, DL_E_NOMEM. */
DL_NODISCARD dl_status dl_expression_time_format(dl_expression_time time, dl_str format,
                                                 dl_buf *out, dl_error *err);

/* ---- values ---- */

typedef enum dl_expression_kind {
    DL_EXPRESSION_NULL,
    DL_EXPRESSION_BOOL,
    DL_EXPRESSION_INT,
    DL_EXPRESSION_FLOAT,
    DL_EXPRESSION_TEXT,
    DL_EXPRESSION_LIST,
    DL_EXPRESSION_PLACE,   /* trigger() and what has members */
    DL_EXPRESSION_UNKNOWN, /* while checking: there is no run yet */
    DL_EXPRESSION_FAULT,   /* an error, should the value be needed */
    DL_EXPRESSION_TIME,    /* only as arguments */
    DL_EXPRESSION_ZONE,
} dl_expression_kind;

typedef struct dl_expression_fault {
    size_t at; /* in the text */
    char message[120], hint[160];
} dl_expression_fault;

typedef struct dl_expression_value {
    dl_expression_kind kind;
    size_t at; /* where it stands in the text */
    union {
        bool truth;
        int64_t number;
        double real;
        dl_str text;
        struct {
            const struct dl_expression_value *items;
            size_t count;
        } list;
        int place;
        const dl_expression_fault *fault;
        dl_expression_time time;
        const dl_calendar_zone *zone;
    };
} dl_expression_value;

/** Text of a value. Errors: DL_E_INVALID (it has none), DL_E_LIMIT, DL_E_NOMEM. */
DL_NODISCARD dl_status dl_expression_value_append(const dl_expression_value *value, dl_buf *out,
                                                  dl_error *err);
/** A number out of a number or its text. */
bool dl_expression_to_int(const dl_expression_value *value, int64_t *out);
bool dl_expression_to_float(const dl_expression_value *value, double *out);

/* ---- functions ---- */

typedef struct dl_expression_call {
    const struct dl_expression_function *function;
    size_t at; /* of the function's name */
    const dl_expression_scope *scope;
    dl_arena *arena;
    dl_expression_value *args; /* as the signature says */
    size_t count;
} dl_expression_call;

/**
 * What a signature says of each argument; the last one also of all that follow:
 * a any, x any (may be a fault or unknown), s text, i whole number, n number, b truth, t time,
 * f format of times, u unit of times (its number), z zone, l list, c text or list.
 */
typedef struct dl_expression_function {
    const char *name, *signature;
    size_t least, most;
    bool needs_run; /* no value while checking */
    dl_status (*call)(const dl_expression_call *c, dl_expression_value *out, dl_error *err);
} dl_expression_function;

extern const dl_expression_function dl_expression_functions[];
extern const size_t dl_expression_function_count;
dl_status dl_expression_call_time(const dl_expression_call *c, dl_expression_value *out,
                                  dl_error *err);

/** Makes *out the fault, at a place of the text; the hint may be NULL. */
DL_NODISCARD dl_status dl_expression_fault_at(dl_arena *arena, size_t at, dl_expression_value *out,
                                              dl_error *err, const char *hint, const char *format,
                                              ...) DL_PRINTF(6, 7);
/** The arguments as the signature wants them, in place; then the value. */
DL_NODISCARD dl_status dl_expression_function_call(dl_expression_call *c, dl_expression_value *out,
                                                   dl_error *err);
const dl_expression_function *dl_expression_function_find(dl_str name);

#endif
