/**
 * What the files of the chart share: the data that is drawn, axes with ticks at nice places, and
 * the pieces of an SVG.
 *
 *     chart_parse.c   the words
 *     chart.c         rows to data, limits
 *     chart_axis.c    pure: ranges to ticks and their texts
 *     chart_svg.c     text, lines, axes, legend
 *     chart_draw.c    bars, lines, points, slices
 *
 * Thread: confined.
 */
#ifndef DL_QUERY_CHART_INTERNAL_H
#define DL_QUERY_CHART_INTERNAL_H

#include "query/chart.h"

/* ---- data ---- */

typedef struct dl_chart_series {
    dl_str name;
    double *values; /* NAN: none */
    bool time;
} dl_chart_series;

typedef struct dl_chart_data {
    dl_str x_name;
    dl_str *labels; /* of the points, as text */
    double *x;      /* as numbers; NULL: x is text */
    bool x_time;
    size_t points;
    dl_chart_series series[DL_CHART_SERIES_LIMIT];
    size_t series_count;
    /* Of a histogram: series[0].values has `bins` counts, between edges from `low` on. */
    size_t bins;
    double low, step;
    uint64_t rows, left_out; /* rows of the result; those that are not in the picture */
} dl_chart_data;

/* ---- axes ---- */

enum { DL_CHART_TICK_LIMIT = 40, DL_CHART_TICK_SIZE = 32 };

typedef struct dl_chart_axis {
    double low, high; /* low < high */
    size_t count;
    double at[DL_CHART_TICK_LIMIT];
    char text[DL_CHART_TICK_LIMIT][DL_CHART_TICK_SIZE];
} dl_chart_axis;

/** About `want` (2 to 20) ticks at 1, 2 or 5 times a power of ten, the ends at ticks. `whole`: none
 * between whole numbers. */
void dl_chart_axis_numbers(double low, double high, size_t want, bool whole, dl_chart_axis *out);
/** Ticks at whole seconds, minutes, hours, days, months, years (UTC); the ends stay. */
void dl_chart_axis_times(double low, double high, size_t want, dl_chart_axis *out);
/** A nice step for `count` pieces of a range. */
double dl_chart_nice_step(double range, size_t count);
/** "1,234,567", "0.25", "1.5e+20". */
void dl_chart_number_text(double value, char out[DL_CHART_TICK_SIZE]);
/** "2026-01-05", with " 08:30:00" when it is not midnight. */
void dl_chart_time_text(double seconds, char out[DL_CHART_TICK_SIZE]);

/* ---- SVG ---- */

typedef struct dl_chart_box {
    double left, top, right, bottom;
} dl_chart_box;

typedef struct dl_chart_svg {
    dl_buf *buf;
    dl_error *err;
    dl_status status; /* the first failure; later calls do nothing */
    double width, height;
    dl_chart_box plot; /* where marks are */
} dl_chart_svg;

typedef enum dl_chart_anchor { DL_CHART_START, DL_CHART_MIDDLE, DL_CHART_END } dl_chart_anchor;

void dl_chart_put(dl_chart_svg *svg, const char *format, ...) DL_PRINTF(2, 3);
/** Escaped, control characters as symbols; longer than `columns` (0: any) ends in an ellipsis. */
void dl_chart_put_escaped(dl_chart_svg *svg, dl_str text, size_t columns);
typedef struct dl_chart_style {
    dl_chart_anchor anchor;
    double turn;            /* degrees round the text's place */
    const char *attributes; /* " name=\"value\""; NULL */
    size_t columns;         /* longer texts are shortened; 0: never */
} dl_chart_style;

void dl_chart_text(dl_chart_svg *svg, double x, double y, dl_str text, dl_chart_style style);
/** Pixels of a text of 12 px. */
double dl_chart_text_width(dl_str text);
const char *dl_chart_colour(size_t i);

void dl_chart_begin(dl_chart_svg *svg, const dl_query_chart *chart);
/** The note of what is left out, and the end. */
void dl_chart_end(dl_chart_svg *svg, const dl_chart_data *data);
/** Names of several series, below the title; the plot gets lower. */
void dl_chart_legend(dl_chart_svg *svg, const dl_chart_data *data);
/** Grid, ticks, texts; the plot gets narrower. */
void dl_chart_y_axis(dl_chart_svg *svg, const dl_chart_axis *axis);
void dl_chart_x_axis(dl_chart_svg *svg, const dl_chart_axis *axis, dl_str name);
/** Room for the labels of categories: how they stand. The plot gets lower. */
double dl_chart_label_room(dl_chart_svg *svg, const dl_str *labels, size_t count);
void dl_chart_labels(dl_chart_svg *svg, const dl_str *labels, size_t count, double turn,
                     dl_str name);

double dl_chart_x_of(const dl_chart_svg *svg, const dl_chart_axis *axis, double value);
double dl_chart_y_of(const dl_chart_svg *svg, const dl_chart_axis *axis, double value);

/* ---- the kinds ---- */

void dl_chart_draw_bars(dl_chart_svg *svg, const dl_chart_data *data);
/** Line and scatter. */
void dl_chart_draw_points(dl_chart_svg *svg, const dl_chart_data *data, bool lines);
void dl_chart_draw_histogram(dl_chart_svg *svg, const dl_chart_data *data);
void dl_chart_draw_pie(dl_chart_svg *svg, const dl_chart_data *data);

#endif
