/**
 * Engine: libduckdb as this module uses it: the calls by name, one database in memory with its
 * limits, and its errors in our words.
 *
 * Thread: confined, but for dl_engine_interrupt (any thread).
 */
#ifndef DL_QUERY_ENGINE_H
#define DL_QUERY_ENGINE_H

#include "query/query.h"

#include <duckdb.h>

/* The functions that we use: duckdb_NAME, in duckdb.h's order. */
#define DL_ENGINE_FUNCTIONS(X)                                                                     \
    X(open_ext)                                                                                    \
    X(close)                                                                                       \
    X(connect)                                                                                     \
    X(interrupt)                                                                                   \
    X(query_progress)                                                                              \
    X(disconnect)                                                                                  \
    X(connection_get_arrow_options)                                                                \
    X(client_context_get_connection_id)                                                            \
    X(destroy_client_context)                                                                      \
    X(destroy_arrow_options)                                                                       \
    X(library_version)                                                                             \
    X(create_config)                                                                               \
    X(set_config)                                                                                  \
    X(destroy_config)                                                                              \
    X(destroy_error_data)                                                                          \
    X(error_data_error_type)                                                                       \
    X(error_data_message)                                                                          \
    X(error_data_has_error)                                                                        \
    X(query)                                                                                       \
    X(destroy_result)                                                                              \
    X(column_name)                                                                                 \
    X(column_logical_type)                                                                         \
    X(column_count)                                                                                \
    X(result_error)                                                                                \
    X(result_error_type)                                                                           \
    X(result_return_type)                                                                          \
    X(malloc)                                                                                      \
    X(free)                                                                                        \
    X(vector_size)                                                                                 \
    X(prepare)                                                                                     \
    X(destroy_prepare)                                                                             \
    X(prepare_error)                                                                               \
    X(nparams)                                                                                     \
    X(prepared_statement_type)                                                                     \
    X(prepared_statement_column_count)                                                             \
    X(prepared_statement_column_name)                                                              \
    X(prepared_statement_column_logical_type)                                                      \
    X(bind_int64)                                                                                  \
    X(bind_varchar_length)                                                                         \
    X(bind_null)                                                                                   \
    X(execute_prepared)                                                                            \
    X(extract_statements)                                                                          \
    X(prepare_extracted_statement)                                                                 \
    X(extract_statements_error)                                                                    \
    X(destroy_extracted)                                                                           \
    X(pending_prepared_streaming)                                                                  \
    X(destroy_pending)                                                                             \
    X(pending_error)                                                                               \
    X(pending_execute_task)                                                                        \
    X(execute_pending)                                                                             \
    X(destroy_value)                                                                               \
    X(create_varchar_length)                                                                       \
    X(create_bool)                                                                                 \
    X(create_hugeint)                                                                              \
    X(create_uhugeint)                                                                             \
    X(create_bignum)                                                                               \
    X(create_decimal)                                                                              \
    X(create_float)                                                                                \
    X(create_double)                                                                               \
    X(create_date)                                                                                 \
    X(create_time)                                                                                 \
    X(create_time_tz_value)                                                                        \
    X(create_timestamp)                                                                            \
    X(create_timestamp_tz)                                                                         \
    X(create_interval)                                                                             \
    X(create_bit)                                                                                  \
    X(create_uuid)                                                                                 \
    X(get_bool)                                                                                    \
    X(get_int64)                                                                                   \
    X(get_varchar)                                                                                 \
    X(is_null_value)                                                                               \
    X(get_list_size)                                                                               \
    X(get_list_child)                                                                              \
    X(create_logical_type)                                                                         \
    X(logical_type_get_alias)                                                                      \
    X(create_list_type)                                                                            \
    X(create_map_type)                                                                             \
    X(create_struct_type)                                                                          \
    X(create_decimal_type)                                                                         \
    X(get_type_id)                                                                                 \
    X(decimal_width)                                                                               \
    X(decimal_scale)                                                                               \
    X(decimal_internal_type)                                                                       \
    X(enum_internal_type)                                                                          \
    X(enum_dictionary_size)                                                                        \
    X(enum_dictionary_value)                                                                       \
    X(list_type_child_type)                                                                        \
    X(array_type_child_type)                                                                       \
    X(array_type_array_size)                                                                       \
    X(map_type_key_type)                                                                           \
    X(map_type_value_type)                                                                         \
    X(struct_type_child_count)                                                                     \
    X(struct_type_child_name)                                                                      \
    X(struct_type_child_type)                                                                      \
    X(union_type_member_count)                                                                     \
    X(union_type_member_name)                                                                      \
    X(union_type_member_type)                                                                      \
    X(destroy_logical_type)                                                                        \
    X(create_data_chunk)                                                                           \
    X(destroy_data_chunk)                                                                          \
    X(data_chunk_reset)                                                                            \
    X(data_chunk_get_column_count)                                                                 \
    X(data_chunk_get_vector)                                                                       \
    X(data_chunk_get_size)                                                                         \
    X(data_chunk_set_size)                                                                         \
    X(vector_get_column_type)                                                                      \
    X(vector_get_data)                                                                             \
    X(vector_get_validity)                                                                         \
    X(vector_ensure_validity_writable)                                                             \
    X(vector_assign_string_element_len)                                                            \
    X(unsafe_vector_assign_string_element_len)                                                     \
    X(list_vector_get_child)                                                                       \
    X(list_vector_get_size)                                                                        \
    X(list_vector_set_size)                                                                        \
    X(list_vector_reserve)                                                                         \
    X(struct_vector_get_child)                                                                     \
    X(array_vector_get_child)                                                                      \
    X(validity_row_is_valid)                                                                       \
    X(validity_set_row_invalid)                                                                    \
    X(validity_set_row_valid)                                                                      \
    X(vector_reference_vector)                                                                     \
    X(create_scalar_function)                                                                      \
    X(destroy_scalar_function)                                                                     \
    X(scalar_function_set_name)                                                                    \
    X(scalar_function_set_varargs)                                                                 \
    X(scalar_function_set_special_handling)                                                        \
    X(scalar_function_set_volatile)                                                                \
    X(scalar_function_add_parameter)                                                               \
    X(scalar_function_set_return_type)                                                             \
    X(scalar_function_set_extra_info)                                                              \
    X(scalar_function_set_bind)                                                                    \
    X(scalar_function_set_bind_data)                                                               \
    X(scalar_function_set_bind_data_copy)                                                          \
    X(scalar_function_bind_set_error)                                                              \
    X(scalar_function_set_function)                                                                \
    X(register_scalar_function)                                                                    \
    X(scalar_function_get_extra_info)                                                              \
    X(scalar_function_bind_get_extra_info)                                                         \
    X(scalar_function_get_bind_data)                                                               \
    X(scalar_function_get_client_context)                                                          \
    X(scalar_function_set_error)                                                                   \
    X(create_scalar_function_set)                                                                  \
    X(destroy_scalar_function_set)                                                                 \
    X(add_scalar_function_to_set)                                                                  \
    X(register_scalar_function_set)                                                                \
    X(scalar_function_bind_get_argument_count)                                                     \
    X(scalar_function_bind_get_argument)                                                           \
    X(scalar_function_get_state)                                                                   \
    X(scalar_function_set_init)                                                                    \
    X(create_table_function)                                                                       \
    X(destroy_table_function)                                                                      \
    X(table_function_set_name)                                                                     \
    X(table_function_add_parameter)                                                                \
    X(table_function_add_named_parameter)                                                          \
    X(table_function_set_extra_info)                                                               \
    X(table_function_set_bind)                                                                     \
    X(table_function_set_init)                                                                     \
    X(table_function_set_local_init)                                                               \
    X(table_function_set_function)                                                                 \
    X(table_function_supports_projection_pushdown)                                                 \
    X(register_table_function)                                                                     \
    X(bind_get_extra_info)                                                                         \
    X(bind_add_result_column)                                                                      \
    X(bind_get_parameter_count)                                                                    \
    X(bind_get_parameter)                                                                          \
    X(bind_get_named_parameter)                                                                    \
    X(bind_set_bind_data)                                                                          \
    X(bind_set_cardinality)                                                                        \
    X(bind_set_error)                                                                              \
    X(init_get_extra_info)                                                                         \
    X(init_get_bind_data)                                                                          \
    X(init_set_init_data)                                                                          \
    X(init_get_column_count)                                                                       \
    X(init_get_column_index)                                                                       \
    X(init_set_max_threads)                                                                        \
    X(init_set_error)                                                                              \
    X(function_get_extra_info)                                                                     \
    X(function_get_bind_data)                                                                      \
    X(function_get_init_data)                                                                      \
    X(function_get_local_init_data)                                                                \
    X(function_set_error)                                                                          \
    X(to_arrow_schema)                                                                             \
    X(data_chunk_to_arrow)                                                                         \
    X(fetch_chunk)                                                                                 \
    X(destroy_expression)                                                                          \
    X(expression_return_type)                                                                      \
    X(expression_is_foldable)                                                                      \
    X(expression_fold)

typedef struct dl_engine_api {
#define DL_ENGINE_MEMBER(name) __typeof__(duckdb_##name) *name;
    DL_ENGINE_FUNCTIONS(DL_ENGINE_MEMBER)
#undef DL_ENGINE_MEMBER
} dl_engine_api;

typedef struct dl_engine {
    dl_engine_api api;
    duckdb_database database;
    duckdb_connection connection;
    uint64_t memory_bytes, temp_bytes;
    dl_cancel *cancel;
    bool loaded;
    /* DuckDB has given itself up (an internal error): it answers nothing more until it is stopped
     * and started again. */
    bool broken;
} dl_engine;

enum { DL_ENGINE_MEMORY_BYTES = 1 << 30 }; /* where nobody says how much */

/** What begins an error of one of our own functions (duckdb_scalar_function_set_error and the
 * like), so that its words are shown: it must hold nothing that comes out of rows. */
#define DL_ENGINE_OWN_WORDS "dicomlake: "

/** Load the library; start nothing. Errors: DL_E_UNAVAILABLE. */
DL_NODISCARD dl_status dl_engine_load(dl_engine *engine, dl_error *err);
/** Start the database (threads begin here) and connect: limits of `options`, UTC, no extensions.
 * Loads the library when that is not done. Errors: DL_E_UNAVAILABLE, DL_E_NOMEM. */
DL_NODISCARD dl_status dl_engine_start(dl_engine *engine, const dl_query_options *options,
                                       dl_error *err);
/** From now on no external access but to `folders` (absolute) and files below them, and no setting
 * can be changed. */
DL_NODISCARD dl_status dl_engine_close_off(dl_engine *engine, const dl_str *folders,
                                           size_t folder_count, dl_error *err);
/** Fine on one that was not started. The library stays loaded. */
void dl_engine_stop(dl_engine *engine);
/** Any thread: what runs ends with DL_E_CANCELED; nothing when nothing runs. */
void dl_engine_interrupt(dl_engine *engine);

/** Run SQL of our own that has no rows (views, macros). Errors: as dl_engine_error. */
DL_NODISCARD dl_status dl_engine_exec(dl_engine *engine, dl_str sql, dl_error *err);
/** What DuckDB said, with nothing in it that may come out of rows: parser, binder and catalog
 * errors keep their words (they know the statement alone), as do those of our own functions; all
 * others get ours. `type` may be DUCKDB_ERROR_INVALID: the text says. `out_at` (may be NULL) gets
 * the byte of what was run when DuckDB knows it, else SIZE_MAX. */
dl_status dl_engine_error(dl_engine *engine, duckdb_error_type type, const char *text,
                          size_t *out_at, dl_error *err);

/** Whether the parser's or binder's words are about nesting, and ours for it: DL_E_LIMIT. */
bool dl_engine_is_too_deep(dl_str words);
dl_status dl_engine_too_deep(dl_error *err);

/** A name or text as SQL: quotes doubled. Errors: DL_E_INVALID (holds a NUL). */
DL_NODISCARD dl_status dl_engine_put_name(dl_buf *sql, dl_str name, dl_error *err);
DL_NODISCARD dl_status dl_engine_put_text(dl_buf *sql, dl_str text, dl_error *err);

#endif
