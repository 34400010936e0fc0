#include "cli/progress.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/width.h"
#include "cli/text.h"

#include <pthread.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    REDRAW_US = 100 * 1000,
    MEMORY_S = 8, /* how many seconds the rates look back */
    BAR_MIN = 10,
    BAR_MAX = 30,
    WIDTH_DEFAULT = 80,
    WIDTH_LIMIT = 500,
};

struct dl_cli_progress {
    FILE *stream;
    bool watched;
    pthread_mutex_t lock; /* guards what follows */
    dl_cli_progress_facts facts;
    dl_cli_rate rate;
    int64_t drawn_us;
    bool visible;
};

/* ---- the pure parts ---- */

/** Permille of `total`; -1: not known. */
static int share(uint64_t done, uint64_t total)
{
    if (total == 0) {
        return -1;
    }
    return done >= total ? 1000 : (int)((double)done * 1000.0 / (double)total);
}

/** Of items and bytes the one that is behind: one large file among many small ones is not all. */
static int share_of(const dl_cli_progress_facts *facts)
{
    int items = share(facts->items_done, facts->items_total);
    int bytes = share(facts->bytes_done, facts->bytes_total);
    return items < 0 || (bytes >= 0 && bytes < items) ? bytes : items;
}

static dl_status append_counts(const dl_cli_progress_facts *facts, dl_buf *out, dl_error *err)
{
    char amount[DL_CLI_AMOUNT_SIZE];
    DL_TRY(dl_buf_printf(out, err, "%llu", (unsigned long long)facts->items_done));
    if (facts->items_total > 0) {
        DL_TRY(dl_buf_printf(out, err, "/%llu%s", (unsigned long long)facts->items_total,
                             facts->counting ? "+" : ""));
    }
    DL_TRY(dl_buf_printf(out, err, " %s", facts->noun));
    if (facts->items_per_s > 0) {
        DL_TRY(dl_buf_printf(out, err, facts->items_per_s < 10 ? "  %.1f/s" : "  %.0f/s",
                             facts->items_per_s));
    }
    if (facts->bytes_per_s > 0) {
        dl_cli_text_bytes((uint64_t)facts->bytes_per_s, amount);
        DL_TRY(dl_buf_printf(out, err, "  %s/s", amount));
    }
    if (facts->seconds_left >= 0) {
        dl_cli_text_duration(facts->seconds_left, amount);
        DL_TRY(dl_buf_printf(out, err, "  %s left", amount));
    }
    return DL_OK;
}

static dl_status append_bar(int permille, size_t width, dl_buf *out, dl_error *err)
{
    size_t filled = (size_t)permille * width / 1000;
    DL_TRY(dl_buf_append_char(out, '[', err));
    for (size_t i = 0; i < width; i++) {
        DL_TRY(dl_buf_append_char(out, i < filled ? '=' : i == filled ? '>' : ' ', err));
    }
    return dl_buf_printf(out, err, "] %3d%%  ", permille / 10);
}

dl_status dl_cli_progress_format(const dl_cli_progress_facts *facts, size_t width, dl_buf *out,
                                 dl_error *err)
{
    char room[256];
    DL_AUTO_BUF counts = {0};
    dl_buf_init(&counts, sizeof room);
    DL_TRY(append_counts(facts, &counts, err));
    size_t start = out->len;
    DL_TRY(dl_buf_printf(out, err, "%s  ", facts->verb));
    int done = share_of(facts);
    size_t around = out->len - start + counts.len + sizeof "[] 100%  " - 1;
    if (done >= 0 && width >= around + BAR_MIN) {
        size_t bar = width - around < BAR_MAX ? width - around : BAR_MAX;
        DL_TRY(append_bar(done, bar, out, err));
    }
    DL_TRY(dl_buf_append_str(out, dl_buf_str(&counts), err));
    dl_str line = dl_str_slice(dl_buf_str(out), start, out->len);
    out->len = start + dl_width_cut(line, width).len;
    return DL_OK;
}

void dl_cli_rate_update(dl_cli_rate *rate, int64_t now_us, uint64_t items, uint64_t bytes)
{
    if (rate->at_us == 0) {
        rate->at_us = now_us;
        rate->items = items;
        rate->bytes = bytes;
        return;
    }
    double seconds = (double)(now_us - rate->at_us) / 1e6;
    if (seconds <= 0) {
        return;
    }
    double item_rate = (double)(items - rate->items) / seconds;
    double byte_rate = (double)(bytes - rate->bytes) / seconds;
    double weight =
        rate->items_per_s == 0 && rate->bytes_per_s == 0 ? 1.0 : seconds / (seconds + MEMORY_S);
    rate->items_per_s += (item_rate - rate->items_per_s) * weight;
    rate->bytes_per_s += (byte_rate - rate->bytes_per_s) * weight;
    rate->at_us = now_us;
    rate->items = items;
    rate->bytes = bytes;
}

/* ---- the line on the terminal ---- */

dl_status dl_cli_progress_create(FILE *err_stream, const char *verb, const char *noun,
                                 dl_cli_progress **out_progress, dl_error *err)
{
    dl_cli_progress *progress = dl_mem_zalloc(1, sizeof *progress);
    if (progress == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "progress: out of memory");
    }
    progress->stream = err_stream;
    progress->watched = isatty(fileno(err_stream)) == 1;
    progress->facts.verb = verb;
    progress->facts.noun = noun;
    (void)pthread_mutex_init(&progress->lock, NULL);
    *out_progress = progress;
    return DL_OK;
}

void dl_cli_progress_destroy(dl_cli_progress *progress)
{
    if (progress != NULL) {
        dl_cli_progress_clear(progress);
        (void)pthread_mutex_destroy(&progress->lock);
        dl_mem_free(progress);
    }
}

bool dl_cli_progress_watched(const dl_cli_progress *progress)
{
    return progress != NULL && progress->watched;
}

static size_t terminal_width(FILE *stream)
{
    struct winsize size = {0};
    if (ioctl(fileno(stream), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) {
        return WIDTH_DEFAULT;
    }
    return size.ws_col > WIDTH_LIMIT ? WIDTH_LIMIT : size.ws_col;
}

/** Until `done` is `total`; negative: not known. */
static double rest_of(uint64_t done, uint64_t total, double per_s)
{
    if (total == 0 || per_s <= 0) {
        return -1;
    }
    return done >= total ? 0 : (double)(total - done) / per_s;
}

static int64_t seconds_left(const dl_cli_progress_facts *facts, const dl_cli_rate *rate)
{
    double items = rest_of(facts->items_done, facts->items_total, rate->items_per_s);
    double bytes = rest_of(facts->bytes_done, facts->bytes_total, rate->bytes_per_s);
    double rest = items > bytes ? items : bytes;
    return rest < 0 || rest > 1e9 ? -1 : (int64_t)rest;
}

/** Under the lock; the write itself is small and goes to a terminal that a person watches. */
static void redraw(dl_cli_progress *progress)
{
    int64_t now = dl_clock_monotonic_us();
    if (!progress->watched || now - progress->drawn_us < REDRAW_US) {
        return;
    }
    progress->drawn_us = now;
    dl_cli_rate_update(&progress->rate, now, progress->facts.items_done,
                       progress->facts.bytes_done);
    dl_cli_progress_facts facts = progress->facts;
    facts.items_per_s = progress->rate.items_per_s;
    facts.bytes_per_s = progress->rate.bytes_per_s;
    facts.seconds_left = facts.counting ? -1 : seconds_left(&facts, &progress->rate);
    DL_AUTO_BUF line = {0};
    size_t width = terminal_width(progress->stream);
    dl_buf_init(&line, (size_t)4 * WIDTH_LIMIT);
    if (dl_cli_progress_format(&facts, width - 1, &line, NULL) == DL_OK) {
        (void)fprintf(progress->stream, "\r%.*s\x1b[K", DL_STR_ARG(dl_buf_str(&line)));
        (void)fflush(progress->stream);
        progress->visible = true;
    }
}

void dl_cli_progress_add(dl_cli_progress *progress, uint64_t items, uint64_t bytes)
{
    if (dl_cli_progress_watched(progress)) {
        (void)pthread_mutex_lock(&progress->lock);
        progress->facts.items_done += items;
        progress->facts.bytes_done += bytes;
        redraw(progress);
        (void)pthread_mutex_unlock(&progress->lock);
    }
}

void dl_cli_progress_expect(dl_cli_progress *progress, uint64_t items, uint64_t bytes)
{
    if (dl_cli_progress_watched(progress)) {
        (void)pthread_mutex_lock(&progress->lock);
        progress->facts.items_total += items;
        progress->facts.bytes_total += bytes;
        redraw(progress);
        (void)pthread_mutex_unlock(&progress->lock);
    }
}

void dl_cli_progress_counting(dl_cli_progress *progress, bool counting)
{
    if (dl_cli_progress_watched(progress)) {
        (void)pthread_mutex_lock(&progress->lock);
        progress->facts.counting = counting;
        (void)pthread_mutex_unlock(&progress->lock);
    }
}

void dl_cli_progress_clear(dl_cli_progress *progress)
{
    if (dl_cli_progress_watched(progress)) {
        (void)pthread_mutex_lock(&progress->lock);
        if (progress->visible) {
            (void)fprintf(progress->stream, "\r\x1b[K");
            (void)fflush(progress->stream);
            progress->visible = false;
        }
        (void)pthread_mutex_unlock(&progress->lock);
    }
}
