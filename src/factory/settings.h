/**
 * Settings: HOME/config/factory/settings.json, what holds for all pipelines of a home.
 *
 *     {
 *       "webhook": "https://..." | {"url": "https://..."}
 *                  | {"type": "Environment", "name": "X"} | {"type": "File", "path": "/run/..."},
 *       "lateAfter": "01:00:00",   // [d.]hh:mm:ss, or seconds: a window that waits longer is told,
 *                                  once until the pipeline has caught up
 *       "historyDays": 45          // how long ended runs are kept
 *     }
 *
 * An address that holds a secret of its own stands by reference: the variable or file has the URL.
 *
 * Thread: pure, but for reading the file.
 */
#ifndef DL_FACTORY_SETTINGS_H
#define DL_FACTORY_SETTINGS_H

#include "factory/document.h"

enum {
    DL_FACTORY_URL_LIMIT = 2048,
    DL_FACTORY_LATE_LIMIT_S = 366 * 86400,
    DL_FACTORY_HISTORY_LIMIT_DAYS = 36500,
};

typedef struct dl_factory_settings {
    dl_str webhook; /* URL; empty: none, or by reference */
    dl_factory_secret_kind secret_kind;
    dl_str secret;         /* name of the variable or path of the file */
    int64_t late_after_us; /* 0: lateness is not told */
    unsigned history_days;
} dl_factory_settings;

/** A missing file gives the defaults. Errors: DL_E_INVALID naming the file and the member. */
DL_NODISCARD dl_status dl_factory_settings_load(const char *home, dl_arena *arena,
                                                dl_factory_settings *out, dl_error *err);
/** http or https, a host, no user or password in it. Errors: DL_E_INVALID; never says the URL. */
DL_NODISCARD dl_status dl_factory_url_check(dl_str url, const char *what, dl_error *err);

#endif
