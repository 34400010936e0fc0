#include "cli/listen.h"

dl_status dl_cli_listen_parse(dl_str text, dl_cli_listen *out_listen, dl_error *err)
{
    size_t colon = text.len;
    while (colon > 0 && text.ptr[colon - 1] != ':') {
        colon--;
    }
    dl_str host = dl_str_slice(text, 0, colon == 0 ? 0 : colon - 1);
    dl_str digits = dl_str_slice(text, colon, text.len);
    bool bracketed = dl_str_starts(host, DL_STR("[")) && dl_str_ends(host, DL_STR("]"));
    if (bracketed) {
        host = dl_str_slice(host, 1, host.len - 2);
    }
    uint64_t port = 0;
    dl_cli_listen made;
    bool has_colon = dl_str_find(host, ':') >= 0;
    if (host.len == 0 || bracketed != has_colon || digits.len > 5 ||
        !dl_str_to_u64(digits, &port) || port > UINT16_MAX ||
        !dl_str_copy(host, made.host, sizeof made.host)) {
        (void)dl_error_set(err, DL_E_INVALID, "--listen %.*s: not HOST:PORT", DL_STR_ARG(text));
        dl_error_hint(err, "for example 127.0.0.1:8080 or [::1]:0");
        return DL_E_INVALID;
    }
    made.port = (uint16_t)port;
    *out_listen = made;
    return DL_OK;
}
