/* Search: parameters, and what each hit shows (contract section 7). */
#include "service/internal.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

enum { PAGE_LIMIT = 200, PAGE_DEFAULT = 100, FIELD_LIMIT = 512 };
#define METADATA_LIMIT_BYTES DL_DICOM_JSON_LIMIT_BYTES
/* Up to here an answer has a length and a status of its own; a longer one goes out in pieces. */
enum { WHOLE_LIMIT_BYTES = 1 << 20, PIECE_BYTES = 256 * 1024 };

enum {
    TAG_STUDY_UID = 0x0020000D,
    TAG_SERIES_UID = 0x0020000E,
    TAG_SOP_UID = 0x00080018,
    TAG_MODALITIES = 0x00080061,
    TAG_RETRIEVE_URL = 0x00081190,
    TAG_STUDY_SERIES = 0x00201206,
    TAG_STUDY_INSTANCES = 0x00201208,
    TAG_SERIES_INSTANCES = 0x00201209,
};

/* ---- tag lists (contract 7.6 and section 21), each ended by 0 ---- */

static const uint32_t v2_study[] = {0x00080020, 0x00080050, 0x00080090, 0x00081030, 0x00100010,
                                    0x00100020, 0x00100030, 0x0020000D, 0};
static const uint32_t v2_series[] = {0x00080060, 0x00081090, 0x0020000E, 0x00400244, 0};
static const uint32_t v2_instance[] = {0x00080018, 0};
static const uint32_t all_study[] = {0x00080005, 0x00080020, 0x00080030, 0x00080050, 0x00080056,
                                     0x00080063, 0x00080090, 0x00080201, 0x00081030, 0x00081032,
                                     0x00081060, 0x00081080, 0x00081110, 0x00100010, 0x00100020,
                                     0x00100030, 0x00100040, 0x00101010, 0x00101020, 0x00101030,
                                     0x00102180, 0x001021B0, 0x0020000D, 0x00200010, 0};
static const uint32_t all_series[] = {0x00080005, 0x00080021, 0x00080031, 0x00080060, 0x00080201,
                                      0x0008103E, 0x00081090, 0x0020000E, 0x00200011, 0x00200060,
                                      0x00400244, 0x00400245, 0x00400275, 0};
static const uint32_t all_instance[] = {0x00080005, 0x00080016, 0x00080018, 0x00080056,
                                        0x00080201, 0x00200013, 0x00280008, 0x00280010,
                                        0x00280011, 0x00280100, 0};
static const uint32_t v1_study[] = {0x00080005, 0x00080020, 0x00080030, 0x00080050, 0x00080056,
                                    0x00080090, 0x00080201, 0x00100010, 0x00100020, 0x00100030,
                                    0x00100040, 0x0020000D, 0x00200010, 0};
static const uint32_t v1_series[] = {0x00080005, 0x00080060, 0x00080201, 0x0008103E, 0x0020000E,
                                     0x00400244, 0x00400245, 0x00400275, 0};

/* Where a field of a hit comes from. */
typedef enum source {
    FROM_STUDY,    /* the indexed attributes of the study, its UID among them */
    FROM_SERIES,   /* the same of the series */
    FROM_INSTANCE, /* the metadata of an instance */
    COMPUTED,
} source;

typedef struct search {
    dl_service_request *r;
    dl_arena *arena;
    dl_index_level level;
    bool shows_study, shows_series; /* whether the attributes of that level belong to the answer */
    dl_index_query query;
    dl_index_filter filters[64];
    uint32_t fields[FIELD_LIMIT]; /* ascending, each once */
    source sources[FIELD_LIMIT];
    size_t field_count;
    bool all;
    bool needs_metadata;
    bool whole_study; /* a hit shows all that the index keeps of its study, else only computed
                         fields */
} search;

static dl_status add_field(search *s, uint32_t tag, dl_error *err)
{
    size_t at = 0;
    while (at < s->field_count && s->fields[at] < tag) {
        at++;
    }
    if (at < s->field_count && s->fields[at] == tag) {
        return DL_OK;
    }
    if (s->field_count == FIELD_LIMIT) {
        return dl_error_set(err, DL_E_INVALID, "More than %d attributes are asked for.",
                            (int)FIELD_LIMIT);
    }
    memmove(s->fields + at + 1, s->fields + at, (s->field_count - at) * sizeof s->fields[0]);
    s->fields[at] = tag;
    s->field_count++;
    return DL_OK;
}

static dl_status add_fields(search *s, const uint32_t *tags, dl_error *err)
{
    for (; *tags != 0; tags++) {
        DL_TRY(add_field(s, *tags, err));
    }
    return DL_OK;
}

/* ---- parameters ---- */

static dl_status invalid(const dl_url_param *p, const char *reason, dl_error *err)
{
    /* The value may be a patient's: it is not repeated. */
    return dl_error_set(err, DL_E_INVALID, "The query parameter '%.*s' is invalid. %s",
                        DL_STR_ARG(p->name), reason);
}

static dl_status include(search *s, const dl_url_param *p, dl_error *err)
{
    dl_str rest = p->value;
    dl_str name = DL_STR_NONE;
    if (rest.len == 0) {
        return invalid(p, "It takes attributes, separated by commas.", err);
    }
    while (dl_str_next(&rest, ',', &name)) {
        uint32_t tag = 0;
        name = dl_str_trim(name);
        if (dl_str_eq_nocase(name, DL_STR("all"))) {
            s->all = true;
            continue;
        }
        if (!dl_dict_parse_tag(name, &tag)) {
            return invalid(p, "It names an attribute that is not known.", err);
        }
        DL_TRY(add_field(s, tag, err));
    }
    return DL_OK;
}

static bool is_date(dl_str text)
{
    uint64_t n = 0;
    int64_t days = 0;
    return text.len == 8 && dl_str_to_u64(text, &n) && n / 10000 > 0 &&
           dl_clock_days((int64_t)(n / 10000), (int64_t)(n / 100 % 100), (int64_t)(n % 100), &days);
}

static dl_status date_filter(const dl_url_param *p, dl_index_filter *f, dl_error *err)
{
    ptrdiff_t dash = dl_str_find(p->value, '-');
    f->value = p->value;
    if (dash >= 0) {
        f->match = DL_INDEX_RANGE;
        f->value = dl_str_slice(p->value, 0, (size_t)dash);
        f->value_to = dl_str_slice(p->value, (size_t)dash + 1, p->value.len);
    }
    bool from_ok = is_date(f->value) || (dash >= 0 && f->value.len == 0);
    bool to_ok = dash < 0 || is_date(f->value_to) || f->value_to.len == 0;
    bool empty = f->value.len == 0 && f->value_to.len == 0;
    bool reversed = dash >= 0 && f->value.len > 0 && f->value_to.len > 0 &&
                    dl_str_compare(f->value, f->value_to) > 0;
    if (!from_ok || !to_ok || empty || reversed) {
        return invalid(p, "It takes a date yyyyMMdd or a range of dates from-to.", err);
    }
    return DL_OK;
}

static bool level_allowed(const search *s, const dl_index_attribute *attribute)
{
    switch (attribute->level) {
    case DL_INDEX_STUDY:
        return s->shows_study;
    case DL_INDEX_SERIES:
        return s->shows_series;
    case DL_INDEX_INSTANCE:
        return s->level == DL_INDEX_INSTANCE;
    }
    return false;
}

static dl_status filter(search *s, const dl_url_param *p, bool fuzzy, dl_error *err)
{
    uint32_t tag = 0;
    if (!dl_dict_parse_tag(p->name, &tag)) {
        return invalid(p, "It is neither a parameter of a search nor an attribute.", err);
    }
    const dl_index_attribute *attribute = dl_index_attribute_find(tag);
    if (attribute == NULL || !level_allowed(s, attribute)) {
        return invalid(p, "The attribute cannot be searched for at this resource.", err);
    }
    if (dl_str_trim(p->value).len == 0) {
        return invalid(p, "It needs a value.", err);
    }
    for (size_t i = 0; i < s->query.filter_count; i++) {
        if (s->filters[i].attribute == attribute) {
            return invalid(p, "The attribute is named twice.", err);
        }
    }
    DL_ASSERT(s->query.filter_count < DL_COUNT_OF(s->filters)); /* each attribute once */
    dl_index_filter *f = &s->filters[s->query.filter_count++];
    *f = (dl_index_filter){.attribute = attribute, .value = p->value};
    if (attribute->vr == DL_VR('D', 'A')) {
        DL_TRY(date_filter(p, f, err));
    } else if (attribute->vr == DL_VR('P', 'N') && fuzzy) {
        if (dl_str_find(p->value, '"') >= 0) {
            return invalid(p, "A quotation mark is not allowed in a fuzzy search.", err);
        }
        f->match = DL_INDEX_PHRASE;
    }
    return add_field(s, tag, err);
}

static bool is_known_param(dl_str name)
{
    static const char *const names[] = {"limit", "offset", "fuzzymatching"};
    for (size_t i = 0; i < DL_COUNT_OF(names); i++) {
        if (dl_str_eq_nocase(name, dl_str_of(names[i]))) {
            return true;
        }
    }
    return false;
}

static dl_status refuse_repeated(const dl_service_request *r, dl_error *err)
{
    static const char *const names[] = {"limit", "offset", "fuzzymatching"};
    for (size_t i = 0; i < DL_COUNT_OF(names); i++) {
        size_t seen = 0;
        for (size_t k = 0; k < r->param_count; k++) {
            seen += dl_str_eq_nocase(r->params[k].name, dl_str_of(names[i]));
        }
        if (seen > 1) {
            return dl_error_set(err, DL_E_INVALID,
                                "The query parameter '%s' is invalid. It is given twice.",
                                names[i]);
        }
    }
    return DL_OK;
}

static dl_status read_params(search *s, dl_error *err)
{
    const dl_service_request *r = s->r;
    int64_t limit = 0;
    int64_t offset = 0;
    bool fuzzy = false;
    DL_TRY(refuse_repeated(r, err));
    DL_TRY(dl_request_int(r, (dl_int_param){"limit", 1, PAGE_LIMIT, PAGE_DEFAULT}, &limit, err));
    DL_TRY(dl_request_int(r, (dl_int_param){"offset", 0, INT64_MAX / 2, 0}, &offset, err));
    DL_TRY(dl_request_bool(r, "fuzzymatching", false, &fuzzy, err));
    s->query.limit = (size_t)limit;
    s->query.offset = (size_t)offset;
    for (size_t i = 0; i < r->param_count; i++) {
        const dl_url_param *p = &r->params[i];
        if (dl_str_eq_nocase(p->name, DL_STR("includefield"))) {
            DL_TRY(include(s, p, err));
        } else if (!is_known_param(p->name)) {
            DL_TRY(filter(s, p, fuzzy, err));
        }
    }
    s->query.filters = s->filters;
    return DL_OK;
}

/* What is shown without being asked for: by level, version and `all`. */
static dl_status add_defaults(search *s, dl_error *err)
{
    bool v1 = s->r->version < 2;
    if (s->r->study.len > 0) {
        DL_TRY(add_field(s, TAG_STUDY_UID, err));
    }
    if (s->r->series.len > 0) {
        DL_TRY(add_field(s, TAG_SERIES_UID, err));
    }
    if (s->shows_study) {
        DL_TRY(add_fields(s, v1 ? v1_study : v2_study, err));
        DL_TRY(s->all ? add_fields(s, all_study, err) : DL_OK);
    }
    if (s->shows_series) {
        DL_TRY(add_fields(s, v1 ? v1_series : v2_series, err));
        DL_TRY(s->all ? add_fields(s, all_series, err) : DL_OK);
    }
    if (s->level == DL_INDEX_INSTANCE) {
        DL_TRY(add_fields(s, v1 ? all_instance : v2_instance, err));
        DL_TRY(s->all ? add_fields(s, all_instance, err) : DL_OK);
    }
    return DL_OK;
}

static source source_of(const search *s, uint32_t tag)
{
    const dl_index_attribute *a = dl_index_attribute_find(tag);
    switch (tag) {
    case TAG_RETRIEVE_URL:
        return COMPUTED;
    case TAG_SOP_UID:
        return s->level == DL_INDEX_INSTANCE ? COMPUTED : FROM_INSTANCE;
    case TAG_MODALITIES: /* never what an instance says of it */
        return s->shows_study ? COMPUTED : FROM_STUDY;
    case TAG_STUDY_SERIES:
    case TAG_STUDY_INSTANCES:
        return s->shows_study ? COMPUTED : FROM_INSTANCE;
    case TAG_SERIES_INSTANCES:
        return s->level != DL_INDEX_STUDY ? COMPUTED : FROM_INSTANCE;
    default:
        break;
    }
    if (a != NULL && a->level == DL_INDEX_STUDY) {
        return FROM_STUDY;
    }
    return a != NULL && a->level == DL_INDEX_SERIES && s->level != DL_INDEX_STUDY ? FROM_SERIES
                                                                                  : FROM_INSTANCE;
}

static void decide_sources(search *s)
{
    size_t of_study = 0, computed = 0, kept = 0;
    for (size_t i = 0; i < s->field_count; i++) {
        s->sources[i] = source_of(s, s->fields[i]);
        of_study += s->sources[i] == FROM_STUDY;
        computed += s->sources[i] == COMPUTED;
        s->needs_metadata = s->needs_metadata || s->sources[i] == FROM_INSTANCE;
    }
    for (size_t i = 0; i < dl_index_attribute_count(); i++) {
        kept += source_of(s, dl_index_attribute_at(i)->tag) == FROM_STUDY;
    }
    s->whole_study =
        s->level == DL_INDEX_STUDY && of_study == kept && of_study + computed == s->field_count;
}

/* ---- one hit ---- */

enum { INDEXED_LIMIT = 16 }; /* attributes that the index keeps of a study or a series */

/* The members of a study or a series, taken apart once for all hits that lie in it. */
typedef struct indexed {
    dl_str text; /* as the hit has it */
    uint32_t tags[INDEXED_LIMIT];
    dl_str members[INDEXED_LIMIT];
    size_t count, at;
} indexed;

typedef struct hit_writer {
    search *s;
    dl_index_snapshot *snapshot;
    dl_buf *out;
    dl_buf *metadata; /* of the instance that shows; empty when not needed */
    indexed study, series;
    dl_str base;
    dl_error *err;
} hit_writer;

/* For every attribute of every item: snprintf would be a tenth of a search's time. */
static dl_str tag_text(uint32_t tag, char out[8])
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < 8; i++) {
        out[i] = digits[tag >> (28 - 4 * i) & 0xf];
    }
    return (dl_str){out, 8};
}

static void put_key(dl_json_writer *w, uint32_t tag)
{
    char text[8];
    dl_json_key(w, tag_text(tag, text));
}

static void put_text(dl_json_writer *w, uint32_t tag, const char *vr, const dl_str *values,
                     size_t count)
{
    put_key(w, tag);
    dl_json_object_begin(w);
    dl_json_key(w, DL_STR("vr"));
    dl_json_string(w, dl_str_of(vr));
    if (count > 0) {
        dl_json_key(w, DL_STR("Value"));
        dl_json_array_begin(w);
        for (size_t i = 0; i < count; i++) {
            dl_json_string(w, values[i]);
        }
        dl_json_array_end(w);
    }
    dl_json_object_end(w);
}

static void put_count(dl_json_writer *w, uint32_t tag, int64_t value)
{
    char text[64];
    int n = snprintf(text, sizeof text, "{\"vr\":\"IS\",\"Value\":[%lld]}", (long long)value);
    put_key(w, tag);
    dl_json_raw(w, (dl_str){text, (size_t)n});
}

static dl_status put_url(const hit_writer *h, dl_json_writer *w, const dl_index_hit *hit)
{
    dl_str url = DL_STR_NONE;
    dl_arena *arena = h->s->arena;
    DL_TRY(dl_arena_printf(arena, &url, h->err, "%.*s/studies/%.*s", DL_STR_ARG(h->base),
                           DL_STR_ARG(dl_index_hit_uid(hit, DL_INDEX_STUDY))));
    if (h->s->level != DL_INDEX_STUDY) {
        DL_TRY(dl_arena_printf(arena, &url, h->err, "%.*s/series/%.*s", DL_STR_ARG(url),
                               DL_STR_ARG(dl_index_hit_uid(hit, DL_INDEX_SERIES))));
    }
    if (h->s->level == DL_INDEX_INSTANCE) {
        DL_TRY(dl_arena_printf(arena, &url, h->err, "%.*s/instances/%.*s", DL_STR_ARG(url),
                               DL_STR_ARG(hit->sop_uid)));
    }
    put_text(w, TAG_RETRIEVE_URL, "UR", &url, 1);
    return DL_OK;
}

static dl_status put_counts(const hit_writer *h, dl_json_writer *w, const dl_index_hit *hit,
                            uint32_t tag)
{
    int64_t series = 0;
    int64_t instances = 0;
    int64_t of_series = tag == TAG_SERIES_INSTANCES ? hit->series_id : 0;
    DL_TRY(dl_index_counts(h->snapshot, hit->study_id, of_series, &series, &instances, h->err));
    put_count(w, tag, tag == TAG_STUDY_SERIES ? series : instances);
    return DL_OK;
}

/* Writes nothing when there is nothing to say: what is absent is omitted (contract 7.5). */
static dl_status put_computed(const hit_writer *h, dl_json_writer *w, const dl_index_hit *hit,
                              uint32_t tag)
{
    dl_str *list = NULL;
    size_t count = 0;
    switch (tag) {
    case TAG_SOP_UID:
        put_text(w, tag, "UI", &hit->sop_uid, 1);
        return DL_OK;
    case TAG_RETRIEVE_URL:
        return put_url(h, w, hit);
    case TAG_MODALITIES:
        DL_TRY(dl_index_modalities(hit, h->s->arena, &list, &count, h->err));
        if (count > 0) {
            put_text(w, tag, "CS", list, count);
        }
        return DL_OK;
    default:
        return put_counts(h, w, hit, tag);
    }
}

/* A cursor over the members of a DICOM JSON object, whose keys ascend. */
typedef struct members {
    dl_json_iter iter;
    uint32_t tag;
    dl_str member; /* with its key, as it stands */
    bool there;
} members;

static void next_member(members *m)
{
    dl_str key = DL_STR_NONE, value = DL_STR_NONE;
    m->there = dl_json_next_member(&m->iter, &key, &value);
    m->tag = 0;
    for (size_t i = 0; m->there && i < key.len; i++) { /* upper case, as all that we write */
        char c = key.ptr[i];
        m->tag = m->tag << 4 | (uint32_t)(c <= '9' ? c - '0' : c - 'A' + 10);
    }
    if (m->there) {
        m->member = (dl_str){key.ptr - 1, (size_t)(value.ptr + value.len - key.ptr) + 1};
    }
}

static members members_of(dl_str object)
{
    members m = {.iter = dl_json_iter_of(object)};
    next_member(&m);
    return m;
}

static bool seek_member(members *m, uint32_t tag, dl_str *out_member)
{
    while (m->there && m->tag < tag) {
        next_member(m);
    }
    *out_member = m->member;
    return m->there && m->tag == tag;
}

static void set_indexed(indexed *x, dl_str text)
{
    x->at = 0;
    if (x->text.ptr == text.ptr) {
        return;
    }
    x->text = text;
    x->count = 0;
    for (members m = members_of(text); m.there; next_member(&m)) {
        DL_ASSERT(x->count < INDEXED_LIMIT);
        x->tags[x->count] = m.tag;
        x->members[x->count++] = m.member;
    }
}

static bool seek_indexed(indexed *x, uint32_t tag, dl_str *out_member)
{
    while (x->at < x->count && x->tags[x->at] < tag) {
        x->at++;
    }
    if (x->at == x->count || x->tags[x->at] != tag) {
        return false;
    }
    *out_member = x->members[x->at];
    return true;
}

static dl_status load_metadata(const hit_writer *h, const dl_index_hit *hit)
{
    int64_t watermark = hit->watermark;
    dl_buf_reset(h->metadata);
    if (!h->s->needs_metadata) {
        return DL_OK;
    }
    if (watermark == 0) {
        DL_TRY(dl_index_newest(h->snapshot, hit->study_id, hit->series_id, &watermark, h->err));
    }
    return dl_index_metadata(h->snapshot, watermark, h->metadata, h->err);
}

static bool seek_field(hit_writer *h, members *instance, size_t field, dl_str *out_member)
{
    uint32_t tag = h->s->fields[field];
    switch (h->s->sources[field]) {
    case FROM_STUDY:
        return seek_indexed(&h->study, tag, out_member);
    case FROM_SERIES:
        return seek_indexed(&h->series, tag, out_member);
    case FROM_INSTANCE:
        return seek_member(instance, tag, out_member);
    case COMPUTED:
        break;
    }
    return false;
}

/* The text of the study as it is kept, cut open where a computed field belongs. */
static dl_status put_whole_study(const hit_writer *h, const dl_index_hit *hit)
{
    dl_str left = hit->study_attributes;
    members m = {0};
    bool begun = false;
    for (size_t i = 0; i < h->s->field_count; i++) {
        if (h->s->sources[i] != COMPUTED) {
            continue;
        }
        m = begun ? m : members_of(left);
        begun = true;
        while (m.there && m.tag < h->s->fields[i]) {
            next_member(&m);
        }
        size_t cut = m.there ? (size_t)(m.member.ptr - left.ptr) : left.len - 1;
        DL_TRY(dl_buf_append(h->out, left.ptr, cut, h->err));
        left = dl_str_slice(left, cut, left.len);
        size_t before = h->out->len;
        DL_TRY(m.there ? DL_OK : dl_buf_append_char(h->out, ',', h->err)); /* behind the UID */
        size_t begin = h->out->len;
        dl_json_writer w = {0};
        dl_json_writer_init(&w, h->out, h->err);
        DL_TRY(put_computed(h, &w, hit, h->s->fields[i]));
        DL_TRY(dl_json_writer_status(&w));
        if (h->out->len == begin) {
            h->out->len = before;
            continue;
        }
        DL_TRY(m.there ? dl_buf_append_char(h->out, ',', h->err) : DL_OK);
    }
    return dl_buf_append_str(h->out, left, h->err);
}

static dl_status put_hit(hit_writer *h, const dl_index_hit *hit)
{
    const search *s = h->s;
    if (s->whole_study) {
        return put_whole_study(h, hit);
    }
    DL_TRY(load_metadata(h, hit));
    set_indexed(&h->study, hit->study_attributes);
    set_indexed(&h->series, hit->series_attributes);
    members instance = members_of(dl_buf_str(h->metadata));
    dl_json_writer w = {0};
    dl_json_writer_init(&w, h->out, h->err);
    dl_json_object_begin(&w);
    for (size_t i = 0; i < s->field_count; i++) {
        dl_str member = DL_STR_NONE;
        if (s->sources[i] == COMPUTED) {
            DL_TRY(put_computed(h, &w, hit, s->fields[i]));
        } else if (seek_field(h, &instance, i, &member)) {
            dl_json_raw(&w, member);
        }
    }
    dl_json_object_end(&w);
    return dl_json_writer_status(&w);
}

/* ---- the answer ---- */

typedef struct page {
    search *s; /* in the request's arena, as the hits are */
    dl_index *index;
    dl_index_hit *hits;
    size_t count, next;
    bool open;
    dl_str base;
    dl_buf piece; /* what was made before it was known that it is not all */
    dl_buf metadata;
} page;

/* Hits until there are so many bytes, or none is left. */
static dl_status put_hits(page *p, dl_index_snapshot *snapshot, size_t enough_bytes, dl_buf *out,
                          dl_error *err)
{
    hit_writer h = {.s = p->s,
                    .snapshot = snapshot,
                    .out = out,
                    .metadata = &p->metadata,
                    .base = p->base,
                    .err = err};
    while (p->next < p->count && out->len < enough_bytes) {
        size_t before = out->len;
        DL_TRY(dl_buf_append_char(out, p->open ? ',' : '[', err));
        dl_status status = put_hit(&h, &p->hits[p->next++]);
        if (status == DL_E_NOT_FOUND) { /* deleted and swept since the page was fixed */
            dl_error_clear(err);
            out->len = before;
            continue;
        }
        DL_TRY(status);
        p->open = true;
    }
    if (p->next < p->count) {
        return DL_OK;
    }
    return dl_buf_append_str(out, p->open ? DL_STR("]") : DL_STR("[]"), err);
}

static dl_status fill_page(void *context, dl_buf *piece, bool *out_done, dl_error *err)
{
    page *p = context;
    if (p->piece.len > 0) {
        DL_TRY(dl_buf_append_str(piece, dl_buf_str(&p->piece), err));
        dl_buf_clear(&p->piece);
        return DL_OK;
    }
    dl_index_snapshot *snapshot = NULL;
    DL_TRY(dl_index_snapshot_begin(p->index, &snapshot, err));
    dl_status status = put_hits(p, snapshot, PIECE_BYTES, piece, err);
    dl_index_snapshot_end(snapshot);
    *out_done = p->next == p->count;
    return status;
}

static void destroy_page(void *context)
{
    page *p = context;
    dl_buf_clear(&p->piece);
    dl_buf_clear(&p->metadata);
    dl_mem_free(p);
}

static dl_status create_page(search *s, dl_index_snapshot *snapshot, page **out_page, dl_error *err)
{
    dl_index_hit *hits = NULL;
    size_t count = 0;
    DL_TRY(dl_index_search(snapshot, &s->query, s->arena, &hits, &count, err));
    dl_str base = DL_STR_NONE;
    DL_TRY(dl_request_base_url(s->r, s->arena, &base, err));
    page *p = dl_mem_zalloc(1, sizeof *p);
    if (p == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a page of hits");
    }
    *p = (page){.s = s, .index = s->r->service->index, .hits = hits, .count = count, .base = base};
    dl_buf_init(&p->piece, WHOLE_LIMIT_BYTES + 2 * METADATA_LIMIT_BYTES);
    dl_buf_init(&p->metadata, METADATA_LIMIT_BYTES);
    *out_page = p;
    return DL_OK;
}

static dl_status answer(search *s, dl_index_snapshot *snapshot, dl_error *err)
{
    static const char type[] = "application/dicom+json; charset=utf-8";
    page *p = NULL;
    DL_TRY(create_page(s, snapshot, &p, err));
    DL_ASSERT(p != NULL);
    dl_status status = DL_OK;
    if (p->count == 0) {
        dl_http_respond(s->r->x, 204, NULL, DL_STR(""));
    } else {
        status = put_hits(p, snapshot, WHOLE_LIMIT_BYTES, &p->piece, err);
    }
    if (status == DL_OK && p->next < p->count) {
        dl_pieces pieces = {.fill = fill_page, .destroy = destroy_page, .context = p};
        return dl_respond_pieces(s->r, 200, type, UINT64_MAX, &pieces, err);
    }
    if (status == DL_OK && p->count > 0) {
        dl_http_respond_buf(s->r->x, 200, type, &p->piece);
    }
    destroy_page(p);
    return status;
}

/* ---- the request ---- */

static dl_status run_search(dl_service_request *r, dl_index_level level, dl_error *err)
{
    DL_TRY(dl_request_check_uids(r, err));
    search *s = dl_arena_alloc(dl_http_arena(r->x), 1, sizeof *s);
    if (s == NULL) {
        return dl_arena_full(dl_http_arena(r->x), err);
    }
    s->r = r;
    s->arena = dl_http_arena(r->x);
    s->level = level;
    s->shows_study = r->study.len == 0;
    s->shows_series = level != DL_INDEX_STUDY && r->series.len == 0;
    s->query = (dl_index_query){
        .level = level, .partition = r->partition, .study_uid = r->study, .series_uid = r->series};
    DL_TRY(read_params(s, err));
    DL_TRY(add_defaults(s, err));
    decide_sources(s);
    dl_index_snapshot *snapshot = NULL;
    DL_TRY(dl_index_snapshot_begin(r->service->index, &snapshot, err));
    dl_status status = answer(s, snapshot, err);
    dl_index_snapshot_end(snapshot);
    return status;
}

dl_status dl_handle_search_studies(dl_service_request *r, dl_error *err)
{
    return run_search(r, DL_INDEX_STUDY, err);
}

dl_status dl_handle_search_series(dl_service_request *r, dl_error *err)
{
    return run_search(r, DL_INDEX_SERIES, err);
}

dl_status dl_handle_search_instances(dl_service_request *r, dl_error *err)
{
    return run_search(r, DL_INDEX_INSTANCE, err);
}
