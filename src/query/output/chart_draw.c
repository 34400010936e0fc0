/* Bars, lines, points, slices. */
#include "query/output/chart_internal.h"

#include <math.h>
#include <stdio.h>

enum { LABELLED_POINTS = 60, TITLED_POINTS = 1000, SLICES = 9 };

/* ---- ranges ---- */

typedef struct range {
    double low, high;
    bool whole, time;
} range;

static range range_of(const dl_chart_data *data, bool with_zero)
{
    range r = {.low = INFINITY, .high = -INFINITY, .whole = true, .time = true};
    for (size_t s = 0; s < data->series_count; s++) {
        r.time = r.time && data->series[s].time;
        for (size_t i = 0; i < data->points; i++) {
            double value = data->series[s].values[i];
            if (!isnan(value)) {
                r.low = fmin(r.low, value);
                r.high = fmax(r.high, value);
                r.whole = r.whole && value == floor(value) && fabs(value) < 1e15;
            }
        }
    }
    if (r.low > r.high) { /* nothing at all */
        r = (range){.low = 0, .high = 1, .whole = true};
    }
    if (with_zero && !r.time) {
        r.low = fmin(r.low, 0);
        r.high = fmax(r.high, 0);
    }
    return r;
}

static size_t y_ticks(const dl_chart_svg *svg)
{
    double ticks = (svg->plot.bottom - svg->plot.top) / 55;
    return ticks < 2 ? 2 : ticks > 12 ? 12 : (size_t)ticks;
}

static void make_y(const dl_chart_svg *svg, range r, dl_chart_axis *axis)
{
    if (r.time) {
        dl_chart_axis_times(r.low, r.high, y_ticks(svg), axis);
    } else {
        dl_chart_axis_numbers(r.low, r.high, y_ticks(svg), r.whole, axis);
    }
}

static void value_text(const dl_chart_series *series, double value, char out[DL_CHART_TICK_SIZE])
{
    if (series->time) {
        dl_chart_time_text(value, out);
    } else {
        dl_chart_number_text(value, out);
    }
}

/** What a browser shows when one points at a mark. */
static void put_hint(dl_chart_svg *svg, dl_str label, const dl_chart_series *series, double value)
{
    char text[DL_CHART_TICK_SIZE];
    value_text(series, value, text);
    dl_chart_put(svg, "<title>");
    dl_chart_put_escaped(svg, label, 0);
    dl_chart_put(svg, ", ");
    dl_chart_put_escaped(svg, series->name, 0);
    dl_chart_put(svg, ": %s</title>", text);
}

/* ---- bars ---- */

static void put_bar(dl_chart_svg *svg, const dl_chart_axis *axis, double x, double width,
                    double value, size_t colour)
{
    double base = dl_chart_y_of(svg, axis, fmin(fmax(0, axis->low), axis->high));
    double end = dl_chart_y_of(svg, axis, value);
    double height = fabs(base - end);
    dl_chart_put(svg, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\">", x,
                 fmin(base, end), width, height < 0.5 && value != 0 ? 0.5 : height,
                 dl_chart_colour(colour));
}

void dl_chart_draw_bars(dl_chart_svg *svg, const dl_chart_data *data)
{
    dl_chart_axis axis;
    dl_chart_legend(svg, data);
    double bottom = svg->plot.bottom;
    double turn = dl_chart_label_room(svg, data->labels, data->points);
    make_y(svg, range_of(data, true), &axis);
    dl_chart_y_axis(svg, &axis);
    if (turn == 0) { /* the axis took room: do they still fit? */
        svg->plot.bottom = bottom;
        turn = dl_chart_label_room(svg, data->labels, data->points);
    }
    double slot =
        (svg->plot.right - svg->plot.left) / (double)(data->points == 0 ? 1 : data->points);
    double width = fmin(slot * 0.8, 90 * (double)data->series_count) / (double)data->series_count;
    for (size_t i = 0; i < data->points; i++) {
        double x =
            svg->plot.left + slot * ((double)i + 0.5) - width * (double)data->series_count / 2;
        for (size_t s = 0; s < data->series_count; s++) {
            double value = data->series[s].values[i];
            if (!isnan(value)) {
                put_bar(svg, &axis, x + width * (double)s, width, value, s);
                put_hint(svg, data->labels[i], &data->series[s], value);
                dl_chart_put(svg, "</rect>\n");
            }
        }
    }
    dl_chart_labels(svg, data->labels, data->points, turn, data->x_name);
}

void dl_chart_draw_histogram(dl_chart_svg *svg, const dl_chart_data *data)
{
    dl_chart_axis y;
    dl_chart_axis x;
    const dl_chart_series *counts = &data->series[0];
    double high = data->low + data->step * (double)data->bins;
    svg->plot.bottom -= 36;
    make_y(svg, range_of(data, true), &y);
    dl_chart_y_axis(svg, &y);
    size_t want = (size_t)((svg->plot.right - svg->plot.left) / 90) + 2;
    if (data->x_time) {
        dl_chart_axis_times(data->low, high, want, &x);
    } else {
        dl_chart_axis_numbers(data->low, high, want, false, &x);
    }
    for (size_t i = 0; i < data->bins; i++) {
        double from = data->low + data->step * (double)i;
        double left = dl_chart_x_of(svg, &x, from);
        double width = dl_chart_x_of(svg, &x, from + data->step) - left;
        char low[DL_CHART_TICK_SIZE];
        char count[DL_CHART_TICK_SIZE];
        if (data->x_time) {
            dl_chart_time_text(from, low);
        } else {
            dl_chart_number_text(from, low);
        }
        dl_chart_number_text(counts->values[i], count);
        put_bar(svg, &y, left, fmax(width - 1, 0.5), counts->values[i], 0);
        dl_chart_put(svg, "<title>from %s: %s</title></rect>\n", low, count);
    }
    dl_chart_x_axis(svg, &x, data->x_name);
}

/* ---- lines and points ---- */

static void put_mark(dl_chart_svg *svg, double x, double y, size_t shape, double size)
{
    const char *colour = dl_chart_colour(shape);
    switch (shape % 4) {
    case 0:
        dl_chart_put(svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\"", x, y, size,
                     colour);
        break;
    case 1:
        dl_chart_put(svg, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"",
                     x - size, y - size, 2 * size, 2 * size, colour);
        break;
    case 2:
        dl_chart_put(svg, "<path d=\"M%.1f %.1fl%.1f %.1fh%.1fz\" fill=\"%s\"", x, y - size * 1.2,
                     size * 1.2, size * 2.1, -size * 2.4, colour);
        break;
    default:
        dl_chart_put(svg, "<path d=\"M%.1f %.1fl%.1f %.1fl%.1f %.1fl%.1f %.1fz\" fill=\"%s\"", x,
                     y - size * 1.3, size * 1.3, size * 1.3, -size * 1.3, size * 1.3, -size * 1.3,
                     -size * 1.3, colour);
        break;
    }
}

typedef struct places {
    const dl_chart_axis *x, *y; /* x NULL: one slot a point */
    double slot;
} places;

static double place_of(const dl_chart_svg *svg, const dl_chart_data *data, const places *p,
                       size_t i)
{
    return p->x == NULL ? svg->plot.left + p->slot * ((double)i + 0.5)
                        : dl_chart_x_of(svg, p->x, data->x[i]);
}

/** A gap where there is no value. */
static void put_line(dl_chart_svg *svg, const dl_chart_data *data, const places *p, size_t series)
{
    bool open = false;
    dl_chart_put(svg,
                 "<path fill=\"none\" stroke=\"%s\" stroke-width=\"2\" "
                 "stroke-linejoin=\"round\" d=\"",
                 dl_chart_colour(series));
    for (size_t i = 0; i < data->points; i++) {
        double value = data->series[series].values[i];
        if (isnan(value) || (p->x != NULL && isnan(data->x[i]))) {
            open = false;
            continue;
        }
        dl_chart_put(svg, "%s%.1f %.1f", open ? "L" : "M", place_of(svg, data, p, i),
                     dl_chart_y_of(svg, p->y, value));
        open = true;
    }
    dl_chart_put(svg, "\"/>\n");
}

static void put_marks(dl_chart_svg *svg, const dl_chart_data *data, const places *p, size_t series,
                      double size)
{
    for (size_t i = 0; i < data->points; i++) {
        double value = data->series[series].values[i];
        if (isnan(value) || (p->x != NULL && isnan(data->x[i]))) {
            continue;
        }
        put_mark(svg, place_of(svg, data, p, i), dl_chart_y_of(svg, p->y, value), series, size);
        if (data->points <= TITLED_POINTS) {
            dl_chart_put(svg, "%s>", data->points > 200 ? " fill-opacity=\"0.7\"" : "");
            put_hint(svg, data->labels[i], &data->series[series], value);
            dl_chart_put(svg, "%s\n",
                         series % 4 == 0   ? "</circle>"
                         : series % 4 == 1 ? "</rect>"
                                           : "</path>");
        } else {
            dl_chart_put(svg, " fill-opacity=\"0.5\"/>\n");
        }
    }
}

static void make_x(const dl_chart_svg *svg, const dl_chart_data *data, dl_chart_axis *out)
{
    double low = INFINITY;
    double high = -INFINITY;
    bool whole = true;
    for (size_t i = 0; i < data->points; i++) {
        if (!isnan(data->x[i])) {
            low = fmin(low, data->x[i]);
            high = fmax(high, data->x[i]);
            whole = whole && data->x[i] == floor(data->x[i]);
        }
    }
    if (low > high) {
        low = 0;
        high = 1;
    }
    size_t want = (size_t)((svg->plot.right - svg->plot.left) / 90) + 1;
    if (data->x_time) {
        dl_chart_axis_times(low, high, want, out);
    } else {
        dl_chart_axis_numbers(low, high, want, whole, out);
    }
}

void dl_chart_draw_points(dl_chart_svg *svg, const dl_chart_data *data, bool lines)
{
    dl_chart_axis y;
    dl_chart_axis x;
    places p = {.y = &y};
    double turn = 0;
    dl_chart_legend(svg, data);
    size_t shown = data->x == NULL && data->points <= DL_CHART_BAR_LIMIT ? data->points : 0;
    if (shown > 0) {
        turn = dl_chart_label_room(svg, data->labels, shown);
    } else {
        svg->plot.bottom -= 36;
    }
    make_y(svg, range_of(data, false), &y);
    dl_chart_y_axis(svg, &y);
    p.slot = (svg->plot.right - svg->plot.left) / (double)(data->points == 0 ? 1 : data->points);
    if (data->x != NULL) {
        make_x(svg, data, &x);
        p.x = &x;
        dl_chart_x_axis(svg, &x, data->x_name);
    } else {
        dl_chart_labels(svg, data->labels, shown, turn, data->x_name);
    }
    for (size_t s = 0; s < data->series_count; s++) {
        if (lines) {
            put_line(svg, data, &p, s);
        }
        if (!lines || data->points <= LABELLED_POINTS) {
            put_marks(svg, data, &p, s, data->points > 500 ? 2.5 : 3.5);
        }
    }
}

/* ---- slices ---- */

typedef struct slice {
    dl_str label;
    double value;
    size_t index;
} slice;

/** The largest first; those beyond SLICES become one. Returns how many. */
static size_t choose_slices(const dl_chart_data *data, slice out[SLICES], double *out_total,
                            size_t *out_others)
{
    size_t count = 0;
    *out_total = 0;
    *out_others = 0;
    for (size_t i = 0; i < data->points; i++) {
        double value = data->series[0].values[i];
        if (isnan(value) || value <= 0) {
            continue;
        }
        *out_total += value;
        slice next = {.label = data->labels[i], .value = value};
        for (size_t k = 0; k < count; k++) { /* insert; the smallest falls out at the end */
            if (next.value > out[k].value) {
                slice kept = out[k];
                out[k] = next;
                next = kept;
            }
        }
        if (count < SLICES) {
            out[count++] = next;
        } else {
            ++*out_others;
        }
    }
    return count;
}

typedef struct disc {
    double x, y, radius;
} disc;

/** From part to part of the whole, clockwise from above. */
static void put_slice(dl_chart_svg *svg, const disc *d, double from, double to, const char *colour)
{
    double x = d->x;
    double y = d->y;
    double radius = d->radius;
    double a = from * 2 * M_PI;
    double b = to * 2 * M_PI;
    if (to - from > 0.99999) {
        dl_chart_put(svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\"/>\n", x, y,
                     radius, colour);
        return;
    }
    dl_chart_put(svg,
                 "<path d=\"M%.2f %.2fL%.2f %.2fA%.2f %.2f 0 %d 1 %.2f %.2fz\" fill=\"%s\" "
                 "stroke=\"#ffffff\"/>\n",
                 x, y, x + radius * sin(a), y - radius * cos(a), radius, radius,
                 to - from > 0.5 ? 1 : 0, x + radius * sin(b), y - radius * cos(b), colour);
}

static void put_slice_name(dl_chart_svg *svg, double x, double y, const slice *named, double part,
                           const char *colour)
{
    char text[DL_CHART_TICK_SIZE + 24];
    char number[DL_CHART_TICK_SIZE];
    dl_chart_number_text(named->value, number);
    (void)snprintf(text, sizeof text, "%s (%.1f %%)", number, part * 100);
    dl_chart_put(svg, "<rect x=\"%.1f\" y=\"%.1f\" width=\"11\" height=\"11\" fill=\"%s\"/>\n", x,
                 y - 10, colour);
    size_t room = (size_t)((svg->plot.right - x - 16) / 6.7) - (sizeof "" + 22);
    dl_chart_text(svg, x + 16, y, named->label,
                  (dl_chart_style){.columns = room < 6 || room > 200 ? 6 : room});
    dl_chart_text(svg, svg->plot.right, y, dl_str_of(text),
                  (dl_chart_style){.anchor = DL_CHART_END});
}

void dl_chart_draw_pie(dl_chart_svg *svg, const dl_chart_data *data)
{
    slice slices[SLICES];
    double total = 0;
    size_t others = 0;
    size_t count = choose_slices(data, slices, &total, &others);
    double half =
        fmin(svg->plot.bottom - svg->plot.top, (svg->plot.right - svg->plot.left) / 2) / 2;
    double x = svg->plot.left + half;
    double y = (svg->plot.top + svg->plot.bottom) / 2;
    const disc whole = {x, y, half - 2};
    double line = svg->plot.top + fmax(14, half - 9.0 * (double)(count + 1));
    double done = 0;
    for (size_t i = 0; i < count + (others > 0); i++) {
        char name[48];
        (void)snprintf(name, sizeof name, "%zu others", others);
        bool rest = i == count;
        double value = rest ? total - done : slices[i].value;
        const char *colour = rest ? "#d0d0d0" : i + 1 == SLICES ? "#9a6324" : dl_chart_colour(i);
        const slice named = {.label = rest ? dl_str_of(name) : slices[i].label, .value = value};
        put_slice(svg, &whole, done / total, (done + value) / total, colour);
        put_slice_name(svg, x + half + 24, line, &named, value / total, colour);
        done += value;
        line += 20;
    }
    if (count == 0) {
        dl_chart_text(
            svg, svg->width / 2, y, DL_STR("no rows"),
            (dl_chart_style){.anchor = DL_CHART_MIDDLE, .attributes = " fill=\"#555555\""});
    }
}
