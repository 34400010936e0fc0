/**
 * A writer that remembers its entries as text, tables' columns out of short words, and rows put
 * into both.
 *
 * An entry is "rep=value" or "rep~def" for NULL; those of a leaf stand in one text, with blanks.
 */
#ifndef DL_TESTS_PIPELINE_PROJECT_RIG_H
#define DL_TESTS_PIPELINE_PROJECT_RIG_H

#include "pipeline/project_internal.h"

#include "tap.h"

enum { RECORD_LEAVES = 400, RECORD_LIMIT_BYTES = 8 * 1024 * 1024 };

struct dl_columnar_writer {
    dl_buf leaves[RECORD_LEAVES];
    int64_t rows;
    size_t leaf_count; /* that must have entries when a row ends */
};

void record_init(dl_columnar_writer *w, size_t leaf_count);
void record_clear(dl_columnar_writer *w);
dl_str record_text(const dl_columnar_writer *w, size_t leaf);

/* ---- columns ---- */

/** "name type" with type string, long, int, double, date, timestamp, boolean, list, map, swapped;
 * behind it "!" for NOT NULL, "/" for a partition column. */
dl_delta_column column_of(const char *text);

/* What the tables must be: spec of the template. */
extern const char *const r4[36], *const r2[13], *const series_table[11], *const study_table[10];

typedef struct list {
    const char *const *texts;
    size_t count;
} list;
#define LIST(array) ((list){(array), DL_COUNT_OF(array)})

/* ---- rows ---- */

enum { COLUMNS = 350 };

/** A project, a table's columns, a binding and a writer. */
typedef struct rig {
    dl_arena *arena;
    dl_project *project;
    dl_project_binding *binding;
    dl_columnar_writer *writer;
    dl_delta_column columns[COLUMNS];
    size_t count;
    size_t leaves[COLUMNS];
} rig;

void rig_open(rig *r, dl_pipeline_profile profile, dl_state_kind kind, list table, list configured);
void rig_close(rig *r);
/** Other columns for the same project; the writer has been cleared. */
void rig_columns(rig *r, list table);
/** What the writer has of a column. */
dl_str rig_text(const rig *r, const char *column);

extern const dl_feed_entry entry_a;
dl_status rig_put(rig *r, const dl_feed_entry *entry, dl_str metadata, dl_error *err);

/** DICOM JSON of one attribute. */
#define ONE(tag, vr, values) "{\"" tag "\":{\"vr\":\"" vr "\",\"Value\":[" values "]}}"

/** ... of a sequence of two items, with another below. */
#define NESTED                                                                                     \
    "{\"00400275\":{\"vr\":\"SQ\",\"Value\":[{\"00400009\":{\"vr\":\"SH\",\"Value\":[\"S\\n1\"]}," \
    "\"0040A730\":{\"vr\":\"SQ\",\"Value\":[{\"00081070\":{\"vr\":\"PN\",\"Value\":[{"             \
    "\"Alphabetic\":\"A\",\"Phonetic\":\"Ph\"},null,{\"Alphabetic\":\"B\"}]}}]}},"                 \
    "{\"00400009\":{\"vr\":\"SH\",\"Value\":[\"S2\"]}}]}}"

#endif
