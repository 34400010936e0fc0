#include "index/search.h"

#include "json/json.h"

typedef struct text_slot {
    int64_t id;
    dl_str attributes, modalities;
    int64_t parent; /* study of a series */
} text_slot;

/** The last few parents, which the rows of a page often share. */
enum { TEXT_SLOTS = 64 };

typedef struct texts {
    text_slot studies[TEXT_SLOTS], series[TEXT_SLOTS];
} texts;

static const char sql_study[] = "SELECT attributes, modalities, 0 FROM study_text WHERE study=?1";
static const char sql_series[] = "SELECT attributes, '', 0 FROM series_text WHERE series=?1";
static const char sql_series_and_parent[] =
    "SELECT t.attributes, '', s.study FROM series s CROSS JOIN series_text t ON t.series=s.id"
    " WHERE s.id=?1";

static dl_status load(dl_search *s, const char *sql, int64_t id, text_slot *out_slot, dl_error *err)
{
    dl_db_stmt *q = NULL;
    text_slot read = {.id = id};
    DL_TRY(dl_db_query(s->conn->db, sql, &q, err));
    dl_db_bind_int(q, 1, id);
    dl_status status = DL_OK;
    bool found = dl_db_step(q);
    if (found) {
        status = dl_arena_copy(s->arena, dl_db_str(q, 0), &read.attributes, err);
        if (status == DL_OK) {
            status = dl_arena_copy(s->arena, dl_db_str(q, 1), &read.modalities, err);
        }
        read.parent = dl_db_int(q, 2);
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    DL_TRY(status);
    DL_TRY(finished);
    if (!found) {
        return dl_error_set(err, DL_E_CORRUPT, "index: the attributes of row %lld are missing",
                            (long long)id);
    }
    *out_slot = read;
    return DL_OK;
}

static dl_status instance_uid(dl_search *s, int64_t id, dl_str *out_uid, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(s->conn->db, "SELECT uid FROM instance WHERE id=?1", &q, err));
    dl_db_bind_int(q, 1, id);
    dl_status status = DL_OK;
    if (dl_db_step(q)) {
        status = dl_index_uid_copy(dl_db_bytes(q, 0), s->arena, out_uid, err);
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finished;
}

static dl_status fill_series(dl_search *s, texts *t, const dl_search_key *key, dl_index_hit *hit,
                             dl_error *err)
{
    text_slot *slot = &t->series[(uint64_t)key->series % TEXT_SLOTS];
    if (slot->id != key->series) {
        const char *sql = key->study != 0 ? sql_series : sql_series_and_parent;
        DL_TRY(load(s, sql, key->series, slot, err));
        slot->parent = key->study != 0 ? key->study : slot->parent;
    }
    hit->series_id = key->series;
    hit->series_attributes = slot->attributes;
    hit->study_id = slot->parent;
    return DL_OK;
}

static dl_status fill_study(dl_search *s, text_slot *slot, dl_index_hit *hit, dl_error *err)
{
    if (slot->id != hit->study_id) {
        DL_TRY(load(s, sql_study, hit->study_id, slot, err));
    }
    hit->study_attributes = slot->attributes;
    hit->study_modalities = slot->modalities;
    return DL_OK;
}

static dl_status fill_below(dl_search *s, texts *t, const dl_search_key *key, dl_index_hit *hit,
                            dl_error *err)
{
    DL_TRY(fill_series(s, t, key, hit, err));
    if (s->query->level == DL_INDEX_INSTANCE) {
        hit->watermark = key->place;
        DL_TRY(instance_uid(s, key->id, &hit->sop_uid, err));
    }
    return fill_study(s, &t->studies[(uint64_t)hit->study_id % TEXT_SLOTS], hit, err);
}

dl_status dl_search_fill(dl_search *s, dl_index_hit **out_hits, size_t *out_count, dl_error *err)
{
    bool studies = s->query->level == DL_INDEX_STUDY; /* each once: nothing to share */
    texts *t = studies ? NULL : dl_arena_alloc(s->arena, 1, sizeof *t);
    dl_index_hit *hits = dl_arena_alloc(s->arena, s->key_count, sizeof *hits);
    if ((t == NULL && !studies) || hits == NULL) {
        return dl_arena_full(s->arena, err);
    }
    for (size_t i = 0; i < s->key_count; i++) {
        text_slot slot = {0};
        hits[i].study_id = s->keys[i].study;
        DL_TRY(studies ? fill_study(s, &slot, &hits[i], err)
                       : fill_below(s, t, &s->keys[i], &hits[i], err));
    }
    *out_hits = hits;
    *out_count = s->key_count;
    return DL_OK;
}

dl_str dl_index_hit_uid(const dl_index_hit *hit, dl_index_level level)
{
    bool study = level == DL_INDEX_STUDY;
    dl_str element = DL_STR_NONE, values = DL_STR_NONE, value = DL_STR_NONE;
    if (level == DL_INDEX_INSTANCE) {
        return hit->sop_uid;
    }
    bool there = dl_json_get(study ? hit->study_attributes : hit->series_attributes,
                             study ? DL_STR("0020000D") : DL_STR("0020000E"), &element) &&
                 dl_json_get(element, DL_STR("Value"), &values) && dl_json_at(values, 0, &value);
    return there && value.len >= 2 ? dl_str_slice(value, 1, value.len - 2) : DL_STR_NONE;
}
