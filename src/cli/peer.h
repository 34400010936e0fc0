/**
 * Peer: the service that a command talks to, found or started.
 *
 * Every command but serve and verify speaks HTTP, so there is one code path: with --url to any
 * DICOMweb service; with --home to the service that runs on that folder, or, when none does, to one
 * started inside this process on a free loopback port for as long as the command lasts.
 *
 * Thread: immutable after creation (each thread makes its own HTTP client).
 */
#ifndef DL_CLI_PEER_H
#define DL_CLI_PEER_H

#include "cli/cli.h"
#include "http/client.h"
#include "service/service.h"

/** What the user said; at most one of url and home. */
typedef struct dl_cli_where {
    const char *url, *home, *partition; /* NULL: not given */
} dl_cli_where;

typedef struct dl_cli_peer dl_cli_peer;

/** Errors: DL_E_NOT_FOUND (no archive in that folder). */
DL_NODISCARD dl_status dl_cli_peer_check_home(const char *home, dl_error *err);

/**
 * `create`: a home that does not exist yet is made; else that is an error, so that a mistyped path
 * does not become an empty archive.
 *
 * Errors: DL_E_INVALID (nothing or both given, no such form of URL), DL_E_NOT_FOUND (no home
 * there), DL_E_CONFLICT (another command holds the home, for longer than a few seconds), or why the
 * service could not start.
 */
DL_NODISCARD dl_status dl_cli_peer_open(const dl_cli *cli, const dl_cli_where *where, bool create,
                                        dl_cli_peer **out_peer, dl_error *err);
/**
 * Look anew, for commands that follow: gives back what `*peer` holds (NULL is fine), lets others
 * have the home for `pause_ms`, and opens again. A long command that has the home is waited for:
 * nothing is lost meanwhile. On failure `*peer` is NULL.
 *
 * Errors: those of dl_cli_peer_open but DL_E_CONFLICT, DL_E_CANCELED.
 */
DL_NODISCARD dl_status dl_cli_peer_again(const dl_cli *cli, const dl_cli_where *where,
                                         unsigned pause_ms, dl_cli_peer **peer, dl_error *err);
/** Stops the service when it was started here. */
void dl_cli_peer_close(dl_cli_peer *peer);
static inline DL_UNUSED void dl_cli_peer_closep(dl_cli_peer **peer)
{
    dl_cli_peer_close(*peer);
}
#define DL_CLI_AUTO_PEER DL_CLEANUP(dl_cli_peer_closep) dl_cli_peer *

/** The service when it was started here; NULL: another process's. */
dl_service *dl_cli_peer_service(const dl_cli_peer *peer);
/** "http://127.0.0.1:8080/v2", with "/partitions/name" when one was named; no slash at the end. */
const char *dl_cli_peer_base(const dl_cli_peer *peer);
/** The same without the partition: the change feed is there. */
const char *dl_cli_peer_root(const dl_cli_peer *peer);

/**
 * A base from a URL: without path it gains /v2; slashes at the end are dropped. Pure.
 * Errors: DL_E_INVALID (not http or https, user names, query or fragment, too long).
 */
DL_NODISCARD dl_status dl_cli_peer_base_of(dl_str url, dl_buf *out_base, dl_error *err);

/**
 * One request whose answer fits in memory; anything but 200 and 204 is an error that carries the
 * status in os_code and, when `quote` is set, the peer's own sentence (never for stores: it might
 * name a patient).
 */
typedef struct dl_cli_ask {
    const char *method;
    const char *url;
    const char *accept; /* NULL: none */
    bool quote;
} dl_cli_ask;
DL_NODISCARD dl_status dl_cli_peer_ask(dl_http_client *client, const dl_cli_ask *ask,
                                       dl_arena *arena, dl_buf *body, dl_http_answer *out_answer,
                                       dl_error *err);
/** Asks for no content coding: unasked, a service may take any. */
#define DL_CLI_NO_CODING                                                                           \
    {                                                                                              \
        DL_STR("Accept-Encoding"), DL_STR("identity")                                              \
    }
/** The error for an HTTP status that is none of success. `body` may be empty. */
dl_status dl_cli_peer_refused(const char *method, unsigned status, dl_str content_type, dl_str body,
                              dl_error *err);
/** A client for this command: cut off by `cancel`. */
DL_NODISCARD dl_status dl_cli_peer_client(dl_cancel *cancel, dl_http_client **out_client,
                                          dl_error *err);

/** What one to three UIDs name: "study", "series" or "instance". */
const char *dl_cli_peer_level(size_t uid_count);
/**
 * "/studies/1.2/series/3.4/instances/5.6" for one to three UIDs.
 * Errors: DL_E_INVALID (not a UID).
 */
DL_NODISCARD dl_status dl_cli_peer_path(const dl_cli_args *uids, dl_buf *out, dl_error *err);

/* clang-format off */
/** The options that say where, for the table of each command that talks to a peer. */
#define DL_CLI_WHERE_OPTIONS(type, member)                                                              \
    {"home", "DIR", "the archive's folder (default: $DICOMLAKE_HOME)", DL_CLI_TEXT, 0,                  \
     offsetof(type, member.home), 0, 0},                                                                \
    {"url", "URL", "a DICOMweb service instead, for example http://127.0.0.1:8080", DL_CLI_TEXT, 0,     \
     offsetof(type, member.url), 0, 0}
#define DL_CLI_PARTITION_OPTION(type, member)                                                           \
    {"partition", "NAME", "the data partition", DL_CLI_TEXT, 0, offsetof(type, member.partition), 0, 0}
/* clang-format on */

#endif
