/* Which files a statement need not open: conditions against the partition values and statistics
 * that the log has of a file. What is in doubt is opened: a file too many costs time, one too few
 * an answer. (Delta protocol, "Per-file Statistics".) */
#include "query/internal.h"

#include "base/ckd.h"
#include "json/json.h"

#include <math.h>

enum { TEXT_LIMIT_BYTES = 1024 * 1024 };

/* Times in statistics are cut to milliseconds. */
static const int64_t cut_us = 999;

/* What the log knows of a column's values in one file. */
typedef struct range {
    bool no_value; /* every row is NULL there: no comparison holds */
    bool has_min, has_max;
    dl_columnar_value min, max;
} range;

/* ---- values ---- */

static int compare(dl_columnar_type type, const dl_columnar_value *a, const dl_columnar_value *b)
{
    if (type == DL_COLUMNAR_STRING) {
        return dl_str_compare(a->s, b->s);
    }
    if (type == DL_COLUMNAR_FLOAT || type == DL_COLUMNAR_DOUBLE) {
        return (a->d > b->d) - (a->d < b->d); /* 0 beside NaN */
    }
    return (a->i > b->i) - (a->i < b->i);
}

static bool has_order(const dl_columnar_field *field)
{
    switch (field->type) {
    case DL_COLUMNAR_BINARY:
    case DL_COLUMNAR_STRUCT:
    case DL_COLUMNAR_LIST:
    case DL_COLUMNAR_MAP:
        return false;
    case DL_COLUMNAR_DECIMAL:
        return field->precision <= 18;
    case DL_COLUMNAR_STRING:
    case DL_COLUMNAR_BOOL:
    case DL_COLUMNAR_INT8:
    case DL_COLUMNAR_INT16:
    case DL_COLUMNAR_INT32:
    case DL_COLUMNAR_INT64:
    case DL_COLUMNAR_FLOAT:
    case DL_COLUMNAR_DOUBLE:
    case DL_COLUMNAR_DATE:
    case DL_COLUMNAR_TIMESTAMP:
    case DL_COLUMNAR_TIMESTAMP_NTZ:
    default:
        return true;
    }
}

/* Whether the engine compares the two in the order of the column: text is cast to the column's
 * type, but a column of text to the constant's where that is none ('005' = 5). */
static bool keeps_order(dl_columnar_type type, dl_plan_constant constant)
{
    bool time = type == DL_COLUMNAR_TIMESTAMP || type == DL_COLUMNAR_TIMESTAMP_NTZ;
    bool text = type == DL_COLUMNAR_STRING;
    bool truth = type == DL_COLUMNAR_BOOL;
    switch (constant) {
    case DL_PLAN_TEXT:
        return true;
    case DL_PLAN_NUMBER:
        return !text && !truth && !time && type != DL_COLUMNAR_DATE;
    case DL_PLAN_BOOL:
        return truth;
    case DL_PLAN_DATE:
    case DL_PLAN_TIMESTAMP:
    case DL_PLAN_TIMESTAMPTZ:
        return time || type == DL_COLUMNAR_DATE;
    case DL_PLAN_BYTES:
        return text;
    default:
        return false;
    }
}

/* A condition's constant as a value of the column; false: it is compared in another way. */
static bool constant_of(const dl_columnar_field *field, dl_plan_constant constant, dl_str text,
                        dl_columnar_value *out)
{
    if (text.ptr == NULL || !keeps_order(field->type, constant)) {
        return false;
    }
    if (constant == DL_PLAN_BOOL) {
        text = dl_str_eq(text, DL_STR("t")) ? DL_STR("true") : DL_STR("false");
    }
    return dl_delta_value_parse(field, text, out) &&
           ((field->type != DL_COLUMNAR_FLOAT && field->type != DL_COLUMNAR_DOUBLE) ||
            !isnan(out->d));
}

/* ---- ranges ---- */

/* The values in the files may lie a little beyond what is written of them. */
static void widen(const dl_columnar_field *field, range *r)
{
    if (field->type == DL_COLUMNAR_TIMESTAMP || field->type == DL_COLUMNAR_TIMESTAMP_NTZ) {
        r->has_min = r->has_min && !ckd_sub(&r->min.i, r->min.i, cut_us);
        r->has_max = r->has_max && !ckd_add(&r->max.i, r->max.i, cut_us);
    } else if (field->type == DL_COLUMNAR_FLOAT) {
        r->min.d = r->has_min ? (double)nextafterf((float)r->min.d, -INFINITY) : 0;
        r->max.d = r->has_max ? (double)nextafterf((float)r->max.d, INFINITY) : 0;
    }
}

/* A member of minValues or maxValues; false where it says nothing. */
static bool read_bound(const dl_columnar_field *field, dl_str stats, const char *member,
                       dl_arena *arena, dl_columnar_value *out)
{
    dl_str values = DL_STR_NONE, value = DL_STR_NONE;
    if (!dl_json_get(stats, dl_str_of(member), &values) ||
        !dl_json_get(values, field->name, &value)) {
        return false;
    }
    switch (dl_json_kind_of(value)) {
    case DL_JSON_STRING:
        if (dl_json_text(value, arena, &value, NULL) != DL_OK) {
            return false;
        }
        break;
    case DL_JSON_NUMBER:
    case DL_JSON_BOOL:
        break;
    case DL_JSON_NONE:
    case DL_JSON_OBJECT:
    case DL_JSON_ARRAY:
    case DL_JSON_NULL:
    default:
        return false;
    }
    /* What could not be written as it was has lost its order. */
    return dl_str_find_str(value, DL_STR("\xEF\xBF\xBD")) < 0 &&
           dl_delta_value_parse(field, value, out);
}

static void statistics(const dl_columnar_field *field, const dl_delta_file *file, dl_arena *arena,
                       range *out)
{
    dl_str counts = DL_STR_NONE, count = DL_STR_NONE;
    int64_t nulls = -1;
    if (file->stats.ptr == NULL) {
        return;
    }
    if (dl_json_get(file->stats, DL_STR("nullCount"), &counts) &&
        dl_json_get(counts, field->name, &count) && dl_json_int_of(count, &nulls)) {
        out->no_value = file->row_count >= 0 && nulls == file->row_count;
    }
    out->has_min = read_bound(field, file->stats, "minValues", arena, &out->min);
    out->has_max = read_bound(field, file->stats, "maxValues", arena, &out->max);
    widen(field, out);
}

static void partition(const dl_delta_column *column, const dl_delta_file *file, range *out)
{
    bool null = false;
    dl_columnar_value value = {0};
    if (dl_delta_partition_value(column, file, &null, &value, NULL) != DL_OK) {
        return;
    }
    *out =
        (range){.no_value = null, .has_min = !null, .has_max = !null, .min = value, .max = value};
    widen(&column->field, out);
}

/* ---- conditions ---- */

/* Whether a value within the range may stand in `op` to the constant. NaN is greater than every
 * number, and no range has it. */
static bool may_fulfil(dl_columnar_type type, dl_plan_operator op, const dl_columnar_value *c,
                       const range *r)
{
    bool floats = type == DL_COLUMNAR_FLOAT || type == DL_COLUMNAR_DOUBLE;
    int min = r->has_min ? compare(type, &r->min, c) : -1;
    int max = r->has_max ? compare(type, &r->max, c) : 1;
    switch (op) {
    case DL_PLAN_EQ:
    case DL_PLAN_IN:
        return min <= 0 && max >= 0;
    case DL_PLAN_LT:
        return min < 0 || (floats && min == 0);
    case DL_PLAN_LE:
        return min <= 0;
    case DL_PLAN_GT:
        return max > 0 || floats;
    case DL_PLAN_GE:
        return max >= 0 || floats;
    default:
        return true;
    }
}

static bool may_hold(const dl_delta_column *column, const dl_delta_file *file,
                     const dl_plan_condition *condition, dl_arena *arena)
{
    range r = {0};
    if (column->partition) {
        partition(column, file, &r);
    } else {
        statistics(&column->field, file, arena, &r);
    }
    if (r.no_value) {
        return false;
    }
    for (size_t i = 0; i < condition->value_count; i++) {
        dl_columnar_value c = {0};
        if (!constant_of(&column->field, condition->constant, condition->values[i], &c) ||
            may_fulfil(column->field.type, condition->op, &c, &r)) {
            return true;
        }
    }
    return condition->value_count == 0;
}

/* NULL: none, or two that case alone tells apart. */
static const dl_delta_column *find_column(const dl_delta_table *table, dl_str name)
{
    const dl_delta_column *found = NULL;
    size_t count = 0;
    const dl_delta_column *columns = dl_delta_columns(table, &count);
    for (size_t i = 0; i < count; i++) {
        if (dl_str_eq_nocase(columns[i].name, name)) {
            if (found != NULL) {
                return NULL;
            }
            found = &columns[i];
        }
    }
    return found;
}

bool dl_prune_may_hold(const dl_delta_table *table, const dl_delta_file *file,
                       const dl_plan_condition *conditions, size_t count)
{
    if (count == 0) {
        return true;
    }
    DL_AUTO(dl_arena) arena = dl_arena_create(TEXT_LIMIT_BYTES);
    for (size_t i = 0; i < count && arena != NULL; i++) {
        const dl_delta_column *column = find_column(table, conditions[i].column);
        if (column != NULL && has_order(&column->field) &&
            !may_hold(column, file, &conditions[i], arena)) {
            return false;
        }
    }
    return true;
}
