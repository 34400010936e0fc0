#include "cli/gunzip.h"

#include "base/mem.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { IN_BYTES = 64 * 1024, OUT_BYTES = 256 * 1024 };

struct dl_cli_gunzip {
    int fd;
    z_stream stream;
    uint64_t position; /* of the file, behind what is in `in` */
    bool made, member, ended;
    uint8_t in[IN_BYTES], out[OUT_BYTES];
};

static voidpf stream_alloc(voidpf opaque, uInt count, uInt size)
{
    (void)opaque;
    return dl_mem_alloc(count, size);
}

static void stream_free(voidpf opaque, voidpf p)
{
    (void)opaque;
    dl_mem_free(p);
}

dl_status dl_cli_gunzip_open(int fd, dl_cli_gunzip **out_gunzip, dl_error *err)
{
    DL_CLI_AUTO_GUNZIP made = dl_mem_zalloc(1, sizeof *made);
    if (made == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "gunzip: out of memory");
    }
    made->fd = fd;
    made->stream = (z_stream){.zalloc = stream_alloc, .zfree = stream_free};
    if (inflateInit2(&made->stream, 16 + MAX_WBITS) != Z_OK) { /* 16: gzip, checked */
        return dl_error_set(err, DL_E_NOMEM, "gunzip: out of memory");
    }
    made->made = true;
    *out_gunzip = DL_STEAL(made);
    return DL_OK;
}

void dl_cli_gunzip_close(dl_cli_gunzip *gunzip)
{
    if (gunzip != NULL) {
        if (gunzip->made) {
            (void)inflateEnd(&gunzip->stream);
        }
        dl_mem_free(gunzip);
    }
}

/** More of the file behind what is left of it; false in `out_more` at its end. */
static dl_status refill(dl_cli_gunzip *g, bool *out_more, dl_error *err)
{
    ssize_t n = 0;
    do {
        n = pread(g->fd, g->in, sizeof g->in, (off_t)g->position);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return dl_error_errno(err, errno, "cannot read");
    }
    g->stream.next_in = g->in;
    g->stream.avail_in = (uInt)n;
    g->position += (uint64_t)n;
    *out_more = n > 0;
    return DL_OK;
}

/** Between two members: is there another? */
static dl_status begin_member(dl_cli_gunzip *g, dl_error *err)
{
    static const uint8_t mark[] = {0x1f, 0x8b};
    bool more = true;
    if (g->stream.avail_in < sizeof mark) { /* what is left of the file is read once more */
        g->position -= g->stream.avail_in;
        DL_TRY(refill(g, &more, err));
    }
    bool is_first = g->position == g->stream.avail_in;
    g->member = more && (is_first || (g->stream.avail_in >= sizeof mark &&
                                      memcmp(g->stream.next_in, mark, sizeof mark) == 0));
    g->ended = !g->member;
    if (g->member && inflateReset(&g->stream) != Z_OK) {
        return dl_error_set(err, DL_E_INVALID, "gunzip: damaged");
    }
    return DL_OK;
}

static dl_status inflate_step(dl_cli_gunzip *g, dl_error *err)
{
    bool more = g->stream.avail_in > 0;
    if (!more) {
        DL_TRY(refill(g, &more, err));
    }
    int z = more ? inflate(&g->stream, Z_NO_FLUSH) : Z_BUF_ERROR;
    if (z == Z_STREAM_END) {
        g->member = false;
        return DL_OK;
    }
    if (z == Z_MEM_ERROR) {
        return dl_error_set(err, DL_E_NOMEM, "gunzip: out of memory");
    }
    return z == Z_OK ? DL_OK : dl_error_set(err, DL_E_INVALID, "gunzip: damaged");
}

dl_status dl_cli_gunzip_read(dl_cli_gunzip *gunzip, dl_bytes *out, dl_error *err)
{
    dl_cli_gunzip *g = gunzip;
    g->stream.next_out = g->out;
    g->stream.avail_out = sizeof g->out;
    while (!g->ended && g->stream.avail_out > 0) {
        DL_TRY(g->member ? inflate_step(g, err) : begin_member(g, err));
    }
    *out = (dl_bytes){g->out, sizeof g->out - g->stream.avail_out};
    return DL_OK;
}

uint64_t dl_cli_gunzip_position(const dl_cli_gunzip *gunzip)
{
    return gunzip->position;
}
