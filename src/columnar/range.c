#include "columnar/internal.h"

/* A text as far as it is kept. */
typedef struct beginning {
    dl_str text;
    bool cut;
} beginning;

static void take(dl_columnar_bound *bound, beginning from)
{
    if (from.text.len > 0) {
        memcpy(bound->ptr, from.text.ptr, from.text.len);
    }
    bound->len = from.text.len;
    bound->cut = from.cut;
}

static int compare(beginning from, const dl_columnar_bound *bound)
{
    return dl_str_compare(from.text, (dl_str){bound->ptr, bound->len});
}

/* Where two texts agree as far as they are kept, the one that goes on is the greater one. */
static void widen(dl_columnar_range *r, beginning low, beginning high)
{
    if (!r->any) {
        take(&r->min_text, low);
        take(&r->max_text, high);
        r->any = true;
        return;
    }
    int order = compare(low, &r->min_text);
    if (order < 0) {
        take(&r->min_text, low);
    } else if (order == 0) {
        r->min_text.cut = r->min_text.cut && low.cut;
    }
    order = compare(high, &r->max_text);
    if (order > 0) {
        take(&r->max_text, high);
    } else if (order == 0) {
        r->max_text.cut = r->max_text.cut || high.cut;
    }
}

void dl_columnar_range_text(dl_columnar_range *r, dl_str text, size_t limit_bytes)
{
    if (dl_columnar_range_holds(r, text)) {
        return;
    }
    beginning from = {dl_str_slice(text, 0, limit_bytes), text.len > limit_bytes};
    widen(r, from, from);
}

void dl_columnar_range_merge_text(dl_columnar_range *r, const dl_columnar_range *other)
{
    if (other->any) {
        widen(r, (beginning){{other->min_text.ptr, other->min_text.len}, other->min_text.cut},
              (beginning){{other->max_text.ptr, other->max_text.len}, other->max_text.cut});
    }
}
