/**
 * What the files of the functions share: how one is registered, its arguments, and paths of
 * attributes.
 *
 *     functions.c   the table of all, registering, bind data
 *     files.c       file_url
 *     path.c        pure: "RequestAttributesSequence[0].00400009"
 *     dicom.c       dicom_value, dicom_values
 *     values.c      dicom_name, dicom_date, dicom_time, dicom_datetime, dicom_age_years
 *     tags.c        dicom_tags
 *     spark.c       Spark's functions that need code; macros.c: those that an expression says
 *     pattern.c     pure: times by Java's patterns
 *
 * A function never fails on what rows hold: it gives NULL. Only a constant that no row could make
 * good (a keyword that does not exist) is an error, and of the statement, before it runs.
 *
 * Callbacks run on any of the engine's threads at once; dl_functions is immutable but for its wish
 * to stop.
 */
#ifndef DL_QUERY_FUNCTIONS_H
#define DL_QUERY_FUNCTIONS_H

#include "dict/dict.h"
#include "query/internal.h"
#include "query/roots.h"

#include <stdatomic.h>

/* ---- paths of attributes: pure ---- */

enum {
    DL_ATTRIBUTE_STEP_LIMIT = 8,
    DL_ATTRIBUTE_INDEX_LIMIT = 100 * 1000 * 1000,
    DL_ATTRIBUTE_ALL = -1, /* no [n] was given */
};

typedef enum dl_name_group {
    DL_NAME_ALPHABETIC,
    DL_NAME_IDEOGRAPHIC,
    DL_NAME_PHONETIC
} dl_name_group;

typedef struct dl_attribute_step {
    uint32_t tag;
    int32_t index; /* from 0; DL_ATTRIBUTE_ALL */
    char upper[8]; /* the tag as DICOM JSON spells it */
    char lower[8]; /* as others do */
} dl_attribute_step;

typedef struct dl_attribute_path {
    dl_attribute_step steps[DL_ATTRIBUTE_STEP_LIMIT];
    size_t count;
    dl_name_group group; /* of a person's name */
    bool names;          /* a group was asked for, or the attribute is a name by the dictionary */
} dl_attribute_path;

/**
 * Steps between '.' or '/', each a keyword (without regard to case) or a tag (00080060, 0008,0060,
 * (0008,0060)) with an optional [n] from 0; after a name its group (Alphabetic, Ideographic,
 * Phonetic). Errors: DL_E_INVALID naming the step, with the nearest keyword as hint.
 */
DL_NODISCARD dl_status dl_attribute_path_read(dl_str text, dl_attribute_path *out_path,
                                              dl_error *err);

/** One group of a name as a file has it, "family^given=ideographic=phonetic"; trimmed. False when
 * it is empty. */
bool dl_name_group_of(dl_str name, dl_name_group group, dl_str *out_text);
/** "Alphabetic", "Ideographic", "Phonetic". */
dl_str dl_name_group_word(dl_name_group group);

/* ---- what the functions of a session share ---- */

enum { DL_FUNCTIONS_THREAD_LIMIT = 16 };

struct dl_functions {
    const dl_engine_api *api;
    dl_roots *roots;
    dl_cancel *cancel;
    unsigned threads; /* that dicom_tags may have; at most DL_FUNCTIONS_THREAD_LIMIT */
};

/* ---- registering ---- */

typedef enum dl_function_result {
    DL_FUNCTION_TEXT,
    DL_FUNCTION_TEXTS, /* list */
    DL_FUNCTION_DATE,
    DL_FUNCTION_TIME,
    DL_FUNCTION_TIMESTAMP, /* with zone */
    DL_FUNCTION_DOUBLE,
    DL_FUNCTION_TAGS, /* list of what dicom_tags gives */
} dl_function_result;

typedef struct dl_function {
    const char *name;
    duckdb_type parameters[3]; /* DUCKDB_TYPE_INVALID (0) past the last */
    dl_function_result result;
    duckdb_scalar_function_bind_t bind; /* may be NULL */
    duckdb_scalar_function_t run;
} dl_function;

extern const dl_function dl_function_dicom_value, dl_function_dicom_values, dl_function_dicom_name,
    dl_function_dicom_date, dl_function_dicom_time, dl_function_dicom_datetime,
    dl_function_dicom_age_years, dl_function_file_url, dl_function_dicom_tags;

/** What dl_dicom_tags gives: the caller's. */
duckdb_logical_type dl_function_tags_type(const dl_engine_api *api);

/** Inside a callback: what was registered with the function. */
const dl_functions *dl_functions_of(duckdb_function_info info);
const dl_functions *dl_functions_of_bind(duckdb_bind_info info);

/** Bind data that several copies of an expression share. */
typedef struct dl_function_bound {
    atomic_size_t references;
    void (*clear)(void *self); /* may be NULL */
} dl_function_bound;
/** Gives `bound` (allocated with dl_mem_zalloc, its first member a dl_function_bound) to the
 * expression. */
void dl_function_bind(const dl_functions *functions, duckdb_bind_info info,
                      dl_function_bound *bound);
/** The value of an argument that is the same for all rows, as text. `out_constant` false: it
 * differs by row. `out_text` (arena; ptr NULL for NULL). */
DL_NODISCARD dl_status dl_function_constant(const dl_functions *functions, duckdb_bind_info info,
                                            size_t argument, dl_arena *arena, bool *out_constant,
                                            dl_str *out_text, dl_error *err);
/** The statement is wrong: `err` in words for its asker. */
void dl_function_refuse(const dl_functions *functions, duckdb_bind_info info, const char *name,
                        const dl_error *err);

/* ---- values of vectors ---- */

static inline dl_str dl_function_text(const duckdb_string_t *s)
{
    uint32_t len = s->value.inlined.length;
    return (dl_str){len <= 12 ? s->value.inlined.inlined : s->value.pointer.ptr, len};
}

static inline bool dl_function_valid(const uint64_t *validity, size_t row)
{
    return validity == NULL || (validity[row / 64] >> (row % 64) & 1) != 0;
}

/** A column of texts. */
typedef struct dl_function_texts {
    const duckdb_string_t *items;
    const uint64_t *validity;
} dl_function_texts;
dl_function_texts dl_function_texts_of(const dl_functions *functions, duckdb_vector vector);
static inline bool dl_function_text_at(const dl_function_texts *texts, size_t row, dl_str *out_text)
{
    if (!dl_function_valid(texts->validity, row)) {
        return false;
    }
    *out_text = dl_function_text(&texts->items[row]);
    return true;
}
void dl_function_put_null(const dl_functions *functions, duckdb_vector vector, size_t row);
static inline void dl_function_put_text(const dl_functions *functions, duckdb_vector vector,
                                        size_t row, dl_str text)
{
    functions->api->unsafe_vector_assign_string_element_len(
        vector, row, text.len == 0 ? "" : text.ptr, text.len);
}

#endif
