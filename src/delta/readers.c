/* What other readers make of a table: one matrix.
 *
 * delta-rs 1.6.6, DuckDB 1.5.5 and Spark 4.1 (Delta 4.3) were measured, the rest is what the
 * vendors' pages say; where they say nothing of a feature that a reader has to know, the answer is
 * that it refuses. docs/delta-maintenance.md shows the same. */
#include "delta/maintain.h"

#include <stdio.h>
#include <string.h>

enum { FABRIC, SPARK, DELTA_RS, DUCKDB, TRINO, POWERBI, READER_COUNT };

static const char *const reader_names[READER_COUNT] = {"fabric-sql", "spark", "delta-rs",
                                                       "duckdb",     "trino", "powerbi"};

/* What a table can be. */
enum {
    HAS_DVS,
    MAPS_BY_NAME,
    MAPS_BY_ID,
    MAPS_PARTITIONS,
    HAS_V2_CHECKPOINTS,
    HAS_NTZ,
    HAS_NESTED,
    HAS_VOID,
    HAS_VARIANT,
    SHREDS_VARIANTS,
    WIDENS_TYPES,
    CHECKS_VACUUM,
    IS_CLUSTERED,
    FACT_COUNT,
};

typedef struct rule {
    dl_delta_verdict verdicts[READER_COUNT];
    const char *reason;
    const char *delta_rs; /* reason for that reader; NULL: the same */
} rule;

/* delta-rs reads in two ways, and the older one knows no feature but timestampNtz. */
#define BY_SQL_ONLY ": to_pyarrow_table and to_pyarrow_dataset refuse them, its SQL reads them"

#define R DL_DELTA_READS
#define H DL_DELTA_HIDES
#define X DL_DELTA_REFUSES
/* clang-format off */
static const rule rules[FACT_COUNT] = {
    /*                    fabric spark delta-rs duckdb trino powerbi */
    [HAS_DVS]            = {{R,  R,    X,       R,     R,    R},
        "deletion vectors", "deletion vectors" BY_SQL_ONLY},
    [MAPS_BY_NAME]       = {{R,  R,    X,       R,     R,    R},
        "column mapping by name", "columns mapped by name" BY_SQL_ONLY},
    [MAPS_BY_ID]         = {{X,  R,    X,       R,     R,    X},
        "column mapping by id", "columns mapped by id" BY_SQL_ONLY},
    [MAPS_PARTITIONS]    = {{R,  R,    R,       H,     R,    R},
        "column mapping on a partitioned table: the partition columns come back NULL", NULL},
    [HAS_V2_CHECKPOINTS] = {{X,  R,    X,       R,     R,    X},
        "v2 checkpoints", "v2 checkpoints" BY_SQL_ONLY},
    [HAS_NTZ]            = {{X,  R,    R,       R,     R,    X},
        "timestamps without time zone", NULL},
    [HAS_NESTED]         = {{H,  R,    R,       R,     R,    H},
        "columns of type struct, array or map are left out", NULL},
    [HAS_VOID]           = {{H,  H,    R,       X,     X,    H}, "a column of type void", NULL},
    [HAS_VARIANT]        = {{X,  R,    H,       X,     X,    X},
        "columns of type variant", "columns of type variant: their two binaries are shown"},
    [SHREDS_VARIANTS]    = {{X,  R,    X,       X,     X,    X}, "shredded variants", NULL},
    [WIDENS_TYPES]       = {{X,  R,    X,       R,     R,    X}, "type widening", NULL},
    [CHECKS_VACUUM]      = {{X,  R,    X,       R,     R,    X}, "vacuumProtocolCheck", NULL},
    [IS_CLUSTERED]       = {{R,  R,    R,       R,     R,    R}, "liquid clustering", NULL},
};

/* Reader features that the rules above speak of. */
static const struct {
    const char *feature;
    int fact; /* -1: asked elsewhere */
} known[] = {
    {"deletionVectors",          HAS_DVS},
    {"columnMapping",            -1},
    {"v2Checkpoint",             HAS_V2_CHECKPOINTS},
    {"timestampNtz",             HAS_NTZ},
    {"variantType",              HAS_VARIANT},
    {"variantType-preview",      HAS_VARIANT},
    {"variantShredding",         SHREDS_VARIANTS},
    {"variantShredding-preview", SHREDS_VARIANTS},
    {"typeWidening",             WIDENS_TYPES},
    {"typeWidening-preview",     WIDENS_TYPES},
    {"vacuumProtocolCheck",      CHECKS_VACUUM},
};
/* clang-format on */
#undef R
#undef H
#undef X
#undef BY_SQL_ONLY

const char *dl_delta_reader_name(size_t i)
{
    return i < READER_COUNT ? reader_names[i] : NULL;
}

static int known_feature(dl_str feature)
{
    for (size_t i = 0; i < DL_COUNT_OF(known); i++) {
        if (dl_str_eq(feature, dl_str_of(known[i].feature))) {
            return (int)i;
        }
    }
    return -1;
}

static void note_protocol(const dl_delta_protocol *protocol, bool facts[FACT_COUNT])
{
    for (size_t i = 0; protocol->min_reader >= 3 && i < protocol->reader_features.count; i++) {
        int k = known_feature(protocol->reader_features.items[i]);
        if (k >= 0 && known[k].fact >= 0) {
            facts[known[k].fact] = true;
        }
    }
    facts[IS_CLUSTERED] = dl_delta_has_feature(protocol, "clustering");
}

static void note_mapping(const dl_delta_metadata *metadata, bool facts[FACT_COUNT])
{
    dl_str mode = dl_delta_configuration(metadata, "delta.columnMapping.mode");
    facts[MAPS_BY_NAME] = mode.ptr != NULL && dl_str_eq_nocase(mode, DL_STR("name"));
    facts[MAPS_BY_ID] = mode.ptr != NULL && dl_str_eq_nocase(mode, DL_STR("id"));
    facts[MAPS_PARTITIONS] =
        (facts[MAPS_BY_NAME] || facts[MAPS_BY_ID]) && metadata->partition_columns.count > 0;
}

/* A column's type as the schema spells it; nested ones hold their types in the same words. */
static void note_type(dl_str type_json, bool facts[FACT_COUNT])
{
    static const struct {
        const char *word;
        int fact;
    } words[] = {
        {"\"timestamp_ntz\"", HAS_NTZ}, {"\"void\"", HAS_VOID}, {"\"variant\"", HAS_VARIANT}};
    for (size_t i = 0; i < DL_COUNT_OF(words); i++) {
        if (dl_str_find_str(type_json, dl_str_of(words[i].word)) >= 0) {
            facts[words[i].fact] = true;
        }
    }
    if (dl_str_starts(dl_str_trim(type_json), DL_STR("{"))) {
        facts[HAS_NESTED] = true;
    }
}

static bool find_reader(const char *name, size_t *out_reader)
{
    for (size_t i = 0; i < READER_COUNT; i++) {
        if (strcmp(name, reader_names[i]) == 0) {
            *out_reader = i;
            return true;
        }
    }
    return false;
}

dl_status dl_delta_check_reader(dl_delta_table *table, const char *reader,
                                void (*visit)(void *context, dl_delta_verdict verdict,
                                              const char *reason),
                                void *context, dl_error *err)
{
    size_t at = 0;
    if (!find_reader(reader, &at)) {
        dl_error_set(err, DL_E_INVALID, "nothing is known of the reader %.40s", reader);
        dl_error_hint(err, "known are fabric-sql, spark, delta-rs, duckdb, trino, powerbi");
        return DL_E_INVALID;
    }
    bool facts[FACT_COUNT] = {false};
    const dl_delta_protocol *protocol = dl_delta_protocol_of(table);
    note_protocol(protocol, facts);
    note_mapping(dl_delta_metadata_of(table), facts);
    facts[HAS_DVS] = facts[HAS_DVS] || dl_delta_totals_of(table).dv_count > 0;
    size_t column_count = 0;
    const dl_delta_column *columns = dl_delta_columns(table, &column_count);
    for (size_t i = 0; i < column_count; i++) {
        note_type(columns[i].type_json, facts);
    }
    for (size_t i = 0; i < FACT_COUNT; i++) {
        if (facts[i] && rules[i].verdicts[at] != DL_DELTA_READS) {
            const char *reason = at == DELTA_RS ? rules[i].delta_rs : NULL;
            visit(context, rules[i].verdicts[at], reason != NULL ? reason : rules[i].reason);
        }
    }
    for (size_t i = 0; protocol->min_reader >= 3 && i < protocol->reader_features.count; i++) {
        dl_str feature = protocol->reader_features.items[i];
        if (known_feature(feature) < 0) {
            char reason[160];
            (void)snprintf(reason, sizeof reason, "the reader feature %.*s is not known to it",
                           (int)(feature.len > 100 ? 100 : feature.len), feature.ptr);
            visit(context, DL_DELTA_REFUSES, reason);
        }
    }
    return DL_OK;
}
