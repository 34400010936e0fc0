/**
 * What the files of the service share: the service itself, one request, uploads and the committer.
 */
#ifndef DL_SERVICE_INTERNAL_H
#define DL_SERVICE_INTERNAL_H

#include "service/service.h"

#include "dicom/dicom.h"
#include "http/server.h"
#include "http/url.h"
#include "index/index.h"
#include "store/store.h"
#include "json/json.h"

#include <pthread.h>

typedef struct dl_service_route dl_service_route;
typedef struct dl_committer dl_committer;
typedef struct dl_worker dl_worker;

enum {
    DL_SERVICE_KEY_SIZE = 320,    /* AHDS/{63}/dicom/{63}/{64}/ppp_watermark.dcm, ended by NUL */
    DL_SERVICE_FEED_ID_SIZE = 33, /* hex digits, ended by NUL */
    DL_SERVICE_PART_LIMIT = 2000, /* parts of one store request */
    DL_SERVICE_GROUP_LIMIT = 256, /* instances of one commit */
    DL_SERVICE_BUCKETS = 256,
    DL_SERVICE_AUDIT_HEADER_LIMIT = 10,
    DL_SERVICE_AUDIT_VALUE_LIMIT = 2048,
};
#define DL_SERVICE_AUDIT_PREFIX "X-MS-AZUREDICOM-AUDIT-"

/** One instance being stored right now; a second store of it meanwhile fails with 45071. */
typedef struct dl_inflight {
    struct dl_inflight *next;
    dl_str key;
} dl_inflight;

struct dl_service {
    dl_service_settings settings;
    dl_clock clock;
    char home[4096];
    char feed_id[DL_SERVICE_FEED_ID_SIZE]; /* of this home's change feed, for good */
    int lock_fd;
    bool announced;
    dl_index *index;
    dl_store *store;
    dl_http_server *server;
    dl_committer *committer;
    dl_worker *worker;
    dl_service_mount mounts[DL_SERVICE_MOUNT_LIMIT];
    size_t mount_count;
    dl_service_check check;

    pthread_mutex_t inflight_lock; /* guards inflight */
    dl_inflight *inflight[DL_SERVICE_BUCKETS];

    pthread_mutex_t readers_lock; /* guards readers: DICOM readers at rest */
    dl_dicom_reader *readers[16];
    size_t reader_count;

    pthread_mutex_t health_lock; /* guards the three below */
    int64_t health_checked_us;   /* monotonic; 0: never */
    bool index_healthy, store_healthy;
};

/* ---- one request (routes.c, request.c, cors.c) ---- */

/** The data action that a route needs (contract 18.2). */
typedef enum dl_service_action {
    DL_ACTION_NONE,
    DL_ACTION_READ,
    DL_ACTION_WRITE,
    DL_ACTION_DELETE,
    DL_ACTION_MANAGE_TAGS,
    DL_ACTION_EXPORT,
} dl_service_action;

typedef struct dl_service_request {
    dl_service *service;
    dl_http_exchange *x;
    const dl_service_route *route;
    unsigned version; /* 1 or 2; 0 on routes without one */
    int64_t partition;
    dl_str partition_name;                  /* Microsoft.Default when partitions are off */
    dl_str study, series, sop, frames, tag; /* from the path, decoded; empty when not in it */
    dl_url_param *params;
    size_t param_count;
} dl_service_request;

/** A handler answers, or fails: then problem.c answers from the error. */
typedef dl_status dl_service_handler(dl_service_request *r, dl_error *err);

struct dl_service_route {
    const char *method;  /* "GET": HEAD too */
    const char *pattern; /* below the version; {study} {series} {sop} {frames} {tag} {id} match one
                            segment */
    dl_service_handler *handle;
    dl_service_action action;
    unsigned flags;
    const char *summary; /* for the OpenAPI document */
};

enum {
    DL_ROUTE_PARTITIONED = 1, /* lives below /partitions/{name} when partitions are on */
    DL_ROUTE_CREATES = 2,     /* makes the partition when it is new */
    DL_ROUTE_UNVERSIONED = 4, /* no version segment */
    DL_ROUTE_DICOM_JSON = 8,  /* Accept must cover application/dicom+json (contract 1.7) */
    DL_ROUTE_V2_ONLY = 16,
    DL_ROUTE_BODY = 32, /* takes instances: stow.c instead of a handler */
};

const dl_service_route *dl_service_routes(size_t *out_count);
dl_http_app dl_service_app(dl_service *service);

/** Add what pages of other origins need; false: this one is none that may call. */
bool dl_cors_headers(const dl_service *service, dl_http_exchange *x);
/** The same; true when the request was a preflight and is answered. */
bool dl_cors(dl_service *service, dl_http_exchange *x);

/* ---- other apps (mount.c) ---- */

/** An app that has a request, and its state of it. */
typedef struct dl_guest {
    const dl_http_app *app; /* NULL: the service itself */
    void *state;
} dl_guest;
/** Whether what is to be mounted makes sense: our own caller's duty. */
bool dl_mounts_check(const dl_service_mount *mounts, size_t count);
/** 421 when the Host is neither loopback nor a name of ours (http.public_url, http.hosts): then
 * true. */
bool dl_host_is_refused(const dl_service *service, dl_http_exchange *x);
/** Gives a request to the app that it is for, or refuses it; out_guest->app NULL: it is ours. */
DL_NODISCARD dl_status dl_mount_begin(dl_service *service, dl_http_exchange *x, dl_guest *out_guest,
                                      dl_error *err);

/** Value of a query parameter, name without case; NULL when absent. */
const dl_url_param *dl_request_param(const dl_service_request *r, const char *name);
/** A parameter that takes whole numbers. */
typedef struct dl_int_param {
    const char *name;
    int64_t least, most, initial;
} dl_int_param;
/** limit and offset and the like. Errors: DL_E_INVALID naming the parameter. */
DL_NODISCARD dl_status dl_request_int(const dl_service_request *r, dl_int_param param,
                                      int64_t *out_value, dl_error *err);
DL_NODISCARD dl_status dl_request_bool(const dl_service_request *r, const char *name, bool initial,
                                       bool *out_value, dl_error *err);
/** Check the UIDs of the path (contract 1.6), trimming spaces. */
DL_NODISCARD dl_status dl_request_check_uids(dl_service_request *r, dl_error *err);
/** "http://host[:port]" as clients reach it (setting http.public_url, else the request's own). */
dl_str dl_request_root_url(const dl_service_request *r);
/** Scheme, host, version and partition: "http://h/v2" or "http://h/v2/partitions/p". */
DL_NODISCARD dl_status dl_request_base_url(const dl_service_request *r, dl_arena *arena,
                                           dl_str *out_url, dl_error *err);
dl_index_scope dl_request_scope(const dl_service_request *r);

/* ---- answers (problem.c) ---- */

/** A refusal in one plain sentence; returns DL_OK, so `return dl_refuse(...)`. */
dl_status dl_refuse(dl_service_request *r, unsigned status, const char *format, ...)
    DL_PRINTF(3, 4);
/** Answer from an error: the one table from dl_status to HTTP. */
void dl_refuse_error(dl_http_exchange *x, const dl_error *err);
/** A stored object that was changed behind our back is 424; any other status is returned as it is.
 */
DL_NODISCARD dl_status dl_refuse_object(dl_service_request *r, dl_status status,
                                        const dl_error *err);
/** A 406 with no body: the Accept filter of contract 1.7. */
dl_status dl_refuse_accept(dl_service_request *r);

/**
 * A long answer made piece by piece: `fill` appends at least one byte, or says that it is done.
 * Nothing but the piece is in memory. Takes the context: destroy is called once, always.
 */
typedef struct dl_pieces {
    dl_status (*fill)(void *context, dl_buf *piece, bool *out_done, dl_error *err);
    void (*destroy)(void *context);
    void *context;
} dl_pieces;
enum { DL_PIECE_LIMIT_BYTES = 256 << 20 };
/** `length_bytes` UINT64_MAX when unknown. */
dl_status dl_respond_pieces(dl_service_request *r, unsigned status, const char *type,
                            uint64_t length_bytes, const dl_pieces *take_pieces, dl_error *err);

/* ---- storing (upload.c, ingest.c, commit.c) ---- */

/** A warning with its cause, of what a client sees as 272 alone. */
void dl_log_failure(const char *op, const dl_error *cause);

/** What happened to one instance of a store request; strings live in the request's own arena. */
typedef struct dl_stored {
    unsigned failure;     /* 0, 272, 43264, 43265, 45070, 45071 */
    unsigned warning;     /* 0, 1, 45063 */
    bool multiple_values; /* an indexed attribute has more than one: HTTP Warning 299 */
    dl_str sop_class, sop, study, series; /* empty when they could not be read */
    dl_str *comments;                     /* "DICOM100: (gggg,eeee) - reason"; patient data */
    size_t comment_count;
} dl_stored;

/** One file on its way in. */
typedef struct dl_upload {
    dl_store_spool *spool;
    uint64_t received_bytes;
    uint8_t head[132]; /* held back until it is known whether the preamble must be zeroed */
    size_t head_len;
    bool failed; /* the spool could not be written (full disk): the instance fails with 272 */
} dl_upload;

void dl_upload_begin(dl_service *service, dl_upload *upload);
/** Append. Errors: DL_E_LIMIT (413). A spool that cannot be written is remembered in `failed`, not
 * returned. */
DL_NODISCARD dl_status dl_upload_write(dl_service *service, dl_upload *upload, dl_bytes bytes,
                                       dl_error *err);
void dl_upload_end(dl_service *service, dl_upload *upload);
void dl_upload_clear(dl_upload *upload);

typedef struct dl_ingest_options {
    dl_arena *arena; /* owns what the results point to */
    int64_t partition;
    dl_str partition_name;
    dl_str study; /* that all must belong to; empty: any */
    bool v1;
    bool replace;
    int64_t expires_us;
} dl_ingest_options;

/**
 * Store uploads, in order, in as few commits as can be; returns when each is durable or refused.
 * Fails only when nothing can be said of single instances (no memory).
 */
DL_NODISCARD dl_status dl_ingest(dl_service *service, const dl_ingest_options *options,
                                 dl_upload *uploads, size_t count, dl_stored *out_stored,
                                 dl_error *err);

typedef struct dl_commit_item {
    dl_store_spool *spool;
    dl_str partition_name;
    dl_index_put put;         /* watermark, size, tag and hash are filled by the committer */
    dl_status status;         /* out */
    dl_index_outcome outcome; /* out, when DL_OK */
    char key[DL_SERVICE_KEY_SIZE];
} dl_commit_item;

DL_NODISCARD dl_status dl_committer_create(dl_service *service, dl_committer **out_committer,
                                           dl_error *err);
/** Finish what is queued, then end. NULL is fine. */
void dl_committer_destroy(dl_committer *committer);
/** Blocks until every item is durable and visible, or has failed. At most DL_SERVICE_GROUP_LIMIT
 * items. */
void dl_committer_run(dl_committer *committer, dl_commit_item *items, size_t count);

/** The object key, which is the filePath, of a version (contract 11.2). */
void dl_service_key(const dl_service_settings *settings, dl_str partition_name, int64_t watermark,
                    char out_key[DL_SERVICE_KEY_SIZE]);
int64_t dl_service_now_us(const dl_service *service);

/* ---- retrieving (negotiate.c, wado.c) ---- */

#define DL_SERVICE_TRANSCODE_LIMIT_BYTES ((uint64_t)104857600)

enum {
    DL_SERVICE_PART_HEAD_LIMIT_BYTES = 64 * 1024
}; /* its URL holds a Host header of the client */

/** The form of an answer. */
typedef struct dl_form {
    bool multipart; /* multipart/related, else the bytes alone */
    const char
        *body_type; /* of the bytes: application/dicom, application/octet-stream, image/... */
    dl_str syntax;  /* transfer syntax UID, or "*" */
    double q;
    bool as_stored;   /* "*" */
    bool stored_only; /* only for what is stored in that syntax: nothing is converted to it */
} dl_form;

/** What the client takes, best first. */
typedef struct dl_forms {
    dl_form *list;
    size_t count;
} dl_forms;

/** Read the Accept header; false when it names nothing that the resource can be had in. */
bool dl_negotiate(dl_service_request *r, dl_forms *out_forms);
/** 406 that says what would do. */
dl_status dl_refuse_form(dl_service_request *r);
/** The best form that the versions can be had in; false: refused with 406, or 501 where transcoding
 * would do it. */
bool dl_form_choose(dl_service_request *r, const dl_forms *forms, const dl_index_version *versions,
                    size_t count, dl_form *out_form);
/** Errors: DL_E_CORRUPT when the object was changed or removed (424). */
DL_NODISCARD dl_status dl_open_version(dl_service *service, dl_str partition_name,
                                       const dl_index_version *version,
                                       dl_store_object **out_object, dl_error *err);
/** What a path names at a moment. */
typedef struct dl_edition {
    int64_t newest; /* watermark */
    size_t count;
} dl_edition;
enum { DL_SERVICE_EDITION_TRIES = 4 }; /* to send what is replaced and removed at the same time */
/** Whether an object was DL_E_CORRUPT because it was deleted or replaced since, and its file
 * removed already: then the index has the answer. */
bool dl_edition_is_old(dl_service_request *r, dl_status status, const dl_edition *edition);
/** Whether If-Match names other editions than the one that is stored, or If-None-Match names it;
 * not for what is not there. */
DL_NODISCARD dl_status dl_check_conditions(dl_service_request *r, bool *out_fail, dl_error *err);
/** 404 naming what the path names. */
dl_status dl_refuse_missing(dl_service_request *r);

/* ---- recovery (recover.c) ---- */

/** In the store's root, not for keys of ours. */
#define DL_SERVICE_ASIDE_FOLDER ".unreferenced"

/** Move a file that no row speaks of out of the way, and say so in the log. */
DL_NODISCARD dl_status dl_service_set_aside(const dl_service *service, const char *key,
                                            dl_error *err);
/** At the start: set aside every file whose number was given since the last commit. */
DL_NODISCARD dl_status dl_service_recover(const dl_service *service, dl_error *err);

/* ---- the rest ---- */

DL_NODISCARD dl_status dl_worker_create(dl_service *service, dl_worker **out_worker, dl_error *err);
void dl_worker_destroy(dl_worker *worker);
/** Something may be due: look now. */
void dl_worker_wake(dl_worker *worker);

/* stow.c: the four calls of a store request */
dl_status dl_stow_begin(dl_service_request *r, bool replace, void **out_state, dl_error *err);
dl_status dl_stow_body(void *state, dl_bytes piece, dl_error *err);
void dl_stow_end(void *state, const dl_error *body_failure);
void dl_stow_destroy(void *state);

dl_service_handler dl_handle_retrieve, dl_handle_metadata; /* wado.c */
dl_service_handler dl_handle_frames;                       /* frames.c */
dl_service_handler dl_handle_search_studies, dl_handle_search_series,
    dl_handle_search_instances;                           /* qido.c */
dl_service_handler dl_handle_delete;                      /* delete.c */
dl_service_handler dl_handle_feed, dl_handle_feed_latest; /* feed.c */
dl_service_handler dl_handle_partitions, dl_handle_health, dl_handle_live,
    dl_handle_openapi;              /* about.c */
dl_service_handler dl_handle_later; /* about.c: 501 */

#endif
