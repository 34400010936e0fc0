/* How fast a page of the change feed is read and its metadata taken apart, on one core.
 *
 *     bench-feed-parse [rows [rounds]]
 *
 * A page is generated: metadata of about 5.5 KB a row with 96 attributes, as of a CT series. */
#include "base/clock.h"
#include "base/str.h"
#include "feed/feed.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum { ROWS = 2000, ROUNDS = 20, TEXT_ATTRIBUTES = 70, NUMBER_ATTRIBUTES = 20 };

static dl_status write_attributes(dl_buf *out, unsigned row, dl_error *err)
{
    static const char *const vrs[] = {"LO", "UI", "SH", "CS", "DA", "TM"};
    static const char *const texts[] = {
        "Some text of usual length",
        "1.2.840.113619.2.55.3.604688119.1599",
        "AX T2 FLAIR",
        "DERIVED",
        "20260105",
        "080000.123456",
    };
    for (unsigned i = 0; i < TEXT_ATTRIBUTES; i++) {
        DL_TRY(dl_buf_printf(out, err, "\"%08X\":{\"vr\":\"%s\",\"Value\":[\"", 0x00080005 + i * 2,
                             vrs[i % 6]));
        DL_TRY(dl_buf_append_str(out, dl_str_of(texts[i % 6]), err));
        DL_TRY(dl_buf_printf(out, err, "%u\"]},", row));
    }
    for (unsigned i = 0; i < NUMBER_ATTRIBUTES; i++) {
        DL_TRY(dl_buf_printf(out, err, "\"%08X\":{\"vr\":\"DS\",\"Value\":[%u.5,-%u.25,0.%u]},",
                             0x00280005 + i * 2, row, i, row));
    }
    DL_TRY(dl_buf_printf(out, err,
                         "\"00300010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"Name^Given\"}]},"
                         "\"00300020\":{\"vr\":\"LO\"},\"00300030\":{\"vr\":\"SQ\",\"Value\":["));
    for (unsigned i = 0; i < 4; i++) {
        DL_TRY(dl_buf_printf(out, err,
                             "%s{\"00080100\":{\"vr\":\"SH\",\"Value\":[\"T-D%u\"]},\"00080102\":{"
                             "\"vr\":\"SH\",\"Value\":[\"SRT\"]},\"00080104\":{\"vr\":\"LO\","
                             "\"Value\":[\"Meaning of the code\"]}}",
                             i == 0 ? "" : ",", i));
    }
    return dl_buf_append_str(out, DL_STR("]}"), err);
}

static dl_status write_page(dl_buf *out, unsigned rows, dl_error *err)
{
    DL_TRY(dl_buf_append_char(out, '[', err));
    for (unsigned i = 0; i < rows; i++) {
        char time[DL_CLOCK_TEXT_SIZE];
        dl_clock_format_feed(1767600000000000 + i, time);
        DL_TRY(
            dl_buf_printf(out, err,
                          "%s{\"sequence\":%u,\"partitionName\":\"Microsoft.Default\",\"filePath\""
                          ":\"AHDS/ws/dicom/svc/Microsoft.Default/132_%u.dcm\","
                          "\"studyInstanceUid\":\"1.2.840.1.%u\",\"seriesInstanceUid\":"
                          "\"1.2.840.2.%u\",\"sopInstanceUid\":\"1.2.840.3.%u\",\"action\":"
                          "\"Create\",\"timestamp\":\"%s\",\"state\":\"Current\",\"metadata\":{",
                          i == 0 ? "" : ",", i + 1, i + 1, i / 300, i / 100, i, time));
        DL_TRY(write_attributes(out, i, err));
        DL_TRY(dl_buf_append_str(out, DL_STR("}}"), err));
    }
    return dl_buf_append_char(out, ']', err);
}

static double cpu_seconds(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

typedef struct spent {
    double page_s, attributes_s;
    size_t attributes;
} spent;

static dl_status read_once(dl_str text, spent *s, dl_error *err)
{
    DL_AUTO(dl_feed_page) page = NULL;
    DL_AUTO_BUF copy = {0};
    dl_buf_init(&copy, DL_FEED_PAGE_LIMIT_BYTES);
    DL_TRY(dl_buf_append_str(&copy, text, err));
    double start = cpu_seconds();
    DL_TRY(dl_feed_page_parse(&copy, &page, err));
    double middle = cpu_seconds();
    for (size_t i = 0; i < page->entry_count; i++) {
        DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
        const dl_feed_attribute *attributes = NULL;
        size_t count = 0;
        dl_str compact = DL_STR_NONE;
        DL_TRY(dl_feed_attributes(page->entries[i].metadata, arena, &attributes, &count, &compact,
                                  err));
        s->attributes += count;
    }
    s->page_s += middle - start;
    s->attributes_s += cpu_seconds() - middle;
    return DL_OK;
}

static unsigned number_of(const char *text, unsigned fallback)
{
    uint64_t value = 0;
    return text != NULL && dl_str_to_u64(dl_str_of(text), &value) && value > 0 && value < 1000000
               ? (unsigned)value
               : fallback;
}

static dl_status run(unsigned rows, unsigned rounds, dl_error *err)
{
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, DL_FEED_PAGE_LIMIT_BYTES);
    DL_TRY(write_page(&text, rows, err));
    spent s = {0};
    for (unsigned i = 0; i < rounds; i++) {
        DL_TRY(read_once(dl_buf_str(&text), &s, err));
    }
    double bytes = (double)text.len * rounds / 1e6, all = s.page_s + s.attributes_s;
    printf("rows %u, page %.2f MB, %.0f bytes and %.1f attributes a row\n", rows,
           (double)text.len / 1e6, (double)text.len / rows, (double)s.attributes / rounds / rows);
    printf("page %.0f MB/s, attributes %.0f MB/s, both %.0f MB/s: %.0f rows/s of one core\n",
           bytes / s.page_s, bytes / s.attributes_s, bytes / all, (double)rows * rounds / all);
    return DL_OK;
}

int main(int argc, char **argv)
{
    dl_error err = {0};
    unsigned rows = number_of(argc > 1 ? argv[1] : NULL, ROWS);
    unsigned rounds = number_of(argc > 2 ? argv[2] : NULL, ROUNDS);
    if (run(rows, rounds, &err) != DL_OK) {
        (void)fprintf(stderr, "bench-feed-parse: %s\n", err.message);
        return 1;
    }
    return 0;
}
