/* Rows to the data of a chart, within its limits. */
#include "query/output/chart_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define ARENA_LIMIT_BYTES ((size_t)64 << 20)
#define VALUES_LIMIT_BYTES ((size_t)128 << 20) /* of a histogram: 16 million */
enum { LABEL_BYTES = 400, LABEL_LIMIT_BYTES = 64 << 20, NO_COLUMN = -1 };

typedef struct reader {
    dl_query_result *result;
    const dl_query_chart *chart;
    dl_arena *arena;
    dl_chart_data *data;
    size_t x;
    size_t y[DL_CHART_SERIES_LIMIT];
} reader;

/* ---- columns ---- */

static bool is_time(dl_query_kind kind)
{
    return kind == DL_QUERY_DATE || kind == DL_QUERY_TIMESTAMP;
}

static bool is_number(dl_query_kind kind)
{
    return kind == DL_QUERY_INTEGER || kind == DL_QUERY_NUMBER || kind == DL_QUERY_BOOL ||
           kind == DL_QUERY_TIME || is_time(kind);
}

static dl_query_kind kind_of(const reader *r, size_t column)
{
    return dl_query_column_at(r->result, column)->kind;
}

static dl_status find_column(const reader *r, dl_str name, size_t *out_column, dl_error *err)
{
    char all[120];
    size_t len = 0;
    all[0] = '\0';
    for (size_t i = 0; i < dl_query_column_count(r->result); i++) {
        dl_str known = dl_query_column_at(r->result, i)->name;
        if (dl_str_eq_nocase(known, name)) {
            *out_column = i;
            return DL_OK;
        }
        if (len + known.len + 3 < sizeof all) {
            len += (size_t)snprintf(all + len, sizeof all - len, "%s%.*s", len == 0 ? "" : ", ",
                                    DL_STR_ARG(known));
        }
    }
    (void)dl_error_set(err, DL_E_INVALID, "chart: the rows have no column '%.*s'",
                       DL_STR_ARG(dl_str_slice(name, 0, 60)));
    dl_error_hint(err, "there are %s", all);
    return DL_E_INVALID;
}

static dl_status no_numbers(const reader *r, size_t column, dl_error *err)
{
    const dl_query_column *c = dl_query_column_at(r->result, column);
    (void)dl_error_set(err, DL_E_INVALID, "chart: there are no numbers in column %.*s (%.*s)",
                       DL_STR_ARG(dl_str_slice(c->name, 0, 60)),
                       DL_STR_ARG(dl_str_slice(c->type, 0, 60)));
    return DL_E_INVALID;
}

/** Those that are named, else all numbers but x. A column alone is its own y. */
static dl_status choose_y(reader *r, dl_error *err)
{
    size_t count = 0;
    for (size_t i = 0; i < r->chart->y_count; i++) {
        DL_TRY(find_column(r, r->chart->y[i], &r->y[count], err));
        if (!is_number(kind_of(r, r->y[count]))) {
            return no_numbers(r, r->y[count], err);
        }
        count++;
    }
    size_t columns = dl_query_column_count(r->result);
    for (size_t i = 0; i < columns && r->chart->y_count == 0; i++) {
        dl_query_kind kind = kind_of(r, i);
        bool counts = kind == DL_QUERY_INTEGER || kind == DL_QUERY_NUMBER;
        if (counts && (i != r->x || columns == 1) && count < DL_CHART_SERIES_LIMIT) {
            r->y[count++] = i;
        }
    }
    if (count == 0) {
        (void)dl_error_set(err, DL_E_INVALID, "chart: the rows have no column of numbers for y");
        dl_error_hint(err, "name one: y=COLUMN");
        return DL_E_INVALID;
    }
    r->data->series_count = r->chart->kind == DL_CHART_PIE ? 1 : count;
    return DL_OK;
}

static dl_status choose_columns(reader *r, dl_error *err)
{
    r->x = 0;
    if (r->chart->x.len > 0) {
        DL_TRY(find_column(r, r->chart->x, &r->x, err));
    }
    DL_TRY(choose_y(r, err));
    dl_query_kind x = kind_of(r, r->x);
    bool numbers = r->chart->kind == DL_CHART_LINE || r->chart->kind == DL_CHART_SCATTER;
    r->data->x_name = dl_query_column_at(r->result, r->x)->name;
    r->data->x_time = is_time(x);
    if (numbers && x != DL_QUERY_BOOL && is_number(x)) {
        r->data->x = dl_arena_alloc(r->arena, DL_CHART_POINT_LIMIT, sizeof(double));
        if (r->data->x == NULL) {
            return dl_arena_full(r->arena, err);
        }
    } else if (r->chart->kind == DL_CHART_SCATTER) {
        return no_numbers(r, r->x, err);
    }
    return DL_OK;
}

static dl_status make_room(reader *r, dl_error *err)
{
    dl_chart_data *d = r->data;
    d->labels = dl_arena_alloc(r->arena, DL_CHART_POINT_LIMIT, sizeof *d->labels);
    if (d->labels == NULL) {
        return dl_arena_full(r->arena, err);
    }
    for (size_t i = 0; i < d->series_count; i++) {
        const dl_query_column *c = dl_query_column_at(r->result, r->y[i]);
        d->series[i] =
            (dl_chart_series){.name = c->name,
                              .time = is_time(c->kind),
                              .values = dl_arena_alloc(r->arena, DL_CHART_POINT_LIMIT, 8)};
        if (d->series[i].values == NULL) {
            return dl_arena_full(r->arena, err);
        }
    }
    return DL_OK;
}

/* ---- rows ---- */

static double number_at(const reader *r, size_t column, size_t row)
{
    double value = 0;
    return dl_query_number(r->result, column, row, &value) && isfinite(value) ? value : NAN;
}

static dl_status keep_row(reader *r, size_t row, dl_buf *label, dl_error *err)
{
    dl_chart_data *d = r->data;
    dl_buf_reset(label);
    if (dl_query_is_null(r->result, r->x, row)) {
        DL_TRY(dl_buf_append_str(label, DL_STR("NULL"), err));
    } else {
        DL_TRY(dl_query_put_text(r->result, r->x, row, label, err));
    }
    DL_TRY(dl_arena_copy(r->arena, dl_str_slice(dl_buf_str(label), 0, LABEL_BYTES),
                         &d->labels[d->points], err));
    if (d->x != NULL) {
        d->x[d->points] = number_at(r, r->x, row);
    }
    for (size_t i = 0; i < d->series_count; i++) {
        double value = number_at(r, r->y[i], row);
        if (r->chart->kind == DL_CHART_PIE && value < 0) {
            return dl_error_set(err, DL_E_INVALID, "chart: a pie has no parts below zero");
        }
        d->series[i].values[d->points] = value;
    }
    d->points++;
    return DL_OK;
}

static dl_status read_points(reader *r, dl_error *err)
{
    DL_AUTO_BUF label = {0};
    dl_buf_init(&label, LABEL_LIMIT_BYTES);
    DL_TRY(make_room(r, err));
    for (;;) {
        size_t rows = 0;
        DL_TRY(dl_query_next(r->result, &rows, err));
        if (rows == 0) {
            return DL_OK;
        }
        r->data->rows += rows;
        for (size_t row = 0; row < rows && r->data->points < DL_CHART_POINT_LIMIT; row++) {
            DL_TRY(keep_row(r, row, &label, err));
        }
    }
}

/* ---- sorting ---- */

typedef struct ranked {
    double value;
    size_t index;
} ranked;

static int largest_first(const void *a, const void *b)
{
    const ranked *l = a;
    const ranked *r = b;
    if (isnan(l->value) != isnan(r->value)) {
        return isnan(l->value) ? 1 : -1;
    }
    if (l->value != r->value && !isnan(l->value)) {
        return l->value > r->value ? -1 : 1;
    }
    return l->index < r->index ? -1 : l->index > r->index ? 1 : 0;
}

/** Points by the first series. */
static dl_status sort_points(reader *r, dl_error *err)
{
    dl_chart_data *d = r->data;
    ranked *order = dl_arena_alloc(r->arena, d->points + 1, sizeof *order);
    dl_chart_data sorted = *d;
    if (order == NULL) {
        return dl_arena_full(r->arena, err);
    }
    for (size_t i = 0; i < d->points; i++) {
        order[i] = (ranked){.value = d->series[0].values[i], .index = i};
    }
    qsort(order, d->points, sizeof *order, largest_first);
    r->data = &sorted;
    dl_status status = make_room(r, err);
    r->data = d;
    DL_TRY(status);
    for (size_t i = 0; i < d->points; i++) {
        sorted.labels[i] = d->labels[order[i].index];
        for (size_t s = 0; s < d->series_count; s++) {
            sorted.series[s].values[i] = d->series[s].values[order[i].index];
        }
    }
    *d = sorted;
    return DL_OK;
}

/* ---- histogram ---- */

static dl_status read_values(reader *r, size_t column, dl_buf *values, dl_error *err)
{
    for (;;) {
        size_t rows = 0;
        DL_TRY(dl_query_next(r->result, &rows, err));
        if (rows == 0) {
            return DL_OK;
        }
        r->data->rows += rows;
        for (size_t row = 0; row < rows; row++) {
            double value = number_at(r, column, row);
            if (isnan(value) || fabs(value) > 1e300 ||
                values->limit_bytes - values->len < sizeof value) {
                r->data->left_out++;
                continue;
            }
            DL_TRY(dl_buf_append(values, &value, sizeof value, err));
        }
    }
}

/** Sturges' rule, edges at nice numbers. */
static void choose_bins(dl_chart_data *d, double low, double high, size_t count, uint32_t wanted)
{
    bool whole = low == floor(low) && high == floor(high) && !d->x_time;
    size_t bins = wanted > 0 ? wanted : (size_t)ceil(log2((double)(count < 2 ? 2 : count))) + 1;
    if (!(high > low)) {
        *d = (dl_chart_data){.x_name = d->x_name,
                             .x_time = d->x_time,
                             .rows = d->rows,
                             .left_out = d->left_out,
                             .labels = d->labels,
                             .bins = 1,
                             .low = low - 0.5,
                             .step = 1,
                             .series_count = 1};
        return;
    }
    d->step = (high - low) / (double)bins;
    d->low = low;
    d->bins = bins;
    if (wanted == 0) {
        d->step = dl_chart_nice_step(high - low, bins);
        if (whole && d->step < 1) {
            d->step = 1;
        }
        d->low = floor(low / d->step) * d->step;
        d->bins = (size_t)fmin(floor((high - d->low) / d->step) + 1, 2.0 * (double)bins + 2);
    }
}

static dl_status make_histogram(reader *r, dl_error *err)
{
    dl_chart_data *d = r->data;
    DL_AUTO_BUF values = {0};
    dl_buf_init(&values, VALUES_LIMIT_BYTES);
    size_t column = r->chart->y_count > 0 ? r->y[0] : r->chart->x.len > 0 ? r->x : r->y[0];
    if (!is_number(kind_of(r, column))) {
        return no_numbers(r, column, err);
    }
    d->x_name = dl_query_column_at(r->result, column)->name;
    d->x_time = is_time(kind_of(r, column));
    DL_TRY(read_values(r, column, &values, err));
    const double *all = (const double *)(const void *)values.ptr;
    size_t count = values.len / sizeof *all;
    double low = INFINITY;
    double high = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        low = fmin(low, all[i]);
        high = fmax(high, all[i]);
    }
    choose_bins(d, count == 0 ? 0 : low, count == 0 ? 0 : high, count, r->chart->bins);
    d->series_count = 1;
    d->series[0] = (dl_chart_series){.name = DL_STR("rows"),
                                     .values = dl_arena_alloc(r->arena, d->bins, sizeof *all)};
    if (d->series[0].values == NULL) {
        return dl_arena_full(r->arena, err);
    }
    for (size_t i = 0; i < count; i++) {
        double bin = floor((all[i] - d->low) / d->step);
        size_t at = bin < 0 ? 0 : bin >= (double)d->bins ? d->bins - 1 : (size_t)bin;
        d->series[0].values[at]++;
    }
    d->points = d->bins;
    return DL_OK;
}

/* ---- all of it ---- */

static dl_status read_data(reader *r, dl_error *err)
{
    if (dl_query_column_count(r->result) == 0) {
        return dl_error_set(err, DL_E_INVALID, "chart: the rows have no columns");
    }
    if (r->chart->kind == DL_CHART_HISTOGRAM && r->chart->y_count == 0 && r->chart->x.len > 0) {
        DL_TRY(find_column(r, r->chart->x, &r->x, err));
        return make_histogram(r, err);
    }
    DL_TRY(choose_columns(r, err));
    if (r->chart->kind == DL_CHART_HISTOGRAM) {
        return make_histogram(r, err);
    }
    DL_TRY(read_points(r, err));
    dl_chart_data *d = r->data;
    d->left_out = d->rows - d->points;
    if (r->chart->sort && r->chart->kind == DL_CHART_BAR) {
        DL_TRY(sort_points(r, err));
    }
    if (r->chart->kind == DL_CHART_BAR && d->points > DL_CHART_BAR_LIMIT) {
        d->left_out += d->points - DL_CHART_BAR_LIMIT;
        d->points = DL_CHART_BAR_LIMIT;
    }
    return DL_OK;
}

static void draw(dl_chart_svg *svg, const dl_query_chart *chart, const dl_chart_data *data)
{
    switch (chart->kind) {
    case DL_CHART_BAR:
        dl_chart_draw_bars(svg, data);
        break;
    case DL_CHART_LINE:
    case DL_CHART_SCATTER:
        dl_chart_draw_points(svg, data, chart->kind == DL_CHART_LINE);
        break;
    case DL_CHART_HISTOGRAM:
        dl_chart_draw_histogram(svg, data);
        break;
    case DL_CHART_PIE:
        dl_chart_draw_pie(svg, data);
        break;
    }
}

dl_status dl_query_chart_draw(dl_query_result *result, const dl_query_chart *chart, dl_buf *out_svg,
                              dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "chart: out of memory");
    }
    dl_chart_data data = {0};
    reader r = {.result = result, .chart = chart, .arena = arena, .data = &data};
    DL_TRY(read_data(&r, err));
    size_t before = out_svg->len;
    dl_chart_svg svg = {.buf = out_svg, .err = err};
    dl_chart_begin(&svg, chart);
    draw(&svg, chart, &data);
    dl_chart_end(&svg, &data);
    if (svg.status != DL_OK) {
        out_svg->len = before;
    }
    return svg.status;
}
