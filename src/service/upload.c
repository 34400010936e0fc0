/* Uploads: a body or a part of one, spooled as it comes (contract 5.1 and 5.2). */
#include "service/internal.h"

#include "base/log.h"

#include <string.h>

enum { PREAMBLE_BYTES = 128 };

void dl_log_failure(const char *op, const dl_error *cause)
{
    dl_log_line line;
    dl_log_begin(&line, DL_LOG_WARN, "service", op);
    dl_log_error(&line, cause);
    dl_log_end(&line);
}

void dl_upload_begin(dl_service *service, dl_upload *upload)
{
    *upload = (dl_upload){0};
    dl_error cause = {0};
    if (dl_store_spool_create(service->store, &upload->spool, &cause) != DL_OK) {
        upload->failed = true;
        dl_log_failure("spool", &cause);
    }
}

static void spool(dl_upload *upload, dl_bytes bytes)
{
    dl_error cause = {0};
    if (upload->failed || bytes.len == 0) {
        return;
    }
    if (dl_store_spool_write(upload->spool, bytes, &cause) != DL_OK) {
        upload->failed = true;
        dl_log_failure("spool", &cause);
    }
}

/* Whether a preamble would make the file run or open as something else (PS3.10 section 7.1). */
static bool is_dangerous(const uint8_t *preamble)
{
    static const struct {
        const char *magic;
        size_t len;
    } magics[] = {
        {"MZ", 2},
        {"\x7f"
         "ELF",
         4},
        {"#!", 2},
        {"II*\0", 4},
        {"MM\0*", 4},
        {"II+\0", 4},
        {"MM\0+", 4},
        {"%PDF", 4},
        {"PK\3\4", 4},
        {"\xcf\xfa\xed\xfe", 4}, /* Mach-O: 64 and 32 bits, either order; of several machines */
        {"\xfe\xed\xfa\xcf", 4},
        {"\xce\xfa\xed\xfe", 4},
        {"\xfe\xed\xfa\xce", 4},
        {"\xca\xfe\xba\xbe", 4},
        {"\xca\xfe\xba\xbf", 4},
    };
    for (size_t i = 0; i < DL_COUNT_OF(magics); i++) {
        if (memcmp(preamble, magics[i].magic, magics[i].len) == 0) {
            return true;
        }
    }
    return false;
}

static void release_head(const dl_service *service, dl_upload *upload)
{
    bool whole = upload->head_len == sizeof upload->head;
    if (whole && service->settings.zero_preamble &&
        memcmp(upload->head + PREAMBLE_BYTES, "DICM", 4) == 0 && is_dangerous(upload->head)) {
        memset(upload->head, 0, PREAMBLE_BYTES);
    }
    spool(upload, (dl_bytes){upload->head, upload->head_len});
}

dl_status dl_upload_write(dl_service *service, dl_upload *upload, dl_bytes bytes, dl_error *err)
{
    upload->received_bytes += bytes.len;
    if (upload->received_bytes > service->settings.body_limit_bytes) {
        return dl_error_set(err, DL_E_LIMIT, "a part is larger than %llu bytes",
                            (unsigned long long)service->settings.body_limit_bytes);
    }
    if (upload->head_len < sizeof upload->head) {
        size_t room = sizeof upload->head - upload->head_len;
        size_t n = bytes.len < room ? bytes.len : room;
        memcpy(upload->head + upload->head_len, bytes.ptr, n);
        upload->head_len += n;
        bytes = (dl_bytes){bytes.ptr + n, bytes.len - n};
        if (upload->head_len < sizeof upload->head) {
            return DL_OK;
        }
        release_head(service, upload);
    }
    spool(upload, bytes);
    return DL_OK;
}

void dl_upload_end(dl_service *service, dl_upload *upload)
{
    if (upload->head_len < sizeof upload->head) {
        release_head(service, upload);
    }
}

void dl_upload_clear(dl_upload *upload)
{
    dl_store_spool_destroy(upload->spool);
    upload->spool = NULL;
}
