#include "index/internal.h"

#include "json/json.h"

#include <string.h>

/* Names are found by word: attribute numbers of study_word, in the order of stored_names. */
static const int name_columns[] = {DL_INDEX_PATIENT_NAME, DL_INDEX_REFERRING};

static const char hex_digits[] = "0123456789ABCDEF";

enum { ORIGIN_BYTES = 8, WATERMARK_NONE = 0 };

static size_t bucket_of(int64_t parent, const dl_index_uid *uid)
{
    uint64_t h = (uint64_t)parent * UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i < uid->len; i++) {
        h = (h ^ uid->bytes[i]) * UINT64_C(0x100000001b3);
    }
    return (size_t)(h >> 32) % DL_INDEX_TX_BUCKETS;
}

static bool same_uid(const dl_index_uid *a, const dl_index_uid *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

static int64_t origin_at(dl_bytes origins, int column)
{
    size_t at = (size_t)column * ORIGIN_BYTES;
    if (origins.len < at + ORIGIN_BYTES) {
        return WATERMARK_NONE;
    }
    uint64_t value = 0;
    for (size_t i = ORIGIN_BYTES; i-- > 0;) {
        value = value << 8 | origins.ptr[at + i];
    }
    return (int64_t)value;
}

/** The stored elements and where each came from. */
static dl_status read_values(dl_index_tx *tx, dl_str attributes, dl_bytes origins,
                             dl_index_level level, dl_index_value *values, dl_error *err)
{
    dl_str copy = DL_STR_NONE;
    DL_TRY(dl_arena_copy(tx->arena, attributes, &copy, err));
    dl_index_elements_found found;
    dl_index_elements(copy, &found);
    const dl_str *elements = level == DL_INDEX_STUDY ? found.study : found.series;
    for (int i = 0; i < dl_index_column_count(level); i++) {
        values[i].element = elements[i];
        values[i].origin = origin_at(origins, i);
    }
    return DL_OK;
}

/* ---- studies ---- */

static dl_status fold_value(dl_index_tx *tx, const dl_index_value *value, dl_index_level level,
                            int column, dl_str *out_folded, dl_error *err)
{
    dl_str text = DL_STR_NONE;
    *out_folded = DL_STR_NONE;
    if (value->element.ptr == NULL) {
        return DL_OK;
    }
    bool name = dl_index_column_attribute(level, column)->vr == DL_VR('P', 'N');
    DL_TRY(dl_index_element_text(value->element, tx->arena, &text, err));
    DL_TRY(dl_index_fold(text, name, tx->arena, out_folded, err));
    return DL_OK;
}

static dl_status load_study_text(dl_index_tx *tx, dl_index_study *study, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(tx->conn->db,
                       "SELECT origins, modalities, attributes FROM study_text WHERE study=?1", &q,
                       err));
    dl_db_bind_int(q, 1, study->id);
    dl_status status = DL_OK;
    if (dl_db_step(q)) {
        status =
            read_values(tx, dl_db_str(q, 2), dl_db_bytes(q, 0), DL_INDEX_STUDY, study->values, err);
        if (status == DL_OK) {
            status = dl_arena_copy(tx->arena, dl_db_str(q, 1), &study->stored_modalities, err);
        }
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    DL_TRY(status);
    DL_TRY(finished);
    for (size_t i = 0; i < DL_COUNT_OF(name_columns); i++) {
        DL_TRY(fold_value(tx, &study->values[name_columns[i]], DL_INDEX_STUDY, name_columns[i],
                          &study->stored_names[i], err));
    }
    return DL_OK;
}

static dl_status load_study(dl_index_tx *tx, dl_index_study *study, bool create, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(tx->conn->db,
                       "SELECT id, created, series_count, expires_us, study_date FROM study"
                       " WHERE uid=?1 AND partition=?2",
                       &q, err));
    dl_db_bind_bytes(q, 1, dl_index_uid_bytes(&study->uid));
    dl_db_bind_int(q, 2, study->partition);
    if (dl_db_step(q)) {
        study->id = dl_db_int(q, 0);
        study->created = dl_db_int(q, 1);
        study->series_count = dl_db_int(q, 2);
        study->expires_us = dl_db_int(q, 3);
        study->stored_created = study->created;
        study->stored_date = study->date = dl_db_int(q, 4);
    }
    DL_TRY(dl_db_finish(q, err));
    if (study->created != 0) {
        return load_study_text(tx, study, err);
    }
    if (study->id != 0 || !create) {
        return DL_OK;
    }
    DL_TRY(dl_db_query(tx->conn->db, "INSERT INTO study(partition, uid) VALUES(?1, ?2)", &q, err));
    dl_db_bind_int(q, 1, study->partition);
    dl_db_bind_bytes(q, 2, dl_index_uid_bytes(&study->uid));
    DL_TRY(dl_db_run(q, err));
    study->id = dl_db_last_id(tx->conn->db);
    return DL_OK;
}

dl_status dl_index_study_find(dl_index_tx *tx, int64_t partition, const dl_index_uid *uid,
                              bool create, dl_index_study **out_study, dl_error *err)
{
    size_t bucket = bucket_of(partition, uid);
    for (dl_index_study *s = tx->study_buckets[bucket]; s != NULL; s = s->next_in_bucket) {
        if (s->partition == partition && same_uid(&s->uid, uid)) {
            *out_study = s;
            return DL_OK;
        }
    }
    dl_index_study *study = dl_arena_alloc(tx->arena, 1, sizeof *study);
    if (study == NULL) {
        return dl_arena_full(tx->arena, err);
    }
    study->partition = partition;
    study->uid = *uid;
    DL_TRY(load_study(tx, study, create, err));
    if (study->id == 0) {
        *out_study = NULL;
        return DL_OK;
    }
    study->next = tx->studies;
    tx->studies = study;
    study->next_in_bucket = tx->study_buckets[bucket];
    tx->study_buckets[bucket] = study;
    *out_study = study;
    return DL_OK;
}

/* ---- series ---- */

static dl_status load_series_text(dl_index_tx *tx, dl_index_series *series, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(tx->conn->db, "SELECT origins, attributes FROM series_text WHERE series=?1",
                       &q, err));
    dl_db_bind_int(q, 1, series->id);
    dl_status status = DL_OK;
    if (dl_db_step(q)) {
        status = read_values(tx, dl_db_str(q, 1), dl_db_bytes(q, 0), DL_INDEX_SERIES,
                             series->values, err);
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    DL_TRY(status);
    return finished;
}

static dl_status load_series(dl_index_tx *tx, dl_index_series *series, bool create, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(tx->conn->db,
                       "SELECT id, created, instance_count, base FROM series"
                       " WHERE uid=?1 AND study=?2",
                       &q, err));
    dl_db_bind_bytes(q, 1, dl_index_uid_bytes(&series->uid));
    dl_db_bind_int(q, 2, series->study->id);
    if (dl_db_step(q)) {
        series->id = dl_db_int(q, 0);
        series->created = dl_db_int(q, 1);
        series->instance_count = dl_db_int(q, 2);
        series->base = dl_db_int(q, 3);
    }
    DL_TRY(dl_db_finish(q, err));
    if (series->created != 0) {
        return load_series_text(tx, series, err);
    }
    if (series->id != 0 || !create) {
        return DL_OK;
    }
    DL_TRY(dl_db_query(tx->conn->db, "INSERT INTO series(study, partition, uid) VALUES(?1, ?2, ?3)",
                       &q, err));
    dl_db_bind_int(q, 1, series->study->id);
    dl_db_bind_int(q, 2, series->study->partition);
    dl_db_bind_bytes(q, 3, dl_index_uid_bytes(&series->uid));
    DL_TRY(dl_db_run(q, err));
    series->id = dl_db_last_id(tx->conn->db);
    return DL_OK;
}

dl_status dl_index_series_find(dl_index_tx *tx, dl_index_study *study, const dl_index_uid *uid,
                               bool create, dl_index_series **out_series, dl_error *err)
{
    size_t bucket = bucket_of(study->id, uid);
    for (dl_index_series *s = tx->series_buckets[bucket]; s != NULL; s = s->next_in_bucket) {
        if (s->study == study && same_uid(&s->uid, uid)) {
            *out_series = s;
            return DL_OK;
        }
    }
    dl_index_series *series = dl_arena_alloc(tx->arena, 1, sizeof *series);
    if (series == NULL) {
        return dl_arena_full(tx->arena, err);
    }
    series->study = study;
    series->uid = *uid;
    DL_TRY(load_series(tx, series, create, err));
    if (series->id == 0) {
        *out_series = NULL;
        return DL_OK;
    }
    series->next = tx->series;
    tx->series = series;
    series->next_in_bucket = tx->series_buckets[bucket];
    tx->series_buckets[bucket] = series;
    *out_series = series;
    return DL_OK;
}

/* ---- changes in memory ---- */

static bool same_text(dl_str a, dl_str b)
{
    return (a.ptr == NULL) == (b.ptr == NULL) && dl_str_eq(a, b);
}

/** The values of a study or a series, and the marks that they have to be written. */
typedef struct value_list {
    dl_index_value *items;
    int count;
    bool *dirty, *text_dirty;
} value_list;

/** Lay what an instance has over what is known; the latest that is not empty wins. */
static dl_status overlay(dl_index_tx *tx, const value_list *values, const dl_str *elements,
                         int64_t watermark, dl_error *err)
{
    for (int i = 0; i < values->count; i++) {
        dl_index_value *value = &values->items[i];
        if (elements[i].ptr == NULL || value->lost || watermark <= value->origin) {
            continue; /* what is lost is looked for at commit, among all */
        }
        if (!same_text(value->element, elements[i])) {
            dl_str copy = DL_STR_NONE;
            DL_TRY(dl_arena_copy(tx->arena, elements[i], &copy, err));
            value->element = copy;
            *values->text_dirty = true;
        }
        value->origin = watermark;
        *values->dirty = true;
    }
    return DL_OK;
}

dl_status dl_index_entity_add(dl_index_tx *tx, dl_index_series *series, int64_t watermark,
                              const dl_index_elements_found *found, dl_error *err)
{
    dl_index_study *study = series->study;
    const value_list of_series = {series->values, DL_INDEX_SERIES_COLUMNS, &series->dirty,
                                  &series->text_dirty};
    const value_list of_study = {study->values, DL_INDEX_STUDY_COLUMNS, &study->dirty,
                                 &study->text_dirty};
    DL_TRY(overlay(tx, &of_series, found->series, watermark, err));
    DL_TRY(overlay(tx, &of_study, found->study, watermark, err));
    series->dirty = true;
    series->instance_count++;
    if (series->created == 0) {
        series->created = watermark;
        series->text_dirty = true;
        study->series_count++;
        study->dirty = true;
        study->modalities_dirty = true;
        DL_TRY(dl_index_tally_add(tx, study->partition, DL_INDEX_SERIES, watermark, 1, err));
    }
    if (study->created == 0) {
        study->created = watermark;
        study->text_dirty = true;
        DL_TRY(dl_index_tally_add(tx, study->partition, DL_INDEX_STUDY, watermark, 1, err));
    }
    study->modalities_dirty = study->modalities_dirty || series->text_dirty;
    return dl_index_tally_add(tx, study->partition, DL_INDEX_INSTANCE, watermark, 1, err);
}

static void lose(dl_index_value *values, int count, int64_t watermark, bool *out_dirty)
{
    for (int i = 0; i < count; i++) {
        if (values[i].element.ptr != NULL && values[i].origin == watermark) {
            values[i].lost = true;
            *out_dirty = true;
        }
    }
}

static void clear_values(dl_index_value *values, int count)
{
    for (int i = 0; i < count; i++) {
        values[i] = (dl_index_value){0};
    }
}

dl_status dl_index_entity_remove(dl_index_tx *tx, dl_index_series *series, int64_t watermark,
                                 dl_error *err)
{
    dl_index_study *study = series->study;
    DL_ASSERT(series->instance_count > 0 && study->series_count > 0);
    DL_TRY(dl_index_tally_add(tx, study->partition, DL_INDEX_INSTANCE, watermark, -1, err));
    series->dirty = true;
    series->instance_count--;
    lose(series->values, DL_INDEX_SERIES_COLUMNS, watermark, &series->text_dirty);
    lose(study->values, DL_INDEX_STUDY_COLUMNS, watermark, &study->text_dirty);
    if (series->instance_count > 0) {
        study->modalities_dirty = study->modalities_dirty || series->text_dirty;
        return DL_OK;
    }
    DL_TRY(dl_index_tally_add(tx, study->partition, DL_INDEX_SERIES, series->created, -1, err));
    series->created = 0;
    series->base = 0;
    series->text_dirty = true;
    clear_values(series->values, DL_INDEX_SERIES_COLUMNS);
    study->dirty = true;
    study->modalities_dirty = true;
    study->series_count--;
    if (study->series_count > 0) {
        return DL_OK;
    }
    DL_TRY(dl_index_tally_add(tx, study->partition, DL_INDEX_STUDY, study->created, -1, err));
    study->created = 0;
    study->expires_us = 0;
    study->text_dirty = true;
    clear_values(study->values, DL_INDEX_STUDY_COLUMNS);
    return DL_OK;
}

/* ---- looking for lost values ---- */

static bool any_lost(const dl_index_value *values, int count)
{
    for (int i = 0; i < count; i++) {
        if (values[i].lost) {
            return true;
        }
    }
    return false;
}

static void find_again(dl_index_value *values, int count, const dl_str *elements, int64_t watermark)
{
    for (int i = 0; i < count; i++) {
        if (values[i].lost && elements[i].ptr != NULL) {
            values[i] = (dl_index_value){.element = elements[i], .origin = watermark};
        }
    }
}

/** Walk instances from the newest until each lost value is found; `q` gives their watermarks. */
static dl_status recover(dl_index_tx *tx, dl_db_stmt *q, dl_index_level level,
                         dl_index_value *values, dl_error *err)
{
    int count = dl_index_column_count(level);
    dl_str copy = DL_STR_NONE;
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, DL_INDEX_METADATA_LIMIT_BYTES);
    dl_index_value found[DL_INDEX_STUDY_COLUMNS];
    memcpy(found, values, (size_t)count * sizeof *values);
    while (any_lost(found, count) && dl_db_step(q)) {
        int64_t watermark = dl_db_int(q, 0);
        dl_buf_reset(&text);
        DL_TRY(dl_index_conn_metadata(tx->conn, watermark, &text, err));
        dl_index_elements_found elements;
        dl_index_elements(dl_buf_str(&text), &elements);
        find_again(found, count, level == DL_INDEX_STUDY ? elements.study : elements.series,
                   watermark);
        for (int i = 0; i < count; i++) { /* out of the buffer before it is used again */
            if (values[i].lost && !found[i].lost) {
                DL_TRY(dl_arena_copy(tx->arena, found[i].element, &copy, err));
                values[i] = (dl_index_value){.element = copy, .origin = watermark};
                found[i] = values[i];
            }
        }
    }
    for (int i = 0; i < count; i++) {
        if (values[i].lost) { /* nobody has it */
            values[i] = (dl_index_value){0};
        }
    }
    return DL_OK;
}

static dl_status recover_lost(dl_index_tx *tx, dl_index_level level, int64_t id,
                              dl_index_value *values, dl_error *err)
{
    if (!any_lost(values, dl_index_column_count(level))) {
        return DL_OK;
    }
    dl_db_stmt *q = NULL;
    if (level == DL_INDEX_STUDY) {
        DL_TRY(dl_db_query(tx->conn->db,
                           "SELECT i.watermark FROM series s JOIN instance i ON i.series=s.id"
                           " AND i.watermark IS NOT NULL WHERE s.study=?1 AND s.created IS NOT NULL"
                           " ORDER BY i.watermark DESC",
                           &q, err));
    } else {
        DL_TRY(dl_db_query(tx->conn->db,
                           "SELECT watermark FROM instance WHERE series=?1"
                           " AND watermark IS NOT NULL ORDER BY watermark DESC",
                           &q, err));
    }
    dl_db_bind_int(q, 1, id);
    dl_status status = recover(tx, q, level, values, err);
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finished;
}

/* ---- writing back ---- */

static void put_origins(const dl_index_value *values, int count, uint8_t *out)
{
    for (int i = 0; i < count; i++) {
        uint64_t value = (uint64_t)values[i].origin;
        for (int b = 0; b < ORIGIN_BYTES; b++) {
            *out++ = (uint8_t)(value >> (8 * b));
        }
    }
}

static void write_element(dl_json_writer *w, uint32_t tag, dl_str element)
{
    char key[8];
    for (int i = 0; i < 8; i++) {
        key[i] = hex_digits[tag >> (28 - 4 * i) & 0xf];
    }
    dl_json_key(w, (dl_str){key, sizeof key});
    dl_json_raw(w, element);
}

/** The elements as one object with ascending keys, the UID among them. */
static dl_status render(dl_index_tx *tx, dl_index_level level, const dl_index_value *values,
                        const dl_index_uid *uid, dl_str *out_text, dl_error *err)
{
    char uid_text[DL_INDEX_UID_LIMIT + 1];
    (void)dl_index_uid_text(dl_index_uid_bytes(uid), uid_text);
    dl_str uid_element = DL_STR_NONE;
    DL_TRY(dl_arena_printf(tx->arena, &uid_element, err, "{\"vr\":\"UI\",\"Value\":[\"%s\"]}",
                           uid_text));
    dl_buf_reset(&tx->json);
    dl_json_writer w;
    dl_json_writer_init(&w, &tx->json, err);
    dl_json_object_begin(&w);
    for (size_t i = 0; i < dl_index_attribute_count(); i++) {
        const dl_index_attribute *a = dl_index_attribute_at(i);
        int column = dl_index_attribute_column(a);
        if (a->level != level) {
            continue;
        }
        if (column >= 0 && values[column].element.ptr != NULL) {
            write_element(&w, a->tag, values[column].element);
        } else if (a->vr == DL_VR('U', 'I')) {
            write_element(&w, a->tag, uid_element);
        }
    }
    dl_json_object_end(&w);
    DL_TRY(dl_json_writer_status(&w));
    *out_text = dl_buf_str(&tx->json);
    return DL_OK;
}

enum { FIRST_COLUMN = 5 }; /* parameter of the first folded column in the updates of both levels */

static dl_status bind_columns(dl_index_tx *tx, dl_db_stmt *q, dl_index_level level,
                              const dl_index_value *values, dl_str *out_folded, dl_error *err)
{
    for (int i = 0; i < dl_index_column_count(level); i++) {
        int parameter = FIRST_COLUMN + i;
        dl_str folded = DL_STR_NONE;
        int64_t date = 0;
        DL_TRY(fold_value(tx, &values[i], level, i, &folded, err));
        out_folded[i] = folded;
        if (dl_index_column_attribute(level, i)->vr != DL_VR('D', 'A')) {
            dl_db_bind_str(q, parameter, folded);
        } else if (folded.ptr != NULL && dl_index_date_parse(folded, &date)) {
            dl_db_bind_int(q, parameter, date);
        } else { /* a day that is not in the calendar is kept, but never found */
            dl_db_bind_null(q, parameter);
        }
    }
    return DL_OK;
}

static void bind_or_null(dl_db_stmt *q, int index, int64_t value)
{
    if (value == 0) {
        dl_db_bind_null(q, index);
    } else {
        dl_db_bind_int(q, index, value);
    }
}

static dl_status write_words(dl_index_tx *tx, const dl_index_study *study, int attribute,
                             dl_str name, bool add, dl_error *err)
{
    dl_str rest = name, word = DL_STR_NONE;
    while (dl_index_word_next(&rest, &word)) {
        dl_db_stmt *q = NULL;
        if (add) {
            DL_TRY(dl_db_query(tx->conn->db,
                               "INSERT OR IGNORE INTO study_word VALUES(?1, ?2, ?3, ?4, ?5)", &q,
                               err));
        } else {
            DL_TRY(dl_db_query(tx->conn->db,
                               "DELETE FROM study_word WHERE partition=?1 AND attribute=?2"
                               " AND word=?3 AND created=?4",
                               &q, err));
        }
        dl_db_bind_int(q, 1, study->partition);
        dl_db_bind_int(q, 2, attribute);
        dl_db_bind_str(q, 3, word);
        dl_db_bind_int(q, 4, add ? study->created : study->stored_created);
        if (add) {
            dl_db_bind_int(q, 5, study->id);
        }
        DL_TRY(dl_db_run(q, err));
    }
    return DL_OK;
}

static dl_status update_words(dl_index_tx *tx, dl_index_study *study, const dl_str *folded,
                              dl_error *err)
{
    for (size_t i = 0; i < DL_COUNT_OF(name_columns); i++) {
        dl_str now = folded[name_columns[i]];
        if (same_text(now, study->stored_names[i]) && study->created == study->stored_created) {
            continue;
        }
        DL_TRY(write_words(tx, study, name_columns[i], study->stored_names[i], false, err));
        DL_TRY(write_words(tx, study, name_columns[i], now, true, err));
        study->stored_names[i] = now;
    }
    return DL_OK;
}

static dl_status change_modalities(dl_index_tx *tx, const dl_index_study *study, dl_str list,
                                   int64_t created, bool add, dl_error *err)
{
    dl_str modality = DL_STR_NONE;
    while (list.len > 0 && dl_str_next(&list, '\\', &modality)) { /* each ends with a backslash */
        dl_db_stmt *q = NULL;
        if (add) {
            DL_TRY(dl_db_query(tx->conn->db,
                               "INSERT INTO study_modality VALUES(?1, ?2, ?3, ?4, ?5)", &q, err));
            dl_db_bind_int(q, 4, study->id);
            bind_or_null(q, 5, study->date);
        } else {
            DL_TRY(dl_db_query(tx->conn->db,
                               "DELETE FROM study_modality WHERE partition=?1 AND modality=?2"
                               " AND created=?3",
                               &q, err));
        }
        dl_db_bind_int(q, 1, study->partition);
        dl_db_bind_str(q, 2, modality);
        dl_db_bind_int(q, 3, created);
        DL_TRY(dl_db_run(q, err));
    }
    return DL_OK;
}

/** Series are written by now: ask them. */
static dl_status update_modalities(dl_index_tx *tx, dl_index_study *study, dl_error *err)
{
    dl_db_stmt *q = NULL;
    dl_buf_reset(&tx->json);
    DL_TRY(dl_db_query(tx->conn->db,
                       "SELECT DISTINCT modality FROM series WHERE study=?1 AND created IS NOT NULL"
                       " AND modality IS NOT NULL ORDER BY 1",
                       &q, err));
    dl_db_bind_int(q, 1, study->id);
    dl_status status = DL_OK;
    while (status == DL_OK && dl_db_step(q)) {
        dl_str modality = dl_db_str(q, 0);
        if (dl_str_find(modality, '\\') >= 0) {
            continue; /* no CS value holds the character that separates values */
        }
        status = dl_buf_append_str(&tx->json, modality, err);
        if (status == DL_OK) {
            status = dl_buf_append_char(&tx->json, '\\', err);
        }
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    DL_TRY(status);
    DL_TRY(finished);
    dl_str now = DL_STR_NONE;
    DL_TRY(dl_arena_copy(tx->arena, (dl_str){tx->json.ptr, tx->json.len}, &now, err));
    if (!dl_str_eq(now, study->stored_modalities) || study->created != study->stored_created ||
        study->date != study->stored_date) {
        DL_TRY(change_modalities(tx, study, study->stored_modalities, study->stored_created, false,
                                 err));
        DL_TRY(change_modalities(tx, study, now, study->created, true, err));
        study->stored_modalities = now;
    }
    return DL_OK;
}

static dl_status run_with_id(dl_index_tx *tx, const char *sql, int64_t id, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(tx->conn->db, sql, &q, err));
    dl_db_bind_int(q, 1, id);
    return dl_db_run(q, err);
}

static dl_status write_study_row(dl_index_tx *tx, dl_index_study *study, dl_error *err)
{
    dl_db_stmt *q = NULL;
    if (!study->text_dirty) {
        DL_TRY(dl_db_query(tx->conn->db,
                           "UPDATE study SET series_count=?2, expires_us=?3 WHERE id=?1", &q, err));
        dl_db_bind_int(q, 1, study->id);
        dl_db_bind_int(q, 2, study->series_count);
        bind_or_null(q, 3, study->expires_us);
        return dl_db_run(q, err);
    }
    dl_str folded[DL_INDEX_STUDY_COLUMNS] = {0};
    DL_TRY(dl_db_query(tx->conn->db,
                       "UPDATE study SET created=?2, series_count=?3, expires_us=?4, study_date=?5,"
                       " accession=?6, referring=?7, description=?8, patient_name=?9,"
                       " patient_id=?10, birth_date=?11 WHERE id=?1",
                       &q, err));
    dl_db_bind_int(q, 1, study->id);
    bind_or_null(q, 2, study->created);
    dl_db_bind_int(q, 3, study->series_count);
    bind_or_null(q, 4, study->expires_us);
    dl_status status = bind_columns(tx, q, DL_INDEX_STUDY, study->values, folded, err);
    if (status != DL_OK) {
        dl_index_ignore(dl_db_finish(q, NULL));
        return status;
    }
    DL_TRY(dl_db_run(q, err));
    if (!dl_index_date_parse(folded[DL_INDEX_STUDY_DATE], &study->date)) {
        study->date = 0;
    }
    return update_words(tx, study, folded, err);
}

static dl_status write_study(dl_index_tx *tx, dl_index_study *study, dl_error *err)
{
    DL_TRY(recover_lost(tx, DL_INDEX_STUDY, study->id, study->values, err));
    DL_TRY(write_study_row(tx, study, err));
    if (study->modalities_dirty || study->date != study->stored_date) {
        DL_TRY(update_modalities(tx, study, err));
    }
    study->stored_created = study->created;
    study->stored_date = study->date;
    if (study->created == 0) {
        return run_with_id(tx, "DELETE FROM study_text WHERE study=?1", study->id, err);
    }
    uint8_t origins[DL_INDEX_STUDY_COLUMNS * ORIGIN_BYTES];
    put_origins(study->values, DL_INDEX_STUDY_COLUMNS, origins);
    dl_str text = DL_STR_NONE;
    DL_TRY(render(tx, DL_INDEX_STUDY, study->values, &study->uid, &text, err));
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(tx->conn->db, "REPLACE INTO study_text VALUES(?1, ?2, ?3, ?4)", &q, err));
    dl_db_bind_int(q, 1, study->id);
    dl_db_bind_bytes(q, 2, (dl_bytes){origins, sizeof origins});
    dl_db_bind_str(
        q, 3, study->stored_modalities.ptr == NULL ? (dl_str){"", 0} : study->stored_modalities);
    dl_db_bind_str(q, 4, text);
    return dl_db_run(q, err);
}

static dl_status write_series_row(dl_index_tx *tx, dl_index_series *series, dl_error *err)
{
    dl_db_stmt *q = NULL;
    if (!series->text_dirty) {
        DL_TRY(dl_db_query(tx->conn->db, "UPDATE series SET instance_count=?2, base=?3 WHERE id=?1",
                           &q, err));
        dl_db_bind_int(q, 1, series->id);
        dl_db_bind_int(q, 2, series->instance_count);
        bind_or_null(q, 3, series->base);
        return dl_db_run(q, err);
    }
    dl_str folded[DL_INDEX_SERIES_COLUMNS];
    DL_TRY(dl_db_query(tx->conn->db,
                       "UPDATE series SET created=?2, instance_count=?3, base=?4, modality=?5,"
                       " model=?6, start_date=?7 WHERE id=?1",
                       &q, err));
    dl_db_bind_int(q, 1, series->id);
    bind_or_null(q, 2, series->created);
    dl_db_bind_int(q, 3, series->instance_count);
    bind_or_null(q, 4, series->base);
    dl_status status = bind_columns(tx, q, DL_INDEX_SERIES, series->values, folded, err);
    if (status != DL_OK) {
        dl_index_ignore(dl_db_finish(q, NULL));
        return status;
    }
    return dl_db_run(q, err);
}

static dl_status write_series(dl_index_tx *tx, dl_index_series *series, dl_error *err)
{
    DL_TRY(recover_lost(tx, DL_INDEX_SERIES, series->id, series->values, err));
    DL_TRY(write_series_row(tx, series, err));
    if (series->created == 0) {
        return run_with_id(tx, "DELETE FROM series_text WHERE series=?1", series->id, err);
    }
    uint8_t origins[DL_INDEX_SERIES_COLUMNS * ORIGIN_BYTES];
    put_origins(series->values, DL_INDEX_SERIES_COLUMNS, origins);
    dl_str text = DL_STR_NONE;
    DL_TRY(render(tx, DL_INDEX_SERIES, series->values, &series->uid, &text, err));
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(tx->conn->db, "REPLACE INTO series_text VALUES(?1, ?2, ?3)", &q, err));
    dl_db_bind_int(q, 1, series->id);
    dl_db_bind_bytes(q, 2, (dl_bytes){origins, sizeof origins});
    dl_db_bind_str(q, 3, text);
    return dl_db_run(q, err);
}

dl_status dl_index_entity_flush(dl_index_tx *tx, dl_error *err)
{
    for (dl_index_series *s = tx->series; s != NULL; s = s->next) {
        if (s->dirty) {
            DL_TRY(write_series(tx, s, err));
            s->dirty = s->text_dirty = false;
        }
    }
    for (dl_index_study *s = tx->studies; s != NULL; s = s->next) {
        if (s->dirty || s->text_dirty || s->modalities_dirty) {
            DL_TRY(write_study(tx, s, err));
            s->dirty = s->text_dirty = s->modalities_dirty = false;
        }
    }
    return DL_OK;
}
