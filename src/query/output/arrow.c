/* Arrow IPC stream: the engine gives arrays of Arrow's C data interface, and we write them as
 * messages (docs/decisions/0014). Arrow columnar format 1.5, "Serialization and interprocess
 * communication"; Message.fbs, Schema.fbs. */
#include "query/output/flatbuffer.h"
#include "query/output/internal.h"
#include "query/session.h"

#include <string.h>

#define METADATA_LIMIT_BYTES ((size_t)64 << 20)
enum { VERSION_5 = 4, HEADER_SCHEMA = 1, HEADER_RECORD_BATCH = 3, PAD = 8 };

/* ---- the C data interface: arrow.apache.org/docs/format/CDataInterface.html ---- */

struct ArrowSchema {
    const char *format, *name, *metadata;
    int64_t flags, n_children;
    struct ArrowSchema **children, *dictionary;
    void (*release)(struct ArrowSchema *schema);
    void *private_data;
};

struct ArrowArray {
    int64_t length, null_count, offset, n_buffers, n_children;
    const void **buffers;
    struct ArrowArray **children, *dictionary;
    void (*release)(struct ArrowArray *array);
    void *private_data;
};

static void schema_release(struct ArrowSchema *schema)
{
    if (schema->release != NULL) {
        schema->release(schema);
    }
}

static void array_release(struct ArrowArray *array)
{
    if (array->release != NULL) {
        array->release(array);
    }
}

/* ---- types ---- */

typedef enum shape {
    SHAPE_NONE,   /* no buffers */
    SHAPE_FIXED,  /* values of `bits` */
    SHAPE_BYTES,  /* offsets of 32 bits, bytes */
    SHAPE_BYTES8, /* offsets of 64 bits, bytes */
    SHAPE_LIST,   /* offsets of 32 bits, a child */
    SHAPE_LIST8,
    SHAPE_CHILDREN, /* nothing of its own */
} shape;

enum { UTF8 = 5, DECIMAL = 7, TIMESTAMP = 10, FIXED_BINARY = 15, FIXED_LIST = 16 };

typedef struct arrow_type {
    const char *format; /* of the C data interface; ends in ':' when more follows */
    uint8_t id;         /* of Schema.fbs' union Type */
    shape shape;
    unsigned bits;
    dl_flatbuffer_field fields[3];
} arrow_type;

/* clang-format off */
static const arrow_type types[] = {
    {"n", 1, SHAPE_NONE, 0, {{0}}},
    {"b", 6, SHAPE_FIXED, 1, {{0}}},
    {"c", 2, SHAPE_FIXED, 8, {{4, 8}, {1, 1}}},
    {"C", 2, SHAPE_FIXED, 8, {{4, 8}, {1, 0}}},
    {"s", 2, SHAPE_FIXED, 16, {{4, 16}, {1, 1}}},
    {"S", 2, SHAPE_FIXED, 16, {{4, 16}, {1, 0}}},
    {"i", 2, SHAPE_FIXED, 32, {{4, 32}, {1, 1}}},
    {"I", 2, SHAPE_FIXED, 32, {{4, 32}, {1, 0}}},
    {"l", 2, SHAPE_FIXED, 64, {{4, 64}, {1, 1}}},
    {"L", 2, SHAPE_FIXED, 64, {{4, 64}, {1, 0}}},
    {"f", 3, SHAPE_FIXED, 32, {{2, 1}}},
    {"g", 3, SHAPE_FIXED, 64, {{2, 2}}},
    {"z", 4, SHAPE_BYTES, 8, {{0}}},
    {"Z", 19, SHAPE_BYTES8, 8, {{0}}},
    {"u", UTF8, SHAPE_BYTES, 8, {{0}}},
    {"U", 20, SHAPE_BYTES8, 8, {{0}}},
    {"tdD", 8, SHAPE_FIXED, 32, {{2, 0}}},
    {"ttu", 9, SHAPE_FIXED, 64, {{2, 2}, {4, 64}}},
    {"ttn", 9, SHAPE_FIXED, 64, {{2, 3}, {4, 64}}},
    {"tss:", TIMESTAMP, SHAPE_FIXED, 64, {{2, 0}, {4, 0}}},
    {"tsm:", TIMESTAMP, SHAPE_FIXED, 64, {{2, 1}, {4, 0}}},
    {"tsu:", TIMESTAMP, SHAPE_FIXED, 64, {{2, 2}, {4, 0}}},
    {"tsn:", TIMESTAMP, SHAPE_FIXED, 64, {{2, 3}, {4, 0}}},
    {"tin", 11, SHAPE_FIXED, 128, {{2, 2}}},
    {"d:", DECIMAL, SHAPE_FIXED, 128, {{4, 38}, {4, 0}, {4, 128}}},
    {"w:", FIXED_BINARY, SHAPE_FIXED, 8, {{4, 0}}},
    {"+l", 12, SHAPE_LIST, 0, {{0}}},
    {"+L", 21, SHAPE_LIST8, 0, {{0}}},
    {"+w:", FIXED_LIST, SHAPE_CHILDREN, 0, {{4, 0}}},
    {"+s", 13, SHAPE_CHILDREN, 0, {{0}}},
    {"+m", 17, SHAPE_LIST, 0, {{1, 0}}},
};
/* clang-format on */

/** The numbers behind "d:", "w:" and "+w:". */
static bool read_numbers(dl_str text, arrow_type *out)
{
    dl_str part = DL_STR_NONE;
    for (size_t i = 0; dl_str_next(&text, ',', &part); i++) {
        if (i == DL_COUNT_OF(out->fields) || !dl_str_to_i64(part, &out->fields[i].value)) {
            return false;
        }
    }
    if (out->id == DECIMAL) {
        out->bits = (unsigned)out->fields[2].value;
    } else if (out->id == FIXED_BINARY) {
        out->bits = 8 * (unsigned)out->fields[0].value;
    }
    return true;
}

static bool type_of(const struct ArrowSchema *schema, arrow_type *out)
{
    dl_str format = dl_str_of(schema->format);
    for (size_t i = 0; i < DL_COUNT_OF(types); i++) {
        dl_str known = dl_str_of(types[i].format);
        bool more = known.len > 1 && known.ptr[known.len - 1] == ':';
        if (more ? dl_str_starts(format, known) : dl_str_eq(format, known)) {
            *out = types[i];
            dl_str rest = dl_str_slice(format, known.len, format.len);
            return !more || out->id == TIMESTAMP || read_numbers(rest, out);
        }
    }
    return false;
}

static dl_status no_type(const struct ArrowSchema *schema, dl_error *err)
{
    (void)dl_error_set(err, DL_E_UNSUPPORTED,
                       "arrow: column %.60s is of a type that is not written",
                       schema->name == NULL ? "" : schema->name);
    dl_error_hint(err, "cast it: %.60s::VARCHAR", schema->name == NULL ? "" : schema->name);
    return DL_E_UNSUPPORTED;
}

/* ---- the schema ---- */

typedef struct pending {
    const struct ArrowSchema *schema;
    const struct ArrowArray *array;
    size_t place;
} pending;

static dl_status push(dl_buf *stack, pending item, dl_error *err)
{
    return dl_buf_append(stack, &item, sizeof item, err);
}

static bool pop(dl_buf *stack, pending *out)
{
    if (stack->len == 0) {
        return false;
    }
    stack->len -= sizeof *out;
    memcpy(out, stack->ptr + stack->len, sizeof *out);
    return true;
}

/** Table Field of Schema.fbs. An enumeration is written as the text that it stands for. */
static dl_status put_field(dl_flatbuffer *f, dl_buf *stack, const pending *item, dl_error *err)
{
    enum { NAME, NULLABLE, TYPE_ID, TYPE, DICTIONARY, CHILDREN, FIELDS };
    const struct ArrowSchema *schema = item->schema;
    arrow_type type;
    if (!type_of(schema->dictionary != NULL ? schema->dictionary : schema, &type)) {
        return no_type(schema, err);
    }
    bool nullable = (schema->flags & 2) != 0;
    const dl_flatbuffer_field fields[FIELDS] = {[NAME] = {4, 0},
                                                [NULLABLE] = {1, nullable},
                                                [TYPE_ID] = {1, type.id},
                                                [TYPE] = {4, 0},
                                                [CHILDREN] = {4, 0}};
    size_t places[FIELDS];
    size_t type_places[3];
    dl_flatbuffer_table(f, item->place, fields, FIELDS, places);
    dl_flatbuffer_text(f, places[NAME], dl_str_of(schema->name));
    dl_str zone = DL_STR_NONE;
    if (type.id == TIMESTAMP) {
        zone = dl_str_of(schema->format + strlen(type.format));
        type.fields[1].size = zone.len > 0 ? 4 : 0;
    }
    dl_flatbuffer_table(f, places[TYPE], type.fields, DL_COUNT_OF(type.fields), type_places);
    if (zone.len > 0) {
        dl_flatbuffer_text(f, type_places[1], zone);
    }
    size_t first = dl_flatbuffer_vector(f, places[CHILDREN], NULL, (size_t)schema->n_children, 4);
    for (int64_t i = 0; i < schema->n_children; i++) {
        const pending child = {.schema = schema->children[i], .place = first + 4 * (size_t)i};
        DL_TRY(push(stack, child, err));
    }
    return f->status;
}

/** Table Message of Message.fbs; the header's place is returned. */
static size_t put_message(dl_flatbuffer *f, int header, int64_t body_bytes)
{
    enum { VERSION, HEADER_TYPE, HEADER, BODY, FIELDS };
    size_t places[FIELDS];
    const dl_flatbuffer_field fields[FIELDS] = {[VERSION] = {2, VERSION_5},
                                                [HEADER_TYPE] = {1, header},
                                                [HEADER] = {4, 0},
                                                [BODY] = {8, body_bytes}};
    dl_flatbuffer_begin(f);
    dl_flatbuffer_table(f, 0, fields, FIELDS, places);
    return places[HEADER];
}

/** The message's frame: a mark, its size, itself, filled up to eight bytes. */
static dl_status put_frame(dl_output *out, dl_flatbuffer *f, dl_error *err)
{
    DL_TRY(f->status);
    while (f->buf.len % PAD != 0) {
        DL_TRY(dl_buf_append_char(&f->buf, '\0', err));
    }
    unsigned char frame[8] = {0xff, 0xff, 0xff, 0xff};
    for (unsigned i = 0; i < 4; i++) {
        frame[4 + i] = (unsigned char)(f->buf.len >> (8 * i));
    }
    DL_TRY(dl_buf_append(&out->buf, frame, sizeof frame, err));
    return dl_buf_append_str(&out->buf, dl_buf_str(&f->buf), err);
}

static dl_status put_schema(dl_output *out, dl_flatbuffer *f, dl_buf *stack,
                            const struct ArrowSchema *schema, dl_error *err)
{
    const dl_flatbuffer_field fields[] = {{2, 0}, {4, 0}}; /* little-endian; fields */
    size_t places[DL_COUNT_OF(fields)];
    dl_flatbuffer_table(f, put_message(f, HEADER_SCHEMA, 0), fields, DL_COUNT_OF(fields), places);
    size_t first = dl_flatbuffer_vector(f, places[1], NULL, (size_t)schema->n_children, 4);
    for (int64_t i = 0; i < schema->n_children; i++) {
        const pending child = {.schema = schema->children[i], .place = first + 4 * (size_t)i};
        DL_TRY(push(stack, child, err));
    }
    pending item;
    while (pop(stack, &item)) {
        DL_TRY(put_field(f, stack, &item, err));
    }
    return put_frame(out, f, err);
}

/* ---- a batch ---- */

typedef struct node { /* struct FieldNode of Message.fbs */
    int64_t length, null_count;
} node;

typedef struct span { /* struct Buffer: where it stands in the body */
    int64_t offset, length;
} span;

typedef struct batch {
    dl_buf stack, nodes, spans, parts; /* parts: dl_str of each span */
    int64_t body_bytes;
    dl_arena *arena; /* of enumerations as texts */
} batch;

static dl_status add_part(batch *b, const void *bytes, size_t len, dl_error *err)
{
    const dl_str part = {bytes, bytes == NULL ? 0 : len};
    const span place = {b->body_bytes, (int64_t)part.len};
    b->body_bytes += (int64_t)((part.len + PAD - 1) / PAD * PAD);
    DL_TRY(dl_buf_append(&b->spans, &place, sizeof place, err));
    return dl_buf_append(&b->parts, &part, sizeof part, err);
}

static int64_t count_nulls(const struct ArrowArray *array, bool none)
{
    const unsigned char *bits = array->n_buffers > 0 ? array->buffers[0] : NULL;
    int64_t nulls = 0;
    if (none) {
        return array->length;
    }
    for (int64_t i = 0; bits != NULL && i < array->length; i++) {
        nulls += (bits[i / 8] >> (i % 8) & 1) == 0;
    }
    return nulls;
}

/** Entry `i` of offsets of 4 or 8 bytes. */
static size_t offset_at(const void *offsets, size_t i, bool wide)
{
    int32_t narrow = 0;
    int64_t value = 0;
    if (offsets == NULL) {
        return 0;
    }
    if (wide) {
        memcpy(&value, (const char *)offsets + 8 * i, sizeof value);
        return (size_t)value;
    }
    memcpy(&narrow, (const char *)offsets + 4 * i, sizeof narrow);
    return (size_t)narrow;
}

static size_t index_at(const void *indices, size_t i, unsigned bits)
{
    uint32_t value = 0;
    memcpy(&value, (const char *)indices + i * (bits / 8), bits / 8); /* little-endian */
    return value;
}

/* An enumeration as the texts that its values stand for. */
typedef struct enumeration {
    const struct ArrowArray *array;
    unsigned index_bits;
    bool wide; /* offsets of 64 bits */
} enumeration;

/** Texts of all values: their bytes, and their offsets; NULL: only measured. */
static size_t copy_texts(const enumeration *e, char *offsets, char *bytes)
{
    const struct ArrowArray *texts = e->array->dictionary;
    const unsigned char *valid = e->array->buffers[0];
    size_t offset_size = e->wide ? 8 : 4;
    size_t at = 0;
    for (size_t i = 0; i < (size_t)e->array->length; i++) {
        if (valid == NULL || (valid[i / 8] >> (i % 8) & 1) != 0) {
            size_t k = index_at(e->array->buffers[1], i, e->index_bits);
            size_t from = offset_at(texts->buffers[1], k, e->wide);
            size_t len = offset_at(texts->buffers[1], k + 1, e->wide) - from;
            if (bytes != NULL) {
                memcpy(bytes + at, (const char *)texts->buffers[2] + from, len);
            }
            at += len;
        }
        if (offsets != NULL) {
            memcpy(offsets + (i + 1) * offset_size, &at, offset_size); /* little-endian */
        }
    }
    return at;
}

static dl_status add_enumeration(batch *b, const pending *item, dl_error *err)
{
    arrow_type index;
    arrow_type text;
    if (!type_of(item->schema, &index) || index.shape != SHAPE_FIXED || index.bits > 32 ||
        !type_of(item->schema->dictionary, &text) ||
        (text.shape != SHAPE_BYTES && text.shape != SHAPE_BYTES8)) {
        return no_type(item->schema, err);
    }
    const enumeration e = {item->array, index.bits, text.shape == SHAPE_BYTES8};
    size_t offsets_size = ((size_t)item->array->length + 1) * (e.wide ? 8 : 4);
    size_t total = copy_texts(&e, NULL, NULL);
    char *offsets = dl_arena_alloc(b->arena, offsets_size, 1);
    char *bytes = dl_arena_alloc(b->arena, total + 1, 1);
    if (offsets == NULL || bytes == NULL) {
        return dl_arena_full(b->arena, err);
    }
    (void)copy_texts(&e, offsets, bytes);
    DL_TRY(add_part(b, offsets, offsets_size, err));
    return add_part(b, bytes, total, err);
}

static dl_status add_values(batch *b, const struct ArrowArray *array, const arrow_type *type,
                            dl_error *err)
{
    size_t count = (size_t)array->length;
    bool wide = type->shape == SHAPE_BYTES8 || type->shape == SHAPE_LIST8;
    switch (type->shape) {
    case SHAPE_FIXED:
        return add_part(b, array->buffers[1], (count * type->bits + 7) / 8, err);
    case SHAPE_LIST:
    case SHAPE_LIST8:
        return add_part(b, array->buffers[1], (count + 1) * (wide ? 8 : 4), err);
    case SHAPE_BYTES:
    case SHAPE_BYTES8:
        DL_TRY(add_part(b, array->buffers[1], (count + 1) * (wide ? 8 : 4), err));
        return add_part(b, array->buffers[2], offset_at(array->buffers[1], count, wide), err);
    case SHAPE_NONE:
    case SHAPE_CHILDREN:
        break;
    }
    return DL_OK;
}

static dl_status add_array(batch *b, const pending *item, dl_error *err)
{
    const struct ArrowArray *array = item->array;
    arrow_type type;
    if (!type_of(item->schema, &type) || array->offset != 0) {
        return no_type(item->schema, err);
    }
    const node n = {array->length, count_nulls(array, type.shape == SHAPE_NONE)};
    DL_TRY(dl_buf_append(&b->nodes, &n, sizeof n, err));
    if (type.shape != SHAPE_NONE) {
        DL_TRY(add_part(b, n.null_count == 0 ? NULL : array->buffers[0],
                        ((size_t)array->length + 7) / 8, err));
    }
    DL_TRY(item->schema->dictionary != NULL ? add_enumeration(b, item, err)
                                            : add_values(b, array, &type, err));
    for (int64_t i = array->n_children; i-- > 0;) { /* the first child comes off the stack first */
        const pending child = {.schema = item->schema->children[i], .array = array->children[i]};
        DL_TRY(push(&b->stack, child, err));
    }
    return DL_OK;
}

static dl_status put_body(dl_output *out, const batch *b, dl_error *err)
{
    static const char zeros[PAD] = {0};
    for (size_t i = 0; i < b->parts.len / sizeof(dl_str); i++) {
        dl_str part;
        memcpy(&part, b->parts.ptr + i * sizeof part, sizeof part);
        if (part.len > 0) {
            DL_TRY(dl_buf_append_str(&out->buf, part, err));
            DL_TRY(dl_buf_append(&out->buf, zeros, (PAD - part.len % PAD) % PAD, err));
        }
    }
    return DL_OK;
}

static dl_status put_batch(dl_output *out, dl_flatbuffer *f, batch *b,
                           const struct ArrowSchema *schema, const struct ArrowArray *array,
                           dl_error *err)
{
    enum { LENGTH, NODES, BUFFERS, FIELDS };
    for (int64_t i = array->n_children; i-- > 0;) {
        const pending child = {.schema = schema->children[i], .array = array->children[i]};
        DL_TRY(push(&b->stack, child, err));
    }
    pending item;
    while (pop(&b->stack, &item)) {
        DL_TRY(add_array(b, &item, err));
    }
    const dl_flatbuffer_field fields[FIELDS] = {
        [LENGTH] = {8, array->length}, [NODES] = {4, 0}, [BUFFERS] = {4, 0}};
    size_t places[FIELDS];
    dl_flatbuffer_table(f, put_message(f, HEADER_RECORD_BATCH, b->body_bytes), fields, FIELDS,
                        places);
    (void)dl_flatbuffer_vector(f, places[NODES], b->nodes.ptr, b->nodes.len / sizeof(node),
                               sizeof(node));
    (void)dl_flatbuffer_vector(f, places[BUFFERS], b->spans.ptr, b->spans.len / sizeof(span),
                               sizeof(span));
    DL_TRY(put_frame(out, f, err));
    return put_body(out, b, err);
}

static void batch_clear(batch *b)
{
    dl_buf_clear(&b->stack);
    dl_buf_clear(&b->nodes);
    dl_buf_clear(&b->spans);
    dl_buf_clear(&b->parts);
    dl_arena_destroy(b->arena);
}

static dl_status engine_failed(dl_engine *engine, duckdb_error_data data, dl_error *err)
{
    if (data == NULL || !engine->api.error_data_has_error(data)) {
        return DL_OK;
    }
    return dl_engine_error(engine, engine->api.error_data_error_type(data),
                           engine->api.error_data_message(data), NULL, err);
}

static dl_status put_chunk(dl_output *out, dl_flatbuffer *f, duckdb_arrow_options options,
                           const struct ArrowSchema *schema, size_t rows, dl_error *err)
{
    dl_engine *engine = &out->result->query->engine;
    DL_CLEANUP(array_release) struct ArrowArray array = {0};
    DL_CLEANUP(batch_clear) batch b = {.arena = dl_arena_create(DL_OUTPUT_ARENA_LIMIT_BYTES)};
    if (b.arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "arrow: out of memory");
    }
    dl_buf_init(&b.stack, METADATA_LIMIT_BYTES);
    dl_buf_init(&b.nodes, METADATA_LIMIT_BYTES);
    dl_buf_init(&b.spans, METADATA_LIMIT_BYTES);
    dl_buf_init(&b.parts, METADATA_LIMIT_BYTES);
    engine->api.data_chunk_set_size(out->result->chunk, rows); /* a limit may have cut it */
    duckdb_error_data failed = engine->api.data_chunk_to_arrow(options, out->result->chunk, &array);
    dl_status status = engine_failed(engine, failed, err);
    engine->api.destroy_error_data(&failed);
    DL_TRY(status);
    return put_batch(out, f, &b, schema, &array, err);
}

/* ---- all of it ---- */

static dl_status make_schema(dl_output *out, duckdb_arrow_options options,
                             struct ArrowSchema *schema, dl_error *err)
{
    const dl_engine_api *api = &out->result->query->engine.api;
    DL_AUTO(dl_arena) arena = dl_arena_create(DL_OUTPUT_ARENA_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "arrow: out of memory");
    }
    dl_str *unique = NULL;
    DL_TRY(dl_output_names(out->result, false, arena, &unique, err));
    const char **names = dl_arena_alloc(arena, out->columns + 1, sizeof *names);
    duckdb_logical_type *column_types = dl_arena_alloc(arena, out->columns + 1, sizeof(void *));
    if (names == NULL || column_types == NULL) {
        return dl_arena_full(arena, err);
    }
    for (size_t i = 0; i < out->columns; i++) {
        DL_TRY(dl_arena_copy(arena, unique[i], &unique[i], err)); /* ended by NUL */
        names[i] = unique[i].ptr;
    }
    for (size_t i = 0; i < out->columns; i++) {
        column_types[i] = api->column_logical_type(&out->result->rows, i);
    }
    duckdb_error_data failed =
        api->to_arrow_schema(options, column_types, names, out->columns, schema);
    for (size_t i = 0; i < out->columns; i++) {
        api->destroy_logical_type(&column_types[i]);
    }
    dl_status status = engine_failed(&out->result->query->engine, failed, err);
    api->destroy_error_data(&failed);
    return status;
}

static dl_status put_stream(dl_output *out, dl_flatbuffer *f, duckdb_arrow_options options,
                            dl_error *err)
{
    static const unsigned char end[] = {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0};
    DL_CLEANUP(schema_release) struct ArrowSchema schema = {0};
    DL_TRY(make_schema(out, options, &schema, err));
    DL_AUTO_BUF stack = {0};
    dl_buf_init(&stack, METADATA_LIMIT_BYTES);
    DL_TRY(put_schema(out, f, &stack, &schema, err));
    for (;;) {
        size_t rows = 0;
        DL_TRY(dl_query_next(out->result, &rows, err));
        if (rows == 0) {
            return dl_buf_append(&out->buf, end, sizeof end, err);
        }
        DL_TRY(put_chunk(out, f, options, &schema, rows, err));
        DL_TRY(dl_output_flush_full(out, err));
        out->rows += (int64_t)rows;
    }
}

dl_status dl_output_arrow(dl_output *out, dl_error *err)
{
    const dl_engine *engine = &out->result->query->engine;
    duckdb_arrow_options options = NULL;
    dl_flatbuffer f = {.err = err};
    dl_buf_init(&f.buf, METADATA_LIMIT_BYTES);
    engine->api.connection_get_arrow_options(engine->connection, &options);
    dl_status status = put_stream(out, &f, options, err);
    engine->api.destroy_arrow_options(&options);
    dl_buf_clear(&f.buf);
    return status;
}
