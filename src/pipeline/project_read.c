/* Rows of the tables back into what the state index keeps. */
#include "pipeline/project_internal.h"

dl_status dl_project_key_columns(const dl_project_binding *binding, dl_arena *arena,
                                 const dl_str **out_columns, size_t *out_count, dl_error *err)
{
    dl_str *names = dl_arena_alloc(arena, binding->read_count, sizeof *names);
    if (names == NULL) {
        return dl_arena_full(arena, err);
    }
    for (size_t i = 0; i < binding->read_count; i++) {
        DL_TRY(dl_arena_copy(arena, binding->reads[i], &names[i], err));
    }
    *out_columns = names;
    *out_count = binding->read_count;
    return DL_OK;
}

/** The value of a flat column; NULL: NULL, or the table lacks it. */
static const dl_columnar_value *value_of(const dl_project_binding *b, const dl_delta_batch *batch,
                                         dl_project_role role, size_t row)
{
    if (b->read_at[role] < 0) {
        return NULL;
    }
    size_t at = (size_t)b->read_at[role];
    DL_ASSERT(at < batch->leaf_count && row < batch->row_count);
    const dl_columnar_entries *leaf = &batch->leaves[at];
    return leaf->def[row] >= b->read_def[role] ? &leaf->values[row] : NULL;
}

static dl_str text_of(const dl_project_binding *b, const dl_delta_batch *batch,
                      dl_project_role role, size_t row)
{
    const dl_columnar_value *value = value_of(b, batch, role, row);
    return value == NULL ? DL_STR_NONE : value->s;
}

static int64_t number_of(const dl_project_binding *b, const dl_delta_batch *batch,
                         dl_project_role role, size_t row, int64_t otherwise)
{
    const dl_columnar_value *value = value_of(b, batch, role, row);
    return value == NULL ? otherwise : value->i;
}

/** What must be there in every row. */
static dl_status read_key(const dl_project_binding *b, const dl_delta_batch *batch, size_t row,
                          dl_state_key *out_key, int64_t *out_time_us, dl_error *err)
{
    static const dl_project_role roles[] = {DL_PROJECT_READ_PARTITION, DL_PROJECT_READ_STUDY,
                                            DL_PROJECT_READ_SERIES, DL_PROJECT_READ_SOP,
                                            DL_PROJECT_READ_TIME};
    dl_str texts[DL_COUNT_OF(roles)] = {{NULL, 0}};
    for (size_t i = 0; i < DL_COUNT_OF(roles); i++) {
        const dl_columnar_value *value = value_of(b, batch, roles[i], row);
        if (b->read_at[roles[i]] < 0) {
            continue;
        }
        if (value == NULL) {
            dl_str name = b->reads[b->read_at[roles[i]]];
            (void)dl_error_set(err, DL_E_UNSUPPORTED, "row %lld of %.*s: column '%.*s' is NULL",
                               (long long)batch->row_numbers[row], DL_STR_ARG(batch->file->path),
                               DL_STR_ARG(name));
            dl_error_hint(err, "delete the row: a row without its key belongs to no instance");
            return DL_E_UNSUPPORTED;
        }
        if (roles[i] == DL_PROJECT_READ_TIME) {
            *out_time_us = value->i;
        } else {
            texts[i] = value->s;
        }
    }
    *out_key = (dl_state_key){texts[0], texts[1], texts[2], texts[3]};
    return DL_OK;
}

static dl_status read_shown(const dl_project_binding *b, const dl_delta_batch *batch, size_t row,
                            dl_arena *arena, dl_state_shown *out_shown, dl_error *err)
{
    dl_state_shown shown = {.study_date_text = text_of(b, batch, DL_PROJECT_READ_DATE_TEXT, row),
                            .study_description =
                                text_of(b, batch, DL_PROJECT_READ_DESCRIPTION, row),
                            .issuer_of_patient_id = text_of(b, batch, DL_PROJECT_READ_ISSUER, row),
                            .patient_id = text_of(b, batch, DL_PROJECT_READ_PATIENT_ID, row),
                            .patient_name = text_of(b, batch, DL_PROJECT_READ_PATIENT_NAME, row),
                            .modality = text_of(b, batch, DL_PROJECT_READ_MODALITY, row)};
    const dl_columnar_value *days = value_of(b, batch, DL_PROJECT_READ_DATE, row);
    char text[8];
    if (days != NULL && dl_project_format_date(days->i, text)) {
        DL_TRY(dl_arena_copy(arena, (dl_str){text, sizeof text}, &shown.study_date_text, err));
    }
    *out_shown = shown;
    return DL_OK;
}

dl_status dl_project_instance_of(const dl_project_binding *binding, const dl_delta_batch *batch,
                                 size_t row, dl_arena *arena, dl_project_instance *out_instance,
                                 dl_error *err)
{
    DL_ASSERT(binding->kind == DL_STATE_INSTANCE);
    dl_project_instance found = {.instance = {.known = true}};
    int64_t *timestamp_us = &found.instance.timestamp_us;
    DL_TRY(read_key(binding, batch, row, &found.key, timestamp_us, err));
    DL_TRY(read_shown(binding, batch, row, arena, &found.shown, err));
    found.instance.created_us =
        number_of(binding, batch, DL_PROJECT_READ_CREATED, row, *timestamp_us);
    *out_instance = found;
    return DL_OK;
}

dl_status dl_project_row_of(const dl_project_binding *binding, const dl_delta_batch *batch,
                            size_t row, dl_arena *arena, dl_state_row *out_row, dl_error *err)
{
    DL_ASSERT(binding->kind != DL_STATE_INSTANCE);
    dl_state_key key = {0};
    dl_state_row found = {0};
    DL_TRY(read_key(binding, batch, row, &key, &found.timestamp_us, err));
    DL_TRY(read_shown(binding, batch, row, arena, &found.shown, err));
    found.partition_name = key.partition_name;
    found.study_uid = key.study_uid;
    found.series_uid = key.series_uid;
    found.series_count = number_of(binding, batch, DL_PROJECT_READ_SERIES_COUNT, row, -1);
    found.instance_count = number_of(binding, batch, DL_PROJECT_READ_INSTANCE_COUNT, row, -1);
    *out_row = found;
    return DL_OK;
}
