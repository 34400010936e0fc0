/* A schema string from anywhere: columns or an error; merged with itself it stays as it is, and
 * with nothing new stands it comes to the same columns. */
#include "delta/internal.h"

enum { MEMORY_LIMIT_BYTES = 256 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static dl_status columns_of(dl_str schema, dl_arena *arena, size_t *out_count)
{
    dl_delta_metadata metadata = {.schema_json = schema};
    dl_delta_column *columns = NULL;
    dl_error err = {0};
    dl_status status = dl_delta_schema_columns(&metadata, arena, &columns, out_count, &err);
    DL_ASSERT((status == DL_OK) == (err.message[0] == '\0'));
    if (status == DL_OK) {
        for (size_t i = 0; i < *out_count; i++) {
            dl_columnar_leaf *leaves = NULL;
            size_t leaf_count = 0;
            dl_status got =
                dl_columnar_leaves(&columns[i].field, 1, arena, &leaves, &leaf_count, NULL);
            DL_ASSERT(got == DL_OK || got == DL_E_LIMIT);
        }
    }
    return status;
}

/* An empty schema takes over all of it. */
static void merge_into_nothing(dl_str schema, size_t count, dl_arena *arena)
{
    dl_str merged = DL_STR_NONE;
    size_t again = 0;
    dl_status status = dl_delta_schema_merge(DL_STR("{\"type\":\"struct\",\"fields\":[]}"), schema,
                                             arena, &merged, NULL);
    if (status == DL_OK && columns_of(merged, arena, &again) == DL_OK) {
        DL_ASSERT(again <= count); /* names that differ by case only are one */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(MEMORY_LIMIT_BYTES);
    dl_str schema = {(const char *)bytes, size}, merged = DL_STR_NONE;
    size_t count = 0;
    if (columns_of(schema, arena, &count) == DL_OK) {
        merge_into_nothing(schema, count, arena);
    }
    if (dl_delta_schema_merge(schema, schema, arena, &merged, NULL) == DL_OK) {
        DL_ASSERT(columns_of(merged, arena, &count) == columns_of(schema, arena, &count));
    }
    return 0;
}
