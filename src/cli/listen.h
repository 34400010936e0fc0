/**
 * Listen: HOST:PORT as people write it.
 *
 * Thread: pure functions.
 */
#ifndef DL_CLI_LISTEN_H
#define DL_CLI_LISTEN_H

#include "base/str.h"

typedef struct dl_cli_listen {
    char host[256]; /* without the brackets of an IPv6 address */
    uint16_t port;
} dl_cli_listen;

/** "127.0.0.1:8080", "localhost:0", "[::1]:8080". Errors: DL_E_INVALID. */
DL_NODISCARD dl_status dl_cli_listen_parse(dl_str text, dl_cli_listen *out_listen, dl_error *err);

#endif
