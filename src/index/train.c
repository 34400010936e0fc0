#include "index/internal.h"

#include "base/mem.h"
#include "json/json.h"

#include <string.h>
#include <zdict.h>

/*
 * A dictionary outlives the instances it was trained on, so nothing of a patient may get into it.
 * What is trained on is therefore not the metadata but its skeleton: all keys and value
 * representations, and of the values only those that at least VALUE_PATIENTS patients share and
 * that are neither names, nor of the patient group, nor UIDs of somebody.
 */
enum {
    SAMPLE_LIMIT = 1000,
    VALUE_PATIENTS = 5,
    DICTIONARY_BYTES = 32 * 1024,
    SAMPLES_LIMIT_BYTES = 64 * 1024 * 1024,
    VALUE_SLOTS = 1 << 16, /* a power of two */
    VALUE_PROBES = 16,
};

typedef struct value_seen {
    uint64_t hash; /* 0: free */
    uint64_t patients[VALUE_PATIENTS];
    unsigned count;
} value_seen;

typedef struct trainer {
    dl_index_conn *conn;
    dl_arena *arena;
    value_seen *seen; /* VALUE_SLOTS */
    int64_t ids[SAMPLE_LIMIT];
    size_t id_count;
    dl_buf text, samples;
    size_t sizes[SAMPLE_LIMIT];
} trainer;

static uint64_t hash_of(dl_str a, dl_str b)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < a.len + b.len; i++) {
        unsigned char c = (unsigned char)(i < a.len ? a.ptr[i] : b.ptr[i - a.len]);
        h = (h ^ c) * UINT64_C(0x100000001b3);
    }
    return h | 1;
}

static value_seen *slot_of(trainer *t, uint64_t hash)
{
    for (size_t i = 0; i < VALUE_PROBES; i++) {
        value_seen *slot = &t->seen[(hash + i) & (VALUE_SLOTS - 1)];
        if (slot->hash == 0 || slot->hash == hash) {
            return slot;
        }
    }
    return NULL; /* crowded: the value counts as a rare one */
}

static bool may_be_shared(dl_str key, dl_str element)
{
    dl_str vr = DL_STR_NONE, values = DL_STR_NONE;
    if (dl_str_starts(key, DL_STR("0010")) || !dl_json_get(element, DL_STR("vr"), &vr) ||
        !dl_json_get(element, DL_STR("Value"), &values)) {
        return false;
    }
    if (dl_str_eq(vr, DL_STR("\"PN\"")) || dl_str_find_str(values, DL_STR("\"PN\"")) >= 0) {
        return false;
    }
    return !dl_str_eq(vr, DL_STR("\"UI\"")) || dl_str_starts(values, DL_STR("[\"1.2.840.10008."));
}

static void note_value(trainer *t, dl_str key, dl_str element, uint64_t patient)
{
    uint64_t hash = hash_of(key, element);
    value_seen *slot = slot_of(t, hash);
    if (slot == NULL || !may_be_shared(key, element)) {
        return;
    }
    slot->hash = hash;
    for (unsigned i = 0; i < slot->count; i++) {
        if (slot->patients[i] == patient) {
            return;
        }
    }
    if (slot->count < VALUE_PATIENTS) {
        slot->patients[slot->count++] = patient;
    }
}

static bool is_common(trainer *t, dl_str key, dl_str element)
{
    const value_seen *slot = slot_of(t, hash_of(key, element));
    return slot != NULL && slot->hash != 0 && slot->count >= VALUE_PATIENTS;
}

static void note_values(trainer *t, dl_str object)
{
    dl_str key = DL_STR_NONE, element = DL_STR_NONE, patient = DL_STR_NONE;
    (void)dl_json_get(object, DL_STR("00100020"), &patient);
    uint64_t who = hash_of(patient, DL_STR(""));
    dl_json_iter it = dl_json_iter_of(object);
    while (dl_json_next_member(&it, &key, &element)) {
        note_value(t, key, element, who);
    }
}

static dl_status write_skeleton(trainer *t, dl_str object, dl_error *err)
{
    dl_str key = DL_STR_NONE, element = DL_STR_NONE, vr = DL_STR_NONE, values = DL_STR_NONE;
    dl_json_iter it = dl_json_iter_of(object);
    while (dl_json_next_member(&it, &key, &element)) {
        if (is_common(t, key, element)) {
            DL_TRY(dl_buf_printf(&t->samples, err, "\"%.*s\":%.*s,", DL_STR_ARG(key),
                                 DL_STR_ARG(element)));
        } else if (dl_json_get(element, DL_STR("vr"), &vr)) {
            bool filled = dl_json_get(element, DL_STR("Value"), &values);
            DL_TRY(dl_buf_printf(&t->samples, err, "\"%.*s\":{\"vr\":%.*s%s},", DL_STR_ARG(key),
                                 DL_STR_ARG(vr), filled ? ",\"Value\":[]" : ""));
        }
    }
    return DL_OK;
}

static dl_status list_bases(trainer *t, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(t->conn->db, "SELECT id FROM metadata_base ORDER BY id DESC LIMIT ?1", &q,
                       err));
    dl_db_bind_int(q, 1, SAMPLE_LIMIT);
    while (t->id_count < SAMPLE_LIMIT && dl_db_step(q)) {
        t->ids[t->id_count++] = dl_db_int(q, 0);
    }
    return dl_db_finish(q, err);
}

static dl_status read_base(trainer *t, int64_t id, dl_error *err)
{
    dl_db_stmt *q = NULL;
    dl_buf_reset(&t->text);
    DL_TRY(dl_db_query(t->conn->db, "SELECT dictionary, text FROM metadata_base WHERE id=?1", &q,
                       err));
    dl_db_bind_int(q, 1, id);
    dl_status status = DL_OK;
    if (dl_db_step(q)) { /* one that went in the meantime gives no sample */
        status = dl_index_unpack(t->conn, dl_db_bytes(q, 1), -dl_db_int(q, 0), &t->text, err);
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finished;
}

static dl_status collect(trainer *t, dl_error *err)
{
    DL_TRY(list_bases(t, err));
    for (size_t i = 0; i < t->id_count; i++) {
        DL_TRY(read_base(t, t->ids[i], err));
        note_values(t, dl_buf_str(&t->text));
    }
    for (size_t i = 0; i < t->id_count; i++) {
        size_t before = t->samples.len;
        DL_TRY(read_base(t, t->ids[i], err));
        DL_TRY(write_skeleton(t, dl_buf_str(&t->text), err));
        t->sizes[i] = t->samples.len - before;
    }
    return DL_OK;
}

static dl_status insert_dictionary(trainer *t, dl_bytes text, dl_error *err)
{
    dl_index *index = t->conn->index;
    const dl_index_dictionary *made = NULL;
    dl_db_stmt *q = NULL;
    (void)pthread_mutex_lock(&index->turn);
    dl_status status = dl_db_query(t->conn->db, "INSERT INTO dictionary(text) VALUES(?1)", &q, err);
    if (status == DL_OK) {
        dl_db_bind_bytes(q, 1, text);
        status = dl_db_run(q, err);
    }
    int64_t id = dl_db_last_id(t->conn->db);
    (void)pthread_mutex_unlock(&index->turn);
    DL_TRY(status);
    DL_TRY(dl_index_dictionary_get(t->conn, id, &made, err));
    (void)pthread_mutex_lock(&index->lock);
    index->dictionary = id;
    (void)pthread_mutex_unlock(&index->lock);
    return DL_OK;
}

static dl_status train(trainer *t, dl_error *err)
{
    DL_TRY(collect(t, err));
    uint8_t *text = dl_arena_alloc(t->arena, DICTIONARY_BYTES, 1);
    if (text == NULL) {
        return dl_arena_full(t->arena, err);
    }
    size_t size = ZDICT_trainFromBuffer(text, DICTIONARY_BYTES, t->samples.ptr, t->sizes,
                                        (unsigned)t->id_count);
    if (ZDICT_isError(size)) { /* the samples are too few or too much the same */
        return dl_error_set(err, DL_E_UNSUPPORTED, "metadata: no dictionary to be had: %s",
                            ZDICT_getErrorName(size));
    }
    return insert_dictionary(t, (dl_bytes){text, size}, err);
}

dl_status dl_index_train(dl_index_conn *conn, dl_error *err)
{
    trainer *t = dl_mem_zalloc(1, sizeof *t);
    if (t == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "index: out of memory");
    }
    t->conn = conn;
    t->arena = dl_arena_create(DICTIONARY_BYTES + 1024);
    t->seen = dl_mem_zalloc(VALUE_SLOTS, sizeof *t->seen);
    dl_buf_init(&t->text, DL_INDEX_METADATA_LIMIT_BYTES);
    dl_buf_init(&t->samples, SAMPLES_LIMIT_BYTES);
    dl_status status = t->arena != NULL && t->seen != NULL
                           ? train(t, err)
                           : dl_error_set(err, DL_E_NOMEM, "index: out of memory");
    dl_buf_clear(&t->text);
    dl_buf_clear(&t->samples);
    dl_mem_free(t->seen);
    dl_arena_destroy(t->arena);
    dl_mem_free(t);
    (void)pthread_mutex_lock(&conn->index->lock);
    conn->index->base_count = 0; /* a failure is tried again after as many new bases */
    (void)pthread_mutex_unlock(&conn->index->lock);
    return status;
}
