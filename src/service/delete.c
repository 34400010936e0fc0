/* Delete a study, a series or an instance (contract section 8). */
#include "service/internal.h"

dl_status dl_handle_delete(dl_service_request *r, dl_error *err)
{
    DL_TRY(dl_request_check_uids(r, err));
    dl_service *service = r->service;
    dl_index_scope scope = dl_request_scope(r);
    int64_t delay_us = service->settings.deletion_delay_s * 1000000;
    int64_t count = 0;
    bool changed = false;
    dl_index_tx *tx = NULL;
    DL_TRY(dl_index_begin(service->index, &tx, err)); /* from here on nobody else writes */
    dl_status status = dl_check_conditions(r, &changed, err);
    if (status == DL_OK && !changed) {
        status = dl_index_delete(tx, &scope, dl_service_now_us(service) + delay_us, &count, err);
    }
    if (status != DL_OK || changed) {
        dl_index_rollback(tx);
        if (changed) {
            return dl_refuse(r, 412,
                             "If-Match or If-None-Match does not hold: its ETag is another one.");
        }
        return status == DL_E_NOT_FOUND ? dl_refuse_missing(r) : status;
    }
    DL_TRY(dl_index_commit(tx, err));
    dl_worker_wake(service->worker);
    dl_http_respond(r->x, 204, NULL, DL_STR(""));
    return DL_OK;
}
