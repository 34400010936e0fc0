#include "base/file.h"
#include "base/mem.h"
#include "dicom/internal.h"

#include <errno.h>
#include <unistd.h>

/* ---- sources ---- */

static dl_status memory_read(void *context, void *out, size_t want, size_t *out_got, dl_error *err)
{
    (void)err;
    dl_dicom_memory *m = context;
    size_t left = m->bytes.len - m->at;
    size_t n = want < left ? want : left;
    if (n > 0) {
        memcpy(out, m->bytes.ptr + m->at, n);
    }
    m->at += n;
    *out_got = n;
    return DL_OK;
}

static dl_status past_end(dl_error *err, uint64_t count, uint64_t left)
{
    return dl_error_set(err, DL_E_INVALID,
                        "the input ends %llu bytes on, not %llu or more as its lengths say",
                        (unsigned long long)left, (unsigned long long)count);
}

static dl_status memory_skip(void *context, uint64_t count, dl_error *err)
{
    dl_dicom_memory *m = context;
    size_t left = m->bytes.len - m->at;
    if (count > left) {
        return past_end(err, count, left);
    }
    m->at += (size_t)count;
    return DL_OK;
}

dl_dicom_source dl_dicom_source_memory(dl_dicom_memory *memory)
{
    return (dl_dicom_source){.read = memory_read, .skip = memory_skip, .context = memory};
}

static dl_status file_read(void *context, void *out, size_t want, size_t *out_got, dl_error *err)
{
    dl_dicom_file *f = context;
    uint64_t left = f->at < f->size ? f->size - f->at : 0;
    size_t n = want < left ? want : (size_t)left;
    size_t got = 0;
    while (got < n) {
        ssize_t r = pread(f->fd, (char *)out + got, n - got, (off_t)(f->at + got));
        if (r < 0 && errno == EINTR) {
            continue;
        }
        if (r < 0) {
            return dl_error_errno(err, errno, "a DICOM file cannot be read");
        }
        if (r == 0) {
            break; /* the file has become shorter */
        }
        got += (size_t)r;
    }
    f->at += got;
    *out_got = got;
    return DL_OK;
}

static dl_status file_skip(void *context, uint64_t count, dl_error *err)
{
    dl_dicom_file *f = context;
    uint64_t left = f->at < f->size ? f->size - f->at : 0;
    if (count > left) {
        return past_end(err, count, left);
    }
    f->at += count;
    return DL_OK;
}

dl_dicom_source dl_dicom_source_file(dl_dicom_file *file)
{
    return (dl_dicom_source){.read = file_read, .skip = file_skip, .context = file};
}

/* ---- the window ---- */

void dl_dicom_input_start(dl_dicom_input *in, const dl_dicom_source *source)
{
    in->source = *source;
    in->at = in->end = 0;
    in->base = 0;
    in->read_bytes = FIRST_READ_BYTES;
    in->ended = in->inflating = in->stream_ended = false;
    in->inflated_bytes = 0;
}

static voidpf stream_alloc(voidpf opaque, uInt count, uInt size)
{
    (void)opaque;
    return dl_mem_alloc(count, size);
}

static void stream_free(voidpf opaque, voidpf p)
{
    (void)opaque;
    dl_mem_free(p);
}

void dl_dicom_input_clear(dl_dicom_input *in)
{
    if (in->stream_made) {
        (void)inflateEnd(&in->stream);
    }
    dl_mem_free(in->window);
    dl_mem_free(in->deflated);
    *in = (dl_dicom_input){0};
}

dl_status dl_dicom_input_inflate(dl_dicom_input *in, dl_error *err)
{
    if (in->deflated == NULL) {
        in->deflated = dl_mem_alloc(WINDOW_BYTES, 1);
        if (in->deflated == NULL) {
            return dl_error_set(err, DL_E_NOMEM, "no memory to inflate a data set");
        }
    }
    if (!in->stream_made) {
        in->stream = (z_stream){.zalloc = stream_alloc, .zfree = stream_free};
        if (inflateInit2(&in->stream, -MAX_WBITS) != Z_OK) {
            return dl_error_set(err, DL_E_NOMEM, "no memory to inflate a data set");
        }
        in->stream_made = true;
    } else {
        (void)inflateReset(&in->stream);
    }
    /* What the window holds already is the beginning of the stream. */
    size_t left = dl_dicom_input_left(in);
    memcpy(in->deflated, in->window + in->at, left);
    in->stream.next_in = in->deflated;
    in->stream.avail_in = (uInt)left;
    in->end = in->at;
    in->inflating = true;
    in->ended = false;
    return DL_OK;
}

static dl_status read_deflated(dl_dicom_input *in, uint8_t *out, size_t want, size_t *out_got,
                               dl_error *err)
{
    in->stream.next_out = out;
    in->stream.avail_out = (uInt)want;
    while (in->stream.avail_out > 0 && !in->stream_ended) {
        if (in->stream.avail_in == 0) {
            size_t got = 0;
            DL_TRY(in->source.read(in->source.context, in->deflated, DEFLATED_BYTES, &got, err));
            if (got == 0) {
                break; /* cut off; the walk says so when it needs more */
            }
            in->stream.next_in = in->deflated;
            in->stream.avail_in = (uInt)got;
        }
        int z = inflate(&in->stream, Z_NO_FLUSH);
        if (z == Z_STREAM_END) {
            in->stream_ended = true;
        } else if (z == Z_MEM_ERROR) {
            return dl_error_set(err, DL_E_NOMEM, "no memory to inflate a data set");
        } else if (z != Z_OK) {
            return dl_error_set(err, DL_E_INVALID, "the deflated data set cannot be inflated");
        }
    }
    *out_got = want - in->stream.avail_out;
    in->inflated_bytes += *out_got;
    if (in->inflated_bytes > in->inflate_limit_bytes) {
        return dl_error_set(err, DL_E_LIMIT, "the deflated data set inflates beyond %llu bytes",
                            (unsigned long long)in->inflate_limit_bytes);
    }
    return DL_OK;
}

static dl_status read_some(dl_dicom_input *in, uint8_t *out, size_t want, size_t *out_got,
                           dl_error *err)
{
    if (in->inflating) {
        return read_deflated(in, out, want, out_got, err);
    }
    return in->source.read(in->source.context, out, want, out_got, err);
}

dl_status dl_dicom_input_fill(dl_dicom_input *in, size_t want, dl_error *err)
{
    DL_ASSERT(want <= WINDOW_BYTES);
    if (in->at > 0 && (in->ended || WINDOW_BYTES - in->at < want || in->at == in->end)) {
        size_t left = dl_dicom_input_left(in);
        memmove(in->window, in->window + in->at, left);
        in->base += in->at;
        in->at = 0;
        in->end = left;
    }
    while (dl_dicom_input_left(in) < want && !in->ended) {
        size_t missing = want - dl_dicom_input_left(in);
        size_t ask = missing > in->read_bytes ? missing : in->read_bytes;
        size_t room = WINDOW_BYTES - in->end;
        ask = ask < room ? ask : room;
        size_t got = 0;
        DL_TRY(read_some(in, in->window + in->end, ask, &got, err));
        in->end += got;
        in->ended = got < ask; /* a source gives less only at its end */
        in->read_bytes = WINDOW_BYTES;
    }
    return DL_OK;
}

/** Read and drop what the source cannot skip. */
static dl_status drop(dl_dicom_input *in, uint64_t count, uint64_t *out_missing, dl_error *err)
{
    while (count > 0 && !in->ended) {
        size_t ask = count < WINDOW_BYTES ? (size_t)count : WINDOW_BYTES;
        size_t got = 0;
        DL_TRY(read_some(in, in->window, ask, &got, err));
        in->base += got;
        in->ended = got < ask;
        count -= got;
    }
    *out_missing = count;
    return DL_OK;
}

dl_status dl_dicom_input_skip(dl_dicom_input *in, uint64_t count, uint64_t *out_missing,
                              dl_error *err)
{
    size_t left = dl_dicom_input_left(in);
    if (count <= left) {
        in->at += (size_t)count;
        *out_missing = 0;
        return DL_OK;
    }
    count -= left;
    in->base += in->end;
    in->at = in->end = 0;
    if (!in->inflating && in->source.skip != NULL && !in->ended) {
        dl_error why = {0};
        dl_status status = in->source.skip(in->source.context, count, &why);
        if (status == DL_OK) {
            in->base += count;
            in->read_bytes = HOP_READ_BYTES;
            *out_missing = 0;
            return DL_OK;
        }
        if (status != DL_E_INVALID) {
            if (err != NULL) {
                *err = why;
            }
            return status;
        }
        /* The input ends before: read on, to learn where. */
    }
    return drop(in, count, out_missing, err);
}
