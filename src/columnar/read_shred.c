/* A chunk's vectors to entries, level by level: each node turns the places of its parent's values
 * into places of its children's, with the levels that lead there (Dremel, section 4). Depth is that
 * of the wanted schema, which dl_read_plan_make bounds. */
#include "base/mem.h"
#include "columnar/read.h"

static bool is_valid(const uint64_t *validity, uint32_t at)
{
    return validity == NULL || (validity[at / 64] >> (at % 64) & 1) != 0;
}

/* ---- room ---- */

static dl_status too_many(dl_error *err)
{
    return dl_error_set(err, DL_E_LIMIT, "columnar: a row has more than %d entries in a column",
                        DL_READ_ENTRY_LIMIT);
}

static size_t grown(size_t cap, size_t count)
{
    size_t next = cap == 0 ? 256 : cap;
    while (next < count) {
        next *= 2;
    }
    return next;
}

static dl_status slots_reserve(dl_read_slots *s, size_t count, dl_error *err)
{
    if (count <= s->cap) {
        return DL_OK;
    }
    if (count > DL_READ_ENTRY_LIMIT) {
        return too_many(err);
    }
    size_t cap = grown(s->cap, count);
    dl_read_slot *slots = dl_mem_resize(s->slots, cap, sizeof(*slots));
    if (slots == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "columnar: out of memory");
    }
    s->slots = slots;
    s->cap = cap;
    return DL_OK;
}

static dl_status leaf_reserve(dl_read_leaf *leaf, size_t count, dl_error *err)
{
    if (count <= leaf->cap) {
        return DL_OK;
    }
    size_t cap = grown(leaf->cap, count);
    uint8_t *rep = dl_mem_resize(leaf->rep, cap, 1);
    leaf->rep = rep != NULL ? rep : leaf->rep;
    uint8_t *def = dl_mem_resize(leaf->def, cap, 1);
    leaf->def = def != NULL ? def : leaf->def;
    dl_columnar_value *values = dl_mem_resize(leaf->values, cap, sizeof(*values));
    leaf->values = values != NULL ? values : leaf->values;
    if (rep == NULL || def == NULL || values == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "columnar: out of memory");
    }
    leaf->cap = cap;
    return DL_OK;
}

static dl_status text_reserve(dl_read_leaf *leaf, size_t count, dl_error *err)
{
    if (count <= leaf->text_cap) {
        return DL_OK;
    }
    size_t cap = grown(leaf->text_cap, count);
    char *text = dl_mem_resize(leaf->text, cap, DL_READ_DECIMAL_SIZE);
    if (text == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "columnar: out of memory");
    }
    leaf->text = text;
    leaf->text_cap = cap;
    return DL_OK;
}

dl_status dl_read_shredder_init(dl_read_shredder *shredder, const dl_duckdb *api,
                                const dl_read_plan *plan, dl_error *err)
{
    *shredder = (dl_read_shredder){.api = api, .plan = plan};
    shredder->leaves = dl_mem_zalloc(plan->leaf_count, sizeof(*shredder->leaves));
    shredder->entries = dl_mem_zalloc(plan->leaf_count, sizeof(*shredder->entries));
    if (shredder->leaves == NULL || shredder->entries == NULL) {
        dl_read_shredder_clear(shredder);
        return dl_error_set(err, DL_E_NOMEM, "columnar: out of memory");
    }
    return DL_OK;
}

void dl_read_shredder_clear(dl_read_shredder *shredder)
{
    for (size_t i = 0; shredder->leaves != NULL && i < shredder->plan->leaf_count; i++) {
        dl_read_leaf *leaf = &shredder->leaves[i];
        dl_mem_free(leaf->rep);
        dl_mem_free(leaf->def);
        dl_mem_free(leaf->values);
        dl_mem_free(leaf->text);
    }
    dl_mem_free(shredder->leaves);
    dl_mem_free(shredder->entries);
    for (size_t i = 0; i < DL_COUNT_OF(shredder->levels); i++) {
        dl_mem_free(shredder->levels[i].slots);
    }
    *shredder = (dl_read_shredder){0};
}

/* ---- nodes ---- */

/* The columns of the result, for JSON; the depth of nesting so far, which buffer is free. */
typedef struct walk {
    dl_read_shredder *shredder;
    duckdb_data_chunk chunk;
    dl_error *err;
} walk;

static dl_status shred_node(walk *w, const dl_read_node *node, duckdb_vector vector, size_t level);

/* Nothing below this node has a value: the parent's slots as they are, for each leaf. */
static dl_status shred_nothing(walk *w, const dl_read_node *node, size_t level)
{
    const dl_read_slots *in = &w->shredder->levels[level];
    for (size_t i = 0; i < node->leaf_count; i++) {
        dl_read_leaf *leaf = &w->shredder->leaves[node->first_leaf + i];
        DL_TRY(leaf_reserve(leaf, in->count, w->err));
        for (size_t n = 0; n < in->count; n++) {
            leaf->rep[n] = in->slots[n].rep;
            leaf->def[n] = in->slots[n].def;
        }
        leaf->count = in->count;
    }
    return DL_OK;
}

static dl_status shred_leaf(walk *w, const dl_read_node *node, duckdb_vector vector, size_t level)
{
    const dl_read_slots *in = &w->shredder->levels[level];
    dl_read_leaf *leaf = &w->shredder->leaves[node->first_leaf];
    DL_TRY(leaf_reserve(leaf, in->count, w->err));
    if (node->field->type == DL_COLUMNAR_DECIMAL && node->field->precision > 18) {
        DL_TRY(text_reserve(leaf, in->count, w->err));
    }
    DL_TRY(dl_read_leaf_values(w->shredder->api, node, vector, in, leaf, w->err));
    leaf->count = in->count;
    return DL_OK;
}

static dl_status required_is_null(const dl_read_node *node, dl_error *err)
{
    return dl_error_set(err, DL_E_CORRUPT, "columnar: column %.*s: NULL in a required column",
                        DL_STR_ARG(node->field->name));
}

/* The slots of a struct's members: where the struct is there, one definition level more. */
static dl_status enter_struct(walk *w, const dl_read_node *node, const uint64_t *validity,
                              size_t level)
{
    const dl_read_slots *in = &w->shredder->levels[level];
    dl_read_slots *out = &w->shredder->levels[level + 1];
    DL_TRY(slots_reserve(out, in->count, w->err));
    for (size_t i = 0; i < in->count; i++) {
        dl_read_slot slot = in->slots[i];
        if (slot.at != DL_READ_NOTHING) {
            if (is_valid(validity, slot.at)) {
                slot.def = node->def;
            } else if (node->required) {
                return required_is_null(node, w->err);
            } else {
                slot.at = DL_READ_NOTHING;
            }
        }
        out->slots[i] = slot;
    }
    out->count = in->count;
    return DL_OK;
}

/* No deeper than the wanted schema, which dl_columnar_leaves has bounded.
 * NOLINTBEGIN(misc-no-recursion) */

static dl_status shred_struct(walk *w, const dl_read_node *node, duckdb_vector vector, size_t level)
{
    const dl_duckdb *api = w->shredder->api;
    DL_TRY(enter_struct(w, node, api->vector_get_validity(vector), level));
    for (size_t i = 0; i < node->child_count; i++) {
        const dl_read_node *child = &node->children[i];
        duckdb_vector from = child->kind == DL_READ_MISSING || child->kind == DL_READ_JSON
                                 ? NULL
                                 : api->struct_vector_get_child(vector, child->source);
        DL_TRY(shred_node(w, child, from, level + 1));
    }
    return DL_OK;
}

/* How many slots the elements of a list have: at least one a slot of the list. */
static dl_status count_elements(const dl_read_slots *in, const uint64_t *validity,
                                const duckdb_list_entry *lists, size_t *out_count, dl_error *err)
{
    size_t count = 0;
    for (size_t i = 0; i < in->count; i++) {
        uint32_t at = in->slots[i].at;
        uint64_t length = 1;
        if (at != DL_READ_NOTHING && is_valid(validity, at) && lists[at].length > 0) {
            length = lists[at].length;
            if (lists[at].offset >= DL_READ_NOTHING || length > DL_READ_ENTRY_LIMIT ||
                lists[at].offset + length >= DL_READ_NOTHING) {
                return too_many(err);
            }
        }
        count += length;
        if (count > DL_READ_ENTRY_LIMIT) {
            return too_many(err);
        }
    }
    *out_count = count;
    return DL_OK;
}

static dl_status enter_list(walk *w, const dl_read_node *node, duckdb_vector vector, size_t level)
{
    const dl_duckdb *api = w->shredder->api;
    const uint64_t *validity = api->vector_get_validity(vector);
    const duckdb_list_entry *lists = api->vector_get_data(vector);
    const dl_read_slots *in = &w->shredder->levels[level];
    dl_read_slots *out = &w->shredder->levels[level + 1];
    size_t count = 0;
    DL_TRY(count_elements(in, validity, lists, &count, w->err));
    DL_TRY(slots_reserve(out, count, w->err));
    uint8_t rep = (uint8_t)(node->rep + 1), def = (uint8_t)(node->def + 1);
    dl_read_slot *next = out->slots;
    for (size_t i = 0; i < in->count; i++) {
        dl_read_slot slot = in->slots[i];
        if (slot.at == DL_READ_NOTHING) {
            *next++ = slot;
            continue;
        }
        if (!is_valid(validity, slot.at)) {
            if (node->required) {
                return required_is_null(node, w->err);
            }
            *next++ = (dl_read_slot){DL_READ_NOTHING, slot.rep, slot.def};
            continue;
        }
        uint32_t first = (uint32_t)lists[slot.at].offset, length = (uint32_t)lists[slot.at].length;
        if (length == 0) {
            *next++ = (dl_read_slot){DL_READ_NOTHING, slot.rep, node->def};
            continue;
        }
        *next++ = (dl_read_slot){first, slot.rep, def};
        for (uint32_t n = 1; n < length; n++) {
            *next++ = (dl_read_slot){first + n, rep, def};
        }
    }
    out->count = (size_t)(next - out->slots);
    return DL_OK;
}

static dl_status shred_node(walk *w, const dl_read_node *node, duckdb_vector vector, size_t level)
{
    const dl_duckdb *api = w->shredder->api;
    switch (node->kind) {
    case DL_READ_MISSING:
        return shred_nothing(w, node, level);
    case DL_READ_JSON:
        return shred_leaf(w, node, api->data_chunk_get_vector(w->chunk, node->source), level);
    case DL_READ_LEAF:
        return shred_leaf(w, node, vector, level);
    case DL_READ_STRUCT:
        return shred_struct(w, node, vector, level);
    case DL_READ_LIST:
        DL_TRY(enter_list(w, node, vector, level));
        return shred_node(w, &node->children[0], api->list_vector_get_child(vector), level + 1);
    case DL_READ_MAP: {
        DL_TRY(enter_list(w, node, vector, level));
        /* A list of structs (key, value), whose structs are always there. */
        duckdb_vector entries = api->list_vector_get_child(vector);
        for (size_t i = 0; i < node->child_count; i++) {
            DL_TRY(shred_node(w, &node->children[i],
                              api->struct_vector_get_child(entries, (idx_t)i), level + 1));
        }
        return DL_OK;
    }
    }
    return DL_OK;
}

/* NOLINTEND(misc-no-recursion) */

/* ---- chunks ---- */

dl_status dl_read_shred(dl_read_shredder *shredder, duckdb_data_chunk chunk, size_t first,
                        size_t count, dl_error *err)
{
    walk w = {shredder, chunk, err};
    dl_read_slots *rows = &shredder->levels[0];
    DL_TRY(slots_reserve(rows, count, err));
    for (size_t i = 0; i < count; i++) {
        rows->slots[i] = (dl_read_slot){(uint32_t)(first + i), 0, 0};
    }
    rows->count = count;
    for (size_t i = 0; i < shredder->plan->column_count; i++) {
        const dl_read_node *node = &shredder->plan->columns[i];
        duckdb_vector vector = node->kind == DL_READ_MISSING || node->kind == DL_READ_JSON
                                   ? NULL
                                   : shredder->api->data_chunk_get_vector(chunk, node->source);
        DL_TRY(shred_node(&w, node, vector, 0));
        for (size_t n = node->first_leaf; n < node->first_leaf + node->leaf_count; n++) {
            const dl_read_leaf *leaf = &shredder->leaves[n];
            shredder->entries[n] = (dl_columnar_entries){
                leaf->count, shredder->plan->leaves[n].max_rep == 0 ? NULL : leaf->rep, leaf->def,
                leaf->values};
        }
    }
    return DL_OK;
}
