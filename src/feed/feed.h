/**
 * Feed: the change feed of a DICOM service as a source of pages, wherever it comes from.
 *
 * A source is one of: a service over HTTP (ours or Microsoft's v2; feed/http_source.c), our own
 * index in this process (service/feed_source.c implements dl_feed_source), a file of JSON lines
 * (tests). A dl_feed_reader goes over a source with pages fetched ahead, in order, within a budget
 * of bytes:
 *
 *     closed window [start, end):  offset pages, fetched by several threads at once; each begins
 *                                  with the last row of the one before, so that rows that shift
 *                                  while they are paged are always seen
 *     cursor (after a sequence):   afterSequence pages, one after another, one ahead
 *
 * A source without a cursor is followed by closed windows that end in the past; the pipeline does
 * that.
 *
 * Pages are checked: sequences are positive and grow along (timestamp, sequence) order as the
 * source promises, UIDs and names fit their limits, unknown actions and states are refused naming
 * the sequence. A window whose rows shift while it is paged (the same sequence twice, an order that
 * goes back) is DL_E_CONFLICT: read it again.
 *
 * Thread: a reader is confined (its fetch threads are its own); a source says by itself.
 * Standard: docs/contract.md section 9.
 */
#ifndef DL_FEED_FEED_H
#define DL_FEED_FEED_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/str.h"

typedef enum dl_feed_action { DL_FEED_CREATE, DL_FEED_UPDATE, DL_FEED_DELETE } dl_feed_action;
typedef enum dl_feed_state { DL_FEED_CURRENT, DL_FEED_REPLACED, DL_FEED_DELETED } dl_feed_state;

typedef struct dl_feed_entry {
    int64_t sequence;
    int64_t timestamp_us;     /* 100 ns are cut off ... */
    uint8_t timestamp_tenths; /* ... and stand here, 0..9: order needs them */
    dl_feed_action action;
    dl_feed_state state;
    dl_str partition_name; /* 1..64 bytes; "Microsoft.Default" when the source has none */
    dl_str study_uid, series_uid, sop_uid; /* 1..64 bytes each */
    dl_str file_path;                      /* ptr NULL: absent */
    dl_str metadata;                       /* a JSON object, as it came; ptr NULL: absent */
} dl_feed_entry;

typedef struct dl_feed_page {
    dl_arena *arena;        /* holds the page's text; entries point into it */
    dl_feed_entry *entries; /* in order of (timestamp, sequence) */
    size_t entry_count;
    size_t text_bytes;
    bool more;   /* a source that ends a page of a cursor early (large rows) says so; never of a
                    window */
    dl_buf text; /* owned; empty when the entries live in the arena alone */
} dl_feed_page;
void dl_feed_page_destroy(dl_feed_page *page);
DL_DEFINE_AUTO(dl_feed_page)

enum {
    DL_FEED_PAGE_LIMIT_ROWS = 200, /* what Microsoft's service gives at most */
    DL_FEED_PAGE_LIMIT_BYTES = 256 * 1024 * 1024,
    DL_FEED_PATH_LIMIT_BYTES = 1024,
    DL_FEED_NAME_LIMIT_BYTES = 64, /* of a partition's name and of a UID */
    DL_FEED_ID_LIMIT_BYTES = 200,
};

/** <0, 0, >0: the order of a feed, by time, then by sequence. */
int dl_feed_entry_order(const dl_feed_entry *a, const dl_feed_entry *b);

/**
 * Read a page from its JSON text (an array of rows). Takes the text's storage, also when it fails.
 * Of a row's metadata only its end is looked for; dl_feed_attributes checks what is in it.
 * Errors: DL_E_INVALID naming the byte or the sequence and the property; DL_E_LIMIT; DL_E_NOMEM.
 */
DL_NODISCARD dl_status dl_feed_page_parse(dl_buf *take_text, dl_feed_page **out_page,
                                          dl_error *err);

/* ---- metadata of an entry, taken apart ---- */

/** One attribute of a DICOM JSON object; text is unescaped only where it must be. */
typedef struct dl_feed_attribute {
    dl_str tag;           /* raw key, normally 8 hex digits */
    dl_str vr;            /* ptr NULL: absent */
    const dl_str *values; /* elements of Value: JSON strings unescaped, anything else its compact
                             JSON text; an element null: ptr NULL */
    size_t value_count;
    bool has_value; /* Value is there (maybe empty) */
} dl_feed_attribute;

/**
 * Go through the attributes of `metadata` in its order (one pass). `out_compact` (may be NULL) gets
 * the whole object as compact JSON text: the input itself where it is compact already. Everything
 * lives in the arena or in the input. Errors: DL_E_INVALID when it is no DICOM JSON object (not
 * JSON, nested deeper than DL_JSON_DEPTH_LIMIT, an attribute twice).
 */
DL_NODISCARD dl_status dl_feed_attributes(dl_str metadata, dl_arena *arena,
                                          const dl_feed_attribute **out_attributes,
                                          size_t *out_count, dl_str *out_compact, dl_error *err);

/* ---- sources ---- */

typedef struct dl_feed_info {
    dl_str id;       /* stable name of the feed: of the service, not of the address where it gives
                        one; at most 200 bytes; lives as long as the source */
    bool has_cursor; /* read_after works */
    bool
        open_windows; /* a window may end in the future: order is by commit, nothing comes behind */
    size_t page_limit;   /* most rows in a page */
    size_t cursor_limit; /* most rows in a page after a sequence, where those are more; 0:
                            page_limit */
} dl_feed_info;

typedef struct dl_feed_source dl_feed_source;

/** What a source does. Calls may come from several threads at once. A page may be empty. */
typedef struct dl_feed_source_ops {
    dl_status (*info)(dl_feed_source *source, dl_feed_info *out_info, dl_error *err);
    /** Newest change; DL_E_NOT_FOUND when the feed is empty. */
    dl_status (*latest)(dl_feed_source *source, int64_t *out_sequence, int64_t *out_timestamp_us,
                        dl_cancel *cancel, dl_error *err);
    /** Rows of [start, end) in order, skipping `offset`. */
    dl_status (*window)(dl_feed_source *source, int64_t start_us, int64_t end_us, int64_t offset,
                        size_t limit, dl_cancel *cancel, dl_feed_page **out_page, dl_error *err);
    /** Rows after `sequence`. */
    dl_status (*after)(dl_feed_source *source, int64_t sequence, size_t limit, dl_cancel *cancel,
                       dl_feed_page **out_page, dl_error *err);
    /** Wait until there may be a change after `sequence`, at most `timeout_ms`. NULL: poll. */
    void (*wait)(dl_feed_source *source, int64_t sequence, unsigned timeout_ms, dl_cancel *cancel);
    void (*close)(dl_feed_source *source);
} dl_feed_source_ops;

struct dl_feed_source {
    const dl_feed_source_ops *ops;
    _Atomic int64_t requests, retries, bytes; /* counted by the source */
};

/** NULL is fine. */
void dl_feed_source_close(dl_feed_source *source);

typedef struct dl_feed_http_options {
    const char *base_url;   /* of the service, without /v2; http or https */
    unsigned api_version;   /* template's ApiVersion; 0: 2 */
    const char *token;      /* bearer; NULL: none */
    const char *token_file; /* read anew for every try; NULL: none */
    unsigned try_limit;     /* tries of one request before giving up; 0: 8 */
    unsigned backoff_ms;    /* first pause, doubled each time with jitter, at most 60 s; 0: 500 */
    unsigned connect_timeout_s, idle_timeout_s; /* 0: the client's */
    const char *proxy;
    void (*on_retry)(void *context, unsigned pause_ms,
                     const char *cause); /* may be NULL; any thread */
    void *context;
    dl_cancel *cancel; /* for the probe of info(), which has none of its own; may be NULL */
} dl_feed_http_options;

/**
 * A service over HTTP; the base URL with or without trailing '/' and with or without its version.
 *
 * What the service is comes from one probe, GET {base}/v2/changefeed/latest?includeMetadata=false,
 * at the first call of info(): ours names its feed in the header dl-feed-id (1..200 bytes) and may
 * say how many rows a cursor's page holds at most (dl-page-limit); then there is a cursor and
 * windows may be open. Without the header the id is host[:port]/path in lower case, pages have 200
 * rows.
 *
 * Errors of its calls: DL_E_DENIED (401, 403; not tried again but once with the
 * token file read anew), DL_E_UNAVAILABLE after the last try (no connection, timeout, 408, 429 and
 * 503 with Retry-After kept, 5xx, cut in mid-page, not JSON where the status was 200), DL_E_INVALID
 * (other 4xx with the body's first words), DL_E_CANCELED within a second.
 */
DL_NODISCARD dl_status dl_feed_http_open(const dl_feed_http_options *options,
                                         dl_feed_source **out_source, dl_error *err);

/** The base URL without slashes and version at its end. Pure. */
dl_str dl_feed_http_base(dl_str url);
/** "Sun, 06 Nov 1994 08:49:37 GMT": the one form of HTTP's dates that is still written. Pure. */
bool dl_feed_http_date(dl_str text, int64_t *out_us);

/* ---- reading along ---- */

typedef struct dl_feed_reader dl_feed_reader;

typedef struct dl_feed_reader_options {
    dl_feed_source *source; /* borrowed */
    bool cursor;            /* after_sequence to the newest; else the window */
    int64_t after_sequence;
    int64_t start_us, end_us;
    size_t page_rows;    /* BatchSize; 0: what the source allows, at most 2000. After a sequence
                            fewer are asked for where rows are large: two pages fit the budget */
    unsigned parallel;   /* pages under way at once in a window; 0: 4 */
    size_t budget_bytes; /* of pages fetched and not yet taken; 0: 32 MiB */
    dl_cancel *cancel;
} dl_feed_reader_options;

DL_NODISCARD dl_status dl_feed_reader_open(const dl_feed_reader_options *options,
                                           dl_feed_reader **out_reader, dl_error *err);
/**
 * The next page, the caller's now, never empty; NULL at the end (a page shorter than asked for ends
 * a feed, unless it says that there is more). An error is said again by later calls. Errors:
 * DL_E_CONFLICT (the rows shifted while they were paged: read the window again), DL_E_INVALID (rows
 * that were not asked for), DL_E_LIMIT (a page too large; BatchSize), DL_E_CANCELED, and what the
 * source says.
 */
DL_NODISCARD dl_status dl_feed_reader_next(dl_feed_reader *reader, dl_feed_page **out_page,
                                           dl_error *err);
/** Ends the fetch threads. NULL is fine. */
void dl_feed_reader_close(dl_feed_reader *reader);

#endif
