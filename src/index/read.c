#include "index/internal.h"

#include <string.h>

/* ---- what a scope names ---- */

typedef struct place {
    int64_t study, series, instance; /* ids; 0: all of the level above */
    int64_t watermark;               /* of the instance */
    bool found;
} place;

typedef struct found_row {
    int64_t id;
    int64_t live; /* created or watermark; 0: nothing of it is stored */
} found_row;

/** All 0 when there is no such row. */
static dl_status find_by_uid(dl_index_conn *conn, const char *sql, dl_str uid, int64_t parent,
                             found_row *out_row, dl_error *err)
{
    dl_index_uid packed;
    *out_row = (found_row){0};
    if (!dl_index_uid_pack(uid, &packed)) {
        return DL_OK;
    }
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(conn->db, sql, &q, err));
    dl_db_bind_bytes(q, 1, dl_index_uid_bytes(&packed));
    dl_db_bind_int(q, 2, parent);
    if (dl_db_step(q)) {
        *out_row = (found_row){dl_db_int(q, 0), dl_db_int(q, 1)};
    }
    return dl_db_finish(q, err);
}

static dl_status find_place(dl_index_conn *conn, const dl_index_scope *scope, place *out_place,
                            dl_error *err)
{
    place p = {0};
    found_row row = {0};
    *out_place = p;
    if (scope->sop_uid.len > 0 && scope->series_uid.len == 0) {
        return DL_OK;
    }
    DL_TRY(find_by_uid(conn, "SELECT id, created FROM study WHERE uid=?1 AND partition=?2",
                       scope->study_uid, scope->partition, &row, err));
    p.study = row.id;
    if (row.live != 0 && scope->series_uid.len > 0) {
        DL_TRY(find_by_uid(conn, "SELECT id, created FROM series WHERE uid=?1 AND study=?2",
                           scope->series_uid, p.study, &row, err));
        p.series = row.id;
    }
    if (row.live != 0 && scope->series_uid.len > 0 && scope->sop_uid.len > 0) {
        DL_TRY(find_by_uid(conn, "SELECT id, watermark FROM instance WHERE uid=?1 AND series=?2",
                           scope->sop_uid, p.series, &row, err));
        p.instance = row.id;
        p.watermark = row.live;
    }
    p.found = row.live != 0;
    if (p.found) {
        *out_place = p;
    }
    return DL_OK;
}

/* ---- versions ---- */

typedef struct version_list {
    dl_arena *arena; /* of the items and their texts */
    dl_index_version *items;
    size_t count, cap;
} version_list;

static dl_status push_version(version_list *list, dl_index_version version, dl_error *err)
{
    if (list->count == list->cap) {
        size_t cap = list->cap == 0 ? 64 : 2 * list->cap;
        dl_index_version *grown = dl_arena_alloc(list->arena, cap, sizeof *grown);
        if (grown == NULL) {
            return dl_arena_full(list->arena, err);
        }
        if (list->count > 0) {
            memcpy(grown, list->items, list->count * sizeof *grown);
        }
        list->items = grown;
        list->cap = cap;
    }
    list->items[list->count++] = version;
    return DL_OK;
}

/** Transfer syntaxes are few: share their text. */
static dl_status syntax_text(const version_list *list, dl_str text, dl_str *out_text, dl_error *err)
{
    if (list->count > 0 && dl_str_eq(list->items[list->count - 1].transfer_syntax, text)) {
        *out_text = list->items[list->count - 1].transfer_syntax;
        return DL_OK;
    }
    return dl_arena_copy(list->arena, text, out_text, err);
}

/** One version, or with `watermark` 0 all of the series. */
static dl_status list_instances(dl_index_snapshot *s, int64_t series, int64_t watermark,
                                dl_index_version common, version_list *list, dl_error *err)
{
    dl_db_stmt *q = NULL;
    if (watermark != 0) {
        DL_TRY(dl_db_query(s->conn->db,
                           "SELECT v.watermark, i.uid, x.uid, v.size_bytes, v.tag FROM version v"
                           " CROSS JOIN instance i ON i.id=v.instance"
                           " CROSS JOIN syntax x ON x.id=v.syntax WHERE v.watermark=?1",
                           &q, err));
        dl_db_bind_int(q, 1, watermark);
    } else {
        DL_TRY(dl_db_query(s->conn->db,
                           "SELECT v.watermark, i.uid, x.uid, v.size_bytes, v.tag FROM instance i"
                           " CROSS JOIN version v ON v.watermark=i.watermark"
                           " CROSS JOIN syntax x ON x.id=v.syntax"
                           " WHERE i.series=?1 AND i.watermark IS NOT NULL ORDER BY i.watermark",
                           &q, err));
        dl_db_bind_int(q, 1, series);
    }
    dl_status status = DL_OK;
    while (status == DL_OK && dl_db_step(q)) {
        dl_index_version v = common;
        v.watermark = dl_db_int(q, 0);
        v.size_bytes = (uint64_t)dl_db_int(q, 3);
        v.tag = dl_db_int(q, 4);
        status = dl_index_uid_copy(dl_db_bytes(q, 1), list->arena, &v.sop_uid, err);
        if (status == DL_OK) {
            status = syntax_text(list, dl_db_str(q, 2), &v.transfer_syntax, err);
        }
        if (status == DL_OK) {
            status = push_version(list, v, err);
        }
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finished;
}

static dl_status list_series(dl_index_snapshot *s, const place *p, dl_index_version common,
                             version_list *list, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(s->conn->db,
                       "SELECT id, uid FROM series WHERE study=?1 AND created IS NOT NULL"
                       " ORDER BY created",
                       &q, err));
    dl_db_bind_int(q, 1, p->study);
    dl_status status = DL_OK;
    while (status == DL_OK && dl_db_step(q)) {
        status = dl_index_uid_copy(dl_db_bytes(q, 1), list->arena, &common.series_uid, err);
        if (status == DL_OK) {
            status = list_instances(s, dl_db_int(q, 0), 0, common, list, err);
        }
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finished;
}

dl_status dl_index_versions(dl_index_snapshot *s, const dl_index_scope *scope, dl_arena *arena,
                            dl_index_version **out_list, size_t *out_count, dl_error *err)
{
    place p;
    version_list list = {.arena = arena};
    DL_TRY(find_place(s->conn, scope, &p, err));
    if (p.found) {
        dl_index_version common = {0};
        DL_TRY(dl_arena_copy(arena, dl_str_trim_padding(scope->study_uid), &common.study_uid, err));
        if (p.series == 0) {
            DL_TRY(list_series(s, &p, common, &list, err));
        } else {
            DL_TRY(dl_arena_copy(arena, dl_str_trim_padding(scope->series_uid), &common.series_uid,
                                 err));
            DL_TRY(list_instances(s, p.series, p.watermark, common, &list, err));
        }
    }
    *out_list = list.items;
    *out_count = list.count;
    return DL_OK;
}

dl_status dl_index_expiry(dl_index_snapshot *s, const dl_index_scope *scope,
                          int64_t *out_expires_us, dl_error *err)
{
    found_row row = {0};
    DL_TRY(find_by_uid(s->conn, "SELECT id, expires_us FROM study WHERE uid=?1 AND partition=?2",
                       scope->study_uid, scope->partition, &row, err));
    *out_expires_us = row.live;
    return DL_OK;
}

/* ---- sums ---- */

static dl_status two_numbers(dl_index_snapshot *s, const char *sql, int64_t id, int64_t *out_a,
                             int64_t *out_b, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(s->conn->db, sql, &q, err));
    dl_db_bind_int(q, 1, id);
    int64_t a = 0, b = 0;
    if (dl_db_step(q)) {
        a = dl_db_int(q, 0);
        b = dl_db_int(q, 1);
    }
    DL_TRY(dl_db_finish(q, err));
    *out_a = a;
    *out_b = b;
    return DL_OK;
}

static const char sql_series_newest[] =
    "SELECT (SELECT max(watermark) FROM instance WHERE series=?1 AND watermark IS NOT NULL),"
    " instance_count FROM series WHERE id=?1 AND created IS NOT NULL";
static const char sql_study_newest[] =
    "SELECT max((SELECT max(i.watermark) FROM instance i WHERE i.series=s.id"
    " AND i.watermark IS NOT NULL)), sum(s.instance_count)"
    " FROM series s WHERE s.study=?1 AND s.created IS NOT NULL";

dl_status dl_index_summary(dl_index_snapshot *s, const dl_index_scope *scope,
                           int64_t *out_watermark, int64_t *out_count, dl_error *err)
{
    place p;
    DL_TRY(find_place(s->conn, scope, &p, err));
    if (!p.found) {
        *out_watermark = *out_count = 0;
        return DL_OK;
    }
    if (p.watermark != 0) {
        *out_watermark = p.watermark;
        *out_count = 1;
        return DL_OK;
    }
    return p.series != 0
               ? two_numbers(s, sql_series_newest, p.series, out_watermark, out_count, err)
               : two_numbers(s, sql_study_newest, p.study, out_watermark, out_count, err);
}

dl_status dl_index_newest(dl_index_snapshot *s, int64_t study_id, int64_t series_id,
                          int64_t *out_watermark, dl_error *err)
{
    int64_t watermark = 0, count = 0;
    if (series_id != 0) {
        DL_TRY(two_numbers(s, sql_series_newest, series_id, &watermark, &count, err));
    } else {
        DL_TRY(two_numbers(s, sql_study_newest, study_id, &watermark, &count, err));
    }
    *out_watermark = watermark;
    return DL_OK;
}

dl_status dl_index_counts(dl_index_snapshot *s, int64_t study_id, int64_t series_id,
                          int64_t *out_series, int64_t *out_instances, dl_error *err)
{
    return series_id != 0
               ? two_numbers(s,
                             "SELECT 1, instance_count FROM series WHERE id=?1"
                             " AND created IS NOT NULL",
                             series_id, out_series, out_instances, err)
               : two_numbers(s,
                             "SELECT count(*), sum(instance_count) FROM series WHERE study=?1"
                             " AND created IS NOT NULL",
                             study_id, out_series, out_instances, err);
}

/* ---- bytes of a version ---- */

dl_status dl_index_metadata(dl_index_snapshot *s, int64_t watermark, dl_buf *out, dl_error *err)
{
    return dl_index_conn_metadata(s->conn, watermark, out, err);
}

dl_status dl_index_frames(dl_index_snapshot *s, int64_t watermark, dl_arena *arena,
                          dl_bytes *out_bytes, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(s->conn->db, "SELECT frames FROM version WHERE watermark=?1", &q, err));
    dl_db_bind_int(q, 1, watermark);
    bool found = dl_db_step(q);
    dl_status status = DL_OK;
    dl_bytes copy = {(const uint8_t *)"", 0};
    if (found) {
        dl_bytes bytes = dl_db_bytes(q, 0);
        uint8_t *room = dl_arena_alloc(arena, bytes.len + 1, 1);
        if (room == NULL) {
            status = dl_arena_full(arena, err);
        } else if (bytes.len > 0) {
            memcpy(room, bytes.ptr, bytes.len);
            copy = (dl_bytes){room, bytes.len};
        }
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    DL_TRY(status);
    DL_TRY(finished);
    if (!found) {
        return dl_error_set(err, DL_E_NOT_FOUND, "version %lld is not in the index",
                            (long long)watermark);
    }
    *out_bytes = copy;
    return DL_OK;
}

/* ---- modalities ---- */

/* One of the folded list. CS has no lower case (PS3.5 section 6.2), so this is the value as stored.
 */
static dl_status unfold(dl_str folded, dl_arena *arena, dl_str *out_value, dl_error *err)
{
    char *text = dl_arena_alloc(arena, folded.len, 1);
    if (text == NULL) {
        return dl_arena_full(arena, err);
    }
    for (size_t i = 0; i < folded.len; i++) {
        char c = folded.ptr[i];
        text[i] = c >= 'a' && c <= 'z' ? (char)(c - ('a' - 'A')) : c;
    }
    *out_value = (dl_str){text, folded.len};
    return DL_OK;
}

/* The list is sorted and distinct; each entry ends with a backslash. */
dl_status dl_index_modalities(const dl_index_hit *hit, dl_arena *arena, dl_str **out_list,
                              size_t *out_count, dl_error *err)
{
    dl_str list = hit->study_modalities;
    size_t count = 0;
    for (size_t i = 0; i < list.len; i++) {
        count += list.ptr[i] == '\\';
    }
    dl_str *values = dl_arena_alloc(arena, count, sizeof *values);
    if (values == NULL) {
        return dl_arena_full(arena, err);
    }
    dl_str folded = DL_STR_NONE;
    for (size_t i = 0; i < count && dl_str_next(&list, '\\', &folded); i++) {
        DL_TRY(unfold(folded, arena, &values[i], err));
    }
    *out_list = values;
    *out_count = count;
    return DL_OK;
}
