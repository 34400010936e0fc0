#include "factory/nearest.h"

#include <string.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/** How many letters have to be put in, taken out or changed; both shorter than a name's room. */
static unsigned distance(dl_str a, dl_str b)
{
    unsigned row[DL_NEAREST_NAME_SIZE];
    for (unsigned k = 0; k <= b.len; k++) {
        row[k] = k;
    }
    for (size_t i = 0; i < a.len; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i + 1;
        for (size_t k = 0; k < b.len; k++) {
            unsigned changed = diagonal + (lower(a.ptr[i]) != lower(b.ptr[k]));
            unsigned least = row[k] < row[k + 1] ? row[k] : row[k + 1];
            diagonal = row[k + 1];
            row[k + 1] = changed < least + 1 ? changed : least + 1;
        }
    }
    return row[b.len];
}

static bool contains_nocase(dl_str text, dl_str part)
{
    for (size_t i = 0; i + part.len <= text.len; i++) {
        if (dl_str_eq_nocase(dl_str_slice(text, i, part.len), part)) {
            return true;
        }
    }
    return false;
}

void dl_nearest_init(dl_nearest *nearest, dl_str wanted)
{
    *nearest = (dl_nearest){.wanted = wanted};
}

static bool has(const dl_nearest *n, dl_str name)
{
    for (size_t i = 0; i < n->count; i++) {
        if (dl_str_eq(name, dl_str_of(n->names[i]))) {
            return true;
        }
    }
    return false;
}

void dl_nearest_consider(dl_nearest *nearest, dl_str name)
{
    dl_nearest *n = nearest;
    if (n->wanted.len >= DL_NEAREST_NAME_SIZE || name.len >= DL_NEAREST_NAME_SIZE || has(n, name)) {
        return;
    }
    unsigned score = distance(n->wanted, name);
    if (n->wanted.len >= 3 && score > 1 && contains_nocase(name, n->wanted)) {
        score = 1; /* a part of it, such as a city of a zone */
    }
    size_t at = n->count;
    while (at > 0 && n->scores[at - 1] > score) {
        at--;
    }
    if (at == DL_NEAREST_COUNT || score > 2 + n->wanted.len / 4) {
        return;
    }
    size_t last = n->count < DL_NEAREST_COUNT ? n->count : DL_NEAREST_COUNT - 1;
    for (size_t i = last; i > at; i--) {
        memcpy(n->names[i], n->names[i - 1], sizeof n->names[i]);
        n->scores[i] = n->scores[i - 1];
    }
    (void)dl_str_copy(name, n->names[at], sizeof n->names[at]);
    n->scores[at] = score;
    n->count = last + 1;
}

void dl_nearest_hint(const dl_nearest *nearest, const char *otherwise, dl_error *err)
{
    const dl_nearest *n = nearest;
    if (n->count == 0) {
        dl_error_hint(err, "%s", otherwise);
    } else {
        dl_error_hint(err, "did you mean %s%s%s%s%s?", n->names[0], n->count > 1 ? ", " : "",
                      n->count > 1 ? n->names[1] : "", n->count > 2 ? ", " : "",
                      n->count > 2 ? n->names[2] : "");
    }
}
