/* The live set: what a table holds at its version. Every entry is one block of memory with all its
 * text, freed when the entry leaves. Applying a commit first makes all that is new and then changes
 * the tables, which cannot fail: a commit is applied whole or not at all. */
#include "delta/internal.h"

#include "base/ckd.h"
#include "base/mem.h"

#include <string.h>

typedef struct node {
    uint64_t hash;
    union {
        dl_delta_file file;
        dl_delta_app app;
        dl_delta_domain domain;
    } of;
} node;

/* Open addressing, linear probing, no grave marks: what follows a hole moves up. */
typedef struct map {
    node **slots;
    size_t cap; /* a power of two, or 0 */
    size_t count;
    bool (*same)(const node *a, const node *b);
} map;

struct dl_delta_live {
    map files, tombstones, apps, domains;
    dl_delta_protocol *protocol; /* blocks that hold their text */
    dl_delta_metadata *metadata;
    dl_delta_totals totals; /* row_count: of the files that say it */
    int64_t unknown_count;  /* files that do not */
};

enum { FIRST_CAP = 16 };

/* ---- map ---- */

static bool same_path(const node *a, const node *b)
{
    return dl_str_eq(a->of.file.path, b->of.file.path);
}

static bool same_vector(const dl_delta_dv *a, const dl_delta_dv *b)
{
    return a->storage == b->storage &&
           (a->storage == '\0' ||
            (a->offset == b->offset && dl_str_eq(a->path_or_inline, b->path_or_inline)));
}

/* One logical file: path and deletion vector (protocol, "Add File and Remove File"). */
static bool same_logical(const node *a, const node *b)
{
    return same_path(a, b) && same_vector(&a->of.file.dv, &b->of.file.dv);
}

static bool same_app(const node *a, const node *b)
{
    return dl_str_eq(a->of.app.app_id, b->of.app.app_id);
}

static bool same_domain(const node *a, const node *b)
{
    return dl_str_eq(a->of.domain.domain, b->of.domain.domain);
}

static uint64_t hash_text(dl_str text)
{
    return dl_store_xxh64((dl_bytes){(const uint8_t *)text.ptr, text.len});
}

static uint64_t hash_logical(const dl_delta_file *file)
{
    uint64_t hash = hash_text(file->path);
    if (file->dv.storage != '\0') {
        uint64_t dv = hash_text(file->dv.path_or_inline) + (uint64_t)file->dv.offset;
        hash ^= dv * 0x9e3779b97f4a7c15U;
        hash ^= hash >> 29;
    }
    return hash;
}

static size_t slot_of(const map *m, const node *probe)
{
    size_t at = probe->hash & (m->cap - 1);
    while (m->slots[at] != NULL &&
           !(m->slots[at]->hash == probe->hash && m->same(m->slots[at], probe))) {
        at = (at + 1) & (m->cap - 1);
    }
    return at;
}

static node *map_find(const map *m, const node *probe)
{
    return m->count == 0 ? NULL : m->slots[slot_of(m, probe)];
}

/* Room for `extra` more, at three quarters full. */
static dl_status map_reserve(map *m, size_t extra, dl_error *err)
{
    size_t cap = m->cap == 0 ? FIRST_CAP : m->cap, want = 0;
    if (ckd_add(&want, m->count, extra) || want > SIZE_MAX / 4) {
        return dl_error_set(err, DL_E_NOMEM, "delta: out of memory");
    }
    while (cap - cap / 4 < want) {
        cap *= 2;
    }
    if (cap == m->cap) {
        return DL_OK;
    }
    map grown = {.cap = cap, .count = m->count, .same = m->same};
    grown.slots = dl_mem_zalloc(cap, sizeof(node *));
    if (grown.slots == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "delta: out of memory");
    }
    for (size_t i = 0; i < m->cap; i++) {
        if (m->slots[i] != NULL) {
            size_t at = m->slots[i]->hash & (cap - 1);
            while (grown.slots[at] != NULL) {
                at = (at + 1) & (cap - 1);
            }
            grown.slots[at] = m->slots[i];
        }
    }
    dl_mem_free(m->slots);
    *m = grown;
    return DL_OK;
}

/* Takes the entry at `hole` out and moves up what would not be found any more. */
static node *take_slot(map *m, size_t hole)
{
    node *taken = m->slots[hole];
    size_t mask = m->cap - 1;
    for (size_t at = (hole + 1) & mask; m->slots[at] != NULL; at = (at + 1) & mask) {
        size_t home = m->slots[at]->hash & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            m->slots[hole] = m->slots[at];
            hole = at;
        }
    }
    m->slots[hole] = NULL;
    m->count--;
    return taken;
}

static node *map_take(map *m, const node *probe)
{
    size_t at = m->count == 0 ? 0 : slot_of(m, probe);
    return m->count == 0 || m->slots[at] == NULL ? NULL : take_slot(m, at);
}

/* There must be room. Returns what it takes the place of. */
static node *map_put(map *m, node *entry)
{
    size_t at = slot_of(m, entry);
    node *old = m->slots[at];
    m->slots[at] = entry;
    m->count += old == NULL ? 1 : 0;
    return old;
}

static const node *map_next(const map *m, size_t *cursor)
{
    while (*cursor < m->cap) {
        const node *entry = m->slots[(*cursor)++];
        if (entry != NULL) {
            return entry;
        }
    }
    return NULL;
}

static void map_clear(map *m)
{
    for (size_t i = 0; i < m->cap; i++) {
        dl_mem_free(m->slots[i]);
    }
    dl_mem_free(m->slots);
}

/* ---- blocks ---- */

/* Measures first (at == NULL), then copies: the same calls do both. */
typedef struct packer {
    char *at;
    size_t bytes;
} packer;

static void *pack_bytes(packer *p, const void *from, size_t bytes)
{
    char *to = p->at;
    p->bytes += bytes;
    if (to != NULL) {
        if (bytes > 0) {
            memcpy(to, from, bytes);
        }
        p->at += bytes;
    }
    return to;
}

static dl_str pack_text(packer *p, dl_str text)
{
    if (text.ptr == NULL) {
        return DL_STR_NONE;
    }
    const char *copy = pack_bytes(p, text.ptr, text.len);
    return (dl_str){copy == NULL ? "" : copy, text.len};
}

/* Arrays go before all text of a block, so that they are aligned. */
static dl_delta_pair *pack_pairs(packer *p, dl_delta_pairs pairs)
{
    return pack_bytes(p, pairs.items, pairs.count * sizeof *pairs.items);
}

static dl_str *pack_names(packer *p, dl_delta_names names)
{
    return pack_bytes(p, names.items, names.count * sizeof *names.items);
}

static void pack_pair_text(packer *p, dl_delta_pairs from, dl_delta_pair *to)
{
    for (size_t i = 0; i < from.count; i++) {
        dl_delta_pair copy = {pack_text(p, from.items[i].key), pack_text(p, from.items[i].value)};
        if (to != NULL) {
            to[i] = copy;
        }
    }
}

static void pack_name_text(packer *p, dl_delta_names from, dl_str *to)
{
    for (size_t i = 0; i < from.count; i++) {
        dl_str copy = pack_text(p, from.items[i]);
        if (to != NULL) {
            to[i] = copy;
        }
    }
}

static void pack_file(packer *p, const dl_delta_file *from, dl_delta_file *to)
{
    dl_delta_pair *values = pack_pairs(p, from->partition_values);
    dl_delta_pair *tags = pack_pairs(p, from->tags);
    pack_pair_text(p, from->partition_values, values);
    pack_pair_text(p, from->tags, tags);
    dl_delta_file copy = *from;
    copy.partition_values.items = values;
    copy.tags.items = tags;
    copy.path = pack_text(p, from->path);
    copy.stats = pack_text(p, from->stats);
    copy.dv.path_or_inline = pack_text(p, from->dv.path_or_inline);
    if (to != NULL) {
        *to = copy;
    }
}

static node *file_node(const dl_delta_file *file)
{
    packer p = {0};
    pack_file(&p, file, NULL);
    node *made = dl_mem_alloc(1, sizeof *made + p.bytes);
    if (made != NULL) {
        p.at = (char *)(made + 1);
        pack_file(&p, file, &made->of.file);
    }
    return made;
}

static node *live_node(const dl_delta_file *file)
{
    node *made = file_node(file);
    if (made != NULL) {
        made->hash = hash_text(file->path);
    }
    return made;
}

/* What checkpoints and vacuum need of a removed file, without statistics and tags. */
static node *tombstone_node(const dl_delta_file *file)
{
    dl_delta_file lean = *file;
    lean.stats = DL_STR_NONE;
    lean.tags = (dl_delta_pairs){0};
    node *made = file_node(&lean);
    if (made != NULL) {
        made->hash = hash_logical(file);
    }
    return made;
}

static node *app_node(const dl_delta_app *app)
{
    node *made = dl_mem_alloc(1, sizeof *made + app->app_id.len);
    if (made != NULL) {
        packer p = {.at = (char *)(made + 1)};
        made->of.app = *app;
        made->of.app.app_id = pack_text(&p, app->app_id);
        made->hash = hash_text(app->app_id);
    }
    return made;
}

static node *domain_node(const dl_delta_domain *domain)
{
    node *made = dl_mem_alloc(1, sizeof *made + domain->domain.len + domain->configuration.len);
    if (made != NULL) {
        packer p = {.at = (char *)(made + 1)};
        made->of.domain = *domain;
        made->of.domain.domain = pack_text(&p, domain->domain);
        made->of.domain.configuration = pack_text(&p, domain->configuration);
        made->hash = hash_text(domain->domain);
    }
    return made;
}

static void pack_protocol(packer *p, const dl_delta_protocol *from, dl_delta_protocol *to)
{
    dl_str *readers = pack_names(p, from->reader_features);
    dl_str *writers = pack_names(p, from->writer_features);
    pack_name_text(p, from->reader_features, readers);
    pack_name_text(p, from->writer_features, writers);
    if (to != NULL) {
        *to = *from;
        to->reader_features.items = readers;
        to->writer_features.items = writers;
    }
}

static dl_delta_protocol *copy_protocol(const dl_delta_protocol *from)
{
    packer p = {0};
    pack_protocol(&p, from, NULL);
    dl_delta_protocol *to = dl_mem_alloc(1, sizeof *to + p.bytes);
    if (to != NULL) {
        p.at = (char *)(to + 1);
        pack_protocol(&p, from, to);
    }
    return to;
}

static void pack_metadata(packer *p, const dl_delta_metadata *from, dl_delta_metadata *to)
{
    dl_delta_pair *pairs = pack_pairs(p, from->configuration);
    dl_str *names = pack_names(p, from->partition_columns);
    pack_pair_text(p, from->configuration, pairs);
    pack_name_text(p, from->partition_columns, names);
    dl_delta_metadata copy = *from;
    copy.configuration.items = pairs;
    copy.partition_columns.items = names;
    copy.id = pack_text(p, from->id);
    copy.name = pack_text(p, from->name);
    copy.description = pack_text(p, from->description);
    copy.schema_json = pack_text(p, from->schema_json);
    if (to != NULL) {
        *to = copy;
    }
}

static dl_delta_metadata *copy_metadata(const dl_delta_metadata *from)
{
    packer p = {0};
    pack_metadata(&p, from, NULL);
    dl_delta_metadata *to = dl_mem_alloc(1, sizeof *to + p.bytes);
    if (to != NULL) {
        p.at = (char *)(to + 1);
        pack_metadata(&p, from, to);
    }
    return to;
}

/* ---- life ---- */

dl_status dl_delta_live_create(dl_delta_live **out_live, dl_error *err)
{
    dl_delta_live *live = dl_mem_zalloc(1, sizeof *live);
    if (live == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "delta: out of memory");
    }
    live->files.same = same_path;
    live->tombstones.same = same_logical;
    live->apps.same = same_app;
    live->domains.same = same_domain;
    *out_live = live;
    return DL_OK;
}

void dl_delta_live_destroy(dl_delta_live *live)
{
    if (live == NULL) {
        return;
    }
    map_clear(&live->files);
    map_clear(&live->tombstones);
    map_clear(&live->apps);
    map_clear(&live->domains);
    dl_mem_free(live->protocol);
    dl_mem_free(live->metadata);
    dl_mem_free(live);
}

/* ---- applying ---- */

/* What a commit brings, made before anything changes. */
typedef struct fresh {
    node **nodes; /* adds, removes, apps, domains */
    size_t count;
    dl_delta_protocol *protocol;
    dl_delta_metadata *metadata;
} fresh;

static void fresh_clear(fresh *f)
{
    for (size_t i = 0; f->nodes != NULL && i < f->count; i++) {
        dl_mem_free(f->nodes[i]);
    }
    dl_mem_free(f->nodes);
    dl_mem_free(f->protocol);
    dl_mem_free(f->metadata);
}

static node *fresh_node(const dl_delta_commit *c, size_t i)
{
    if (i < c->add_count) {
        return live_node(&c->adds[i]);
    }
    i -= c->add_count;
    if (i < c->remove_count) {
        return tombstone_node(&c->removes[i]);
    }
    i -= c->remove_count;
    return i < c->app_count ? app_node(&c->apps[i]) : domain_node(&c->domains[i - c->app_count]);
}

static bool fresh_make(fresh *f, const dl_delta_commit *c)
{
    size_t count = c->add_count + c->remove_count + c->app_count + c->domain_count;
    if (c->protocol != NULL && (f->protocol = copy_protocol(c->protocol)) == NULL) {
        return false;
    }
    if (c->metadata != NULL && (f->metadata = copy_metadata(c->metadata)) == NULL) {
        return false;
    }
    if (count > 0 && (f->nodes = dl_mem_zalloc(count, sizeof(node *))) == NULL) {
        return false;
    }
    for (; f->count < count; f->count++) {
        f->nodes[f->count] = fresh_node(c, f->count);
        if (f->nodes[f->count] == NULL) {
            return false;
        }
    }
    return true;
}

static dl_status reserve(dl_delta_live *live, const dl_delta_commit *c, dl_error *err)
{
    DL_TRY(map_reserve(&live->files, c->add_count, err));
    DL_TRY(map_reserve(&live->tombstones, c->remove_count, err));
    DL_TRY(map_reserve(&live->apps, c->app_count, err));
    return map_reserve(&live->domains, c->domain_count, err);
}

/* Sizes of a hostile log may wrap; nothing but the sums suffers. */
static void count(int64_t *sum, int64_t value, int sign)
{
    uint64_t amount = (uint64_t)value;
    *sum = (int64_t)(sign > 0 ? (uint64_t)*sum + amount : (uint64_t)*sum - amount);
}

static void count_file(dl_delta_live *live, const dl_delta_file *file, int sign)
{
    dl_delta_totals *t = &live->totals;
    t->file_count += sign;
    count(&t->size_bytes, file->size_bytes, sign);
    if (file->row_count >= 0) {
        count(&t->row_count, file->row_count, sign);
    } else {
        live->unknown_count += sign;
    }
    if (file->dv.storage != '\0') {
        t->dv_count += sign;
        count(&t->deleted_rows, file->dv.cardinality, sign);
    }
}

static void drop_file(dl_delta_live *live, node *entry)
{
    if (entry != NULL) {
        count_file(live, &entry->of.file, -1);
        dl_mem_free(entry);
    }
}

static void bury(dl_delta_live *live, node *tombstone)
{
    node probe = {.hash = hash_text(tombstone->of.file.path), .of.file = tombstone->of.file};
    node *entry = map_find(&live->files, &probe);
    if (entry != NULL && same_logical(entry, tombstone)) {
        drop_file(live, map_take(&live->files, entry));
    }
    dl_mem_free(map_put(&live->tombstones, tombstone));
}

static void add(dl_delta_live *live, node *entry)
{
    node probe = {.hash = hash_logical(&entry->of.file), .of.file = entry->of.file};
    dl_mem_free(map_take(&live->tombstones, &probe));
    count_file(live, &entry->of.file, 1);
    drop_file(live, map_put(&live->files, entry));
}

static void set_domain(dl_delta_live *live, node *entry)
{
    if (entry->of.domain.removed) {
        dl_mem_free(map_take(&live->domains, entry));
        dl_mem_free(entry);
    } else {
        dl_mem_free(map_put(&live->domains, entry));
    }
}

/* Cannot fail. */
static void take_over(dl_delta_live *live, fresh *f, const dl_delta_commit *c)
{
    node **removes = f->nodes + c->add_count, **apps = removes + c->remove_count;
    node **domains = apps + c->app_count;
    for (size_t i = 0; i < c->remove_count; i++) {
        bury(live, removes[i]);
    }
    for (size_t i = 0; i < c->add_count; i++) {
        add(live, f->nodes[i]);
    }
    for (size_t i = 0; i < c->app_count; i++) {
        dl_mem_free(map_put(&live->apps, apps[i]));
    }
    for (size_t i = 0; i < c->domain_count; i++) {
        set_domain(live, domains[i]);
    }
    f->count = 0;
}

dl_status dl_delta_live_apply(dl_delta_live *live, const dl_delta_commit *commit, dl_error *err)
{
    fresh f = {0};
    if (!fresh_make(&f, commit)) {
        fresh_clear(&f);
        return dl_error_set(err, DL_E_NOMEM, "delta: out of memory");
    }
    dl_status status = reserve(live, commit, err);
    if (status == DL_OK) {
        if (f.count > 0) {
            take_over(live, &f, commit);
        }
        if (f.protocol != NULL) {
            dl_mem_free(live->protocol);
            live->protocol = DL_STEAL(f.protocol);
        }
        if (f.metadata != NULL) {
            dl_mem_free(live->metadata);
            live->metadata = DL_STEAL(f.metadata);
        }
    }
    fresh_clear(&f);
    return status;
}

void dl_delta_live_expire(dl_delta_live *live, int64_t before_ms)
{
    map *m = &live->tombstones;
    for (size_t i = 0; i < m->cap; i++) {
        while (m->slots[i] != NULL && m->slots[i]->of.file.deletion_ms < before_ms) {
            dl_mem_free(take_slot(m, i));
        }
    }
}

/* ---- asking ---- */

const dl_delta_protocol *dl_delta_live_protocol(const dl_delta_live *live)
{
    return live->protocol;
}

const dl_delta_metadata *dl_delta_live_metadata(const dl_delta_live *live)
{
    return live->metadata;
}

bool dl_delta_live_next_file(const dl_delta_live *live, size_t *cursor,
                             const dl_delta_file **out_file)
{
    const node *entry = map_next(&live->files, cursor);
    if (entry != NULL) {
        *out_file = &entry->of.file;
    }
    return entry != NULL;
}

bool dl_delta_live_next_tombstone(const dl_delta_live *live, size_t *cursor,
                                  const dl_delta_file **out_file)
{
    const node *entry = map_next(&live->tombstones, cursor);
    if (entry != NULL) {
        *out_file = &entry->of.file;
    }
    return entry != NULL;
}

bool dl_delta_live_next_domain(const dl_delta_live *live, size_t *cursor,
                               dl_delta_domain *out_domain)
{
    const node *entry = map_next(&live->domains, cursor);
    if (entry != NULL) {
        *out_domain = entry->of.domain;
    }
    return entry != NULL;
}

bool dl_delta_live_next_app(const dl_delta_live *live, size_t *cursor, dl_delta_app *out_app)
{
    const node *entry = map_next(&live->apps, cursor);
    if (entry != NULL) {
        *out_app = entry->of.app;
    }
    return entry != NULL;
}

const dl_delta_file *dl_delta_live_find(const dl_delta_live *live, dl_str path)
{
    node probe = {.hash = hash_text(path), .of.file.path = path};
    const node *entry = map_find(&live->files, &probe);
    return entry == NULL ? NULL : &entry->of.file;
}

int64_t dl_delta_live_app_version(const dl_delta_live *live, dl_str app_id)
{
    node probe = {.hash = hash_text(app_id), .of.app.app_id = app_id};
    const node *entry = map_find(&live->apps, &probe);
    return entry == NULL ? -1 : entry->of.app.version;
}

size_t dl_delta_live_tombstone_count(const dl_delta_live *live)
{
    return live->tombstones.count;
}

dl_delta_totals dl_delta_live_totals(const dl_delta_live *live)
{
    dl_delta_totals totals = live->totals;
    count(&totals.row_count, totals.deleted_rows, -1);
    totals.row_count = live->unknown_count > 0 ? -1 : totals.row_count;
    return totals;
}
