/**
 * Lakehouse: tables and files under names of one's own.
 *
 * A lakehouse is one document, HOME/config/lakehouse/NAME.json, readable and diffable:
 *
 *     {"name": "research", "description": "...",
 *      "shortcuts": [{"path": "Tables", "name": "instance",
 *                     "target": {"connection": "lake", "subpath": "/dicom/instance"}},
 *                    {"path": "Files", "name": "contoso-dicom-files",
 *                     "target": {"connection": "lake", "subpath": "/dicom/AHDS"}}]}
 *
 * A shortcut under Tables leads to a Delta table, one under Files to a folder; the target is a
 * connection of the factory (a lake) and a path below it. "home:" (a connection whose URL it is, or
 * the connection's name itself) is this home: /{container}/... are its tables, and
 * /{container}/AHDS its DICOM files.
 *
 * A home without any lakehouse has one all the same, named "home": each table below HOME/tables
 * under the name of its folder, and HOME/files/AHDS, where it is there, as AHDS. It is never
 * written down.
 *
 * The parts:
 *
 *     lakehouse   documents: create, list, show, remove, shortcuts
 *     resolve     shortcuts to folders; what is broken, and why
 *     show        columns, rows, size, version, watermark, freshness
 *     files       list, read below a Files shortcut
 *     cohort      versioned lists of instances; their files
 *     child       a statement in a process of its own, sealed, streamed
 *     routes      the same over HTTP
 *
 * Several processes may work on one home: documents are replaced whole, by rename.
 *
 * Thread: locked where it says so; else pure but for the I/O.
 */
#ifndef DL_LAKEHOUSE_LAKEHOUSE_H
#define DL_LAKEHOUSE_LAKEHOUSE_H

#include "factory/catalog.h"
#include "query/query.h"
#include "json/json.h"

enum {
    DL_LAKEHOUSE_NAME_LIMIT = 140, /* letters, digits, '-' and '_' as the factory's names */
    DL_SHORTCUT_LIMIT = 1000,      /* of a lakehouse */
    DL_SHORTCUT_NAME_LIMIT = 200,  /* UTF-8; no '/', no control characters, not "." or ".." */
    DL_LAKEHOUSE_DOCUMENT_LIMIT_BYTES = 1024 * 1024,
};
#define DL_LAKEHOUSE_HOME "home" /* the one that every home has */

typedef enum dl_shortcut_kind { DL_SHORTCUT_TABLES, DL_SHORTCUT_FILES } dl_shortcut_kind;

typedef struct dl_shortcut {
    dl_shortcut_kind kind;
    dl_str name;       /* unique in its kind without regard to case */
    dl_str connection; /* name of a lake connection, or "home:" */
    dl_str subpath;    /* "/dicom/instance"; "/" for the connection's own folder */
    dl_str other_json, target_other_json; /* members that we do not know; empty: none */
} dl_shortcut;

typedef struct dl_lakehouse {
    dl_str name, description;
    dl_shortcut *shortcuts; /* in the order they were added */
    size_t shortcut_count;
    bool implied;      /* the home's own, not written down */
    dl_str fault;      /* in a list: why the document cannot be read; empty: it can */
    dl_str other_json; /* members that we do not know, as an object; empty: none */
} dl_lakehouse;

/** Texts live in the arena, here and below; names count without regard to case. "home" gives the
 * home's own. Errors: DL_E_NOT_FOUND (hint: what there is), DL_E_INVALID (a document that was
 * edited by hand: JSON path and what is expected). */
DL_NODISCARD dl_status dl_lakehouse_get(dl_factory *factory, dl_str name, dl_arena *arena,
                                        dl_lakehouse *out, dl_error *err);
/** The named one; with an empty name the only one there is, or the home's own. Errors: DL_E_INVALID
 * (several: the hint names them). */
DL_NODISCARD dl_status dl_lakehouse_choose(dl_factory *factory, dl_str name, dl_arena *arena,
                                           dl_lakehouse *out, dl_error *err);
/** By name; a damaged document too, with its fault and nothing else. The home's own when there is
 * no other. */
DL_NODISCARD dl_status dl_lakehouse_list(dl_factory *factory, dl_arena *arena,
                                         dl_lakehouse **out_items, size_t *out_count,
                                         dl_error *err);
/** Whole, as it is given. Errors: DL_E_EXISTS (unless `replace`), DL_E_INVALID (name, "home" among
 * them; a shortcut), DL_E_LIMIT. */
DL_NODISCARD dl_status dl_lakehouse_put(dl_factory *factory, const dl_lakehouse *lakehouse,
                                        bool replace, dl_error *err);
/** The names go; tables, files, cohorts and notebooks stay. Errors: DL_E_NOT_FOUND. */
DL_NODISCARD dl_status dl_lakehouse_remove(dl_factory *factory, dl_str name, dl_error *err);
/** Read, change one shortcut, write, under the home's lock. What it leads to need not be there yet,
 * its connection must. Errors: DL_E_EXISTS, DL_E_NOT_FOUND (lakehouse, connection, shortcut; the
 * hint has names alike), DL_E_INVALID, DL_E_LIMIT. */
DL_NODISCARD dl_status dl_shortcut_add(dl_factory *factory, dl_str lakehouse,
                                       const dl_shortcut *shortcut, dl_error *err);
/** As dl_shortcut_add, but one of that kind and name is replaced, in its place, with what it has
 * beside what we know. `out_new` (may be NULL): there was none. */
DL_NODISCARD dl_status dl_shortcut_put(dl_factory *factory, dl_str lakehouse,
                                       const dl_shortcut *shortcut, bool *out_new, dl_error *err);
DL_NODISCARD dl_status dl_shortcut_remove(dl_factory *factory, dl_str lakehouse,
                                          dl_shortcut_kind kind, dl_str name, dl_error *err);

/** The shortcut of that kind and name, in the lakehouse. Errors: DL_E_NOT_FOUND (hint: names alike,
 * or that the other kind has it). */
DL_NODISCARD dl_status dl_lakehouse_find(const dl_lakehouse *lakehouse, dl_shortcut_kind kind,
                                         dl_str name, const dl_shortcut **out_shortcut,
                                         dl_error *err);

/** Document from JSON and to JSON (canonical: the same lakehouse, the same bytes). Errors:
 * DL_E_INVALID with the JSON path, DL_E_LIMIT. */
DL_NODISCARD dl_status dl_lakehouse_read(dl_str json, dl_arena *arena, dl_lakehouse *out,
                                         dl_error *err);
void dl_lakehouse_write(dl_json_writer *w, const dl_lakehouse *lakehouse);

/* ---- resolve ---- */

typedef struct dl_shortcut_state {
    const dl_shortcut *shortcut;
    dl_str folder; /* absolute; empty when it could not be found out */
    bool broken;
    dl_error why; /* of a broken one, with a hint */
} dl_shortcut_state;

/** Where a shortcut leads and whether that is there: a folder; a Delta table. Cheap: looks for
 * _delta_log and opens nothing. DL_OK also for a broken one. */
DL_NODISCARD dl_status dl_shortcut_resolve(dl_factory *factory, const dl_shortcut *shortcut,
                                           dl_arena *arena, dl_shortcut_state *out, dl_error *err);
/** The test of a shortcut: resolve, and open the table (or list the folder). */
DL_NODISCARD dl_status dl_shortcut_test(dl_factory *factory, const dl_shortcut *shortcut,
                                        dl_arena *arena, dl_shortcut_state *out, dl_error *err);

/** Everything of a lakehouse for dl_query_open: tables (those of one connection and container are
 * one set), roots; broken ones with their cause. Adds to what `out_options` has of limits etc. */
DL_NODISCARD dl_status dl_lakehouse_query_options(dl_factory *factory,
                                                  const dl_lakehouse *lakehouse, dl_arena *arena,
                                                  dl_query_options *out_options, dl_error *err);

/* ---- show ---- */

typedef struct dl_lakehouse_table {
    dl_shortcut_state state;
    const dl_query_field *fields;
    size_t field_count;
    int64_t version, row_count, size_bytes, file_count; /* -1: unknown */
    int64_t changed_us;              /* time of the last commit; 0: unknown, as below */
    int64_t watermark, watermark_us; /* the newest change of the source in it, and its time */
} dl_lakehouse_table;

/** What `lakehouse show` tells of a table, opened once. DL_OK for broken ones too. */
DL_NODISCARD dl_status dl_lakehouse_describe(dl_factory *factory, const dl_shortcut *shortcut,
                                             dl_arena *arena, dl_lakehouse_table *out,
                                             dl_error *err);

/** {"path", "name", "connection", "subpath", "folder", "broken": null or {"status", "message",
 * "hint"}} */
void dl_shortcut_write_state(dl_json_writer *w, const dl_shortcut_state *state);
/** The same with "version", "rows", "sizeBytes", "files", "watermark", "watermarkTime", "changed"
 * (null: unknown) and "columns": [{"name", "type", "attribute", "tag", "partition", "nullable"}].
 */
void dl_lakehouse_write_table(dl_json_writer *w, const dl_lakehouse_table *table);

#endif
