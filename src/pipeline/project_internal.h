/**
 * What the files of the projection share: columns, paths to attributes, bindings.
 */
#ifndef DL_PIPELINE_PROJECT_INTERNAL_H
#define DL_PIPELINE_PROJECT_INTERNAL_H

#include "pipeline/project.h"
#include "json/json.h"

enum {
    DL_PROJECT_PATH_LIMIT = 8,                              /* steps of a configured path */
    DL_PROJECT_NAME_LIMIT_BYTES = 128,                      /* of a configured column */
    DL_PROJECT_INDEX_LIMIT = 65535,                         /* of [n] */
    DL_PROJECT_WANTED_LIMIT = DL_PROJECT_COLUMN_LIMIT + 32, /* attributes that have columns */
};

/** Where a column's value comes from. */
typedef enum dl_project_from {
    DL_PROJECT_PARTITION,
    DL_PROJECT_STUDY_UID,
    DL_PROJECT_SERIES_UID,
    DL_PROJECT_SOP_UID,
    DL_PROJECT_TIME, /* lastModifiedTimestamp */
    DL_PROJECT_CREATED,
    DL_PROJECT_FILE_PATH,
    DL_PROJECT_METADATA,
    DL_PROJECT_METADATA_TEXT,
    DL_PROJECT_FIRST,      /* element 0 of an attribute; `type` says string or date */
    DL_PROJECT_NAME,       /* Alphabetic of element 0 */
    DL_PROJECT_CONFIGURED, /* by `path` */
    DL_PROJECT_SHOWN,      /* series and study: the shown instance's, by `tag` */
    DL_PROJECT_SERIES_COUNT,
    DL_PROJECT_INSTANCE_COUNT,
} dl_project_from;

typedef struct dl_project_path {
    uint32_t tags[DL_PROJECT_PATH_LIMIT];
    size_t count;
    size_t index;          /* of the value, from 0 */
    const char *component; /* of a name; NULL: none */
} dl_project_path;

typedef struct dl_project_column {
    const char *name;
    dl_columnar_type type; /* LIST: array<string>; MAP: the metadata */
    dl_project_from from;
    uint32_t tag;
    bool stats;
    const dl_project_path *path;
} dl_project_column;

typedef struct dl_project_columns {
    const dl_project_column *items;
    size_t count;
} dl_project_columns;

struct dl_project {
    dl_arena *arena;
    dl_pipeline_profile profile;
    dl_project_columns tables[DL_STATE_KINDS];
};

/** The columns of a profile, without configured ones. */
dl_project_columns dl_project_profile(dl_pipeline_profile profile, dl_state_kind kind);
/** "name=Attribute:type" into a column. */
DL_NODISCARD dl_status dl_project_configured(dl_arena *arena, const char *text,
                                             dl_project_column *out_column, dl_error *err);

/* ---- values ---- */

/** Strictly yyyyMMdd, a day that there is. */
bool dl_project_parse_date(dl_str text, int64_t *out_days);
/** Days since 1970 as yyyyMMdd; false outside of years 1 to 9999. */
bool dl_project_format_date(int64_t days, char out[8]);
/** A DICOM DT with at least its day; without an offset it is UTC. */
bool dl_project_parse_time(dl_str text, int64_t *out_time_us);
bool dl_project_parse_long(dl_str text, int64_t *out_value);
bool dl_project_parse_double(dl_str text, double *out_value);
bool dl_project_parse_bool(dl_str text, bool *out_value);
/** Eight hex digits. */
bool dl_project_parse_tag(dl_str text, uint32_t *out_tag);
/** A component of a person name's JSON object; ptr NULL: none. */
DL_NODISCARD dl_status dl_project_component(dl_str object, const char *component, dl_arena *arena,
                                            dl_str *out_text, dl_error *err);
/** What a path leads to, value by value. */
typedef struct dl_project_values {
    const dl_project_path *path;
    const dl_feed_attribute *attribute;
    bool there; /* the attribute has a Value, maybe an empty one */
    size_t at;
    dl_json_iter nested; /* of a path of several steps */
} dl_project_values;
/** `attribute` is that of the first step, or NULL. */
dl_project_values dl_project_follow_all(const dl_project_path *path,
                                        const dl_feed_attribute *attribute);
/** Text of the next value, ptr NULL where it is null or lacks the component. */
DL_NODISCARD dl_status dl_project_values_next(dl_project_values *values, dl_arena *arena,
                                              bool *out_more, dl_str *out_text, dl_error *err);
/** The value that the path means; ptr NULL: none. */
DL_NODISCARD dl_status dl_project_follow(const dl_project_path *path,
                                         const dl_feed_attribute *attribute, dl_arena *arena,
                                         dl_str *out_text, dl_error *err);

/* ---- bindings ---- */

typedef struct dl_project_bound {
    const dl_project_column *column;
    size_t leaf;
    uint8_t def;     /* of a value that is there: 0 where the field is required */
    uint16_t wanted; /* which of the wanted attributes */
} dl_project_bound;

/** A column that is read back. */
typedef enum dl_project_role {
    DL_PROJECT_READ_PARTITION,
    DL_PROJECT_READ_STUDY,
    DL_PROJECT_READ_SERIES,
    DL_PROJECT_READ_SOP,
    DL_PROJECT_READ_TIME,
    DL_PROJECT_READ_CREATED,
    DL_PROJECT_READ_DATE_TEXT,
    DL_PROJECT_READ_DATE,
    DL_PROJECT_READ_DESCRIPTION,
    DL_PROJECT_READ_ISSUER,
    DL_PROJECT_READ_PATIENT_ID,
    DL_PROJECT_READ_PATIENT_NAME,
    DL_PROJECT_READ_MODALITY,
    DL_PROJECT_READ_SERIES_COUNT,
    DL_PROJECT_READ_INSTANCE_COUNT,
    DL_PROJECT_ROLES,
} dl_project_role;

struct dl_project_binding {
    dl_arena *arena;
    const dl_project *project;
    dl_state_kind kind;
    dl_project_bound *bound; /* columns that the files have and we know */
    size_t bound_count;
    size_t *unknown; /* leaves of columns that we do not know */
    size_t unknown_count;
    uint32_t *wanted; /* tags that columns need, ascending */
    size_t wanted_count;
    struct {
        size_t key, vr, element; /* leaves */
        uint8_t entry;           /* level of a map that is there but empty */
        uint8_t value;           /* of an entry whose struct is there */
        uint8_t list;            /* of a Value that is there but empty */
    } metadata;
    dl_str *reads; /* names in the table's spelling, by dl_project_role where they are there */
    size_t read_count;
    int read_at[DL_PROJECT_ROLES];      /* which of `reads`; -1: the table lacks it */
    uint8_t read_def[DL_PROJECT_ROLES]; /* level of a value that is there */
};

#endif
