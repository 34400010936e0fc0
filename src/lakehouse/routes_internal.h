/**
 * What the files of the routes share: values, bodies, one request.
 */
#ifndef DL_LAKEHOUSE_ROUTES_INTERNAL_H
#define DL_LAKEHOUSE_ROUTES_INTERNAL_H

#include "http/api.h"
#include "lakehouse/routes.h"

/** What a request may say, in its query or as members of its JSON body: one table (routes.c). */
enum {
    DL_LAKE_VALUE_LIMIT,
    DL_LAKE_VALUE_TOKEN,
    DL_LAKE_VALUE_CONNECTION,
    DL_LAKE_VALUE_SUBPATH,
    DL_LAKE_VALUE_STATEMENT,
    DL_LAKE_VALUE_FORMAT,
    DL_LAKE_VALUE_TIMEOUT,
    DL_LAKE_VALUE_ROWS,
    DL_LAKE_VALUE_AT,
    DL_LAKE_VALUE_VERSION,
    DL_LAKE_VALUE_PARAMETERS,
    DL_LAKE_VALUES,
};

/** Kinds of bodies: indexes into the table of routes.c. */
enum {
    DL_LAKE_BODY_NONE,
    DL_LAKE_BODY_VALUES,
    DL_LAKE_BODY_STATEMENT, /* values, one of which may be large */
    DL_LAKE_BODY_SHORTCUT,  /* values of a PUT */
    DL_LAKE_BODY_DOCUMENT,
    DL_LAKE_BODY_NOTEBOOK,
    DL_LAKE_BODIES,
};

enum {
    DL_LAKE_TIMEOUT_SECONDS = 60, /* of a statement that says none */
    DL_LAKE_TIMEOUT_LIMIT_SECONDS = 24 * 60 * 60,
    DL_LAKE_TEXT_LIMIT = 1000, /* characters of a text that is shown */
    /* JSON may spell each byte of a statement as \u0000. */
    DL_LAKE_STATEMENT_BODY_BYTES = 6 * DL_QUERY_STATEMENT_LIMIT_BYTES + 64 * 1024,
};

struct dl_lakehouse_routes {
    dl_lakehouse_routes_options options;
    dl_api api;
    dl_api_mount mount;
};

const dl_api_route *dl_lake_route_table(size_t *out_count);
const dl_api_schema *dl_lake_schemas(size_t *out_count);
/** Media types of rows, ended by NULL. */
const char *const *dl_lake_row_types(void);

static inline dl_factory *dl_lake_factory(const dl_api_request *r)
{
    return ((const dl_lakehouse_routes *)r->context)->options.factory;
}
static inline dl_children *dl_lake_children(const dl_api_request *r)
{
    return ((const dl_lakehouse_routes *)r->context)->options.children;
}

/** The lakehouse of the path. Errors: DL_E_NOT_FOUND. */
DL_NODISCARD dl_status dl_lake_of(dl_api_request *r, dl_lakehouse *out, dl_error *err);
/** A key and its text, or null when it is empty. */
void dl_lake_put_text(dl_json_writer *w, const char *key, dl_str text);
void dl_lake_put_time(dl_json_writer *w, const char *key, int64_t time_us);

/** What a failed statement is told its asker: the words, and the place in it. Nothing of it is
 * logged. */
void dl_lake_refuse_statement(dl_api_request *r, const dl_error *cause,
                              const dl_query_place *place);
/** What a child gives, from its beginning to its end, as the answer. Takes the child. */
DL_NODISCARD dl_status dl_lake_stream(dl_api_request *r, dl_child *take_child, unsigned status,
                                      const char *type, dl_error *err);
/** Start a child for the request: dead when its client is. DL_OK with NULL: it has been answered
 * why not. */
DL_NODISCARD dl_status dl_lake_start(dl_api_request *r, dl_child_options *options,
                                     dl_child **out_child, dl_error *err);

/* routes_documents.c */
dl_api_handler dl_lake_list, dl_lake_get, dl_lake_put, dl_lake_delete, dl_lake_shortcuts,
    dl_lake_shortcut_get, dl_lake_shortcut_put, dl_lake_shortcut_delete, dl_lake_shortcut_test,
    dl_lake_tables, dl_lake_table_get;
/* routes_sql.c */
dl_api_handler dl_lake_sql, dl_lake_complete, dl_lake_statements, dl_lake_cancel;
/* routes_files.c */
dl_api_handler dl_lake_files_get, dl_lake_file_get;
/* routes_cohorts.c */
dl_api_handler dl_lake_cohorts, dl_lake_cohort_get, dl_lake_cohort_put, dl_lake_cohort_delete,
    dl_lake_cohort_instances;
/* routes_notebooks.c */
dl_api_handler dl_lake_notebooks, dl_lake_notebook_get, dl_lake_notebook_put,
    dl_lake_notebook_delete, dl_lake_notebook_run;

#endif
