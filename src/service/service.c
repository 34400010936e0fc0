/* One home: opening, locking, recovery, and stopping. */
#include "service/internal.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { STOP_GRACE_MS = 10000, DESCRIPTOR_WISH = 65536, OWN_DESCRIPTORS = 64, PATH_SIZE = 4096 };

static dl_status path_in(const char *home, const char *name, char out[PATH_SIZE], dl_error *err)
{
    int n = snprintf(out, PATH_SIZE, "%s/%s", home, name);
    if (n < 0 || n >= PATH_SIZE) {
        return dl_error_set(err, DL_E_INVALID, "the path of the home is too long");
    }
    return DL_OK;
}

/* ---- who runs on a home ---- */

static dl_status read_address(const char *home, dl_arena *arena, dl_str *out_url, dl_error *err)
{
    char path[PATH_SIZE];
    DL_TRY(path_in(home, "state/serve.json", path, err));
    DL_AUTO_BUF buf = {0};
    dl_buf_init(&buf, 4096);
    DL_TRY(dl_file_read_all(path, &buf, err));
    dl_str text = DL_STR_NONE;
    dl_str value = DL_STR_NONE;
    DL_TRY(dl_arena_copy(arena, dl_buf_str(&buf), &text, err));
    if (dl_json_check(text, err) != DL_OK || !dl_json_get(text, DL_STR("url"), &value)) {
        return dl_error_set(err, DL_E_INVALID, "%s is not ours", path);
    }
    return dl_json_text(value, arena, out_url, err);
}

/* Open-file-description locks: they end with the process, and can be asked for without being taken.
 */
static bool is_locked(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

dl_status dl_service_find(const char *home, dl_arena *arena, dl_str *out_url, dl_error *err)
{
    char path[PATH_SIZE];
    DL_TRY(path_in(home, "state/lock", path, err));
    DL_AUTO_FD fd = -1;
    dl_status status = dl_file_open(path, O_RDWR, 0, &fd, err);
    if (status == DL_E_NOT_FOUND || (status == DL_OK && !is_locked(fd))) {
        return dl_error_set(err, DL_E_NOT_FOUND, "no service runs on %s", home);
    }
    DL_TRY(status);
    dl_str url = DL_STR_NONE;
    if (read_address(home, arena, &url, NULL) != DL_OK) {
        dl_error_set(err, DL_E_CONFLICT, "another command is working on %s", home);
        dl_error_hint(err, "wait until it has finished");
        return DL_E_CONFLICT;
    }
    *out_url = url;
    return DL_OK;
}

static dl_status lock_home(dl_service *service, dl_error *err)
{
    char path[PATH_SIZE];
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    DL_TRY(path_in(service->home, "state/lock", path, err));
    DL_TRY(dl_file_open(path, O_RDWR | O_CREAT, 0600, &service->lock_fd, err));
    if (fcntl(service->lock_fd, F_OFD_SETLK, &lock) == 0) {
        DL_TRY(path_in(service->home, "state/serve.json", path, err));
        (void)unlink(path); /* of an earlier life */
        return DL_OK;
    }
    if (errno != EAGAIN && errno != EACCES) {
        return dl_error_errno(err, errno, "cannot lock %s", path);
    }
    DL_AUTO(dl_arena) arena = dl_arena_create(16384);
    dl_str url = DL_STR("another command");
    if (arena != NULL) {
        (void)read_address(service->home, arena, &url, NULL);
    }
    dl_error_set(err, DL_E_CONFLICT, "the home %s is in use by %.*s", service->home,
                 DL_STR_ARG(url));
    dl_error_hint(err, "use that one, or give another --home");
    return DL_E_CONFLICT;
}

static dl_status announce(dl_service *service, const char *host, dl_error *err)
{
    char path[PATH_SIZE];
    char text[512];
    bool v6 = strchr(host, ':') != NULL;
    DL_TRY(path_in(service->home, "state/serve.json", path, err));
    int n = snprintf(text, sizeof text, "{\"url\":\"http://%s%s%s:%u\",\"pid\":%ld}\n",
                     v6 ? "[" : "", host, v6 ? "]" : "",
                     (unsigned)dl_http_server_port(service->server), (long)getpid());
    DL_TRY(dl_file_replace(path, (dl_str){text, (size_t)n}, err));
    service->announced = true;
    return DL_OK;
}

static void retract(dl_service *service)
{
    char path[PATH_SIZE];
    if (service->announced && path_in(service->home, "state/serve.json", path, NULL) == DL_OK) {
        (void)unlink(path);
    }
}

/* ---- settings that belong to the home ---- */

static dl_status settle_text(dl_service *service, const char *name, const char *initial,
                             char *field, size_t size, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(4096);
    dl_str kept = DL_STR_NONE;
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for settings");
    }
    DL_TRY(dl_index_setting_get(service->index, dl_str_of(name), arena, &kept, err));
    if (kept.ptr == NULL) {
        if (field[0] == '\0') {
            (void)dl_str_copy(dl_str_of(initial), field, size);
        }
        return dl_index_setting_put(service->index, dl_str_of(name), dl_str_of(field), err);
    }
    if (field[0] != '\0' && !dl_str_eq(kept, dl_str_of(field))) {
        dl_error_set(err, DL_E_INVALID, "setting %s is '%s', but the home was made with '%.*s'",
                     name, field, DL_STR_ARG(kept));
        dl_error_hint(err, "file paths hold it: leave the setting out, or use a new home");
        return DL_E_INVALID;
    }
    return dl_str_copy(kept, field, size)
               ? DL_OK
               : dl_error_set(err, DL_E_CORRUPT, "setting %s of the home is too long", name);
}

static dl_status settle_partitions(dl_service *service, dl_error *err)
{
    dl_service_settings *settings = &service->settings;
    DL_AUTO(dl_arena) arena = dl_arena_create((size_t)64 << 20);
    dl_index_partition *list = NULL;
    size_t count = 0;
    dl_str kept = DL_STR_NONE;
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for settings");
    }
    DL_TRY(dl_index_setting_get(service->index, DL_STR("service.partitions"), arena, &kept, err));
    if (settings->partitions < 0) {
        settings->partitions = dl_str_eq(kept, DL_STR("on"));
    }
    DL_TRY(dl_index_partition_list(service->index, arena, &list, &count, err));
    if (settings->partitions == 0 && count > 1) {
        dl_error_set(err, DL_E_INVALID,
                     "setting service.partitions is off, but the home has %zu partitions", count);
        dl_error_hint(err, "partitions cannot be switched off once there are others than "
                           "Microsoft.Default");
        return DL_E_INVALID;
    }
    dl_str now = settings->partitions != 0 ? DL_STR("on") : DL_STR("off");
    if (dl_str_eq(kept, now)) {
        return DL_OK;
    }
    return dl_index_setting_put(service->index, DL_STR("service.partitions"), now, err);
}

static dl_status settle(dl_service *service, dl_error *err)
{
    dl_service_settings *s = &service->settings;
    if (s->cors_credentials && strchr(s->cors_origins, '*') != NULL) {
        return dl_error_set(err, DL_E_INVALID,
                            "cors.credentials does not go with cors.origins=*: name the origins");
    }
    DL_TRY(
        settle_text(service, "service.workspace", "local", s->workspace, sizeof s->workspace, err));
    DL_TRY(settle_text(service, "service.name", "dicomlake", s->name, sizeof s->name, err));
    char fresh[DL_SERVICE_FEED_ID_SIZE] = "";
    dl_random_hex(fresh, (DL_SERVICE_FEED_ID_SIZE - 1) / 2);
    DL_TRY(settle_text(service, "feed.id", fresh, service->feed_id, sizeof service->feed_id, err));
    return settle_partitions(service, err);
}

/* ---- start and stop ---- */

static bool is_loopback(const char *host)
{
    return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
           strncmp(host, "127.", 4) == 0;
}

/* As many connections as the process may have descriptors for: a connection is one, and what it
 * asks for opens a file. Without the room for it the listening socket could not accept, and
 * libmicrohttpd would try without a pause. */
static unsigned connections_with_room(unsigned wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return wanted;
    }
    if (limit.rlim_cur < DESCRIPTOR_WISH) {
        limit.rlim_cur = limit.rlim_max < DESCRIPTOR_WISH ? limit.rlim_max : DESCRIPTOR_WISH;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        (void)getrlimit(RLIMIT_NOFILE, &limit);
    }
    rlim_t own = limit.rlim_cur / 4 < OWN_DESCRIPTORS ? limit.rlim_cur / 4 * 3 : OWN_DESCRIPTORS;
    rlim_t room = (limit.rlim_cur - own) / 2;
    if (room >= wanted) {
        return wanted;
    }
    dl_log_line line;
    dl_log_begin(&line, DL_LOG_WARN, "service", "descriptors");
    dl_log_int(&line, "limit", (int64_t)limit.rlim_cur);
    dl_log_int(&line, "connections_wanted", wanted);
    dl_log_int(&line, "connections", (int64_t)room);
    dl_log_end(&line);
    return (unsigned)room;
}

static dl_status open_home(dl_service *service, dl_error *err)
{
    static const char *const folders[] = {"files", "state", "config"};
    char path[PATH_SIZE];
    for (size_t i = 0; i < DL_COUNT_OF(folders); i++) {
        DL_TRY(path_in(service->home, folders[i], path, err));
        DL_TRY(dl_file_make_dirs(path, err));
    }
    DL_TRY(dl_file_sync_dir(service->home, err)); /* an earlier life made them, and fell */
    DL_TRY(lock_home(service, err));
    DL_TRY(path_in(service->home, "state/index.db", path, err));
    dl_index_options options = {.clock = service->clock};
    DL_TRY(dl_index_open(path, &options, &service->index, err));
    DL_TRY(path_in(service->home, "files", path, err));
    DL_TRY(dl_store_open_local(path, &service->store, err));
    DL_TRY(settle(service, err));
    return dl_service_recover(service, err);
}

static dl_status open_doors(dl_service *service, const dl_service_options *options, dl_error *err)
{
    DL_TRY(dl_committer_create(service, &service->committer, err));
    DL_TRY(dl_worker_create(service, &service->worker, err));
    dl_http_app app = dl_service_app(service);
    dl_http_server_options http = {.host = options->host,
                                   .port = options->port,
                                   .body_limit_bytes = service->settings.body_limit_bytes,
                                   .connection_limit = service->settings.connection_limit,
                                   .idle_timeout_s = service->settings.idle_timeout_s,
                                   .supported_versions = "1.0-prerelease, 1, 2"};
    DL_TRY(dl_http_server_start(&http, &app, &service->server, err));
    return options->announce ? announce(service, options->host, err) : DL_OK;
}

dl_status dl_service_start(const dl_service_options *options, dl_service **out_service,
                           dl_error *err)
{
    if (!is_loopback(options->host)) {
        dl_error_set(err, DL_E_DENIED, "%s is not a loopback address", options->host);
        dl_error_hint(err, "there is no access control yet: listen on 127.0.0.1 and put a reverse "
                           "proxy that signs users in before it");
        return DL_E_DENIED;
    }
    dl_service *service = dl_mem_zalloc(1, sizeof *service);
    if (service == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for the service");
    }
    service->lock_fd = -1;
    service->settings = options->settings;
    DL_ASSERT(dl_mounts_check(options->mounts, options->mount_count));
    for (size_t i = 0; i < options->mount_count; i++) {
        service->mounts[i] = options->mounts[i];
    }
    service->mount_count = options->mount_count;
    service->check = options->check;
    service->clock = options->clock.now_us != NULL ? options->clock : dl_clock_system();
    pthread_mutex_init(&service->inflight_lock, NULL);
    pthread_mutex_init(&service->readers_lock, NULL);
    pthread_mutex_init(&service->health_lock, NULL);
    service->settings.connection_limit = connections_with_room(service->settings.connection_limit);
    dl_status status = DL_OK;
    if (!dl_str_copy(dl_str_of(options->home), service->home, sizeof service->home)) {
        status = dl_error_set(err, DL_E_INVALID, "the path of the home is too long");
    }
    if (status == DL_OK) {
        status = open_home(service, err);
    }
    if (status == DL_OK) {
        status = open_doors(service, options, err);
    }
    if (status != DL_OK) {
        dl_service_stop(service);
        return status;
    }
    *out_service = service;
    return DL_OK;
}

uint16_t dl_service_port(const dl_service *service)
{
    return dl_http_server_port(service->server);
}

void dl_service_stop(dl_service *service)
{
    if (service == NULL) {
        return;
    }
    retract(service);
    dl_http_server_stop(service->server, STOP_GRACE_MS);
    dl_worker_destroy(service->worker);
    dl_committer_destroy(service->committer);
    dl_store_close(service->store);
    dl_index_close(service->index);
    for (size_t i = 0; i < service->reader_count; i++) {
        dl_dicom_reader_destroy(service->readers[i]);
    }
    pthread_mutex_destroy(&service->health_lock);
    pthread_mutex_destroy(&service->readers_lock);
    pthread_mutex_destroy(&service->inflight_lock);
    dl_file_close(&service->lock_fd);
    dl_mem_free(service);
}
