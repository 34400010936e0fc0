#include "columnar/internal.h"

#include "base/cursor.h"
#include "base/mem.h"

enum {
    DEFAULT_ZSTD_LEVEL = 1,
    DEFAULT_GROUP_ROWS = 8192,
    DEFAULT_GROUP_BYTES = 64 << 20,
    DEFAULT_STRING_STAT_BYTES = 512,
    MAGIC_BYTES = 4,
    LEAST_RAW_BYTES = 4, /* what an entry counts */
    WIDEST_INT_DIGITS = 18,
    ARENA_LIMIT_BYTES = 1 << 30,
};
static const char MAGIC[] = {'P', 'A', 'R', '1'};

struct dl_columnar_writer {
    dl_columnar_chunk *chunks; /* one a leaf */
    size_t leaf_count;
    int64_t group_rows, closed_rows;
    uint64_t group_raw_bytes;
    dl_columnar_writer_options options;
    dl_error failure; /* kept until a call can return it; nothing goes on after it */
    bool finished;
    dl_columnar_press press;
    dl_columnar_node *nodes;
    size_t node_count;
    dl_columnar_stat *stats;
    dl_buf out; /* gathers small pieces */
    uint64_t written_bytes;
    dl_buf dictionary_page, columns, groups, footer;
    size_t group_count;
    dl_arena *arena;
};

/* ---- create ---- */

static dl_status bad_options(dl_error *err, const char *name, size_t limit)
{
    return dl_error_set(err, DL_E_INVALID, "columnar: %s is above its limit of %zu", name, limit);
}

static dl_status take_options(dl_columnar_writer *w, const dl_columnar_writer_options *options,
                              dl_error *err)
{
    w->options = *options;
    dl_columnar_writer_options *o = &w->options;
    o->zstd_level = o->zstd_level == 0 ? DEFAULT_ZSTD_LEVEL : o->zstd_level;
    o->row_group_rows = o->row_group_rows == 0 ? DEFAULT_GROUP_ROWS : o->row_group_rows;
    o->row_group_limit_bytes =
        o->row_group_limit_bytes == 0 ? DEFAULT_GROUP_BYTES : o->row_group_limit_bytes;
    o->string_stat_limit_bytes =
        o->string_stat_limit_bytes == 0 ? DEFAULT_STRING_STAT_BYTES : o->string_stat_limit_bytes;
    o->created_by = o->created_by.len == 0 ? DL_STR("dicomlake") : o->created_by;
    if (o->row_group_limit_bytes > DL_COLUMNAR_ROW_GROUP_LIMIT_BYTES) {
        return bad_options(err, "row_group_limit_bytes", DL_COLUMNAR_ROW_GROUP_LIMIT_BYTES);
    }
    if (o->string_stat_limit_bytes > DL_COLUMNAR_STRING_STAT_LIMIT_BYTES) {
        return bad_options(err, "string_stat_limit_bytes", DL_COLUMNAR_STRING_STAT_LIMIT_BYTES);
    }
    w->press.codec = o->codec;
    w->press.zstd_level = o->zstd_level;
    w->press.string_stat_limit_bytes = o->string_stat_limit_bytes;
    return DL_OK;
}

static void set_integer_limits(dl_columnar_chunk *c, const dl_columnar_field *field)
{
    c->low = INT64_MIN;
    c->high = INT64_MAX;
    if (field->type == DL_COLUMNAR_DECIMAL) {
        c->high = 1;
        for (unsigned i = 0; i < field->precision; i++) {
            c->high *= 10;
        }
        c->high--;
        c->low = -c->high;
        return;
    }
    if (c->kind == DL_COLUMNAR_KIND_INT32) {
        c->high = field->type == DL_COLUMNAR_INT8    ? INT8_MAX
                  : field->type == DL_COLUMNAR_INT16 ? INT16_MAX
                                                     : INT32_MAX;
        c->low = -c->high - 1;
    } else if (c->kind == DL_COLUMNAR_KIND_BOOL) {
        c->low = 0;
        c->high = 1;
    }
}

static dl_status give_bounds(dl_columnar_writer *w, dl_columnar_range *range, dl_error *err)
{
    size_t size = w->options.string_stat_limit_bytes;
    range->min_text.ptr = dl_arena_alloc(w->arena, size, 1);
    range->max_text.ptr = dl_arena_alloc(w->arena, size, 1);
    return range->min_text.ptr == NULL || range->max_text.ptr == NULL ? dl_arena_full(w->arena, err)
                                                                      : DL_OK;
}

static dl_status start_chunk(dl_columnar_writer *w, dl_columnar_chunk *c,
                             const dl_columnar_node *node, dl_error *err)
{
    const dl_columnar_field *field = node->field;
    if (field->type == DL_COLUMNAR_DECIMAL && field->precision > WIDEST_INT_DIGITS) {
        return dl_error_set(err, DL_E_UNSUPPORTED,
                            "columnar: field %.*s: decimals of more than %d digits are not written",
                            DL_STR_ARG(field->name), WIDEST_INT_DIGITS);
    }
    c->node = node;
    c->kind = dl_columnar_kind_of(field);
    c->max_rep = node->max_rep;
    c->max_def = node->max_def;
    c->ranged = field->type != DL_COLUMNAR_BINARY && field->type != DL_COLUMNAR_BOOL;
    set_integer_limits(c, field);
    if (c->kind == DL_COLUMNAR_KIND_TEXT && c->ranged) {
        DL_TRY(give_bounds(w, &c->range, err));
        DL_TRY(give_bounds(w, &c->file_range, err));
    }
    dl_columnar_chunk_reset(c);
    return DL_OK;
}

static dl_status start(dl_columnar_writer *w, dl_error *err)
{
    w->arena = dl_arena_create(ARENA_LIMIT_BYTES);
    if (w->arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "columnar: no memory for a writer");
    }
    DL_TRY(dl_columnar_nodes(w->options.fields, w->options.field_count, w->arena, &w->nodes,
                             &w->node_count, err));
    size_t leaf_count = 0;
    for (size_t i = 0; i < w->node_count; i++) {
        leaf_count += w->nodes[i].child_count == 0;
    }
    w->chunks = dl_arena_alloc(w->arena, leaf_count, sizeof *w->chunks);
    w->stats = dl_arena_alloc(w->arena, leaf_count, sizeof *w->stats);
    if (w->chunks == NULL || w->stats == NULL) {
        return dl_arena_full(w->arena, err);
    }
    for (size_t i = 0; i < w->node_count; i++) {
        if (w->nodes[i].child_count == 0) {
            DL_TRY(start_chunk(w, &w->chunks[w->leaf_count], &w->nodes[i], err));
            w->leaf_count++;
        }
    }
    dl_buf_init(&w->out, 2 * (size_t)DL_COLUMNAR_OUT_BYTES);
    dl_buf_init(&w->dictionary_page, DL_COLUMNAR_CHUNK_LIMIT_BYTES);
    dl_buf_init(&w->columns, DL_COLUMNAR_CHUNK_LIMIT_BYTES); /* groups are checked by close_group */
    dl_buf_init(&w->groups, DL_COLUMNAR_CHUNK_LIMIT_BYTES);
    dl_buf_init(&w->footer, DL_COLUMNAR_CHUNK_LIMIT_BYTES);
    dl_buf_init(&w->press.page, DL_COLUMNAR_CHUNK_LIMIT_BYTES);
    dl_buf_init(&w->press.packed, DL_COLUMNAR_CHUNK_LIMIT_BYTES);
    w->written_bytes = MAGIC_BYTES;
    return dl_buf_append(&w->out, MAGIC, MAGIC_BYTES, err);
}

dl_status dl_columnar_writer_create(const dl_columnar_writer_options *options,
                                    dl_columnar_writer **out_writer, dl_error *err)
{
    DL_AUTO(dl_columnar_writer) w = dl_mem_zalloc(1, sizeof *w);
    if (w == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "columnar: no memory for a writer");
    }
    DL_TRY(take_options(w, options, err));
    DL_TRY(start(w, err));
    *out_writer = DL_STEAL(w);
    return DL_OK;
}

void dl_columnar_writer_destroy(dl_columnar_writer *w)
{
    if (w == NULL) {
        return;
    }
    for (size_t i = 0; i < w->leaf_count; i++) {
        dl_columnar_chunk_clear(&w->chunks[i]);
    }
    dl_columnar_press_clear(&w->press);
    dl_buf_clear(&w->out);
    dl_buf_clear(&w->dictionary_page);
    dl_buf_clear(&w->columns);
    dl_buf_clear(&w->groups);
    dl_buf_clear(&w->footer);
    dl_arena_destroy(w->arena);
    dl_mem_free(w);
}

/* ---- entries ---- */

static dl_str name_of(const dl_columnar_writer *w, const dl_columnar_chunk *c)
{
    return w->options.fields[c->node->column].name;
}

static __attribute__((cold, noinline)) void fail_nomem(dl_columnar_writer *w,
                                                       const dl_columnar_chunk *c)
{
    if (w->failure.status == DL_OK) {
        (void)dl_error_set(&w->failure, DL_E_NOMEM, "columnar: no memory for values of %.*s",
                           DL_STR_ARG(name_of(w, c)));
    }
}

/* The first failure stays. */
static __attribute__((cold, noinline)) void fail_row(dl_columnar_writer *w,
                                                     const dl_columnar_chunk *c)
{
    if (w->failure.status == DL_OK) {
        (void)dl_error_set(&w->failure, DL_E_LIMIT,
                           "columnar: row %lld has more than %d bytes in %.*s",
                           (long long)dl_columnar_writer_rows(w), DL_COLUMNAR_ROW_LIMIT_BYTES,
                           DL_STR_ARG(name_of(w, c)));
    }
}

static __attribute__((cold, noinline)) void fail_value(dl_columnar_writer *w,
                                                       const dl_columnar_chunk *c)
{
    if (w->failure.status == DL_OK) {
        (void)dl_error_set(&w->failure, DL_E_INVALID,
                           "columnar: row %lld: a value of %.*s is out of its type's range",
                           (long long)dl_columnar_writer_rows(w), DL_STR_ARG(name_of(w, c)));
    }
}

static __attribute__((cold, noinline)) bool grow(dl_columnar_writer *w, dl_columnar_chunk *c)
{
    if (dl_columnar_chunk_grow(c, NULL) == DL_OK) {
        return true;
    }
    fail_nomem(w, c);
    return false;
}

/* Levels of one entry; false: it cannot be taken. */
static inline bool put_levels(dl_columnar_writer *w, dl_columnar_chunk *c, unsigned rep,
                              unsigned def, size_t raw_bytes)
{
    DL_ASSERT(rep <= c->max_rep);
    if (c->entry_count == c->entry_cap && !grow(w, c)) {
        return false;
    }
    if (raw_bytes > DL_COLUMNAR_ROW_LIMIT_BYTES - (c->raw_bytes - c->row_raw_bytes)) {
        fail_row(w, c);
        return false;
    }
    c->raw_bytes += raw_bytes;
    c->reps[c->entry_count] = (uint8_t)rep;
    c->defs[c->entry_count] = (uint8_t)def;
    c->entry_count++;
    c->row_count += rep == 0;
    return true;
}

static inline void put_index(dl_columnar_chunk *c, uint32_t id)
{
    c->dictionary.last = id;
    c->indices[c->value_count++] = id - 1;
}

/* Not the word that was expected after the last one. A new word stands in for it: what came after
 * that is expected after this. */
static inline void put_unexpected(dl_columnar_chunk *c, uint32_t id, bool is_new)
{
    dl_columnar_word *words = c->dictionary.words;
    uint32_t *expected = &words[c->dictionary.last].next;
    if (is_new) {
        words[id].next = words[*expected].next;
    }
    *expected = id;
    put_index(c, id);
}

void dl_columnar_put_null(dl_columnar_writer *w, size_t leaf, unsigned rep, unsigned def)
{
    DL_ASSERT(leaf < w->leaf_count);
    dl_columnar_chunk *c = &w->chunks[leaf];
    DL_ASSERT(def < c->max_def);
    (void)put_levels(w, c, rep, def, LEAST_RAW_BYTES); /* a failure is kept */
}

static bool reserve_plain(dl_columnar_writer *w, dl_columnar_chunk *c, size_t len)
{
    if (c->plain.cap - c->plain.len >= len || dl_buf_reserve(&c->plain, len, NULL) == DL_OK) {
        return true;
    }
    fail_nomem(w, c);
    return false;
}

/* A number, as the low bytes of `bits`. Returns whether it is a new one. */
static inline bool put_bits(dl_columnar_writer *w, dl_columnar_chunk *c, uint64_t bits, size_t size)
{
    if (!c->in_dictionary) {
        if (!reserve_plain(w, c, sizeof bits)) {
            return false;
        }
        uint8_t *to = (uint8_t *)c->plain.ptr + c->plain.len;
        if (size == 4) {
            dl_put_le32(to, (uint32_t)bits);
        } else {
            dl_put_le64(to, bits);
        }
        c->plain.len += size;
        c->value_count++;
        return true;
    }
    dl_columnar_dictionary *d = &c->dictionary;
    uint32_t guess = d->count == 0 ? 0 : d->words[d->last].next;
    if (guess != 0 && d->words[guess].bits == bits) {
        put_index(c, guess);
        return false;
    }
    uint32_t known = d->count, id = dl_columnar_dictionary_bits(d, bits, size);
    if (id == 0) {
        fail_nomem(w, c);
        return false;
    }
    put_unexpected(c, id, d->count != known);
    return d->count != known;
}

void dl_columnar_put_int(dl_columnar_writer *w, size_t leaf, unsigned rep, int64_t value)
{
    DL_ASSERT(leaf < w->leaf_count);
    dl_columnar_chunk *c = &w->chunks[leaf];
    if (value < c->low || value > c->high) {
        fail_value(w, c);
        return;
    }
    bool wide = c->kind == DL_COLUMNAR_KIND_INT64;
    if (!put_levels(w, c, rep, c->max_def, wide ? 8 : LEAST_RAW_BYTES)) {
        return;
    }
    if (c->kind == DL_COLUMNAR_KIND_BOOL) {
        if (reserve_plain(w, c, 1)) {
            c->plain.ptr[c->plain.len++] = (char)value;
            c->value_count++;
        }
        return;
    }
    DL_ASSERT(wide || c->kind == DL_COLUMNAR_KIND_INT32);
    if (put_bits(w, c, (uint64_t)value, wide ? 8 : 4)) {
        dl_columnar_range_int(&c->range, value);
    }
}

void dl_columnar_put_double(dl_columnar_writer *w, size_t leaf, unsigned rep, double value)
{
    DL_ASSERT(leaf < w->leaf_count);
    dl_columnar_chunk *c = &w->chunks[leaf];
    bool wide = c->kind == DL_COLUMNAR_KIND_DOUBLE;
    DL_ASSERT(wide || c->kind == DL_COLUMNAR_KIND_FLOAT);
    uint64_t bits = 0;
    if (wide) {
        memcpy(&bits, &value, sizeof value);
    } else {
        float narrow = (float)value;
        value = narrow;
        memcpy(&bits, &narrow, sizeof narrow);
    }
    if (put_levels(w, c, rep, c->max_def, wide ? 8 : LEAST_RAW_BYTES) &&
        put_bits(w, c, bits, wide ? 8 : 4)) {
        dl_columnar_range_double(&c->range, value);
    }
}

/* A text that is not the expected one, or has no dictionary. */
static void put_new_text(dl_columnar_writer *w, dl_columnar_chunk *c, dl_str value)
{
    dl_columnar_dictionary *d = &c->dictionary;
    if (c->in_dictionary) {
        uint32_t known = d->count, id = dl_columnar_dictionary_text(d, value);
        if (id == 0) {
            fail_nomem(w, c);
            return;
        }
        put_unexpected(c, id, d->count != known);
        if (d->count == known) {
            return;
        }
    } else {
        if (!reserve_plain(w, c, LEAST_RAW_BYTES + value.len)) {
            return;
        }
        char *to = c->plain.ptr + c->plain.len;
        dl_put_le32((uint8_t *)to, (uint32_t)value.len);
        memcpy(to + LEAST_RAW_BYTES, value.ptr, value.len);
        c->plain.len += LEAST_RAW_BYTES + value.len;
        c->value_count++;
    }
    if (c->ranged) {
        dl_columnar_range_text(&c->range, value, w->press.string_stat_limit_bytes);
    }
}

void dl_columnar_put_str(dl_columnar_writer *w, size_t leaf, unsigned rep, dl_str value)
{
    DL_ASSERT(leaf < w->leaf_count);
    dl_columnar_chunk *c = &w->chunks[leaf];
    DL_ASSERT(c->kind == DL_COLUMNAR_KIND_TEXT);
    if (value.len > DL_COLUMNAR_ROW_LIMIT_BYTES) { /* so that the sum below cannot wrap */
        fail_row(w, c);
        return;
    }
    if (!put_levels(w, c, rep, c->max_def, LEAST_RAW_BYTES + value.len)) {
        return;
    }
    if (value.len == 0) {
        value.ptr = ""; /* NULL is fine for it */
    }
    const dl_columnar_dictionary *d = &c->dictionary;
    if (c->in_dictionary && d->count > 0) {
        uint32_t guess = d->words[d->last].next;
        const dl_columnar_word *word = &d->words[guess];
        if (word->len == value.len &&
            dl_columnar_same(d->bytes.ptr + word->offset, value.ptr, value.len)) {
            put_index(c, guess);
            return;
        }
    }
    put_new_text(w, c, value);
}

/* ---- the file ---- */

static dl_status write_out(dl_columnar_writer *w, dl_str piece, dl_error *err)
{
    if (piece.len == 0) {
        return DL_OK;
    }
    dl_bytes bytes = {(const uint8_t *)piece.ptr, piece.len};
    return w->options.write(w->options.context, bytes, err);
}

static dl_status put_piece(dl_columnar_writer *w, dl_str piece, dl_error *err)
{
    w->written_bytes += piece.len;
    if (w->out.len + piece.len > DL_COLUMNAR_OUT_BYTES) {
        DL_TRY(write_out(w, dl_buf_str(&w->out), err));
        dl_buf_reset(&w->out);
        if (piece.len > DL_COLUMNAR_OUT_BYTES / 2) {
            return write_out(w, piece, err);
        }
    }
    return dl_buf_append_str(&w->out, piece, err);
}

static void merge_statistics(dl_columnar_chunk *c)
{
    c->file_null_count += c->null_count;
    dl_columnar_range *file = &c->file_range;
    const dl_columnar_range *group = &c->range;
    file->has_nan = file->has_nan || group->has_nan;
    if (!group->any || !c->ranged) {
        return;
    }
    if (c->kind == DL_COLUMNAR_KIND_TEXT) {
        dl_columnar_range_merge_text(file, group);
    } else if (c->kind == DL_COLUMNAR_KIND_FLOAT || c->kind == DL_COLUMNAR_KIND_DOUBLE) {
        dl_columnar_range_double(file, group->min.d);
        dl_columnar_range_double(file, group->max.d);
    } else {
        dl_columnar_range_int(file, group->min.i);
        dl_columnar_range_int(file, group->max.i);
    }
}

static dl_status close_chunk(dl_columnar_writer *w, dl_columnar_chunk *c, dl_error *err)
{
    DL_TRY(dl_columnar_chunk_finish(c, &w->press, &w->dictionary_page, err));
    dl_columnar_place place = {.offset = w->written_bytes,
                               .dictionary_bytes = w->dictionary_page.len};
    DL_TRY(put_piece(w, dl_buf_str(&w->dictionary_page), err));
    DL_TRY(put_piece(w, dl_buf_str(&c->pages), err));
    DL_TRY(dl_columnar_footer_column(&w->columns, c, w->nodes, place, err));
    merge_statistics(c);
    return DL_OK;
}

static dl_status close_group(dl_columnar_writer *w, dl_error *err)
{
    dl_columnar_group group = {
        .leaf_count = w->leaf_count, .row_count = w->group_rows, .offset = w->written_bytes};
    dl_buf_reset(&w->columns);
    for (size_t i = 0; i < w->leaf_count; i++) {
        dl_columnar_chunk *c = &w->chunks[i];
        DL_TRY(close_chunk(w, c, err));
        group.uncompressed_bytes += c->uncompressed_bytes;
        dl_columnar_chunk_reset(c);
    }
    group.compressed_bytes = w->written_bytes - group.offset;
    group.columns = dl_buf_str(&w->columns);
    if (w->groups.len + w->columns.len > DL_COLUMNAR_FOOTER_LIMIT_BYTES) {
        return dl_error_set(err, DL_E_LIMIT,
                            "columnar: %zu row groups of %zu leaves make a footer of more than %d "
                            "bytes; a file takes fewer rows, or larger row groups",
                            w->group_count + 1, w->leaf_count, DL_COLUMNAR_FOOTER_LIMIT_BYTES);
    }
    DL_TRY(dl_columnar_footer_group(&w->groups, &group, err));
    w->group_count++;
    w->closed_rows += w->group_rows;
    w->group_rows = 0;
    w->group_raw_bytes = 0;
    return DL_OK;
}

static dl_status end_row(dl_columnar_writer *w, dl_error *err)
{
    w->group_rows++;
    for (size_t i = 0; i < w->leaf_count; i++) {
        dl_columnar_chunk *c = &w->chunks[i];
        /* One entry without repetition, and it comes first. */
        DL_ASSERT(c->row_count == w->group_rows && c->reps[c->row_entry] == 0);
        w->group_raw_bytes += c->raw_bytes - c->row_raw_bytes;
        c->row_raw_bytes = c->raw_bytes;
        c->row_entry = c->entry_count;
        if (c->entry_count >= c->check_entries || c->raw_bytes >= c->check_raw_bytes) {
            DL_TRY(dl_columnar_chunk_check(c, &w->press, err));
        }
    }
    if ((uint64_t)w->group_rows >= w->options.row_group_rows ||
        w->group_raw_bytes >= w->options.row_group_limit_bytes) {
        return close_group(w, err);
    }
    return DL_OK;
}

static dl_status finish(dl_columnar_writer *w, dl_error *err)
{
    if (w->group_rows > 0) {
        DL_TRY(close_group(w, err));
    }
    dl_columnar_footer footer = {
        .nodes = w->nodes,
        .node_count = w->node_count,
        .column_count = w->options.field_count,
        .leaf_count = w->leaf_count,
        .row_count = w->closed_rows,
        .group_count = w->group_count,
        .groups = dl_buf_str(&w->groups),
        .created_by = w->options.created_by,
    };
    DL_TRY(dl_columnar_footer_file(&w->footer, &footer, err));
    uint8_t len[MAGIC_BYTES];
    dl_put_le32(len, (uint32_t)w->footer.len);
    DL_TRY(dl_buf_append(&w->footer, len, sizeof len, err));
    DL_TRY(dl_buf_append(&w->footer, MAGIC, MAGIC_BYTES, err));
    DL_TRY(put_piece(w, dl_buf_str(&w->footer), err));
    return write_out(w, dl_buf_str(&w->out), err);
}

/* What went wrong once goes wrong ever after: the file has a hole. */
static dl_status keep_failure(dl_columnar_writer *w, dl_status status, dl_error *err)
{
    if (status != DL_OK && w->failure.status == DL_OK) {
        w->failure.status = status; /* a `write` may leave the words empty */
    }
    if (w->failure.status != DL_OK && err != NULL) {
        *err = w->failure;
    }
    return w->failure.status;
}

dl_status dl_columnar_row_end(dl_columnar_writer *w, dl_error *err)
{
    DL_ASSERT(!w->finished);
    if (w->failure.status != DL_OK) {
        return keep_failure(w, w->failure.status, err);
    }
    return keep_failure(w, end_row(w, &w->failure), err);
}

int64_t dl_columnar_writer_rows(const dl_columnar_writer *w)
{
    return w->closed_rows + w->group_rows;
}

static void fill_stat(dl_columnar_stat *stat, const dl_columnar_chunk *c)
{
    const dl_columnar_range *range = &c->file_range;
    *stat = (dl_columnar_stat){
        .null_count = c->file_null_count, .has_range = range->any, .has_nan = range->has_nan};
    if (!range->any) {
        return;
    }
    if (c->kind == DL_COLUMNAR_KIND_TEXT) {
        stat->min.s = (dl_str){range->min_text.ptr, range->min_text.len};
        stat->max.s = (dl_str){range->max_text.ptr, range->max_text.len};
        stat->min_cut = range->min_text.cut;
        stat->max_cut = range->max_text.cut;
    } else if (c->kind == DL_COLUMNAR_KIND_FLOAT || c->kind == DL_COLUMNAR_KIND_DOUBLE) {
        stat->min.d = range->min.d;
        stat->max.d = range->max.d;
    } else {
        stat->min.i = range->min.i;
        stat->max.i = range->max.i;
    }
}

dl_status dl_columnar_writer_finish(dl_columnar_writer *w, dl_columnar_summary *out_summary,
                                    dl_error *err)
{
    DL_ASSERT(!w->finished);
    if (w->failure.status != DL_OK) {
        return keep_failure(w, w->failure.status, err);
    }
    DL_TRY(keep_failure(w, finish(w, &w->failure), err));
    w->finished = true;
    for (size_t i = 0; i < w->leaf_count; i++) {
        fill_stat(&w->stats[i], &w->chunks[i]);
    }
    *out_summary = (dl_columnar_summary){.row_count = w->closed_rows,
                                         .size_bytes = w->written_bytes,
                                         .stats = w->stats,
                                         .leaf_count = w->leaf_count};
    return DL_OK;
}
