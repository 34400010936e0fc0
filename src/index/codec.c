#include "index/internal.h"

#include "base/mem.h"

#include <string.h>

enum { LEVEL = 3 };

static dl_status failed(size_t code, const char *what, dl_error *err)
{
    return dl_error_set(err, DL_E_CORRUPT, "metadata: %s: %s", what, ZSTD_getErrorName(code));
}

static dl_status slot_fill(dl_index_base *slot, int64_t id, dl_str text, dl_error *err)
{
    slot->id = 0;
    dl_buf_reset(&slot->text);
    DL_TRY(dl_buf_append_str(&slot->text, text, err));
    slot->id = id;
    return DL_OK;
}

static dl_index_base *slot_of(dl_index_conn *conn, int64_t base)
{
    return &conn->bases[(uint64_t)base % DL_INDEX_BASE_SLOTS];
}

dl_status dl_index_base_keep(dl_index_conn *conn, int64_t base, dl_str text, dl_error *err)
{
    return slot_fill(slot_of(conn, base), base, text, err);
}

void dl_index_bases_forget(dl_index_conn *conn)
{
    for (size_t i = 0; i < DL_INDEX_BASE_SLOTS; i++) {
        conn->bases[i].id = 0;
    }
}

/** Room at the end of `out` for what the frame says it holds. */
static dl_status make_room(dl_bytes packed, dl_buf *out, size_t *out_size, dl_error *err)
{
    unsigned long long size = ZSTD_getFrameContentSize(packed.ptr, packed.len);
    if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN) {
        return dl_error_set(err, DL_E_CORRUPT, "metadata: no zstd frame in %zu bytes", packed.len);
    }
    if (size > DL_INDEX_METADATA_LIMIT_BYTES) {
        return dl_error_set(err, DL_E_CORRUPT, "metadata: a zstd frame of %llu bytes, more than %d",
                            size, DL_INDEX_METADATA_LIMIT_BYTES);
    }
    DL_TRY(dl_buf_reserve(out, (size_t)size, err));
    *out_size = (size_t)size;
    return DL_OK;
}

static dl_status unpack_plain(dl_index_conn *conn, dl_bytes packed, int64_t dictionary, dl_buf *out,
                              dl_error *err)
{
    const dl_index_dictionary *d = NULL;
    size_t size = 0;
    DL_TRY(dl_index_dictionary_get(conn, dictionary, &d, err));
    DL_TRY(make_room(packed, out, &size, err));
    size_t got = ZSTD_decompress_usingDDict(conn->decompressor, out->ptr + out->len, size,
                                            packed.ptr, packed.len, d->decompress);
    if (ZSTD_isError(got)) {
        return failed(got, "unpacking", err);
    }
    out->len += got;
    return DL_OK;
}

static dl_status load_base(dl_index_conn *conn, int64_t base, dl_index_base **out_slot,
                           dl_error *err)
{
    dl_index_base *slot = slot_of(conn, base);
    *out_slot = slot;
    if (slot->id == base) {
        return DL_OK;
    }
    slot->id = 0;
    dl_buf_reset(&slot->text);
    dl_db_stmt *q = NULL;
    DL_TRY(
        dl_db_query(conn->db, "SELECT dictionary, text FROM metadata_base WHERE id=?1", &q, err));
    dl_db_bind_int(q, 1, base);
    dl_status status = DL_OK;
    bool found = dl_db_step(q);
    if (found) {
        status = unpack_plain(conn, dl_db_bytes(q, 1), dl_db_int(q, 0), &slot->text, err);
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    DL_TRY(status);
    DL_TRY(finished);
    if (!found) {
        return dl_error_set(err, DL_E_CORRUPT, "metadata: base %lld is missing", (long long)base);
    }
    slot->id = base;
    return DL_OK;
}

dl_status dl_index_unpack(dl_index_conn *conn, dl_bytes packed, int64_t base, dl_buf *out,
                          dl_error *err)
{
    if (base <= 0) {
        return unpack_plain(conn, packed, -base, out, err);
    }
    dl_index_base *slot = NULL;
    size_t size = 0;
    DL_TRY(load_base(conn, base, &slot, err));
    DL_TRY(make_room(packed, out, &size, err));
    size_t code = ZSTD_DCtx_refPrefix(conn->decompressor, slot->text.ptr, slot->text.len);
    if (!ZSTD_isError(code)) {
        code = ZSTD_decompressDCtx(conn->decompressor, out->ptr + out->len, size, packed.ptr,
                                   packed.len);
    }
    if (ZSTD_isError(code)) {
        return failed(code, "unpacking", err);
    }
    out->len += code;
    return DL_OK;
}

static dl_status prepare(dl_index_conn *conn, dl_str text, dl_buf *out, dl_error *err)
{
    if (text.len > DL_INDEX_METADATA_LIMIT_BYTES) {
        return dl_error_set(err, DL_E_LIMIT, "metadata: %zu bytes exceed %d", text.len,
                            DL_INDEX_METADATA_LIMIT_BYTES);
    }
    dl_buf_reset(out);
    DL_TRY(dl_buf_reserve(out, ZSTD_compressBound(text.len), err));
    size_t code = ZSTD_CCtx_reset(conn->compressor, ZSTD_reset_session_and_parameters);
    if (!ZSTD_isError(code)) {
        code = ZSTD_CCtx_setParameter(conn->compressor, ZSTD_c_compressionLevel, LEVEL);
    }
    if (!ZSTD_isError(code)) {
        code = ZSTD_CCtx_setParameter(conn->compressor, ZSTD_c_dictIDFlag, 0);
    }
    return ZSTD_isError(code) ? failed(code, "packing", err) : DL_OK;
}

static dl_status compress(dl_index_conn *conn, dl_str text, dl_buf *out, dl_error *err)
{
    size_t code = ZSTD_compress2(conn->compressor, out->ptr, out->cap, text.ptr, text.len);
    if (ZSTD_isError(code)) {
        return failed(code, "packing", err);
    }
    out->len = code;
    return DL_OK;
}

dl_status dl_index_pack(dl_index_conn *conn, dl_str text, int64_t dictionary, dl_buf *out,
                        dl_error *err)
{
    const dl_index_dictionary *d = NULL;
    DL_TRY(dl_index_dictionary_get(conn, dictionary, &d, err));
    DL_TRY(prepare(conn, text, out, err));
    size_t code = ZSTD_CCtx_refCDict(conn->compressor, d->compress);
    return ZSTD_isError(code) ? failed(code, "packing", err) : compress(conn, text, out, err);
}

dl_status dl_index_pack_after(dl_index_conn *conn, dl_str text, int64_t base, dl_buf *out,
                              dl_error *err)
{
    dl_index_base *slot = NULL;
    DL_TRY(load_base(conn, base, &slot, err));
    DL_TRY(prepare(conn, text, out, err));
    size_t code = ZSTD_CCtx_refPrefix(conn->compressor, slot->text.ptr, slot->text.len);
    return ZSTD_isError(code) ? failed(code, "packing", err) : compress(conn, text, out, err);
}

dl_status dl_index_conn_metadata(dl_index_conn *conn, int64_t watermark, dl_buf *out, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(conn->db, "SELECT base, metadata FROM version WHERE watermark=?1", &q, err));
    dl_db_bind_int(q, 1, watermark);
    dl_status status = DL_OK;
    bool found = dl_db_step(q);
    if (found) {
        status = dl_index_unpack(conn, dl_db_bytes(q, 1), dl_db_int(q, 0), out, err);
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    DL_TRY(status);
    DL_TRY(finished);
    return found ? DL_OK
                 : dl_error_set(err, DL_E_NOT_FOUND, "version %lld is not in the index",
                                (long long)watermark);
}
