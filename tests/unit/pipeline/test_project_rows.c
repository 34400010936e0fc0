/* Rows of series and studies, their hash, rows read back, and failures. */
#include "project_rig.h"

#include "base/mem.h"

/* ---- series and study rows ---- */

static const dl_state_row row_a = {
    .partition_name = {"p", 1},
    .study_uid = {"1.2", 3},
    .series_uid = {"1.2.3", 5},
    .series_count = 2,
    .instance_count = 9,
    .timestamp_us = 77,
    .shown = {{"20260105", 8}, {"d", 1}, {NULL, 0}, {"", 0}, {"A^B", 3}, {"CT", 2}},
};

TAP_CASE(series_and_study_rows_are_put)
{
    rig r;
    dl_error err = {0};
    rig_open(&r, DL_PIPELINE_AUTO, DL_STATE_SERIES, LIST(series_table), (list){NULL, 0});
    TAP_OK(dl_project_put_row(r.binding, r.writer, &row_a, &err), err);
    static const char *const series_want[] = {"0=1.2", "0=1.2.3", "0=77",  "0=20458", "0=d",
                                              "0~0",   "0=",      "0=A^B", "0=CT",    "0=9"};
    for (size_t i = 0; i < DL_COUNT_OF(series_want); i++) {
        TAP_EQ_STR(record_text(r.writer, i), series_want[i]);
    }
    TAP_EQ_INT(r.writer->rows, 1);
    rig_close(&r);
    rig_open(&r, DL_PIPELINE_AUTO, DL_STATE_STUDY, LIST(study_table), (list){NULL, 0});
    dl_state_row row = row_a;
    row.shown.study_date_text = DL_STR("2026010");
    TAP_OK(dl_project_put_row(r.binding, r.writer, &row, &err), err);
    static const char *const study_want[] = {"0=1.2", "0=77",  "0~0", "0=d", "0~0",
                                             "0=",    "0=A^B", "0=2", "0=9"};
    for (size_t i = 0; i < DL_COUNT_OF(study_want); i++) {
        TAP_EQ_STR(record_text(r.writer, i), study_want[i]);
    }
    rig_close(&r);
}

TAP_CASE(the_hash_speaks_of_every_column_and_of_nothing_else)
{
    static const dl_str other = {"other", 5}, none = {NULL, 0};
    for (dl_state_kind kind = DL_STATE_SERIES; kind <= DL_STATE_STUDY; kind++) {
        bool is_study = kind == DL_STATE_STUDY;
        uint64_t hash = dl_project_row_hash(kind, &row_a);
        TAP_TRUE(hash != 0 && hash == dl_project_row_hash(kind, &row_a));
        TAP_TRUE(hash != dl_project_row_hash(is_study ? DL_STATE_SERIES : DL_STATE_STUDY, &row_a));
        dl_state_row row = row_a;
        const struct {
            dl_str *text;
            bool counts;
        } texts[] = {{&row.partition_name, true},
                     {&row.study_uid, true},
                     {&row.series_uid, !is_study},
                     {&row.shown.study_description, true},
                     {&row.shown.issuer_of_patient_id, true},
                     {&row.shown.patient_id, true},
                     {&row.shown.patient_name, true},
                     {&row.shown.modality, !is_study}};
        for (size_t i = 0; i < DL_COUNT_OF(texts); i++) {
            row = row_a;
            *texts[i].text = other;
            TAP_TRUE((dl_project_row_hash(kind, &row) != hash) == texts[i].counts);
            *texts[i].text = none;
            uint64_t null_hash = dl_project_row_hash(kind, &row);
            *texts[i].text = DL_STR("");
            TAP_TRUE((dl_project_row_hash(kind, &row) != null_hash) == texts[i].counts);
        }
        row = row_a;
        row.timestamp_us++;
        TAP_TRUE(dl_project_row_hash(kind, &row) != hash);
        row = row_a;
        row.instance_count++;
        TAP_TRUE(dl_project_row_hash(kind, &row) != hash);
        row = row_a;
        row.series_count++;
        TAP_TRUE((dl_project_row_hash(kind, &row) != hash) == is_study);
        row = row_a;
        row.id = 5;
        row.written_hash = 5;
        row.place = (dl_state_place){5, 5};
        TAP_TRUE(dl_project_row_hash(kind, &row) == hash);
        /* Two texts that are no dates are one NULL; a date on 1970-01-01 is not. */
        row = row_a;
        row.shown.study_date_text = DL_STR("x");
        uint64_t no_date = dl_project_row_hash(kind, &row);
        row.shown.study_date_text = none;
        TAP_TRUE(no_date != hash && dl_project_row_hash(kind, &row) == no_date);
        row.shown.study_date_text = DL_STR("19700101");
        TAP_TRUE(dl_project_row_hash(kind, &row) != no_date);
    }
}

/* ---- shown values ---- */

TAP_CASE(shown_values_are_those_of_the_columns)
{
    dl_error err = {0};
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
    const dl_feed_attribute *attributes = NULL;
    size_t count = 0;
    dl_state_shown shown = {0};
    TAP_OK(dl_feed_attributes(
               DL_STR("{\"00080020\":{\"vr\":\"DA\",\"Value\":[\"bad\"]},"
                      "\"00080060\":{\"vr\":\"CS\",\"Value\":[\"MR\"]},\"00081030\":{\"vr\":\"LO\","
                      "\"Value\":[null]},\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":"
                      "\"A\\u0042\"}]},\"00100020\":{\"vr\":\"LO\",\"Value\":[7]},"
                      "\"00100021\":{\"vr\":\"LO\",\"Value\":[\"\"]}}"),
               arena, &attributes, &count, NULL, &err),
           err);
    TAP_OK(dl_project_shown(attributes, count, arena, &shown, &err), err);
    TAP_EQ_STR(shown.study_date_text, "bad");
    TAP_EQ_STR(shown.modality, "MR");
    TAP_TRUE(shown.study_description.ptr == NULL);
    TAP_EQ_STR(shown.patient_name, "AB");
    TAP_EQ_STR(shown.patient_id, "7");
    TAP_TRUE(shown.issuer_of_patient_id.ptr != NULL && shown.issuer_of_patient_id.len == 0);
    TAP_OK(dl_project_shown(NULL, 0, arena, &shown, &err), err);
    TAP_TRUE(shown.study_date_text.ptr == NULL && shown.modality.ptr == NULL);
}

/* ---- reading back ---- */

typedef struct batch_rig {
    dl_columnar_value values[16];
    uint8_t defs[16];
    dl_columnar_entries leaves[16];
    dl_delta_file file;
    int64_t row_number;
    bool live;
    dl_delta_batch batch;
} batch_rig;

/** One row: texts for strings, numbers for others ("#5"), NULL. */
static void fill_batch(batch_rig *b, const char *const *values, size_t count)
{
    *b = (batch_rig){.file = {.path = {"f.parquet", 9}}, .row_number = 41, .live = true};
    for (size_t i = 0; i < count; i++) {
        b->defs[i] = values[i] != NULL;
        if (values[i] != NULL && values[i][0] == '#') {
            TAP_TRUE(dl_str_to_i64(dl_str_of(values[i] + 1), &b->values[i].i));
        } else {
            b->values[i].s = dl_str_of(values[i]);
        }
        b->leaves[i] =
            (dl_columnar_entries){.count = 1, .def = &b->defs[i], .values = &b->values[i]};
    }
    b->batch = (dl_delta_batch){.file = &b->file,
                                .row_count = 1,
                                .row_numbers = &b->row_number,
                                .live = &b->live,
                                .leaves = b->leaves,
                                .leaf_count = count};
}

static void check_names(rig *r, const char *want)
{
    dl_error err = {0};
    const dl_str *names = NULL;
    size_t count = 0;
    DL_AUTO_BUF text;
    dl_buf_init(&text, 4096);
    TAP_OK(dl_project_key_columns(r->binding, r->arena, &names, &count, &err), err);
    for (size_t i = 0; i < count; i++) {
        TAP_OK(dl_buf_printf(&text, &err, "%s%.*s", i == 0 ? "" : " ", DL_STR_ARG(names[i])), err);
    }
    TAP_EQ_STR(dl_buf_str(&text), want);
}

TAP_CASE(instances_are_read_back)
{
    rig r;
    batch_rig b;
    dl_error err = {0};
    dl_project_instance got = {0};
    rig_open(&r, DL_PIPELINE_TEMPLATE_R4, DL_STATE_INSTANCE, LIST(r4), (list){NULL, 0});
    check_names(&r, "partitionName studyinstanceuid seriesinstanceuid sopinstanceuid "
                    "lastModifiedTimestamp created_date studydate studydescription "
                    "issuerofpatientid patientid patientname modality");
    static const char *const row4[] = {"p",   "1.2", "1.3", "1.4", "#50", "#40",
                                       "bad", "d",   NULL,  "id",  "A^B", "CT"};
    fill_batch(&b, row4, DL_COUNT_OF(row4));
    TAP_OK(dl_project_instance_of(r.binding, &b.batch, 0, r.arena, &got, &err), err);
    TAP_EQ_STR(got.key.partition_name, "p");
    TAP_EQ_STR(got.key.study_uid, "1.2");
    TAP_EQ_STR(got.key.series_uid, "1.3");
    TAP_EQ_STR(got.key.sop_uid, "1.4");
    TAP_TRUE(got.instance.known && !got.instance.removed && got.instance.place.file == 0);
    TAP_EQ_INT(got.instance.timestamp_us, 50);
    TAP_EQ_INT(got.instance.created_us, 40);
    TAP_EQ_STR(got.shown.study_date_text, "bad");
    TAP_TRUE(got.shown.issuer_of_patient_id.ptr == NULL);
    TAP_EQ_STR(got.shown.patient_name, "A^B");
    TAP_EQ_STR(got.shown.modality, "CT");
    static const char *const nulls[] = {"p",  "1.2", "1.3", "1.4", "#50", NULL,
                                        NULL, NULL,  NULL,  NULL,  NULL,  NULL};
    fill_batch(&b, nulls, DL_COUNT_OF(nulls));
    TAP_OK(dl_project_instance_of(r.binding, &b.batch, 0, r.arena, &got, &err), err);
    TAP_EQ_INT(got.instance.created_us, 50);
    TAP_TRUE(got.shown.study_date_text.ptr == NULL && got.shown.modality.ptr == NULL);
    for (size_t i = 0; i < 5; i++) { /* a row without its key */
        const char *missing[DL_COUNT_OF(nulls)];
        memcpy((void *)missing, (const void *)nulls, sizeof nulls);
        missing[i] = NULL;
        fill_batch(&b, missing, DL_COUNT_OF(missing));
        got.key = (dl_state_key){.sop_uid = DL_STR("kept")};
        TAP_STATUS(dl_project_instance_of(r.binding, &b.batch, 0, r.arena, &got, &err),
                   DL_E_UNSUPPORTED);
        TAP_TRUE(strstr(err.message, "row 41 of f.parquet") != NULL && err.hint[0] != 0);
        TAP_EQ_STR(got.key.sop_uid, "kept");
    }
    rig_close(&r);
    rig_open(&r, DL_PIPELINE_TEMPLATE_R2, DL_STATE_INSTANCE, LIST(r2), (list){NULL, 0});
    check_names(&r, "partitionName studyInstanceUid seriesInstanceUid sopInstanceUid "
                    "lastModifiedTimestamp studyDate studyDescription issuerOfPatientId patientId "
                    "patientName modality");
    static const char *const row2[] = {"p", "1.2", "1.3", "1.4", "#50", "#20458",
                                       "d", NULL,  "id",  "A^B", "CT"};
    fill_batch(&b, row2, DL_COUNT_OF(row2));
    TAP_OK(dl_project_instance_of(r.binding, &b.batch, 0, r.arena, &got, &err), err);
    TAP_EQ_STR(got.shown.study_date_text, "20260105");
    TAP_EQ_INT(got.instance.created_us, 50);
    rig_close(&r);
}

TAP_CASE(series_and_study_rows_are_read_back_with_the_same_hash)
{
    rig r;
    batch_rig b;
    dl_error err = {0};
    dl_state_row row = {0};
    static const char *const series[] = {"p",  "1.2", "1.2.3", "#77", "#20458", "d",
                                         NULL, "",    "A^B",   "CT",  "#9"};
    rig_open(&r, DL_PIPELINE_AUTO, DL_STATE_SERIES, LIST(series_table), (list){NULL, 0});
    fill_batch(&b, series, DL_COUNT_OF(series));
    TAP_OK(dl_project_row_of(r.binding, &b.batch, 0, r.arena, &row, &err), err);
    TAP_EQ_STR(row.series_uid, "1.2.3");
    TAP_TRUE(dl_project_row_hash(DL_STATE_SERIES, &row) ==
             dl_project_row_hash(DL_STATE_SERIES, &row_a));
    rig_close(&r);
    static const char *const study[] = {"p",  "1.2", "#77", "#20458", "d",
                                        NULL, "",    "A^B", "#2",     "#9"};
    rig_open(&r, DL_PIPELINE_AUTO, DL_STATE_STUDY, LIST(study_table), (list){NULL, 0});
    fill_batch(&b, study, DL_COUNT_OF(study));
    TAP_OK(dl_project_row_of(r.binding, &b.batch, 0, r.arena, &row, &err), err);
    TAP_TRUE(row.series_uid.ptr == NULL);
    TAP_TRUE(dl_project_row_hash(DL_STATE_STUDY, &row) ==
             dl_project_row_hash(DL_STATE_STUDY, &row_a));
    /* NULL counts are no count of ours. */
    static const char *const broken[] = {"p",  "1.2", "#77", "#20458", "d",
                                         NULL, "",    "A^B", NULL,     NULL};
    fill_batch(&b, broken, DL_COUNT_OF(broken));
    TAP_OK(dl_project_row_of(r.binding, &b.batch, 0, r.arena, &row, &err), err);
    TAP_EQ_INT(row.instance_count, -1);
    rig_close(&r);
}

/* ---- failures ---- */

static dl_status use_all(dl_columnar_writer *writer, dl_error *err)
{
    static const char *const configured[] = {"c=00400275.00400009:string"};
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no arena");
    }
    DL_AUTO(dl_project) project = NULL;
    DL_AUTO(dl_project_binding) binding = NULL;
    dl_delta_column columns[DL_COUNT_OF(r4)];
    for (size_t i = 0; i < DL_COUNT_OF(r4); i++) {
        columns[i] = column_of(r4[i]);
    }
    const dl_feed_attribute *attributes = NULL;
    size_t count = 0;
    dl_str text = DL_STR_NONE;
    dl_state_shown shown;
    const dl_str *names = NULL;
    DL_TRY(dl_project_create(DL_PIPELINE_AUTO, configured, 1, &project, err));
    DL_TRY(dl_project_schema(project, DL_STATE_INSTANCE, arena, &text, err));
    DL_TRY(dl_project_stats_columns(project, DL_STATE_INSTANCE, arena, &text, err));
    DL_TRY(dl_project_bind(project, DL_STATE_INSTANCE, columns, DL_COUNT_OF(r4), &binding, err));
    DL_TRY(dl_project_key_columns(binding, arena, &names, &count, err));
    DL_TRY(dl_feed_attributes(DL_STR(NESTED), arena, &attributes, &count, NULL, err));
    DL_TRY(dl_project_shown(attributes, count, arena, &shown, err));
    (void)writer;
    return DL_OK;
}

TAP_CASE(each_allocation_may_fail)
{
    dl_error err = {0};
    dl_mem_fail_after(1 << 20);
    TAP_OK(use_all(NULL, &err), err);
    int64_t all = dl_mem_asked();
    TAP_TRUE(all >= 8);
    for (int64_t n = 0; n < all; n++) {
        dl_mem_fail_after(n);
        err = (dl_error){0};
        dl_status status = use_all(NULL, &err);
        dl_mem_fail_after(-1);
        TAP_TRUE(status == DL_E_NOMEM || status == DL_E_LIMIT);
        TAP_TRUE(err.message[0] != 0);
    }
    dl_mem_fail_after(-1);
}

TAP_CASE(a_full_arena_is_told)
{
    rig r;
    dl_error err = {0};
    rig_open(&r, DL_PIPELINE_TEMPLATE_R4, DL_STATE_INSTANCE, LIST(r4), (list){NULL, 0});
    DL_AUTO(dl_arena) small = dl_arena_create(8);
    static const dl_feed_attribute twice[] = {{.tag = {"00100020", 8}}, {.tag = {"00100020", 8}}};
    dl_project_change change = {&entry_a, twice, 2, DL_STR("{}"), 1};
    TAP_STATUS(dl_project_put_instance(r.binding, r.writer, &change, small, &err), DL_E_LIMIT);
    static const dl_str name = DL_STR("{\"Alphabetic\":\"a long name with\\nan escape\"}");
    static const dl_feed_attribute named[] = {
        {.tag = {"00100010", 8}, .values = &name, .value_count = 1, .has_value = true}};
    dl_state_shown shown = {.modality = DL_STR("kept")};
    TAP_STATUS(dl_project_shown(named, 1, small, &shown, &err), DL_E_LIMIT);
    TAP_EQ_STR(shown.modality, "kept");
    rig_close(&r);
}

int main(void)
{
    TAP_RUN(series_and_study_rows_are_put);
    TAP_RUN(the_hash_speaks_of_every_column_and_of_nothing_else);
    TAP_RUN(shown_values_are_those_of_the_columns);
    TAP_RUN(instances_are_read_back);
    TAP_RUN(series_and_study_rows_are_read_back_with_the_same_hash);
    TAP_RUN(each_allocation_may_fail);
    TAP_RUN(a_full_arena_is_told);
    return tap_done();
}
