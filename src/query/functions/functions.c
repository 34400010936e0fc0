/* The functions of our own: one table, put into each session. */
#include "query/functions/functions.h"

#include "base/mem.h"
#include "base/sanitize.h"
#include "columnar/columnar.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    WORDS_SIZE = 640,
};

static const dl_function *const all[] = {
    &dl_function_dicom_value, &dl_function_dicom_values,    &dl_function_dicom_name,
    &dl_function_dicom_date,  &dl_function_dicom_time,      &dl_function_dicom_datetime,
    &dl_function_file_url,    &dl_function_dicom_age_years, &dl_function_dicom_tags,
};

/* In FROM it is a table; the function behind it is nobody's to call. */
static const char tags_macro[] =
    "CREATE MACRO dicom_tags(file_path) AS TABLE "
    "SELECT unnest(dl_dicom_tags(CAST(file_path AS VARCHAR)), recursive := true)";

/* ---- life ---- */

dl_status dl_functions_create(const dl_query_options *options, dl_functions **out_functions,
                              dl_error *err)
{
    DL_AUTO(dl_functions) f = dl_mem_zalloc(1, sizeof *f);
    if (f == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "functions: out of memory");
    }
    DL_TRY(dl_roots_create(options->roots, options->root_count, &f->roots, err));
    f->cancel = options->cancel;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    f->threads = options->limits.threads != 0 ? options->limits.threads
                 : processors > 0             ? (unsigned)processors
                                              : 1;
    f->threads = f->threads > DL_FUNCTIONS_THREAD_LIMIT ? DL_FUNCTIONS_THREAD_LIMIT : f->threads;
    *out_functions = DL_STEAL(f);
    return DL_OK;
}

void dl_functions_destroy(dl_functions *functions)
{
    if (functions == NULL) {
        return;
    }
    dl_roots_destroy(functions->roots);
    dl_mem_free(functions);
}

/* ---- registering ---- */

static duckdb_logical_type list_of(const dl_engine_api *api, duckdb_logical_type item)
{
    duckdb_logical_type list = api->create_list_type(item);
    api->destroy_logical_type(&item);
    return list;
}

static duckdb_logical_type type_of_result(const dl_engine_api *api, dl_function_result result)
{
    switch (result) {
    case DL_FUNCTION_TEXT:
        return api->create_logical_type(DUCKDB_TYPE_VARCHAR);
    case DL_FUNCTION_TEXTS:
        return list_of(api, api->create_logical_type(DUCKDB_TYPE_VARCHAR));
    case DL_FUNCTION_DATE:
        return api->create_logical_type(DUCKDB_TYPE_DATE);
    case DL_FUNCTION_TIME:
        return api->create_logical_type(DUCKDB_TYPE_TIME);
    case DL_FUNCTION_TIMESTAMP:
        return api->create_logical_type(DUCKDB_TYPE_TIMESTAMP_TZ);
    case DL_FUNCTION_TAGS:
        return dl_function_tags_type(api);
    case DL_FUNCTION_DOUBLE:
        break;
    }
    return api->create_logical_type(DUCKDB_TYPE_DOUBLE);
}

static dl_status register_one(dl_functions *f, dl_engine *engine, const dl_function *function,
                              dl_error *err)
{
    const dl_engine_api *api = f->api;
    duckdb_scalar_function made = api->create_scalar_function();
    if (made == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "functions: out of memory");
    }
    api->scalar_function_set_name(made, function->name);
    for (size_t i = 0;
         i < DL_COUNT_OF(function->parameters) && function->parameters[i] != DUCKDB_TYPE_INVALID;
         i++) {
        duckdb_logical_type type = api->create_logical_type(function->parameters[i]);
        api->scalar_function_add_parameter(made, type);
        api->destroy_logical_type(&type);
    }
    duckdb_logical_type result = type_of_result(api, function->result);
    api->scalar_function_set_return_type(made, result);
    api->destroy_logical_type(&result);
    api->scalar_function_set_extra_info(made, f, NULL);
    if (function->bind != NULL) {
        api->scalar_function_set_bind(made, function->bind);
    }
    api->scalar_function_set_special_handling(made);
    api->scalar_function_set_function(made, function->run);
    duckdb_state state = api->register_scalar_function(engine->connection, made);
    api->destroy_scalar_function(&made);
    if (state != DuckDBSuccess) {
        return dl_error_set(err, DL_E_UNAVAILABLE, "functions: libduckdb refuses %s",
                            function->name);
    }
    return DL_OK;
}

dl_status dl_functions_register(dl_functions *functions, dl_engine *engine, dl_error *err)
{
    functions->api = &engine->api;
    for (size_t i = 0; i < DL_COUNT_OF(all); i++) {
        DL_TRY(register_one(functions, engine, all[i], err));
    }
    DL_TRY(dl_engine_exec(engine, dl_str_of(tags_macro), err));
    DL_SANITIZE_HAND_OVER(functions);
    return dl_functions_register_spark(functions, engine, err);
}

const char *dl_functions_name(size_t i)
{
    if (i >= DL_COUNT_OF(all)) {
        return NULL;
    }
    return all[i] == &dl_function_dicom_tags ? "dicom_tags" : all[i]->name;
}

/* ---- inside callbacks ---- */

/* A callback is told nothing but `info`, and asking that needs a call of the library, which is
 * known by name alone: one look-up for each chunk of rows. */
static void *library_call(const char *name)
{
    void *library = dl_columnar_library(NULL);
    void *symbol = library == NULL ? NULL : dlsym(library, name);
    DL_ASSERT(symbol != NULL);
    return symbol;
}

const dl_functions *dl_functions_of(duckdb_function_info info)
{
    void *symbol = library_call("duckdb_scalar_function_get_extra_info");
    __typeof__(duckdb_scalar_function_get_extra_info) *call = NULL;
    memcpy(&call, &symbol, sizeof symbol);
    const dl_functions *functions = call(info);
    DL_SANITIZE_TAKE_OVER(functions); /* and what was bound for the statement */
    return functions;
}

const dl_functions *dl_functions_of_bind(duckdb_bind_info info)
{
    void *symbol = library_call("duckdb_scalar_function_bind_get_extra_info");
    __typeof__(duckdb_scalar_function_bind_get_extra_info) *call = NULL;
    memcpy(&call, &symbol, sizeof symbol);
    return call(info);
}

static void unref(void *data)
{
    dl_function_bound *bound = data;
    if (atomic_fetch_sub(&bound->references, 1) == 1) {
        if (bound->clear != NULL) {
            bound->clear(bound);
        }
        dl_mem_free(bound);
    }
}

static void *copy_bound(void *data)
{
    dl_function_bound *bound = data;
    (void)atomic_fetch_add(&bound->references, 1);
    return bound;
}

void dl_function_bind(const dl_functions *functions, duckdb_bind_info info,
                      dl_function_bound *bound)
{
    atomic_init(&bound->references, 1);
    DL_SANITIZE_HAND_OVER(functions);
    functions->api->scalar_function_set_bind_data(info, bound, unref);
    functions->api->scalar_function_set_bind_data_copy(info, copy_bound);
}

static dl_status fold(const dl_engine_api *api, duckdb_bind_info info, duckdb_expression expression,
                      dl_arena *arena, dl_str *out_text, dl_error *err)
{
    duckdb_client_context context = NULL;
    duckdb_value value = NULL;
    api->scalar_function_get_client_context(info, &context);
    duckdb_error_data failed = api->expression_fold(context, expression, &value);
    dl_status status = DL_OK;
    if (api->error_data_has_error(failed)) {
        status = dl_error_set(err, DL_E_INVALID, "an argument that cannot be computed");
    } else if (value == NULL || api->is_null_value(value)) {
        *out_text = DL_STR_NONE;
    } else {
        char *text = api->get_varchar(value);
        status = dl_arena_copy(arena, dl_str_of(text), out_text, err);
        api->free(text);
    }
    api->destroy_error_data(&failed);
    if (value != NULL) {
        api->destroy_value(&value);
    }
    api->destroy_client_context(&context);
    return status;
}

/* NOLINTNEXTLINE(readability-function-size): the interface's parameters */
dl_status dl_function_constant(const dl_functions *functions, duckdb_bind_info info,
                               size_t argument, dl_arena *arena, bool *out_constant,
                               dl_str *out_text, dl_error *err)
{
    const dl_engine_api *api = functions->api;
    duckdb_expression expression = api->scalar_function_bind_get_argument(info, argument);
    *out_constant = api->expression_is_foldable(expression);
    *out_text = DL_STR_NONE;
    dl_status status = DL_OK;
    if (*out_constant) {
        status = fold(api, info, expression, arena, out_text, err);
    }
    api->destroy_expression(&expression);
    return status;
}

void dl_function_refuse(const dl_functions *functions, duckdb_bind_info info, const char *name,
                        const dl_error *err)
{
    char words[WORDS_SIZE];
    (void)snprintf(words, sizeof words, "%s: %s%s%s", name, err->message,
                   err->hint[0] != '\0' ? "; " : "", err->hint);
    functions->api->scalar_function_bind_set_error(info, words);
}

dl_function_texts dl_function_texts_of(const dl_functions *functions, duckdb_vector vector)
{
    return (dl_function_texts){functions->api->vector_get_data(vector),
                               functions->api->vector_get_validity(vector)};
}

void dl_function_put_null(const dl_functions *functions, duckdb_vector vector, size_t row)
{
    functions->api->vector_ensure_validity_writable(vector);
    uint64_t *validity = functions->api->vector_get_validity(vector);
    validity[row / 64] &= ~((uint64_t)1 << (row % 64));
}
