/* The rules of conflict, one a row. */
#include "delta/internal.h"
#include "tap.h"

static const dl_delta_protocol protocol = {.min_reader = 1, .min_writer = 2};
static const dl_delta_metadata metadata = {.id = {"m", 1}};
static const dl_delta_file file_a = {.path = {"a", 1}, .data_change = true};
static const dl_delta_file file_b = {.path = {"b", 1}, .data_change = true};
static const dl_delta_file moved_a = {.path = {"a", 1}};
static const dl_delta_file moved_b = {.path = {"b", 1}};
static const dl_delta_app app_5 = {.app_id = {"x", 1}, .version = 5};
static const dl_delta_app app_6 = {.app_id = {"x", 1}, .version = 6};
static const dl_delta_app other_app = {.app_id = {"y", 1}, .version = 9};
static const dl_delta_domain domain = {.domain = {"d", 1}};
static const dl_delta_domain other_domain = {.domain = {"e", 1}};
static const dl_delta_domain tracking = {.domain = {"delta.rowTracking", 17}};

/* clang-format off */
static const struct {
    const char *name;
    bool exclusive;
    dl_delta_commit ours, winner;
    dl_delta_conflict want;
} cases[] = {
    {"nothing at all", true, {.ours = true}, {.ours = false}, DL_DELTA_GO_ON},
    {"information only", true, {.adds = &file_a, .add_count = 1}, {.info = {.version = 4}}, DL_DELTA_GO_ON},
    {"the protocol", false, {.adds = &file_a, .add_count = 1}, {.protocol = &protocol}, DL_DELTA_REPLAN},
    {"the metadata", false, {.adds = &file_a, .add_count = 1}, {.metadata = &metadata}, DL_DELTA_REPLAN},
    {"an add, exclusive", true, {.adds = &file_a, .add_count = 1}, {.adds = &file_b, .add_count = 1}, DL_DELTA_REPLAN},
    {"a remove, exclusive", true, {.adds = &file_a, .add_count = 1}, {.removes = &file_b, .remove_count = 1}, DL_DELTA_REPLAN},
    {"rows moved elsewhere, exclusive", true, {.adds = &file_a, .add_count = 1}, {.adds = &moved_b, .add_count = 1, .removes = &moved_b, .remove_count = 1}, DL_DELTA_GO_ON},
    {"rows moved from our file, exclusive", true, {.removes = &file_a, .remove_count = 1}, {.removes = &moved_a, .remove_count = 1}, DL_DELTA_REPLAN},
    {"an add", false, {.adds = &file_a, .add_count = 1}, {.adds = &file_b, .add_count = 1}, DL_DELTA_GO_ON},
    {"another file gone", false, {.removes = &moved_a, .remove_count = 1}, {.removes = &file_b, .remove_count = 1}, DL_DELTA_GO_ON},
    {"the same file gone", false, {.removes = &moved_a, .remove_count = 1}, {.removes = &file_a, .remove_count = 1}, DL_DELTA_REPLAN},
    {"the same file grown", false, {.removes = &moved_a, .remove_count = 1}, {.adds = &file_a, .add_count = 1}, DL_DELTA_REPLAN},
    {"a file of our adds", false, {.adds = &file_a, .add_count = 1}, {.removes = &file_a, .remove_count = 1}, DL_DELTA_REPLAN},
    {"our application, before", false, {.apps = &app_6, .app_count = 1}, {.apps = &app_5, .app_count = 1}, DL_DELTA_REPLAN},
    {"our application, there", false, {.apps = &app_6, .app_count = 1}, {.apps = &app_6, .app_count = 1}, DL_DELTA_DONE},
    {"our application, further", false, {.apps = &app_5, .app_count = 1}, {.apps = &app_6, .app_count = 1}, DL_DELTA_DONE},
    {"our application and the metadata", false, {.apps = &app_5, .app_count = 1}, {.apps = &app_5, .app_count = 1, .metadata = &metadata}, DL_DELTA_DONE},
    {"another application", false, {.apps = &app_5, .app_count = 1}, {.apps = &other_app, .app_count = 1}, DL_DELTA_GO_ON},
    {"our domain", false, {.domains = &domain, .domain_count = 1}, {.domains = &domain, .domain_count = 1}, DL_DELTA_REPLAN},
    {"another domain", false, {.domains = &domain, .domain_count = 1}, {.domains = &other_domain, .domain_count = 1}, DL_DELTA_GO_ON},
    {"row tracking's domain", false, {.domains = &tracking, .domain_count = 1}, {.domains = &tracking, .domain_count = 1}, DL_DELTA_GO_ON},
};
/* clang-format on */

static void run_case(size_t i)
{
    const char *reason = NULL;
    dl_delta_conflict got =
        dl_delta_conflict_check(&cases[i].ours, cases[i].exclusive, &cases[i].winner, &reason);
    TAP_EQ_INT(got, cases[i].want);
    TAP_EQ_INT(reason != NULL, cases[i].want != DL_DELTA_GO_ON);
}

/* Many paths on both sides: only a true meeting counts, whatever their hashes. */
TAP_CASE(many_paths)
{
    enum { COUNT = 5000 };
    static dl_delta_file ours[COUNT], theirs[COUNT];
    static char names[2 * COUNT][16];
    for (int i = 0; i < 2 * COUNT; i++) {
        int len = snprintf(names[i], sizeof names[i], "file-%d", i);
        dl_delta_file *file = i < COUNT ? &ours[i] : &theirs[i - COUNT];
        file->path = (dl_str){names[i], (size_t)len};
    }
    dl_delta_commit mine = {.removes = ours, .remove_count = COUNT};
    dl_delta_commit winner = {.removes = theirs, .remove_count = COUNT};
    const char *reason = NULL;
    TAP_EQ_INT(dl_delta_conflict_check(&mine, false, &winner, &reason), DL_DELTA_GO_ON);
    theirs[COUNT - 1].path = ours[17].path;
    TAP_EQ_INT(dl_delta_conflict_check(&mine, false, &winner, &reason), DL_DELTA_REPLAN);
}

int main(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        TAP_ROW_BEGIN();
        run_case(i);
        TAP_ROW_END(cases[i].name);
    }
    TAP_RUN(many_paths);
    return tap_done();
}
