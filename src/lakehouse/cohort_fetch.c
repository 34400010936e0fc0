/*
 * Files of a cohort into a folder: one thread reads the list, a few copy. A file is written under a
 * name of its copier and takes its own at once, hashed on the way; what is there with the right
 * hash stays.
 */
#include "base/mem.h"
#include "lakehouse/files_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPIERS = 4, JOBS = 64, BLOCK_BYTES = 1024 * 1024 };

typedef struct job {
    char path[DL_MANIFEST_PATH_LIMIT];
    char file_path[DL_ROOTS_PATH_LIMIT + 1];
} job;

typedef struct fetch {
    const dl_cohort_fetch *options;
    const dl_roots *roots;
    dl_manifest *manifest;
    int folder_fd;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    job *jobs; /* a ring of JOBS */
    size_t first, count;
    bool ended; /* nothing more comes */
    dl_status status;
    dl_error why; /* of the first failure */
    dl_cohort_fetched fetched;
} fetch;

typedef struct copier {
    fetch *f;
    pthread_t thread;
    char part[32]; /* the name of what is under way */
    uint8_t *block;
    EVP_MD_CTX *hash;
} copier;

/* ---- one file ---- */

static dl_status check_cancel(const fetch *f, dl_error *err)
{
    return dl_cancel_asked(f->options->cancel) ? dl_error_set(err, DL_E_CANCELED, "fetching files")
                                               : DL_OK;
}

static dl_status begin_hash(copier *c, dl_error *err)
{
    return EVP_DigestInit_ex(c->hash, EVP_sha256(), NULL) == 1
               ? DL_OK
               : dl_error_set(err, DL_E_NOMEM, "libcrypto gives no SHA-256");
}

static void end_hash(copier *c, char out[DL_MANIFEST_SHA_DIGITS + 1])
{
    uint8_t digest[EVP_MAX_MD_SIZE] = {0};
    unsigned len = 0;
    (void)EVP_DigestFinal_ex(c->hash, digest, &len);
    for (size_t i = 0; i < DL_MANIFEST_SHA_DIGITS / 2; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", digest[i]);
    }
}

/** Everything of `from`, hashed, into `to` (-1: only hashed). */
static dl_status pass(copier *c, int from, int to, uint64_t *out_bytes, dl_error *err)
{
    *out_bytes = 0;
    for (;;) {
        DL_TRY(check_cancel(c->f, err));
        ssize_t n = read(from, c->block, BLOCK_BYTES);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return dl_error_errno(err, errno, "a file of the lakehouse cannot be read");
        }
        if (n == 0) {
            return DL_OK;
        }
        (void)EVP_DigestUpdate(c->hash, c->block, (size_t)n);
        if (to >= 0) {
            DL_TRY(dl_file_write_all(to, c->block, (size_t)n, err));
        }
        *out_bytes += (uint64_t)n;
    }
}

/** Whether what is there is what the manifest says. */
static dl_status is_there(copier *c, const job *j, bool *out_there, dl_error *err)
{
    dl_manifest_file known;
    struct stat facts;
    char sha[DL_MANIFEST_SHA_DIGITS + 1] = "";
    uint64_t bytes = 0;
    *out_there = false;
    if (!dl_manifest_find(c->f->manifest, j->path, &known) ||
        strcmp(known.file_path, j->file_path) != 0) {
        return DL_OK;
    }
    DL_AUTO_FD fd =
        openat(c->f->folder_fd, j->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode) ||
        (uint64_t)facts.st_size != known.size_bytes) {
        return DL_OK;
    }
    DL_TRY(begin_hash(c, err));
    DL_TRY(pass(c, fd, -1, &bytes, err));
    end_hash(c, sha);
    *out_there = strcmp(sha, known.sha256) == 0;
    return DL_OK;
}

/** STUDY and STUDY/SERIES of a path. */
static dl_status make_folders(const fetch *f, const char *path, dl_error *err)
{
    char folder[DL_MANIFEST_PATH_LIMIT];
    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        (void)snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
        if (mkdirat(f->folder_fd, folder, 0777) != 0 && errno != EEXIST) {
            return dl_error_errno(err, errno, "cannot make folder %s", folder);
        }
    }
    return DL_OK;
}

static dl_status copy(copier *c, int from, uint64_t size_bytes, const job *j,
                      dl_manifest_file *file, dl_error *err)
{
    const fetch *f = c->f;
    DL_AUTO_FD to =
        openat(f->folder_fd, c->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (to < 0) {
        return dl_error_errno(err, errno, "cannot write into %s", f->options->folder);
    }
    DL_TRY(begin_hash(c, err));
    DL_TRY(pass(c, from, to, &file->size_bytes, err));
    end_hash(c, file->sha256);
    if (file->size_bytes != size_bytes) {
        return dl_error_set(err, DL_E_CORRUPT, "a file of the lakehouse changed while it was read");
    }
    DL_TRY(make_folders(f, j->path, err));
    if (renameat(f->folder_fd, c->part, f->folder_fd, j->path) != 0) {
        return dl_error_errno(err, errno, "cannot write %s", j->path);
    }
    return DL_OK;
}

static dl_status failed(const fetch *f, const job *j, dl_status status, dl_error *err)
{
    (void)dl_error_within(err, status, "fetching %s", j->path);
    if (status != DL_E_CANCELED) {
        dl_error_hint(err, "the same command goes on in %.80s where this one ended",
                      f->options->folder);
    }
    return status;
}

static dl_status fetch_one(copier *c, const job *j, dl_cohort_fetched *add, dl_error *err)
{
    const fetch *f = c->f;
    bool there = false;
    DL_AUTO_FD from = -1;
    uint64_t size = 0;
    dl_manifest_file file = {0};
    DL_TRY(check_cancel(f, err));
    DL_TRY(is_there(c, j, &there, err));
    if (there) {
        add->already_there = 1;
        return DL_OK;
    }
    dl_status status = j->file_path[0] == '\0'
                           ? DL_E_NOT_FOUND
                           : dl_roots_open(f->roots, dl_str_of(j->file_path), &from, &size, err);
    if (status == DL_E_NOT_FOUND || status == DL_E_INVALID || status == DL_E_DENIED) {
        dl_error_clear(err);
        dl_manifest_forget(f->manifest, j->path);
        add->missing = 1;
        return DL_OK;
    }
    DL_TRY(status);
    (void)snprintf(file.path, sizeof file.path, "%s", j->path);
    (void)snprintf(file.file_path, sizeof file.file_path, "%s", j->file_path);
    status = copy(c, from, size, j, &file, err);
    if (status != DL_OK) {
        (void)unlinkat(f->folder_fd, c->part, 0);
        return status;
    }
    DL_TRY(dl_manifest_add(f->manifest, &file, err));
    add->files = 1;
    add->bytes = (int64_t)size;
    return DL_OK;
}

/* ---- many ---- */

static bool take(fetch *f, job *out)
{
    while (f->count == 0 && !f->ended && f->status == DL_OK) {
        (void)pthread_cond_wait(&f->changed, &f->lock);
    }
    if (f->count == 0 || f->status != DL_OK) {
        return false;
    }
    *out = f->jobs[f->first];
    f->first = (f->first + 1) % JOBS;
    f->count--;
    (void)pthread_cond_broadcast(&f->changed);
    return true;
}

static void tell(fetch *f, const dl_cohort_fetched *add, dl_status status, const dl_error *err)
{
    if (status != DL_OK) {
        if (f->status == DL_OK) {
            f->status = status;
            f->why = *err;
        }
        (void)pthread_cond_broadcast(&f->changed);
        return;
    }
    f->fetched.files += add->files;
    f->fetched.bytes += add->bytes;
    f->fetched.already_there += add->already_there;
    f->fetched.missing += add->missing;
    if (f->options->on_file != NULL) {
        f->options->on_file(f->options->context,
                            f->fetched.files + f->fetched.already_there + f->fetched.missing,
                            f->fetched.bytes);
    }
}

static void *copy_all(void *context)
{
    copier *c = context;
    fetch *f = c->f;
    job j;
    pthread_mutex_lock(&f->lock);
    while (take(f, &j)) {
        dl_cohort_fetched add = {0};
        dl_error err = {0};
        pthread_mutex_unlock(&f->lock);
        dl_status status = fetch_one(c, &j, &add, &err);
        if (status != DL_OK) {
            (void)failed(f, &j, status, &err);
        }
        pthread_mutex_lock(&f->lock);
        tell(f, &add, status, &err);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/** Called for each instance: waits for room. */
static dl_status give(void *context, const dl_cohort_instance *instance, dl_error *err)
{
    fetch *f = context;
    job made;
    DL_TRY(dl_manifest_path(instance, made.path, err));
    if (!dl_str_copy(instance->file_path, made.file_path, sizeof made.file_path)) {
        made.file_path[0] = '\0'; /* no file has such a path */
    }
    pthread_mutex_lock(&f->lock);
    while (f->count == JOBS && f->status == DL_OK) {
        (void)pthread_cond_wait(&f->changed, &f->lock);
    }
    bool good = f->status == DL_OK;
    if (good) {
        f->jobs[(f->first + f->count) % JOBS] = made;
        f->count++;
        (void)pthread_cond_broadcast(&f->changed);
    }
    pthread_mutex_unlock(&f->lock);
    return good ? DL_OK : DL_E_CANCELED; /* the copiers' error is the one that counts */
}

static void copier_clear(copier *c)
{
    dl_mem_free(c->block);
    EVP_MD_CTX_free(c->hash);
}

static dl_status start(copier *c, fetch *f, size_t i, dl_error *err)
{
    c->f = f;
    (void)snprintf(c->part, sizeof c->part, ".part-%zu", i);
    c->block = dl_mem_alloc(BLOCK_BYTES, 1);
    c->hash = EVP_MD_CTX_new();
    if (c->block == NULL || c->hash == NULL || pthread_create(&c->thread, NULL, copy_all, c) != 0) {
        copier_clear(c);
        return dl_error_set(err, DL_E_NOMEM, "fetching files: out of memory");
    }
    return DL_OK;
}

static void stop(fetch *f, dl_status status, const dl_error *err)
{
    pthread_mutex_lock(&f->lock);
    f->ended = true;
    if (status != DL_OK && f->status == DL_OK) {
        f->status = status;
        f->why = *err;
    }
    (void)pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static dl_status run(fetch *f, dl_factory *factory, const dl_cohort *cohort, dl_error *err)
{
    copier copiers[COPIERS];
    size_t started = 0;
    dl_error why = {0};
    dl_status status = DL_OK;
    memset(copiers, 0, sizeof copiers);
    for (; started < COPIERS && status == DL_OK; started += status == DL_OK) {
        status = start(&copiers[started], f, started, &why);
    }
    if (status == DL_OK) {
        status = dl_cohort_each(factory, cohort, give, f, &why);
    }
    stop(f, status, &why);
    for (size_t i = 0; i < started; i++) {
        (void)pthread_join(copiers[i].thread, NULL);
        (void)unlinkat(f->folder_fd, copiers[i].part, 0); /* of one that was killed */
        copier_clear(&copiers[i]);
    }
    if (f->status != DL_OK && err != NULL) {
        *err = f->why;
    }
    return f->status;
}

static void fetch_clear(fetch *f)
{
    dl_file_close(&f->folder_fd);
    dl_mem_free(f->jobs);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
}

dl_status dl_cohort_fetch_files(dl_factory *factory, const dl_lakehouse *lakehouse,
                                const dl_cohort *cohort, const dl_cohort_fetch *options,
                                dl_cohort_fetched *out, dl_error *err)
{
    DL_AUTO(dl_roots) roots = NULL;
    DL_AUTO(dl_manifest) manifest = NULL;
    DL_TRY(dl_lake_roots(factory, lakehouse, &roots, err));
    DL_TRY(dl_manifest_open(options->folder, cohort, &manifest, err));
    DL_CLEANUP(fetch_clear)
    fetch f = {.options = options, .roots = roots, .manifest = manifest, .folder_fd = -1};
    pthread_mutex_init(&f.lock, NULL);
    pthread_cond_init(&f.changed, NULL);
    f.jobs = dl_mem_alloc(JOBS, sizeof *f.jobs);
    if (f.jobs == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "fetching files: out of memory");
    }
    DL_TRY(dl_file_open(options->folder, O_RDONLY | O_DIRECTORY, 0, &f.folder_fd, err));
    DL_TRY(run(&f, factory, cohort, err));
    dl_status status = dl_manifest_finish(manifest, factory, cohort, err);
    if (status != DL_OK) {
        return dl_error_within(err, status, "writing %s/manifest.json", options->folder);
    }
    *out = f.fetched;
    return DL_OK;
}
