/* Metadata as it is kept, the check that sees each damage of it, and a second index beside the
 * first. */
#include "fixture.h"

#include "base/mem.h"

#include <string.h>

/* ---- metadata ---- */

static void store_many(fixture *f, unsigned studies, unsigned series, unsigned instances)
{
    dl_index_tx *tx = NULL;
    unsigned total = studies * series * instances;
    int64_t *watermarks = dl_arena_alloc(f->arena, total, sizeof *watermarks);
    for (unsigned i = 0; i < total; i++) {
        watermarks[i] = fixture_watermark(f);
    }
    TAP_OK(dl_index_begin(f->index, &tx, &f->err), f->err);
    for (unsigned i = 0; i < total; i++) {
        dl_index_outcome outcome;
        sample_make(&f->s, i / (series * instances), i / instances % series, i % instances);
        dl_index_put put = sample_put(&f->s, watermarks[i]);
        TAP_OK(dl_index_put_instance(tx, &put, &outcome, &f->err), f->err);
    }
    TAP_OK(dl_index_commit(tx, &f->err), f->err);
}

TAP_CASE(metadata_comes_back_byte_for_byte)
{
    fixture f;
    fixture_begin(&f);
    store_many(&f, 12, 2, 3);
    for (int round = 0; round < 2; round++) {
        DL_AUTO_SNAPSHOT s = NULL;
        TAP_OK(dl_index_snapshot_begin(f.index, &s, &f.err), f.err);
        for (unsigned i = 0; i < 72; i++) {
            unsigned n = i * 29 % 72; /* in no order, so that bases come and go */
            sample_make(&f.s, n / 6, n / 3 % 2, n % 3);
            dl_buf_reset(&f.text);
            TAP_OK(dl_index_metadata(s, n + 1, &f.text, &f.err), f.err);
            TAP_TRUE(dl_str_eq(dl_buf_str(&f.text), dl_buf_str(&f.s.json)));
        }
        dl_index_snapshot_end(s);
        s = NULL;
        fixture_reopen(&f);
    }
    /* long metadata, and metadata unlike the rest of its series */
    dl_buf big;
    dl_buf_init(&big, 1 << 22);
    for (size_t size = DL_INDEX_BASE_LIMIT_BYTES - 2; size <= DL_INDEX_BASE_LIMIT_BYTES + 1;
         size++) {
        dl_index_put put = fixture_put(&f, "1.2", "1.2.3", "1", "");
        char sop[16];
        (void)snprintf(sop, sizeof sop, "5.%zu", size);
        put.sop_uid = dl_str_of(sop);
        dl_buf_reset(&big);
        TAP_OK(
            dl_buf_append_str(&big, DL_STR("{\"00091010\":{\"vr\":\"LO\",\"Value\":[\""), &f.err),
            f.err);
        while (big.len < size - 4) {
            uint64_t r = sample_mix(big.len * 7 + size);
            TAP_OK(dl_buf_append_char(&big, (char)('a' + r % 26), &f.err), f.err);
        }
        TAP_OK(dl_buf_append_str(&big, DL_STR("\"]}}"), &f.err), f.err);
        put.metadata = dl_buf_str(&big);
        (void)fixture_store(&f, put);
        DL_AUTO_SNAPSHOT s = NULL;
        TAP_OK(dl_index_snapshot_begin(f.index, &s, &f.err), f.err);
        dl_buf_reset(&f.text);
        TAP_OK(dl_index_metadata(s, put.watermark, &f.text, &f.err), f.err);
        TAP_TRUE(dl_str_eq(dl_buf_str(&f.text), put.metadata));
    }
    dl_buf_clear(&big);
    TAP_EQ_INT(fixture_check(&f), 0);
    fixture_end(&f);
}

TAP_CASE(a_dictionary_is_trained_and_holds_nothing_of_a_patient)
{
    fixture f;
    fixture_begin(&f);
    store_many(&f, DL_INDEX_TRAIN_BASES, 1, 1);
    int64_t trained = 0;
    for (int i = 0; trained == 0 && i < 6000; i++) { /* the background thread does it */
        usleep(10000);
        (void)pthread_mutex_lock(&f.index->lock);
        trained = f.index->dictionary;
        (void)pthread_mutex_unlock(&f.index->lock);
    }
    TAP_EQ_INT(trained, 1);
    dl_index_snapshot *s = NULL;
    dl_db_stmt *q = NULL;
    TAP_OK(dl_index_snapshot_begin(f.index, &s, &f.err), f.err);
    TAP_OK(dl_db_query(s->conn->db, "SELECT text FROM dictionary WHERE id=1", &q, &f.err), f.err);
    TAP_TRUE(dl_db_step(q));
    dl_bytes bytes = dl_db_bytes(q, 0);
    dl_str text = {(const char *)bytes.ptr, bytes.len};
    TAP_TRUE(text.len > 1000);
    TAP_TRUE(dl_str_find_str(text, DL_STR("GE MEDICAL SYSTEMS")) >= 0); /* shared by all */
    for (size_t i = 0; i < DL_COUNT_OF(sample_families); i++) {
        TAP_TRUE(dl_str_find_str(text, dl_str_of(sample_families[i])) < 0);
    }
    static const char *const secrets[] = {"PID0", "ACC0", "1.2.840.113619", "Alphabetic"};
    for (size_t i = 0; i < DL_COUNT_OF(secrets); i++) {
        TAP_TRUE(dl_str_find_str(text, dl_str_of(secrets[i])) < 0);
    }
    TAP_OK(dl_db_finish(q, &f.err), f.err);
    dl_index_snapshot_end(s);
    sample_make(&f.s, 5000, 0, 0);
    dl_index_put put = sample_put(&f.s, fixture_watermark(&f));
    (void)fixture_store(&f, put); /* uses it */
    fixture_reopen(&f);
    TAP_OK(dl_index_snapshot_begin(f.index, &s, &f.err), f.err);
    dl_buf_reset(&f.text);
    TAP_OK(dl_index_metadata(s, put.watermark, &f.text, &f.err), f.err);
    TAP_TRUE(dl_str_eq(dl_buf_str(&f.text), dl_buf_str(&f.s.json)));
    dl_index_snapshot_end(s);
    TAP_EQ_INT(fixture_check(&f), 0);
    fixture_end(&f);
}

TAP_CASE(metadata_has_a_longest)
{
    fixture f;
    fixture_begin(&f);
    dl_buf got;
    dl_buf_init(&got, DL_INDEX_METADATA_LIMIT_BYTES);
    char *text = dl_mem_zalloc(DL_INDEX_METADATA_LIMIT_BYTES + 1, 1); /* pages that nobody writes */
    text[0] = '{';
    text[DL_INDEX_METADATA_LIMIT_BYTES - 1] = text[DL_INDEX_METADATA_LIMIT_BYTES] = '}';
    dl_index_put put = fixture_put(&f, "1.2", "1.2.3", "1", "");
    dl_index_tx *tx = NULL;
    dl_index_outcome outcome;
    put.metadata = (dl_str){text, DL_INDEX_METADATA_LIMIT_BYTES + 1};
    TAP_OK(dl_index_begin(f.index, &tx, &f.err), f.err);
    TAP_STATUS(dl_index_put_instance(tx, &put, &outcome, &f.err), DL_E_LIMIT);
    dl_index_rollback(tx);
    put.metadata.len--;
    (void)fixture_store(&f, put);
    dl_index_snapshot *s = NULL;
    TAP_OK(dl_index_snapshot_begin(f.index, &s, &f.err), f.err);
    TAP_OK(dl_index_metadata(s, put.watermark, &got, &f.err), f.err);
    TAP_EQ_INT(got.len, put.metadata.len);
    dl_index_snapshot_end(s);
    dl_buf_clear(&got);
    dl_mem_free(text);
    fixture_end(&f);
}

TAP_CASE(an_instance_costs_less_than_a_kilobyte)
{
    fixture f;
    fixture_begin(&f);
    store_many(&f, 20, 2, 25);
    dl_index_close(f.index);
    f.index = NULL;
    FILE *file = fopen(f.path, "re");
    TAP_TRUE(file != NULL);
    if (file != NULL) {
        (void)fseek(file, 0, SEEK_END);
        long each = ftell(file) / 1000;
        (void)fclose(file);
        printf("# %ld bytes an instance\n", each);
        TAP_TRUE(each < 1000);
    }
    fixture_end(&f);
}

/* ---- check ---- */

static int problems_after(fixture *f, const char *sql)
{
    dl_db *db = NULL;
    dl_index_close(f->index);
    f->index = NULL;
    TAP_OK(dl_db_open(f->path, NULL, &db, &f->err), f->err);
    TAP_OK(dl_db_exec(db, sql, &f->err), f->err);
    dl_db_close(db);
    fixture_open(f);
    int problems = 0;
    dl_index_snapshot *s = NULL;
    TAP_OK(dl_index_snapshot_begin(f->index, &s, &f->err), f->err);
    TAP_OK(dl_index_check(s, fixture_problem, &problems, &f->err), f->err);
    dl_index_snapshot_end(s);
    return problems;
}

/** The last dictionary there can be and one past it; the most that a frame may say it holds and one
 * byte more: a descriptor of 0xA0 means that its 4 bytes of size follow (RFC 8878, 3.1.1.1). */
TAP_CASE(damaged_metadata_is_refused_with_its_reason)
{
    static const struct {
        const char *sql, *says;
    } rows[] = {
        {"base=-63", "dictionary 63 is missing"},
        {"base=-64", "dictionary 64 is out of range"},
        {"base=99", "base 99 is missing"},
        {"base=0, metadata=x'28B52FFDA000000010'", "unpacking"},
        {"base=0, metadata=x'28B52FFDA001000010'", "a zstd frame of 268435457 bytes"},
        {"base=0, metadata=x'00'", "no zstd frame in 1 bytes"},
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        char sql[128];
        fixture f;
        fixture_begin(&f);
        store_many(&f, 1, 1, 2);
        (void)snprintf(sql, sizeof sql, "UPDATE version SET %s WHERE watermark=2", rows[i].sql);
        TAP_TRUE(problems_after(&f, sql) > 0);
        dl_buf got;
        dl_buf_init(&got, DL_INDEX_METADATA_LIMIT_BYTES);
        dl_index_snapshot *s = NULL;
        TAP_OK(dl_index_snapshot_begin(f.index, &s, &f.err), f.err);
        TAP_STATUS(dl_index_metadata(s, 2, &got, &f.err), DL_E_CORRUPT);
        if (strstr(f.err.message, rows[i].says) == NULL) {
            TAP_FAIL("%s: %s", sql, f.err.message);
        }
        TAP_OK(dl_index_metadata(s, 1, &got, &f.err), f.err); /* its neighbour */
        dl_index_snapshot_end(s);
        dl_buf_clear(&got);
        fixture_end(&f);
    }
}

TAP_CASE(the_check_sees_every_kind_of_damage)
{
    static const char *const damages[] = {
        "DELETE FROM change WHERE sequence=3",
        "UPDATE change SET timestamp_us=0 WHERE sequence=4",
        "UPDATE change SET sequence=sequence+100",
        "UPDATE change SET instance=999 WHERE sequence=2",
        "UPDATE change SET action=9 WHERE sequence=2",
        "UPDATE change SET action=2 WHERE sequence=2",
        "UPDATE instance SET watermark=NULL WHERE id=2",
        "UPDATE instance SET watermark=77 WHERE id=2",
        "UPDATE version SET instance=NULL WHERE watermark=2",
        "UPDATE version SET not_before_us=5 WHERE watermark=2",
        "UPDATE version SET syntax=55 WHERE watermark=2",
        "UPDATE counter SET value=2",
        "DELETE FROM counter",
        "UPDATE instance SET series=99 WHERE id=2",
        "UPDATE series SET study=99 WHERE id=1",
        "UPDATE study SET partition=9 WHERE id=1",
        "UPDATE series SET instance_count=7 WHERE id=1",
        "UPDATE study SET series_count=7 WHERE id=1",
        "UPDATE study SET created=NULL WHERE id=1",
        "UPDATE series SET created=NULL WHERE id=1",
        "UPDATE series SET created=created-1 WHERE id=2",
        "DELETE FROM study_text WHERE study=1",
        "DELETE FROM series_text WHERE series=1",
        "INSERT INTO study_text VALUES(99, '', '', '{}')",
        "INSERT INTO series_text VALUES(99, '', '{}')",
        "DELETE FROM study_word WHERE study=1",
        "INSERT INTO study_word VALUES(1, 4, 'ghost', 99, 99)",
        "DELETE FROM study_modality WHERE study=1",
        "UPDATE study_modality SET modality='x'||modality WHERE study=1",
        "UPDATE study_modality SET date=20000101 WHERE study=1",
        "UPDATE study_text SET modalities='xx\\' WHERE study=1",
        "UPDATE study_text SET modalities='' WHERE study=1",
        "UPDATE study SET patient_id='someone' WHERE id=1",
        "UPDATE study SET study_date=20000101 WHERE id=1",
        "UPDATE series SET modality='xx' WHERE id=1",
        "UPDATE study_text SET attributes='{}' WHERE study=1",
        "UPDATE metadata_base SET users=users+1 WHERE id=1",
        "DELETE FROM metadata_base WHERE id=1",
        "UPDATE version SET metadata=x'00' WHERE watermark=2",
        "UPDATE tally SET count=count+1 WHERE kind=0",
        "UPDATE tally SET count=count+1 WHERE kind=3",
        "DELETE FROM tally WHERE kind=4",
    };
    for (size_t i = 0; i < DL_COUNT_OF(damages); i++) {
        fixture f;
        TAP_ROW_BEGIN();
        fixture_begin(&f);
        store_many(&f, 2, 2, 2);
        TAP_EQ_INT(fixture_check(&f), 0);
        TAP_TRUE(problems_after(&f, damages[i]) > 0);
        fixture_end(&f);
        TAP_ROW_END(damages[i]);
    }
}

static dl_status count_file(void *context, const dl_index_stored_file *file, dl_error *err)
{
    int *counts = context;
    (void)err;
    TAP_EQ_INT(file->current, file->sop_uid.len > 0);
    TAP_EQ_STR(file->partition_name, "Microsoft.Default");
    counts[file->current ? 0 : 1]++;
    return DL_OK;
}

TAP_CASE(every_file_is_listed)
{
    fixture f;
    fixture_begin(&f);
    int64_t removed = 0;
    int counts[2] = {0, 0};
    store_many(&f, 1, 2, 5);
    sample_uids(&f.s, 0, 1, 0);
    TAP_OK(fixture_delete(&f, f.s.study_uid, f.s.series_uid, "", 0, &removed), f.err);
    dl_index_snapshot *s = NULL;
    TAP_OK(dl_index_snapshot_begin(f.index, &s, &f.err), f.err);
    TAP_OK(dl_index_each_file(s, 0, count_file, counts, &f.err), f.err);
    TAP_EQ_INT(counts[0], 5);
    TAP_EQ_INT(counts[1], 5);
    TAP_OK(dl_index_each_file(s, 8, count_file, counts, &f.err), f.err);
    TAP_EQ_INT(counts[1], 7);
    dl_index_snapshot_end(s);
    int64_t last = 0, given = 0;
    TAP_OK(dl_index_watermark_bounds(f.index, &last, &given, &f.err), f.err);
    TAP_EQ_INT(last, 10);
    TAP_EQ_INT(given, 10);
    fixture_end(&f);
}

static dl_status name_partition(void *context, const dl_index_stored_file *file, dl_error *err)
{
    (void)err;
    TAP_EQ_STR(file->partition_name, "new");
    ++*(int *)context;
    return DL_OK;
}

/** Verify runs beside a service, which may make a partition when the reader is open already. */
TAP_CASE(a_second_index_sees_new_partitions)
{
    fixture f;
    fixture_begin(&f);
    dl_index *reader = NULL;
    dl_index_options options = {.read_only = true};
    dl_index_put put = fixture_put(&f, "1.2", "1.2.3", "1", "");
    dl_index_snapshot *s = NULL;
    int count = 0;
    TAP_OK(dl_index_open(f.path, &options, &reader, &f.err), f.err);
    TAP_OK(dl_index_partition_ensure(f.index, DL_STR("new"), &put.partition, &f.err), f.err);
    (void)fixture_store(&f, put);
    TAP_OK(dl_index_snapshot_begin(reader, &s, &f.err), f.err);
    TAP_OK(dl_index_each_file(s, 0, name_partition, &count, &f.err), f.err);
    TAP_EQ_INT(count, 1);
    dl_index_snapshot_end(s);
    dl_index_close(reader);
    fixture_end(&f);
}

TAP_CASE(a_second_index_may_read)
{
    fixture f;
    fixture_begin(&f);
    store_many(&f, 1, 1, 2);
    dl_index *reader = NULL;
    dl_index_options options = {.read_only = true};
    dl_index_tx *tx = NULL;
    TAP_OK(dl_index_open(f.path, &options, &reader, &f.err), f.err);
    TAP_STATUS(dl_index_begin(reader, &tx, &f.err), DL_E_DENIED);
    int64_t number = 0;
    TAP_STATUS(dl_index_next_watermark(reader, &number, &f.err), DL_E_DENIED);
    TAP_STATUS(dl_index_partition_ensure(reader, DL_STR("x"), &number, &f.err), DL_E_DENIED);
    TAP_STATUS(dl_index_setting_put(reader, DL_STR("x"), DL_STR("y"), &f.err), DL_E_DENIED);
    int64_t last = 0;
    dl_index_snapshot *s = NULL;
    TAP_OK(dl_index_snapshot_begin(reader, &s, &f.err), f.err);
    TAP_OK(dl_index_last_sequence(s, &last, &f.err), f.err);
    TAP_EQ_INT(last, 2);
    dl_index_snapshot_end(s);
    dl_index_close(reader);
    fixture_end(&f);
}

int main(void)
{
    TAP_RUN(metadata_comes_back_byte_for_byte);
    TAP_RUN(a_dictionary_is_trained_and_holds_nothing_of_a_patient);
    TAP_RUN(metadata_has_a_longest);
    TAP_RUN(an_instance_costs_less_than_a_kilobyte);
    TAP_RUN(damaged_metadata_is_refused_with_its_reason);
    the_check_sees_every_kind_of_damage();
    TAP_RUN(every_file_is_listed);
    TAP_RUN(a_second_index_sees_new_partitions);
    TAP_RUN(a_second_index_may_read);
    return tap_done();
}
