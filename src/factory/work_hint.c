/* What to do about a failure. */
#include "factory/work.h"

#include <errno.h>

/* The first that fits: 0 and NULL fit all. What the place of the failure itself says goes before
 * what follows from the status alone. */
static const struct {
    dl_status status;
    int os_code;
    const char *words;
    const char *hint;
} known[] = {
    {DL_OK, ENOSPC, NULL, "the disk is full: make room, then rerun; what was committed is whole"},
    {DL_OK, EDQUOT, NULL,
     "the quota is used up: make room, then rerun; what was committed is whole"},
    {DL_E_IO, 0, "is full", "the disk is full: make room, then rerun; what was committed is whole"},
    {DL_OK, EROFS, NULL, "the lake's file system is mounted read-only: mount it for writing"},
    {DL_OK, EACCES, NULL, "give the account that runs dicomlake the right to write to the lake"},
    {DL_OK, EPERM, NULL, "give the account that runs dicomlake the right to write to the lake"},
    {DL_OK, ENOTDIR, NULL, "a part of the lake's path is a file: correct the connection"},
    {DL_OK, EMFILE, NULL, "too many files are open: raise the limit (ulimit -n)"},
    {DL_E_UNAVAILABLE, 0, "works on this lake",
     "another program syncs into the lake: stop it, or let it be the only one"},
    {DL_E_NOT_FOUND, 0, "taken away or replaced",
     "restore the lake's folder; or let new tables be made, and fill them by trigger backfill"},
    {DL_E_INVALID, 0, "RetentionHours", "give RetentionHours 168 or more"},
    {DL_E_NOT_FOUND, 0, "opening the connections",
     "make the connection again (connection add), or publish the pipeline with another one"},
    {DL_E_UNAVAILABLE, 0, "resolve", "check the host's name in the connection: connection test"},
};

static const char *const by_status[] = {
    [DL_OK] = "nothing: it succeeded",
    [DL_E_INVALID] = "correct the document or the parameter that is named, publish, then rerun",
    [DL_E_DENIED] = "check the secret of the connection and the role of its owner: connection test",
    [DL_E_NOT_FOUND] = "make what is missing, or correct its name, then rerun",
    [DL_E_EXISTS] = "somebody else made it at the same time: rerun",
    [DL_E_CONFLICT] = "somebody else changed the tables or the feed meanwhile: rerun",
    [DL_E_LIMIT] = "ask for less at once (BatchSize), then rerun",
    [DL_E_UNSUPPORTED] = "choose another connection or table: connection test says what works",
    [DL_E_CORRUPT] = "dicomlake verify names what is wrong; sync --rebuild makes the tables anew",
    [DL_E_UNAVAILABLE] =
        "see that the service runs (connection test); a retry or a rerun goes on where it was",
    [DL_E_CANCELED] = "rerun it to go on: what was committed stays",
    [DL_E_IO] = "see that the lake's disk is in order and has room, then rerun",
    [DL_E_NOMEM] = "give the machine more memory, or ask for less at once (BatchSize)",
};

const char *dl_work_hint(const dl_error *err)
{
    dl_str message = dl_str_of(err->message);
    for (size_t i = 0; i < DL_COUNT_OF(known); i++) {
        if ((known[i].status == DL_OK || known[i].status == err->status) &&
            (known[i].os_code == 0 || known[i].os_code == err->os_code) &&
            (known[i].words == NULL || dl_str_find_str(message, dl_str_of(known[i].words)) >= 0)) {
            return known[i].hint;
        }
    }
    if (err->hint[0] != '\0') {
        return err->hint;
    }
    size_t status = (size_t)err->status;
    return status < DL_COUNT_OF(by_status) ? by_status[status] : "rerun it";
}
