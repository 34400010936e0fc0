/*
 * Writes a Parquet file by a script, for tests that judge the file with other readers.
 *
 *     write_script SCRIPT OUT
 *
 * prints `rows ROWS bytes BYTES`, then for each leaf `stat NULLS HAS_RANGE HAS_NAN MIN_CUT MAX_CUT
 * [MIN MAX]`.
 *
 * Lines of a script, words separated by one space, texts as hexadecimal digits or "-":
 *     options CODEC LEVEL GROUP_ROWS GROUP_BYTES STRING_STAT_BYTES
 *     field DEPTH TYPE REQUIRED FIELD_ID PRECISION SCALE NAME   depth first; children one deeper
 *     null LEAF REP DEF
 *     int LEAF REP VALUE
 *     double LEAF REP BITS         as sixteen hexadecimal digits
 *     str LEAF REP TEXT
 *     row
 */
#include "base/buf.h"
#include "base/file.h"
#include "columnar/columnar.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { FIELD_LIMIT = 512, SCRIPT_LIMIT_BYTES = 1 << 30, TEXT_LIMIT_BYTES = 1 << 24 };

typedef struct script {
    dl_columnar_field fields[FIELD_LIMIT]; /* as they came */
    size_t depths[FIELD_LIMIT];
    dl_columnar_field tree[FIELD_LIMIT]; /* siblings side by side */
    size_t field_count, top_count;
    dl_columnar_writer_options options;
    dl_columnar_writer *writer;
    dl_buf text;
    int fd;
} script;

static const char *const type_names[] = {
    [DL_COLUMNAR_STRING] = "string",
    [DL_COLUMNAR_BINARY] = "binary",
    [DL_COLUMNAR_BOOL] = "bool",
    [DL_COLUMNAR_INT8] = "int8",
    [DL_COLUMNAR_INT16] = "int16",
    [DL_COLUMNAR_INT32] = "int32",
    [DL_COLUMNAR_INT64] = "int64",
    [DL_COLUMNAR_FLOAT] = "float",
    [DL_COLUMNAR_DOUBLE] = "double",
    [DL_COLUMNAR_DECIMAL] = "decimal",
    [DL_COLUMNAR_DATE] = "date",
    [DL_COLUMNAR_TIMESTAMP] = "timestamp",
    [DL_COLUMNAR_TIMESTAMP_NTZ] = "timestamp_ntz",
    [DL_COLUMNAR_STRUCT] = "struct",
    [DL_COLUMNAR_LIST] = "list",
    [DL_COLUMNAR_MAP] = "map",
};

static dl_str word(dl_str *line)
{
    dl_str part = DL_STR_NONE;
    (void)dl_str_next(line, ' ', &part); /* an empty one becomes number 0 */
    return part;
}

static int64_t number(dl_str *line)
{
    int64_t value = 0;
    DL_ASSERT(dl_str_to_i64(word(line), &value));
    return value;
}

static dl_columnar_type type_of(dl_str name)
{
    for (size_t i = 0; i < DL_COUNT_OF(type_names); i++) {
        if (dl_str_eq(name, dl_str_of(type_names[i]))) {
            return (dl_columnar_type)i;
        }
    }
    DL_ASSERT(name.len == 0); /* a type that nobody knows */
    return DL_COLUMNAR_STRING;
}

static dl_status write_fd(void *context, dl_bytes piece, dl_error *err)
{
    const script *s = context;
    return dl_file_write_all(s->fd, piece.ptr, piece.len, err);
}

static void take_options(script *s, dl_str line)
{
    dl_str codec = word(&line);
    s->options.codec = dl_str_eq(codec, DL_STR("zstd"))     ? DL_COLUMNAR_ZSTD
                       : dl_str_eq(codec, DL_STR("snappy")) ? DL_COLUMNAR_SNAPPY
                                                            : DL_COLUMNAR_PLAIN;
    s->options.zstd_level = (int)number(&line);
    s->options.row_group_rows = (size_t)number(&line);
    s->options.row_group_limit_bytes = (size_t)number(&line);
    s->options.string_stat_limit_bytes = (size_t)number(&line);
}

static void take_field(script *s, dl_str line)
{
    DL_ASSERT(s->field_count < FIELD_LIMIT);
    s->depths[s->field_count] = (size_t)number(&line);
    dl_columnar_field *field = &s->fields[s->field_count++];
    field->type = type_of(word(&line));
    field->required = number(&line) != 0;
    field->field_id = (int32_t)number(&line);
    field->precision = (uint8_t)number(&line);
    field->scale = (uint8_t)number(&line);
    field->name = line;
}

/* Siblings must stand side by side: level by level. */
static void build_tree(script *s)
{
    size_t from[FIELD_LIMIT]; /* place in `tree` -> place in `fields` */
    size_t count = 0;
    for (size_t i = 0; i < s->field_count; i++) {
        if (s->depths[i] == 0) {
            from[count++] = i;
        }
    }
    s->top_count = count;
    for (size_t at = 0; at < count; at++) {
        size_t i = from[at];
        s->tree[at] = s->fields[i];
        s->tree[at].children = &s->tree[count];
        for (size_t k = i + 1; k < s->field_count && s->depths[k] > s->depths[i]; k++) {
            if (s->depths[k] == s->depths[i] + 1) {
                from[count++] = k;
                s->tree[at].child_count++;
            }
        }
    }
}

static dl_status begin(script *s, dl_error *err)
{
    if (s->writer != NULL) {
        return DL_OK;
    }
    build_tree(s);
    s->options.fields = s->tree;
    s->options.field_count = s->top_count;
    s->options.write = write_fd;
    s->options.context = s;
    return dl_columnar_writer_create(&s->options, &s->writer, err);
}

static dl_str text_of(script *s, dl_str hex)
{
    dl_buf_reset(&s->text);
    if (dl_str_eq(hex, DL_STR("-"))) {
        return DL_STR_NONE;
    }
    for (size_t i = 0; i < hex.len; i += 2) {
        uint64_t byte = 0;
        DL_ASSERT(dl_str_hex_to_u64(dl_str_slice(hex, i, 2), &byte));
        DL_ASSERT(dl_buf_append_char(&s->text, (char)(uint8_t)byte, NULL) == DL_OK);
    }
    return dl_buf_str(&s->text);
}

static dl_status take_entry(script *s, dl_str what, dl_str line, dl_error *err)
{
    DL_TRY(begin(s, err));
    if (dl_str_eq(what, DL_STR("row"))) {
        return dl_columnar_row_end(s->writer, err);
    }
    size_t leaf = (size_t)number(&line);
    unsigned rep = (unsigned)number(&line);
    if (dl_str_eq(what, DL_STR("null"))) {
        dl_columnar_put_null(s->writer, leaf, rep, (unsigned)number(&line));
    } else if (dl_str_eq(what, DL_STR("int"))) {
        dl_columnar_put_int(s->writer, leaf, rep, number(&line));
    } else if (dl_str_eq(what, DL_STR("double"))) {
        uint64_t bits = 0;
        double value = 0;
        DL_ASSERT(dl_str_hex_to_u64(word(&line), &bits));
        memcpy(&value, &bits, sizeof value);
        dl_columnar_put_double(s->writer, leaf, rep, value);
    } else {
        DL_ASSERT(dl_str_eq(what, DL_STR("str")));
        dl_columnar_put_str(s->writer, leaf, rep, text_of(s, word(&line)));
    }
    return DL_OK;
}

static void print_value(const dl_columnar_field *field, dl_columnar_value value)
{
    if (field->type == DL_COLUMNAR_FLOAT || field->type == DL_COLUMNAR_DOUBLE) {
        printf(" %.17g", value.d);
    } else if (field->type != DL_COLUMNAR_STRING) {
        printf(" %lld", (long long)value.i);
    } else {
        printf(" %s", value.s.len == 0 ? "-" : "");
        for (size_t i = 0; i < value.s.len; i++) {
            printf("%02x", (uint8_t)value.s.ptr[i]);
        }
    }
}

static void print_stat(const dl_columnar_field *field, const dl_columnar_stat *stat)
{
    printf("stat %lld %d %d %d %d", (long long)stat->null_count, stat->has_range, stat->has_nan,
           stat->min_cut, stat->max_cut);
    if (stat->has_range) {
        print_value(field, stat->min);
        print_value(field, stat->max);
    }
    printf("\n");
}

static dl_status run(script *s, dl_str lines, dl_error *err)
{
    dl_str line = DL_STR_NONE;
    while (dl_str_next(&lines, '\n', &line)) {
        dl_str what = word(&line);
        if (dl_str_eq(what, DL_STR("options"))) {
            take_options(s, line);
        } else if (dl_str_eq(what, DL_STR("field"))) {
            take_field(s, line);
        } else if (what.len > 0) {
            DL_TRY(take_entry(s, what, line, err));
        }
    }
    DL_TRY(begin(s, err));
    dl_columnar_summary summary = {0};
    DL_TRY(dl_columnar_writer_finish(s->writer, &summary, err));
    printf("rows %lld bytes %llu\n", (long long)summary.row_count,
           (unsigned long long)summary.size_bytes);
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 24);
    dl_columnar_leaf *leaves = NULL;
    size_t leaf_count = 0;
    DL_TRY(dl_columnar_leaves(s->tree, s->top_count, arena, &leaves, &leaf_count, err));
    DL_ASSERT(leaf_count == summary.leaf_count);
    for (size_t i = 0; i < leaf_count; i++) {
        print_stat(leaves[i].field, &summary.stats[i]);
    }
    return DL_OK;
}

int main(int argc, char **argv)
{
    static script s;
    if (argc != 3) {
        fprintf(stderr, "usage: %s SCRIPT OUT\n", argv[0]);
        return 2;
    }
    dl_error err = {0};
    DL_AUTO_BUF lines = {0};
    dl_buf_init(&lines, SCRIPT_LIMIT_BYTES);
    dl_buf_init(&s.text, TEXT_LIMIT_BYTES);
    dl_status status = dl_file_read_all(argv[1], &lines, &err);
    if (status == DL_OK) {
        status = dl_file_open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0600, &s.fd, &err);
    }
    if (status == DL_OK) {
        status = run(&s, dl_buf_str(&lines), &err);
    }
    dl_columnar_writer_destroy(s.writer);
    dl_buf_clear(&s.text);
    dl_file_close(&s.fd);
    if (status != DL_OK) {
        fprintf(stderr, "%s: %s\n", dl_status_name(status), err.message);
        return 1;
    }
    return 0;
}
