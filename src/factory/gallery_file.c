/* The file: a zip's entries, or one JSON text. Nothing is written anywhere. */
#include "base/file.h"
#include "factory/gallery_internal.h"

#include <archive.h>
#include <archive_entry.h>
#include <string.h>
#include <sys/stat.h>

static void close_archive(struct archive **archive)
{
    if (*archive != NULL) {
        (void)archive_read_free(*archive);
    }
}

static bool climbs_out(dl_str name)
{
    if (name.len > 0 && (name.ptr[0] == '/' || name.ptr[0] == '\\')) {
        return true;
    }
    dl_str rest = name, step = DL_STR_NONE;
    while (dl_str_next(&rest, '/', &step)) {
        if (dl_str_eq(step, DL_STR("..")) || dl_str_starts(step, DL_STR("..\\"))) {
            return true;
        }
    }
    return dl_str_find_str(name, DL_STR("\\..")) >= 0;
}

static dl_status damaged(dl_gallery_file *file, size_t number)
{
    return dl_error_set(file->reader.err, DL_E_INVALID, "the zip is damaged at entry %zu", number);
}

/** All of an entry, counted against what all may have together. */
static dl_status read_entry(dl_gallery_file *file, struct archive *zip, size_t number, dl_buf *text,
                            size_t *total)
{
    char block[16 * 1024];
    for (;;) {
        la_ssize_t n = archive_read_data(zip, block, sizeof block);
        if (n == ARCHIVE_RETRY) {
            continue;
        }
        if (n < 0) {
            return damaged(file, number);
        }
        if (n == 0) {
            return DL_OK;
        }
        *total += (size_t)n;
        if (*total > DL_GALLERY_LIMIT_BYTES) {
            return dl_error_set(file->reader.err, DL_E_LIMIT,
                                "the zip holds more than %d bytes (entry %zu)",
                                DL_GALLERY_LIMIT_BYTES, number);
        }
        DL_TRY(dl_buf_append(text, block, (size_t)n, file->reader.err));
    }
}

static dl_status name_of(dl_gallery_file *file, struct archive_entry *entry, size_t number,
                         dl_str *out_name)
{
    const char *name = archive_entry_pathname_utf8(entry);
    if (name == NULL) {
        name = archive_entry_pathname(entry);
    }
    if (name == NULL || !dl_str_is_utf8(dl_str_of(name))) {
        return dl_arena_printf(file->reader.arena, out_name, file->reader.err, "entry %zu", number);
    }
    return dl_arena_copy(file->reader.arena, dl_str_slice(dl_str_of(name), 0, 200), out_name,
                         file->reader.err);
}

static dl_status take_entry(dl_gallery_file *file, struct archive *zip, struct archive_entry *entry,
                            size_t number, size_t *total)
{
    DL_AUTO_BUF text = {0};
    dl_str name = DL_STR_NONE;
    dl_buf_init(&text, DL_GALLERY_LIMIT_BYTES);
    DL_TRY(name_of(file, entry, number, &name));
    if (archive_entry_filetype(entry) == AE_IFDIR) {
        return DL_OK;
    }
    if (climbs_out(name)) {
        return dl_error_set(file->reader.err, DL_E_INVALID,
                            "entry %zu of the zip has a path that leads out of it", number);
    }
    if (archive_entry_is_encrypted(entry) != 0) {
        dl_status status = dl_error_set(file->reader.err, DL_E_UNSUPPORTED,
                                        "entry %zu of the zip is encrypted", number);
        dl_error_hint(file->reader.err, "unpack it and import the JSON inside");
        return status;
    }
    DL_TRY(read_entry(file, zip, number, &text, total));
    if (archive_entry_filetype(entry) != AE_IFREG || !dl_str_ends(name, DL_STR(".json"))) {
        dl_document_note(&file->reader, name, "no JSON document");
        return DL_OK;
    }
    return dl_gallery_take(file, name, dl_buf_str(&text));
}

static dl_status load_zip(dl_gallery_file *file, dl_str bytes)
{
    DL_CLEANUP(close_archive) struct archive *zip = archive_read_new();
    size_t number = 0, total = 0;
    if (zip == NULL) {
        return dl_error_set(file->reader.err, DL_E_NOMEM, "import: out of memory");
    }
    if (archive_read_support_format_zip(zip) != ARCHIVE_OK ||
        archive_read_open_memory(zip, bytes.ptr, bytes.len) != ARCHIVE_OK) {
        return damaged(file, 0);
    }
    for (;;) {
        struct archive_entry *entry = NULL;
        int code = archive_read_next_header(zip, &entry);
        if (code == ARCHIVE_EOF) {
            return DL_OK;
        }
        if (code != ARCHIVE_OK && code != ARCHIVE_WARN) {
            return damaged(file, number + 1);
        }
        if (++number > DL_GALLERY_ENTRY_LIMIT) {
            return dl_error_set(file->reader.err, DL_E_LIMIT, "the zip has more than %d entries",
                                DL_GALLERY_ENTRY_LIMIT);
        }
        DL_TRY(take_entry(file, zip, entry, number, &total));
    }
}

dl_status dl_gallery_load(dl_gallery_file *file, const char *path)
{
    DL_AUTO_BUF bytes = {0};
    struct stat facts;
    dl_buf_init(&bytes, DL_GALLERY_LIMIT_BYTES);
    if (stat(path, &facts) == 0 && !S_ISREG(facts.st_mode)) {
        return dl_error_set(file->reader.err, DL_E_INVALID, "it is no file");
    }
    DL_TRY(dl_file_read_all(path, &bytes, file->reader.err));
    dl_str all = dl_buf_str(&bytes);
    if (dl_str_starts(all, DL_STR("PK\003\004")) || dl_str_starts(all, DL_STR("PK\005\006"))) {
        return load_zip(file, all);
    }
    const char *base = strrchr(path, '/');
    return dl_gallery_take(file, dl_str_of(base == NULL ? path : base + 1),
                           all.ptr == NULL ? DL_STR("") : all);
}
