/* Rows into writers. This runs for every change: nothing is allocated or looked up by name for an
 * attribute, but for escapes in names and configured paths. */
#include "pipeline/project_internal.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* ---- attributes that have columns ---- */

/** found[i] becomes the last attribute with the i-th wanted tag. Tags mostly ascend, as wanted ones
 * do, so one pass over both is enough; where they go back, so does the place in `wanted`. Returns
 * whether the keys ascend strictly: then none comes twice. */
static bool find_wanted(const uint32_t *wanted, size_t wanted_count,
                        const dl_feed_attribute *attributes, size_t count,
                        const dl_feed_attribute **found)
{
    uint32_t last = 0, tag = 0;
    bool ascending = true;
    size_t w = 0;
    for (size_t i = 0; i < count; i++) {
        if (!dl_project_parse_tag(attributes[i].tag, &tag)) {
            ascending = false;
            continue;
        }
        if (tag <= last && i > 0) {
            ascending = false;
            w = 0;
        }
        last = tag;
        while (w < wanted_count && wanted[w] < tag) {
            w++;
        }
        if (w < wanted_count && wanted[w] == tag) {
            found[w] = &attributes[i];
        }
    }
    return ascending;
}

static dl_str first_of(const dl_feed_attribute *attribute)
{
    return attribute == NULL || attribute->value_count == 0 ? DL_STR_NONE : attribute->values[0];
}

dl_status dl_project_shown(const dl_feed_attribute *attributes, size_t count, dl_arena *arena,
                           dl_state_shown *out_shown, dl_error *err)
{
    enum { DATE, MODALITY, DESCRIPTION, NAME, PATIENT_ID, ISSUER, SHOWN_COUNT };
    static const uint32_t wanted[SHOWN_COUNT] = {0x00080020, 0x00080060, 0x00081030,
                                                 0x00100010, 0x00100020, 0x00100021};
    const dl_feed_attribute *found[SHOWN_COUNT] = {NULL};
    (void)find_wanted(wanted, SHOWN_COUNT, attributes, count, found);
    dl_state_shown shown = {.study_date_text = first_of(found[DATE]),
                            .study_description = first_of(found[DESCRIPTION]),
                            .issuer_of_patient_id = first_of(found[ISSUER]),
                            .patient_id = first_of(found[PATIENT_ID]),
                            .modality = first_of(found[MODALITY])};
    DL_TRY(
        dl_project_component(first_of(found[NAME]), "Alphabetic", arena, &shown.patient_name, err));
    *out_shown = shown;
    return DL_OK;
}

/* ---- one column ---- */

static void put_text(dl_columnar_writer *w, const dl_project_bound *b, dl_str text)
{
    if (text.ptr == NULL) {
        dl_columnar_put_null(w, b->leaf, 0, 0);
    } else {
        dl_columnar_put_str(w, b->leaf, 0, text);
    }
}

/** `text` as the column's type. */
static void put_typed(dl_columnar_writer *w, const dl_project_bound *b, dl_str text)
{
    int64_t number = 0;
    double real = 0;
    bool truth = false, good = false;
    if (text.ptr == NULL) {
        dl_columnar_put_null(w, b->leaf, 0, 0);
        return;
    }
    switch ((int)b->column->type) {
    case DL_COLUMNAR_INT64:
        good = dl_project_parse_long(text, &number);
        break;
    case DL_COLUMNAR_DATE:
        good = dl_project_parse_date(text, &number);
        break;
    case DL_COLUMNAR_TIMESTAMP:
        good = dl_project_parse_time(text, &number);
        break;
    case DL_COLUMNAR_BOOL:
        good = dl_project_parse_bool(text, &truth);
        number = truth;
        break;
    case DL_COLUMNAR_DOUBLE:
        if (dl_project_parse_double(text, &real)) {
            dl_columnar_put_double(w, b->leaf, 0, real);
            return;
        }
        break;
    default:
        dl_columnar_put_str(w, b->leaf, 0, text);
        return;
    }
    if (good) {
        dl_columnar_put_int(w, b->leaf, 0, number);
    } else {
        dl_columnar_put_null(w, b->leaf, 0, 0);
    }
}

static void put_element(dl_columnar_writer *w, const dl_project_bound *b, bool first, dl_str text)
{
    if (text.ptr == NULL) {
        dl_columnar_put_null(w, b->leaf, first ? 0 : 1, b->def + 1U);
    } else {
        dl_columnar_put_str(w, b->leaf, first ? 0 : 1, text);
    }
}

static dl_status put_list(dl_columnar_writer *w, const dl_project_bound *b,
                          const dl_feed_attribute *attribute, dl_arena *arena, dl_error *err)
{
    dl_project_values values = dl_project_follow_all(b->column->path, attribute);
    dl_str text = DL_STR_NONE;
    bool first = true, more = values.there;
    while (more) {
        DL_TRY(dl_project_values_next(&values, arena, &more, &text, err));
        if (more) {
            put_element(w, b, first, text);
            first = false;
        }
    }
    if (first) {
        dl_columnar_put_null(w, b->leaf, 0, values.there ? b->def : 0);
    }
    return DL_OK;
}

static dl_status put_configured(dl_columnar_writer *w, const dl_project_bound *b,
                                const dl_feed_attribute *attribute, dl_arena *arena, dl_error *err)
{
    if (b->column->type == DL_COLUMNAR_LIST) {
        return put_list(w, b, attribute, arena, err);
    }
    dl_str text = DL_STR_NONE;
    DL_TRY(dl_project_follow(b->column->path, attribute, arena, &text, err));
    put_typed(w, b, text);
    return DL_OK;
}

/* ---- the metadata map ---- */

typedef struct keyed {
    dl_str key;
    size_t index;
} keyed;

static int compare_keyed(const void *left, const void *right)
{
    const keyed *a = left, *b = right;
    int order = dl_str_compare(a->key, b->key);
    return order != 0 ? order : (a->index > b->index) - (a->index < b->index);
}

/** Which attributes have a later one with the same key: they are left out. */
static dl_status find_repeated(const dl_feed_attribute *attributes, size_t count, dl_arena *arena,
                               const bool **out_repeated, dl_error *err)
{
    keyed *all = dl_arena_alloc(arena, count, sizeof *all);
    bool *repeated = dl_arena_alloc(arena, count, sizeof *repeated);
    if (all == NULL || repeated == NULL) {
        return dl_arena_full(arena, err);
    }
    for (size_t i = 0; i < count; i++) {
        all[i] = (keyed){attributes[i].tag, i};
    }
    qsort(all, count, sizeof *all, compare_keyed);
    for (size_t i = 1; i < count; i++) {
        repeated[all[i - 1].index] = dl_str_eq(all[i - 1].key, all[i].key);
    }
    *out_repeated = repeated;
    return DL_OK;
}

static void put_attribute(const dl_project_binding *b, dl_columnar_writer *w, unsigned rep,
                          const dl_feed_attribute *attribute)
{
    dl_columnar_put_str(w, b->metadata.key, rep, attribute->tag);
    if (attribute->vr.ptr == NULL) {
        dl_columnar_put_null(w, b->metadata.vr, rep, b->metadata.value);
    } else {
        dl_columnar_put_str(w, b->metadata.vr, rep, attribute->vr);
    }
    if (attribute->value_count == 0) {
        dl_columnar_put_null(w, b->metadata.element, rep,
                             attribute->has_value ? b->metadata.list : b->metadata.value);
    }
    for (size_t i = 0; i < attribute->value_count; i++) {
        dl_str text = attribute->values[i];
        if (text.ptr == NULL) {
            dl_columnar_put_null(w, b->metadata.element, i == 0 ? rep : 2, b->metadata.list + 1U);
        } else {
            dl_columnar_put_str(w, b->metadata.element, i == 0 ? rep : 2, text);
        }
    }
}

static void put_no_attribute(const dl_project_binding *b, dl_columnar_writer *w, unsigned def)
{
    dl_columnar_put_null(w, b->metadata.key, 0, def);
    dl_columnar_put_null(w, b->metadata.vr, 0, def);
    dl_columnar_put_null(w, b->metadata.element, 0, def);
}

static void put_metadata(const dl_project_binding *b, dl_columnar_writer *w,
                         const dl_feed_attribute *attributes, size_t count, const bool *repeated)
{
    unsigned rep = 0;
    for (size_t i = 0; i < count; i++) {
        if (repeated == NULL || !repeated[i]) {
            put_attribute(b, w, rep, &attributes[i]);
            rep = 1;
        }
    }
}

/* ---- rows ---- */

typedef struct instance_row {
    const dl_project_change *change;
    const bool *repeated;
    const dl_feed_attribute *found[DL_PROJECT_WANTED_LIMIT];
} instance_row;

static dl_status put_column(const dl_project_binding *b, dl_columnar_writer *w,
                            const dl_project_bound *bound, const instance_row *row, dl_arena *arena,
                            dl_error *err)
{
    const dl_feed_attribute *attribute = row->found[bound->wanted];
    dl_str text = DL_STR_NONE;
    switch (bound->column->from) {
    case DL_PROJECT_PARTITION:
        put_text(w, bound, row->change->entry->partition_name);
        return DL_OK;
    case DL_PROJECT_STUDY_UID:
        put_text(w, bound, row->change->entry->study_uid);
        return DL_OK;
    case DL_PROJECT_SERIES_UID:
        put_text(w, bound, row->change->entry->series_uid);
        return DL_OK;
    case DL_PROJECT_SOP_UID:
        put_text(w, bound, row->change->entry->sop_uid);
        return DL_OK;
    case DL_PROJECT_TIME:
        dl_columnar_put_int(w, bound->leaf, 0, row->change->entry->timestamp_us);
        return DL_OK;
    case DL_PROJECT_CREATED:
        dl_columnar_put_int(w, bound->leaf, 0, row->change->created_us);
        return DL_OK;
    case DL_PROJECT_FILE_PATH:
        put_text(w, bound, row->change->entry->file_path);
        return DL_OK;
    case DL_PROJECT_METADATA:
        if (row->change->attribute_count == 0) {
            put_no_attribute(b, w, row->change->compact.ptr == NULL ? 0 : b->metadata.entry);
        } else {
            put_metadata(b, w, row->change->attributes, row->change->attribute_count,
                         row->repeated);
        }
        return DL_OK;
    case DL_PROJECT_METADATA_TEXT:
        put_text(w, bound, row->change->compact);
        return DL_OK;
    case DL_PROJECT_FIRST:
        put_typed(w, bound, first_of(attribute));
        return DL_OK;
    case DL_PROJECT_NAME:
        DL_TRY(dl_project_component(first_of(attribute), "Alphabetic", arena, &text, err));
        put_text(w, bound, text);
        return DL_OK;
    case DL_PROJECT_CONFIGURED:
        return put_configured(w, bound, attribute, arena, err);
    case DL_PROJECT_SHOWN:
    case DL_PROJECT_SERIES_COUNT:
    case DL_PROJECT_INSTANCE_COUNT:
    default:
        DL_ASSERT(false);
        return DL_OK;
    }
}

static void put_unknown(const dl_project_binding *b, dl_columnar_writer *w)
{
    for (size_t i = 0; i < b->unknown_count; i++) {
        dl_columnar_put_null(w, b->unknown[i], 0, 0);
    }
}

dl_status dl_project_put_instance(const dl_project_binding *binding, dl_columnar_writer *writer,
                                  const dl_project_change *change, dl_arena *arena, dl_error *err)
{
    DL_ASSERT(binding->kind == DL_STATE_INSTANCE);
    instance_row row;
    row.change = change;
    row.repeated = NULL;
    size_t count = change->attribute_count;
    /* One at least: columns without a tag look. */
    for (size_t i = 0; i <= binding->wanted_count; i++) {
        row.found[i] = NULL;
    }
    if (!find_wanted(binding->wanted, binding->wanted_count, change->attributes, count,
                     row.found) &&
        count > 1) {
        DL_TRY(find_repeated(change->attributes, count, arena, &row.repeated, err));
    }
    for (size_t i = 0; i < binding->bound_count; i++) {
        DL_TRY(put_column(binding, writer, &binding->bound[i], &row, arena, err));
    }
    put_unknown(binding, writer);
    return dl_columnar_row_end(writer, err);
}

static dl_str shown_of(const dl_state_shown *shown, uint32_t tag)
{
    switch (tag) {
    case 0x00080020:
        return shown->study_date_text;
    case 0x00081030:
        return shown->study_description;
    case 0x00100021:
        return shown->issuer_of_patient_id;
    case 0x00100020:
        return shown->patient_id;
    case 0x00100010:
        return shown->patient_name;
    default:
        return shown->modality;
    }
}

dl_status dl_project_put_row(const dl_project_binding *binding, dl_columnar_writer *writer,
                             const dl_state_row *row, dl_error *err)
{
    DL_ASSERT(binding->kind != DL_STATE_INSTANCE);
    for (size_t i = 0; i < binding->bound_count; i++) {
        const dl_project_bound *bound = &binding->bound[i];
        switch ((int)bound->column->from) {
        case DL_PROJECT_PARTITION:
            put_text(writer, bound, row->partition_name);
            break;
        case DL_PROJECT_STUDY_UID:
            put_text(writer, bound, row->study_uid);
            break;
        case DL_PROJECT_SERIES_UID:
            put_text(writer, bound, row->series_uid);
            break;
        case DL_PROJECT_TIME:
            dl_columnar_put_int(writer, bound->leaf, 0, row->timestamp_us);
            break;
        case DL_PROJECT_SERIES_COUNT:
            dl_columnar_put_int(writer, bound->leaf, 0, row->series_count);
            break;
        case DL_PROJECT_INSTANCE_COUNT:
            dl_columnar_put_int(writer, bound->leaf, 0, row->instance_count);
            break;
        default:
            put_typed(writer, bound, shown_of(&row->shown, bound->column->tag));
            break;
        }
    }
    put_unknown(binding, writer);
    return dl_columnar_row_end(writer, err);
}

/* ---- hash ---- */

/** One hash seeds the next, so that neither order nor the ends of texts can be confused. */
static uint64_t hash_text(uint64_t hash, dl_str text)
{
    static const uint64_t null_mark = UINT64_C(0x9e3779b97f4a7c15);
    return text.len == 0 ? XXH3_64bits_withSeed("", 0, text.ptr == NULL ? hash ^ null_mark : hash)
                         : XXH3_64bits_withSeed(text.ptr, text.len, hash);
}

uint64_t dl_project_row_hash(dl_state_kind kind, const dl_state_row *row)
{
    DL_ASSERT(kind != DL_STATE_INSTANCE);
    int64_t days = 0;
    bool has_date = dl_project_parse_date(row->shown.study_date_text, &days);
    const int64_t numbers[] = {kind,
                               row->timestamp_us,
                               kind == DL_STATE_STUDY ? row->series_count : 0,
                               row->instance_count,
                               has_date,
                               has_date ? days : 0};
    const dl_str texts[] = {row->partition_name,
                            row->study_uid,
                            kind == DL_STATE_SERIES ? row->series_uid : DL_STR_NONE,
                            row->shown.study_description,
                            row->shown.issuer_of_patient_id,
                            row->shown.patient_id,
                            row->shown.patient_name,
                            kind == DL_STATE_SERIES ? row->shown.modality : DL_STR_NONE};
    uint64_t hash = XXH3_64bits(numbers, sizeof numbers);
    for (size_t i = 0; i < DL_COUNT_OF(texts); i++) {
        hash = hash_text(hash, texts[i]);
    }
    return hash == 0 ? 1 : hash;
}
