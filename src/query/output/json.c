/* JSON: one array of objects; JSON lines: an object a line. Names are unique in an object. */
#include "json/json.h"
#include "query/output/internal.h"

/** `"name":` of each column with what stands before it. */
static dl_status make_keys(const dl_output *out, dl_arena *arena, dl_str **out_keys, dl_error *err)
{
    dl_str *keys = NULL;
    DL_TRY(dl_output_names(out->result, false, arena, &keys, err));
    DL_AUTO_BUF key = {0};
    dl_buf_init(&key, DL_OUTPUT_BUF_LIMIT_BYTES);
    for (size_t i = 0; i < out->columns; i++) {
        dl_buf_reset(&key);
        DL_TRY(dl_buf_append_char(&key, i == 0 ? '{' : ',', err));
        DL_TRY(dl_json_quote(&key, keys[i], err));
        DL_TRY(dl_buf_append_char(&key, ':', err));
        DL_TRY(dl_arena_copy(arena, dl_buf_str(&key), &keys[i], err));
    }
    *out_keys = keys;
    return DL_OK;
}

static dl_status put_row(dl_output *out, const dl_str *keys, size_t row, dl_error *err)
{
    for (size_t i = 0; i < out->columns; i++) {
        DL_TRY(dl_buf_append_str(&out->buf, keys[i], err));
        DL_TRY(dl_query_put_json(out->result, i, row, &out->buf, err));
    }
    return dl_buf_append_char(&out->buf, '}', err);
}

static dl_status put_rows(dl_output *out, const dl_str *keys, dl_error *err)
{
    bool array = out->options->format == DL_QUERY_JSON;
    for (;;) {
        size_t rows = 0;
        DL_TRY(dl_query_next(out->result, &rows, err));
        if (rows == 0) {
            return DL_OK;
        }
        for (size_t row = 0; row < rows; row++) {
            if (array) {
                DL_TRY(dl_buf_append_str(&out->buf, out->rows == 0 ? DL_STR("\n") : DL_STR(",\n"),
                                         err));
            }
            DL_TRY(put_row(out, keys, row, err));
            if (!array) {
                DL_TRY(dl_buf_append_char(&out->buf, '\n', err));
            }
            DL_TRY(dl_output_flush_full(out, err));
            out->rows++;
        }
    }
}

dl_status dl_output_json(dl_output *out, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(DL_OUTPUT_ARENA_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "output: out of memory");
    }
    dl_str *keys = NULL;
    DL_TRY(make_keys(out, arena, &keys, err));
    if (out->options->format == DL_QUERY_JSONL) {
        return put_rows(out, keys, err);
    }
    DL_TRY(dl_buf_append_char(&out->buf, '[', err));
    DL_TRY(put_rows(out, keys, err));
    return dl_buf_append_str(&out->buf, out->rows > 0 ? DL_STR("\n]\n") : DL_STR("]\n"), err);
}
