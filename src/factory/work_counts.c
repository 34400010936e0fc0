/* What a run did so far, as JSON: the counts of its syncs, attempts and stages. */
#include "factory/work_internal.h"

#include "json/json.h"

typedef struct stage {
    const char *name;
    int64_t took_us;
} stage;

/* The stages in the order in which a change goes through them. */
static void put_stages(dl_json_writer *w, const dl_work_running *r, const dl_pipeline_counts *c)
{
    const stage stages[] = {{"open", r->opened_us},      {"read", c->wait_us},
                            {"fold", c->fold_us},        {"write", c->write_us},
                            {"commit", c->commit_us},    {"state", c->state_us},
                            {"maintain", c->maintain_us}};
    dl_json_key(w, DL_STR("stages"));
    dl_json_array_begin(w);
    for (size_t i = 0; i < DL_COUNT_OF(stages); i++) {
        dl_json_object_begin(w);
        dl_json_key(w, DL_STR("name"));
        dl_json_string(w, dl_str_of(stages[i].name));
        dl_json_key(w, DL_STR("milliseconds"));
        dl_json_int(w, stages[i].took_us / 1000);
        dl_json_object_end(w);
    }
    dl_json_array_end(w);
}

dl_status dl_work_counts_put(const dl_work_running *r, const dl_pipeline_counts *counts,
                             dl_arena *arena, dl_str *out_json, dl_error *err)
{
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, DL_WORK_COUNTS_LIMIT_BYTES);
    dl_json_writer w;
    dl_json_writer_init(&w, &text, err);
    dl_json_object_begin(&w);
    dl_pipeline_counts_put(&w, counts);
    dl_json_key(&w, DL_STR("attempts"));
    dl_json_int(&w, r->attempts);
    dl_json_key(&w, DL_STR("milliseconds"));
    dl_json_int(&w, (dl_clock_monotonic_us() - r->began_us) / 1000);
    put_stages(&w, r, counts);
    dl_json_object_end(&w);
    DL_TRY(dl_json_writer_status(&w));
    return dl_arena_copy(arena, dl_buf_str(&text), out_json, err);
}
