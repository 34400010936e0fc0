/**
 * Document: linked services, pipelines and triggers as JSON in Data Factory's shape.
 *
 * A document is text; the structures below are what we understand of it. Reading is strict where it
 * matters (what would change what a run does) and tells, but keeps, what it does not understand:
 * `unknown` lists JSON paths. Writing gives canonical text: the same structure, the same bytes,
 * what was not understood kept. Secrets stand by reference only:
 * {"type":"Environment","name":"X"}, {"type":"File","path":"/run/secrets/x"}.
 *
 *     linked service  {"name", "properties": {"type": "RestService" | "AzureBlobFS" | "FileServer"
 * | "DicomLake...", "description", "typeProperties": {"url", "authenticationType", "aadResourceId",
 * ...}}} pipeline        {"name", "properties": {"description", "activities": [...], "parameters":
 *                     {"BatchSize": {"type": "int", "defaultValue": 200}, ...}, "annotations",
 *                     "template", references to the two linked services}}
 *     trigger         {"name", "properties": {"type": "TumblingWindowTrigger" | "ScheduleTrigger" |
 *                     "ManualTrigger" | "ChangeTrigger", "pipeline": {"pipelineReference",
 * "parameters"}, "typeProperties": {...}, "runtimeState"}}
 *
 * All texts live in the arena given. Pure.
 */
#ifndef DL_FACTORY_DOCUMENT_H
#define DL_FACTORY_DOCUMENT_H

#include "base/buf.h"
#include "factory/calendar.h"
#include "factory/factory.h"
#include "pipeline/pipeline.h"

typedef enum dl_factory_kind {
    DL_FACTORY_CONNECTION, /* linkedService */
    DL_FACTORY_PIPELINE,   /* pipeline */
    DL_FACTORY_TRIGGER,    /* trigger */
} dl_factory_kind;
enum {
    DL_FACTORY_KINDS = 3,
    DL_FACTORY_PARAMETER_LIMIT = 50, /* Data Factory's own bound */
    DL_FACTORY_UNKNOWN_LIMIT = 64,
    DL_FACTORY_DEPENDENCY_LIMIT = 5, /* Data Factory's own bound */
    DL_FACTORY_CONCURRENCY_LIMIT = 50,
};

/** What was not understood: paths such as "properties.activities[3]". */
typedef struct dl_factory_unknown {
    dl_str paths[DL_FACTORY_UNKNOWN_LIMIT];
    size_t count; /* may exceed the limit: so many there were */
} dl_factory_unknown;

/* ---- connections ---- */

typedef enum dl_factory_connection_type {
    DL_FACTORY_DICOM,
    DL_FACTORY_LAKE
} dl_factory_connection_type;
typedef enum dl_factory_auth {
    DL_FACTORY_AUTH_ANONYMOUS,
    DL_FACTORY_AUTH_TOKEN,            /* bearer, from the secret */
    DL_FACTORY_AUTH_MANAGED_IDENTITY, /* kept in documents; not usable yet: probe says so */
} dl_factory_auth;
typedef enum dl_factory_secret_kind {
    DL_FACTORY_SECRET_NONE,
    DL_FACTORY_SECRET_ENVIRONMENT,
    DL_FACTORY_SECRET_FILE,
} dl_factory_secret_kind;

typedef struct dl_factory_connection {
    dl_str name, description;
    dl_factory_connection_type type;
    dl_str url; /* dicom: http(s)://... or "home:"; lake: a folder, "home:", later abfss:// s3:// */
    dl_factory_auth auth;
    dl_str resource; /* default https://dicom.healthcareapis.azure.com */
    dl_factory_secret_kind secret_kind;
    dl_str secret; /* name of the variable or path of the file; never the secret */
} dl_factory_connection;

/* ---- pipelines ---- */

typedef struct dl_factory_parameter {
    dl_str name, type; /* "string", "int", "float", "bool", "secureString" ... */
    dl_str value;      /* text; may be an expression in a trigger; ptr NULL: none */
} dl_factory_parameter;

typedef struct dl_factory_pipeline {
    dl_str name, description;
    dl_str template_id; /* "copy-dicom-metadata-changes" */
    dl_str revision;    /* "r1".."r4": which of the public template it came from */
    dl_pipeline_profile profile;
    dl_str dicom, lake;                                          /* names of connections */
    dl_factory_parameter parameters[DL_FACTORY_PARAMETER_LIMIT]; /* with defaults */
    size_t parameter_count;
    bool compat, require_file_path; /* mode of tables that are made; rule 3 of docs/tables.md */
    dl_str columns[64];             /* "name=TagOrKeyword:type" */
    size_t column_count;
    unsigned retry_count, retry_interval_s; /* of the activity's policy */
    unsigned timeout_s;                     /* 0: 12 hours, Data Factory's default */
} dl_factory_pipeline;

/* ---- triggers ---- */

typedef enum dl_factory_trigger_type {
    DL_FACTORY_TUMBLING,
    DL_FACTORY_SCHEDULE,
    DL_FACTORY_MANUAL,
    DL_FACTORY_ON_CHANGE,
} dl_factory_trigger_type;

typedef struct dl_factory_dependency {
    dl_str trigger;             /* tumbling; may be the trigger itself with a negative offset */
    int64_t offset_us, size_us; /* size 0: that of the window */
} dl_factory_dependency;

typedef struct dl_factory_trigger {
    dl_str name, description, pipeline;
    dl_factory_trigger_type type;
    bool started; /* runtimeState that publishing gives it */
    dl_factory_parameter parameters[DL_FACTORY_PARAMETER_LIMIT]; /* run parameters */
    size_t parameter_count;
    /* tumbling: frequency minute, hour, day (as 24 hours) or month */
    dl_calendar_frequency frequency;
    uint32_t interval;
    int64_t start_us, end_us; /* INT64_MAX: none */
    int64_t delay_us;
    unsigned max_concurrency, retry_count, retry_interval_s; /* 1..50, default 50 as there; 0; 30 */
    dl_factory_dependency dependencies[DL_FACTORY_DEPENDENCY_LIMIT];
    size_t dependency_count;
    /* schedule */
    dl_calendar_recurrence recurrence;
    dl_str time_zone; /* that of the recurrence, as it was written; empty: UTC */
    /* on change: the least time between two runs */
    int64_t quiet_us;
} dl_factory_trigger;

/** Read a document of any kind; `unknown` may be NULL. Errors: DL_E_INVALID with the JSON path and
 * what is expected there; DL_E_LIMIT. Expressions are checked too. */
DL_NODISCARD dl_status dl_factory_read_connection(dl_str json, dl_arena *arena,
                                                  dl_factory_connection *out,
                                                  dl_factory_unknown *unknown, dl_error *err);
DL_NODISCARD dl_status dl_factory_read_pipeline(dl_str json, dl_arena *arena,
                                                dl_factory_pipeline *out,
                                                dl_factory_unknown *unknown, dl_error *err);
DL_NODISCARD dl_status dl_factory_read_trigger(dl_str json, dl_arena *arena,
                                               dl_factory_trigger *out, dl_factory_unknown *unknown,
                                               dl_error *err);
/** Write; `original` (may be empty) is a document whose members that we do not understand are kept.
 */
DL_NODISCARD dl_status dl_factory_write_connection(const dl_factory_connection *connection,
                                                   dl_str original, dl_buf *out, dl_error *err);
DL_NODISCARD dl_status dl_factory_write_pipeline(const dl_factory_pipeline *pipeline,
                                                 dl_str original, dl_buf *out, dl_error *err);
DL_NODISCARD dl_status dl_factory_write_trigger(const dl_factory_trigger *trigger, dl_str original,
                                                dl_buf *out, dl_error *err);
/** The parameters of a run as the engine takes them, from values without expressions. Errors:
 * DL_E_INVALID, DL_E_NOT_FOUND (unknown name, hint lists them). */
DL_NODISCARD dl_status dl_factory_parameters(const dl_factory_parameter *parameters, size_t count,
                                             dl_pipeline_parameters *out, dl_error *err);

#endif
