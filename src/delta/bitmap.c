/* Row sets as Roaring bitmaps. In memory all buckets are one sorted list of containers, keyed by
 * the upper 48 bits of the row; a container is a sorted array of up to 4096 lower halves, or 8 KiB
 * of bits. Run containers are read and become one of these two. */
#include "delta/bitmap.h"

#include "base/cursor.h"
#include "base/mem.h"

#include <string.h>

enum {
    ARRAY_LIMIT = 4096, /* members of an array container; more are bits */
    CONTAINER_ROWS = 65536,
    BITS_WORDS = CONTAINER_ROWS / 64,
    BITS_BYTES = BITS_WORDS * 8,
    KEY_LIMIT = 65536, /* containers under one high word */
    COOKIE_PLAIN = 12346,
    COOKIE_RUNS = 12347,
    RUNS_WITHOUT_OFFSETS = 4, /* below this many containers the form with runs has no offsets */
};
static const uint32_t magic_portable = 1681511377;
static const uint32_t magic_native = 1681511376;
static const uint64_t row_limit = UINT64_MAX / 2 + 1; /* 2^63 */

typedef struct container {
    uint64_t key;    /* row >> 16 */
    uint32_t count;  /* members, 1..65536 */
    uint32_t room;   /* of `array`; 0: bits */
    uint16_t *array; /* sorted */
    uint64_t *bits;  /* BITS_WORDS */
} container;

struct dl_delta_bitmap {
    container *items; /* ascending keys */
    size_t count, room;
    uint64_t members;
};

static dl_status no_memory(dl_error *err)
{
    return dl_error_set(err, DL_E_NOMEM, "row set: out of memory");
}

dl_status dl_delta_bitmap_create(dl_delta_bitmap **out_bitmap, dl_error *err)
{
    dl_delta_bitmap *bitmap = dl_mem_zalloc(1, sizeof *bitmap);
    if (bitmap == NULL) {
        return no_memory(err);
    }
    *out_bitmap = bitmap;
    return DL_OK;
}

static void container_clear(container *c)
{
    dl_mem_free(c->array);
    dl_mem_free(c->bits);
    *c = (container){0};
}

static void bitmap_clear(dl_delta_bitmap *bitmap)
{
    for (size_t i = 0; i < bitmap->count; i++) {
        container_clear(&bitmap->items[i]);
    }
    dl_mem_free(bitmap->items);
    *bitmap = (dl_delta_bitmap){0};
}

void dl_delta_bitmap_destroy(dl_delta_bitmap *bitmap)
{
    if (bitmap != NULL) {
        bitmap_clear(bitmap);
        dl_mem_free(bitmap);
    }
}

/* ---- one container ---- */

/* The first place in the array whose member is >= low. */
static uint32_t array_find(const container *c, uint32_t low)
{
    uint32_t begin = 0, end = c->count;
    while (begin < end) {
        uint32_t middle = begin + (end - begin) / 2;
        if (c->array[middle] < low) {
            begin = middle + 1;
        } else {
            end = middle;
        }
    }
    return begin;
}

static bool bits_has(const uint64_t *bits, uint32_t low)
{
    return (bits[low / 64] >> (low % 64) & 1) != 0;
}

static dl_status array_reserve(container *c, uint32_t members, dl_error *err)
{
    if (members <= c->room) {
        return DL_OK;
    }
    uint32_t room = c->room == 0 ? 4 : c->room;
    while (room < members) {
        room *= 2;
    }
    uint16_t *array = dl_mem_resize(c->array, room, sizeof *array);
    if (array == NULL) {
        return no_memory(err);
    }
    c->array = array;
    c->room = room;
    return DL_OK;
}

static dl_status to_bits(container *c, dl_error *err)
{
    uint64_t *bits = dl_mem_zalloc(BITS_WORDS, sizeof *bits);
    if (bits == NULL) {
        return no_memory(err);
    }
    for (uint32_t i = 0; c->array != NULL && i < c->count; i++) {
        bits[c->array[i] / 64] |= 1ULL << (c->array[i] % 64);
    }
    dl_mem_free(c->array);
    c->array = NULL;
    c->room = 0;
    c->bits = bits;
    return DL_OK;
}

static dl_status container_add(container *c, uint16_t low, bool *out_new, dl_error *err)
{
    if (c->bits == NULL) {
        uint32_t at = array_find(c, low);
        *out_new = c->array == NULL || at == c->count || c->array[at] != low;
        if (!*out_new) {
            return DL_OK;
        }
        if (c->count < ARRAY_LIMIT) {
            DL_TRY(array_reserve(c, c->count + 1, err));
            DL_ASSERT(c->array != NULL);
            memmove(c->array + at + 1, c->array + at, (c->count - at) * sizeof *c->array);
            c->array[at] = low;
            c->count++;
            return DL_OK;
        }
        DL_TRY(to_bits(c, err));
    }
    DL_ASSERT(c->bits != NULL);
    *out_new = !bits_has(c->bits, low);
    c->bits[low / 64] |= 1ULL << (low % 64);
    c->count += *out_new;
    return DL_OK;
}

static uint32_t bits_count(const uint64_t *bits)
{
    uint32_t count = 0;
    for (size_t i = 0; i < BITS_WORDS; i++) {
        count += (uint32_t)__builtin_popcountll(bits[i]);
    }
    return count;
}

/* `out` is empty. */
static dl_status container_copy(const container *from, container *out, dl_error *err)
{
    container copy = {.key = from->key, .count = from->count};
    if (from->bits != NULL) {
        copy.bits = dl_mem_alloc(BITS_WORDS, sizeof *copy.bits);
        if (copy.bits == NULL) {
            return no_memory(err);
        }
        memcpy(copy.bits, from->bits, BITS_BYTES);
    } else {
        copy.array = dl_mem_alloc(from->count, sizeof *copy.array);
        if (copy.array == NULL) {
            return no_memory(err);
        }
        copy.room = from->count;
        memcpy(copy.array, from->array, from->count * sizeof *copy.array);
    }
    *out = copy;
    return DL_OK;
}

static void arrays_union(const container *a, const container *b, container *out)
{
    uint32_t i = 0, k = 0;
    while (i < a->count || k < b->count) {
        bool from_a = k == b->count || (i < a->count && a->array[i] <= b->array[k]);
        uint16_t low = from_a ? a->array[i] : b->array[k];
        i += i < a->count && a->array[i] == low;
        k += k < b->count && b->array[k] == low;
        out->array[out->count++] = low;
    }
}

/* a |= b; a is as it was when it fails. */
static dl_status container_merge(container *a, const container *b, dl_error *err)
{
    if (a->bits == NULL && b->bits == NULL && a->count + b->count <= ARRAY_LIMIT) {
        container both = {.key = a->key};
        DL_TRY(array_reserve(&both, a->count + b->count, err));
        arrays_union(a, b, &both);
        container_clear(a);
        *a = both;
        return DL_OK;
    }
    if (a->bits == NULL) {
        DL_TRY(to_bits(a, err));
    }
    if (b->bits != NULL) {
        for (size_t i = 0; i < BITS_WORDS; i++) {
            a->bits[i] |= b->bits[i];
        }
    } else {
        for (uint32_t i = 0; i < b->count; i++) {
            a->bits[b->array[i] / 64] |= 1ULL << (b->array[i] % 64);
        }
    }
    a->count = bits_count(a->bits);
    return DL_OK;
}

/* ---- the list of containers ---- */

/* The first container whose key is >= key. */
static size_t find_key(const dl_delta_bitmap *bitmap, uint64_t key)
{
    size_t begin = 0, end = bitmap->count;
    if (end > 0 && bitmap->items[end - 1].key < key) {
        return end; /* rows mostly come in order */
    }
    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;
        if (bitmap->items[middle].key < key) {
            begin = middle + 1;
        } else {
            end = middle;
        }
    }
    return begin;
}

static dl_status reserve_containers(dl_delta_bitmap *bitmap, size_t count, dl_error *err)
{
    if (count > DL_DELTA_BITMAP_CONTAINER_LIMIT) {
        return dl_error_set(err, DL_E_LIMIT, "row set: %zu groups of 65536 rows, more than %d",
                            count, (int)DL_DELTA_BITMAP_CONTAINER_LIMIT);
    }
    if (count <= bitmap->room) {
        return DL_OK;
    }
    size_t room = bitmap->room == 0 ? 4 : bitmap->room * 2;
    room = room < count ? count : room;
    container *items = dl_mem_resize(bitmap->items, room, sizeof *items);
    if (items == NULL) {
        return no_memory(err);
    }
    bitmap->items = items;
    bitmap->room = room;
    return DL_OK;
}

/* There is room. */
static void insert_container(dl_delta_bitmap *bitmap, size_t at, const container *take)
{
    DL_ASSERT(bitmap->items != NULL);
    memmove(bitmap->items + at + 1, bitmap->items + at,
            (bitmap->count - at) * sizeof *bitmap->items);
    bitmap->items[at] = *take;
    bitmap->count++;
}

dl_status dl_delta_bitmap_add(dl_delta_bitmap *bitmap, uint64_t row, bool *out_new, dl_error *err)
{
    if (row >= row_limit) {
        return dl_error_set(err, DL_E_INVALID, "row set: a position beyond 2^63");
    }
    uint64_t key = row >> 16;
    size_t at = find_key(bitmap, key);
    bool is_new = false;
    if (at < bitmap->count && bitmap->items[at].key == key) {
        DL_TRY(container_add(&bitmap->items[at], (uint16_t)row, &is_new, err));
    } else {
        container fresh = {.key = key};
        DL_TRY(reserve_containers(bitmap, bitmap->count + 1, err));
        DL_TRY(container_add(&fresh, (uint16_t)row, &is_new, err));
        insert_container(bitmap, at, &fresh);
    }
    bitmap->members += is_new;
    if (out_new != NULL) {
        *out_new = is_new;
    }
    return DL_OK;
}

/* Adds the container's members; takes its storage when nothing is there under its key. */
static dl_status take_container(dl_delta_bitmap *bitmap, container *take, dl_error *err)
{
    size_t at = find_key(bitmap, take->key);
    if (at < bitmap->count && bitmap->items[at].key == take->key) {
        container *mine = &bitmap->items[at];
        uint32_t before = mine->count;
        DL_TRY(container_merge(mine, take, err));
        bitmap->members += mine->count - before;
        container_clear(take);
        return DL_OK;
    }
    DL_TRY(reserve_containers(bitmap, bitmap->count + 1, err));
    insert_container(bitmap, at, take);
    bitmap->members += take->count;
    *take = (container){0};
    return DL_OK;
}

dl_status dl_delta_bitmap_merge(dl_delta_bitmap *bitmap, const dl_delta_bitmap *other,
                                dl_error *err)
{
    for (size_t i = 0; i < other->count; i++) {
        const container *theirs = &other->items[i];
        size_t at = find_key(bitmap, theirs->key);
        if (at < bitmap->count && bitmap->items[at].key == theirs->key) {
            container *mine = &bitmap->items[at];
            uint32_t before = mine->count;
            DL_TRY(container_merge(mine, theirs, err));
            bitmap->members += mine->count - before;
            continue;
        }
        DL_CLEANUP(container_clear) container copy = {0};
        DL_TRY(container_copy(theirs, &copy, err));
        DL_TRY(take_container(bitmap, &copy, err));
    }
    return DL_OK;
}

/* ---- asking ---- */

bool dl_delta_bitmap_has(const dl_delta_bitmap *bitmap, uint64_t row)
{
    size_t at = find_key(bitmap, row >> 16);
    if (at == bitmap->count || bitmap->items[at].key != row >> 16) {
        return false;
    }
    const container *c = &bitmap->items[at];
    if (c->bits != NULL) {
        return bits_has(c->bits, (uint16_t)row);
    }
    uint32_t place = array_find(c, (uint16_t)row);
    return place < c->count && c->array[place] == (uint16_t)row;
}

uint64_t dl_delta_bitmap_count(const dl_delta_bitmap *bitmap)
{
    return bitmap->members;
}

uint64_t dl_delta_bitmap_rank(const dl_delta_bitmap *bitmap, uint64_t row)
{
    uint64_t rank = 0;
    size_t at = find_key(bitmap, row >> 16);
    for (size_t i = 0; i < at; i++) {
        rank += bitmap->items[i].count;
    }
    if (at == bitmap->count || bitmap->items[at].key != row >> 16) {
        return rank;
    }
    const container *c = &bitmap->items[at];
    uint32_t low = (uint16_t)row;
    if (c->bits == NULL) {
        return rank + array_find(c, low);
    }
    for (uint32_t i = 0; i < low / 64; i++) {
        rank += (uint64_t)__builtin_popcountll(c->bits[i]);
    }
    uint64_t below = c->bits[low / 64] & ((1ULL << (low % 64)) - 1);
    return rank + (uint64_t)__builtin_popcountll(below);
}

/* The smallest member >= low. */
static bool container_next(const container *c, uint32_t low, uint32_t *out_low)
{
    if (c->bits == NULL) {
        uint32_t at = array_find(c, low);
        if (at == c->count) {
            return false;
        }
        *out_low = c->array[at];
        return true;
    }
    for (uint32_t i = low / 64; i < BITS_WORDS; i++) {
        uint64_t word = c->bits[i];
        if (i == low / 64) {
            word &= ~0ULL << (low % 64);
        }
        if (word != 0) {
            *out_low = i * 64 + (uint32_t)__builtin_ctzll(word);
            return true;
        }
    }
    return false;
}

bool dl_delta_bitmap_next(const dl_delta_bitmap *bitmap, uint64_t row, uint64_t *out_row)
{
    for (size_t at = find_key(bitmap, row >> 16); at < bitmap->count; at++) {
        const container *c = &bitmap->items[at];
        uint32_t from = c->key == row >> 16 ? (uint16_t)row : 0, low = 0;
        if (container_next(c, from, &low)) {
            *out_row = c->key << 16 | low;
            return true;
        }
    }
    return false;
}

/* ---- writing ---- */

static size_t container_bytes(const container *c)
{
    return c->count <= ARRAY_LIMIT ? c->count * sizeof(uint16_t) : BITS_BYTES;
}

static uint8_t *put_le16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    return p + 2;
}

static uint8_t *put_container(uint8_t *p, const container *c)
{
    if (c->count > ARRAY_LIMIT) {
        for (size_t i = 0; i < BITS_WORDS; i++) {
            dl_put_le64(p + 8 * i, c->bits[i]);
        }
        return p + BITS_BYTES;
    }
    uint32_t low = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        (void)container_next(c, low, &low); /* bits may have few members as well */
        p = put_le16(p, low++);
    }
    return p;
}

/* The 32-bit bitmap of `count` containers under one high word. */
static dl_status write_bucket(const container *items, size_t count, dl_buf *out, dl_error *err)
{
    size_t head = 4 + 4 + count * 8, total = head;
    for (size_t i = 0; i < count; i++) {
        total += container_bytes(&items[i]);
    }
    DL_TRY(dl_buf_reserve(out, 4 + total, err));
    uint8_t *p = (uint8_t *)out->ptr + out->len;
    dl_put_le32(p, (uint32_t)(items[0].key >> 16));
    dl_put_le32(p + 4, COOKIE_PLAIN);
    dl_put_le32(p + 8, (uint32_t)count);
    p += 12;
    for (size_t i = 0; i < count; i++) {
        p = put_le16(p, (uint32_t)(items[i].key & 0xffff));
        p = put_le16(p, items[i].count - 1);
    }
    size_t offset = head;
    for (size_t i = 0; i < count; i++) {
        dl_put_le32(p, (uint32_t)offset);
        offset += container_bytes(&items[i]);
        p += 4;
    }
    for (size_t i = 0; i < count; i++) {
        p = put_container(p, &items[i]);
    }
    out->len += 4 + total;
    return DL_OK;
}

static size_t bucket_end(const dl_delta_bitmap *bitmap, size_t begin)
{
    size_t end = begin + 1;
    while (end < bitmap->count && bitmap->items[end].key >> 16 == bitmap->items[begin].key >> 16) {
        end++;
    }
    return end;
}

dl_status dl_delta_bitmap_write(const dl_delta_bitmap *bitmap, dl_buf *out, dl_error *err)
{
    uint64_t buckets = 0;
    for (size_t i = 0; i < bitmap->count; i = bucket_end(bitmap, i)) {
        buckets++;
    }
    uint8_t head[12];
    dl_put_le32(head, magic_portable);
    dl_put_le64(head + 4, buckets);
    size_t before = out->len;
    dl_status status = dl_buf_append(out, head, sizeof head, err);
    for (size_t i = 0; status == DL_OK && i < bitmap->count; i = bucket_end(bitmap, i)) {
        status = write_bucket(bitmap->items + i, bucket_end(bitmap, i) - i, out, err);
    }
    if (status != DL_OK) {
        out->len = before;
    }
    return status;
}

/* ---- reading ---- */

static dl_status corrupt(dl_error *err, const char *what)
{
    return dl_error_set(err, DL_E_CORRUPT, "row set: %s", what);
}

static bool take32(dl_cursor *in, uint32_t *out)
{
    const uint8_t *p = NULL;
    if (!dl_cursor_take(in, 4, &p)) {
        return false;
    }
    *out = dl_le32(p);
    return true;
}

/* What stands before the containers of one 32-bit bitmap. */
typedef struct bucket_head {
    const uint8_t *start; /* offsets count from here */
    uint32_t count;
    const uint8_t *run_flags; /* NULL: no runs */
    const uint8_t *keys;      /* count pairs (key, cardinality - 1) */
    const uint8_t *offsets;   /* NULL: none */
} bucket_head;

static dl_status read_head(dl_cursor *in, bucket_head *out, dl_error *err)
{
    bucket_head head = {.start = in->pos};
    uint32_t cookie = 0;
    if (!take32(in, &cookie)) {
        return corrupt(err, "it ends before a bitmap");
    }
    if (cookie == COOKIE_PLAIN) {
        if (!take32(in, &head.count)) {
            return corrupt(err, "it ends in the head of a bitmap");
        }
    } else if ((cookie & 0xffff) == COOKIE_RUNS) {
        head.count = (cookie >> 16) + 1;
        if (!dl_cursor_take(in, (head.count + 7) / 8, &head.run_flags)) {
            return corrupt(err, "it ends in the run flags");
        }
    } else {
        return corrupt(err, "a bitmap has an unknown cookie");
    }
    if (head.count > KEY_LIMIT) {
        return corrupt(err, "a bitmap has more than 65536 containers");
    }
    if (!dl_cursor_take(in, (size_t)head.count * 4, &head.keys)) {
        return corrupt(err, "it ends in the keys of a bitmap");
    }
    if ((head.run_flags == NULL || head.count >= RUNS_WITHOUT_OFFSETS) &&
        !dl_cursor_take(in, (size_t)head.count * 4, &head.offsets)) {
        return corrupt(err, "it ends in the offsets of a bitmap");
    }
    *out = head;
    return DL_OK;
}

static dl_status read_array(dl_cursor *in, container *c, dl_error *err)
{
    const uint8_t *p = NULL;
    if (!dl_cursor_take(in, (size_t)c->count * 2, &p)) {
        return corrupt(err, "it ends in an array");
    }
    DL_TRY(array_reserve(c, c->count, err));
    DL_ASSERT(c->array != NULL);
    for (uint32_t i = 0; i < c->count; i++) {
        c->array[i] = dl_le16(p + 2 * (size_t)i);
        if (i > 0 && c->array[i] <= c->array[i - 1]) {
            return corrupt(err, "an array does not ascend");
        }
    }
    return DL_OK;
}

static dl_status bits_create(container *c, dl_error *err)
{
    c->bits = dl_mem_zalloc(BITS_WORDS, sizeof *c->bits);
    return c->bits == NULL ? no_memory(err) : DL_OK;
}

static dl_status read_bits(dl_cursor *in, container *c, dl_error *err)
{
    const uint8_t *p = NULL;
    if (!dl_cursor_take(in, BITS_BYTES, &p)) {
        return corrupt(err, "it ends in the bits of a container");
    }
    DL_TRY(bits_create(c, err));
    for (size_t i = 0; i < BITS_WORDS; i++) {
        c->bits[i] = dl_le64(p + 8 * i);
    }
    if (bits_count(c->bits) != c->count) {
        return corrupt(err, "a container has not as many bits as it says");
    }
    return DL_OK;
}

/* Sets bits first..last. */
static void set_range(uint64_t *bits, uint32_t first, uint32_t last)
{
    for (uint32_t low = first; low <= last;) {
        uint32_t in_word = low % 64, width = 64 - in_word;
        width = width > last - low + 1 ? last - low + 1 : width;
        uint64_t ones = width == 64 ? ~0ULL : (1ULL << width) - 1;
        bits[low / 64] |= ones << in_word;
        low += width;
    }
}

static dl_status to_array(container *c, dl_error *err)
{
    container array = {.key = c->key};
    DL_TRY(array_reserve(&array, c->count, err));
    uint32_t low = 0;
    while (array.count < c->count && container_next(c, low, &low)) {
        array.array[array.count++] = (uint16_t)low++;
    }
    container_clear(c);
    *c = array;
    return DL_OK;
}

static dl_status read_runs(dl_cursor *in, container *c, dl_error *err)
{
    const uint8_t *p = NULL;
    if (!dl_cursor_take(in, 2, &p)) {
        return corrupt(err, "it ends before runs");
    }
    uint32_t runs = dl_le16(p), next = 0;
    if (!dl_cursor_take(in, (size_t)runs * 4, &p)) {
        return corrupt(err, "it ends in runs");
    }
    DL_TRY(bits_create(c, err));
    for (uint32_t i = 0; i < runs; i++, p += 4) {
        uint32_t first = dl_le16(p), last = first + dl_le16(p + 2);
        if (first < next || last >= CONTAINER_ROWS) {
            return corrupt(err, "runs do not ascend");
        }
        set_range(c->bits, first, last);
        next = last + 1;
    }
    if (bits_count(c->bits) != c->count) {
        return corrupt(err, "runs have not as many members as they say");
    }
    return c->count <= ARRAY_LIMIT ? to_array(c, err) : DL_OK;
}

static dl_status read_bucket(dl_delta_bitmap *bitmap, dl_cursor *in, uint32_t high, dl_error *err)
{
    bucket_head head = {0};
    DL_TRY(read_head(in, &head, err));
    DL_ASSERT(head.keys != NULL);
    for (uint32_t i = 0; i < head.count; i++) {
        const uint8_t *pair = head.keys + 4 * (size_t)i;
        if (i > 0 && dl_le16(pair) <= dl_le16(pair - 4)) {
            return corrupt(err, "keys do not ascend");
        }
        if (head.offsets != NULL &&
            dl_le32(head.offsets + 4 * (size_t)i) != (size_t)(in->pos - head.start)) {
            return corrupt(err, "an offset does not lead to its container");
        }
        DL_CLEANUP(container_clear)
        container c = {.key = (uint64_t)high << 16 | dl_le16(pair),
                       .count = (uint32_t)dl_le16(pair + 2) + 1};
        if (head.run_flags != NULL && (head.run_flags[i / 8] >> (i % 8) & 1) != 0) {
            DL_TRY(read_runs(in, &c, err));
        } else if (c.count <= ARRAY_LIMIT) {
            DL_TRY(read_array(in, &c, err));
        } else {
            DL_TRY(read_bits(in, &c, err));
        }
        DL_TRY(take_container(bitmap, &c, err));
    }
    return DL_OK;
}

/* u64 count of buckets, then u32 high word and a bitmap each. */
static dl_status read_portable(dl_delta_bitmap *bitmap, dl_cursor *in, dl_error *err)
{
    const uint8_t *p = NULL;
    if (!dl_cursor_take(in, 8, &p)) {
        return corrupt(err, "it ends in its head");
    }
    uint64_t buckets = dl_le64(p);
    uint32_t last = 0;
    for (uint64_t i = 0; i < buckets; i++) {
        uint32_t high = 0;
        if (!take32(in, &high)) {
            return corrupt(err, "it has fewer bitmaps than it says");
        }
        if (high > INT32_MAX || (i > 0 && high <= last)) {
            return corrupt(err, "high words do not ascend");
        }
        DL_TRY(read_bucket(bitmap, in, high, err));
        last = high;
    }
    return DL_OK;
}

/* The older form: u32 count, then u32 length and a bitmap each; the place is the high word. */
static dl_status read_native(dl_delta_bitmap *bitmap, dl_cursor *in, dl_error *err)
{
    uint32_t buckets = 0;
    if (!take32(in, &buckets)) {
        return corrupt(err, "it ends in its head");
    }
    for (uint32_t high = 0; high < buckets; high++) {
        uint32_t len = 0;
        const uint8_t *p = NULL;
        if (!take32(in, &len) || !dl_cursor_take(in, len, &p)) {
            return corrupt(err, "it has fewer bitmaps than it says");
        }
        if (high > INT32_MAX) {
            return corrupt(err, "it has too many bitmaps");
        }
        dl_cursor part = {p, p + len};
        DL_TRY(read_bucket(bitmap, &part, high, err));
        if (dl_cursor_left(&part) != 0) {
            return corrupt(err, "a bitmap is shorter than it says");
        }
    }
    return DL_OK;
}

dl_status dl_delta_bitmap_read(dl_delta_bitmap *bitmap, dl_bytes bytes, dl_error *err)
{
    if (bytes.len < 4) {
        return corrupt(err, "it has no magic number");
    }
    dl_cursor in = {bytes.ptr + 4, bytes.ptr + bytes.len};
    uint32_t magic = dl_le32(bytes.ptr);
    DL_CLEANUP(bitmap_clear) dl_delta_bitmap fresh = {0};
    if (magic == magic_portable) {
        DL_TRY(read_portable(&fresh, &in, err));
    } else if (magic == magic_native) {
        DL_TRY(read_native(&fresh, &in, err));
    } else {
        return dl_error_set(err, DL_E_CORRUPT, "row set: magic number %u, not %u", magic,
                            magic_portable);
    }
    if (dl_cursor_left(&in) != 0) {
        return corrupt(err, "bytes after its end");
    }
    if (bitmap->count == 0) {
        bitmap_clear(bitmap);
        *bitmap = fresh;
        fresh = (dl_delta_bitmap){0};
        return DL_OK;
    }
    return dl_delta_bitmap_merge(bitmap, &fresh, err);
}
