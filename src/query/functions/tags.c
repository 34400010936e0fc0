/*
 * dicom_tags: the attributes of files in the lake, as rows.
 *
 * FROM instance i, dicom_tags(i.filepath) t is a macro over a scalar function that gives a list for
 * each path; the engine calls it for those rows alone that the statement needs. Of a chunk of rows
 * the headers are read by a few threads at once, up to the pixel data, into texts of their own;
 * then they are put into the vectors in order. What one round may hold is bounded, however large
 * the headers are.
 */
#include "query/functions/functions.h"

#include "base/file.h"
#include "base/mem.h"
#include "dicom/dicom.h"
#include "json/json.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum {
    HEADER_LIMIT_BYTES = 16 * 1024 * 1024, /* of a file's DICOM JSON */
    ROWS_LIMIT_BYTES = 64 * 1024 * 1024,   /* of the rows of a file */
    ROUND_BYTES = 64 * 1024 * 1024,        /* no further file is begun beyond */
    VALUE_LIMIT_BYTES = 64 * 1024,         /* a longer value is left out */
    ROUND_FILES = 256,
    FILES_A_THREAD = 4, /* fewer are not worth another thread */
    DEPTH = DL_DICOM_DEPTH_LIMIT + 1,
};

/* ---- one file ---- */

enum { TAG, KEYWORD, VR, VALUE, PATH, ERROR, MEMBERS };

static const char *const members[MEMBERS] = {"tag", "keyword", "vr", "value", "path", "error"};

typedef struct tag_row {
    dl_str members[MEMBERS]; /* without ptr: NULL */
    struct tag_row *next;
} tag_row;

typedef struct header {
    dl_arena *arena; /* NULL: no rows */
    tag_row *first, **last;
    size_t count;
} header;

static dl_status add_row(header *h, tag_row **out_row, dl_error *err)
{
    tag_row *row = dl_arena_alloc(h->arena, 1, sizeof *row);
    if (row == NULL) {
        return dl_arena_full(h->arena, err);
    }
    *h->last = row;
    h->last = &row->next;
    h->count++;
    *out_row = row;
    return DL_OK;
}

/* ---- values as text ---- */

/** "Alphabetic=Ideographic=Phonetic", as files have it. */
static dl_status put_name(dl_str object, dl_arena *arena, dl_buf *out, dl_error *err)
{
    size_t separators = 0;
    for (dl_name_group g = DL_NAME_ALPHABETIC; g <= DL_NAME_PHONETIC; g++) {
        dl_str value = DL_STR_NONE, text = DL_STR_NONE;
        if (!dl_json_get(object, dl_name_group_word(g), &value)) {
            continue;
        }
        DL_TRY(dl_json_text(value, arena, &text, err));
        for (; separators < (size_t)g; separators++) {
            DL_TRY(dl_buf_append_char(out, '=', err));
        }
        DL_TRY(dl_buf_append_str(out, text, err));
    }
    return DL_OK;
}

/** All values, with backslashes between them. */
static dl_status put_values(dl_str values, dl_arena *arena, dl_buf *out, dl_error *err)
{
    dl_json_iter items = dl_json_iter_of(values);
    dl_str item = DL_STR_NONE, text = DL_STR_NONE;
    dl_buf_reset(out);
    for (bool first = true; dl_json_next_element(&items, &item); first = false) {
        dl_json_kind kind = dl_json_kind_of(item);
        if (!first) {
            DL_TRY(dl_buf_append_char(out, '\\', err));
        }
        if (kind == DL_JSON_STRING) {
            DL_TRY(dl_json_text(item, arena, &text, err));
            DL_TRY(dl_buf_append_str(out, text, err));
        } else if (kind == DL_JSON_OBJECT) {
            DL_TRY(put_name(item, arena, out, err));
        } else if (kind != DL_JSON_NULL) {
            DL_TRY(dl_buf_append_str(out, item, err));
        }
    }
    return DL_OK;
}

/* ---- the data set: an explicit stack, a frame for each item that is open ---- */

typedef struct item_frame {
    dl_json_iter attributes; /* of the item */
    dl_json_iter items;      /* of the sequence that it belongs to: those after it */
    dl_str sequence;         /* path of the sequence; empty: the data set itself */
    size_t index;            /* of the item */
} item_frame;

typedef struct walking {
    header *h;
    dl_buf text; /* a value or path under way */
    item_frame frames[DEPTH];
    size_t depth;
} walking;

/** "00400275[0]/00400009" */
static dl_status path_of(walking *w, dl_str tag, dl_str *out_path, dl_error *err)
{
    const item_frame *frame = &w->frames[w->depth - 1];
    if (frame->sequence.len == 0) {
        *out_path = tag;
        return DL_OK;
    }
    return dl_arena_printf(w->h->arena, out_path, err, "%.*s[%zu]/%.*s",
                           DL_STR_ARG(frame->sequence), frame->index, DL_STR_ARG(tag));
}

static dl_status open_item(walking *w, dl_str sequence, dl_json_iter items, dl_str item,
                           size_t index, dl_error *err)
{
    if (w->depth == DEPTH) {
        return dl_error_set(err, DL_E_INVALID, "sequences nest too deep");
    }
    w->frames[w->depth++] = (item_frame){
        .attributes = dl_json_iter_of(item), .items = items, .sequence = sequence, .index = index};
    return DL_OK;
}

static dl_status put_attribute(walking *w, dl_str tag, dl_str attribute, dl_error *err)
{
    tag_row *row = NULL;
    dl_str vr = DL_STR_NONE, values = DL_STR_NONE, item = DL_STR_NONE;
    uint32_t number = 0;
    DL_TRY(add_row(w->h, &row, err));
    DL_TRY(dl_arena_copy(w->h->arena, tag, &row->members[TAG], err));
    DL_TRY(path_of(w, row->members[TAG], &row->members[PATH], err));
    const dl_dict_entry *entry = dl_dict_parse_tag(tag, &number) ? dl_dict_find(number) : NULL;
    if (entry != NULL && entry->keyword[0] != '\0') {
        row->members[KEYWORD] = dl_str_of(entry->keyword);
    }
    if (dl_json_get(attribute, DL_STR("vr"), &vr)) {
        DL_TRY(dl_json_text(vr, w->h->arena, &row->members[VR], err));
    }
    if (!dl_json_get(attribute, DL_STR("Value"), &values)) {
        return DL_OK;
    }
    if (!dl_str_eq(row->members[VR], DL_STR("SQ"))) {
        DL_TRY(put_values(values, w->h->arena, &w->text, err));
        return dl_arena_copy(w->h->arena, dl_buf_str(&w->text), &row->members[VALUE], err);
    }
    dl_json_iter items = dl_json_iter_of(values);
    return dl_json_next_element(&items, &item)
               ? open_item(w, row->members[PATH], items, item, 0, err)
               : DL_OK;
}

static dl_status walk(walking *w, dl_str object, dl_error *err)
{
    DL_TRY(open_item(w, DL_STR(""), dl_json_iter_of(DL_STR_NONE), object, 0, err));
    while (w->depth > 0) {
        item_frame *frame = &w->frames[w->depth - 1];
        dl_str tag = DL_STR_NONE, attribute = DL_STR_NONE, item = DL_STR_NONE;
        if (dl_json_next_member(&frame->attributes, &tag, &attribute)) {
            DL_TRY(put_attribute(w, tag, attribute, err));
        } else if (dl_json_next_element(&frame->items, &item)) {
            frame->attributes = dl_json_iter_of(item);
            frame->index++;
        } else {
            w->depth--;
        }
    }
    return DL_OK;
}

/* ---- reading ---- */

/* What a thread keeps from file to file. */
typedef struct tool {
    dl_dicom_reader *reader;
    dl_buf json;
    walking walking;
} tool;

static tool *tool_create(void)
{
    static const dl_dicom_options options = {.json_limit_bytes = HEADER_LIMIT_BYTES,
                                             .value_limit_bytes = VALUE_LIMIT_BYTES};
    tool *t = dl_mem_zalloc(1, sizeof *t);
    if (t == NULL) {
        return NULL;
    }
    t->reader = dl_dicom_reader_create(&options);
    dl_buf_init(&t->json, HEADER_LIMIT_BYTES);
    dl_buf_init(&t->walking.text, HEADER_LIMIT_BYTES);
    return t;
}

static void tool_destroy(tool *t)
{
    if (t != NULL) {
        dl_dicom_reader_destroy(t->reader);
        dl_buf_clear(&t->json);
        dl_buf_clear(&t->walking.text);
        dl_mem_free(t);
    }
}

/** TransferSyntaxUID, which no DICOM JSON has. */
static dl_status put_syntax(header *h, const dl_dicom_header *facts, dl_error *err)
{
    tag_row *row = NULL;
    if (!facts->has_meta) {
        return DL_OK;
    }
    DL_TRY(add_row(h, &row, err));
    row->members[TAG] = row->members[PATH] = DL_STR("00020010");
    row->members[KEYWORD] = DL_STR("TransferSyntaxUID");
    row->members[VR] = DL_STR("UI");
    return dl_arena_copy(h->arena, facts->transfer_syntax_uid, &row->members[VALUE], err);
}

static dl_status read_rows(tool *t, int fd, uint64_t size_bytes, header *h, dl_error *err)
{
    dl_dicom_file file = {.fd = fd, .size = size_bytes};
    dl_dicom_source source = dl_dicom_source_file(&file);
    dl_dicom_header facts = {0};
    dl_buf_reset(&t->json);
    t->walking.h = h;
    t->walking.depth = 0;
    DL_TRY(dl_dicom_read(t->reader, &source, h->arena, &t->json, &facts, err));
    DL_TRY(put_syntax(h, &facts, err));
    return walk(&t->walking, dl_buf_str(&t->json), err);
}

/** One row, which says what is wrong with the file. */
static void put_error(header *h, const dl_error *why)
{
    tag_row *row = NULL;
    dl_arena_destroy(h->arena);
    *h = (header){.arena = dl_arena_create(sizeof(dl_error) * 4)};
    h->last = &h->first;
    if (h->arena == NULL || add_row(h, &row, NULL) != DL_OK ||
        dl_arena_copy(h->arena, dl_str_of(why->message), &row->members[ERROR], NULL) != DL_OK) {
        h->first = NULL;
        h->count = 0;
    }
}

static void read_header(const dl_functions *f, tool *t, dl_str file_path, header *h)
{
    DL_AUTO_FD fd = -1;
    uint64_t size = 0;
    dl_error err = {0};
    dl_status status = dl_roots_open(f->roots, file_path, &fd, &size, &err);
    if (status == DL_E_NOT_FOUND) {
        return;
    }
    h->arena = dl_arena_create(ROWS_LIMIT_BYTES);
    h->last = &h->first;
    if (h->arena == NULL || t == NULL || t->reader == NULL) {
        status = dl_error_set(&err, DL_E_NOMEM, "out of memory");
    }
    if (status == DL_OK) {
        status = read_rows(t, fd, size, h, &err);
    }
    if (status != DL_OK) {
        put_error(h, &err);
    }
}

/* ---- a round: some files at once ---- */

typedef struct round {
    const dl_functions *f;
    const dl_function_texts *paths;
    header *headers; /* ROUND_FILES */
    size_t start, count;
    atomic_size_t next;  /* of the round; relaxed: who draws a number owns it */
    atomic_size_t bytes; /* of what was read so far */
} round;

static void *read_some(void *context)
{
    round *r = context;
    tool *t = tool_create();
    while (atomic_load_explicit(&r->bytes, memory_order_relaxed) < ROUND_BYTES) {
        size_t i = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed);
        dl_str path = DL_STR_NONE;
        if (i >= r->count) {
            break;
        }
        header *h = &r->headers[i];
        if (dl_function_text_at(r->paths, r->start + i, &path) && !dl_cancel_asked(r->f->cancel)) {
            read_header(r->f, t, path, h);
        }
        if (h->arena != NULL) {
            (void)atomic_fetch_add_explicit(&r->bytes, dl_arena_used(h->arena),
                                            memory_order_relaxed);
        }
    }
    tool_destroy(t);
    return NULL;
}

/** Reads from r->start on; how many files it were, at least one. */
static size_t run_round(round *r)
{
    pthread_t threads[DL_FUNCTIONS_THREAD_LIMIT];
    size_t started = 0;
    atomic_store(&r->next, 0);
    atomic_store(&r->bytes, 0);
    memset(r->headers, 0, r->count * sizeof *r->headers);
    size_t wanted = r->count / FILES_A_THREAD;
    wanted = wanted < r->f->threads ? wanted : r->f->threads;
    for (; started + 1 < wanted; started++) {
        if (pthread_create(&threads[started], NULL, read_some, r) != 0) {
            break; /* fewer do it too */
        }
    }
    (void)read_some(r);
    for (size_t i = 0; i < started; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    size_t next = atomic_load(&r->next);
    return next < r->count ? next : r->count;
}

/* ---- vectors ---- */

typedef struct putting {
    const dl_functions *f;
    duckdb_vector output, members[MEMBERS];
    uint64_t items, capacity;
} putting;

static void reserve(putting *p, uint64_t more)
{
    const dl_engine_api *api = p->f->api;
    if (p->items + more > p->capacity) {
        p->capacity = 2 * (p->items + more);
        (void)api->list_vector_reserve(p->output, p->capacity);
    }
    duckdb_vector child = api->list_vector_get_child(p->output);
    for (size_t i = 0; i < MEMBERS; i++) {
        p->members[i] = api->struct_vector_get_child(child, i);
    }
}

static void put_header(putting *p, const header *h, size_t row)
{
    duckdb_list_entry *lists = p->f->api->vector_get_data(p->output);
    lists[row] = (duckdb_list_entry){p->items, h->count};
    reserve(p, h->count);
    for (const tag_row *r = h->first; r != NULL; r = r->next, p->items++) {
        for (size_t i = 0; i < MEMBERS; i++) {
            if (r->members[i].ptr == NULL) {
                dl_function_put_null(p->f, p->members[i], p->items);
            } else {
                dl_function_put_text(p->f, p->members[i], p->items, r->members[i]);
            }
        }
    }
}

static void dicom_tags(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    const dl_functions *f = dl_functions_of(info);
    dl_function_texts paths = dl_function_texts_of(f, f->api->data_chunk_get_vector(input, 0));
    size_t count = f->api->data_chunk_get_size(input);
    putting p = {.f = f, .output = output};
    round r = {.f = f, .paths = &paths};
    r.headers = dl_mem_zalloc(ROUND_FILES, sizeof *r.headers);
    if (r.headers == NULL) {
        f->api->scalar_function_set_error(info, DL_ENGINE_OWN_WORDS "dicom_tags: out of memory");
        return;
    }
    while (r.start < count) {
        r.count = count - r.start < ROUND_FILES ? count - r.start : ROUND_FILES;
        size_t done = run_round(&r);
        for (size_t i = 0; i < done; i++) {
            dl_str path = DL_STR_NONE;
            put_header(&p, &r.headers[i], r.start + i);
            if (!dl_function_text_at(&paths, r.start + i, &path)) {
                dl_function_put_null(f, output, r.start + i);
            }
            dl_arena_destroy(r.headers[i].arena);
        }
        r.start += done;
    }
    (void)f->api->list_vector_set_size(output, p.items);
    dl_mem_free(r.headers);
}

duckdb_logical_type dl_function_tags_type(const dl_engine_api *api)
{
    duckdb_logical_type types[MEMBERS];
    const char *names[MEMBERS];
    for (size_t i = 0; i < MEMBERS; i++) {
        types[i] = api->create_logical_type(DUCKDB_TYPE_VARCHAR);
        names[i] = members[i];
    }
    duckdb_logical_type row = api->create_struct_type(types, names, MEMBERS);
    duckdb_logical_type list = api->create_list_type(row);
    api->destroy_logical_type(&row);
    for (size_t i = 0; i < MEMBERS; i++) {
        api->destroy_logical_type(&types[i]);
    }
    return list;
}

const dl_function dl_function_dicom_tags = {
    "dl_dicom_tags", {DUCKDB_TYPE_VARCHAR}, DL_FUNCTION_TAGS, NULL, dicom_tags};
