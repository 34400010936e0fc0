/* What we may read and write: one table. */
#include "delta/internal.h"

#include <stdio.h>
#include <string.h>

enum { PROPERTY_SIZE = 64 }; /* a property's name in quotes, of those that we ask for */

typedef enum answer {
    YES,
    NO,
    WHEN_UNUSED, /* `uses` says whether the table does more than list it */
} answer;

typedef struct feature {
    const char *name;
    bool reader;            /* stands in readerFeatures too */
    uint8_t implied;        /* by writers from this version to 6; 0: never */
    uint8_t implied_reader; /* by readers from this version to 2; 0: never */
    answer reading, writing;
    bool (*uses)(const dl_delta_metadata *metadata, const dl_delta_change *change);
} feature;

dl_str dl_delta_configuration(const dl_delta_metadata *metadata, const char *key)
{
    dl_str name = dl_str_of(key), found = DL_STR_NONE;
    for (size_t i = 0; metadata != NULL && i < metadata->configuration.count; i++) {
        if (dl_str_eq(metadata->configuration.items[i].key, name)) {
            found = metadata->configuration.items[i].value;
        }
    }
    return found;
}

static bool is_on(const dl_delta_metadata *metadata, const char *key)
{
    return dl_str_eq_nocase(dl_delta_configuration(metadata, key), DL_STR("true"));
}

/* ---- who uses what ---- */

/* Columns' properties stand in the schema's text as keys, wherever the column is nested. */
static bool column_says(const dl_delta_metadata *metadata, const char *key)
{
    char quoted[PROPERTY_SIZE];
    int len = snprintf(quoted, sizeof quoted, "\"%s\"", key);
    DL_ASSERT(len > 0 && (size_t)len < sizeof quoted);
    return metadata != NULL &&
           dl_str_find_str(metadata->schema_json, (dl_str){quoted, (size_t)len}) >= 0;
}

static bool takes_away(const dl_delta_change *change)
{
    return change == NULL ||
           (change->data_change && (change->kill_count > 0 || change->remove_count > 0));
}

static bool uses_append_only(const dl_delta_metadata *metadata, const dl_delta_change *change)
{
    return is_on(metadata, "delta.appendOnly") && change != NULL && takes_away(change);
}

static bool uses_invariants(const dl_delta_metadata *metadata, const dl_delta_change *change)
{
    (void)change;
    return column_says(metadata, "delta.invariants");
}

static bool uses_constraints(const dl_delta_metadata *metadata, const dl_delta_change *change)
{
    (void)change;
    for (size_t i = 0; i < metadata->configuration.count; i++) {
        if (dl_str_starts_nocase(metadata->configuration.items[i].key,
                                 DL_STR("delta.constraints."))) {
            return true;
        }
    }
    return false;
}

/* Pure inserts need no change files. */
static bool uses_change_feed(const dl_delta_metadata *metadata, const dl_delta_change *change)
{
    return is_on(metadata, "delta.enableChangeDataFeed") && takes_away(change);
}

static bool uses_generated(const dl_delta_metadata *metadata, const dl_delta_change *change)
{
    (void)change;
    return column_says(metadata, "delta.generationExpression");
}

static bool uses_identity(const dl_delta_metadata *metadata, const dl_delta_change *change)
{
    (void)change;
    return column_says(metadata, "delta.identity.start");
}

static bool uses_id_mapping(const dl_delta_metadata *metadata, const dl_delta_change *change)
{
    (void)change;
    return dl_str_eq(dl_delta_configuration(metadata, "delta.columnMapping.mode"), DL_STR("id"));
}

/* clang-format off */
static const feature features[] = {
    /* name                      reader implied by    reading      writing      uses */
    {"appendOnly",               false, 2, 0,         YES,         WHEN_UNUSED, uses_append_only},
    {"invariants",               false, 2, 0,         YES,         WHEN_UNUSED, uses_invariants},
    {"checkConstraints",         false, 3, 0,         YES,         WHEN_UNUSED, uses_constraints},
    {"changeDataFeed",           false, 4, 0,         YES,         WHEN_UNUSED, uses_change_feed},
    {"generatedColumns",         false, 4, 0,         YES,         WHEN_UNUSED, uses_generated},
    {"columnMapping",            true,  5, 2,         YES,         WHEN_UNUSED, uses_id_mapping},
    {"identityColumns",          false, 6, 0,         YES,         WHEN_UNUSED, uses_identity},
    {"deletionVectors",          true,  0, 0,         YES,         YES,         NULL},
    {"timestampNtz",             true,  0, 0,         YES,         YES,         NULL},
    {"v2Checkpoint",             true,  0, 0,         YES,         YES,         NULL},
    {"rowTracking",              false, 0, 0,         YES,         YES,         NULL},
    {"domainMetadata",           false, 0, 0,         YES,         YES,         NULL},
    {"clustering",               false, 0, 0,         YES,         YES,         NULL},
    {"inCommitTimestamp",        false, 0, 0,         YES,         YES,         NULL},
    {"typeWidening",             true,  0, 0,         YES,         YES,         NULL},
    {"typeWidening-preview",     true,  0, 0,         YES,         YES,         NULL},
    {"variantType",              true,  0, 0,         YES,         NO,          NULL},
    {"variantType-preview",      true,  0, 0,         YES,         NO,          NULL},
    {"variantShredding",         true,  0, 0,         NO,          NO,          NULL},
    {"variantShredding-preview", true,  0, 0,         NO,          NO,          NULL},
    {"vacuumProtocolCheck",      true,  0, 0,         YES,         YES,         NULL},
    {"catalogManaged",           true,  0, 0,         NO,          NO,          NULL},
    {"catalogOwned-preview",     true,  0, 0,         NO,          NO,          NULL},
    {"icebergCompatV1",          false, 0, 0,         YES,         NO,          NULL},
    {"icebergCompatV2",          false, 0, 0,         YES,         NO,          NULL},
    {"icebergCompatV3",          false, 0, 0,         YES,         NO,          NULL},
    {"allowColumnDefaults",      false, 0, 0,         YES,         YES,         NULL},
    {"checkpointProtection",     false, 0, 0,         YES,         YES,         NULL},
    {"materializePartitionColumns", false, 0, 0,      YES,         NO,          NULL},
};
/* clang-format on */

static const feature *feature_find(dl_str name)
{
    for (size_t i = 0; i < DL_COUNT_OF(features); i++) {
        if (dl_str_eq(name, dl_str_of(features[i].name))) {
            return &features[i];
        }
    }
    return NULL;
}

static bool names_have(dl_delta_names names, dl_str name)
{
    for (size_t i = 0; i < names.count; i++) {
        if (dl_str_eq(names.items[i], name)) {
            return true;
        }
    }
    return false;
}

bool dl_delta_has_feature(const dl_delta_protocol *protocol, const char *name)
{
    dl_str text = dl_str_of(name);
    const feature *f = feature_find(text);
    if (f != NULL && f->implied > 0 && protocol->min_writer < 7 &&
        protocol->min_writer >= f->implied) {
        return true;
    }
    if (f != NULL && f->implied_reader > 0 && protocol->min_reader < 3 &&
        protocol->min_reader >= f->implied_reader) {
        return true;
    }
    return (protocol->min_writer >= 7 && names_have(protocol->writer_features, text)) ||
           (protocol->min_reader >= 3 && names_have(protocol->reader_features, text));
}

static dl_status refuse(dl_error *err, const char *verb, dl_str name)
{
    dl_error_clear(err);
    dl_status status = dl_error_set(err, DL_E_UNSUPPORTED,
                                    "the table needs the Delta feature '%.*s', with which "
                                    "dicomlake cannot %s it",
                                    DL_STR_ARG(name), verb);
    if (dl_str_starts(name, DL_STR("catalog"))) {
        dl_error_hint(err, "its newest version is known to its catalog only: ask the catalog");
    }
    return status;
}

dl_status dl_delta_check_readable(const dl_delta_protocol *protocol,
                                  const dl_delta_metadata *metadata, dl_error *err)
{
    (void)metadata;
    if (protocol->min_reader < 1 || protocol->min_reader > 3) {
        return dl_error_set(err, DL_E_UNSUPPORTED,
                            "the table needs a Delta reader of version %d; dicomlake knows 1 to 3",
                            protocol->min_reader);
    }
    for (size_t i = 0; protocol->min_reader == 3 && i < protocol->reader_features.count; i++) {
        dl_str name = protocol->reader_features.items[i];
        const feature *f = feature_find(name);
        if (f == NULL || f->reading != YES) {
            return refuse(err, "read", name);
        }
    }
    return DL_OK;
}

static dl_status check_feature(const feature *f, const dl_delta_metadata *metadata,
                               const dl_delta_change *change, dl_error *err)
{
    if (f->writing == YES || (f->writing == WHEN_UNUSED && !f->uses(metadata, change))) {
        return DL_OK;
    }
    if (f->writing == WHEN_UNUSED && f->uses == uses_append_only) {
        return dl_error_set(err, DL_E_UNSUPPORTED,
                            "the table takes appends only (delta.appendOnly is true): rows can be "
                            "neither changed nor deleted");
    }
    return refuse(err, "write", dl_str_of(f->name));
}

dl_status dl_delta_check_writable(const dl_delta_protocol *protocol,
                                  const dl_delta_metadata *metadata, const dl_delta_change *change,
                                  dl_error *err)
{
    DL_TRY(dl_delta_check_readable(protocol, metadata, err));
    if (protocol->min_writer < 1 || protocol->min_writer > 7) {
        return dl_error_set(err, DL_E_UNSUPPORTED,
                            "the table needs a Delta writer of version %d; dicomlake knows 1 to 7",
                            protocol->min_writer);
    }
    for (size_t i = 0; protocol->min_writer == 7 && i < protocol->writer_features.count; i++) {
        dl_str name = protocol->writer_features.items[i];
        const feature *f = feature_find(name);
        if (f == NULL) {
            return refuse(err, "write", name);
        }
        DL_TRY(check_feature(f, metadata, change, err));
    }
    for (size_t i = 0; protocol->min_writer < 7 && i < DL_COUNT_OF(features); i++) {
        if (features[i].implied > 0 && protocol->min_writer >= features[i].implied) {
            DL_TRY(check_feature(&features[i], metadata, change, err));
        }
    }
    return DL_OK;
}

/* ---- intervals ---- */

static bool unit_ms(dl_str unit, int64_t amount, int64_t *out_ms)
{
    static const struct {
        const char *name;
        int64_t us;
    } units[] = {
        {"microsecond", 1},
        {"millisecond", 1000},
        {"second", 1000000},
        {"minute", 60000000},
        {"hour", 3600000000},
        {"day", 86400000000},
        {"week", 7 * (int64_t)86400000000},
    };
    if (unit.len > 1 && (unit.ptr[unit.len - 1] == 's' || unit.ptr[unit.len - 1] == 'S')) {
        unit.len--;
    }
    for (size_t i = 0; i < DL_COUNT_OF(units); i++) {
        int64_t us = 0;
        if (dl_str_eq_nocase(unit, dl_str_of(units[i].name))) {
            if (__builtin_mul_overflow(amount, units[i].us, &us)) {
                return false;
            }
            *out_ms = us / 1000;
            return true;
        }
    }
    return false;
}

static bool next_word(dl_str *rest, dl_str *out_word)
{
    while (dl_str_next(rest, ' ', out_word)) {
        *out_word = dl_str_trim(*out_word);
        if (out_word->len > 0) {
            return true;
        }
    }
    return false;
}

bool dl_delta_interval_ms(dl_str text, int64_t *out_ms)
{
    dl_str rest = dl_str_trim(text), word = DL_STR_NONE;
    int64_t total = 0;
    bool any = false, first = true;
    while (next_word(&rest, &word)) {
        uint64_t amount = 0;
        int64_t part = 0;
        if (first && dl_str_eq_nocase(word, DL_STR("interval"))) {
            first = false;
            continue;
        }
        first = false;
        if (!dl_str_to_u64(word, &amount) || amount > INT64_MAX || !next_word(&rest, &word) ||
            !unit_ms(word, (int64_t)amount, &part) || __builtin_add_overflow(total, part, &total)) {
            return false;
        }
        any = true;
    }
    if (any) {
        *out_ms = total;
    }
    return any;
}
