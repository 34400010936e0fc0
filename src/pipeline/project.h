/**
 * Projection: what rows of the three tables look like, and how a change becomes one.
 *
 * Profiles are tables of columns (name, type, where from); configured columns come after them. A
 * `dl_project` knows the schemas; a binding ties it to the columns that a real table has (by name
 * without case; columns that we do not know get NULL).
 *
 * A binding borrows its dl_project. Configured columns are of the instance table alone.
 *
 * Thread: a dl_project and a binding are immutable after creation; calls with a writer are confined
 * with the writer. Standard: docs/tables.md; PS3.18 annex F for the metadata.
 */
#ifndef DL_PIPELINE_PROJECT_H
#define DL_PIPELINE_PROJECT_H

#include "delta/delta.h"
#include "feed/feed.h"
#include "pipeline/pipeline.h"
#include "pipeline/state.h"

enum { DL_PROJECT_COLUMN_LIMIT = 256 }; /* configured columns */

typedef struct dl_project dl_project;
typedef struct dl_project_binding dl_project_binding;

/**
 * `columns` are texts "name=TagOrKeyword:type" (dl_pipeline_options.columns). The attribute is 8
 * hex digits, a keyword of the dictionary, or a path of them with dots, each step into the first
 * item of a sequence ("RequestAttributesSequence.ScheduledProcedureStepID"), at most 8; the last
 * with an optional component
 * ".Alphabetic" (".Ideographic", ".Phonetic") for names, or [n] for the n-th value, from 1. Types:
 * string (as text), long, double, date (DA), timestamp (DT, UTC), boolean, array<string> (all
 * values). What does not parse is NULL. Of an attribute that is a name by the dictionary,
 * Alphabetic is meant where no component is given. Errors: DL_E_INVALID naming the column and what
 * is wrong with it (name, attribute, type, duplicates).
 */
DL_NODISCARD dl_status dl_project_create(dl_pipeline_profile profile, const char *const *columns,
                                         size_t column_count, dl_project **out_project,
                                         dl_error *err);
void dl_project_destroy(dl_project *project);
DL_DEFINE_AUTO(dl_project)

/** schemaString of a table, with a comment on each column that says where it comes from. */
DL_NODISCARD dl_status dl_project_schema(const dl_project *project, dl_state_kind kind,
                                         dl_arena *arena, dl_str *out_json, dl_error *err);
/** Which profile the columns of an existing instance table are; false: neither. */
bool dl_project_recognise(const dl_delta_column *columns, size_t count,
                          dl_pipeline_profile *out_profile);
/** Columns that statistics are kept for: value of delta.dataSkippingStatsColumns. */
DL_NODISCARD dl_status dl_project_stats_columns(const dl_project *project, dl_state_kind kind,
                                                dl_arena *arena, dl_str *out_text, dl_error *err);

/** Errors: DL_E_INVALID naming a column whose type in the table is another one, or a key column
 * that is not there. */
DL_NODISCARD dl_status dl_project_bind(const dl_project *project, dl_state_kind kind,
                                       const dl_delta_column *columns, size_t column_count,
                                       dl_project_binding **out_binding, dl_error *err);
void dl_project_binding_destroy(dl_project_binding *binding);
DL_DEFINE_AUTO(dl_project_binding)

/** The values of an entry that series and study show. Arena holds them. */
DL_NODISCARD dl_status dl_project_shown(const dl_feed_attribute *attributes, size_t count,
                                        dl_arena *arena, dl_state_shown *out_shown, dl_error *err);

/** A change that becomes a row. */
typedef struct dl_project_change {
    const dl_feed_entry *entry;
    const dl_feed_attribute *attributes;
    size_t attribute_count;
    dl_str compact; /* the metadata as compact text; ptr NULL: none */
    int64_t created_us;
} dl_project_change;
/** Put the row of an instance and end it. */
DL_NODISCARD dl_status dl_project_put_instance(const dl_project_binding *binding,
                                               dl_columnar_writer *writer,
                                               const dl_project_change *change, dl_arena *arena,
                                               dl_error *err);
/** Put the row of a series or study and end it. */
DL_NODISCARD dl_status dl_project_put_row(const dl_project_binding *binding,
                                          dl_columnar_writer *writer, const dl_state_row *row,
                                          dl_error *err);
/** XXH3-64 of what the series or study row says (never 0): equal rows, equal hash. */
uint64_t dl_project_row_hash(dl_state_kind kind, const dl_state_row *row);

/* ---- reading rows back: making the state anew ---- */

/** Names of the columns that reading back needs, in the table's spelling, for dl_delta_scan. */
DL_NODISCARD dl_status dl_project_key_columns(const dl_project_binding *binding, dl_arena *arena,
                                              const dl_str **out_columns, size_t *out_count,
                                              dl_error *err);
/** A row of the instance table. */
typedef struct dl_project_instance {
    dl_state_key key;
    dl_state_instance instance; /* known, timestamp_us, created_us */
    dl_state_shown shown;
} dl_project_instance;
/** Row `row` of a batch that was read with those columns. Text borrows from the batch. Of a series
 * or study: the key and what the row says. A date that the table holds typed comes back as text in
 * the arena (16 bytes a row: one arena a batch). Errors: DL_E_UNSUPPORTED when a key or the
 * timestamp of the row is NULL; naming column and file. */
DL_NODISCARD dl_status dl_project_instance_of(const dl_project_binding *binding,
                                              const dl_delta_batch *batch, size_t row,
                                              dl_arena *arena, dl_project_instance *out_instance,
                                              dl_error *err);
DL_NODISCARD dl_status dl_project_row_of(const dl_project_binding *binding,
                                         const dl_delta_batch *batch, size_t row, dl_arena *arena,
                                         dl_state_row *out_row, dl_error *err);

#endif
