#include "base/ckd.h"
#include "base/mem.h"
#include "dicom/internal.h"

static size_t or_default(size_t value, size_t fallback)
{
    return value == 0 ? fallback : value;
}

static size_t times(size_t count, size_t size)
{
    size_t bytes = 0;
    return ckd_mul(&bytes, count, size) ? SIZE_MAX : bytes;
}

dl_dicom_reader *dl_dicom_reader_create(const dl_dicom_options *options)
{
    DL_AUTO(dl_dicom_reader) r = dl_mem_zalloc(1, sizeof *r);
    if (r == NULL) {
        return NULL;
    }
    dl_dicom_options o = options == NULL ? (dl_dicom_options){0} : *options;
    o.json_limit_bytes = or_default(o.json_limit_bytes, DL_DICOM_JSON_LIMIT_BYTES);
    o.value_limit_bytes = or_default(o.value_limit_bytes, DL_DICOM_VALUE_LIMIT_BYTES);
    if (o.value_limit_bytes > UINT32_MAX) {
        o.value_limit_bytes = UINT32_MAX; /* no value is longer */
    }
    o.depth_limit = or_default(o.depth_limit, DL_DICOM_DEPTH_LIMIT);
    o.finding_limit = or_default(o.finding_limit, DL_DICOM_FINDING_LIMIT);
    o.fragment_limit = or_default(o.fragment_limit, DL_DICOM_FRAGMENT_LIMIT);
    r->options = o;
    r->in.inflate_limit_bytes =
        o.inflate_limit_bytes == 0 ? DL_DICOM_INFLATE_LIMIT_BYTES : o.inflate_limit_bytes;
    if (ckd_mul(&r->level_limit, o.depth_limit, 2) || ckd_add(&r->level_limit, r->level_limit, 1)) {
        return NULL;
    }
    r->levels = dl_mem_alloc(r->level_limit, sizeof *r->levels);
    r->in.window = dl_mem_alloc(WINDOW_BYTES, 1);
    if (r->levels == NULL || r->in.window == NULL) {
        return NULL;
    }
    dl_buf_init(&r->value, o.value_limit_bytes + WINDOW_BYTES);
    dl_buf_init(&r->text, times(o.value_limit_bytes, 16) + WINDOW_BYTES);
    dl_buf_init(&r->scratch, SIZE_MAX / 2);
    dl_buf_init(&r->out.spill, times(o.value_limit_bytes, 64));
    size_t findings = times(o.finding_limit, sizeof(dl_dicom_finding));
    size_t kept = DL_DICOM_KEPT_LIMIT * sizeof(dl_dicom_finding);
    dl_buf_init(&r->findings, findings > SIZE_MAX - kept ? findings : findings + kept);
    dl_buf_init(&r->fragments, times(o.fragment_limit, sizeof(dl_dicom_fragment)));
    dl_buf_init(&r->last_marks, o.fragment_limit);
    dl_buf_init(&r->offset_table, times(o.fragment_limit, 8));
    dl_buf_init(&r->extended_table, times(o.fragment_limit, 8) + 8);
    return DL_STEAL(r);
}

void dl_dicom_reader_destroy(dl_dicom_reader *r)
{
    if (r == NULL) {
        return;
    }
    dl_dicom_input_clear(&r->in);
    dl_dicom_decoder_clear(&r->decoder);
    dl_mem_free(r->levels);
    dl_buf *const buffers[] = {&r->value,        &r->text,           &r->scratch,
                               &r->findings,     &r->fragments,      &r->last_marks,
                               &r->offset_table, &r->extended_table, &r->out.spill};
    for (size_t i = 0; i < DL_COUNT_OF(buffers); i++) {
        dl_buf_clear(buffers[i]);
    }
    dl_mem_free(r);
}

static dl_status keep_findings(dl_dicom_reader *r, dl_error *err)
{
    size_t count = r->findings.len / sizeof(dl_dicom_finding);
    if (count == 0) {
        return DL_OK;
    }
    r->header->findings = dl_arena_alloc(r->arena, count, sizeof *r->header->findings);
    if (r->header->findings == NULL) {
        return dl_arena_full(r->arena, err);
    }
    memcpy(r->header->findings, r->findings.ptr, r->findings.len);
    r->header->finding_count = count;
    return DL_OK;
}

static dl_status read_all(dl_dicom_reader *r, dl_error *err)
{
    dl_dicom_meta m = {0};
    DL_TRY(dl_dicom_meta_read(&r->in, &m, err));
    dl_dicom_header *h = r->header;
    h->has_preamble = m.has_preamble;
    h->has_meta = m.has_meta;
    h->implicit_vr = m.implicit_vr;
    h->big_endian = m.big_endian;
    h->deflated = m.deflated;
    h->pixels.frame_count = 1;
    DL_TRY(dl_arena_copy(r->arena, dl_str_of(m.uid), &h->transfer_syntax_uid, err));
    DL_TRY(dl_dicom_walk(r, err));
    DL_TRY(dl_dicom_pixels_finish(r, err));
    return keep_findings(r, err);
}

dl_status dl_dicom_read(dl_dicom_reader *reader, const dl_dicom_source *source, dl_arena *arena,
                        dl_buf *json, dl_dicom_header *out_header, dl_error *err)
{
    dl_dicom_header header = {0};
    dl_buf *const buffers[] = {&reader->findings, &reader->fragments, &reader->last_marks,
                               &reader->offset_table, &reader->extended_table};
    for (size_t i = 0; i < DL_COUNT_OF(buffers); i++) {
        dl_buf_reset(buffers[i]);
    }
    reader->header = &header;
    reader->arena = arena;
    reader->cut = false;
    reader->too_many_fragments = false;
    reader->fragment_base = 0;
    size_t before = json == NULL ? 0 : json->len;
    DL_TRY(dl_dicom_emit_start(&reader->out, json, reader->options.json_limit_bytes, err));
    dl_dicom_input_start(&reader->in, source);
    dl_status status = read_all(reader, err);
    reader->header = NULL;
    reader->arena = NULL;
    if (status != DL_OK) {
        if (json != NULL) {
            json->len = before;
        }
        return status;
    }
    *out_header = header;
    return DL_OK;
}

dl_status dl_dicom_inflate_range(const dl_dicom_source *source, uint64_t offset_bytes,
                                 uint64_t length_bytes,
                                 dl_status (*write)(void *context, dl_bytes part, dl_error *err),
                                 void *context, dl_error *err)
{
    DL_CLEANUP(dl_dicom_input_clear)
    dl_dicom_input in = {
        .window = dl_mem_alloc(WINDOW_BYTES, 1),
        .inflate_limit_bytes = DL_DICOM_INFLATE_LIMIT_BYTES,
    };
    if (in.window == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory to inflate a data set");
    }
    dl_dicom_meta m = {0};
    dl_dicom_input_start(&in, source);
    DL_TRY(dl_dicom_meta_read(&in, &m, err));
    if (!m.deflated) {
        return dl_error_set(err, DL_E_INVALID, "the data set is not deflated");
    }
    uint64_t missing = 0;
    if (offset_bytes < dl_dicom_input_position(&in)) {
        return dl_error_set(err, DL_E_INVALID, "the range begins before the data set");
    }
    DL_TRY(dl_dicom_input_skip(&in, offset_bytes - dl_dicom_input_position(&in), &missing, err));
    while (length_bytes > 0 && missing == 0) {
        size_t want = length_bytes < WINDOW_BYTES ? (size_t)length_bytes : WINDOW_BYTES;
        DL_TRY(dl_dicom_input_need(&in, want, err));
        if (dl_dicom_input_left(&in) < want) {
            missing = want;
            break;
        }
        DL_TRY(write(context, (dl_bytes){in.window + in.at, want}, err));
        in.at += want;
        length_bytes -= want;
    }
    return missing > 0 ? dl_error_set(err, DL_E_INVALID, "the data set ends before the range does")
                       : DL_OK;
}
