/* dump_parquet FILE SCHEMA [first=N] [end=N] [ids] [threads=N] [memory=N] [times=N] [quiet]
 * prints the entries of the wanted columns, a JSON line a row: [row number, leaf, leaf, ...], each
 * leaf a list of [rep, def, value]. SCHEMA is a JSON array of fields:
 * {"name", "type", "children", "required", "id", "precision", "scale", "json"}.
 * dump_parquet FILE count     prints the number of rows
 * Binary values come as hex. Exit code 1: the status and the message, on standard error. */
#include "columnar/columnar.h"
#include "json/json.h"

#include <stdio.h>
#include <string.h>

static const char *const type_names[] = {
    "string", "binary",  "bool", "int8",      "int16",         "int32",  "int64", "float",
    "double", "decimal", "date", "timestamp", "timestamp_ntz", "struct", "list",  "map",
};

typedef struct dump {
    const dl_columnar_leaf *leaves;
    size_t leaf_count;
    int64_t row_count;
    bool quiet;
    dl_buf line;
} dump;

static dl_status parse_fields(dl_str array, dl_arena *arena, dl_columnar_field **out_fields,
                              size_t *out_count, dl_error *err)
{
    size_t count = 0;
    dl_str item, value;
    for (dl_json_iter it = dl_json_iter_of(array); dl_json_next_element(&it, &item);) {
        count++;
    }
    dl_columnar_field *fields = dl_arena_alloc(arena, count, sizeof(*fields));
    if (fields == NULL) {
        return dl_arena_full(arena, err);
    }
    dl_columnar_field *f = fields;
    for (dl_json_iter it = dl_json_iter_of(array); dl_json_next_element(&it, &item); f++) {
        dl_str type = {0};
        int64_t number = 0;
        if (dl_json_get(item, DL_STR("name"), &value)) {
            DL_TRY(dl_json_text(value, arena, &f->name, err));
        }
        if (dl_json_get(item, DL_STR("type"), &value)) {
            DL_TRY(dl_json_text(value, arena, &type, err));
        }
        for (size_t i = 0; i < DL_COUNT_OF(type_names); i++) {
            if (dl_str_eq(type, dl_str_of(type_names[i]))) {
                f->type = (dl_columnar_type)i;
            }
        }
        (void)(dl_json_get(item, DL_STR("required"), &value) &&
               dl_json_bool_of(value, &f->required));
        (void)(dl_json_get(item, DL_STR("json"), &value) && dl_json_bool_of(value, &f->as_json));
        if (dl_json_get(item, DL_STR("id"), &value) && dl_json_int_of(value, &number)) {
            f->field_id = (int32_t)number;
        }
        if (dl_json_get(item, DL_STR("precision"), &value) && dl_json_int_of(value, &number)) {
            f->precision = (uint8_t)number;
        }
        if (dl_json_get(item, DL_STR("scale"), &value) && dl_json_int_of(value, &number)) {
            f->scale = (uint8_t)number;
        }
        if (dl_json_get(item, DL_STR("children"), &value)) {
            dl_columnar_field *children = NULL;
            DL_TRY(parse_fields(value, arena, &children, &f->child_count, err));
            f->children = children;
        }
    }
    *out_fields = fields;
    *out_count = count;
    return DL_OK;
}

static void put_value(dl_json_writer *w, const dl_columnar_field *field,
                      const dl_columnar_value *value)
{
    if (field->type == DL_COLUMNAR_BINARY) {
        char hex[3];
        dl_json_raw(w, DL_STR("\""));
        for (size_t i = 0; i < value->s.len; i++) {
            snprintf(hex, sizeof(hex), "%02x", (unsigned char)value->s.ptr[i]);
            w->status = dl_buf_append(w->buf, hex, 2, w->err);
        }
        w->status = dl_buf_append_char(w->buf, '"', w->err);
    } else if (field->type == DL_COLUMNAR_STRING ||
               (field->type == DL_COLUMNAR_DECIMAL && field->precision > 18)) {
        dl_json_string(w, value->s);
    } else if (field->type == DL_COLUMNAR_FLOAT || field->type == DL_COLUMNAR_DOUBLE) {
        dl_json_double(w, value->d);
    } else {
        dl_json_int(w, value->i);
    }
}

static dl_status show(void *context, const dl_columnar_batch *batch, dl_error *err)
{
    dump *d = context;
    size_t at[DL_COLUMNAR_LEAF_LIMIT] = {0};
    d->row_count += (int64_t)batch->row_count;
    for (size_t row = 0; row < batch->row_count && !d->quiet; row++) {
        dl_json_writer w;
        dl_buf_reset(&d->line);
        dl_json_writer_init(&w, &d->line, err);
        dl_json_array_begin(&w);
        dl_json_int(&w, batch->row_numbers[row]);
        for (size_t leaf = 0; leaf < batch->leaf_count; leaf++) {
            const dl_columnar_entries *e = &batch->leaves[leaf];
            dl_json_array_begin(&w);
            size_t begin = at[leaf];
            for (; at[leaf] < e->count; at[leaf]++) {
                size_t n = at[leaf];
                unsigned rep = e->rep == NULL ? 0 : e->rep[n];
                if (n > begin && rep == 0) {
                    break;
                }
                dl_json_array_begin(&w);
                dl_json_int(&w, rep);
                dl_json_int(&w, e->def[n]);
                if (e->def[n] == d->leaves[leaf].max_def) {
                    put_value(&w, d->leaves[leaf].field, &e->values[n]);
                }
                dl_json_array_end(&w);
            }
            dl_json_array_end(&w);
        }
        dl_json_array_end(&w);
        DL_TRY(dl_json_writer_status(&w));
        printf("%.*s\n", DL_STR_ARG(dl_buf_str(&d->line)));
    }
    return DL_OK;
}

static bool option(const char *word, const char *name, int64_t *out)
{
    size_t len = strlen(name);
    return strncmp(word, name, len) == 0 && dl_str_to_i64(dl_str_of(word + len), out);
}

static dl_status run(int count, char **words, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(16 << 20);
    dl_columnar_scan scan = {.location = dl_str_of(words[1])};
    dl_columnar_engine_options options = {0};
    dump d = {0};
    int64_t number = 0, times = 1;
    for (int i = 3; i < count; i++) {
        d.quiet = d.quiet || strcmp(words[i], "quiet") == 0;
        scan.by_field_id = scan.by_field_id || strcmp(words[i], "ids") == 0;
        (void)(option(words[i], "first=", &scan.first_row) ||
               option(words[i], "end=", &scan.end_row) || option(words[i], "times=", &times));
        if (option(words[i], "threads=", &number)) {
            options.threads = (unsigned)number;
        }
        if (option(words[i], "memory=", &number)) {
            options.memory_limit_bytes = (size_t)number;
        }
    }
    DL_AUTO(dl_columnar_engine) engine = NULL;
    DL_TRY(dl_columnar_engine_create(&options, &engine, err));
    if (strcmp(words[2], "count") == 0) {
        DL_TRY(dl_columnar_row_count(engine, scan.location, &number, err));
        printf("%lld\n", (long long)number);
        return DL_OK;
    }
    dl_columnar_field *fields = NULL;
    dl_columnar_leaf *leaves = NULL;
    DL_TRY(dl_json_check(dl_str_of(words[2]), err));
    DL_TRY(parse_fields(dl_str_of(words[2]), arena, &fields, &scan.field_count, err));
    if (scan.field_count > 0) {
        DL_TRY(dl_columnar_leaves(fields, scan.field_count, arena, &leaves, &d.leaf_count, err));
    }
    scan.fields = fields;
    d.leaves = leaves;
    dl_buf_init(&d.line, 1 << 30);
    dl_status status = DL_OK;
    for (int64_t i = 0; i < times && status == DL_OK; i++) {
        status = dl_columnar_read(engine, &scan, show, &d, err);
    }
    dl_buf_clear(&d.line);
    if (d.quiet) {
        printf("%lld\n", (long long)d.row_count);
    }
    return status;
}

int main(int count, char **words)
{
    dl_error err = {0};
    if (count < 3) {
        fprintf(stderr, "usage: dump_parquet FILE SCHEMA|count [OPTION...]\n");
        return 2;
    }
    if (run(count, words, &err) != DL_OK) {
        fprintf(stderr, "%s: %s\n", dl_status_name(err.status), err.message);
        return 1;
    }
    return 0;
}
