/* The pieces of an SVG: text that is escaped, axes, labels, legend. */
#include "query/output/chart_internal.h"

#include "base/width.h"
#include "query/output/internal.h"

#include <math.h>
#include <stdio.h>

enum {
    TEXT_LIMIT_BYTES = 1 << 20,
    TITLE_COLUMNS = 100,
    NAME_COLUMNS = 40,
    LABEL_COLUMNS = 24,
    CUT_BYTES = 1000,
};

/* Pixels. */
#define CHARACTER 6.7 /* of 12 px, on average */
#define LINE_HEIGHT 16.0
#define EDGE 12.0
#define TURNED 0.82 /* sin 55 degrees */
#define FLAT 0.57   /* cos 55 degrees */

/* Okabe and Ito: told apart with any colour vision; the yellow last but one, it is pale. */
const char *dl_chart_colour(size_t i)
{
    static const char *const colours[] = {"#0072b2", "#e69f00", "#009e73", "#d55e00",
                                          "#cc79a7", "#56b4e9", "#f0e442", "#5f5f5f"};
    return colours[i % DL_COUNT_OF(colours)];
}

void dl_chart_put(dl_chart_svg *svg, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    DL_ASSERT(n >= 0 && (size_t)n < sizeof text);
    if (svg->status == DL_OK) {
        svg->status = dl_buf_append(svg->buf, text, (size_t)n, svg->err);
    }
}

static void put_entity(dl_chart_svg *svg, char c)
{
    const char *entity = c == '&'   ? "&amp;"
                         : c == '<' ? "&lt;"
                         : c == '>' ? "&gt;"
                         : c == '"' ? "&quot;"
                                    : NULL;
    if (svg->status == DL_OK) {
        svg->status = entity != NULL ? dl_buf_append_str(svg->buf, dl_str_of(entity), svg->err)
                                     : dl_buf_append_char(svg->buf, c, svg->err);
    }
}

void dl_chart_put_escaped(dl_chart_svg *svg, dl_str text, size_t columns)
{
    DL_AUTO_BUF clean = {0};
    dl_buf_init(&clean, TEXT_LIMIT_BYTES);
    bool cut = text.len > CUT_BYTES;
    if (svg->status == DL_OK) {
        svg->status =
            dl_output_put_clean(dl_str_slice(text, 0, CUT_BYTES), false, &clean, svg->err);
    }
    dl_str shown = dl_buf_str(&clean);
    if (columns > 0 && dl_width_of(shown) > columns) {
        shown = dl_width_cut(shown, columns - 1);
        cut = true;
    }
    for (size_t i = 0; i < shown.len; i++) {
        put_entity(svg, shown.ptr[i]);
    }
    if (cut) {
        dl_chart_put(svg, "\xe2\x80\xa6");
    }
}

void dl_chart_text(dl_chart_svg *svg, double x, double y, dl_str text, dl_chart_style style)
{
    static const char *const anchors[] = {"", " text-anchor=\"middle\"", " text-anchor=\"end\""};
    dl_chart_put(svg, "<text x=\"%.1f\" y=\"%.1f\"%s", x, y, anchors[style.anchor]);
    if (style.turn != 0) {
        dl_chart_put(svg, " transform=\"rotate(%.0f %.1f %.1f)\"", style.turn, x, y);
    }
    dl_chart_put(svg, "%s>", style.attributes == NULL ? "" : style.attributes);
    dl_chart_put_escaped(svg, text, style.columns);
    dl_chart_put(svg, "</text>\n");
}

double dl_chart_text_width(dl_str text)
{
    return CHARACTER * (double)dl_width_of(dl_str_slice(text, 0, CUT_BYTES));
}

void dl_chart_begin(dl_chart_svg *svg, const dl_query_chart *chart)
{
    svg->width = chart->width == 0 ? 720 : chart->width;
    svg->height = chart->height == 0 ? 400 : chart->height;
    svg->plot = (dl_chart_box){EDGE, EDGE, svg->width - EDGE - 4, svg->height - EDGE};
    dl_chart_put(svg,
                 "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" "
                 "width=\"%.0f\" height=\"%.0f\" role=\"img\" font-family=\"Helvetica, Arial, "
                 "'DejaVu Sans', sans-serif\" font-size=\"12\" fill=\"#222222\">\n",
                 svg->width, svg->height, svg->width, svg->height);
    if (chart->title.len > 0) {
        dl_chart_put(svg, "<title>");
        dl_chart_put_escaped(svg, chart->title, 0);
        dl_chart_put(svg, "</title>\n");
    }
    dl_chart_put(svg, "<rect width=\"%.0f\" height=\"%.0f\" fill=\"#ffffff\"/>\n", svg->width,
                 svg->height);
    if (chart->title.len > 0) {
        size_t columns = (size_t)((svg->width - 2 * EDGE) / (CHARACTER * 1.3));
        dl_chart_text(
            svg, EDGE, EDGE + 12, chart->title,
            (dl_chart_style){.attributes = " font-size=\"15\" font-weight=\"bold\"",
                             .columns = columns < TITLE_COLUMNS ? columns : TITLE_COLUMNS});
        svg->plot.top += 26;
    }
}

void dl_chart_end(dl_chart_svg *svg, const dl_chart_data *data)
{
    if (data->left_out > 0) {
        char note[96];
        int n = snprintf(note, sizeof note, "%llu of %llu rows are not in the picture",
                         (unsigned long long)data->left_out, (unsigned long long)data->rows);
        DL_ASSERT(n > 0);
        dl_chart_text(svg, svg->width - EDGE, svg->height - 4, dl_str_of(note),
                      (dl_chart_style){.anchor = DL_CHART_END,
                                       .attributes = " font-size=\"10\" fill=\"#a02020\""});
    }
    dl_chart_put(svg, "</svg>\n");
}

void dl_chart_legend(dl_chart_svg *svg, const dl_chart_data *data)
{
    if (data->series_count < 2) {
        return;
    }
    double x = EDGE;
    double y = svg->plot.top + 10;
    for (size_t i = 0; i < data->series_count; i++) {
        dl_str name = data->series[i].name;
        double width = dl_chart_text_width(name);
        width = 16 + (width > CHARACTER * NAME_COLUMNS ? CHARACTER * NAME_COLUMNS : width) + 14;
        if (x > EDGE && x + width > svg->width - EDGE) {
            x = EDGE;
            y += LINE_HEIGHT;
        }
        dl_chart_put(svg, "<rect x=\"%.1f\" y=\"%.1f\" width=\"11\" height=\"11\" fill=\"%s\"/>\n",
                     x, y - 10, dl_chart_colour(i));
        dl_chart_text(svg, x + 16, y, name, (dl_chart_style){.columns = NAME_COLUMNS});
        x += width;
    }
    svg->plot.top = y + 12;
}

/* ---- axes ---- */

double dl_chart_x_of(const dl_chart_svg *svg, const dl_chart_axis *axis, double value)
{
    double part = (value - axis->low) / (axis->high - axis->low);
    return svg->plot.left + fmin(fmax(part, 0), 1) * (svg->plot.right - svg->plot.left);
}

double dl_chart_y_of(const dl_chart_svg *svg, const dl_chart_axis *axis, double value)
{
    double part = (value - axis->low) / (axis->high - axis->low);
    return svg->plot.bottom - fmin(fmax(part, 0), 1) * (svg->plot.bottom - svg->plot.top);
}

void dl_chart_y_axis(dl_chart_svg *svg, const dl_chart_axis *axis)
{
    double widest = 0;
    for (size_t i = 0; i < axis->count; i++) {
        widest = fmax(widest, dl_chart_text_width(dl_str_of(axis->text[i])));
    }
    svg->plot.left += widest + 8;
    for (size_t i = 0; i < axis->count; i++) {
        double y = dl_chart_y_of(svg, axis, axis->at[i]);
        dl_chart_put(svg, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n",
                     svg->plot.left, y, svg->plot.right, y,
                     axis->at[i] == 0 ? "#888888" : "#e4e4e4");
        dl_chart_text(svg, svg->plot.left - 6, y + 4, dl_str_of(axis->text[i]),
                      (dl_chart_style){.anchor = DL_CHART_END});
    }
}

static void put_x_name(dl_chart_svg *svg, dl_str name)
{
    dl_chart_text(svg, (svg->plot.left + svg->plot.right) / 2, svg->height - EDGE, name,
                  (dl_chart_style){.anchor = DL_CHART_MIDDLE,
                                   .attributes = " fill=\"#555555\"",
                                   .columns = NAME_COLUMNS});
}

void dl_chart_x_axis(dl_chart_svg *svg, const dl_chart_axis *axis, dl_str name)
{
    double last = -1e9; /* right end of the text before */
    dl_chart_put(svg,
                 "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#888888\"/>\n",
                 svg->plot.left, svg->plot.bottom, svg->plot.right, svg->plot.bottom);
    for (size_t i = 0; i < axis->count; i++) {
        double x = dl_chart_x_of(svg, axis, axis->at[i]);
        double half = dl_chart_text_width(dl_str_of(axis->text[i])) / 2;
        dl_chart_put(svg,
                     "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#888888\"/>\n",
                     x, svg->plot.bottom, x, svg->plot.bottom + 4);
        bool right = x + half > svg->width - 2;
        if (x - (right ? 2 * half : half) > last + 6) {
            dl_chart_text(svg, right ? svg->width - 2 : x, svg->plot.bottom + 16,
                          dl_str_of(axis->text[i]),
                          (dl_chart_style){.anchor = right ? DL_CHART_END : DL_CHART_MIDDLE});
            last = right ? svg->width : x + half;
        }
    }
    put_x_name(svg, name);
}

/* ---- labels of categories ---- */

double dl_chart_label_room(dl_chart_svg *svg, const dl_str *labels, size_t count)
{
    double widest = 0;
    for (size_t i = 0; i < count; i++) {
        widest = fmax(widest, dl_chart_text_width(labels[i]));
    }
    widest = fmin(widest, CHARACTER * LABEL_COLUMNS);
    double slot = (svg->plot.right - svg->plot.left) / (double)(count == 0 ? 1 : count);
    bool turned = widest + 6 > slot;
    svg->plot.bottom -= (turned ? widest * TURNED + 14 : LINE_HEIGHT) + LINE_HEIGHT + 4;
    return turned ? -55 : 0;
}

void dl_chart_labels(dl_chart_svg *svg, const dl_str *labels, size_t count, double turn,
                     dl_str name)
{
    double slot = (svg->plot.right - svg->plot.left) / (double)(count == 0 ? 1 : count);
    for (size_t i = 0; i < count; i++) {
        double x = svg->plot.left + slot * ((double)i + 0.5);
        if (turn == 0) {
            dl_chart_text(svg, x, svg->plot.bottom + 16, labels[i],
                          (dl_chart_style){.anchor = DL_CHART_MIDDLE, .columns = LABEL_COLUMNS});
        } else {
            double room = (x - 4) / (CHARACTER * FLAT); /* the first ones reach the edge sooner */
            dl_chart_text(svg, x + 4, svg->plot.bottom + 12, labels[i],
                          (dl_chart_style){.anchor = DL_CHART_END,
                                           .turn = turn,
                                           .attributes = slot < 12 ? " font-size=\"9\"" : "",
                                           .columns = room < 4               ? 4
                                                      : room > LABEL_COLUMNS ? (size_t)LABEL_COLUMNS
                                                                             : (size_t)room});
        }
    }
    put_x_name(svg, name);
}
