/* Functions that a statement may call. What is not listed is not called: a newer libduckdb brings
 * no function by itself. Left out are those that see more than their arguments (settings,
 * variables, sequences, other statements, logs), wait, belong to the engine's inside, or put values
 * of rows into errors. */
#include "query/plan_internal.h"

#include <string.h>

/* clang-format off */
static const char *const functions[] = {
    "!~~", "!~~*", "%", "&", "&&", "*", "**", "+", "-", "->>", "/", "//", "<->", "<<", "<=>", "<@",
    ">>", "@", "@>", "^", "^@", "abs", "acos", "acosh", "add", "age", "aggregate", "ago", "alias",
    "any_value", "apply", "approx_count_distinct", "approx_quantile", "approx_top_k", "arbitrary",
    "arg_max", "arg_max_null", "arg_max_nulls_last", "arg_min", "arg_min_null",
    "arg_min_nulls_last", "argmax", "argmin", "array_agg", "array_aggr", "array_aggregate",
    "array_append", "array_apply", "array_cat", "array_concat", "array_contains",
    "array_cosine_distance", "array_cosine_similarity", "array_cross_product", "array_distance",
    "array_distinct", "array_dot_product", "array_extract", "array_filter", "array_grade_up",
    "array_has", "array_has_all", "array_has_any", "array_indexof", "array_inner_product",
    "array_intersect", "array_length", "array_negative_dot_product",
    "array_negative_inner_product", "array_pop_back", "array_pop_front", "array_position",
    "array_prepend", "array_push_back", "array_push_front", "array_reduce", "array_resize",
    "array_reverse", "array_reverse_sort", "array_select", "array_slice", "array_sort",
    "array_to_json", "array_to_string", "array_to_string_comma_default", "array_transform",
    "array_unique", "array_value", "array_where", "array_zip", "ascii", "asin", "asinh", "atan",
    "atan2", "atanh", "avg", "bar", "base64", "bin", "bit_and", "bit_count", "bit_length",
    "bit_or", "bit_position", "bit_xor", "bitstring", "bitstring_agg", "bool_and", "bool_or",
    "cardinality", "cbrt", "ceil", "ceiling", "century", "char_length", "character_length", "chr",
    "coalesce", "concat", "concat_ws", "contains", "corr", "cos", "cosh", "cot", "count",
    "count_if", "count_star", "countif", "covar_pop", "covar_samp", "cume_dist", "current_date",
    "current_localtime", "current_localtimestamp", "damerau_levenshtein", "date_add", "date_diff",
    "date_part", "date_sub", "date_trunc", "datediff", "datepart", "datesub", "datetrunc", "day",
    "dayname", "dayofmonth", "dayofweek", "dayofyear", "days_in_month", "decade", "decode",
    "degrees", "dense_rank", "divide", "editdist3", "element_at", "encode", "ends_with", "entropy",
    "enum_code", "enum_first", "enum_last", "enum_range", "enum_range_boundary", "epoch",
    "epoch_ms", "epoch_ns", "epoch_us", "equi_width_bins", "era", "even", "exp",
    "factorial", "favg", "fdiv", "fill", "filter", "first", "first_value", "flatten", "floor",
    "fmod", "format", "formatReadableDecimalSize", "formatReadableSize", "format_bytes",
    "from_base64", "from_binary", "from_hex", "from_json", "from_json_strict", "fsum", "gamma",
    "gcd", "gen_random_uuid", "generate_series", "generate_subscripts", "geomean", "geometric_mean", "get_bit",
    "get_current_time", "get_current_timestamp", "grade_up", "greatest", "greatest_common_divisor",
    "group_concat", "grouping", "grouping_id", "hamming", "hash", "hex", "histogram",
    "histogram_exact", "hour", "ilike_escape", "instr", "isfinite", "isinf", "isnan", "isodow",
    "isoyear", "jaccard", "jaro_similarity", "jaro_winkler_similarity", "json", "json_array",
    "json_array_length", "json_contains", "json_exists", "json_extract", "json_extract_path",
    "json_extract_path_text", "json_extract_string", "json_group_array", "json_group_object",
    "json_group_structure", "json_keys", "json_merge_patch", "json_object", "json_pretty",
    "json_quote", "json_structure", "json_transform", "json_transform_strict", "json_type",
    "json_valid", "json_value", "julian", "kahan_sum", "kurtosis", "kurtosis_pop", "lag", "last",
    "last_day", "last_value", "lcase", "lcm", "lead", "least", "least_common_multiple", "left",
    "left_grapheme", "len", "length", "length_grapheme", "levenshtein", "lgamma", "like_escape",
    "list", "list_aggr", "list_aggregate", "list_any_value", "list_append", "list_apply",
    "list_approx_count_distinct", "list_avg", "list_bit_and", "list_bit_or", "list_bit_xor",
    "list_bool_and", "list_bool_or", "list_cat", "list_concat", "list_contains",
    "list_cosine_distance", "list_cosine_similarity", "list_count", "list_distance",
    "list_distinct", "list_dot_product", "list_element", "list_entropy", "list_extract",
    "list_filter", "list_first", "list_grade_up", "list_has", "list_has_all", "list_has_any",
    "list_histogram", "list_indexof", "list_inner_product", "list_intersect", "list_kurtosis",
    "list_kurtosis_pop", "list_last", "list_mad", "list_max", "list_median", "list_min",
    "list_mode", "list_negative_dot_product", "list_negative_inner_product", "list_pack",
    "list_position", "list_prepend", "list_product", "list_reduce", "list_resize", "list_reverse",
    "list_reverse_sort", "list_select", "list_sem", "list_skewness", "list_slice", "list_sort",
    "list_stddev_pop", "list_stddev_samp", "list_string_agg", "list_sum", "list_transform",
    "list_unique", "list_value", "list_var_pop", "list_var_samp", "list_where", "list_zip",
    "listagg", "ln", "log", "log10", "log2", "lower", "lpad", "ltrim", "mad", "make_date",
    "make_time", "make_timestamp", "make_timestamp_ms", "make_timestamp_ns", "make_timestamptz",
    "map", "map_concat", "map_contains", "map_contains_entry", "map_contains_value", "map_entries",
    "map_extract", "map_extract_value", "map_from_entries", "map_keys", "map_values", "max",
    "max_by", "md5", "md5_number", "md5_number_lower", "md5_number_upper", "mean", "median",
    "microsecond", "millennium", "millisecond", "min", "min_by", "minute", "mismatches", "mod",
    "mode", "month", "monthname", "multiply", "nanosecond", "nextafter", "nfc_normalize",
    "normalized_interval", "not_ilike_escape", "not_like_escape", "now", "nth_value", "ntile",
    "nullif", "octet_length", "ord", "parse_dirname", "parse_dirpath", "parse_filename",
    "parse_formatted_bytes", "parse_path", "percent_rank", "pg_typeof", "pi", "position", "pow",
    "power", "prefix", "printf", "product", "quantile", "quantile_cont", "quantile_disc",
    "quarter", "radians", "random", "range", "rank", "rank_dense", "reduce", "regexp_escape",
    "regexp_extract", "regexp_extract_all", "regexp_full_match", "regexp_matches",
    "regexp_replace", "regexp_split_to_array", "regr_avgx", "regr_avgy", "regr_count",
    "regr_intercept", "regr_r2", "regr_slope", "regr_sxx", "regr_sxy", "regr_syy", "repeat",
    "replace", "reservoir_quantile", "reverse", "right", "right_grapheme", "round", "round_even",
    "roundbankers", "row", "row_number", "row_to_json", "rpad", "rtrim", "second", "sem",
    "set_bit", "sha1", "sha256", "sign", "signbit", "sin", "sinh", "skewness", "split",
    "split_part", "sqrt", "starts_with", "stddev", "stddev_pop", "stddev_samp", "str_split",
    "str_split_regex", "strftime", "string_agg", "string_split", "string_split_regex",
    "string_to_array", "strip_accents", "strlen", "strpos", "strptime", "struct_concat",
    "struct_contains", "struct_extract", "struct_extract_at", "struct_has", "struct_indexof",
    "struct_insert", "struct_keys", "struct_pack", "struct_position", "struct_update",
    "struct_values", "substr", "substring", "substring_grapheme", "subtract", "suffix", "sum",
    "sum_no_overflow", "sumkahan", "switch", "tan", "tanh", "time_bucket", "timezone",
    "timezone_hour", "timezone_minute", "to_base", "to_base64", "to_binary", "to_centuries",
    "to_days", "to_decades", "to_hex", "to_hours", "to_json", "to_microseconds", "to_millennia",
    "to_milliseconds", "to_minutes", "to_months", "to_quarters", "to_seconds", "to_timestamp",
    "to_weeks", "to_years", "today", "transaction_timestamp", "translate", "trim", "trunc",
    "try_strptime", "typeof", "ucase", "unbin", "unhex", "unicode", "union_extract", "union_tag",
    "union_value", "unnest", "unpivot_list", "upper", "url_decode", "url_encode", "uuid",
    "uuid_extract_timestamp", "uuid_extract_version", "uuidv4", "uuidv7", "var_pop", "var_samp",
    "variance", "version", "wavg", "week", "weekday", "weekofyear", "weighted_avg", "xor", "year",
    "yearweek", "|", "||", "~", "~~", "~~*", "~~~",
};

/* Those in FROM. */
static const char *const table_functions[] = {
    "dicom_tags", "generate_series", "json_each", "json_tree", "range", "repeat", "repeat_row", "unnest",
};

/* Known, and never called: the error says so. */
static const char *const denied[] = {
    "arrow_scan", "checkpoint", "error", "current_connection_id", "current_database", "current_query",
    "current_query_id", "current_role", "current_schema", "current_schemas", "current_setting",
    "current_transaction_id", "current_user", "currval", "disable_logging", "disable_profiling",
    "enable_logging", "enable_profiling", "force_checkpoint", "getenv", "getvariable", "glob",
    "histogram_values", "json_deserialize_sql", "json_execute_serialized_sql", "json_serialize_plan",
    "json_serialize_sql", "nextval", "pandas_scan", "parquet_bloom_probe", "parquet_file_metadata",
    "parquet_full_metadata", "parquet_kv_metadata", "parquet_metadata", "parquet_scan", "parquet_schema",
    "pg_sleep", "query", "query_table", "read_blob", "read_csv", "read_csv_auto", "read_duckdb",
    "read_json", "read_json_auto", "read_json_objects", "read_json_objects_auto", "read_ndjson",
    "read_ndjson_auto", "read_ndjson_objects", "read_parquet", "read_text", "seq_scan", "session_user",
    "setseed", "sleep_ms", "sniff_csv", "stats", "summary", "truncate_duckdb_logs", "txid_current",
    "user", "which_secret", "write_log",
};
static const char *const denied_beginnings[] = {"__internal", "duckdb_", "has_", "icu_collate", "inet_",
                                                "parquet_",   "pg_",     "pragma_", "read_", "sqlite_"};
/* clang-format on */

static bool is_in(dl_str name, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (dl_str_eq_nocase(name, dl_str_of(list[i]))) {
            return true;
        }
    }
    return false;
}

static bool is_denied(dl_str name)
{
    for (size_t i = 0; i < DL_COUNT_OF(denied_beginnings); i++) {
        if (dl_str_starts_nocase(name, dl_str_of(denied_beginnings[i]))) {
            return true;
        }
    }
    return is_in(name, denied, DL_COUNT_OF(denied));
}

/* Of our own and of Spark, one after the other. */
static const char *own_name(size_t i)
{
    size_t own = 0;
    while (own < i && dl_functions_name(own) != NULL) {
        own++;
    }
    const char *name = dl_functions_name(own);
    return name != NULL ? name : dl_functions_spark_name(i - own);
}

static bool is_own(dl_str name)
{
    for (size_t i = 0; own_name(i) != NULL; i++) {
        if (dl_str_eq_nocase(name, dl_str_of(own_name(i)))) {
            return true;
        }
    }
    return false;
}

const char *dl_plan_function_name(size_t i)
{
    return i < DL_COUNT_OF(functions) ? functions[i] : NULL;
}

/* ---- names that are like one another ---- */

enum { LIKE_LIMIT = 31 };

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* How many letters have to change, where two that changed places are one change; names longer than
 * LIKE_LIMIT are like none. */
static size_t distance(dl_str a, dl_str b)
{
    size_t rows[3][LIKE_LIMIT + 1];
    if (a.len > LIKE_LIMIT || b.len > LIKE_LIMIT) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= b.len; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a.len; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i - 1) % 3], *beyond = rows[(i + 1) % 3]; /* i - 2 */
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            char x = lower(a.ptr[i - 1]), y = lower(b.ptr[j - 1]);
            size_t least = above[j] < row[j - 1] ? above[j] + 1 : row[j - 1] + 1;
            least = above[j - 1] + (x != y) < least ? above[j - 1] + (x != y) : least;
            if (i > 1 && j > 1 && x == lower(b.ptr[j - 2]) && y == lower(a.ptr[i - 2]) &&
                beyond[j - 2] + 1 < least) {
                least = beyond[j - 2] + 1;
            }
            row[j] = least;
        }
    }
    return rows[a.len % 3][b.len];
}

static void look_at(dl_str name, const char *candidate, const char **best, size_t *best_distance)
{
    size_t d = distance(name, dl_str_of(candidate));
    if (d < *best_distance) {
        *best_distance = d;
        *best = candidate;
    }
}

/* Spark's, that nothing here is called: what to write. */
static const char *const others[][2] = {
    {"posexplode", "unnest(list), generate_subscripts(list, 1) - 1"},
    {"posexplode_outer", "unnest(list), generate_subscripts(list, 1) - 1"},
    {"explode_outer", "unnest(CASE WHEN len(list) > 0 THEN list ELSE [NULL] END)"},
    {"inline", "unnest(list, max_depth := 2)"},
    {"inline_outer", "unnest(list, max_depth := 2)"},
    {"stack", "FROM (VALUES (...), (...)) t(a, b)"},
    {"json_tuple", "get_json_object(text, '$.a'), one for each"},
    {"schema_of_json", "json_structure(text)"},
    {"named_struct", "{'a': 1, 'b': 2}"},
    {"struct", "{'a': 1, 'b': 2}"},
    {"map_from_arrays", "map(keys, values)"},
    {"input_file_name", "the column filePath"},
    {"monotonically_increasing_id", "row_number() OVER ()"},
    {"spark_partition_id", "nothing: there are no such partitions"},
    {"forall", "list_bool_and(list_transform(list, x -> ...))"},
    {"arrays_overlap", "list_has_any(a, b)"},
    {"arrays_zip", "list_zip(a, b)"},
    {"array_union", "list_distinct(a || b)"},
    {"array_except", "list_filter(a, x -> NOT list_contains(b, x))"},
    {"array_repeat", "list_transform(range(n), i -> x)"},
    {"window", "time_bucket(INTERVAL 1 HOUR, time)"},
    {"from_utc_timestamp", "timezone('Europe/Berlin', time)"},
    {"to_utc_timestamp", "timezone('Europe/Berlin', time)"},
    {"next_day", "day + INTERVAL n DAY"},
    {"regexp_count", "len(regexp_extract_all(text, pattern))"},
    {"regexp_substr", "regexp_extract(text, pattern)"},
    {"conv", "to_base(number, base)"},
    {"xxhash64", "hash(x)"},
};

static dl_status no_such(dl_str name, dl_error *err)
{
    for (size_t i = 0; i < DL_COUNT_OF(others); i++) {
        if (dl_str_eq_nocase(name, dl_str_of(others[i][0]))) {
            dl_status status =
                dl_error_set(err, DL_E_UNSUPPORTED, "there is no function %s", others[i][0]);
            dl_error_hint(err, "write %s", others[i][1]);
            return status;
        }
    }

    const char *best = NULL;
    size_t best_distance = name.len < 4 ? 2 : 1 + (name.len + 2) / 3;
    for (size_t i = 0; own_name(i) != NULL; i++) {
        look_at(name, own_name(i), &best, &best_distance);
    }
    for (size_t i = 0; i < DL_COUNT_OF(functions); i++) {
        look_at(name, functions[i], &best, &best_distance);
    }
    dl_status status = dl_error_set(err, DL_E_INVALID, "there is no function %.*s",
                                    DL_STR_ARG(dl_str_slice(name, 0, 60)));
    if (best != NULL) {
        dl_error_hint(err, "did you mean %s?", best);
    }
    return status;
}

static dl_status deny(dl_str name, dl_error *err)
{
    dl_status status = dl_error_set(err, DL_E_DENIED, "%.*s cannot be called here",
                                    DL_STR_ARG(dl_str_slice(name, 0, 60)));
    dl_error_hint(err, "SQL reads the tables of the lakehouse and nothing else");
    return status;
}

dl_status dl_plan_allow_function(dl_str name, dl_error *err)
{
    if (is_in(name, functions, DL_COUNT_OF(functions)) || is_own(name)) {
        return DL_OK;
    }
    return is_denied(name) ? deny(name, err) : no_such(name, err);
}

dl_status dl_plan_allow_table_function(dl_str name, dl_error *err)
{
    if (is_in(name, table_functions, DL_COUNT_OF(table_functions))) {
        return DL_OK;
    }
    if (is_denied(name)) {
        return deny(name, err);
    }
    dl_status status = dl_error_set(err, DL_E_INVALID, "%.*s is no function for FROM",
                                    DL_STR_ARG(dl_str_slice(name, 0, 60)));
    dl_error_hint(err, "there are dicom_tags(filepath), unnest(list), range(n), json_each(text)");
    return status;
}
