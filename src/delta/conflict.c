/* The rules of conflict (Delta protocol; docs/delta.md): may a commit that was planned before
 * `winner` follow it as it is? A change of rows is never replayed blindly: what it says about a
 * file holds only while nobody else changed the file. */
#include "delta/internal.h"

#include <string.h>

enum { FILTER_BITS = 65536 };

/* A set of hashes that says "surely not there": most winners touch none of our paths. */
typedef struct filter {
    uint64_t words[FILTER_BITS / 64];
} filter;

static uint32_t hash_of(dl_str text)
{
    uint64_t hash = 14695981039346656037ULL; /* FNV-1a */
    for (size_t i = 0; i < text.len; i++) {
        hash = (hash ^ (unsigned char)text.ptr[i]) * 1099511628211ULL;
    }
    return (uint32_t)(hash >> 40) % FILTER_BITS;
}

static void filter_add(filter *f, const dl_delta_file *files, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t hash = hash_of(files[i].path);
        f->words[hash / 64] |= 1ULL << (hash % 64);
    }
}

static bool has_path(const dl_delta_file *files, size_t count, dl_str path)
{
    for (size_t i = 0; i < count; i++) {
        if (dl_str_eq(files[i].path, path)) {
            return true;
        }
    }
    return false;
}

static bool touches(const filter *f, const dl_delta_commit *ours, const dl_delta_file *files,
                    size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t hash = hash_of(files[i].path);
        if ((f->words[hash / 64] >> (hash % 64) & 1) != 0 &&
            (has_path(ours->removes, ours->remove_count, files[i].path) ||
             has_path(ours->adds, ours->add_count, files[i].path))) {
            return true;
        }
    }
    return false;
}

/* The rules about applications: 1 ours is there already, -1 it ran to somewhere else, 0 nothing. */
static int compare_apps(const dl_delta_commit *ours, const dl_delta_commit *winner)
{
    int verdict = 0;
    for (size_t i = 0; i < ours->app_count; i++) {
        for (size_t k = 0; k < winner->app_count; k++) {
            if (!dl_str_eq(ours->apps[i].app_id, winner->apps[k].app_id)) {
                continue;
            }
            if (winner->apps[k].version >= ours->apps[i].version) {
                return 1;
            }
            verdict = -1;
        }
    }
    return verdict;
}

static bool same_domain(const dl_delta_commit *ours, const dl_delta_commit *winner)
{
    for (size_t i = 0; i < ours->domain_count; i++) {
        if (dl_str_eq(ours->domains[i].domain, DL_STR("delta.rowTracking"))) {
            continue; /* numbered anew at each try */
        }
        for (size_t k = 0; k < winner->domain_count; k++) {
            if (dl_str_eq(ours->domains[i].domain, winner->domains[k].domain)) {
                return true;
            }
        }
    }
    return false;
}

static bool changes_data(const dl_delta_file *files, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (files[i].data_change) {
            return true;
        }
    }
    return false;
}

static const char *why_not(const dl_delta_commit *ours, bool exclusive,
                           const dl_delta_commit *winner)
{
    if (winner->protocol != NULL) {
        return "it changed the protocol";
    }
    if (winner->metadata != NULL) {
        return "it changed the metadata";
    }
    if (same_domain(ours, winner)) {
        return "it changed the same domain";
    }
    if (exclusive && (changes_data(winner->adds, winner->add_count) ||
                      changes_data(winner->removes, winner->remove_count))) {
        return "it changed rows";
    }
    filter f = {{0}};
    filter_add(&f, ours->removes, ours->remove_count);
    filter_add(&f, ours->adds, ours->add_count);
    if (touches(&f, ours, winner->removes, winner->remove_count) ||
        touches(&f, ours, winner->adds, winner->add_count)) {
        return "it changed the same files";
    }
    return NULL;
}

dl_delta_conflict dl_delta_conflict_check(const dl_delta_commit *ours, bool exclusive,
                                          const dl_delta_commit *winner, const char **out_reason)
{
    int apps = compare_apps(ours, winner);
    if (apps > 0) {
        *out_reason = "the application's transaction is there already";
        return DL_DELTA_DONE;
    }
    const char *reason =
        apps < 0 ? "another run of the application committed" : why_not(ours, exclusive, winner);
    if (reason == NULL) {
        return DL_DELTA_GO_ON;
    }
    *out_reason = reason;
    return DL_DELTA_REPLAN;
}
