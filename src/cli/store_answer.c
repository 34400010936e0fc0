#include "cli/store.h"
#include "cli/value.h"
#include "json/json.h"

enum { TAG_LIMIT = 4 };

enum { CODE_DUPLICATE = 0x0111, CODE_THERE = 0xb00e };

/* What services say: PS3.7 annex C, PS3.18 section I.2 and contract 5.6. Some codes come as classes
 * that share their first digits; the first row that fits counts. */
/* clang-format off */
static const struct {
    unsigned code, mask;
    const char *text;
} meanings[] = {
    {0x0001, 0xffff, "some attributes failed validation"},
    {0x0110, 0xffff, "the service failed to process it"},
    {0x0117, 0xffff, "the SOP instance UID is malformed"},
    {0x0122, 0xffff, "the service does not take this SOP class"},
    {0x0124, 0xffff, "not allowed to store it"},
    {0xa900, 0xffff, "the data set fails validation"},
    {0xa901, 0xffff, "the study differs from the one named"},
    {0xb000, 0xffff, "some values were changed by the service"},
    {0xb006, 0xffff, "some elements were dropped by the service"},
    {0xb007, 0xffff, "the data set does not match its SOP class"},
    {0xb00f, 0xffff, "the same instance is being stored just now"},
    {0xa700, 0xff00, "the service is out of resources"},
    {0xa900, 0xff00, "the data set does not match its SOP class"},
    {0xc000, 0xf000, "the service cannot understand it"},
    {0x0000, 0x0000, "the service does not take it"},
};
/* clang-format on */

static const char *meaning_of(unsigned code)
{
    size_t i = 0;
    while ((code & meanings[i].mask) != meanings[i].code) {
        i++;
    }
    return meanings[i].text;
}

/** "DICOM100: (0010,0020) - ...": the tag and nothing of the rest, which may quote a value. */
static bool tag_of(dl_str comment, uint64_t *out_tag)
{
    ptrdiff_t at = dl_str_find(comment, '(');
    uint64_t group = 0;
    uint64_t element = 0;
    if (!dl_str_starts(comment, DL_STR("DICOM100: (")) || comment.len < (size_t)at + 11 ||
        comment.ptr[at + 5] != ',' || comment.ptr[at + 10] != ')' ||
        !dl_str_hex_to_u64(dl_str_slice(comment, (size_t)at + 1, 4), &group) ||
        !dl_str_hex_to_u64(dl_str_slice(comment, (size_t)at + 6, 4), &element)) {
        return false;
    }
    *out_tag = group << 16 | element;
    return true;
}

/** "DICOM100: the input ends inside the header ...": what is said of a file as a whole, which our
 * service says of files that cannot be read; it quotes nothing. Empty: the comment is another. */
static dl_str whole_of(dl_str comment)
{
    dl_str prefix = DL_STR("DICOM100: ");
    dl_str rest = dl_str_slice(comment, prefix.len, comment.len);
    if (!dl_str_starts(comment, prefix) || rest.len == 0 || rest.ptr[0] == '(' ||
        dl_str_find(rest, '"') >= 0) {
        return DL_STR_NONE;
    }
    for (size_t i = 0; i < rest.len; i++) {
        if (rest.ptr[i] < ' ' || rest.ptr[i] > '~') {
            return DL_STR_NONE;
        }
    }
    return rest;
}

/** What the comments of an item (0074,1048) say. */
typedef struct comments_said {
    uint64_t tags[TAG_LIMIT]; /* each once */
    size_t count;
    bool more;    /* tags than these */
    dl_str whole; /* said of the file as a whole; empty: nothing */
} comments_said;

static dl_status read_comments(dl_str item, dl_arena *arena, comments_said *out, dl_error *err)
{
    dl_str element = DL_STR_NONE;
    dl_str values = DL_STR_NONE;
    dl_str comment = DL_STR_NONE;
    *out = (comments_said){.whole = DL_STR_NONE};
    if (dl_json_get(item, DL_STR("00741048"), &element)) {
        (void)dl_json_get(element, DL_STR("Value"), &values);
    }
    dl_json_iter comments = dl_json_iter_of(values);
    while (dl_json_next_element(&comments, &comment)) {
        dl_str text = DL_STR_NONE;
        uint64_t tag = 0;
        DL_TRY(dl_cli_value_text(comment, "00000902", arena, &text, err));
        if (!tag_of(text, &tag)) {
            out->whole = out->whole.len > 0 ? out->whole : whole_of(text);
            continue;
        }
        size_t i = 0;
        while (i < out->count && out->tags[i] != tag) {
            i++;
        }
        if (i == TAG_LIMIT) {
            out->more = true;
        } else if (i == out->count) {
            out->tags[out->count++] = tag;
        }
    }
    return DL_OK;
}

static dl_status describe(dl_str item, unsigned code, dl_arena *arena, dl_cli_verdict *verdict,
                          dl_error *err)
{
    comments_said said;
    DL_TRY(read_comments(item, arena, &said, err));
    verdict->code = code;
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, sizeof verdict->reason - 1);
    DL_TRY(dl_buf_printf(&text, err, "%s (%u)", meaning_of(code), code));
    for (size_t i = 0; i < said.count; i++) {
        DL_TRY(dl_buf_printf(&text, err, " (%04x,%04x)", (unsigned)(said.tags[i] >> 16),
                             (unsigned)(said.tags[i] & 0xffff)));
    }
    if (said.more) {
        DL_TRY(dl_buf_append_str(&text, DL_STR(" and more"), err));
    }
    if (said.count == 0 && said.whole.len > 0) {
        DL_TRY(dl_buf_append_str(&text, DL_STR(": "), err));
        DL_TRY(dl_buf_append_str(&text, dl_str_slice(said.whole, 0, text.limit_bytes - text.len),
                                 err));
    }
    (void)dl_str_copy(dl_buf_str(&text), verdict->reason, sizeof verdict->reason);
    return DL_OK;
}

static dl_status read_item(dl_str item, bool stored, dl_arena *arena, dl_cli_store_item *out_item,
                           dl_error *err)
{
    int64_t code = 0;
    *out_item = (dl_cli_store_item){0};
    DL_TRY(dl_cli_value_text(item, "00081155", arena, &out_item->sop_uid, err));
    out_item->sop_uid = dl_str_trim_padding(out_item->sop_uid);
    bool has_code = dl_cli_value_number(item, stored ? "00081196" : "00081197", &code) &&
                    code > 0 && code <= 0xffff;
    if (stored && !has_code) {
        out_item->verdict.outcome = DL_CLI_STORED;
        return DL_OK;
    }
    if (!stored && (code == CODE_THERE || code == CODE_DUPLICATE)) {
        out_item->verdict.outcome = DL_CLI_THERE;
        return DL_OK;
    }
    out_item->verdict.outcome = stored ? DL_CLI_WARNED : DL_CLI_REFUSED;
    return describe(item, has_code ? (unsigned)code : 0, arena, &out_item->verdict, err);
}

static dl_str items_of(dl_str answer, const char *tag)
{
    dl_str element = DL_STR_NONE;
    dl_str values = DL_STR_NONE;
    if (dl_json_get_nocase(answer, dl_str_of(tag), &element)) {
        (void)dl_json_get(element, DL_STR("Value"), &values);
    }
    return values;
}

static size_t count_of(dl_str array)
{
    size_t count = 0;
    dl_str value = DL_STR_NONE;
    dl_json_iter iter = dl_json_iter_of(array);
    while (dl_json_next_element(&iter, &value)) {
        count++;
    }
    return count;
}

dl_status dl_cli_store_answer(dl_str json, dl_arena *arena, dl_cli_store_item **out_items,
                              size_t *out_count, dl_error *err)
{
    if (dl_json_check(json, NULL) != DL_OK || dl_json_kind_of(json) != DL_JSON_OBJECT) {
        return dl_error_set(err, DL_E_CORRUPT, "the answer to a store is not DICOM JSON");
    }
    dl_str lists[] = {items_of(json, "00081199"), items_of(json, "00081198")};
    size_t count = count_of(lists[0]) + count_of(lists[1]);
    dl_cli_store_item *items = dl_arena_alloc(arena, count + 1, sizeof *items);
    if (items == NULL) {
        return dl_arena_full(arena, err);
    }
    size_t at = 0;
    for (size_t i = 0; i < DL_COUNT_OF(lists); i++) {
        dl_str item = DL_STR_NONE;
        dl_json_iter iter = dl_json_iter_of(lists[i]);
        while (dl_json_next_element(&iter, &item)) {
            DL_TRY(read_item(item, i == 0, arena, &items[at++], err));
        }
    }
    *out_items = items;
    *out_count = count;
    return DL_OK;
}
