#include "base/random.h"

#include <errno.h>
#include <sys/random.h>

void dl_random_bytes(void *out, size_t len)
{
    char *p = out;
    while (len > 0) {
        ssize_t n = getrandom(p, len, 0);
        DL_ASSERT(n > 0 || errno == EINTR);
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        }
    }
}

void dl_random_hex(char *out, size_t count)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[64];
    DL_ASSERT(count <= sizeof bytes);
    dl_random_bytes(bytes, count);
    for (size_t i = 0; i < count; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * count] = '\0';
}
