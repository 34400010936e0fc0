/* A page of the change feed from anywhere: what is read keeps its promises, the metadata of its
 * rows is taken apart or refused, and what is taken apart is JSON. The same bytes also go in as
 * metadata. */
#include "feed/feed.h"
#include "json/json.h"

#include <string.h>

enum { MEMORY_LIMIT_BYTES = 64 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_attribute(const dl_feed_attribute *a)
{
    DL_ASSERT(a->has_value || a->value_count == 0);
    DL_ASSERT(dl_str_is_utf8(a->tag));
    DL_ASSERT(a->vr.ptr == NULL || dl_str_is_utf8(a->vr));
    for (size_t i = 0; i < a->value_count; i++) {
        DL_ASSERT(a->values[i].ptr == NULL || dl_str_is_utf8(a->values[i]));
    }
}

/* Whether it was taken apart. */
static bool take_apart(dl_str metadata)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(MEMORY_LIMIT_BYTES);
    DL_AUTO(dl_arena) again = dl_arena_create(MEMORY_LIMIT_BYTES);
    const dl_feed_attribute *attributes = NULL, *same = NULL;
    size_t count = 0, same_count = 0;
    dl_str compact = DL_STR_NONE, same_compact = DL_STR_NONE;
    dl_error err = {0};
    if (dl_feed_attributes(metadata, arena, &attributes, &count, &compact, &err) != DL_OK) {
        DL_ASSERT(err.message[0] != '\0');
        return false;
    }
    DL_ASSERT(dl_json_check(metadata, NULL) == DL_OK);
    DL_ASSERT(dl_json_check(compact, NULL) == DL_OK && compact.len <= metadata.len);
    for (size_t i = 0; i < count; i++) {
        check_attribute(&attributes[i]);
    }
    DL_ASSERT(dl_feed_attributes(compact, again, &same, &same_count, &same_compact, NULL) == DL_OK);
    DL_ASSERT(same_count == count && same_compact.ptr == compact.ptr);
    for (size_t i = 0; i < count; i++) {
        DL_ASSERT(dl_str_eq(same[i].tag, attributes[i].tag));
        DL_ASSERT(same[i].value_count == attributes[i].value_count);
    }
    return true;
}

static void check_name(dl_str name)
{
    DL_ASSERT(name.len >= 1 && name.len <= DL_FEED_NAME_LIMIT_BYTES && dl_str_is_utf8(name));
}

static void check_entry(const dl_feed_entry *e)
{
    DL_ASSERT(e->sequence > 0 && e->timestamp_tenths <= 9);
    DL_ASSERT(e->action <= DL_FEED_DELETE && e->state <= DL_FEED_DELETED);
    check_name(e->partition_name);
    check_name(e->study_uid);
    check_name(e->series_uid);
    check_name(e->sop_uid);
    DL_ASSERT(e->file_path.len <= DL_FEED_PATH_LIMIT_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    DL_AUTO(dl_feed_page) page = NULL;
    dl_buf text;
    dl_error err = {0};
    dl_str input = {(const char *)bytes, size};
    (void)take_apart(input);
    dl_buf_init(&text, MEMORY_LIMIT_BYTES);
    DL_ASSERT(dl_buf_append_str(&text, input, NULL) == DL_OK);
    if (dl_feed_page_parse(&text, &page, &err) != DL_OK) {
        DL_ASSERT(err.message[0] != '\0' && page == NULL);
        return 0;
    }
    bool whole = true; /* each row's metadata is JSON as well */
    for (size_t i = 0; i < page->entry_count; i++) {
        const dl_feed_entry *e = &page->entries[i];
        check_entry(e);
        DL_ASSERT(i == 0 || dl_feed_entry_order(e - 1, e) < 0);
        whole = whole && (e->metadata.ptr == NULL || take_apart(e->metadata));
    }
    DL_ASSERT(!whole || dl_json_check(input, NULL) == DL_OK);
    return 0;
}
