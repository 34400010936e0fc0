#include "factory/catalog.h"

#include "base/log.h"
#include "factory/catalog_internal.h"
#include "factory/document_copy.h"
#include "factory/schema.h"
#include "json/json.h"

#include <stdio.h>
#include <string.h>

/* ---- one transaction ---- */

static dl_status run(dl_catalog_work *c, dl_factory_need need,
                     dl_status (*work)(dl_catalog_work *c, void *context), void *context)
{
    if (need == DL_FACTORY_DRAFTS) {
        return work(c, context);
    }
    DL_TRY(dl_db_begin(c->db, need == DL_FACTORY_WRITE, c->err));
    dl_status status = work(c, context);
    if (status == DL_OK) {
        status = dl_db_commit(c->db, c->err);
    }
    if (status != DL_OK) {
        dl_db_rollback(c->db);
    }
    return status;
}

dl_status dl_catalog_do(dl_factory *factory, dl_factory_need need,
                        dl_status (*work)(dl_catalog_work *c, void *context), void *context,
                        dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(DL_CATALOG_ARENA_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "catalog: out of memory");
    }
    dl_catalog_work c = {factory, NULL, arena, err};
    DL_TRY(dl_factory_lock(factory, need, &c.db, err));
    dl_status status = run(&c, need, work, context);
    dl_factory_unlock(factory);
    return status;
}

dl_status dl_catalog_bump(dl_catalog_work *c)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(c->db, "UPDATE revision SET value = value + 1", &q, c->err));
    return dl_db_run(q, c->err);
}

/* ---- drafts and what is published, together ---- */

static dl_catalog_item *find_item(dl_catalog_item *items, size_t count, dl_str name)
{
    for (size_t i = 0; i < count; i++) {
        if (dl_str_eq_nocase(items[i].name, name)) {
            return &items[i];
        }
    }
    return NULL;
}

static dl_status count_published(dl_catalog_work *c, dl_factory_kind kind, size_t *out_count)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(c->db, "SELECT count(*) FROM published WHERE kind = ?1", &q, c->err));
    dl_db_bind_int(q, 1, kind);
    size_t count = dl_db_step(q) ? (size_t)dl_db_int(q, 0) : 0;
    DL_TRY(dl_db_finish(q, c->err));
    *out_count = count;
    return DL_OK;
}

static dl_status take_published(dl_catalog_work *c, const dl_db_stmt *q, dl_catalog_item *items,
                                size_t *count)
{
    dl_str name = DL_STR_NONE;
    DL_TRY(dl_arena_copy(c->arena, dl_db_str(q, 0), &name, c->err));
    dl_catalog_item *item = find_item(items, *count, name);
    if (item == NULL) {
        item = &items[(*count)++];
        item->name = name;
    }
    item->published_name = name;
    item->published_us = dl_db_int(q, 2);
    item->started = dl_db_int(q, 3) != 0;
    return dl_arena_copy(c->arena, dl_db_str(q, 1), &item->published, c->err);
}

static dl_status add_published(dl_catalog_work *c, dl_factory_kind kind, dl_catalog_item *items,
                               size_t room, size_t *count)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(c->db,
                       "SELECT name, json, published_us, started FROM published"
                       " WHERE kind = ?1 ORDER BY name",
                       &q, c->err));
    dl_db_bind_int(q, 1, kind);
    dl_status status = DL_OK;
    while (status == DL_OK && *count < room && dl_db_step(q)) {
        status = take_published(c, q, items, count);
    }
    dl_status end = dl_db_finish(q, status == DL_OK ? c->err : NULL);
    return status == DL_OK ? end : status;
}

dl_status dl_catalog_items(dl_catalog_work *c, dl_factory_kind kind, dl_catalog_item **out_items,
                           size_t *out_count)
{
    dl_catalog_file *drafts = NULL;
    size_t count = 0, published = 0;
    DL_TRY(dl_catalog_drafts(c, kind, &drafts, &count));
    if (kind != DL_FACTORY_CONNECTION) {
        DL_TRY(count_published(c, kind, &published));
    }
    dl_catalog_item *items = dl_arena_alloc(c->arena, count + published + 1, sizeof *items);
    if (items == NULL) {
        return dl_arena_full(c->arena, c->err);
    }
    for (size_t i = 0; i < count; i++) {
        items[i].name = drafts[i].name;
        items[i].draft = &drafts[i];
    }
    if (kind != DL_FACTORY_CONNECTION) {
        DL_TRY(add_published(c, kind, items, count + published, &count));
    }
    *out_items = items;
    *out_count = count;
    return DL_OK;
}

/* ---- save ---- */

typedef struct save_request {
    dl_factory_kind kind;
    dl_str json;
    bool replace;
} save_request;

static dl_status save(dl_catalog_work *c, void *context)
{
    const save_request *s = context;
    dl_catalog_parsed parsed;
    DL_TRY(dl_catalog_parse(c, s->kind, DL_STR_NONE, s->json, NULL, &parsed));
    dl_str name = s->kind == DL_FACTORY_CONNECTION ? parsed.connection->name
                  : s->kind == DL_FACTORY_PIPELINE ? parsed.pipeline->name
                                                   : parsed.trigger->name;
    dl_catalog_file *drafts = NULL;
    size_t count = 0;
    DL_TRY(dl_catalog_drafts(c, s->kind, &drafts, &count));
    const dl_catalog_file *there = dl_catalog_find_draft(drafts, count, name);
    if (there != NULL && (!s->replace || !dl_str_eq(there->name, name))) {
        (void)dl_error_set(c->err, DL_E_EXISTS, "there is a %s '%.*s' already",
                           dl_catalog_folder(s->kind), DL_STR_ARG(there->name));
        dl_error_hint(
            c->err, s->replace ? "names are unique without regard to case: write it as it is there"
                               : "choose another name, or replace it");
        return DL_E_EXISTS;
    }
    dl_str text = DL_STR_NONE;
    DL_TRY(dl_catalog_text(c, &parsed, s->json, &text));
    DL_TRY(dl_catalog_write_draft(c, s->kind, name, text));
    return s->kind == DL_FACTORY_CONNECTION ? dl_catalog_bump(c) : DL_OK;
}

dl_status dl_catalog_save(dl_factory *factory, dl_factory_kind kind, dl_str json, bool replace,
                          dl_error *err)
{
    save_request s = {kind, json, replace};
    return dl_catalog_do(factory, DL_FACTORY_WRITE, save, &s, err);
}

/* ---- who refers to what ---- */

/** Whether the document speaks of that name of that kind. */
static bool refers(const dl_catalog_parsed *p, dl_factory_kind kind, dl_str name)
{
    if (p->pipeline != NULL) {
        return kind == DL_FACTORY_CONNECTION && (dl_str_eq_nocase(p->pipeline->dicom, name) ||
                                                 dl_str_eq_nocase(p->pipeline->lake, name));
    }
    if (p->trigger == NULL) {
        return false;
    }
    if (kind == DL_FACTORY_PIPELINE) {
        return dl_str_eq_nocase(p->trigger->pipeline, name);
    }
    for (size_t i = 0; kind == DL_FACTORY_TRIGGER && i < p->trigger->dependency_count; i++) {
        if (dl_str_eq_nocase(p->trigger->dependencies[i].trigger, name)) {
            return true;
        }
    }
    return false;
}

/** Whose documents may refer to one of a kind. */
static dl_factory_kind referring_kind(dl_factory_kind kind)
{
    return kind == DL_FACTORY_CONNECTION ? DL_FACTORY_PIPELINE : DL_FACTORY_TRIGGER;
}

static bool refers_text(dl_catalog_work *c, dl_factory_kind from, dl_str json, dl_factory_kind kind,
                        dl_str name)
{
    dl_catalog_work quiet = *c;
    dl_catalog_parsed parsed;
    quiet.err = NULL; /* a damaged document refers to nothing that we could tell */
    return dl_catalog_parse(&quiet, from, DL_STR_NONE, json, NULL, &parsed) == DL_OK &&
           refers(&parsed, kind, name);
}

static dl_status refuse_referred(dl_catalog_work *c, dl_factory_kind kind, dl_str name)
{
    dl_factory_kind from = referring_kind(kind);
    dl_catalog_item *items = NULL;
    size_t count = 0, len = 0;
    char who[200] = "";
    DL_TRY(dl_catalog_items(c, from, &items, &count));
    for (size_t i = 0; i < count; i++) {
        const dl_catalog_item *item = &items[i];
        bool draft = item->draft != NULL && refers_text(c, from, item->draft->json, kind, name);
        /* Publishing takes away what has no draft; a connection is in use until then. */
        bool published = kind == DL_FACTORY_CONNECTION && item->published.ptr != NULL &&
                         refers_text(c, from, item->published, kind, name);
        bool itself = kind == from && dl_str_eq_nocase(item->name, name);
        if ((draft || published) && !itself) {
            int n = snprintf(who + len, sizeof who - len, "%s%.*s%s", len == 0 ? "" : ", ",
                             DL_STR_ARG(item->name), draft ? "" : " (published)");
            len = n < 0 || (size_t)n >= sizeof who - len ? sizeof who - 1 : len + (size_t)n;
        }
    }
    if (len == 0) {
        return DL_OK;
    }
    (void)dl_error_set(c->err, DL_E_CONFLICT, "%s '%.*s' is in use by %s %s",
                       dl_catalog_folder(kind), DL_STR_ARG(name), dl_catalog_folder(from), who);
    dl_error_hint(c->err, "remove or change what refers to it first, and publish that");
    return DL_E_CONFLICT;
}

/* ---- remove ---- */

typedef struct named {
    dl_factory_kind kind;
    dl_str name, to;
    dl_arena *arena; /* of the caller */
    dl_str json;
} named;

static dl_status remove_one(dl_catalog_work *c, void *context)
{
    const named *n = context;
    dl_catalog_item *items = NULL;
    dl_catalog_file *drafts = NULL;
    size_t count = 0, draft_count = 0;
    DL_TRY(dl_catalog_drafts(c, n->kind, &drafts, &draft_count));
    const dl_catalog_file *draft = dl_catalog_find_draft(drafts, draft_count, n->name);
    if (draft == NULL) {
        DL_TRY(dl_catalog_items(c, n->kind, &items, &count));
        dl_status status = dl_catalog_not_found(c, n->kind, n->name, drafts, draft_count);
        if (find_item(items, count, n->name) != NULL) {
            dl_error_hint(c->err, "it is removed already; publishing takes it away");
        }
        return status;
    }
    DL_TRY(refuse_referred(c, n->kind, draft->name));
    DL_TRY(dl_catalog_unlink_draft(c, n->kind, draft->name));
    return n->kind == DL_FACTORY_CONNECTION ? dl_catalog_bump(c) : DL_OK;
}

dl_status dl_catalog_remove(dl_factory *factory, dl_factory_kind kind, dl_str name, dl_error *err)
{
    named n = {.kind = kind, .name = name};
    return dl_catalog_do(factory, DL_FACTORY_WRITE, remove_one, &n, err);
}

/* ---- rename ---- */

static void rename_within(dl_catalog_parsed *p, dl_factory_kind kind, dl_str from, dl_str to)
{
    dl_str *places[DL_FACTORY_DEPENDENCY_LIMIT + 2];
    size_t count = 0;
    if (p->connection != NULL && kind == DL_FACTORY_CONNECTION) {
        places[count++] = &p->connection->name;
    } else if (p->pipeline != NULL && kind == DL_FACTORY_PIPELINE) {
        places[count++] = &p->pipeline->name;
    } else if (p->pipeline != NULL && kind == DL_FACTORY_CONNECTION) {
        places[count++] = &p->pipeline->dicom;
        places[count++] = &p->pipeline->lake;
    } else if (p->trigger != NULL && kind == DL_FACTORY_PIPELINE) {
        places[count++] = &p->trigger->pipeline;
    } else if (p->trigger != NULL && kind == DL_FACTORY_TRIGGER) {
        places[count++] = &p->trigger->name;
        for (size_t i = 0; i < p->trigger->dependency_count; i++) {
            places[count++] = &p->trigger->dependencies[i].trigger;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (dl_str_eq_nocase(*places[i], from)) {
            *places[i] = to;
        }
    }
}

static dl_status set_published(dl_catalog_work *c, dl_factory_kind kind, dl_str name, dl_str json)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(c->db, "UPDATE published SET json = ?3 WHERE kind = ?1 AND name = ?2", &q,
                       c->err));
    dl_db_bind_int(q, 1, kind);
    dl_db_bind_str(q, 2, name);
    dl_db_bind_str(q, 3, json);
    return dl_db_run(q, c->err);
}

typedef struct renamed {
    bool draft, published;
    dl_str draft_json, published_json;
} renamed;

/** The new texts of one document, before anything is written; damaged ones are refused when they
 * are what is renamed, and left as they are else. */
static dl_status rename_texts(dl_catalog_work *c, dl_factory_kind of, const dl_catalog_item *item,
                              const named *n, renamed *out)
{
    bool itself = of == n->kind && dl_str_eq_nocase(item->name, n->name);
    dl_catalog_parsed parsed;
    if (item->draft != NULL &&
        (itself || refers_text(c, of, item->draft->json, n->kind, n->name))) {
        DL_TRY(dl_catalog_read_draft(c, of, item->draft, &parsed));
        rename_within(&parsed, n->kind, n->name, n->to);
        DL_TRY(dl_catalog_text(c, &parsed, item->draft->json, &out->draft_json));
        out->draft = true;
    }
    if (item->published.ptr != NULL &&
        (itself || refers_text(c, of, item->published, n->kind, n->name))) {
        DL_TRY(dl_catalog_parse(c, of, item->published_name, item->published, "the published",
                                &parsed));
        rename_within(&parsed, n->kind, n->name, n->to);
        DL_TRY(dl_catalog_text(c, &parsed, item->published, &out->published_json));
        out->published = true;
    }
    return DL_OK;
}

static dl_status rename_names(dl_catalog_work *c, const named *n)
{
    for (size_t i = 0; i < dl_factory_name_place_count; i++) {
        if (dl_factory_name_places[i].kind != n->kind) {
            continue;
        }
        dl_db_stmt *q = NULL;
        DL_TRY(dl_db_query(c->db, dl_factory_name_places[i].update_sql, &q, c->err));
        dl_db_bind_str(q, 1, n->name);
        dl_db_bind_str(q, 2, n->to);
        DL_TRY(dl_db_run(q, c->err));
    }
    return dl_catalog_bump(c);
}

/** Documents of one kind: texts first (`write` false), then files and rows. */
static dl_status rename_kind(dl_catalog_work *c, dl_factory_kind of, const named *n, bool write)
{
    dl_catalog_item *items = NULL;
    size_t count = 0;
    DL_TRY(dl_catalog_items(c, of, &items, &count));
    for (size_t i = 0; i < count; i++) {
        renamed text = {0};
        DL_TRY(rename_texts(c, of, &items[i], n, &text));
        if (!write) {
            continue;
        }
        bool itself = of == n->kind && dl_str_eq_nocase(items[i].name, n->name);
        if (text.draft) {
            DL_TRY(dl_catalog_write_draft(c, of, itself ? n->to : items[i].name, text.draft_json));
        }
        if (text.draft && itself && !dl_str_eq(items[i].name, n->to)) {
            DL_TRY(dl_catalog_unlink_draft(c, of, items[i].name));
        }
        if (text.published) {
            DL_TRY(set_published(c, of, items[i].published_name, text.published_json));
        }
    }
    return DL_OK;
}

static dl_status rename_one(dl_catalog_work *c, void *context)
{
    const named *n = context;
    dl_catalog_item *items = NULL;
    size_t count = 0;
    DL_TRY(dl_catalog_items(c, n->kind, &items, &count));
    if (find_item(items, count, n->name) == NULL) {
        dl_catalog_file *drafts = NULL;
        DL_TRY(dl_catalog_drafts(c, n->kind, &drafts, &count));
        return dl_catalog_not_found(c, n->kind, n->name, drafts, count);
    }
    const dl_catalog_item *there = find_item(items, count, n->to);
    if (there != NULL && !dl_str_eq_nocase(n->name, n->to)) {
        return dl_error_set(c->err, DL_E_EXISTS, "there is a %s '%.*s' already",
                            dl_catalog_folder(n->kind), DL_STR_ARG(there->name));
    }
    dl_factory_kind others = referring_kind(n->kind);
    for (int write = 0; write < 2; write++) {
        if (others != n->kind) {
            DL_TRY(rename_kind(c, others, n, write != 0));
        }
        DL_TRY(rename_kind(c, n->kind, n, write != 0));
    }
    return rename_names(c, n);
}

dl_status dl_catalog_rename(dl_factory *factory, dl_factory_kind kind, dl_str from, dl_str to,
                            dl_error *err)
{
    named n = {.kind = kind, .name = from, .to = to};
    DL_TRY(dl_factory_name_check(to, dl_catalog_folder(kind), err));
    return dl_catalog_do(factory, DL_FACTORY_WRITE, rename_one, &n, err);
}

/* ---- read ---- */

static dl_status find_checked(dl_catalog_work *c, named *n)
{
    dl_catalog_file *drafts = NULL;
    dl_catalog_parsed parsed;
    size_t count = 0;
    DL_TRY(dl_catalog_drafts(c, n->kind, &drafts, &count));
    const dl_catalog_file *draft = dl_catalog_find_draft(drafts, count, n->name);
    if (draft == NULL) {
        return dl_catalog_not_found(c, n->kind, n->name, drafts, count);
    }
    DL_TRY(dl_catalog_read_draft(c, n->kind, draft, &parsed));
    return dl_arena_copy(n->arena, draft->json, &n->json, c->err);
}

static dl_status read_draft(dl_catalog_work *c, void *context)
{
    return find_checked(c, context);
}

dl_status dl_catalog_draft(dl_factory *factory, dl_factory_kind kind, dl_str name, dl_arena *arena,
                           dl_str *out_json, dl_error *err)
{
    named n = {.kind = kind, .name = name, .arena = arena};
    DL_TRY(dl_catalog_do(factory, DL_FACTORY_DRAFTS, read_draft, &n, err));
    *out_json = n.json;
    return DL_OK;
}

static dl_status read_published(dl_catalog_work *c, void *context)
{
    named *n = context;
    dl_catalog_item *items = NULL;
    size_t count = 0;
    dl_db_stmt *q = NULL;
    DL_TRY(
        dl_db_query(c->db, "SELECT json FROM published WHERE kind = ?1 AND name = ?2", &q, c->err));
    dl_db_bind_int(q, 1, n->kind);
    dl_db_bind_str(q, 2, n->name);
    bool found = dl_db_step(q);
    dl_status status = found ? dl_arena_copy(n->arena, dl_db_str(q, 0), &n->json, c->err) : DL_OK;
    dl_status end = dl_db_finish(q, status == DL_OK ? c->err : NULL);
    if (found || status != DL_OK || end != DL_OK) {
        return status == DL_OK ? end : status;
    }
    DL_TRY(dl_catalog_items(c, n->kind, &items, &count));
    (void)dl_error_set(c->err, DL_E_NOT_FOUND, "%s '%.*s' is not published",
                       dl_catalog_folder(n->kind),
                       DL_STR_ARG(dl_str_slice(n->name, 0, DL_FACTORY_NAME_LIMIT)));
    dl_error_hint(c->err, find_item(items, count, n->name) != NULL
                              ? "there is a draft: publish it first"
                              : "there is no draft of that name either");
    return DL_E_NOT_FOUND;
}

dl_status dl_catalog_published(dl_factory *factory, dl_factory_kind kind, dl_str name,
                               dl_arena *arena, dl_str *out_json, dl_error *err)
{
    if (kind == DL_FACTORY_CONNECTION) {
        return dl_catalog_draft(factory, kind, name, arena, out_json, err);
    }
    named n = {.kind = kind, .name = name, .arena = arena};
    DL_TRY(dl_catalog_do(factory, DL_FACTORY_READ, read_published, &n, err));
    *out_json = n.json;
    return DL_OK;
}

/* ---- list ---- */

typedef struct listing {
    dl_factory_kind kind;
    dl_arena *arena; /* of the caller */
    dl_factory_entry *entries;
    size_t count;
} listing;

static void log_damage(const dl_catalog_file *draft, dl_factory_kind kind, const dl_error *why)
{
    dl_log_line line;
    dl_log_begin(&line, DL_LOG_WARN, "factory", "draft");
    dl_log_str(&line, "kind", dl_str_of(dl_catalog_folder(kind)));
    dl_log_str(&line, "name", draft->name);
    dl_log_error(&line, why);
    dl_log_end(&line);
}

/** The text to show: none when it is no JSON, without secrets when somebody put one in. */
static dl_status shown_text(dl_catalog_work *c, dl_str json, dl_str *out)
{
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, (size_t)2 * DL_FACTORY_DOCUMENT_LIMIT_BYTES);
    if (dl_str_starts(json, DL_STR("\xef\xbb\xbf"))) {
        json = dl_str_slice(json, 3, json.len);
    }
    if (dl_json_check(json, NULL) != DL_OK) {
        *out = DL_STR_NONE;
        return DL_OK;
    }
    DL_TRY(dl_document_mask(json, &text, c->err));
    return dl_arena_copy(c->arena, dl_buf_str(&text), out, c->err);
}

static dl_status fill_draft(dl_catalog_work *c, dl_factory_kind kind, const dl_catalog_item *item,
                            dl_factory_entry *entry)
{
    dl_error why = {0};
    dl_catalog_work trial = *c;
    dl_catalog_parsed parsed;
    trial.err = &why;
    entry->json = item->draft->json;
    entry->changed_us = item->draft->changed_us;
    entry->state = kind == DL_FACTORY_CONNECTION                   ? DL_FACTORY_PUBLISHED
                   : item->published.ptr == NULL                   ? DL_FACTORY_DRAFT
                   : dl_str_eq(item->published, item->draft->json) ? DL_FACTORY_PUBLISHED
                                                                   : DL_FACTORY_CHANGED;
    dl_status status = dl_catalog_read_draft(&trial, kind, item->draft, &parsed);
    if (status == DL_E_NOMEM) {
        return dl_error_set(c->err, status, "catalog: out of memory");
    }
    if (status != DL_OK) {
        log_damage(item->draft, kind, &why);
        DL_TRY(dl_arena_copy(c->arena, dl_str_of(why.message), &entry->fault, c->err));
        return shown_text(c, item->draft->json, &entry->json);
    }
    return DL_OK;
}

static int entry_by_name(const dl_factory_entry *a, const dl_factory_entry *b)
{
    size_t least = a->name.len < b->name.len ? a->name.len : b->name.len;
    int order = strncasecmp(a->name.ptr, b->name.ptr, least);
    return order != 0 ? order : (a->name.len > b->name.len) - (a->name.len < b->name.len);
}

/** Drafts are in order already; those that were removed find their place among them. */
static void put_in_order(dl_factory_entry *entries, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        dl_factory_entry entry = entries[i];
        size_t at = i;
        while (at > 0 && entry_by_name(&entries[at - 1], &entry) > 0) {
            entries[at] = entries[at - 1];
            at--;
        }
        entries[at] = entry;
    }
}

static dl_status list_all(dl_catalog_work *c, void *context)
{
    listing *l = context;
    dl_catalog_item *items = NULL;
    size_t count = 0;
    DL_TRY(dl_catalog_items(c, l->kind, &items, &count));
    dl_factory_entry *entries = dl_arena_alloc(l->arena, count + 1, sizeof *entries);
    if (entries == NULL) {
        return dl_arena_full(l->arena, c->err);
    }
    for (size_t i = 0; i < count; i++) {
        entries[i] = (dl_factory_entry){.kind = l->kind};
        if (items[i].draft != NULL) {
            DL_TRY(fill_draft(c, l->kind, &items[i], &entries[i]));
        } else {
            entries[i].json = items[i].published;
            entries[i].changed_us = items[i].published_us;
            entries[i].state = DL_FACTORY_REMOVED;
        }
        DL_TRY(dl_arena_copy(l->arena, items[i].name, &entries[i].name, c->err));
        if (entries[i].json.ptr != NULL) {
            DL_TRY(dl_arena_copy(l->arena, entries[i].json, &entries[i].json, c->err));
        }
        if (entries[i].fault.ptr != NULL) {
            DL_TRY(dl_arena_copy(l->arena, entries[i].fault, &entries[i].fault, c->err));
        }
    }
    put_in_order(entries, count);
    l->entries = entries;
    l->count = count;
    return DL_OK;
}

dl_status dl_catalog_list(dl_factory *factory, dl_factory_kind kind, dl_arena *arena,
                          dl_factory_entry **out_entries, size_t *out_count, dl_error *err)
{
    listing l = {.kind = kind, .arena = arena};
    /* connections have nothing but drafts */
    dl_factory_need need = kind == DL_FACTORY_CONNECTION ? DL_FACTORY_DRAFTS : DL_FACTORY_READ;
    DL_TRY(dl_catalog_do(factory, need, list_all, &l, err));
    *out_entries = l.entries;
    *out_count = l.count;
    return DL_OK;
}

/* ---- revision ---- */

static dl_status read_revision(dl_catalog_work *c, void *context)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(c->db, "SELECT value FROM revision", &q, c->err));
    int64_t revision = dl_db_step(q) ? dl_db_int(q, 0) : 0;
    DL_TRY(dl_db_finish(q, c->err));
    *(int64_t *)context = revision;
    return DL_OK;
}

dl_status dl_catalog_revision(dl_factory *factory, int64_t *out_revision, dl_error *err)
{
    int64_t revision = 0;
    /* The scheduler asks often: no arena of its own is worth it. */
    dl_catalog_work c = {factory, NULL, NULL, err};
    DL_TRY(dl_factory_lock(factory, DL_FACTORY_READ, &c.db, err));
    dl_status status = read_revision(&c, &revision);
    dl_factory_unlock(factory);
    DL_TRY(status);
    *out_revision = revision;
    return DL_OK;
}
