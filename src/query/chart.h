/**
 * Chart: a result as an SVG picture: bar, line, scatter, histogram, pie.
 *
 * The line of a notebook's cell, "%%chart bar x=modality y=n title='Instances a modality'", is read
 * by dl_query_chart_parse. Without x and y: the first column and all numbers after it. Colours are
 * told apart by the colour-blind; text is text (searchable), sizes scale; no script, no link.
 *
 * Thread: pure, but for reading the result.
 */
#ifndef DL_QUERY_CHART_H
#define DL_QUERY_CHART_H

#include "query/query.h"

typedef enum dl_query_chart_kind {
    DL_CHART_BAR,
    DL_CHART_LINE,
    DL_CHART_SCATTER,
    DL_CHART_HISTOGRAM, /* of one column of numbers */
    DL_CHART_PIE,
} dl_query_chart_kind;

enum { DL_CHART_SERIES_LIMIT = 8, DL_CHART_POINT_LIMIT = 5000, DL_CHART_BAR_LIMIT = 60 };

typedef struct dl_query_chart {
    dl_query_chart_kind kind;
    dl_str x, y[DL_CHART_SERIES_LIMIT]; /* names of columns; empty: chosen */
    size_t y_count;
    dl_str title;
    uint32_t width, height; /* pixels; 0: 720 x 400 */
    uint32_t bins;          /* of a histogram; 0: chosen */
    bool sort;              /* bars by their size */
} dl_query_chart;

/** The words after "%%chart". Errors: DL_E_INVALID naming the word and what is possible. */
DL_NODISCARD dl_status dl_query_chart_parse(dl_str words, dl_arena *arena, dl_query_chart *out,
                                            dl_error *err);
/** Consumes the result. What goes beyond a limit is left out, and the picture says so. Errors:
 * DL_E_INVALID (no such column, no numbers in it), those of the result. */
DL_NODISCARD dl_status dl_query_chart_draw(dl_query_result *result, const dl_query_chart *chart,
                                           dl_buf *out_svg, dl_error *err);

#endif
