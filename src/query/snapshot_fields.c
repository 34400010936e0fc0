/* Columns of a table as a statement sees them, and the DICOM attributes that they come from. */
#include "query/snapshot.h"

#include "dict/dict.h"

#include <inttypes.h>

/* The template's columns are keywords without their capitals, and one attribute comes twice, the
 * second time as a date: "studydate_formatted". */
static const dl_dict_entry *attribute_of(dl_str name)
{
    static const dl_str formatted = {"_formatted", 10};
    if (dl_str_ends(name, formatted)) {
        name.len -= formatted.len;
    }
    for (size_t i = 0; i < dl_dict_count(); i++) {
        const dl_dict_entry *entry = dl_dict_at(i);
        if (dl_str_eq_nocase(dl_str_of(entry->keyword), name)) {
            return entry;
        }
    }
    return NULL;
}

static dl_status fill(const dl_delta_column *column, dl_arena *arena, dl_query_field *out,
                      dl_error *err)
{
    DL_AUTO_BUF type = {0};
    dl_buf_init(&type, DL_SNAPSHOT_SQL_LIMIT_BYTES);
    DL_TRY(dl_snapshot_put_type(&type, column, false, err));
    DL_TRY(dl_arena_copy(arena, column->name, &out->name, err));
    DL_TRY(dl_arena_copy(arena, dl_buf_str(&type), &out->type, err));
    out->partition = column->partition;
    out->nullable = column->nullable;
    const dl_dict_entry *entry = attribute_of(column->name);
    if (entry == NULL) {
        return DL_OK;
    }
    out->attribute = dl_str_of(entry->keyword);
    return dl_arena_printf(arena, &out->tag, err, "%08" PRIX32, entry->tag);
}

dl_status dl_query_fields_of(const dl_delta_table *table, dl_arena *arena,
                             dl_query_field **out_fields, size_t *out_count, dl_error *err)
{
    size_t count = 0;
    const dl_delta_column *columns = dl_delta_columns(table, &count);
    dl_query_field *fields = dl_arena_alloc(arena, count + 1, sizeof *fields);
    if (fields == NULL) {
        return dl_arena_full(arena, err);
    }
    for (size_t i = 0; i < count; i++) {
        DL_TRY(fill(&columns[i], arena, &fields[i], err));
    }
    *out_fields = fields;
    *out_count = count;
    return DL_OK;
}

dl_status dl_snapshots_fields(dl_snapshots *snapshots, const dl_query_table *table, dl_arena *arena,
                              dl_query_field **out_fields, size_t *out_count, dl_error *err)
{
    dl_snapshot_table *opened = NULL;
    DL_TRY(dl_snapshots_table(snapshots, table, &opened, err));
    return dl_query_fields_of(opened->table, arena, out_fields, out_count, err);
}
