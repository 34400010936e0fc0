#include "base/file.h"
#include "cli/archive.h"
#include "cli/import.h"
#include "cli/peek.h"
#include "cli/text.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { LABEL_LIMIT_BYTES = 8192 };

/** What one worker has: files of a batch that are in memory and wait to be sent. */
typedef struct worker {
    dl_cli_import_job *job;
    dl_cli_store *store;
    dl_cli_item *held[DL_CLI_STORE_PART_LIMIT];
    size_t held_count;
    uint64_t held_bytes;
} worker;

/* ---- verdicts ---- */

void dl_cli_import_end(dl_cli_import_job *job, const dl_error *why)
{
    (void)pthread_mutex_lock(&job->lock);
    if (job->fatal.status == DL_OK && why->status != DL_E_CANCELED) {
        job->fatal = *why;
    }
    (void)pthread_mutex_unlock(&job->lock);
    dl_cancel_ask(job->cli->stop);
}

static void tell_refused(dl_cli_import_job *job, const dl_cli_verdict *verdict, dl_str name)
{
    DL_AUTO_BUF clean = {0};
    dl_buf_init(&clean, (size_t)3 * LABEL_LIMIT_BYTES);
    if (dl_cli_text_clean(name, &clean, NULL) == DL_OK) {
        dl_cli_progress_clear(job->progress);
        (void)fprintf(job->cli->err, "refused: %.*s: %s\n", DL_STR_ARG(dl_buf_str(&clean)),
                      verdict->reason);
    }
}

void dl_cli_import_count(dl_cli_import_job *job, const dl_cli_verdict *verdict, dl_str name,
                         uint64_t bytes)
{
    dl_cli_report_add(job->report, verdict, name, bytes);
    if (job->verbose && verdict->outcome == DL_CLI_REFUSED) {
        tell_refused(job, verdict, name);
    }
}

static void count_item(worker *w, const dl_cli_item *item, dl_cli_outcome outcome, const char *why)
{
    dl_cli_verdict verdict = dl_cli_verdict_of(outcome, why);
    dl_cli_import_count(w->job, &verdict, dl_str_of(item->name), item->size_bytes);
}

/* ---- sending what is held ---- */

static void drop_held(worker *w)
{
    for (size_t i = 0; i < w->held_count; i++) {
        dl_cli_item_destroy(w->held[i]);
    }
    w->held_count = 0;
    w->held_bytes = 0;
}

static dl_status send_held(worker *w, dl_error *err)
{
    dl_cli_part parts[DL_CLI_STORE_PART_LIMIT];
    if (w->held_count == 0) {
        return DL_OK;
    }
    for (size_t i = 0; i < w->held_count; i++) {
        const dl_buf *b = &w->held[i]->bytes;
        parts[i] = (dl_cli_part){.bytes = {(const uint8_t *)b->ptr, b->len}};
    }
    dl_status status = dl_cli_store_send(w->store, parts, w->held_count, err);
    for (size_t i = 0; status == DL_OK && i < w->held_count; i++) {
        dl_cli_import_count(w->job, &parts[i].verdict, dl_str_of(w->held[i]->name),
                            w->held[i]->bytes.len);
    }
    if (status == DL_OK) {
        dl_cli_progress_add(w->job->progress, w->held_count, 0);
    }
    drop_held(w);
    return status;
}

static bool fits_held(const worker *w, uint64_t bytes)
{
    return w->held_count == 0 || (w->held_count < DL_CLI_STORE_PART_LIMIT &&
                                  w->held_bytes + bytes <= DL_CLI_STORE_BATCH_LIMIT_BYTES);
}

/** Add to the batch, sending it before when there is no room. */
static dl_status hold(worker *w, dl_cli_item *take_item, dl_error *err)
{
    if (!fits_held(w, take_item->bytes.len)) {
        dl_status status = send_held(w, err);
        if (status != DL_OK) {
            dl_cli_item_destroy(take_item);
            return status;
        }
    }
    w->held[w->held_count++] = take_item;
    w->held_bytes += take_item->bytes.len;
    return DL_OK;
}

/* ---- a large file ---- */

typedef struct file_stream {
    int fd;
    uint64_t at, size, counted;
    dl_cli_progress *progress;
} file_stream;

static dl_status read_file(void *context, void *out, size_t room, size_t *out_len, dl_error *err)
{
    file_stream *f = context;
    uint64_t left = f->size - f->at;
    size_t want = left < room ? (size_t)left : room;
    if (want > 0 && dl_file_read_at(f->fd, (int64_t)f->at, out, want, err) != DL_OK) {
        return dl_error_set(err, DL_E_IO, "the file could not be read to its end");
    }
    f->at += want;
    if (f->at > f->counted) {
        dl_cli_progress_add(f->progress, 0, f->at - f->counted);
        f->counted = f->at;
    }
    *out_len = want;
    return DL_OK;
}

static dl_status rewind_file(void *context, DL_UNUSED dl_error *err)
{
    file_stream *f = context;
    f->at = 0;
    return DL_OK;
}

static dl_status send_stream(worker *w, dl_cli_part *part, const dl_cli_item *item, dl_error *err)
{
    DL_TRY(dl_cli_store_send(w->store, part, 1, err));
    dl_cli_import_count(w->job, &part->verdict, dl_str_of(item->name), item->size_bytes);
    dl_cli_progress_add(w->job->progress, 1, 0);
    return DL_OK;
}

static dl_status send_file(worker *w, const dl_cli_item *item, int fd, dl_error *err)
{
    file_stream f = {.fd = fd, .size = item->size_bytes, .progress = w->job->progress};
    dl_cli_part part = {
        .read = read_file, .rewind = rewind_file, .context = &f, .length_bytes = item->size_bytes};
    return send_stream(w, &part, item, err);
}

/** A file that is small enough to share a request. */
static dl_status hold_file(worker *w, dl_cli_item *take_item, int fd, dl_error *err)
{
    size_t size = (size_t)take_item->size_bytes;
    dl_error why = {0};
    dl_buf_init(&take_item->bytes, size);
    if (dl_buf_reserve(&take_item->bytes, size, err) != DL_OK) {
        dl_cli_item_destroy(take_item);
        return DL_E_NOMEM;
    }
    if (dl_file_read_at(fd, 0, take_item->bytes.ptr, size, &why) != DL_OK) {
        count_item(w, take_item, DL_CLI_REFUSED, "the file could not be read to its end");
        dl_cli_item_destroy(take_item);
        return DL_OK;
    }
    take_item->bytes.len = size;
    dl_cli_progress_add(w->job->progress, 0, size);
    return hold(w, take_item, err);
}

/* ---- an archive ---- */

/** The beginning of an entry in memory, the rest from the archive. */
typedef struct entry_stream {
    const dl_buf *head;
    size_t at;
    dl_cli_archive *archive;
    dl_cli_item *item;
} entry_stream;

static dl_status read_entry(void *context, void *out, size_t room, size_t *out_len, dl_error *err)
{
    entry_stream *e = context;
    dl_str piece = dl_str_slice(dl_buf_str(e->head), e->at, room);
    if (piece.len > 0) {
        memcpy(out, piece.ptr, piece.len);
        e->at += piece.len;
        *out_len = piece.len;
        return DL_OK;
    }
    DL_TRY(dl_cli_archive_read(e->archive, out, room, out_len, err));
    e->item->size_bytes += *out_len;
    return DL_OK;
}

/** Read until `bytes` holds `want`, or the entry ends. */
static dl_status fill(dl_cli_archive *archive, dl_buf *bytes, size_t want, dl_error *err)
{
    enum { STEP_BYTES = 256 * 1024 };
    size_t got = 1;
    while (bytes->len < want && got > 0) {
        size_t step = want - bytes->len < STEP_BYTES ? want - bytes->len : STEP_BYTES;
        DL_TRY(dl_buf_reserve(bytes, step, err));
        DL_TRY(dl_cli_archive_read(archive, bytes->ptr + bytes->len, step, &got, err));
        bytes->len += got;
    }
    return DL_OK;
}

/** What is not to be stored, in words; NULL: it is. `out_lost`: it is DICOM all the same, so that
 * passing over it has to be told. */
static const char *why_unwanted(const dl_buf *head, bool *out_lost)
{
    dl_cli_peek peek = dl_cli_peek_at((dl_bytes){(const uint8_t *)head->ptr, head->len});
    *out_lost = peek.bare;
    if (!peek.dicom) {
        return peek.bare ? "a bare data set, without preamble and file meta information"
                         : "not DICOM";
    }
    return dl_cli_peek_is_dicomdir(&peek) ? "a DICOMDIR, not an instance" : NULL;
}

/** Give the batch to the other workers, or send it. */
static dl_status share_held(worker *w, dl_error *err)
{
    size_t left = 0;
    for (size_t i = 0; i < w->held_count; i++) {
        if (!dl_cli_queue_offer(w->job->queue, w->held[i])) {
            w->held[left++] = w->held[i];
        }
    }
    w->held_count = left;
    return send_held(w, err);
}

static dl_status take_entry(worker *w, dl_cli_archive *archive, const dl_cli_entry *entry,
                            dl_cli_item **item, dl_error *err)
{
    dl_buf *bytes = &(*item)->bytes;
    dl_error why = {0};
    dl_buf_init(bytes, DL_CLI_IMPORT_HELD_LIMIT_BYTES);
    dl_status status = entry->encrypted
                           ? dl_error_set(&why, DL_E_UNSUPPORTED, "encrypted in its archive")
                           : fill(archive, bytes, DL_CLI_ARCHIVE_HEAD_BYTES, &why);
    bool lost = false;
    const char *unwanted = status == DL_OK ? why_unwanted(bytes, &lost) : NULL;
    if (unwanted != NULL) {
        if (dl_cli_archive_sniff((dl_bytes){(const uint8_t *)bytes->ptr, bytes->len},
                                 entry->name)) {
            unwanted = "an archive in an archive, not opened";
        }
        (*item)->size_bytes = bytes->len;
        count_item(w, *item, lost ? DL_CLI_REFUSED : DL_CLI_SKIPPED, unwanted);
        return DL_OK;
    }
    if (status == DL_OK) {
        status = fill(archive, bytes, bytes->limit_bytes, &why);
    }
    (*item)->size_bytes = bytes->len;
    if (status != DL_OK) {
        count_item(w, *item, DL_CLI_REFUSED,
                   status == DL_E_INVALID ? "damaged in its archive" : why.message);
        return DL_OK;
    }
    if (bytes->len == bytes->limit_bytes) { /* perhaps longer */
        entry_stream stream = {bytes, 0, archive, *item};
        dl_cli_part part = {.read = read_entry, .context = &stream, .length_bytes = UINT64_MAX};
        return send_stream(w, &part, *item, err);
    }
    (*item)->in_memory = true;
    if (!fits_held(w, bytes->len)) {
        DL_TRY(share_held(w, err));
    }
    return hold(w, DL_STEAL(*item), err);
}

static dl_status label_item(const dl_cli_item *archive_item, dl_str entry_name,
                            dl_cli_item **out_item, dl_error *err)
{
    DL_AUTO_BUF label = {0};
    dl_buf_init(&label, LABEL_LIMIT_BYTES);
    DL_TRY(dl_buf_printf(&label, err, "%s: %.*s", archive_item->name, DL_STR_ARG(entry_name)));
    dl_cli_item *item = dl_cli_item_create(dl_buf_str(&label));
    if (item == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "import: out of memory");
    }
    *out_item = item;
    return DL_OK;
}

static dl_status unpack_entries(worker *w, dl_cli_archive *archive, const dl_cli_item *file,
                                dl_error *err)
{
    uint64_t position = 0;
    while (!dl_cancel_asked(w->job->cli->stop)) {
        dl_cli_entry entry;
        bool more = false;
        dl_error why = {0};
        if (dl_cli_archive_next(archive, &entry, &more, &why) != DL_OK) {
            count_item(w, file, DL_CLI_REFUSED, why.message);
            return DL_OK;
        }
        if (!more) {
            return DL_OK;
        }
        DL_AUTO(dl_cli_item) item = NULL;
        DL_TRY(label_item(file, entry.name, &item, err));
        DL_ASSERT(item != NULL);
        dl_cli_progress_expect(w->job->progress, 1, 0);
        DL_TRY(take_entry(w, archive, &entry, &item, err));
        uint64_t now = dl_cli_archive_position(archive);
        dl_cli_progress_add(w->job->progress, 0, now > position ? now - position : 0);
        position = now > position ? now : position;
    }
    return DL_OK;
}

static dl_status unpack(worker *w, const dl_cli_item *file, int fd, dl_error *err)
{
    DL_CLI_AUTO_ARCHIVE archive = NULL;
    dl_error why = {0};
    DL_TRY(send_held(w, err));
    if (dl_cli_archive_open(fd, &archive, &why) != DL_OK) {
        count_item(w, file, DL_CLI_REFUSED, why.message);
        return DL_OK;
    }
    dl_cli_queue_begin(w->job->queue);
    dl_status status = unpack_entries(w, archive, file, err);
    if (status == DL_OK) {
        status = share_held(w, err);
    }
    dl_cli_queue_end(w->job->queue);
    dl_cli_progress_add(w->job->progress, 1, 0);
    return status;
}

/* ---- a file that was found ---- */

/** Open it and see what it is now: it may have changed since it was found. */
static dl_status open_item(dl_cli_item *item, int *out_fd, dl_buf *head, dl_error *err)
{
    struct stat info;
    DL_AUTO_FD fd = -1;
    int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | (item->named ? 0 : O_NOFOLLOW);
    DL_TRY(dl_file_open(item->name, flags, 0, &fd, err));
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        return dl_error_set(err, DL_E_INVALID, "not a regular file");
    }
    item->size_bytes = (uint64_t)info.st_size;
    size_t want = item->size_bytes < DL_CLI_ARCHIVE_HEAD_BYTES ? (size_t)item->size_bytes
                                                               : DL_CLI_ARCHIVE_HEAD_BYTES;
    DL_TRY(dl_buf_reserve(head, want, err));
    DL_TRY(dl_file_read_at(fd, 0, head->ptr, want, err));
    head->len = want;
    *out_fd = fd;
    fd = -1;
    return DL_OK;
}

/** The words of an error without the path, which stands beside them. */
static const char *cause_of(const dl_error *why)
{
    return why->os_code != 0 ? strerror(why->os_code) /* NOLINT(concurrency-mt-unsafe): glibc */
                             : why->message;
}

static dl_status take_file(worker *w, dl_cli_item **item, dl_error *err)
{
    DL_AUTO_FD fd = -1;
    DL_AUTO_BUF head = {0};
    dl_error why = {0};
    dl_buf_init(&head, DL_CLI_ARCHIVE_HEAD_BYTES);
    if (open_item(*item, &fd, &head, &why) != DL_OK) {
        count_item(w, *item, DL_CLI_REFUSED, cause_of(&why));
        dl_cli_progress_add(w->job->progress, 1, (*item)->size_bytes);
        return DL_OK;
    }
    bool lost = false;
    const char *unwanted = why_unwanted(&head, &lost);
    if (unwanted == NULL) {
        return (*item)->size_bytes <= DL_CLI_STORE_BATCH_LIMIT_BYTES
                   ? hold_file(w, DL_STEAL(*item), fd, err)
                   : send_file(w, *item, fd, err);
    }
    if (dl_cli_archive_sniff((dl_bytes){(const uint8_t *)head.ptr, head.len},
                             dl_str_of((*item)->name))) {
        return unpack(w, *item, fd, err);
    }
    lost = lost || (*item)->named;
    count_item(w, *item, lost ? DL_CLI_REFUSED : DL_CLI_SKIPPED, unwanted);
    dl_cli_progress_add(w->job->progress, 1, (*item)->size_bytes);
    return DL_OK;
}

static dl_status take_batch(worker *w, dl_cli_item **items, size_t count, dl_error *err)
{
    dl_status status = DL_OK;
    for (size_t i = 0; i < count; i++) {
        DL_AUTO(dl_cli_item) item = items[i];
        if (status == DL_OK) {
            status = item->in_memory ? hold(w, DL_STEAL(item), err) : take_file(w, &item, err);
        }
    }
    return status == DL_OK ? send_held(w, err) : status;
}

static dl_status work(worker *w, dl_error *err)
{
    const dl_cli_import_job *job = w->job;
    const dl_cli_store_options options = {
        .base = job->base, .update = job->update, .cancel = job->cli->abort};
    DL_TRY(dl_cli_store_create(&options, &w->store, err));
    for (;;) {
        dl_cli_item *items[DL_CLI_STORE_PART_LIMIT];
        size_t count = dl_cli_queue_take(job->queue, items, DL_CLI_STORE_PART_LIMIT,
                                         DL_CLI_STORE_BATCH_LIMIT_BYTES);
        if (count == 0) {
            return DL_OK;
        }
        DL_TRY(take_batch(w, items, count, err));
    }
}

void *dl_cli_import_work(void *context)
{
    worker w = {.job = context};
    dl_error err = {0};
    if (work(&w, &err) != DL_OK) {
        dl_cli_import_end(w.job, &err);
    }
    drop_held(&w);
    dl_cli_store_destroy(w.store);
    return NULL;
}
