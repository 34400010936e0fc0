/* Notebooks and scripts from anywhere: what is read is written, reads back as the same bytes, and
 * takes every other form; nothing of it becomes a script in a page. */
#include "notebook/notebook.h"
#include "json/json.h"

#include <string.h>

#define MEMORY_LIMIT_BYTES ((size_t)256 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_page(dl_str page)
{
    DL_ASSERT(dl_str_find_str(page, DL_STR("<script")) < 0);
    DL_ASSERT(dl_str_find_str(page, DL_STR("javascript:")) < 0 ||
              dl_str_find_str(page, DL_STR("href=\"javascript:")) < 0);
}

static void convert(const dl_notebook *notebook, dl_arena *arena)
{
    static const dl_notebook_form forms[] = {DL_NOTEBOOK_SQL_SCRIPT, DL_NOTEBOOK_MARKDOWN_TEXT,
                                             DL_NOTEBOOK_HTML_PAGE};
    for (size_t i = 0; i < DL_COUNT_OF(forms); i++) {
        DL_AUTO_BUF text = {0};
        dl_notebook back;
        dl_buf_init(&text, MEMORY_LIMIT_BYTES);
        DL_ASSERT(dl_notebook_convert(notebook, forms[i], &text, NULL) == DL_OK);
        if (forms[i] == DL_NOTEBOOK_SQL_SCRIPT) {
            DL_ASSERT(dl_notebook_from_script(dl_buf_str(&text), arena, &back, NULL) == DL_OK);
        } else if (forms[i] == DL_NOTEBOOK_HTML_PAGE) {
            check_page(dl_buf_str(&text));
        }
    }
}

/* Written once, it is read and written the same for ever. */
static void write_again(const dl_notebook *notebook, dl_arena *arena)
{
    DL_AUTO_BUF once = {0}, twice = {0};
    dl_notebook back;
    dl_buf_init(&once, MEMORY_LIMIT_BYTES);
    dl_buf_init(&twice, MEMORY_LIMIT_BYTES);
    DL_ASSERT(dl_notebook_write(notebook, &once, NULL) == DL_OK);
    DL_ASSERT(dl_json_check(dl_buf_str(&once), NULL) == DL_OK);
    DL_ASSERT(dl_notebook_read(dl_buf_str(&once), arena, &back, NULL) == DL_OK);
    DL_ASSERT(back.cell_count == notebook->cell_count);
    DL_ASSERT(dl_notebook_write(&back, &twice, NULL) == DL_OK);
    DL_ASSERT(dl_str_eq(dl_buf_str(&once), dl_buf_str(&twice)));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(MEMORY_LIMIT_BYTES);
    dl_str text = {(const char *)bytes, size};
    dl_notebook notebook;
    if (dl_notebook_read(text, arena, &notebook, NULL) == DL_OK) {
        write_again(&notebook, arena);
        convert(&notebook, arena);
    }
    if (dl_notebook_from_script(text, arena, &notebook, NULL) == DL_OK) {
        write_again(&notebook, arena);
        convert(&notebook, arena);
    }
    return 0;
}
