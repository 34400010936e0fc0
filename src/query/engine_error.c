/* DuckDB's errors in our words. It gives them as JSON (the setting errors_as_json): kind, words,
 * byte of the statement, candidates. Words that may quote a row's value are left out. */
#include "query/engine.h"
#include "json/json.h"

#include <string.h>

enum {
    TEXT_LIMIT_BYTES = 8 << 20, /* a binder error quotes the statement */
    HINT_CANDIDATES = 4,
    WORDS_SHOWN = 300,
};

static const struct {
    const char *name; /* exception_type, or what the text begins with */
    duckdb_error_type type;
} kinds[] = {
    {"Parser", DUCKDB_ERROR_PARSER},
    {"Syntax", DUCKDB_ERROR_SYNTAX},
    {"Binder", DUCKDB_ERROR_BINDER},
    {"Catalog", DUCKDB_ERROR_CATALOG},
    {"Conversion", DUCKDB_ERROR_CONVERSION},
    {"Out of Range", DUCKDB_ERROR_OUT_OF_RANGE},
    {"Divide by Zero", DUCKDB_ERROR_DIVIDE_BY_ZERO},
    {"Invalid Input", DUCKDB_ERROR_INVALID_INPUT},
    {"Invalid type", DUCKDB_ERROR_INVALID_TYPE},
    {"Mismatch Type", DUCKDB_ERROR_MISMATCH_TYPE},
    {"Out of Memory", DUCKDB_ERROR_OUT_OF_MEMORY},
    {"IO", DUCKDB_ERROR_IO},
    {"INTERRUPT", DUCKDB_ERROR_INTERRUPT},
    {"Not implemented", DUCKDB_ERROR_NOT_IMPLEMENTED},
    {"Permission", DUCKDB_ERROR_PERMISSION},
    {"Invalid Configuration", DUCKDB_INVALID_CONFIGURATION},
    {"Missing Extension", DUCKDB_ERROR_MISSING_EXTENSION},
    {"Extension Autoloading", DUCKDB_ERROR_AUTOLOAD},
    {"Parameter Not Resolved", DUCKDB_ERROR_PARAMETER_NOT_RESOLVED},
    {"Parameter Not Allowed", DUCKDB_ERROR_PARAMETER_NOT_ALLOWED},
    {"Serialization", DUCKDB_ERROR_SERIALIZATION},
    {"INTERNAL", DUCKDB_ERROR_INTERNAL},
    {"FATAL", DUCKDB_ERROR_FATAL},
};

typedef struct said {
    duckdb_error_type type;
    dl_str words;      /* the first line */
    dl_str rest;       /* of the words, beyond it */
    dl_str candidates; /* "a,b"; empty */
    size_t at;         /* SIZE_MAX */
} said;

static duckdb_error_type type_of(dl_str name)
{
    for (size_t i = 0; i < DL_COUNT_OF(kinds); i++) {
        if (dl_str_starts_nocase(name, dl_str_of(kinds[i].name))) {
            return kinds[i].type;
        }
    }
    return DUCKDB_ERROR_INVALID;
}

static void cut_lines(said *out)
{
    ptrdiff_t end = dl_str_find(out->words, '\n');
    if (end >= 0) {
        out->rest = dl_str_slice(out->words, (size_t)end + 1, out->words.len);
        out->words.len = (size_t)end;
    }
    out->words = dl_str_trim(out->words);
    while (out->words.len > 0 && (out->words.ptr[out->words.len - 1] == '!' ||
                                  out->words.ptr[out->words.len - 1] == '.')) {
        out->words.len--;
    }
}

/* A member's text, or what it was before. */
static dl_str member(dl_str json, const char *name, dl_arena *arena, dl_str otherwise)
{
    dl_str value, text;
    if (dl_json_get(json, dl_str_of(name), &value) &&
        dl_json_text(value, arena, &text, NULL) == DL_OK) {
        return text;
    }
    return otherwise;
}

static said take_apart(duckdb_error_type type, dl_str text, dl_arena *arena)
{
    said out = {.type = type, .words = text, .at = SIZE_MAX};
    ptrdiff_t begin = dl_str_find(text, '{');
    dl_str json = begin < 0 ? DL_STR_NONE : dl_str_slice(text, (size_t)begin, text.len);
    if (arena == NULL || dl_json_check(json, NULL) != DL_OK) {
        if (out.type == DUCKDB_ERROR_INVALID) {
            out.type = type_of(text);
        }
        cut_lines(&out);
        return out;
    }
    out.words = member(json, "exception_message", arena, DL_STR_NONE);
    out.candidates = member(json, "candidates", arena, DL_STR_NONE);
    uint64_t at = 0;
    if (dl_str_to_u64(member(json, "position", arena, DL_STR_NONE), &at)) {
        out.at = (size_t)at;
    }
    duckdb_error_type named = type_of(member(json, "exception_type", arena, DL_STR_NONE));
    out.type = named == DUCKDB_ERROR_INVALID ? type : named;
    cut_lines(&out);
    return out;
}

/* ---- errors that know the statement alone ---- */

static bool is_statements(const said *it)
{
    switch ((int)it->type) {
    case DUCKDB_ERROR_PARSER:
    case DUCKDB_ERROR_SYNTAX:
    case DUCKDB_ERROR_BINDER:
    case DUCKDB_ERROR_CATALOG:
    case DUCKDB_ERROR_PARAMETER_NOT_RESOLVED:
    case DUCKDB_ERROR_PARAMETER_NOT_ALLOWED:
        return true;
    default:
        return false;
    }
}

/* Names to take instead; signatures of functions stand in brackets and hold commas themselves. */
static void hint_candidates(const said *it, dl_error *err)
{
    bool calls = dl_str_find(it->candidates, '(') >= 0;
    dl_str rest = it->candidates, one;
    DL_AUTO_BUF words;
    dl_buf_init(&words, sizeof(err->hint));
    for (int i = 0; i < HINT_CANDIDATES && rest.len > 0; i++) {
        ptrdiff_t end = calls ? dl_str_find_str(rest, DL_STR(" -> ")) : dl_str_find(rest, ',');
        one = dl_str_trim(end < 0 ? rest : dl_str_slice(rest, 0, (size_t)end));
        if (calls && end >= 0) {
            rest = dl_str_slice(rest, (size_t)end, rest.len);
            end = dl_str_find(rest, ',');
            /* a result's type may hold commas too: what follows would be half a name */
        }
        rest = end < 0 ? DL_STR_NONE : dl_str_slice(rest, (size_t)end + 1, rest.len);
        if (dl_buf_printf(&words, NULL, "%s%.*s", words.len == 0 ? "" : ", ", DL_STR_ARG(one)) !=
            DL_OK) {
            break;
        }
    }
    if (words.len > 0) {
        dl_error_hint(err, calls ? "there is %.*s" : "did you mean %.*s?",
                      DL_STR_ARG(dl_buf_str(&words)));
    }
}

bool dl_engine_is_too_deep(dl_str words)
{
    return dl_str_starts(words, DL_STR("memory exhausted")) ||
           dl_str_starts(words, DL_STR("Max expression depth limit"));
}

dl_status dl_engine_too_deep(dl_error *err)
{
    dl_error_set(err, DL_E_LIMIT, "sql: the statement is nested too deep");
    dl_error_hint(err, "x IN (...) instead of many OR; fewer parentheses");
    return DL_E_LIMIT;
}

static dl_status statement_error(const said *it, dl_error *err)
{
    if (dl_engine_is_too_deep(it->words)) {
        return dl_engine_too_deep(err);
    }
    dl_str words = dl_str_slice(it->words, 0, WORDS_SHOWN);
    dl_error_set(err, DL_E_INVALID, "sql: %.*s%s", DL_STR_ARG(words),
                 words.len < it->words.len ? " ..." : "");
    if (err == NULL) {
        return DL_E_INVALID;
    }
    if (it->candidates.len > 0) {
        hint_candidates(it, err);
    } else if (it->rest.len > 0) {
        ptrdiff_t end = dl_str_find(it->rest, '\n');
        dl_str line = end < 0 ? it->rest : dl_str_slice(it->rest, 0, (size_t)end);
        if (line.len > 0 && !dl_str_starts(line, DL_STR("LINE "))) {
            dl_error_hint(err, "%.*s", DL_STR_ARG(dl_str_trim(line)));
        }
    }
    return DL_E_INVALID;
}

/* ---- errors that may know rows ---- */

/* "Could not convert string '...' to INT32 when ...": the word behind the last "' to ", when it is
 * the name of a type: what stands between quotes is a value. */
static const char *type_in(dl_str words)
{
    static const char *const names[] = {
        "BOOL",    "INT8",      "INT16",    "INT32",  "INT64", "INT128",
        "UINT8",   "UINT16",    "UINT32",   "UINT64", "FLOAT", "DOUBLE",
        "DECIMAL", "TIMESTAMP", "INTERVAL", "DATE",   "TIME",  "UUID",
    };
    dl_str last = DL_STR_NONE;
    for (ptrdiff_t at = 0; (at = dl_str_find_str(words, DL_STR("' to "))) >= 0;) {
        words = last = dl_str_slice(words, (size_t)at + sizeof("' to ") - 1, words.len);
    }
    ptrdiff_t end = dl_str_find(last, ' ');
    last = end < 0 ? last : dl_str_slice(last, 0, (size_t)end);
    for (size_t i = 0; i < DL_COUNT_OF(names); i++) {
        if (dl_str_eq(last, dl_str_of(names[i]))) {
            return names[i];
        }
    }
    return NULL;
}

static bool says(const said *it, const char *words)
{
    return dl_str_find_str(it->words, dl_str_of(words)) >= 0;
}

static dl_status conversion_error(const said *it, dl_error *err)
{
    const char *type = type_in(it->words);
    dl_error_set(err, DL_E_INVALID, "sql: a value cannot be converted to %s",
                 type == NULL ? "the type that is asked for" : type);
    dl_error_hint(err, "try_cast(x AS type) gives NULL where a value does not fit");
    return DL_E_INVALID;
}

static dl_status input_error(const said *it, dl_error *err)
{
    if (dl_str_starts(it->words, DL_STR(DL_ENGINE_OWN_WORDS))) {
        dl_str words = dl_str_slice(it->words, sizeof(DL_ENGINE_OWN_WORDS) - 1, it->words.len);
        return dl_error_set(err, DL_E_INVALID, "sql: %.*s", DL_STR_ARG(words));
    }
    if (says(it, "magic bytes") || says(it, "Parquet")) {
        dl_error_set(err, DL_E_CORRUPT, "sql: a data file of the table cannot be read as Parquet");
        dl_error_hint(err, "another program changed the file, or it is not whole");
        return DL_E_CORRUPT;
    }
    if (says(it, "prepared statement parameters")) {
        dl_error_set(err, DL_E_INVALID, "sql: a parameter ($1, ?) has no value here");
        dl_error_hint(err, "write the value itself");
        return DL_E_INVALID;
    }
    if (dl_str_starts(it->words, DL_STR("Could not parse string"))) {
        dl_error_set(err, DL_E_INVALID, "sql: a text does not have the format that is asked for");
        dl_error_hint(err, "try_strptime gives NULL where a text does not fit");
        return DL_E_INVALID;
    }
    dl_error_set(err, DL_E_INVALID, "sql: a function refuses a value that it was given");
    dl_error_hint(err, "look at patterns, formats and casts; a WHERE can leave such rows out");
    return DL_E_INVALID;
}

static dl_status memory_error(const dl_engine *engine, const said *it, dl_error *err)
{
    if (says(it, "max_temp_directory_size")) {
        dl_error_set(err, DL_E_LIMIT,
                     "sql: the statement needs more than the %llu bytes it may write to its "
                     "temporary folder",
                     (unsigned long long)engine->temp_bytes);
    } else {
        dl_error_set(err, DL_E_LIMIT,
                     "sql: the statement needs more than the %llu MiB of memory it may use",
                     (unsigned long long)(engine->memory_bytes >> 20));
    }
    dl_error_hint(err, "ask for fewer rows or columns, filter earlier, or raise the limit");
    return DL_E_LIMIT;
}

static dl_status io_error(const said *it, dl_error *err)
{
    if (says(it, "No such file") || says(it, "No files found")) {
        dl_error_set(err, DL_E_NOT_FOUND,
                     "sql: a data file of the table is gone: it was vacuumed while the statement "
                     "ran, or its version is older than what is kept");
        dl_error_hint(err, "run the statement again: it reads the newest version");
        return DL_E_NOT_FOUND;
    }
    if (says(it, "Permission denied") || says(it, "Operation not permitted")) {
        return dl_error_set(err, DL_E_DENIED, "sql: the system does not let a file be read");
    }
    if (says(it, "No space left")) {
        return dl_error_set(err, DL_E_LIMIT, "sql: there is no space left for temporary files");
    }
    return dl_error_set(err, DL_E_IO, "sql: a file of the table cannot be read");
}

static dl_status other_error(dl_engine *engine, const said *it, dl_error *err)
{
    switch ((int)it->type) {
    case DUCKDB_ERROR_OUT_OF_RANGE:
        dl_error_set(err, DL_E_INVALID, "sql: a number goes beyond the range of its type");
        dl_error_hint(err, "cast to a wider type before: CAST(x AS HUGEINT), CAST(x AS DOUBLE)");
        return DL_E_INVALID;
    case DUCKDB_ERROR_DIVIDE_BY_ZERO:
        return dl_error_set(err, DL_E_INVALID, "sql: a division by zero");
    case DUCKDB_ERROR_PERMISSION:
    case DUCKDB_INVALID_CONFIGURATION:
    case DUCKDB_ERROR_MISSING_EXTENSION:
    case DUCKDB_ERROR_AUTOLOAD:
        dl_error_set(err, DL_E_DENIED, "sql: only the tables may be read");
        dl_error_hint(err, "SHOW TABLES lists them");
        return DL_E_DENIED;
    case DUCKDB_ERROR_NOT_IMPLEMENTED:
        return dl_error_set(err, DL_E_UNSUPPORTED, "sql: the engine does not have this");
    case DUCKDB_ERROR_INTERNAL:
    case DUCKDB_ERROR_FATAL:
        engine->broken = true;
        return dl_error_set(err, DL_E_UNAVAILABLE,
                            "sql: the engine failed at this statement (an error inside of it)");
    default:
        return dl_error_set(err, DL_E_INVALID, "sql: the statement failed at a row (error %d)",
                            (int)it->type);
    }
}

static dl_status runtime_error(dl_engine *engine, const said *it, dl_error *err)
{
    switch ((int)it->type) {
    case DUCKDB_ERROR_CONVERSION:
    case DUCKDB_ERROR_INVALID_TYPE:
    case DUCKDB_ERROR_MISMATCH_TYPE:
        return conversion_error(it, err);
    case DUCKDB_ERROR_INVALID_INPUT:
        return input_error(it, err);
    case DUCKDB_ERROR_OUT_OF_MEMORY:
        return memory_error(engine, it, err);
    case DUCKDB_ERROR_IO:
        return io_error(it, err);
    case DUCKDB_ERROR_INTERRUPT:
        return dl_error_set(err, DL_E_CANCELED, "sql: cancelled");
    default:
        return other_error(engine, it, err);
    }
}

dl_status dl_engine_error(dl_engine *engine, duckdb_error_type type, const char *text,
                          size_t *out_at, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(TEXT_LIMIT_BYTES);
    said it = take_apart(type, dl_str_of(text), arena);
    if (out_at != NULL) {
        *out_at = it.at;
    }
    return is_statements(&it) ? statement_error(&it, err) : runtime_error(engine, &it, err);
}
