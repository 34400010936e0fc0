/* Publishing: what would be published is put together and checked as a whole, then written in the
 * one transaction that we are in. */
#include "factory/catalog_internal.h"

#include <stdio.h>
#include <string.h>

typedef struct node {
    dl_catalog_item *item;
    bool chosen;  /* its draft takes effect */
    bool changed; /* and is another one than what is published */
    bool there;   /* in what would be published */
    dl_catalog_parsed parsed;
    /* the search for cycles */
    int visit; /* 0 not yet, 1 on the way, 2 done */
    size_t next_dependency;
} node;

typedef struct publishing {
    dl_str only; /* a pipeline; empty: everything */
    node *nodes[DL_FACTORY_KINDS];
    size_t counts[DL_FACTORY_KINDS];
    size_t effect_count;
} publishing;

static dl_status fail(dl_catalog_work *c, dl_factory_kind kind, dl_str name, const char *what,
                      dl_str which)
{
    return dl_error_set(c->err, DL_E_INVALID, "%s '%.*s': %s '%.*s'", dl_catalog_folder(kind),
                        DL_STR_ARG(name), what, DL_STR_ARG(which));
}

static node *find_node(publishing *p, dl_factory_kind kind, dl_str name)
{
    for (size_t i = 0; i < p->counts[kind]; i++) {
        node *n = &p->nodes[kind][i];
        if (n->there && dl_str_eq_nocase(n->item->name, name)) {
            return n;
        }
    }
    return NULL;
}

/* ---- what would be published ---- */

static dl_status load(dl_catalog_work *c, publishing *p, dl_factory_kind kind)
{
    dl_catalog_item *items = NULL;
    DL_TRY(dl_catalog_items(c, kind, &items, &p->counts[kind]));
    p->nodes[kind] = dl_arena_alloc(c->arena, p->counts[kind] + 1, sizeof(node));
    if (p->nodes[kind] == NULL) {
        return dl_arena_full(c->arena, c->err);
    }
    for (size_t i = 0; i < p->counts[kind]; i++) {
        p->nodes[kind][i].item = &items[i];
    }
    return DL_OK;
}

/** The pipeline that a trigger's text speaks of, as far as it can be read. */
static bool belongs_to(dl_catalog_work *c, dl_str json, dl_str pipeline)
{
    dl_catalog_work quiet = *c;
    dl_catalog_parsed parsed;
    quiet.err = NULL;
    return dl_catalog_parse(&quiet, DL_FACTORY_TRIGGER, DL_STR_NONE, json, NULL, &parsed) ==
               DL_OK &&
           dl_str_eq_nocase(parsed.trigger->pipeline, pipeline);
}

static bool is_chosen(dl_catalog_work *c, const publishing *p, dl_factory_kind kind,
                      const dl_catalog_item *item)
{
    if (p->only.len == 0) {
        return true;
    }
    if (kind == DL_FACTORY_PIPELINE) {
        return dl_str_eq_nocase(item->name, p->only);
    }
    dl_str json = item->draft != NULL ? item->draft->json : item->published;
    return json.ptr != NULL && belongs_to(c, json, p->only);
}

static dl_status take(dl_catalog_work *c, publishing *p, dl_factory_kind kind, node *n)
{
    const dl_catalog_item *item = n->item;
    n->chosen = is_chosen(c, p, kind, item);
    if (n->chosen) {
        n->there = item->draft != NULL;
        n->changed = item->draft == NULL || item->draft->fault.ptr != NULL ||
                     item->published.ptr == NULL || !dl_str_eq(item->draft->json, item->published);
        return n->there ? dl_catalog_read_draft(c, kind, item->draft, &n->parsed) : DL_OK;
    }
    n->there = item->published.ptr != NULL;
    return n->there ? dl_catalog_parse(c, kind, item->published_name, item->published,
                                       "the published", &n->parsed)
                    : DL_OK;
}

/** Two files whose names differ in case only are one name. */
static dl_status check_twins(dl_catalog_work *c, const publishing *p, dl_factory_kind kind)
{
    for (size_t i = 1; i < p->counts[kind]; i++) {
        const dl_catalog_item *a = p->nodes[kind][i - 1].item, *b = p->nodes[kind][i].item;
        if (a->draft != NULL && b->draft != NULL && dl_str_eq_nocase(a->name, b->name)) {
            return fail(c, kind, a->name, "its name differs in case only from", b->name);
        }
    }
    return DL_OK;
}

static dl_status collect(dl_catalog_work *c, publishing *p)
{
    DL_TRY(load(c, p, DL_FACTORY_CONNECTION));
    for (int kind = DL_FACTORY_PIPELINE; kind <= DL_FACTORY_TRIGGER; kind++) {
        DL_TRY(load(c, p, (dl_factory_kind)kind));
        DL_TRY(check_twins(c, p, (dl_factory_kind)kind));
        for (size_t i = 0; i < p->counts[kind]; i++) {
            DL_TRY(take(c, p, (dl_factory_kind)kind, &p->nodes[kind][i]));
        }
    }
    if (p->only.len == 0) {
        return DL_OK;
    }
    for (size_t i = 0; i < p->counts[DL_FACTORY_PIPELINE]; i++) {
        if (p->nodes[DL_FACTORY_PIPELINE][i].chosen) {
            return DL_OK;
        }
    }
    dl_catalog_file *drafts = NULL;
    size_t count = 0;
    DL_TRY(dl_catalog_drafts(c, DL_FACTORY_PIPELINE, &drafts, &count));
    return dl_catalog_not_found(c, DL_FACTORY_PIPELINE, p->only, drafts, count);
}

/* ---- checks ---- */

static dl_status check_connection(dl_catalog_work *c, publishing *p, const node *pipeline,
                                  dl_str name, dl_factory_connection_type type)
{
    const char *word = type == DL_FACTORY_DICOM ? "dicom" : "lake";
    for (size_t i = 0; i < p->counts[DL_FACTORY_CONNECTION]; i++) {
        const dl_catalog_item *item = p->nodes[DL_FACTORY_CONNECTION][i].item;
        dl_catalog_parsed parsed;
        if (!dl_str_eq_nocase(item->name, name)) {
            continue;
        }
        DL_TRY(dl_catalog_read_draft(c, DL_FACTORY_CONNECTION, item->draft, &parsed));
        if (parsed.connection->type != type) {
            dl_status status = fail(c, DL_FACTORY_PIPELINE, pipeline->item->name,
                                    "it takes another kind of connection than", name);
            dl_error_hint(c->err, "give it a connection of type %s there", word);
            return status;
        }
        return DL_OK;
    }
    dl_status status =
        fail(c, DL_FACTORY_PIPELINE, pipeline->item->name, "there is no connection", name);
    dl_error_hint(c->err, "add it (connection add NAME --type %s ...) or choose another one", word);
    return status;
}

static dl_status check_pipelines(dl_catalog_work *c, publishing *p)
{
    for (size_t i = 0; i < p->counts[DL_FACTORY_PIPELINE]; i++) {
        const node *n = &p->nodes[DL_FACTORY_PIPELINE][i];
        if (n->chosen && n->there) {
            const dl_factory_pipeline *pipeline = n->parsed.pipeline;
            DL_TRY(check_connection(c, p, n, pipeline->dicom, DL_FACTORY_DICOM));
            DL_TRY(check_connection(c, p, n, pipeline->lake, DL_FACTORY_LAKE));
        }
    }
    return DL_OK;
}

/** Defaults and the trigger's literals together, as a run will take them. */
static dl_status check_literals(dl_catalog_work *c, const node *trigger,
                                const dl_factory_pipeline *pipeline)
{
    dl_factory_parameter all[2 * DL_FACTORY_PARAMETER_LIMIT];
    size_t count = 0;
    const dl_factory_trigger *t = trigger->parsed.trigger;
    for (size_t i = 0; i < pipeline->parameter_count; i++) {
        all[count++] = pipeline->parameters[i];
    }
    for (size_t i = 0; i < t->parameter_count; i++) {
        all[count++] = t->parameters[i];
    }
    bool has_expression = false;
    for (size_t i = 0; i < count; i++) {
        has_expression =
            has_expression || (all[i].value.ptr != NULL && dl_str_find(all[i].value, '@') >= 0);
    }
    dl_pipeline_parameters parameters;
    if (has_expression) { /* known when there is a run */
        return DL_OK;
    }
    dl_status status = dl_factory_parameters(all, count, &parameters, c->err);
    return status == DL_OK ? DL_OK
                           : dl_error_within(c->err, DL_E_INVALID, "checking trigger '%.*s'",
                                             DL_STR_ARG(trigger->item->name));
}

static dl_status check_dependencies(dl_catalog_work *c, publishing *p, const node *n)
{
    const dl_factory_trigger *t = n->parsed.trigger;
    for (size_t i = 0; i < t->dependency_count; i++) {
        const node *other = find_node(p, DL_FACTORY_TRIGGER, t->dependencies[i].trigger);
        if (other == NULL) {
            return fail(
                c, DL_FACTORY_TRIGGER, t->name,
                "it waits for a trigger that is not published:", t->dependencies[i].trigger);
        }
        if (other->parsed.trigger->type != DL_FACTORY_TUMBLING) {
            return fail(c, DL_FACTORY_TRIGGER, t->name,
                        "it can wait for a tumbling window only, not for", other->item->name);
        }
    }
    return DL_OK;
}

static dl_status check_triggers(dl_catalog_work *c, publishing *p)
{
    for (size_t i = 0; i < p->counts[DL_FACTORY_TRIGGER]; i++) {
        const node *n = &p->nodes[DL_FACTORY_TRIGGER][i];
        if (!n->there) {
            continue;
        }
        const node *pipeline = find_node(p, DL_FACTORY_PIPELINE, n->parsed.trigger->pipeline);
        if (pipeline == NULL) {
            dl_status status =
                fail(c, DL_FACTORY_TRIGGER, n->item->name,
                     "it starts a pipeline that is not published:", n->parsed.trigger->pipeline);
            dl_error_hint(c->err, "publish the pipeline with it, or remove the trigger");
            return status;
        }
        DL_TRY(check_literals(c, n, pipeline->parsed.pipeline));
        DL_TRY(check_dependencies(c, p, n));
    }
    return DL_OK;
}

/* ---- cycles ---- */

static dl_status say_cycle(dl_catalog_work *c, node *const *stack, size_t depth, const node *again)
{
    char way[200];
    size_t len = 0, from = 0;
    while (from < depth && stack[from] != again) {
        from++;
    }
    for (size_t i = from; i <= depth; i++) {
        const node *n = i < depth ? stack[i] : again;
        int k = snprintf(way + len, sizeof way - len, "%s%.*s", len == 0 ? "" : " -> ",
                         DL_STR_ARG(n->item->name));
        len = k < 0 || (size_t)k >= sizeof way - len ? sizeof way - 1 : len + (size_t)k;
    }
    (void)dl_error_set(c->err, DL_E_INVALID, "triggers wait for each other: %s", way);
    dl_error_hint(c->err, "take one of these dependencies away");
    return DL_E_INVALID;
}

/** One step on from the top of the stack. */
static dl_status step(dl_catalog_work *c, publishing *p, node **stack, size_t *depth)
{
    node *top = stack[*depth - 1];
    const dl_factory_trigger *t = top->parsed.trigger;
    if (top->next_dependency == t->dependency_count) {
        top->visit = 2;
        --*depth;
        return DL_OK;
    }
    node *next = find_node(p, DL_FACTORY_TRIGGER, t->dependencies[top->next_dependency++].trigger);
    if (next == NULL || next == top || next->visit == 2) { /* itself: an earlier window */
        return DL_OK;
    }
    if (next->visit == 1) {
        return say_cycle(c, stack, *depth, next);
    }
    next->visit = 1;
    stack[(*depth)++] = next;
    return DL_OK;
}

static dl_status check_cycles(dl_catalog_work *c, publishing *p)
{
    size_t count = p->counts[DL_FACTORY_TRIGGER];
    node **stack = dl_arena_alloc(c->arena, count + 1, sizeof(void *));
    if (stack == NULL) {
        return dl_arena_full(c->arena, c->err);
    }
    for (size_t i = 0; i < count; i++) {
        node *n = &p->nodes[DL_FACTORY_TRIGGER][i];
        size_t depth = 0;
        if (n->there && n->visit == 0) {
            n->visit = 1;
            stack[depth++] = n;
        }
        while (depth > 0) {
            DL_TRY(step(c, p, stack, &depth));
        }
    }
    return DL_OK;
}

/* ---- writing ---- */

/** The state that publishing gives: the document's when that is new, else as it is. */
static bool started_after(dl_catalog_work *c, const node *n)
{
    dl_catalog_work quiet = *c;
    dl_catalog_parsed before;
    quiet.err = NULL;
    bool wanted = n->parsed.trigger->started;
    if (n->item->published.ptr == NULL ||
        dl_catalog_parse(&quiet, DL_FACTORY_TRIGGER, DL_STR_NONE, n->item->published, NULL,
                         &before) != DL_OK ||
        before.trigger->started != wanted) {
        return wanted;
    }
    return n->item->started;
}

static dl_status put_row(dl_catalog_work *c, dl_factory_kind kind, const node *n)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(c->db,
                       "INSERT INTO published(kind, name, json, published_us, started)"
                       " VALUES(?1, ?2, ?3, ?4, ?5) ON CONFLICT(kind, name) DO UPDATE SET"
                       " name = ?2, json = ?3, published_us = ?4, started = ?5",
                       &q, c->err));
    dl_db_bind_int(q, 1, kind);
    dl_db_bind_str(q, 2, n->item->name);
    dl_db_bind_str(q, 3, n->item->draft->json);
    dl_db_bind_int(q, 4, dl_factory_now_us(c->factory));
    dl_db_bind_int(q, 5, kind == DL_FACTORY_TRIGGER && started_after(c, n));
    return dl_db_run(q, c->err);
}

static dl_status drop_row(dl_catalog_work *c, dl_factory_kind kind, const node *n)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(c->db, "DELETE FROM published WHERE kind = ?1 AND name = ?2", &q, c->err));
    dl_db_bind_int(q, 1, kind);
    dl_db_bind_str(q, 2, n->item->name);
    return dl_db_run(q, c->err);
}

static dl_status write_all(dl_catalog_work *c, publishing *p)
{
    for (int kind = DL_FACTORY_PIPELINE; kind <= DL_FACTORY_TRIGGER; kind++) {
        for (size_t i = 0; i < p->counts[kind]; i++) {
            const node *n = &p->nodes[kind][i];
            if (!n->chosen || !n->changed) {
                continue;
            }
            DL_TRY(n->there ? put_row(c, (dl_factory_kind)kind, n)
                            : drop_row(c, (dl_factory_kind)kind, n));
            p->effect_count++;
        }
    }
    return p->effect_count > 0 ? dl_catalog_bump(c) : DL_OK;
}

static dl_status publish(dl_catalog_work *c, void *context)
{
    publishing *p = context;
    DL_TRY(collect(c, p));
    DL_TRY(check_pipelines(c, p));
    DL_TRY(check_triggers(c, p));
    DL_TRY(check_cycles(c, p));
    return write_all(c, p);
}

dl_status dl_catalog_publish(dl_factory *factory, dl_str pipeline, size_t *out_count, dl_error *err)
{
    publishing p = {.only = pipeline};
    DL_TRY(dl_catalog_do(factory, DL_FACTORY_WRITE, publish, &p, err));
    *out_count = p.effect_count;
    return DL_OK;
}
