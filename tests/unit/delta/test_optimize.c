/* What is worth compacting: the plan over made-up files, and a table's life played through. */
#include "tap.h"

#include "base/mem.h"
#include "delta/maintain.h"

#include <stdlib.h>

enum { FILES = 4096 };
static const int64_t KIB = 1024, MIB = INT64_C(1024) * 1024;

typedef struct played {
    dl_delta_file file;
    char name[24];
    int copies; /* of the most copied row in it */
    int64_t copied_bytes;
} played;

static played files[FILES];
static const dl_delta_file *list[FILES];
static size_t file_count;
static int next_name;
static dl_delta_pair east = {{"p", 1}, {"east", 4}}, west = {{"p", 1}, {"west", 4}},
                     nowhere = {{"p", 1}, {NULL, 0}};

static void reset(void)
{
    file_count = 0;
    next_name = 0;
}

static played *add_file(int64_t size_bytes, const dl_delta_pair *partition)
{
    DL_ASSERT(file_count < FILES);
    played *p = &files[file_count++];
    *p = (played){.file = {.size_bytes = size_bytes,
                           .row_count = 1000,
                           .modified_ms = next_name,
                           .partition_values = {partition, partition == NULL ? 0 : 1}}};
    (void)snprintf(p->name, sizeof p->name, "f%06d", next_name++);
    return p;
}

static void kill_rows(played *p, int64_t rows)
{
    p->file.dv = (dl_delta_dv){.storage = 'u', .cardinality = rows};
}

static size_t plan(const dl_delta_optimize_options *options, dl_arena *arena, dl_delta_job **jobs)
{
    dl_error err = {0};
    size_t count = 0;
    for (size_t i = 0; i < file_count; i++) {
        files[i].file.path = dl_str_of(files[i].name); /* they move */
        list[i] = &files[i].file;
    }
    TAP_OK(
        dl_delta_plan((dl_delta_file_list){list, file_count}, options, arena, jobs, &count, &err),
        err);
    return count;
}

/* Carry out the jobs: the files of each become one. */
static void carry_out(const dl_delta_job *jobs, size_t count, int64_t *copied)
{
    for (size_t j = 0; j < count; j++) {
        int64_t size = 0;
        int copies = 0;
        const dl_delta_pair *partition = NULL;
        for (size_t k = 0; k < jobs[j].path_count; k++) {
            size_t i = 0;
            while (i < file_count && !dl_str_eq(dl_str_of(files[i].name), jobs[j].paths[k])) {
                i++;
            }
            DL_ASSERT(i < file_count); /* also: no file is in two jobs */
            double live = 1 - (double)files[i].file.dv.cardinality / 1000;
            size += (int64_t)((double)files[i].file.size_bytes * live);
            copies = files[i].copies > copies ? files[i].copies : copies;
            partition = files[i].file.partition_values.items;
            files[i] = files[--file_count];
        }
        *copied += size;
        played *p = add_file(size, partition);
        p->copies = copies + 1;
    }
}

static size_t small_files(int64_t target)
{
    size_t count = 0;
    for (size_t i = 0; i < file_count; i++) {
        count += files[i].file.size_bytes < target / 2;
    }
    return count;
}

static int most_copies(void)
{
    int most = 0;
    for (size_t i = 0; i < file_count; i++) {
        most = files[i].copies > most ? files[i].copies : most;
    }
    return most;
}

TAP_CASE(nothing_to_do_up_to_the_limit)
{
    static const struct {
        size_t files;
        size_t jobs;
    } cases[] = {{0, 0}, {1, 0}, {18, 0}, {19, 1}};
    for (size_t c = 0; c < DL_COUNT_OF(cases); c++) {
        DL_AUTO(dl_arena) arena = dl_arena_create((size_t)MIB);
        dl_delta_job *jobs = NULL;
        reset();
        for (size_t i = 0; i < cases[c].files; i++) {
            (void)add_file(MIB, &east);
        }
        (void)add_file(64 * MIB, &east); /* half the target: not small */
        dl_delta_optimize_options options = {0};
        size_t count = plan(&options, arena, &jobs);
        TAP_EQ_INT(count, cases[c].jobs);
        if (count == 1) {
            TAP_EQ_INT(jobs[0].path_count, 19);
            TAP_EQ_INT(jobs[0].size_bytes, 19 * MIB);
            TAP_EQ_STR(jobs[0].paths[0], "f000000"); /* oldest first */
            TAP_EQ_STR(jobs[0].paths[18], "f000018");
        }
    }
}

TAP_CASE(just_below_half_the_target_is_small)
{
    DL_AUTO(dl_arena) arena = dl_arena_create((size_t)MIB);
    dl_delta_job *jobs = NULL;
    reset();
    for (size_t i = 0; i < 3; i++) {
        (void)add_file(499, &east);
    }
    dl_delta_optimize_options options = {.target_bytes = 1000, .small_limit = 2};
    TAP_EQ_INT(plan(&options, arena, &jobs), 1);
    TAP_EQ_INT(jobs[0].path_count, 2); /* a third one would pass the target */
    for (size_t i = 0; i < 3; i++) {
        files[i].file.size_bytes = 500;
    }
    TAP_EQ_INT(plan(&options, arena, &jobs), 0);
}

TAP_CASE(partitions_stay_apart)
{
    DL_AUTO(dl_arena) arena = dl_arena_create((size_t)MIB);
    dl_delta_job *jobs = NULL;
    reset();
    for (size_t i = 0; i < 12; i++) {
        (void)add_file(MIB, &east);
        (void)add_file(MIB, &west);
        (void)add_file(MIB, &nowhere);
    }
    dl_delta_optimize_options options = {0};
    TAP_EQ_INT(plan(&options, arena, &jobs), 0);
    options.small_limit = 11;
    TAP_EQ_INT(plan(&options, arena, &jobs), 3);
    TAP_EQ_INT(jobs[2].path_count, 12);
}

TAP_CASE(deleted_rows_are_a_reason)
{
    static const struct {
        int64_t dead;
        size_t jobs;
    } cases[] = {{0, 0}, {199, 0}, {200, 0}, {201, 1}, {1000, 1}, {5000, 1}};
    for (size_t c = 0; c < DL_COUNT_OF(cases); c++) {
        DL_AUTO(dl_arena) arena = dl_arena_create((size_t)MIB);
        dl_delta_job *jobs = NULL;
        reset();
        kill_rows(add_file(100 * MIB, &east), cases[c].dead);
        (void)add_file(100 * MIB, &east);
        dl_delta_optimize_options options = {0};
        TAP_EQ_INT(plan(&options, arena, &jobs), cases[c].jobs);
    }
}

TAP_CASE(files_with_dead_rows_go_together_up_to_the_target)
{
    DL_AUTO(dl_arena) arena = dl_arena_create((size_t)MIB);
    dl_delta_job *jobs = NULL;
    reset();
    for (size_t i = 0; i < 5; i++) {
        kill_rows(add_file(100 * MIB, &east), 500); /* 50 MiB live */
    }
    dl_delta_optimize_options options = {0};
    TAP_EQ_INT(plan(&options, arena, &jobs), 3);
    TAP_EQ_INT(jobs[0].path_count, 1);
    TAP_EQ_INT(jobs[1].path_count, 2);
}

TAP_CASE(the_budget_takes_the_smallest_first)
{
    DL_AUTO(dl_arena) arena = dl_arena_create((size_t)MIB);
    dl_delta_job *jobs = NULL;
    reset();
    kill_rows(add_file(200 * MIB, &east), 250); /* 150 MiB live: each alone */
    kill_rows(add_file(201 * MIB, &east), 250);
    dl_delta_optimize_options options = {.budget_bytes = 401 * MIB};
    TAP_EQ_INT(plan(&options, arena, &jobs), 2);
    options.budget_bytes = 401 * MIB - 1;
    TAP_EQ_INT(plan(&options, arena, &jobs), 1);
    TAP_EQ_STR(jobs[0].paths[0], "f000000");
    options.budget_bytes = 1; /* else it would never be done */
    TAP_EQ_INT(plan(&options, arena, &jobs), 1);
}

TAP_CASE(full_takes_everything_below_the_target)
{
    DL_AUTO(dl_arena) arena = dl_arena_create((size_t)MIB);
    dl_delta_job *jobs = NULL;
    reset();
    for (size_t i = 0; i < 5; i++) {
        (void)add_file(50 * MIB, &east);
    }
    (void)add_file(128 * MIB, &east);
    (void)add_file(MIB, &west); /* alone: nothing would change */
    dl_delta_optimize_options options = {.full = true};
    TAP_EQ_INT(plan(&options, arena, &jobs), 2);
    TAP_EQ_INT(jobs[0].path_count, 2);
    TAP_EQ_INT(jobs[1].path_count, 2);
}

TAP_CASE(sizes_from_the_log_may_be_anything)
{
    static const int64_t sizes[] = {INT64_MIN, -1, 0, 1, INT64_MAX};
    DL_AUTO(dl_arena) arena = dl_arena_create((size_t)MIB);
    dl_delta_job *jobs = NULL;
    reset();
    for (size_t i = 0; i < 200; i++) {
        played *p = add_file(sizes[i % DL_COUNT_OF(sizes)], i % 2 ? &east : &west);
        if (i % 3 == 0) {
            kill_rows(p, i % 2 ? INT64_MAX : -5);
        }
    }
    dl_delta_optimize_options options = {.small_limit = 3};
    size_t count = plan(&options, arena, &jobs);
    TAP_TRUE(count > 0);
    options.full = true;
    TAP_TRUE(plan(&options, arena, &jobs) > 0);
}

/* A file a commit, maintained after each: the limit holds always, and no row is copied often. */
static void play(const char *name, int64_t low, int64_t high, int commits, int copies_limit)
{
    const int64_t target = 128 * MIB;
    uint64_t seed = 7;
    int64_t written = 0;
    int64_t copied = 0;
    TAP_ROW_BEGIN();
    reset();
    for (int c = 0; c < commits; c++) {
        seed = seed * 6364136223846793005U + 1442695040888963407U;
        int64_t size = low + (int64_t)((seed >> 33) % (uint64_t)(high - low + 1));
        written += size;
        (void)add_file(size, &east);
        DL_AUTO(dl_arena) arena = dl_arena_create(16 * (size_t)MIB);
        dl_delta_job *jobs = NULL;
        dl_delta_optimize_options options = {0};
        size_t count = plan(&options, arena, &jobs);
        carry_out(jobs, count, &copied);
        TAP_TRUE(small_files(target) <= DL_DELTA_SMALL_LIMIT);
        if (tap_case_failed) {
            break;
        }
    }
    printf("# %s: %d commits, %lld MiB, copied %.2f times, a row at most %d times, %zu files\n",
           name, commits, (long long)(written / MIB), (double)copied / (double)written,
           most_copies(), file_count);
    TAP_TRUE(most_copies() <= copies_limit);
    TAP_ROW_END(name);
}

TAP_CASE(a_heap_of_small_files_is_copied_once)
{
    int64_t copied = 0;
    int64_t written = 0;
    reset();
    for (int i = 0; i < 3000; i++) {
        int64_t size = (int64_t)(i % 97 + 1) * 10 * KIB;
        written += size;
        (void)add_file(size, &east);
    }
    DL_AUTO(dl_arena) arena = dl_arena_create(16 * (size_t)MIB);
    dl_delta_job *jobs = NULL;
    dl_delta_optimize_options options = {0};
    carry_out(jobs, 0, &copied);
    size_t count = plan(&options, arena, &jobs);
    carry_out(jobs, count, &copied);
    TAP_EQ_INT(most_copies(), 1);
    TAP_TRUE(copied <= written);
    TAP_TRUE(small_files(128 * MIB) <= DL_DELTA_SMALL_LIMIT);
    TAP_EQ_INT(plan(&options, arena, &jobs), 0); /* and then there is nothing to do */
}

TAP_CASE(out_of_memory)
{
    dl_error err = {0};
    reset();
    for (size_t i = 0; i < 40; i++) {
        kill_rows(add_file(MIB, i % 2 ? &east : &west), i % 4 == 0 ? 500 : 0);
    }
    for (size_t i = 0; i < file_count; i++) {
        files[i].file.path = dl_str_of(files[i].name);
        list[i] = &files[i].file;
    }
    dl_delta_optimize_options options = {.small_limit = 2};
    for (int64_t n = 0;; n++) {
        dl_mem_fail_after(n);
        DL_AUTO(dl_arena) arena = dl_arena_create((size_t)MIB);
        dl_delta_job *jobs = NULL;
        size_t count = 77;
        dl_status status = arena == NULL ? DL_E_NOMEM
                                         : dl_delta_plan((dl_delta_file_list){list, file_count},
                                                         &options, arena, &jobs, &count, &err);
        dl_mem_fail_after(-1);
        if (status == DL_OK) {
            TAP_TRUE(n > 2 && count > 0);
            break;
        }
        TAP_TRUE(status == DL_E_NOMEM || status == DL_E_LIMIT);
        TAP_EQ_INT(count, 77);
    }
}

int main(void)
{
    TAP_RUN(nothing_to_do_up_to_the_limit);
    TAP_RUN(just_below_half_the_target_is_small);
    TAP_RUN(partitions_stay_apart);
    TAP_RUN(deleted_rows_are_a_reason);
    TAP_RUN(files_with_dead_rows_go_together_up_to_the_target);
    TAP_RUN(the_budget_takes_the_smallest_first);
    TAP_RUN(full_takes_everything_below_the_target);
    TAP_RUN(sizes_from_the_log_may_be_anything);
    play("files of 8 KiB", 8 * KIB, 8 * KIB, 4000, 6);
    play("files of 20 KiB to 2 MiB", 20 * KIB, 2 * MIB, 4000, 6);
    play("files of 500 KiB", 500 * KIB, 500 * KIB, 4000, 4);
    play("files of 1.5 MiB", 1536 * KIB, 1536 * KIB, 4000, 4);
    play("files of 20 MiB", 20 * MIB, 20 * MIB, 300, 2);
    TAP_RUN(a_heap_of_small_files_is_copied_once);
    TAP_RUN(out_of_memory);
    return tap_done();
}
