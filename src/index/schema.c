#include "index/internal.h"

/*
 * Study, series and instance rows stay for ever, because change rows speak of them. `created` (and
 * an instance's `watermark`) is NULL while nothing of them is stored; then every matching column is
 * NULL too and no index but the one by UID holds them.
 *
 * created   the watermark of the store that made the study or series: its place in "newest first"
 * version   one stored file; `instance` is NULL once it is in the cleanup queue
 * base      > 0: id of the metadata_base it is compressed after; <= 0: - number of the dictionary
 * tally     how many live rows of a level (kind = 2 * level, + 1 for the coarse blocks) have their
 *           place in a block of places, so that a page deep in "newest first" is found at once
 */
/* clang-format off */
static const char version_1[] =
    "CREATE TABLE setting(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE counter(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "INSERT INTO counter VALUES('watermark', 1);"
    "CREATE TABLE partition(key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " created_us INTEGER NOT NULL);"

    "CREATE TABLE study(id INTEGER PRIMARY KEY, partition INTEGER NOT NULL, uid BLOB NOT NULL,"
    " created INTEGER, series_count INTEGER NOT NULL DEFAULT 0, expires_us INTEGER,"
    " study_date INTEGER, accession TEXT, referring TEXT, description TEXT, patient_name TEXT,"
    " patient_id TEXT, birth_date INTEGER);"
    "CREATE UNIQUE INDEX study_uid ON study(uid, partition);"
    "CREATE INDEX study_newest ON study(partition, created) WHERE created IS NOT NULL;"
    "CREATE INDEX study_expires ON study(expires_us) WHERE expires_us IS NOT NULL;"
    "CREATE INDEX study_by_study_date ON study(partition, study_date, created)"
    " WHERE study_date IS NOT NULL;"
    "CREATE INDEX study_by_accession ON study(partition, accession, created)"
    " WHERE accession IS NOT NULL;"
    "CREATE INDEX study_by_referring ON study(partition, referring, created)"
    " WHERE referring IS NOT NULL;"
    "CREATE INDEX study_by_description ON study(partition, description, created)"
    " WHERE description IS NOT NULL;"
    "CREATE INDEX study_by_patient_name ON study(partition, patient_name, created)"
    " WHERE patient_name IS NOT NULL;"
    "CREATE INDEX study_by_patient_id ON study(partition, patient_id, created)"
    " WHERE patient_id IS NOT NULL;"
    "CREATE INDEX study_by_birth_date ON study(partition, birth_date, created)"
    " WHERE birth_date IS NOT NULL;"
    "CREATE TABLE study_text(study INTEGER PRIMARY KEY, origins BLOB NOT NULL,"
    " modalities TEXT NOT NULL, attributes TEXT NOT NULL);"
    "CREATE TABLE study_word(partition INTEGER NOT NULL, attribute INTEGER NOT NULL,"
    " word TEXT NOT NULL, created INTEGER NOT NULL, study INTEGER NOT NULL,"
    " PRIMARY KEY(partition, attribute, word, created)) WITHOUT ROWID;"
    "CREATE TABLE study_modality(partition INTEGER NOT NULL, modality TEXT NOT NULL,"
    " created INTEGER NOT NULL, study INTEGER NOT NULL, date INTEGER,"
    " PRIMARY KEY(partition, modality, created)) WITHOUT ROWID;"
    "CREATE INDEX study_modality_by_date ON study_modality(partition, modality, date,"
    " created, study) WHERE date IS NOT NULL;"

    "CREATE TABLE series(id INTEGER PRIMARY KEY, study INTEGER NOT NULL,"
    " partition INTEGER NOT NULL, uid BLOB NOT NULL, created INTEGER,"
    " instance_count INTEGER NOT NULL DEFAULT 0, base INTEGER,"
    " modality TEXT, model TEXT, start_date INTEGER);"
    "CREATE UNIQUE INDEX series_uid ON series(uid, study);"
    "CREATE INDEX series_newest ON series(partition, created) WHERE created IS NOT NULL;"
    "CREATE INDEX series_of_study ON series(study, created) WHERE created IS NOT NULL;"
    "CREATE INDEX series_by_modality ON series(partition, modality, created)"
    " WHERE modality IS NOT NULL;"
    "CREATE INDEX series_by_model ON series(partition, model, created)"
    " WHERE model IS NOT NULL;"
    "CREATE INDEX series_by_start_date ON series(partition, start_date, created)"
    " WHERE start_date IS NOT NULL;"
    "CREATE TABLE series_text(series INTEGER PRIMARY KEY, origins BLOB NOT NULL,"
    " attributes TEXT NOT NULL);"

    "CREATE TABLE instance(id INTEGER PRIMARY KEY, partition INTEGER NOT NULL,"
    " series INTEGER NOT NULL, watermark INTEGER, uid BLOB NOT NULL);"
    "CREATE UNIQUE INDEX instance_uid ON instance(uid, series);"
    "CREATE INDEX instance_newest ON instance(partition, watermark, series)"
    " WHERE watermark IS NOT NULL;"
    "CREATE INDEX instance_of_series ON instance(series, watermark) WHERE watermark IS NOT NULL;"

    "CREATE TABLE version(watermark INTEGER PRIMARY KEY, instance INTEGER,"
    " partition INTEGER NOT NULL, base INTEGER NOT NULL, size_bytes INTEGER NOT NULL,"
    " tag INTEGER NOT NULL, syntax INTEGER NOT NULL, not_before_us INTEGER,"
    " tries INTEGER NOT NULL DEFAULT 0, hash BLOB NOT NULL, frames BLOB, metadata BLOB NOT NULL);"
    "CREATE INDEX version_garbage ON version(not_before_us) WHERE not_before_us IS NOT NULL;"
    "CREATE TABLE metadata_base(id INTEGER PRIMARY KEY, series INTEGER NOT NULL,"
    " users INTEGER NOT NULL, dictionary INTEGER NOT NULL, text BLOB NOT NULL);"
    "CREATE TABLE dictionary(id INTEGER PRIMARY KEY, text BLOB NOT NULL);"
    "CREATE TABLE syntax(id INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE);"

    "CREATE TABLE change(sequence INTEGER PRIMARY KEY, timestamp_us INTEGER NOT NULL,"
    " action INTEGER NOT NULL, instance INTEGER NOT NULL, watermark INTEGER NOT NULL);"
    "CREATE TABLE tally(partition INTEGER NOT NULL, kind INTEGER NOT NULL, block INTEGER NOT NULL,"
    " count INTEGER NOT NULL, PRIMARY KEY(partition, kind, block)) WITHOUT ROWID;";
/* clang-format on */

/* start     the first characters of a word: names by a beginning, newest first */
static const char version_2[] =
    "CREATE INDEX study_word_start ON study_word(partition, attribute, substr(word,1,2), created,"
    " word, study);";

const char *const dl_index_schema[] = {version_1, version_2};
const size_t dl_index_schema_count = DL_COUNT_OF(dl_index_schema);
