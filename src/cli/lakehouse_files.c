/* dicomlake lakehouse files ls|cat|get: what is below the Files shortcuts. */
#include "base/file.h"
#include "base/mem.h"
#include "base/random.h"
#include "cli/lakehouse.h"
#include "cli/text.h"
#include "lakehouse/files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK_BYTES = 1024 * 1024, PAGE = 10000, PATH_SIZE = 4096 };
#define PAGE_ARENA_BYTES ((size_t)64 << 20)

static dl_status choose(dl_cli_factory *f, const dl_cli_lakehouse_options *o, dl_lakehouse *out,
                        dl_error *err)
{
    return dl_lakehouse_choose(f->factory, dl_str_of(o->lakehouse), f->arena, out, err);
}

static dl_status check_stop(const dl_cli_factory *f, dl_error *err)
{
    return dl_cancel_asked(f->cli->stop) ? dl_error_set(err, DL_E_CANCELED, "cancelled") : DL_OK;
}

/* ---- ls ---- */

static dl_status put_file(dl_cli_factory *f, const dl_lake_file *file, dl_error *err)
{
    char time[DL_CLOCK_TEXT_SIZE] = "", size[32] = "-";
    DL_AUTO_BUF name = {0};
    dl_buf_init(&name, (size_t)4 * PATH_SIZE);
    DL_TRY(dl_cli_text_clean(file->name, &name, err));
    if (f->json) {
        dl_json_object_begin(&f->w);
        dl_json_key(&f->w, DL_STR("name"));
        dl_json_string(&f->w, file->name);
        dl_json_key(&f->w, DL_STR("folder"));
        dl_json_bool(&f->w, file->folder);
        if (!file->folder) {
            dl_json_key(&f->w, DL_STR("size"));
            dl_json_int(&f->w, (int64_t)file->size_bytes);
        }
        if (file->modified_us != 0) {
            dl_clock_format_utc(file->modified_us, time);
            dl_json_key(&f->w, DL_STR("modifiedAt"));
            dl_json_string(&f->w, dl_str_of(time));
        }
        dl_json_object_end(&f->w);
        return dl_json_writer_status(&f->w);
    }
    dl_cli_format_time(file->modified_us, time);
    if (!file->folder) {
        (void)snprintf(size, sizeof size, "%" PRIu64, file->size_bytes);
    }
    (void)fprintf(f->cli->out, "%14s  %-19s  %.*s%s\n", size, time, DL_STR_ARG(dl_buf_str(&name)),
                  file->folder ? "/" : "");
    return DL_OK;
}

typedef struct listing {
    const dl_lakehouse *lakehouse;
    dl_str path;
    dl_buf last; /* name that was put; the next page begins after it */
} listing;

static dl_status put_page(dl_cli_factory *f, listing *l, size_t limit, size_t *out_count,
                          dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(PAGE_ARENA_BYTES);
    dl_lake_file *files = NULL;
    size_t count = 0;
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "out of memory");
    }
    DL_TRY(dl_lake_files_list(f->factory, l->lakehouse, l->path, dl_buf_str(&l->last), limit, arena,
                              &files, &count, err));
    for (size_t i = 0; i < count; i++) {
        DL_TRY(put_file(f, &files[i], err));
    }
    if (count > 0) {
        dl_buf_reset(&l->last);
        DL_TRY(dl_buf_append_str(&l->last, files[count - 1].name, err));
    }
    *out_count = count;
    return DL_OK;
}

static dl_status put_pages(dl_cli_factory *f, listing *l, uint64_t limit, dl_error *err)
{
    uint64_t left = limit == 0 ? UINT64_MAX : limit;
    dl_json_array_begin(&f->w);
    for (size_t count = PAGE; count == PAGE && left > 0; left -= count) {
        DL_TRY(check_stop(f, err));
        dl_status status = put_page(f, l, left < PAGE ? (size_t)left : PAGE, &count, err);
        if (status == DL_E_LIMIT) {
            dl_error_hint(err, "ask for a part with --limit and --after");
        }
        DL_TRY(status);
    }
    dl_json_array_end(&f->w);
    return DL_OK;
}

static dl_status list(dl_cli_factory *f, const dl_cli_lakehouse_options *o,
                      const dl_lakehouse *lakehouse, dl_str path, dl_error *err)
{
    listing l = {.lakehouse = lakehouse, .path = path};
    dl_buf_init(&l.last, PATH_SIZE);
    dl_status status = dl_buf_append_str(&l.last, dl_str_of(o->after), err);
    if (status == DL_OK) {
        status = put_pages(f, &l, o->limit, err);
    }
    dl_buf_clear(&l.last);
    return status;
}

/* ---- cat, get ---- */

typedef struct passing {
    dl_cli_factory *f;
    FILE *out; /* NULL: to `fd` */
    int fd;
} passing;

static dl_status put_block(const passing *p, const char *bytes, size_t len, dl_error *err)
{
    if (p->out == NULL) {
        return dl_file_write_all(p->fd, bytes, len, err);
    }
    return fwrite(bytes, 1, len, p->out) == len
               ? DL_OK
               : dl_error_errno(err, errno, "cannot write to standard output");
}

static dl_status pass(const passing *p, int from, uint64_t *out_bytes, dl_error *err)
{
    char *block = dl_mem_alloc(BLOCK_BYTES, 1);
    dl_status status = block == NULL ? dl_error_set(err, DL_E_NOMEM, "out of memory") : DL_OK;
    *out_bytes = 0;
    while (status == DL_OK) {
        ssize_t n = read(from, block, BLOCK_BYTES);
        if (n <= 0 && !(n < 0 && errno == EINTR)) {
            status = n < 0 ? dl_error_errno(err, errno, "cannot read") : DL_OK;
            break;
        }
        status = n < 0 ? DL_OK : put_block(p, block, (size_t)n, err);
        *out_bytes += n < 0 ? 0 : (uint64_t)n;
        if (status == DL_OK) {
            status = check_stop(p->f, err);
        }
    }
    dl_mem_free(block);
    return status;
}

static dl_status cat(dl_cli_factory *f, const dl_lakehouse *lakehouse, const char *path,
                     dl_error *err)
{
    DL_AUTO_FD fd = -1;
    uint64_t size = 0, bytes = 0;
    const passing p = {.f = f, .out = f->cli->out, .fd = -1};
    DL_TRY(dl_lake_file_open(f->factory, lakehouse, dl_str_of(path), &fd, &size, err));
    return pass(&p, fd, &bytes, err);
}

/** Where a file goes: --to, the file's own name in the folder --to, or that name here. */
static dl_status target_of(const char *path, const char *to, char out[PATH_SIZE], dl_error *err)
{
    struct stat facts;
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    int n = 0;
    if (to == NULL || (stat(to, &facts) == 0 && S_ISDIR(facts.st_mode))) {
        n = snprintf(out, PATH_SIZE, "%s%s%s", to == NULL ? "" : to, to == NULL ? "" : "/", name);
    } else {
        n = snprintf(out, PATH_SIZE, "%s", to);
    }
    return n > 0 && n < PATH_SIZE ? DL_OK
                                  : dl_error_set(err, DL_E_INVALID, "%s: the path is too long", to);
}

/** Whole or not at all: under another name until the last byte is there. */
static dl_status write_file(dl_cli_factory *f, int from, const char *target, uint64_t *out_bytes,
                            dl_error *err)
{
    char part[PATH_SIZE + 32], digits[17] = "";
    dl_random_hex(digits, 8);
    (void)snprintf(part, sizeof part, "%s.part-%s", target, digits);
    passing p = {.f = f, .fd = -1};
    DL_TRY(dl_file_open(part, O_WRONLY | O_CREAT | O_EXCL, 0666, &p.fd, err));
    dl_status status = pass(&p, from, out_bytes, err);
    dl_file_close(&p.fd);
    if (status == DL_OK && rename(part, target) != 0) {
        status = dl_error_errno(err, errno, "cannot write %s", target);
    }
    if (status != DL_OK) {
        (void)unlink(part);
    }
    return status;
}

static dl_status get(dl_cli_factory *f, const dl_cli_lakehouse_options *o,
                     const dl_lakehouse *lakehouse, const char *path, dl_error *err)
{
    char target[PATH_SIZE], amount[DL_CLI_AMOUNT_SIZE];
    DL_AUTO_FD fd = -1;
    uint64_t size = 0, bytes = 0;
    DL_TRY(dl_lake_file_open(f->factory, lakehouse, dl_str_of(path), &fd, &size, err));
    DL_TRY(target_of(path, o->to, target, err));
    DL_TRY(write_file(f, fd, target, &bytes, err));
    dl_cli_text_bytes(bytes, amount);
    dl_cli_factory_say(f, "%s: %s", target, amount);
    dl_json_object_begin(&f->w);
    dl_json_key(&f->w, DL_STR("path"));
    dl_json_string(&f->w, dl_str_of(target));
    dl_json_key(&f->w, DL_STR("size"));
    dl_json_int(&f->w, (int64_t)bytes);
    dl_json_object_end(&f->w);
    return DL_OK;
}

/* ---- the action ---- */

static dl_status wrong(const char *word, dl_error *err)
{
    (void)dl_error_set(err, DL_E_INVALID, "lakehouse files %s: not so", word);
    dl_error_hint(err, "lakehouse files ls [PATH], files cat PATH, files get PATH [--to FILE]");
    return DL_E_INVALID;
}

dl_status dl_cli_lakehouse_files(dl_cli_factory *f, const void *options, const dl_cli_args *args,
                                 dl_error *err)
{
    const dl_cli_lakehouse_options *o = options;
    const char *word = args->items[0];
    dl_lakehouse lakehouse;
    DL_TRY(choose(f, o, &lakehouse, err));
    if (strcmp(word, "ls") == 0 && args->count <= 2) {
        return list(f, o, &lakehouse, dl_str_of(args->count == 2 ? args->items[1] : ""), err);
    }
    if (strcmp(word, "cat") == 0 && args->count == 2 && !f->json) {
        return cat(f, &lakehouse, args->items[1], err);
    }
    if (strcmp(word, "get") == 0 && args->count == 2) {
        return get(f, o, &lakehouse, args->items[1], err);
    }
    return wrong(word, err);
}
