/**
 * Probe: the test of a connection, step by step, so that a failure names its place.
 *
 *     dicom: address (DNS), connect (TCP), tls (https), answer (HTTP), access (secret, 401, 403),
 *            path, version, feed (a page of one row), clock (Date beside ours)
 *     lake:  folder (exists or can be made), write, read, put if absent (twice the same key: the
 *            second must fail), list, delete
 *
 * Steps after a failure are not tried. Nothing stays behind in the lake. Never prints a secret.
 *
 * Thread: pure but for the I/O.
 */
#ifndef DL_FACTORY_PROBE_H
#define DL_FACTORY_PROBE_H

#include "factory/document.h"

typedef struct dl_probe_step {
    const char *name; /* "address", "connect", ... */
    bool passed;
    char text[256]; /* what was seen */
    char hint[256]; /* what to do; empty when passed */
} dl_probe_step;
enum { DL_PROBE_STEP_LIMIT = 12 };
typedef struct dl_probe {
    dl_probe_step steps[DL_PROBE_STEP_LIMIT];
    size_t count;
    bool passed;
} dl_probe;

/** DL_OK also when a step failed. Errors: DL_E_CANCELED, DL_E_NOMEM. */
DL_NODISCARD dl_status dl_probe_connection(dl_factory *factory,
                                           const dl_factory_connection *connection,
                                           dl_cancel *cancel, dl_probe *out_probe, dl_error *err);

/** The secret of a connection, read now; empty when it has none. Errors: DL_E_NOT_FOUND naming the
 * variable or file (DL_E_INVALID: it is empty or no token), DL_E_UNSUPPORTED (managed identity). */
DL_NODISCARD dl_status dl_connection_secret(const dl_factory_connection *connection,
                                            dl_arena *arena, dl_str *out_secret, dl_error *err);
/** Opens the feed of a dicom connection; `more` (may be NULL) has what it does not say. Errors:
 * DL_E_INVALID (no dicom connection, no such URL), those of the secret, DL_E_UNSUPPORTED (the home
 * has no feed in this process). */
DL_NODISCARD dl_status dl_connection_feed(dl_factory *factory,
                                          const dl_factory_connection *connection,
                                          const dl_feed_http_options *more,
                                          dl_feed_source **out_source, dl_error *err);
/** Opens the store of a lake connection, and says where the state index of its tables is (as `sync`
 * does: HOME/state/lake/NAME, or DIR/.dicomlake/NAME). `create`: make the folder when missing.
 * Errors: DL_E_INVALID (no lake connection, a relative folder), DL_E_UNSUPPORTED (a URL that we
 * have no store for), DL_E_NOT_FOUND, DL_E_IO. */
DL_NODISCARD dl_status dl_connection_lake(dl_factory *factory,
                                          const dl_factory_connection *connection,
                                          const dl_pipeline_parameters *parameters, bool create,
                                          dl_arena *arena, dl_store **out_store,
                                          dl_str *out_state_folder, dl_error *err);

/* ---- what the files of the probe share ---- */

/** The folder of a lake connection. Errors: as dl_connection_lake. */
DL_NODISCARD dl_status dl_connection_folder(const dl_factory *factory,
                                            const dl_factory_connection *connection,
                                            dl_arena *arena, dl_str *out_folder, dl_error *err);
/** One more step; returns `passed`. `hint` NULL: none. */
bool dl_probe_add(dl_probe *probe, const char *name, bool passed, const char *hint,
                  const char *format, ...) DL_PRINTF(5, 6);
DL_NODISCARD dl_status dl_probe_dicom(dl_factory *factory, const dl_factory_connection *connection,
                                      dl_cancel *cancel, dl_probe *probe, dl_error *err);
DL_NODISCARD dl_status dl_probe_lake(dl_factory *factory, const dl_factory_connection *connection,
                                     dl_probe *probe, dl_error *err);

#endif
