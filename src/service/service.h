/**
 * Service: one home folder answering as a DICOM service (DICOMweb and the change feed).
 *
 * dl_service_start() opens the home (and locks it: one process at a time), recovers what a crash
 * left, and serves on the address given; dl_service_stop() finishes what is under way. All routes
 * stand in one table (service/routes.c) with method, path, handler and the data action that each
 * needs.
 *
 * Home: files/ (the store), state/ (index.db, lock, serve.json with the address of the running
 * service), config/service.json (settings, optional). Nothing outside it is written.
 *
 * Thread: locked.
 * Standard: PS3.18; docs/contract.md says what is answered where the standard leaves a choice.
 */
#ifndef DL_SERVICE_SERVICE_H
#define DL_SERVICE_SERVICE_H

#include "base/arena.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "feed/feed.h"
#include "http/server.h"

typedef struct dl_service_settings {
    /* The first three belong to the home: empty and -1 mean "as it has them", and a new home gets
     * "local", "dicomlake" and off. */
    char workspace[64];        /* service.workspace: [A-Za-z0-9-]+ */
    char name[64];             /* service.name: likewise */
    int partitions;            /* service.partitions: 1 on, 0 off, -1 as the home has it */
    bool zero_preamble;        /* store.zero_preamble: on */
    bool put_dedup;            /* store.put_dedup: off */
    int64_t deletion_delay_s;  /* store.deletion_delay: 259200 */
    uint64_t body_limit_bytes; /* http.body_limit: 4 GiB; also the limit of one part */
    bool lenient_accept;       /* http.lenient_accept: off */
    bool quoted_etag;          /* http.quoted_etag: off */
    unsigned idle_timeout_s;   /* http.idle_timeout: 60 */
    unsigned connection_limit; /* http.connections: 1024 */
    char cors_origins[1024];   /* cors.origins: comma-separated, or *; empty: none */
    char cors_headers[512];    /* cors.headers: * */
    char cors_methods[128];    /* cors.methods */
    unsigned cors_max_age_s;   /* cors.max_age */
    bool cors_credentials;     /* cors.credentials */
    char public_url[512]; /* http.public_url: without a slash at its end; empty: as the Host says */
    char hosts[1024];     /* http.hosts: comma-separated, or *; empty: loopback names alone */
    /* What serve and trigger daemon do for pipelines; the service itself does not look at them. */
    bool factory_schedule;    /* factory.schedule: on */
    unsigned factory_workers; /* factory.workers: 4 */
    /* ... and serve for the lakehouse: bounds of statements from outside. */
    unsigned lakehouse_statements;   /* lakehouse.statements: 4 */
    unsigned lakehouse_seconds;      /* lakehouse.seconds: 600 */
    uint64_t lakehouse_memory_bytes; /* lakehouse.memory: 1 GiB */
    unsigned lakehouse_rows;         /* lakehouse.rows: 100,000,000 */
} dl_service_settings;

void dl_service_settings_init(dl_service_settings *settings);
/** One setting by its dotted name. Errors: DL_E_INVALID names the setting, its value and what it
 * takes. */
DL_NODISCARD dl_status dl_service_settings_set(dl_service_settings *settings, dl_str name,
                                               dl_str value, dl_error *err);
/** Read config/service.json of a home: an object of dotted names to values; a missing file is fine.
 */
DL_NODISCARD dl_status dl_service_settings_load(dl_service_settings *settings, const char *home,
                                                dl_error *err);
/** Every setting with its default and one sentence, for --help and the manual. */
size_t dl_service_settings_count(void);
void dl_service_settings_describe(size_t i, const char **out_name, const char **out_default,
                                  const char **out_text);

typedef struct dl_service dl_service;

/**
 * Another app on the service's address. It gets what is below a prefix that ends in '/', or the one
 * path that the prefix is. The service's CORS settings hold for it, and nobody else's pages reach
 * it: a request must be addressed to a loopback name or one of http.hosts (else 421), and what is
 * no GET or HEAD must come from the app's own origin, one of cors.origins, or no browser (else
 * 403).
 */
typedef struct dl_service_mount {
    const char *prefix; /* "/factory/", "/metrics"; lasting */
    dl_http_app app;
} dl_service_mount;
enum { DL_SERVICE_MOUNT_LIMIT = 8 };

/** A part beside the service's own that /health/check tells of. Without it the archive works: then
 * it is Degraded. */
typedef struct dl_service_check {
    const char *name, *description;
    bool (*is_healthy)(void *context); /* NULL: there is none; must not wait */
    void *context;
} dl_service_check;

typedef struct dl_service_options {
    const char *home;
    const char *host; /* must be loopback: there is no access control yet */
    uint16_t port;    /* 0: a free one */
    dl_service_settings settings;
    dl_clock clock;
    bool
        announce; /* write state/serve.json, so that other commands on this home find the service */
    const dl_service_mount *mounts; /* copied; before the service's own paths */
    size_t mount_count;
    dl_service_check check;
} dl_service_options;

/**
 * Errors: DL_E_CONFLICT (another process has the home; the message names its address), DL_E_DENIED
 * (not a loopback address), DL_E_INVALID (settings that contradict the home: names changed,
 * partitions switched off while others than Microsoft.Default exist), DL_E_UNAVAILABLE (address in
 * use), DL_E_IO.
 */
DL_NODISCARD dl_status dl_service_start(const dl_service_options *options, dl_service **out_service,
                                        dl_error *err);
uint16_t dl_service_port(const dl_service *service);
void dl_service_stop(dl_service *service);

/** The address of the service that runs on a home ("http://127.0.0.1:8080"). Errors: DL_E_NOT_FOUND
 * (none runs). */
DL_NODISCARD dl_status dl_service_find(const char *home, dl_arena *arena, dl_str *out_url,
                                       dl_error *err);

/** The change feed of this service as a source inside this process, without HTTP. Close it before
 * the service stops. */
DL_NODISCARD dl_status dl_service_feed_open(dl_service *service, dl_feed_source **out_source,
                                            dl_error *err);

/* ---- verify ---- */

typedef struct dl_service_verify_options {
    const char *home;
    bool hash; /* read every file and compare its hash; else sizes and tags */
    dl_cancel *cancel;
    /** One finding in words without patient data, e.g. "instance 1.2.3: file AHDS/... is missing".
     */
    void (*problem)(void *context, dl_str text);
    /** As `problem`, of what is no problem but somebody should look at. May be NULL. */
    void (*notice)(void *context, dl_str text);
    /** Called now and then: files checked so far, and in all (0: not known). May be NULL. */
    void (*progress)(void *context, int64_t done, int64_t total);
    void *context;
} dl_service_verify_options;

typedef struct dl_service_verify_result {
    int64_t instances, files, bytes, changes, problems;
    int64_t waiting;      /* files in the cleanup queue */
    int64_t unreferenced; /* files that were moved aside */
} dl_service_verify_result;

/** Index, files and feed agree? Works beside a running service. */
DL_NODISCARD dl_status dl_service_verify(const dl_service_verify_options *options,
                                         dl_service_verify_result *out_result, dl_error *err);

#endif
