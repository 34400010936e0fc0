#include "index/internal.h"

#include <string.h>

/*
 * Dictionary 0: no DICOM JSON of anybody, only the keys, value representations and values that the
 * standard itself makes common, the most common last (zstd reaches the end most cheaply).
 */
static const char builtin[] =
#include "index/dictionary_text.inc"
    ;

dl_bytes dl_index_dictionary_builtin(void)
{
    return (dl_bytes){(const uint8_t *)builtin, sizeof builtin - 1};
}

static dl_status make(dl_bytes text, dl_index_dictionary *out_dictionary, dl_error *err)
{
    enum { LEVEL = 3 };
    dl_index_dictionary d = {
        .compress = ZSTD_createCDict(text.ptr, text.len, LEVEL),
        .decompress = ZSTD_createDDict(text.ptr, text.len),
    };
    if (d.compress == NULL || d.decompress == NULL) {
        (void)ZSTD_freeCDict(d.compress);
        (void)ZSTD_freeDDict(d.decompress);
        return dl_error_set(err, DL_E_NOMEM, "metadata: no memory for a dictionary");
    }
    *out_dictionary = d;
    return DL_OK;
}

static bool look_up(dl_index *index, int64_t id, const dl_index_dictionary **out_dictionary)
{
    (void)pthread_mutex_lock(&index->lock);
    bool found = index->dictionaries[id].compress != NULL;
    (void)pthread_mutex_unlock(&index->lock);
    if (found) {
        *out_dictionary = &index->dictionaries[id]; /* never changes once it is made */
    }
    return found;
}

static void keep(dl_index *index, int64_t id, dl_index_dictionary made)
{
    (void)pthread_mutex_lock(&index->lock);
    bool taken = index->dictionaries[id].compress == NULL;
    if (taken) {
        index->dictionaries[id] = made;
    }
    (void)pthread_mutex_unlock(&index->lock);
    if (!taken) { /* another thread was faster */
        (void)ZSTD_freeCDict(made.compress);
        (void)ZSTD_freeDDict(made.decompress);
    }
}

dl_status dl_index_dictionary_get(dl_index_conn *conn, int64_t id,
                                  const dl_index_dictionary **out_dictionary, dl_error *err)
{
    if (id < 0 || id >= DL_INDEX_DICTIONARY_LIMIT) {
        return dl_error_set(err, DL_E_CORRUPT, "metadata: dictionary %lld is out of range",
                            (long long)id);
    }
    if (look_up(conn->index, id, out_dictionary)) {
        return DL_OK;
    }
    dl_index_dictionary made = {0};
    if (id == 0) {
        DL_TRY(make(dl_index_dictionary_builtin(), &made, err));
    } else {
        dl_db_stmt *q = NULL;
        DL_TRY(dl_db_query(conn->db, "SELECT text FROM dictionary WHERE id=?1", &q, err));
        dl_db_bind_int(q, 1, id);
        dl_status status = DL_OK;
        bool found = dl_db_step(q);
        if (found) {
            status = make(dl_db_bytes(q, 0), &made, err);
        }
        dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
        DL_TRY(status);
        DL_TRY(finished);
        if (!found) {
            return dl_error_set(err, DL_E_CORRUPT, "metadata: dictionary %lld is missing",
                                (long long)id);
        }
    }
    keep(conn->index, id, made);
    DL_ASSERT(look_up(conn->index, id, out_dictionary));
    return DL_OK;
}
