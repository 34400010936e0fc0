/* Pure: the words that name an attribute, and the groups of a person's name. */
#include "query/functions/functions.h"

#include <string.h>

enum { KEYWORD_LIMIT = 64, NEAR = 3 };

/* ---- words ---- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/** How many letters have to be changed, added or left out, without regard to case. */
static size_t distance(dl_str a, dl_str b)
{
    size_t row[KEYWORD_LIMIT + 1];
    for (size_t j = 0; j <= b.len; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a.len; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t change = corner + (lower(a.ptr[i - 1]) != lower(b.ptr[j - 1]));
            size_t step = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            corner = row[j];
            row[j] = change < step ? change : step;
        }
    }
    return row[b.len];
}

static void hint_nearest(dl_str word, dl_error *err)
{
    const char *best = NULL;
    size_t least = NEAR + 1;
    for (size_t i = 0; i < dl_dict_count() && word.len <= KEYWORD_LIMIT; i++) {
        dl_str keyword = dl_str_of(dl_dict_at(i)->keyword);
        if (keyword.len == 0 || keyword.len > KEYWORD_LIMIT || keyword.len > word.len + NEAR ||
            word.len > keyword.len + NEAR) {
            continue;
        }
        size_t d = distance(word, keyword);
        if (d < least) {
            least = d;
            best = dl_dict_at(i)->keyword;
        }
    }
    if (best != NULL && least < word.len) {
        dl_error_hint(err, "did you mean %s?", best);
    } else {
        dl_error_hint(err, "a keyword as PatientName, or a tag as 00100010");
    }
}

static const dl_dict_entry *find_keyword(dl_str word)
{
    const dl_dict_entry *entry = dl_dict_find_keyword(word);
    for (size_t i = 0; i < dl_dict_count() && entry == NULL; i++) {
        if (dl_str_eq_nocase(dl_str_of(dl_dict_at(i)->keyword), word)) {
            entry = dl_dict_at(i);
        }
    }
    return entry;
}

/** "00080060", "0008,0060", "(0008,0060)". */
static bool read_tag(dl_str word, uint32_t *out_tag)
{
    char digits[8];
    uint64_t value = 0;
    if (word.len == 11 && word.ptr[0] == '(' && word.ptr[10] == ')') {
        word = dl_str_slice(word, 1, 9);
    }
    if (word.len == 9 && word.ptr[4] == ',') {
        memcpy(digits, word.ptr, 4);
        memcpy(digits + 4, word.ptr + 5, 4);
        word = (dl_str){digits, sizeof digits};
    }
    if (word.len != 8 || !dl_str_hex_to_u64(word, &value)) {
        return false;
    }
    *out_tag = (uint32_t)value;
    return true;
}

/* ---- steps ---- */

/** Takes "[n]" off the end of a word. */
static dl_status read_index(dl_str *word, int32_t *out_index, dl_error *err)
{
    *out_index = DL_ATTRIBUTE_ALL;
    ptrdiff_t open = dl_str_find(*word, '[');
    if (open < 0) {
        return DL_OK;
    }
    uint64_t n = 0;
    size_t from = (size_t)open + 1;
    if (word->ptr[word->len - 1] != ']' ||
        !dl_str_to_u64(dl_str_slice(*word, from, word->len - from - 1), &n) ||
        n > DL_ATTRIBUTE_INDEX_LIMIT) {
        (void)dl_error_set(err, DL_E_INVALID, "'%.*s': no number between [ and ]",
                           DL_STR_ARG(*word));
        dl_error_hint(err, "[0] is the first value or item");
        return DL_E_INVALID;
    }
    *out_index = (int32_t)n;
    *word = dl_str_trim(dl_str_slice(*word, 0, (size_t)open));
    return DL_OK;
}

static void spell(dl_attribute_step *step)
{
    for (size_t i = 0; i < 8; i++) {
        unsigned digit = step->tag >> (28 - 4 * i) & 15;
        step->upper[i] = "0123456789ABCDEF"[digit];
        step->lower[i] = "0123456789abcdef"[digit];
    }
}

static dl_status read_step(dl_str word, dl_attribute_path *path, dl_error *err)
{
    if (path->count == DL_ATTRIBUTE_STEP_LIMIT) {
        return dl_error_set(err, DL_E_INVALID, "more than %d steps", DL_ATTRIBUTE_STEP_LIMIT);
    }
    dl_attribute_step *step = &path->steps[path->count];
    dl_str name = dl_str_trim(word);
    DL_TRY(read_index(&name, &step->index, err));
    const dl_dict_entry *entry = NULL;
    if (read_tag(name, &step->tag)) {
        entry = dl_dict_find(step->tag);
    } else {
        entry = find_keyword(name);
        if (entry == NULL || name.len == 0) {
            (void)dl_error_set(err, DL_E_INVALID, "'%.*s' is no attribute", DL_STR_ARG(name));
            hint_nearest(name, err);
            return DL_E_INVALID;
        }
        step->tag = entry->tag;
    }
    spell(step);
    path->names = entry != NULL && entry->vr == DL_VR('P', 'N');
    path->count++;
    return DL_OK;
}

static bool read_group(dl_str word, dl_name_group *out_group)
{
    for (dl_name_group g = DL_NAME_ALPHABETIC; g <= DL_NAME_PHONETIC; g++) {
        if (dl_str_eq_nocase(dl_str_trim(word), dl_name_group_word(g))) {
            *out_group = g;
            return true;
        }
    }
    return false;
}

/** The next step of a path: to a '.' or '/'. */
static bool next_step(dl_str *rest, dl_str *out_word)
{
    if (rest->ptr == NULL) {
        return false;
    }
    size_t end = 0;
    while (end < rest->len && rest->ptr[end] != '.' && rest->ptr[end] != '/') {
        end++;
    }
    *out_word = dl_str_slice(*rest, 0, end);
    *rest = end < rest->len ? (dl_str){rest->ptr + end + 1, rest->len - end - 1} : DL_STR_NONE;
    return true;
}

dl_status dl_attribute_path_read(dl_str text, dl_attribute_path *out_path, dl_error *err)
{
    dl_attribute_path path = {.group = DL_NAME_ALPHABETIC};
    dl_str rest = text.ptr == NULL ? DL_STR("") : text, word = DL_STR_NONE;
    while (next_step(&rest, &word)) {
        if (path.count > 0 && rest.ptr == NULL && read_group(word, &path.group)) {
            path.names = true;
            break;
        }
        DL_TRY(read_step(word, &path, err));
    }
    *out_path = path;
    return DL_OK;
}

/* ---- names ---- */

dl_str dl_name_group_word(dl_name_group group)
{
    static const char *const words[] = {"Alphabetic", "Ideographic", "Phonetic"};
    return dl_str_of(words[group]);
}

bool dl_name_group_of(dl_str name, dl_name_group group, dl_str *out_text)
{
    dl_str rest = name, part = DL_STR_NONE;
    for (dl_name_group g = DL_NAME_ALPHABETIC; dl_str_next(&rest, '=', &part); g++) {
        if (g == group) {
            part = dl_str_trim(dl_str_trim_padding(part));
            *out_text = part;
            return part.len > 0;
        }
    }
    return false;
}
